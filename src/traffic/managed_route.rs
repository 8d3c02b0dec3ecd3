//! Gateway API: an HTTPRoute that Tidegate owns, made from `gatewayAPI.managedRoute`.
//!
//! No GitOps tool knows the object, so none can fight over its weights. All of its spec is
//! Tidegate's: what somebody else changes in it is put back with the next weight, and the user's
//! own parts (parents, hostnames, matches, filters) come from the Rollout alone.

use serde_json::{Map, Value, json};

use super::gateway_api::live;
use super::side_routes::{self, SideRoutes};
use super::{Backends, Owner, covers, header_rules, list, mirror, resource_version, text};
use crate::api::rollout::ManagedRoute;
use crate::core::observed::RouteState;
use crate::core::spec::{Problem, SideRoute};

/// Parts of a rule that must not be there if the Rollout does not ask for them. The API server
/// fills in `matches`, and nothing else.
const RULE_EXTRAS: [&str; 4] = ["filters", "timeouts", "retry", "sessionPersistence"];

/// The whole route with `weight` percent for the canary.
#[must_use]
pub fn body(
    owner: Owner<'_>,
    managed: &ManagedRoute,
    backends: Backends<'_>,
    weight: i32,
) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": owner.metadata(owner.name),
        "spec": spec(managed, backends, weight, &[]),
    })
}

/// What the route says; one that somebody else made is not taken over.
#[must_use]
pub fn read(
    route: &Value,
    owner: Owner<'_>,
    managed: &ManagedRoute,
    (sides, features): (&SideRoutes, &mirror::Features),
    backends: Backends<'_>,
    field: &str,
) -> RouteState {
    if !owner.controls(route) {
        return RouteState::Unusable(Problem::new(
            field,
            format!(
                "HTTPRoute {} exists, {}",
                text(route, "/metadata/name"),
                Owner::owner_of(route)
            ),
            "a name that is free: Tidegate makes this route itself and takes none over; delete or \
             rename that one, or name it in httpRoutes",
        ));
    }
    let all = list(route, "/spec/rules");
    let weighted = all.iter().filter(|rule| !header_rules::is_ours(rule));
    let weighted: Vec<&Value> = weighted.collect();
    let shares = weighted.iter().map(|rule| share(rule, backends));
    let mut found = live(route, &shares.collect::<Vec<_>>());
    // The rules are made anew from the Rollout with each write, so that is what they are held to.
    let wanted = rules(managed, backends, found.weight);
    let beside: Vec<&Value> = wanted.iter().collect();
    let of_both = (weighted.as_slice(), beside.as_slice());
    found.side_routes = side_routes::standing(&sides.known, all, of_both, backends.canary);
    found.obstacle = side_routes::obstacle(route, beside.len(), sides, &beside, features);
    let standing = found.side_routes.as_deref().unwrap_or_default();
    found.exact = found.exact && is_ours(route, &spec(managed, backends, found.weight, standing));
    RouteState::Live(found)
}

/// The merge patch that writes the whole spec with `weight` percent for the canary and these
/// side routes.
#[must_use]
pub fn weight_patch(
    route: &Value,
    managed: &ManagedRoute,
    backends: Backends<'_>,
    weight: i32,
    side_routes: &[SideRoute],
) -> Value {
    let mut spec = spec(managed, backends, weight, side_routes);
    if let Value::Object(fields) = &mut spec {
        fields.entry("hostnames").or_insert(Value::Null);
    }
    json!({"metadata": {"resourceVersion": resource_version(route)}, "spec": spec})
}

/// The rules that carry weights.
fn rules(managed: &ManagedRoute, backends: Backends<'_>, weight: i32) -> Vec<Value> {
    let weight = weight.clamp(0, 100);
    let backend = |name: &str, share: i32| json!({"group": "", "kind": "Service", "name": name, "port": managed.port, "weight": share});
    let backend_refs = json!([
        backend(backends.stable, 100 - weight),
        backend(backends.canary, weight)
    ]);
    let rule = |matches: &[Value], filters: &[Value], timeouts: Option<&Value>| {
        let mut rule = Map::new();
        if !matches.is_empty() {
            rule.insert("matches".into(), matches.into());
        }
        if !filters.is_empty() {
            rule.insert("filters".into(), filters.into());
        }
        if let Some(timeouts) = timeouts {
            rule.insert("timeouts".into(), timeouts.clone());
        }
        rule.insert("backendRefs".into(), backend_refs.clone());
        Value::Object(rule)
    };
    if managed.rules.is_empty() {
        return vec![rule(&[], &[], None)];
    }
    let each = managed.rules.iter();
    each.map(|r| rule(&r.matches, &r.filters, r.timeouts.as_ref()))
        .collect()
}

fn spec(
    managed: &ManagedRoute,
    backends: Backends<'_>,
    weight: i32,
    side_routes: &[SideRoute],
) -> Value {
    let weighted = rules(managed, backends, weight);
    let beside: Vec<&Value> = weighted.iter().collect();
    let mut rules = header_rules::rules(side_routes, &beside, backends.canary);
    let each = weighted.iter();
    rules.extend(each.map(|rule| mirror::with(rule, side_routes, backends.canary)));
    let mut spec = Map::new();
    spec.insert("parentRefs".into(), managed.parent_refs.clone().into());
    if !managed.hostnames.is_empty() {
        spec.insert("hostnames".into(), managed.hostnames.clone().into());
    }
    spec.insert("rules".into(), rules.into());
    Value::Object(spec)
}

/// Whether the route's spec is `wanted` but for what the API server fills in.
fn is_ours(route: &Value, wanted: &Value) -> bool {
    let empty = Value::Null;
    let found = route.get("spec").unwrap_or(&empty);
    covers(found, wanted)
        && (wanted.get("hostnames").is_some() || list(found, "/hostnames").is_empty())
        && list(found, "/rules")
            .iter()
            .zip(list(wanted, "/rules"))
            .all(|(have, want)| {
                RULE_EXTRAS
                    .iter()
                    .all(|key| want.get(key).is_some() || have.get(key).is_none())
            })
}

/// The canary's weight and that of everything else in a rule.
fn share(rule: &Value, backends: Backends<'_>) -> (i64, i64) {
    let weight = |b: &Value| b.get("weight").and_then(Value::as_i64).unwrap_or(1).max(0);
    list(rule, "/backendRefs")
        .iter()
        .fold((0, 0), |(canary, rest), b| {
            if text(b, "/name") == backends.canary {
                (canary + weight(b), rest)
            } else {
                (canary, rest + weight(b))
            }
        })
}

#[cfg(test)]
mod tests;
