//! A gateway controller's answers to HTTPRoutes and GRPCRoutes: `Accepted` and `ResolvedRefs` for
//! each parent, with the generation they were given for.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Memory, WorkloadsConfig, keys, signed};
use crate::sim::apiserver::{
    object::{self, at_path},
    store::ObjectKey,
    verbs::State,
};

/// Reports on routes whose present generation is older than the configured delay.
pub(super) fn accept(
    state: &mut State,
    memory: &mut Memory,
    config: &WorkloadsConfig,
    now: Timestamp,
) {
    for resource in [
        "httproutes.gateway.networking.k8s.io",
        "grpcroutes.gateway.networking.k8s.io",
    ] {
        for key in keys(state, resource) {
            let Some(route) = state.store.get(&key).cloned() else {
                continue;
            };
            let generation = object::meta_value(&route, "generation")
                .cloned()
                .unwrap_or_default();
            let seen = format!("generation {generation}");
            let age = memory.age(object::meta(&route, "uid"), &seen, now);
            if signed(age) < signed(config.route_delay) || object::is_terminating(&route) {
                continue;
            }
            let missing = missing_backend(state, &key, &route);
            let parents = parents(&route, config, missing.as_deref(), now);
            state.rewrite(&key, |route| {
                object::set_path(route, ".status.parents", parents);
            });
        }
    }
}

/// The first backend Service that does not exist.
fn missing_backend(state: &State, key: &ObjectKey, route: &Value) -> Option<String> {
    let rules = at_path(route, "spec.rules").and_then(Value::as_array)?;
    let backends = rules
        .iter()
        .filter_map(|r| r.get("backendRefs")?.as_array())
        .flatten();
    backends
        .filter(|b| b.get("kind").and_then(Value::as_str).unwrap_or("Service") == "Service")
        .filter_map(|b| {
            let namespace = b.get("namespace").and_then(Value::as_str);
            let namespace = namespace.unwrap_or(&key.namespace);
            Some(ObjectKey::new(
                "services",
                namespace,
                b.get("name")?.as_str()?,
            ))
        })
        .find(|service| state.store.get(service).is_none())
        .map(|service| service.name)
}

/// This gateway's entries brought up to date, those of others as they are.
fn parents(
    route: &Value,
    config: &WorkloadsConfig,
    missing: Option<&str>,
    now: Timestamp,
) -> Value {
    let before = at_path(route, "status.parents").and_then(Value::as_array);
    let own = |entry: &&Value| {
        entry.get("controllerName").and_then(Value::as_str) == Some(&config.gateway_controller)
    };
    let foreign: Vec<Value> = before
        .into_iter()
        .flatten()
        .filter(|e| !own(e))
        .cloned()
        .collect();
    let references = at_path(route, "spec.parentRefs").and_then(Value::as_array);
    let entries = references.into_iter().flatten().map(|reference| {
        let old = before.into_iter().flatten().filter(own);
        let old = old
            .into_iter()
            .find(|e| e.get("parentRef") == Some(reference));
        let resolved = match missing {
            None => ("True", "ResolvedRefs", String::new()),
            Some(name) => (
                "False",
                "BackendNotFound",
                format!("Service \"{name}\" not found"),
            ),
        };
        let accepted = ("True", "Accepted", String::new());
        json!({
            "parentRef": reference,
            "controllerName": config.gateway_controller,
            "conditions": [
                condition(route, old, "Accepted", &accepted, now),
                condition(route, old, "ResolvedRefs", &resolved, now),
            ],
        })
    });
    entries.chain(foreign).collect()
}

fn condition(
    route: &Value,
    old: Option<&Value>,
    kind: &str,
    (status, reason, message): &(&str, &str, String),
    now: Timestamp,
) -> Value {
    let conditions = old.and_then(|o| o.get("conditions")?.as_array());
    let same = conditions.into_iter().flatten().find(|c| {
        c.get("type").and_then(Value::as_str) == Some(kind)
            && c.get("status").and_then(Value::as_str) == Some(status)
    });
    let since = same.and_then(|c| c.get("lastTransitionTime")).cloned();
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": object::meta_value(route, "generation"),
        "lastTransitionTime": since.unwrap_or_else(|| json!(object::time(now))),
    })
}
