//! `restart`: every pod is replaced by a new one of the same version.

use super::command::{self, Check, Verb};
use super::error::CliError;
use crate::api::rollout::Rollout;

/// Whether there is something to restart.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn check(rollout: &Rollout) -> Result<Check, CliError> {
    let status = command::status_for(rollout, Verb::Restart)?;
    if rollout.spec.replicas == 0 && status.replicas == 0 {
        return Err(command::refused(
            rollout,
            Verb::Restart,
            "there are no pods to replace: spec.replicas is 0",
        ));
    }
    Ok(Check::Go)
}
