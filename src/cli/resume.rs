//! `resume`: end what `pause` began.

use kube::ResourceExt;

use super::command::{self, Check, Verb};
use super::error::CliError;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::PauseReason;

/// Whether it is held.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn check(rollout: &Rollout) -> Result<Check, CliError> {
    let status = command::status_for(rollout, Verb::Resume)?;
    if status.held_since.is_some() {
        return Ok(Check::Go);
    }
    let name = rollout.name_any();
    let reason = status.pause.as_ref().map(|p| p.reason);
    let why = match reason {
        _ if rollout.spec.paused => {
            "spec.paused is true: set it to false where the manifest comes from, or the next apply \
             would pause it again"
                .to_owned()
        }
        Some(PauseReason::Step) => {
            format!("it waits in a pause step, which `kubectl tidegate promote {name}` ends")
        }
        Some(PauseReason::Inconclusive) => {
            format!(
                "its analysis decides neither way; `kubectl tidegate promote {name}` goes on regardless, abort gives up"
            )
        }
        Some(PauseReason::NoData | PauseReason::SourceError) => {
            format!("it waits for data: {}", status.message)
        }
        Some(PauseReason::Manual) | None => "it is not paused".to_owned(),
    };
    Err(command::refused(rollout, Verb::Resume, &why))
}
