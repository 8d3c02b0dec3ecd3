//! What is asked of an object of a GitOps tool, and what there is to say about it: from the object as
//! it was read and the revert that has landed to a merge patch and a sentence. Pure.
//!
//! Nothing is forced. A sync that people start by hand stays theirs, and so does what they suspended.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::conditions::ConditionStatus;
use crate::api::revert::Revert;
use crate::git::outcome::{LANDED, Outcome};

use super::place::Place;

/// Asks Argo CD to look at the branch now; it takes the annotation off when it has.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Asks Flux to work on an object now; each value once.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// What the tools have to know about a revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Landing {
    namespace: String,
    rollout: String,
    commit: Option<String>,
    /// What began earlier cannot have the revert in it.
    earlier_than: Timestamp,
    /// The value of the request to Flux: the same at each look.
    requested_at: Timestamp,
}

impl Landing {
    /// Nothing as long as the branch is not right.
    pub fn of(revert: &Revert) -> Option<Landing> {
        let status = revert.status.as_ref()?;
        let landed = status.conditions.iter().find(|c| c.type_ == LANDED)?;
        let landed_at =
            (landed.status == ConditionStatus::True).then_some(landed.last_transition_time)?;
        // What is pushed for a pull request is on the branch only once that is merged.
        let direct = status.pushed_at.filter(|_| status.pull_request.is_none());
        Some(Landing {
            namespace: revert.metadata.namespace.clone().unwrap_or_default(),
            rollout: revert.spec.rollout.name.clone(),
            commit: status.commit.clone(),
            earlier_than: status.pushed_at.unwrap_or(revert.spec.aborted_at),
            requested_at: direct.unwrap_or(landed_at),
        })
    }
}

/// What is to be said about one object, and the word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub reason: &'static str,
    pub text: String,
}

/// What is asked of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    /// A merge patch; nothing where there is nothing to ask.
    pub patch: Option<Value>,
    pub said: Said,
}

/// What is asked of an Application.
pub(super) fn application(place: &Place, live: &Value, landing: &Landing) -> Ask {
    // The annotation on the Rollout is its author's; what an Application manages, Argo CD says.
    if !lists(live, landing) {
        let text = format!(
            "{place} does not list this Rollout among what it manages (status.resources) and was \
             not asked"
        );
        let said = Said {
            reason: "NotItsOwn",
            text,
        };
        return Ask { patch: None, said };
    }
    let mut patch = json!({});
    let mut text = format!("{place} was asked to look at the branch");
    let refreshes = live
        .pointer("/metadata/annotations")
        .and_then(|a| a.get(REFRESH))
        .is_some();
    let compared = revisions(live.pointer("/status/sync"));
    let seen = landing
        .commit
        .as_deref()
        .is_some_and(|c| compared.contains(&c));
    if !refreshes && !seen {
        merge(
            &mut patch,
            json!({"metadata": {"annotations": {REFRESH: "normal"}}}),
        );
    }
    if let Some(revision) = runs_without_the_revert(live, landing) {
        text = format!("{text}; its operation on {revision}, from before the revert, is ended");
        // It may have ended meanwhile, and another one begun.
        let version = live.pointer("/metadata/resourceVersion").cloned();
        merge(
            &mut patch,
            json!({
                "metadata": {"resourceVersion": version},
                "status": {"operationState": {"phase": "Terminating"}},
            }),
        );
    }
    let mut reason = "Asked";
    if !syncs_by_itself(live) {
        reason = "SyncByHand";
        text = format!(
            "{text}; Git is right, and auto-sync of {place} is off: start a sync when it suits"
        );
    }
    let asks = patch.as_object().is_some_and(|fields| !fields.is_empty());
    Ask {
        patch: asks.then_some(patch),
        said: Said { reason, text },
    }
}

/// Whether Argo CD counts the Rollout among what the Application manages.
fn lists(live: &Value, landing: &Landing) -> bool {
    let resources = live.pointer("/status/resources").and_then(Value::as_array);
    let is_ours = |resource: &Value| {
        let has = |field: &str, value: &str| resource.get(field).is_some_and(|v| v == value);
        has("group", "tidegate.io")
            && has("kind", "Rollout")
            && has("namespace", &landing.namespace)
            && has("name", &landing.rollout)
    };
    resources.is_some_and(|resources| resources.iter().any(is_ours))
}

/// `revision` and `revisions` of an object.
fn revisions(of: Option<&Value>) -> Vec<&str> {
    let one = of.and_then(|of| of.get("revision"));
    let many = of
        .and_then(|of| of.get("revisions"))
        .and_then(Value::as_array);
    let all = one.into_iter().chain(many.into_iter().flatten());
    all.filter_map(Value::as_str)
        .filter(|revision| !revision.is_empty())
        .collect()
}

/// The revision of a running operation that began before the revert was pushed. One whose revision
/// or beginning is not known is left alone.
fn runs_without_the_revert<'a>(live: &'a Value, landing: &Landing) -> Option<&'a str> {
    let commit = landing.commit.as_deref()?;
    let state = live.pointer("/status/operationState")?;
    let runs = state.get("phase").is_some_and(|phase| phase == "Running");
    let began = state.get("startedAt").and_then(Value::as_str)?;
    let began: Timestamp = began.parse().ok()?;
    let mut on = revisions(state.get("syncResult"));
    on.extend(revisions(state.pointer("/operation/sync")));
    let old = runs && began < landing.earlier_than && !on.contains(&commit);
    on.first().copied().filter(|_| old)
}

fn syncs_by_itself(live: &Value) -> bool {
    let automated = live.pointer("/spec/syncPolicy/automated");
    let automated = automated.filter(|automated| !automated.is_null());
    automated.is_some_and(|automated| automated.get("enabled") != Some(&Value::Bool(false)))
}

/// Puts the fields of one object into another, level by level.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// What is asked of an object of Flux's.
pub(super) fn flux(place: &Place, live: &Value, landing: &Landing) -> Ask {
    if live.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        let text = format!(
            "{place} is suspended: Git is right, and the cluster follows once somebody resumes it"
        );
        let said = Said {
            reason: "Suspended",
            text,
        };
        return Ask { patch: None, said };
    }
    let annotation = live
        .pointer("/metadata/annotations")
        .and_then(|a| a.get(REQUESTED_AT));
    let requested = annotation
        .and_then(Value::as_str)
        .and_then(|at| at.parse::<Timestamp>().ok());
    let value = landing.requested_at.to_string();
    // Also where somebody has asked since: the same branch was read for that.
    let asked = requested.is_some_and(|at| at >= landing.requested_at);
    Ask {
        patch: (!asked).then(|| json!({"metadata": {"annotations": {REQUESTED_AT: value}}})),
        said: Said {
            reason: "Asked",
            text: format!("{place} was asked to reconcile"),
        },
    }
}

/// What a call that failed means. `code` is the API server's, if it answered.
pub(super) fn refused(place: &Place, verb: &str, code: Option<u16>, words: &str) -> Said {
    let (reason, text) = match code {
        Some(401 | 403) => (
            "RightMissing",
            format!(
                "{place} was not asked: the Git writer lacks the right to {verb} {} in namespace \
                 {}; it follows by its own interval",
                place.kind.right(),
                place.namespace
            ),
        ),
        Some(404) => (
            "ObjectNotFound",
            format!("{place}, which the Rollout's metadata names, is not in this cluster"),
        ),
        _ => (
            "ToolUnreachable",
            format!("{place} could not be asked (to {verb} it): {words}"),
        ),
    };
    Said { reason, text }
}

/// What was said, with what a person has to know about at the front, as a condition.
pub(super) fn conclude(said: &[Said]) -> Option<Outcome> {
    // By how much it needs somebody. What may pass is tried again, so it comes first.
    let order = [
        "ToolUnreachable",
        "RightMissing",
        "NotItsOwn",
        "ObjectNotFound",
        "Suspended",
        "SyncByHand",
        "Asked",
    ];
    let mut said: Vec<&Said> = said.iter().collect();
    said.sort_by_key(|said| order.iter().position(|reason| *reason == said.reason));
    let reason = said.first()?.reason;
    let value = match reason {
        "Asked" => ConditionStatus::True,
        "ToolUnreachable" => ConditionStatus::Unknown,
        _ => ConditionStatus::False,
    };
    let texts: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
    Some(Outcome::HandedOver {
        value,
        reason,
        message: texts.join("; "),
    })
}

#[cfg(test)]
mod tests;
