//! Events on the Revert, for whoever looks at it with `kubectl describe`. Best effort: a lost one
//! loses nothing, the status says the same.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::api::conditions::ConditionStatus;
use crate::api::revert::{Revert, RevertPhase, RevertStatus};
use crate::api::rollout::Rollout;

use super::outcome::Outcome;
use super::redact::cut;
use super::writer::{CALL_TIMEOUT, FIELD_MANAGER};

/// The longest note that the API takes is 1 KiB.
const NOTE_BYTES_MAX: usize = 1000;

/// Publishes Events.
pub(super) struct Notices {
    recorder: Recorder,
}

impl Notices {
    /// Events in the name of this process.
    pub fn new(client: Client, instance: Option<String>) -> Notices {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance,
        };
        Notices {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Publishes what a change of status means, if it means something to a person.
    pub async fn send(&self, revert: &Revert, old: &RevertStatus, outcome: &Outcome) {
        let Some(event) = event(revert, old, outcome) else {
            return;
        };
        let reference = revert.object_ref(&());
        let publish = self.recorder.publish(&event, &reference);
        match tokio::time::timeout(CALL_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an Event was not taken"),
            Err(_) => tracing::debug!("an Event was not taken in time"),
        }
    }
}

/// One Event per phase that a Revert comes into, one when it begins to be delayed, and one for what
/// was said to the GitOps tools.
fn event(revert: &Revert, old: &RevertStatus, outcome: &Outcome) -> Option<Event> {
    let status = revert.status.as_ref()?;
    let phase = status.phase?;
    if let Outcome::HandedOver { value, .. } = outcome {
        let (type_, reason) = match value {
            ConditionStatus::True => (EventType::Normal, "RevertHandedOver"),
            ConditionStatus::False | ConditionStatus::Unknown => {
                (EventType::Warning, "RevertNotHandedOver")
            }
        };
        return Some(noted(revert, status, outcome, type_, reason));
    }
    let failed = matches!(outcome, Outcome::Failed { .. } | Outcome::Limited { .. });
    let delayed = failed && old.attempts.unwrap_or(0) == 0;
    if old.phase == Some(phase) && !delayed {
        return None;
    }
    let (type_, reason) = match phase {
        _ if delayed => (EventType::Warning, "RevertDelayed"),
        RevertPhase::Planned => (EventType::Normal, "RevertPlanned"),
        RevertPhase::Pushed => (EventType::Normal, "RevertPushed"),
        RevertPhase::PullRequestOpen => (EventType::Normal, "RevertProposed"),
        RevertPhase::Landed => (EventType::Normal, "RevertLanded"),
        RevertPhase::Verified => (EventType::Normal, "RevertVerified"),
        RevertPhase::Superseded => (EventType::Normal, "RevertSuperseded"),
        RevertPhase::Declined => (EventType::Normal, "RevertDeclined"),
        RevertPhase::Unresolvable => (EventType::Warning, "RevertUnresolvable"),
        RevertPhase::NeedsHuman => (EventType::Warning, "RevertNeedsHuman"),
        RevertPhase::Mismatch => (EventType::Warning, "RevertMismatch"),
        RevertPhase::Pending | RevertPhase::Recorded => return None,
    };
    Some(noted(revert, status, outcome, type_, reason))
}

fn noted(
    revert: &Revert,
    status: &RevertStatus,
    outcome: &Outcome,
    type_: EventType,
    reason: &str,
) -> Event {
    let mut note = format!(
        "{}: {}",
        outcome.name(),
        status.message.as_deref().unwrap_or_default()
    );
    cut(&mut note, NOTE_BYTES_MAX);
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Revert".to_owned(),
        secondary: Some(ObjectReference {
            api_version: Some(Rollout::api_version(&()).into_owned()),
            kind: Some(Rollout::kind(&()).into_owned()),
            name: Some(revert.spec.rollout.name.clone()),
            namespace: revert.metadata.namespace.clone(),
            uid: Some(revert.spec.rollout.uid.clone()),
            ..ObjectReference::default()
        }),
    }
}
