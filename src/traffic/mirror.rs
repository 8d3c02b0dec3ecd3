//! Gateway API: the filter that copies requests to the canary, for the mirror route.
//!
//! A `RequestMirror` filter in each rule that carries weights (`HTTPRouteFilter.requestMirror`,
//! `percent` since Gateway API 1.3), because a rule of its own with the same matches would have to
//! carry the weights as well. Ours are known by their backend, the canary Service: nobody else copies
//! requests to it. A gateway that does not copy requests, or only all of them, says so in the
//! `supportedFeatures` of its GatewayClass; one that says nothing is taken at its word.

use std::collections::{BTreeMap, BTreeSet};

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation};
use serde_json::{Map, Value, json};

use super::{covers, list, text};
use crate::core::spec::{Problem, SideRoute, Takes};

/// Filters of a rule at most (Gateway API).
const FILTERS_MAX: usize = 16;
/// Copies of all requests, as `supportedFeatures` has it.
const COPIES_ALL: &str = "HTTPRouteRequestMirror";
/// Copies of a part of the requests.
const COPIES_PART: &str = "HTTPRouteRequestPercentageMirror";

/// How many requests a mirror route copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every one.
    All,
    /// A part of them.
    Part,
}

/// What gateways' controllers can do, by the controller's name. Those that say nothing are not in it.
pub type Features = BTreeMap<String, BTreeSet<String>>;

/// What a GatewayClass says of its controller; `None`: nothing.
#[must_use]
pub fn features(class: &Value) -> Option<(String, BTreeSet<String>)> {
    // A list of names at first, of objects with a name since Gateway API 1.2.
    let name = |feature: &Value| match feature {
        Value::String(name) => name.clone(),
        other => text(other, "/name").to_owned(),
    };
    let said: BTreeSet<String> = list(class, "/status/supportedFeatures")
        .iter()
        .map(name)
        .collect();
    let controller = text(class, "/spec/controllerName").to_owned();
    (!said.is_empty()).then_some((controller, said))
}

/// The controllers that serve a route, as its status says.
pub fn controllers(route: &Value) -> impl Iterator<Item = &str> {
    let parents = list(route, "/status/parents").iter();
    parents.map(|parent| text(parent, "/controllerName"))
}

/// The filter that copies `percent` of the requests of a rule to its canary backend.
fn filter(beside: &Value, canary: &str, percent: i32) -> Value {
    let backends = list(beside, "/backendRefs").iter();
    let mut backends = backends.filter(|backend| text(backend, "/name") == canary);
    let port = backends.next().and_then(|backend| backend.get("port"));
    let mut to = Map::from_iter([("name".to_owned(), Value::from(canary))]);
    if let Some(port) = port {
        to.insert("port".to_owned(), port.clone());
    }
    let mut mirror = Map::from_iter([("backendRef".to_owned(), Value::Object(to))]);
    if percent < 100 {
        mirror.insert("percent".to_owned(), percent.into());
    }
    json!({"type": "RequestMirror", "requestMirror": mirror})
}

/// Whether a filter is ours.
fn is_ours(filter: &Value, canary: &str) -> bool {
    text(filter, "/type") == "RequestMirror"
        && text(filter, "/requestMirror/backendRef/name") == canary
        && text(filter, "/requestMirror/backendRef/namespace").is_empty()
}

/// `rule` without a filter of ours.
pub(super) fn without(rule: &Value, canary: &str) -> Value {
    let mut rule = rule.clone();
    let Some(fields) = rule.as_object_mut() else {
        return rule;
    };
    if let Some(Value::Array(filters)) = fields.get_mut("filters") {
        let before = filters.len();
        filters.retain(|filter| !is_ours(filter, canary));
        if before > 0 && filters.is_empty() {
            fields.remove("filters");
        }
    }
    rule
}

/// `rule` with the mirror route among `sides`, or without one.
pub(super) fn with(rule: &Value, sides: &[SideRoute], canary: &str) -> Value {
    let mut rule = without(rule, canary);
    if let Some(percent) = percent(sides)
        && let Some(fields) = rule.as_object_mut()
    {
        let mut filters = list(&Value::Object(fields.clone()), "/filters").to_vec();
        filters.push(filter(&Value::Object(fields.clone()), canary, percent));
        fields.insert("filters".to_owned(), filters.into());
    }
    rule
}

fn percent(sides: &[SideRoute]) -> Option<i32> {
    sides.iter().find_map(|side| match side.takes {
        Takes::Copies(percent) => Some(percent),
        Takes::Headers(_) => None,
    })
}

/// Which of the `known` mirror routes every rule with weights has, if any; `None`: they differ, or
/// have one that is not known.
#[expect(clippy::option_option, reason = "none of them, or not to be told")]
pub(super) fn standing(
    known: &[SideRoute],
    weighted: &[&Value],
    canary: &str,
) -> Option<Option<SideRoute>> {
    let has_none = |rule: &&Value| !list(rule, "/filters").iter().any(|f| is_ours(f, canary));
    if weighted.iter().all(has_none) {
        return Some(None);
    }
    let mirrors = known.iter().filter(|side| side.is_mirror());
    let mut standing = mirrors.filter(|side| {
        let is = |rule: &&Value| has(rule, canary, side.copies());
        weighted.iter().all(is)
    });
    standing.next().map(|side| Some(side.clone()))
}

/// Whether a rule has one filter of ours, and that for `percent`.
fn has(rule: &Value, canary: &str, percent: i32) -> bool {
    let mut ours = list(rule, "/filters").iter().filter(|f| is_ours(f, canary));
    let (Some(found), None) = (ours.next(), ours.next()) else {
        return false;
    };
    let mirror = found.get("requestMirror").and_then(Value::as_object);
    let fields = mirror.into_iter().flat_map(Map::keys);
    let wanted = filter(rule, canary, percent);
    covers(found, &wanted)
        && fields
            .into_iter()
            .all(|key| wanted.pointer(&format!("/requestMirror/{key}")).is_some())
}

/// What gives the rule at `index` the mirror route among `sides`, or takes one away. Nothing where it
/// is so already.
pub(super) fn operations(
    rule: &Value,
    index: usize,
    sides: &[SideRoute],
    canary: &str,
) -> Vec<PatchOperation> {
    let filters = list(rule, "/filters");
    let of_ours = filters.iter().enumerate();
    let of_ours = of_ours.filter(|(_, filter)| is_ours(filter, canary));
    let ours: Vec<usize> = of_ours.map(|(at, _)| at).collect();
    let wanted = percent(sides);
    let is_so = match wanted {
        Some(percent) => has(rule, canary, percent),
        None => ours.is_empty(),
    };
    if is_so {
        return Vec::new();
    }
    let index = index.to_string();
    let path = |leaf: &[&str]| {
        let root = ["spec", "rules", &index, "filters"].into_iter();
        PointerBuf::from_tokens(root.chain(leaf.iter().copied()))
    };
    let remove = |path| PatchOperation::Remove(RemoveOperation { path });
    let add = |path, value| PatchOperation::Add(AddOperation { path, value });
    let filter = wanted.map(|percent| filter(rule, canary, percent));
    // The list comes and goes with the only filter in it.
    if ours.len() == filters.len() {
        return match filter {
            Some(filter) => vec![add(path(&[]), json!([filter]))],
            None => vec![remove(path(&[]))],
        };
    }
    let gone = ours.iter().rev().map(|at| remove(path(&[&at.to_string()])));
    gone.chain(filter.map(|filter| add(path(&["-"]), filter)))
        .collect()
}

/// What keeps a route from having a mirror route.
pub(super) fn obstacle(
    route: &Value,
    share: Share,
    weighted: &[&Value],
    features: &Features,
) -> Option<Problem> {
    let name = text(route, "/metadata/name");
    let full = |rule: &&&Value| list(rule, "/filters").len() >= FILTERS_MAX;
    if weighted.iter().any(|rule| full(&rule)) {
        return Some(Problem::new(
            format!("HTTPRoute {name} spec.rules[].filters"),
            format!("{FILTERS_MAX}, and one more for the mirror route of the Rollout's steps"),
            format!("at most {FILTERS_MAX} together, a limit of the Gateway API"),
        ));
    }
    let (feature, value, allowed) = match share {
        Share::All => (
            COPIES_ALL,
            "does not copy requests",
            "a gateway that can; leave setMirrorRoute out",
        ),
        Share::Part => (
            COPIES_PART,
            "does not copy a part of the requests",
            "a gateway that can; leave setMirrorRoute out, or copy all with percent: 100 if it can \
             do that (HTTPRouteRequestMirror)",
        ),
    };
    let mut served = controllers(route);
    let cannot = served.find(|controller| {
        let said = features.get(*controller);
        said.is_some_and(|said| !said.contains(feature))
    })?;
    Some(Problem::new(
        "spec.strategy.canary.steps[].setMirrorRoute",
        format!(
            "the gateway of HTTPRoute {name} ({cannot}) {value}: its GatewayClass does not list \
             {feature}"
        ),
        allowed,
    ))
}

#[cfg(test)]
mod tests;
