//! Plain Services: which version a Service selects, and the one write that switches it.
//!
//! Only one key of the selector is Tidegate's, the hash of the version. The time of the switch
//! stands beside it in the same write, so that the settle delay survives a crash in between.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{annotation, changed_at, resource_version, text, timestamp};
use crate::api::rollout::HASH_LABEL;
use crate::core::observed::ServiceObserved;

/// Annotation with the name of the Rollout whose version the Service selects.
pub const MANAGED_BY: &str = "tidegate.io/managed-by";
/// Annotation with the time at which Tidegate decided to change the selector.
pub const SWITCHED_AT: &str = "tidegate.io/switched-at";
/// Where a Service says which pods it selects.
const SELECTOR: [&str; 2] = ["spec", "selector"];

/// What a Service says.
#[must_use]
pub fn read(service: &Value) -> ServiceObserved {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    ServiceObserved {
        name: text(service, "/metadata/name").to_owned(),
        resource_version: resource_version(service).to_owned(),
        uid: text(service, "/metadata/uid").to_owned(),
        hash: selector
            .and_then(|s| s.get(HASH_LABEL)?.as_str())
            .map(str::to_owned),
        // The annotation is of the time at which the switch was decided; the API server had it later.
        switched_at: timestamp(annotation(service, SWITCHED_AT))
            .max(changed_at(service, &SELECTOR)),
        managed_by: annotation(service, MANAGED_BY).map(str::to_owned),
        problem: problem(
            service,
            selector.is_none_or(|s| s.keys().all(|k| k == HASH_LABEL)),
        ),
    }
}

fn problem(service: &Value, selects_all: bool) -> Option<String> {
    if text(service, "/spec/type") == "ExternalName" {
        return Some("type ExternalName: it selects no pods".to_owned());
    }
    if text(service, "/spec/clusterIP") == "None" {
        return Some("headless (clusterIP None): a router cannot balance over it".to_owned());
    }
    selects_all.then(|| "no selector of its own: it would select every pod of a version".to_owned())
}

/// Why a Service selects none of a Rollout's pods, whatever the version: its own selector asks for a
/// label that `pods_have` does not know. `None`: it meets them.
#[must_use]
pub fn meets_none(service: &Value, pods_have: impl Fn(&str, &str) -> bool) -> Option<String> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let own = selector.iter().filter(|(key, _)| *key != HASH_LABEL);
    own.map(|(key, value)| (key, value.as_str().unwrap_or_default()))
        .find(|(key, value)| !pods_have(key, value))
        .map(|(key, value)| {
            format!(
                "its selector has {key}={value}, and spec.template.metadata.labels has not: it \
                 would select none of the pods"
            )
        })
}

/// The merge patch that makes a Service select the version `to`, or all of the workload's pods
/// (`None`), if it still has `resource_version`.
#[must_use]
pub fn switch_patch(
    resource_version: &str,
    rollout: &str,
    to: Option<&str>,
    at: Timestamp,
) -> Value {
    let at = at.to_string();
    json!({
        "metadata": {
            "resourceVersion": resource_version,
            "annotations": {
                MANAGED_BY: to.map(|_| rollout),
                SWITCHED_AT: to.map(|_| at),
            },
        },
        "spec": {"selector": {HASH_LABEL: to}},
    })
}

#[cfg(test)]
mod tests;
