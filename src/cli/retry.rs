//! `retry`: an aborted or rejected version goes out again, as a new attempt from its first step.

use super::command::{self, Check, Verb};
use super::error::CliError;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

/// Whether there is something to try again.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn check(rollout: &Rollout) -> Result<Check, CliError> {
    let status = command::status_for(rollout, Verb::Retry)?;
    command::seen(rollout, Verb::Retry)?;
    let why = match status.phase {
        // An abort whose stable version has no pods is Degraded.
        Some(Phase::Degraded) if status.abort.is_some() => return Ok(Check::Go),
        Some(Phase::Aborting | Phase::Aborted | Phase::Rejected) => return Ok(Check::Go),
        Some(Phase::Healthy) => "the version was not aborted: it is stable".to_owned(),
        Some(Phase::Invalid) => {
            format!(
                "the Rollout cannot be carried out as it is: {}",
                status.message
            )
        }
        Some(Phase::Initializing | Phase::Progressing | Phase::Paused | Phase::Degraded) | None => {
            "the version was not aborted".to_owned()
        }
    };
    Err(command::refused(rollout, Verb::Retry, &why))
}
