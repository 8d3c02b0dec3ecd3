//! Arguments of `list`.

use clap::{Args, ValueEnum};

use crate::api::rollout_status::Phase;

/// `list`
#[derive(Args, Debug)]
pub struct List {
    /// Those of every namespace, whatever -n says
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only those in one of these phases, as in Paused,Aborted
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        value_delimiter = ',',
        value_name = "PHASE"
    )]
    pub phase: Vec<PhaseWord>,
    /// Only those whose labels meet this, as in team=shop,tier!=test
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// What can stand in the column PHASE.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "verbatim")]
pub enum PhaseWord {
    /// The first version comes up.
    Initializing,
    /// A new version goes out.
    Progressing,
    /// It waits.
    Paused,
    /// Traffic goes back to stable.
    Aborting,
    /// Stable has all traffic; the spec still asks for the aborted version.
    Aborted,
    /// The spec asks for a version that was rejected before.
    Rejected,
    /// Stable is what the spec asks for, and it is available.
    Healthy,
    /// Something is wrong that going back cannot mend.
    Degraded,
    /// The spec cannot be carried out as it is.
    Invalid,
    /// The controller has not looked at it yet.
    Unknown,
    /// This plugin cannot read it.
    Unreadable,
}

impl PhaseWord {
    /// The word for a phase that a status has, or has not.
    #[must_use]
    pub fn of(phase: Option<Phase>) -> Self {
        match phase {
            None => Self::Unknown,
            Some(Phase::Initializing) => Self::Initializing,
            Some(Phase::Progressing) => Self::Progressing,
            Some(Phase::Paused) => Self::Paused,
            Some(Phase::Aborting) => Self::Aborting,
            Some(Phase::Aborted) => Self::Aborted,
            Some(Phase::Rejected) => Self::Rejected,
            Some(Phase::Healthy) => Self::Healthy,
            Some(Phase::Degraded) => Self::Degraded,
            Some(Phase::Invalid) => Self::Invalid,
        }
    }
}
