//! Gateway API: the rules that Tidegate adds to an HTTPRoute for its header routes.
//!
//! Each rule that carries weights gets one beside it for each header route: its matches with the
//! headers added, everything else of it, and the canary Service as its only backend. A rule of its
//! own, because that leaves the user's rules byte for byte as they are; with the paths of the
//! weighted rule, because the Gateway API prefers the longer path to the larger number of headers
//! (`HTTPRouteRule.matches`), whatever the order of the rules. Ours are known by their `name`, which
//! the installed Gateway API must know: a server that drops unknown fields is asked to refuse
//! instead.

use serde_json::{Map, Value, json};

use super::side_routes::SideRoutes;
use super::{covers, list, mirror, text};
use crate::core::spec::{HeaderMatch, HeaderValue, Problem, SideRoute, Takes};

/// Begins the name of a rule of ours. Users leave it to Tidegate.
pub const PREFIX: &str = "tidegate-header.";
/// Rules of an HTTPRoute at most (Gateway API).
const RULES_MAX: usize = 16;

/// Whether a rule is one of ours.
pub(super) fn is_ours(rule: &Value) -> bool {
    text(rule, "/name").starts_with(PREFIX)
}

/// A side route's headers; of a mirror route none.
fn headers(side: &SideRoute) -> Option<&[HeaderMatch]> {
    match &side.takes {
        Takes::Headers(headers) => Some(headers),
        Takes::Copies(_) => None,
    }
}

/// The rules of the header routes among `sides`, beside the `weighted` ones.
pub(super) fn rules(sides: &[SideRoute], weighted: &[&Value], canary: &str) -> Vec<Value> {
    let of = |side: &SideRoute| {
        let headers = headers(side).unwrap_or_default().to_vec();
        let name = side.name.clone();
        let each = weighted.iter().enumerate();
        each.filter(|_| !headers.is_empty())
            .map(|(i, beside)| rule(&name, &headers, i, beside, canary))
            .collect::<Vec<_>>()
    };
    sides.iter().flat_map(of).collect()
}

fn rule(name: &str, headers: &[HeaderMatch], i: usize, beside: &Value, canary: &str) -> Value {
    let headers = headers.iter().map(|header| {
        let (kind, value) = match &header.value {
            HeaderValue::Exact(value) => ("Exact", value),
            HeaderValue::Regex(value) => ("RegularExpression", value),
        };
        json!({"type": kind, "name": header.name, "value": value})
    });
    let headers: Vec<Value> = headers.collect();
    let matches = matches(beside).into_iter().map(|mut found| {
        let mut all = list(&found, "/headers").to_vec();
        all.extend(headers.iter().cloned());
        if let Some(fields) = found.as_object_mut() {
            fields.insert("headers".into(), all.into());
        }
        found
    });
    let matches: Vec<Value> = matches.collect();
    let backends = list(beside, "/backendRefs").iter();
    let backends = backends
        .filter(|b| text(b, "/name") == canary)
        .map(|backend| {
            let mut backend = backend.clone();
            if let Some(fields) = backend.as_object_mut() {
                fields.insert("weight".into(), 1.into());
            }
            backend
        });
    let backends: Vec<Value> = backends.collect();
    // What goes to the canary is not copied to it as well.
    let mut rule = mirror::without(beside, canary);
    if let Some(fields) = rule.as_object_mut() {
        fields.insert("name".into(), format!("{PREFIX}{name}.{i}").into());
        fields.insert("matches".into(), matches.into());
        fields.insert("backendRefs".into(), backends.into());
    }
    rule
}

/// What a rule matches; a rule that does not say matches every path.
fn matches(rule: &Value) -> Vec<Value> {
    let found = list(rule, "/matches");
    if found.is_empty() {
        vec![json!({"path": {"type": "PathPrefix", "value": "/"}})]
    } else {
        found.to_vec()
    }
}

/// Which of the `known` header routes stand among `all` rules; `None`: there are rules of ours that
/// are not as they should be.
pub(super) fn standing(
    all: &[Value],
    known: &[SideRoute],
    weighted: &[&Value],
    canary: &str,
) -> Option<Vec<SideRoute>> {
    let ours: Vec<&Value> = all.iter().filter(|rule| is_ours(rule)).collect();
    let mut rest = ours.as_slice();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut headers = known.iter().filter(|side| !side.is_mirror());
        let (route, count) = headers.find_map(|route| {
            let wanted = rules(std::slice::from_ref(route), weighted, canary);
            let have = rest.get(..wanted.len()).filter(|have| !have.is_empty())?;
            let same = have.iter().zip(&wanted).all(|(have, want)| is(have, want));
            same.then_some((route, wanted.len()))
        })?;
        found.push(route.clone());
        rest = rest.get(count..)?;
    }
    Some(found)
}

/// Whether a rule is `wanted` but for what the API server fills in.
fn is(rule: &Value, wanted: &Value) -> bool {
    let fields = rule.as_object().into_iter().flat_map(Map::keys);
    covers(rule, wanted) && fields.into_iter().all(|key| wanted.get(key).is_some())
}

/// What keeps a route with `others` besides our rules from having these header routes.
pub(super) fn obstacle(
    route: &Value,
    others: usize,
    sides: &SideRoutes,
    weighted: &[&Value],
) -> Option<Problem> {
    let route = text(route, "/metadata/name");
    let needed = sides.most_headers * weighted.len();
    if others + needed > RULES_MAX {
        return Some(Problem::new(
            format!("HTTPRoute {route} spec.rules"),
            format!("{others}, and {needed} more for the header routes of the Rollout's steps"),
            format!(
                "at most {RULES_MAX} together, a limit of the Gateway API: each header route takes as \
                 many rules as carry weights; use fewer header routes at a time, or name the rules \
                 that carry weights"
            ),
        ));
    }
    let of_users = weighted
        .iter()
        .flat_map(|rule| list(rule, "/matches"))
        .flat_map(|found| list(found, "/headers"))
        .map(|header| text(header, "/name"));
    let of_users: Vec<&str> = of_users.collect();
    let twice = sides
        .known
        .iter()
        .filter_map(headers)
        .flatten()
        .find(|header| {
            of_users
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&header.name))
        })?;
    Some(Problem::new(
        format!("HTTPRoute {route} spec.rules[].matches[].headers"),
        format!(
            "{:?}, and a header route of the Rollout's steps",
            twice.name
        ),
        "a header route by a header that the rules with weights do not match by themselves",
    ))
}

#[cfg(test)]
mod tests;
