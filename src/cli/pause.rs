//! `pause`: hold a rollout where it is, until `resume`.

use kube::ResourceExt;

use super::command::{self, Check, Verb};
use super::error::CliError;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

/// Whether it can be held.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn check(rollout: &Rollout) -> Result<Check, CliError> {
    let status = command::status_for(rollout, Verb::Pause)?;
    let why = if let Some(since) = status.held_since {
        format!(
            "it is paused since {since}; `kubectl tidegate resume {}` ends that",
            rollout.name_any()
        )
    } else if rollout.spec.paused {
        "spec.paused is true already".to_owned()
    } else if status.phase == Some(Phase::Aborting) {
        "traffic goes back to stable, and that is not held up".to_owned()
    } else {
        return Ok(Check::Go);
    };
    Err(command::refused(rollout, Verb::Pause, &why))
}
