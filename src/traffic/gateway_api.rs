//! Gateway API: the weights of two backends in an HTTPRoute of the user's.
//!
//! `rules` and `backendRefs` are atomic lists there, so that a weight alone cannot be owned by
//! server-side apply: it is changed by a JSON patch that tests the resourceVersion, and the name of
//! the backend beside each weight. Nothing else of the route is touched, and no rule or filter is
//! added or taken away but Tidegate's own ([`super::side_routes`]).
//!
//! Facts from the Gateway API reference (`gateway.networking.k8s.io/v1`): a missing weight is 1; a
//! rule whose weights are all 0 answers 500; weights go from 0 to 1,000,000; a rule has at most 16
//! backends; `status.parents` has one entry per parent and controller. `Accepted` says that a gateway
//! understood the route, not that it serves it: Traefik says so at once and loads what it accepted
//! at most every two seconds (`providersThrottleDuration`). When the rules were last written is
//! therefore read as well, from `managedFields`.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use serde_json::Value;

use super::side_routes::{self, SideRoutes};
use super::{
    Backends, changed_at, header_rules, last_writer, list, mirror, resource_version, summarise,
    text,
};
use crate::api::rollout::RuleRef;
use crate::core::observed::LiveRoute;
use crate::core::spec::{Problem, SideRoute};

/// The weight of a backend that has none.
const WEIGHT_DEFAULT: i64 = 1;
/// The group of Gateways and routes.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Where the weights are. The list is atomic: who writes one of them has written all of it.
const RULES: [&str; 2] = ["spec", "rules"];

/// Where the two weights of one rule are, and what they are.
struct Place {
    rule: usize,
    canary: (usize, i64),
    stable: (usize, i64),
}

/// What `route` says about the two backends in `rules` (none: every rule that has both), and which of
/// the side routes it has. `field` is the Rollout's field that names the route.
///
/// # Errors
/// The first thing that keeps the route from carrying weights.
pub fn read(
    route: &Value,
    rules: &[RuleRef],
    (sides, features): (&SideRoutes, &mirror::Features),
    backends: Backends<'_>,
    field: &str,
) -> Result<LiveRoute, Problem> {
    let places = places(route, rules, backends, field)?;
    let shares: Vec<(i64, i64)> = places.iter().map(|p| (p.canary.1, p.stable.1)).collect();
    let all = list(route, "/spec/rules");
    let weighted = weighted(all, &places);
    let others = all.iter().filter(|rule| !header_rules::is_ours(rule));
    Ok(LiveRoute {
        side_routes: side_routes::standing(
            &sides.known,
            all,
            (&weighted, &weighted),
            backends.canary,
        ),
        obstacle: side_routes::obstacle(route, others.count(), sides, &weighted, features),
        ..live(route, &shares)
    })
}

fn weighted<'a>(all: &'a [Value], places: &[Place]) -> Vec<&'a Value> {
    places.iter().filter_map(|p| all.get(p.rule)).collect()
}

/// An HTTPRoute whose rules divide the traffic by `shares`: the canary's and the rest's weight.
pub(super) fn live(route: &Value, shares: &[(i64, i64)]) -> LiveRoute {
    let (weight, exact) = summarise(shares);
    LiveRoute {
        resource_version: resource_version(route).to_owned(),
        weight,
        exact,
        side_routes: Some(Vec::new()),
        obstacle: None,
        pending: pending(route),
        changed_at: changed_at(route, &RULES),
        last_writer: last_writer(route, &RULES),
    }
}

/// The patch that gives the canary `weight` percent and stable the rest, in `rules` of `route`, and
/// the route these side routes and no others.
///
/// # Errors
/// The first thing that keeps the route from carrying weights.
pub fn weight_patch(
    route: &Value,
    rules: &[RuleRef],
    backends: Backends<'_>,
    weight: i32,
    side_routes: &[SideRoute],
    field: &str,
) -> Result<Patch, Problem> {
    let weight = weight.clamp(0, 100);
    let mut operations = vec![test(
        ["metadata", "resourceVersion"],
        resource_version(route),
    )];
    let places = places(route, rules, backends, field)?;
    for place in &places {
        let rule = place.rule.to_string();
        let sides = [
            (place.canary.0, backends.canary, weight),
            (place.stable.0, backends.stable, 100 - weight),
        ];
        for (index, name, share) in sides {
            let index = index.to_string();
            let at = |leaf| ["spec", "rules", &rule, "backendRefs", &index, leaf];
            operations.push(test(at("name"), name));
            operations.push(PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(at("weight")),
                value: share.into(),
            }));
        }
    }
    // Rules come and go last: the places are counted without that.
    for place in &places {
        if let Some(rule) = list(route, "/spec/rules").get(place.rule) {
            operations.extend(mirror::operations(
                rule,
                place.rule,
                side_routes,
                backends.canary,
            ));
        }
    }
    operations.extend(header_operations(route, &places, backends, side_routes));
    Ok(Patch(operations))
}

/// Takes Tidegate's own rules away, the last one first, and puts those of `side_routes` before the first
/// rule with weights. None where they stand already.
fn header_operations(
    route: &Value,
    places: &[Place],
    backends: Backends<'_>,
    side_routes: &[SideRoute],
) -> Vec<PatchOperation> {
    let all = list(route, "/spec/rules");
    let weighted = weighted(all, places);
    let standing = header_rules::standing(all, side_routes, &weighted, backends.canary);
    let headers = side_routes.iter().filter(|side| !side.is_mirror());
    if standing.is_some_and(|standing| standing.iter().eq(headers)) {
        return Vec::new();
    }
    let at = |index: usize| PointerBuf::from_tokens(["spec", "rules", &index.to_string()]);
    let ours: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(_, rule)| header_rules::is_ours(rule))
        .map(|(index, _)| index)
        .collect();
    let first = places.iter().map(|p| p.rule).min().unwrap_or_default();
    let first = first - ours.iter().filter(|index| **index < first).count();
    let gone = ours
        .into_iter()
        .rev()
        .map(|index| PatchOperation::Remove(RemoveOperation { path: at(index) }));
    let rules = header_rules::rules(side_routes, &weighted, backends.canary);
    let new = rules.into_iter().enumerate().map(|(i, rule)| {
        PatchOperation::Add(AddOperation {
            path: at(first + i),
            value: rule,
        })
    });
    gone.chain(new).collect()
}

fn test<'a>(path: impl IntoIterator<Item = &'a str>, value: &str) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: PointerBuf::from_tokens(path),
        value: value.into(),
    })
}

/// Finds the weights; everything that makes them ambiguous is a problem.
fn places(
    route: &Value,
    rules: &[RuleRef],
    backends: Backends<'_>,
    field: &str,
) -> Result<Vec<Place>, Problem> {
    let all = list(route, "/spec/rules");
    let name = text(route, "/metadata/name");
    // Places are counted among the user's rules, so that ours move none of them.
    let users = all.iter().enumerate();
    let users: Vec<(usize, &Value)> = users.filter(|(_, r)| !header_rules::is_ours(r)).collect();
    let mut found = Vec::new();
    if rules.is_empty() {
        for (index, rule) in users.iter().copied() {
            let has = |backend| named(rule, backend).next().is_some();
            if has(backends.canary) && has(backends.stable) {
                found.push(place(route, index, rule, backends)?);
            }
        }
        if found.is_empty() {
            return Err(Problem::new(
                field,
                format!("HTTPRoute {name} has no rule with both backends"),
                format!(
                    "at least one rule whose backendRefs name the Services {} and {}",
                    backends.stable, backends.canary
                ),
            ));
        }
    }
    for (i, wanted) in rules.iter().enumerate() {
        let at = format!("{field}.rules[{i}]");
        let (index, rule) = find_rule(&users, wanted, &at, name)?;
        if found.iter().all(|p: &Place| p.rule != index) {
            found.push(place(route, index, rule, backends)?);
        }
    }
    Ok(found)
}

fn find_rule<'a>(
    all: &[(usize, &'a Value)],
    wanted: &RuleRef,
    at: &str,
    route: &str,
) -> Result<(usize, &'a Value), Problem> {
    if let Some(name) = &wanted.name {
        let named: Vec<&str> = all
            .iter()
            .map(|(_, r)| text(r, "/name"))
            .filter(|n| !n.is_empty())
            .collect();
        return all
            .iter()
            .find(|(_, rule)| text(rule, "/name") == name)
            .copied()
            .ok_or_else(|| {
                Problem::new(
                    format!("{at}.name"),
                    format!("{name:?}"),
                    if named.is_empty() {
                        format!(
                            "HTTPRoute {route} names none of its {} rules: use index",
                            all.len()
                        )
                    } else {
                        format!(
                            "one of the rules that HTTPRoute {route} names: {}",
                            named.join(", ")
                        )
                    },
                )
            });
    }
    let index = wanted.index.unwrap_or_default();
    usize::try_from(index)
        .ok()
        .and_then(|i| all.get(i).copied())
        .ok_or_else(|| {
            Problem::new(
                format!("{at}.index"),
                index,
                format!(
                    "below {}, the number of rules of HTTPRoute {route}",
                    all.len()
                ),
            )
        })
}

fn place(
    route: &Value,
    index: usize,
    rule: &Value,
    backends: Backends<'_>,
) -> Result<Place, Problem> {
    let at = format!(
        "HTTPRoute {} spec.rules[{index}].backendRefs",
        text(route, "/metadata/name")
    );
    let namespace = text(route, "/metadata/namespace");
    let canary = backend(rule, backends.canary, namespace, &at)?;
    let stable = backend(rule, backends.stable, namespace, &at)?;
    if canary.port != stable.port {
        return Err(Problem::new(
            format!("{at}[{}].port", canary.index),
            canary
                .port
                .map_or_else(|| "none".to_owned(), |p| p.to_string()),
            "the same port at both backends: only the weights tell the versions apart",
        ));
    }
    if canary.weight == 0 && stable.weight == 0 {
        return Err(Problem::new(
            format!("{at}[{}].weight", canary.index),
            "0, and 0 for the other backend",
            "a sum above 0: a rule without weight answers 500; give the stable backend its weight \
             back and Tidegate goes on",
        ));
    }
    Ok(Place {
        rule: index,
        canary: (canary.index, canary.weight),
        stable: (stable.index, stable.weight),
    })
}

struct Backend {
    index: usize,
    weight: i64,
    port: Option<i64>,
}

fn named<'a>(rule: &'a Value, name: &'a str) -> impl Iterator<Item = (usize, &'a Value)> {
    list(rule, "/backendRefs")
        .iter()
        .enumerate()
        .filter(move |(_, b)| text(b, "/name") == name)
}

fn backend(rule: &Value, name: &str, namespace: &str, at: &str) -> Result<Backend, Problem> {
    let mut found = named(rule, name);
    let Some((index, backend)) = found.next() else {
        return Err(Problem::new(
            at,
            format!("no backend {name}"),
            "both the canary Service and the stable Service as backends of the rule",
        ));
    };
    if let Some((second, _)) = found.next() {
        return Err(Problem::new(
            format!("{at}[{second}].name"),
            format!("{name}, as at [{index}]"),
            "each of the two Services once in a rule",
        ));
    }
    let kind = backend
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("Service");
    if kind != "Service" || !text(backend, "/group").is_empty() {
        return Err(Problem::new(
            format!("{at}[{index}].kind"),
            kind,
            "Service: Tidegate divides traffic between Services",
        ));
    }
    let elsewhere = backend
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(namespace);
    if elsewhere != namespace {
        return Err(Problem::new(
            format!("{at}[{index}].namespace"),
            elsewhere,
            format!("{namespace}, the Rollout's own namespace, or none"),
        ));
    }
    Ok(Backend {
        index,
        weight: backend
            .get("weight")
            .and_then(Value::as_i64)
            .unwrap_or(WEIGHT_DEFAULT)
            .max(0),
        port: backend.get("port").and_then(Value::as_i64),
    })
}

/// Why not every parent that the route names has accepted its present generation; `None`: all have.
fn pending(route: &Value) -> Option<String> {
    let wanted = list(route, "/spec/parentRefs");
    if wanted.is_empty() {
        return Some("the route names no parent, so no Gateway serves it".to_owned());
    }
    let namespace = text(route, "/metadata/namespace");
    let generation = route
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let found = list(route, "/status/parents");
    for parent in wanted {
        let key = parent_key(parent, namespace);
        let mut reason = "no controller has reported on it yet".to_owned();
        let accepted = found
            .iter()
            .filter(|entry| {
                entry
                    .get("parentRef")
                    .is_some_and(|p| parent_key(p, namespace) == key)
            })
            .any(|entry| match refusal(entry, generation) {
                None => true,
                Some(why) => {
                    reason = why;
                    false
                }
            });
        if !accepted {
            return Some(format!("{} {}: {reason}", key.1, key.3));
        }
    }
    None
}

/// Why a parent's entry does not say that this generation is served; `None`: it says so.
fn refusal(entry: &Value, generation: i64) -> Option<String> {
    let condition = |kind: &str| {
        list(entry, "/conditions")
            .iter()
            .find(|c| text(c, "/type") == kind)
            .map(|c| {
                let of = c
                    .get("observedGeneration")
                    .and_then(Value::as_i64)
                    .unwrap_or(0);
                (c, of >= generation)
            })
    };
    let said = |c: &Value, kind: &str| {
        format!(
            "{kind}={} {} {}",
            text(c, "/status"),
            text(c, "/reason"),
            text(c, "/message")
        )
        .trim_end()
        .to_owned()
    };
    if let Some((c, true)) = condition("ResolvedRefs")
        && text(c, "/status") == "False"
    {
        return Some(said(c, "ResolvedRefs"));
    }
    match condition("Accepted") {
        Some((c, true)) if text(c, "/status") == "True" => None,
        Some((c, true)) => Some(said(c, "Accepted")),
        Some((_, false)) => Some(format!("generation {generation} is not accepted yet")),
        None => Some("no Accepted condition yet".to_owned()),
    }
}

/// A parent reference with its defaults: group, kind, namespace, name, section, port.
fn parent_key<'a>(
    parent: &'a Value,
    namespace: &'a str,
) -> (&'a str, &'a str, &'a str, &'a str, &'a str, i64) {
    let or =
        |key: &str, default: &'a str| parent.get(key).and_then(Value::as_str).unwrap_or(default);
    (
        or("group", GROUP),
        or("kind", "Gateway"),
        or("namespace", namespace),
        or("name", ""),
        or("sectionName", ""),
        parent.get("port").and_then(Value::as_i64).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests;
