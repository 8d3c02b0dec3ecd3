//! The ReplicaSet controller: as many pods as asked for, and a status that counts them.
//!
//! Follows `pkg/controller/replicaset`; adoption and expectations are left out, since nothing here
//! lags behind its own writes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{keys, pods};
use crate::sim::apiserver::{
    object::{self, at_path},
    store::ObjectKey,
    verbs::{State, delete},
};

const SETS: &str = "replicasets.apps";
const MANAGER: &str = "kube-controller-manager";
/// Pods created in one tick for one ReplicaSet at most; the real controller starts small too.
const BURST_MAX: usize = 500;

/// Creates and deletes pods until each ReplicaSet has as many as its spec says.
pub(super) fn scale(state: &mut State, now: Timestamp) {
    for key in keys(state, SETS) {
        let Some(set) = state.store.get(&key).cloned() else {
            continue;
        };
        if object::is_terminating(&set) {
            continue;
        }
        let wanted = at_path(&set, "spec.replicas")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut active = active_pods(state, &set);
        for _ in active.len()..wanted.min(active.len().saturating_add(BURST_MAX)) {
            create_pod(state, &key, &set, now);
        }
        if active.len() > wanted {
            active.sort_by_key(|(_, pod)| deletion_rank(pod));
            for (pod, _) in active.iter().take(active.len() - wanted) {
                delete::delete_internal(state, pod, None, now);
            }
        }
    }
}

/// Pods of a ReplicaSet that count: its own, not terminating, not finished.
fn active_pods(state: &State, set: &Value) -> Vec<(ObjectKey, Arc<Value>)> {
    let pods = own_pods(state, set).into_iter();
    pods.filter(|(_, pod)| {
        let phase = at_path(pod, "status.phase")
            .and_then(Value::as_str)
            .unwrap_or_default();
        !object::is_terminating(pod) && !matches!(phase, "Succeeded" | "Failed")
    })
    .collect()
}

fn own_pods(state: &State, set: &Value) -> Vec<(ObjectKey, Arc<Value>)> {
    let dependents = state.store.dependents(object::meta(set, "uid")).into_iter();
    dependents
        .filter(|key| key.resource == "pods")
        .filter_map(|key| state.store.get(&key).cloned().map(|pod| (key, pod)))
        .collect()
}

/// Who goes first: not ready before ready, cheaper before dearer
/// (`controller.kubernetes.io/pod-deletion-cost`), younger before older.
fn deletion_rank(pod: &Value) -> (bool, i64, std::cmp::Reverse<(String, u64)>) {
    let cost = object::meta_value(pod, "annotations").and_then(|a| {
        a.get("controller.kubernetes.io/pod-deletion-cost")?
            .as_str()?
            .parse()
            .ok()
    });
    let version = object::meta(pod, "resourceVersion").parse().unwrap_or(0);
    let since = pods::condition(pod, "Ready")
        .and_then(|c| c.get("lastTransitionTime")?.as_str())
        .unwrap_or_else(|| object::meta(pod, "creationTimestamp"));
    (
        pods::is_ready(pod),
        cost.unwrap_or(0),
        std::cmp::Reverse((since.to_owned(), version)),
    )
}

fn create_pod(state: &mut State, key: &ObjectKey, set: &Value, now: Timestamp) {
    let Some(resource) = state.registry.get("pods").cloned() else {
        return;
    };
    let template = at_path(set, "spec.template")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut metadata = json!({
        "generateName": format!("{}-", key.name),
        "ownerReferences": [{
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": key.name,
            "uid": object::meta(set, "uid"),
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = object::meta_value(&template, field) {
            object::set_path(&mut metadata, field, value.clone());
        }
    }
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": object::field(&template, "spec"),
    });
    if let Err(error) = state.create(&resource, &key.namespace, pod, MANAGER, now) {
        // The real controller reports this as a condition and tries again; so does this one.
        let message = error.message;
        state.rewrite(key, |set| replica_failure(set, Some(&message), now));
    }
}

fn replica_failure(set: &mut Value, message: Option<&str>, now: Timestamp) {
    let conditions = message.map(|message| {
        json!([{
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": message,
            "lastTransitionTime": object::time(now),
        }])
    });
    match conditions {
        Some(conditions) if at_path(set, "status.conditions").is_none() => {
            object::set_path(set, ".status.conditions", conditions);
        }
        Some(_) => {}
        None => {
            if let Some(status) = set.get_mut("status") {
                object::as_map_mut(status).remove("conditions");
            }
        }
    }
}

/// Writes the counts into each ReplicaSet's status.
pub(super) fn report(state: &mut State, now: Timestamp) {
    for key in keys(state, SETS) {
        let Some(set) = state.store.get(&key).cloned() else {
            continue;
        };
        let counts = counts(state, &set, now);
        let wanted = at_path(&set, "spec.replicas")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        state.rewrite(&key, |set| {
            let generation = object::meta_value(set, "generation").cloned();
            let status = set
                .as_object_mut()
                .map(|s| s.entry("status").or_insert(json!({})));
            let Some(status) = status else { return };
            for (name, count) in counts {
                // Zero is left out of what is no pointer in the Go type.
                if count == 0 && !matches!(name, "replicas" | "terminatingReplicas") {
                    object::as_map_mut(status).remove(name);
                } else {
                    object::set_path(status, name, json!(count));
                }
            }
            object::set_path(
                status,
                "observedGeneration",
                generation.unwrap_or(Value::Null),
            );
            if at_path(status, "replicas").and_then(Value::as_i64) >= Some(wanted) {
                replica_failure(set, None, now);
            }
        });
    }
}

fn counts(state: &State, set: &Value, now: Timestamp) -> [(&'static str, usize); 5] {
    let active = active_pods(state, set);
    let wanted_labels = at_path(set, "spec.template.metadata.labels").and_then(Value::as_object);
    let labelled = active.iter().filter(|(_, pod)| {
        let labels = object::meta_value(pod, "labels");
        wanted_labels.is_none_or(|wanted| {
            wanted
                .iter()
                .all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
        })
    });
    let min_ready_s = at_path(set, "spec.minReadySeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let ready: Vec<_> = active
        .iter()
        .filter(|(_, pod)| pods::is_ready(pod))
        .collect();
    let available = ready
        .iter()
        .filter(|(_, pod)| available(pod, min_ready_s, now));
    let terminating = own_pods(state, set)
        .iter()
        .filter(|(_, p)| object::is_terminating(p))
        .count();
    [
        ("replicas", active.len()),
        ("fullyLabeledReplicas", labelled.count()),
        ("readyReplicas", ready.len()),
        ("availableReplicas", available.count()),
        ("terminatingReplicas", terminating),
    ]
}

/// Ready for at least `min_ready_s`.
fn available(pod: &Value, min_ready_s: i64, now: Timestamp) -> bool {
    if min_ready_s == 0 {
        return true;
    }
    let since = pods::condition(pod, "Ready").and_then(|c| {
        c.get("lastTransitionTime")?
            .as_str()?
            .parse::<Timestamp>()
            .ok()
    });
    since.is_some_and(|since| now.duration_since(since) >= SignedDuration::from_secs(min_ready_s))
}
