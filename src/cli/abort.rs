//! `abort`: all traffic back to stable. Always easy: only what cannot mean anything is refused.

use super::advice;
use super::command::{self, Check, Verb};
use super::error::CliError;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

/// Whether there is something to abort.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn check(rollout: &Rollout) -> Result<Check, CliError> {
    let status = command::status_for(rollout, Verb::Abort)?;
    if let Some(abort) = &status.abort
        && matches!(
            status.phase,
            Some(Phase::Aborting | Phase::Aborted | Phase::Degraded)
        )
    {
        return Ok(Check::AlreadySo(format!(
            "aborted at {} ({:?}): {}",
            abort.at, abort.reason, abort.message
        )));
    }
    // A change that the controller has not seen may be the very version that is to be aborted.
    if advice::unseen(rollout).is_some() {
        return Ok(Check::Go);
    }
    let why = match (&status.stable, &status.canary) {
        (None, _) => {
            "there is no stable version to go back to: correct the template, or scale to 0"
        }
        (Some(_), None) if status.phase == Some(Phase::Rejected) => {
            "the version is on record as rejected; stable has all the traffic"
        }
        (Some(_), None) => "no rollout is in progress; the stable version has all the traffic",
        (Some(_), Some(_)) => return Ok(Check::Go),
    };
    Err(command::refused(rollout, Verb::Abort, why))
}
