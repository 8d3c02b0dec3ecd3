//! ingress-nginx: a canary Ingress of Tidegate's own beside an Ingress of the user's.
//!
//! The user's Ingress is never written. The canary Ingress has the hosts and paths of it that lead
//! to the stable Service, with the canary Service in its place, and the annotations by which
//! ingress-nginx divides the traffic (`canary`, `canary-weight`; kubernetes.github.io/ingress-nginx,
//! "Canary"). Other paths are left out: a path that leads to the same Service in both Ingresses
//! would be answered with 503. The API does not say when a weight is served, so the time of the
//! change stands beside it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ingress_class::{self, ANNOTATION as CLASS, Classes};
use super::{
    Backends, Owner, annotation, changed_at, last_writer, list, percent, resource_version, text,
    timestamp,
};
use crate::core::naming;
use crate::core::observed::{LiveRoute, RouteState};
use crate::core::spec::Problem;

/// Makes an Ingress a canary.
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
/// The canary's weight.
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// What the weight is out of; 100 where it is not given. Tidegate never gives it.
const WEIGHT_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";
/// Where an Ingress says what its canary's weight is.
const WEIGHT_FIELD: [&str; 3] = ["metadata", "annotations", WEIGHT];
/// When Tidegate decided to change the weight.
pub const CHANGED_AT: &str = "tidegate.io/changed-at";

/// Name of the canary Ingress beside `ingress`.
#[must_use]
pub fn name(rollout: &str, ingress: &str) -> String {
    naming::join(&[rollout, ingress, "canary"])
}

/// What the canary Ingress says beside the user's Ingress `stable`. `field` is the Rollout's field
/// that names the user's Ingress, `ingress` its name.
#[must_use]
pub fn read(
    (stable, canary): (Option<&Value>, Option<&Value>),
    classes: Classes<'_>,
    owner: Owner<'_>,
    backends: Backends<'_>,
    ingress: &str,
    field: &str,
) -> RouteState {
    let Some(stable) = stable else {
        return RouteState::Unusable(Problem::new(
            field,
            format!("{ingress:?}: there is no such Ingress"),
            format!("the name of an Ingress in namespace {}", owner.namespace),
        ));
    };
    if annotation(stable, CANARY) == Some("true") {
        return RouteState::Unusable(Problem::new(
            field,
            format!("Ingress {ingress} has {CANARY}: \"true\""),
            "the Ingress of the stable version: Tidegate makes the canary's beside it, and takes \
             none over",
        ));
    }
    let wanted = match spec(stable, backends, field) {
        Ok(spec) => spec,
        Err(problem) => return RouteState::Unusable(problem),
    };
    let misplaced = ingress_class::problem(stable, classes, ingress, field);
    let Some(canary) = canary else {
        return misplaced.map_or(RouteState::ToCreate, RouteState::Unusable);
    };
    if !owner.controls(canary) {
        return RouteState::Unusable(Problem::new(
            field,
            format!(
                "Ingress {} exists, {}",
                text(canary, "/metadata/name"),
                Owner::owner_of(canary)
            ),
            "a name that is free: Tidegate makes the canary Ingress itself and takes none over; \
             delete or rename that one",
        ));
    }
    let obstacle = match misplaced {
        // The canary Ingress is not brought to where it would be one like any other.
        Some(problem) if !ingress_class::is_one(stable, canary) => {
            return RouteState::Unusable(problem);
        }
        // It is there already: an abort can still take its weight away.
        misplaced => misplaced,
    };
    let number = |key| annotation(canary, key).and_then(|t| t.trim().parse::<i64>().ok());
    let total = number(WEIGHT_TOTAL).unwrap_or(100);
    let is_canary = annotation(canary, CANARY) == Some("true");
    let weight = if is_canary {
        percent(number(WEIGHT).unwrap_or(0), total)
    } else {
        0
    };
    let exact = is_canary
        && annotation(canary, WEIGHT) == Some(weight.to_string().as_str())
        && annotation(canary, WEIGHT_TOTAL).is_none()
        && annotation(canary, CLASS) == annotation(stable, CLASS)
        && canary.get("spec") == Some(&wanted);
    RouteState::Live(LiveRoute {
        resource_version: resource_version(canary).to_owned(),
        weight,
        exact,
        side_routes: Some(Vec::new()),
        obstacle,
        pending: None,
        // The annotation is of the time at which the change was decided; the API server had it later.
        changed_at: timestamp(annotation(canary, CHANGED_AT))
            .max(changed_at(canary, &WEIGHT_FIELD)),
        last_writer: last_writer(canary, &WEIGHT_FIELD).or_else(|| last_writer(canary, &["spec"])),
    })
}

/// The canary Ingress with `weight` percent.
///
/// # Errors
/// When the user's Ingress has no path to the stable Service.
pub fn body(
    stable: &Value,
    owner: Owner<'_>,
    backends: Backends<'_>,
    weight: i32,
    at: Timestamp,
    field: &str,
) -> Result<Value, Problem> {
    let spec = spec(stable, backends, field)?;
    let mut metadata = owner.metadata(&name(owner.name, text(stable, "/metadata/name")));
    let mut annotations = annotations(weight, at);
    if let Some(class) = annotation(stable, CLASS) {
        annotations.insert(CLASS.into(), class.into());
    }
    metadata.insert("annotations".into(), annotations.into());
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": spec,
    }))
}

/// The merge patch that gives the canary Ingress `weight` percent, and brings its spec up to the
/// user's Ingress.
///
/// # Errors
/// When the user's Ingress has no path to the stable Service.
pub fn weight_patch(
    stable: &Value,
    canary: &Value,
    backends: Backends<'_>,
    weight: i32,
    at: Timestamp,
    field: &str,
) -> Result<Value, Problem> {
    let mut spec = spec(stable, backends, field)?;
    if let (Value::Object(wanted), Some(Value::Object(found))) = (&mut spec, canary.get("spec")) {
        for key in found.keys() {
            wanted.entry(key.clone()).or_insert(Value::Null);
        }
    }
    let mut annotations = annotations(weight, at);
    annotations.insert(WEIGHT_TOTAL.into(), Value::Null);
    annotations.insert(CLASS.into(), annotation(stable, CLASS).into());
    Ok(json!({
        "metadata": {"resourceVersion": resource_version(canary), "annotations": annotations},
        "spec": spec,
    }))
}

fn annotations(weight: i32, at: Timestamp) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert(CANARY.into(), "true".into());
    annotations.insert(WEIGHT.into(), weight.clamp(0, 100).to_string().into());
    annotations.insert(CHANGED_AT.into(), at.to_string().into());
    annotations
}

/// The spec of the canary Ingress: class and TLS of the user's, and its paths to the stable Service
/// with the canary Service in its place.
fn spec(stable: &Value, backends: Backends<'_>, field: &str) -> Result<Value, Problem> {
    let mut rules = Vec::new();
    for rule in list(stable, "/spec/rules") {
        let paths: Vec<Value> = list(rule, "/http/paths")
            .iter()
            .filter(|path| text(path, "/backend/service/name") == backends.stable)
            .map(|path| {
                let mut path = path.clone();
                if let Some(name) = path.pointer_mut("/backend/service/name") {
                    *name = backends.canary.into();
                }
                path
            })
            .collect();
        if paths.is_empty() {
            continue;
        }
        let mut copy = Map::new();
        if let Some(host) = rule.get("host") {
            copy.insert("host".into(), host.clone());
        }
        copy.insert("http".into(), json!({ "paths": paths }));
        rules.push(Value::Object(copy));
    }
    if rules.is_empty() {
        return Err(Problem::new(
            field,
            format!(
                "Ingress {} has no path to Service {}",
                text(stable, "/metadata/name"),
                backends.stable
            ),
            format!(
                "at least one path in spec.rules whose backend is Service {}",
                backends.stable
            ),
        ));
    }
    let mut spec = Map::new();
    for key in ["ingressClassName", "tls"] {
        if let Some(value) = stable.pointer("/spec").and_then(|s| s.get(key)) {
            spec.insert(key.into(), value.clone());
        }
    }
    spec.insert("rules".into(), rules.into());
    Ok(Value::Object(spec))
}

#[cfg(test)]
mod tests;
