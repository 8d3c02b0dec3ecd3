//! What a scheduler and a kubelet do to pods, reduced to what the API shows.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Memory, PodBehaviour, WorkloadsConfig, keys};
use crate::sim::apiserver::{
    object::{self, at_path},
    verbs::{State, delete},
};

const NODE: &str = "tidegate-node";
const NODE_ADDRESS: &str = "192.0.2.1";
/// A crashing container restarts this often; a real back-off grows to five minutes.
const RESTART_EVERY: Duration = Duration::from_secs(10);

/// Whether the pod's Ready condition is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.get("status") == Some(&json!("True")))
}

/// A condition of a pod.
pub(super) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = at_path(pod, "status.conditions").and_then(Value::as_array)?;
    conditions
        .iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))
}

/// Takes away the pods whose grace period is over.
pub(super) fn end_terminating(
    state: &mut State,
    memory: &mut Memory,
    config: &WorkloadsConfig,
    now: Timestamp,
) {
    for key in keys(state, "pods") {
        let Some(pod) = state.store.get(&key).filter(|p| object::is_terminating(p)) else {
            continue;
        };
        let own_s = object::meta_value(pod, "deletionGracePeriodSeconds").and_then(Value::as_u64);
        let grace = config
            .termination
            .min(Duration::from_secs(own_s.unwrap_or(0)));
        let waited = memory.age(object::meta(pod, "uid"), "terminating", now);
        let held = !object::meta_strings(pod, "finalizers").is_empty();
        if waited >= grace && !(held && own_s == Some(0)) {
            delete::delete_internal(state, &key, Some(0), now);
        }
    }
}

/// Binds new pods to the node and reports the state of all of them.
pub(super) fn report(
    state: &mut State,
    memory: &mut Memory,
    config: &WorkloadsConfig,
    now: Timestamp,
) {
    for key in keys(state, "pods") {
        let Some(pod) = state.store.get(&key).cloned() else {
            continue;
        };
        let phase = at_path(&pod, "status.phase")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if object::is_terminating(&pod) || matches!(phase, "Succeeded" | "Failed") {
            continue;
        }
        let age = memory.age(object::meta(&pod, "uid"), "started", now);
        let behaviour = serde_json::from_value::<Pod>((*pod).clone())
            .map_or(PodBehaviour::NeverReady, |typed| (config.behaviour)(&typed));
        let address = match at_path(&pod, "status.podIP").and_then(Value::as_str) {
            Some(address) => address.to_owned(),
            None => memory.next_address(),
        };
        let status = status_of(&pod, behaviour, age, &address, now);
        state.rewrite(&key, |pod| {
            if at_path(pod, "spec.nodeName").is_none() {
                object::set_path(pod, ".spec.nodeName", json!(NODE));
            }
            object::set_path(pod, ".status", status);
        });
    }
}

fn status_of(
    pod: &Value,
    behaviour: PodBehaviour,
    age: Duration,
    address: &str,
    now: Timestamp,
) -> Value {
    let ready = matches!(behaviour, PodBehaviour::ReadyAfter(delay) if age >= delay);
    let mut status = at_path(pod, "status").cloned().unwrap_or_else(|| json!({}));
    let mut set = |path: &str, value: Value| object::set_path(&mut status, path, value);
    set(".phase", json!("Running"));
    set(".podIP", json!(address));
    set(".podIPs", json!([{"ip": address}]));
    set(".hostIP", json!(NODE_ADDRESS));
    set(".hostIPs", json!([{"ip": NODE_ADDRESS}]));
    if at_path(pod, "status.startTime").is_none() {
        set(".startTime", json!(object::time(now)));
    }
    let conditions = [
        ("PodScheduled", true),
        ("Initialized", true),
        ("ContainersReady", ready),
        ("Ready", ready),
    ];
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, holds)| next_condition(pod, kind, *holds, now))
        .collect();
    set(".conditions", Value::Array(merged(pod, conditions)));
    set(
        ".containerStatuses",
        containers(pod, behaviour, ready, age, now),
    );
    status
}

/// The condition with its old transition time unless it flips.
fn next_condition(pod: &Value, kind: &str, holds: bool, now: Timestamp) -> Value {
    let status = if holds { "True" } else { "False" };
    let old = condition(pod, kind).filter(|c| c.get("status") == Some(&json!(status)));
    let since = old
        .and_then(|c| c.get("lastTransitionTime"))
        .filter(|t| !t.is_null())
        .cloned();
    let mut condition = json!({
        "type": kind,
        "status": status,
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(|| json!(object::time(now))),
    });
    if !holds {
        object::set_path(&mut condition, ".reason", json!("ContainersNotReady"));
        let names: Vec<&str> = container_names(pod);
        let message = format!("containers with unready status: [{}]", names.join(" "));
        object::set_path(&mut condition, ".message", json!(message));
    }
    condition
}

/// Conditions that others set (readiness gates) stay.
fn merged(pod: &Value, own: Vec<Value>) -> Vec<Value> {
    let others = at_path(pod, "status.conditions").and_then(Value::as_array);
    let foreign = others
        .into_iter()
        .flatten()
        .filter(|other| !own.iter().any(|o| o.get("type") == other.get("type")));
    let foreign: Vec<Value> = foreign.cloned().collect();
    own.into_iter().chain(foreign).collect()
}

fn container_specs(pod: &Value) -> impl Iterator<Item = &Value> {
    at_path(pod, "spec.containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn container_names(pod: &Value) -> Vec<&str> {
    container_specs(pod)
        .filter_map(|c| c.get("name")?.as_str())
        .collect()
}

fn containers(
    pod: &Value,
    behaviour: PodBehaviour,
    ready: bool,
    age: Duration,
    now: Timestamp,
) -> Value {
    let started = at_path(pod, "status.startTime").cloned();
    let started = started.unwrap_or_else(|| json!(object::time(now)));
    let crashing = behaviour == PodBehaviour::CrashLoop;
    let restarts = if crashing {
        1 + age.as_secs() / RESTART_EVERY.as_secs()
    } else {
        0
    };
    let state = match crashing {
        true => json!({"waiting": {
            "reason": "CrashLoopBackOff",
            "message": "back-off restarting failed container",
        }}),
        false => json!({"running": {"startedAt": started}}),
    };
    let last = match crashing {
        true => json!({"terminated": {"exitCode": 1, "reason": "Error"}}),
        false => json!({}),
    };
    let statuses = container_specs(pod).map(|container| {
        json!({
            "name": container.get("name"),
            "image": container.get("image"),
            "imageID": container.get("image"),
            "containerID": format!("sim://{}", object::meta(pod, "uid")),
            "ready": ready,
            "started": !crashing,
            "restartCount": restarts,
            "state": state,
            "lastState": last,
        })
    });
    statuses.collect()
}
