//! One object's facts, read off its JSON as the planner knows it. Pure; what an object lacks has the
//! value that the API gives it, what is odd is reported and judged elsewhere.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use super::object::{Kind, LAST_APPLIED, Object};
use super::observe::{FINALIZER, RELABELLED_AT, REVISION};
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::revert::RELEASED_ANNOTATION;
use crate::api::rollout::{HASH_LABEL, Rollout};
use crate::core::duration;
use crate::core::observed::{
    PodObserved, RUN_MAX_DURATION, ReplicaSetObserved, RevertObserved, RolloutObserved,
    RunObserved, RunPhase, WorkloadObserved,
};
use crate::core::roles::{GIVEN, PODS_GIVEN};
use crate::core::spec;
use crate::traffic::{self, FIELD_MANAGER};

/// The Deployment that a Rollout has its template from.
pub(super) fn workload_name(object: &Object) -> Option<String> {
    let value = object.value();
    let name = value.pointer("/spec/workloadRef/name")?.as_str()?;
    Some(name.to_owned())
}

/// A Rollout, with the template of the Deployment that it names.
///
/// # Errors
/// When it does not fit its schema.
pub(super) fn rollout(
    object: &Object,
    workload_template: Option<&Value>,
) -> Result<RolloutObserved, Error> {
    let value = object.value();
    let typed = Rollout::deserialize(value.as_ref()).map_err(|error| Error::Unreadable {
        what: format!("Rollout {}", object.name()),
        reason: error.to_string(),
    })?;
    let metadata = typed.metadata;
    let deleted_at = metadata.deletion_timestamp.map(|t| t.0);
    let spec = match (workload_template, deleted_at) {
        // Both may go together; what is to be given back is known without the template.
        (None, Some(_)) => {
            spec::parse_with(&typed.spec, Some(&spec::stand_in(&typed.spec.selector)))
        }
        (template, _) => spec::parse_with(&typed.spec, template),
    };
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    Ok(RolloutObserved {
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        generation: metadata.generation.unwrap_or_default(),
        deleted_at,
        has_finalizer: metadata
            .finalizers
            .is_some_and(|f| f.iter().any(|f| f == FINALIZER)),
        annotations,
        spec,
        status: typed.status.unwrap_or_default(),
    })
}

/// A ReplicaSet.
pub(super) fn replica_set(object: &Object) -> ReplicaSetObserved {
    let mut value = object.value().into_owned();
    let generation = number(&value, "/metadata/generation");
    let seen = number(&value, "/status/observedGeneration");
    // The one write since then was a change of the template's metadata.
    let same_size = seen + 1 == generation
        && object.annotation(RELABELLED_AT) == Some(seen.to_string().as_str());
    let failure = value
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|c| text(c, "/type") == "ReplicaFailure" && text(c, "/status") == "True")
        .map(|c| text(c, "/message").to_owned());
    ReplicaSetObserved {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        hash: object.label(HASH_LABEL).unwrap_or_default().to_owned(),
        revision: object
            .annotation(REVISION)
            .and_then(|r| r.parse().ok())
            .unwrap_or_default(),
        desired: replicas(&value),
        scaled_by: scaled_by(&value),
        current: count(&value, "/status/replicas"),
        ready: count(&value, "/status/readyReplicas"),
        available: count(&value, "/status/availableReplicas"),
        up_to_date: generation > 0 && (seen >= generation || same_size),
        generation,
        template_seen: generation > 0 && seen >= generation,
        pods_given: object.annotation(PODS_GIVEN).map(str::to_owned),
        created: created(&value),
        failure,
        template: value
            .pointer_mut("/spec/template")
            .map(Value::take)
            .unwrap_or_default()
            .into(),
    }
}

/// A Deployment that a Rollout has its template from.
pub(super) fn workload(object: &Object) -> WorkloadObserved {
    let value = object.value();
    let generation = number(&value, "/metadata/generation");
    WorkloadObserved {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        generation,
        desired: replicas(&value),
        current: count(&value, "/status/replicas"),
        available: count(&value, "/status/availableReplicas"),
        updated: count(&value, "/status/updatedReplicas"),
        up_to_date: number(&value, "/status/observedGeneration") >= generation,
    }
}

/// An AnalysisRun.
pub(super) fn run(object: &Object) -> RunObserved {
    let value = object.value();
    let status = |key: &str| value.pointer("/status").and_then(|s| s.get(key));
    RunObserved {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        hash: text(&value, "/spec/canaryHash").to_owned(),
        phase: parsed(status("phase")).unwrap_or(RunPhase::Pending),
        verdict: parsed(status("verdict")),
        reason: text(&value, "/status/reason").to_owned(),
        message: text(&value, "/status/message").to_owned(),
        terminate: value
            .pointer("/spec/terminate")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        max_duration: duration::parse(text(&value, "/spec/promote/maxDuration"))
            .unwrap_or(RUN_MAX_DURATION),
        created: created(&value),
    }
}

/// A Revert.
pub(super) fn revert(object: &Object) -> RevertObserved {
    let value = object.value();
    let words = |at: &str| Some(text(&value, at).to_owned()).filter(|t| !t.is_empty());
    let phase = words("/status/phase");
    let planned_only = text(&value, "/spec/mode") == "DryRun";
    RevertObserved {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        hash: text(&value, "/spec/bad/hash").to_owned(),
        attempt: value
            .pointer("/spec/attempt")
            .and_then(Value::as_i64)
            .and_then(|attempt| i32::try_from(attempt).ok())
            .unwrap_or(1),
        released: object.annotation(RELEASED_ANNOTATION).is_some(),
        finished: match phase.as_deref() {
            None | Some("Pending" | "Pushed" | "Landed") => false,
            Some("Planned") => planned_only,
            Some(_) => true,
        },
        phase,
        message: words("/status/message"),
        commit: words("/status/commit"),
        created: created(&value),
    }
}

/// A template that does not fit its schema counts as missing: it must not hold up an abort.
pub(super) fn template(kind: Kind, object: &Object) -> Option<AnalysisTemplateSpec> {
    let value = object.value();
    match AnalysisTemplateSpec::deserialize(value.get("spec")?) {
        Ok(spec) => Some(spec),
        Err(error) => {
            tracing::warn!(%kind, name = object.name(), %error, "the template cannot be read");
            None
        }
    }
}

/// A pod.
pub(super) fn pod(object: &Object) -> PodObserved {
    let value = object.value();
    PodObserved {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        created: created(&value),
        terminating: value.pointer("/metadata/deletionTimestamp").is_some(),
        owner: object.controller_uid().unwrap_or_default().to_owned(),
        given: object.annotation(GIVEN).map(str::to_owned),
        ready: is_ready(&value),
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut all = conditions.into_iter().flatten();
    all.any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn count(value: &Value, pointer: &str) -> i32 {
    i32::try_from(number(value, pointer))
        .unwrap_or(i32::MAX)
        .max(0)
}

/// `spec.replicas` of a ReplicaSet or a Deployment: one without a number has one pod, as the API has it.
fn replicas(value: &Value) -> i32 {
    let asked = value.pointer("/spec/replicas");
    asked.map_or(1, |_| count(value, "/spec/replicas"))
}

/// Who gave a ReplicaSet its present size, if that was not Tidegate: whoever changes a field has it for
/// their own.
fn scaled_by(value: &Value) -> Option<String> {
    let path = ["spec", "replicas"];
    let ours = traffic::writers(value, &path).any(|(manager, _)| manager == FIELD_MANAGER);
    traffic::last_writer(value, &path).filter(|_| !ours)
}

/// When it was created.
pub(super) fn created(value: &Value) -> Timestamp {
    text(value, "/metadata/creationTimestamp")
        .parse()
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn parsed<T: for<'de> Deserialize<'de>>(value: Option<&Value>) -> Option<T> {
    T::deserialize(value?).ok()
}
