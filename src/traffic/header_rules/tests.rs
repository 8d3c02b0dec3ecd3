#![allow(
    clippy::needless_pass_by_value,
    reason = "tables of cases read better so"
)]

use json_patch::patch;
use serde_json::json;

use super::*;
use crate::api::rollout::{ManagedRoute, RuleRef};
use crate::core::observed::{LiveRoute, RouteState};
use crate::core::spec::HeaderMatch;
use crate::traffic::mirror::Features;
use crate::traffic::{Backends, Owner, gateway_api, managed_route};

const BACKENDS: Backends<'static> = Backends {
    canary: "web-canary",
    stable: "web-stable",
};
const FIELD: &str = "httpRoutes[0]";

fn header(name: &str) -> SideRoute {
    SideRoute {
        name: name.into(),
        takes: Takes::Headers(vec![HeaderMatch {
            name: format!("x-{name}"),
            value: HeaderValue::Exact("1".into()),
        }]),
    }
}

fn headers(names: &[&str]) -> SideRoutes {
    SideRoutes {
        known: names.iter().map(|name| header(name)).collect(),
        most_headers: names.len(),
    }
}

fn weighted(name: &str, path: &str) -> Value {
    json!({"name": name,
        "matches": [{"path": {"type": "PathPrefix", "value": path}}, {"method": "GET"}],
        "timeouts": {"request": "5s"},
        "backendRefs": [{"name": "web-stable", "port": 80, "weight": 80},
            {"name": "web-canary", "port": 80, "weight": 20, "filters": [{"type": "X"}]}]})
}

/// A user's route: a rule with weights between two others.
fn route() -> Value {
    let other = |name: &str| json!({"name": name, "backendRefs": [{"name": "other", "port": 1}]});
    json!({"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "4"},
        "spec": {"rules": [other("first"), weighted("main", "/"), other("last")]}})
}

fn read(route: &Value, known: &SideRoutes) -> LiveRoute {
    gateway_api::read(route, &[], (known, &Features::new()), BACKENDS, FIELD).unwrap()
}

/// The route with this weight and these header routes.
fn with(route: &Value, weight: i32, names: &[&str]) -> Value {
    let wanted = headers(names).known;
    let change = gateway_api::weight_patch(route, &[], BACKENDS, weight, &wanted, FIELD).unwrap();
    let mut after = route.clone();
    patch(&mut after, &change).unwrap();
    after
}

fn names(route: &Value) -> Vec<&str> {
    let rules = list(route, "/spec/rules").iter();
    rules.map(|rule| text(rule, "/name")).collect()
}

#[test]
fn a_rule_of_its_own_comes_before_the_weighted_one_and_goes_without_a_trace() {
    let before = route();
    let after = with(&before, 20, &["beta"]);
    assert_eq!(
        names(&after),
        ["first", "tidegate-header.beta.0", "main", "last"]
    );
    let headers = json!([{"type": "Exact", "name": "x-beta", "value": "1"}]);
    assert_eq!(
        after["spec"]["rules"][1],
        json!({"name": "tidegate-header.beta.0",
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": headers},
                {"method": "GET", "headers": headers}],
            "timeouts": {"request": "5s"},
            "backendRefs": [{"name": "web-canary", "port": 80, "weight": 1, "filters": [{"type": "X"}]}]})
    );
    let mut others = after.clone();
    others["spec"]["rules"].as_array_mut().unwrap().remove(1);
    assert_eq!(others, before, "the user's rules stay as they are");
    // Onwards, and back again.
    let two = with(&after, 50, &["inside", "beta"]);
    assert_eq!(
        names(&two),
        [
            "first",
            "tidegate-header.inside.0",
            "tidegate-header.beta.0",
            "main",
            "last"
        ]
    );
    assert_eq!(with(&two, 20, &[]), before);
}

#[test]
fn what_stands_is_told_by_what_the_rules_say() {
    let known = headers(&["beta", "inside"]);
    let standing = |route: &Value| {
        let found = read(route, &known).side_routes?;
        Some(found.into_iter().map(|h| h.name).collect::<Vec<_>>())
    };
    let some = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    let base = route();
    for wanted in [
        &[][..],
        &["beta"],
        &["inside"],
        &["beta", "inside"],
        &["inside", "beta"],
    ] {
        let live = with(&base, 5, wanted);
        assert_eq!(standing(&live), some(wanted));
        assert_eq!(
            (read(&live, &known).weight, read(&live, &known).exact),
            (5, true)
        );
    }
    // What the API server fills in is no change; anything else is.
    let mut defaulted = with(&base, 5, &["beta"]);
    defaulted["spec"]["rules"][1]["backendRefs"][0]["kind"] = json!("Service");
    assert_eq!(standing(&defaulted), some(&["beta"]));
    for (pointer, value) in [
        ("/spec/rules/1/matches/0/headers/0/value", json!("2")),
        ("/spec/rules/1/backendRefs/0/name", json!("web-stable")),
        ("/spec/rules/1/name", json!("tidegate-header.gone.0")),
        ("/spec/rules/2/timeouts/request", json!("6s")),
    ] {
        let mut edited = with(&base, 5, &["beta"]);
        *edited.pointer_mut(pointer).unwrap() = value;
        assert_eq!(standing(&edited), None, "{pointer}");
        let mended = with(&edited, 5, &["beta"]);
        assert_eq!(standing(&mended), some(&["beta"]), "{pointer}");
    }
}

/// Our rules count as none of the user's: neither for the place of a rule nor for weights.
#[test]
fn rules_by_their_place_are_counted_without_ours() {
    let by_index = [RuleRef {
        name: None,
        index: Some(1),
    }];
    let live = with(&route(), 5, &["beta"]);
    let known = headers(&["beta"]);
    let found = gateway_api::read(
        &live,
        &by_index,
        (&known, &Features::new()),
        BACKENDS,
        FIELD,
    )
    .unwrap();
    assert_eq!((found.weight, found.exact), (5, true));
    assert_eq!(found.side_routes, Some(known.known.clone()));
    let change =
        gateway_api::weight_patch(&live, &by_index, BACKENDS, 7, &known.known, FIELD).unwrap();
    let mut after = live.clone();
    patch(&mut after, &change).unwrap();
    assert_eq!(names(&after), names(&live));
    assert_eq!(read(&after, &known).weight, 7);
}

/// With each weighted rule its own paths; and every one of them, or none.
#[test]
fn each_weighted_rule_has_one_beside_it() {
    let mut route = route();
    route["spec"]["rules"] = json!([weighted("a", "/a"), weighted("b", "/b")]);
    let live = with(&route, 5, &["beta"]);
    assert_eq!(
        names(&live),
        ["tidegate-header.beta.0", "tidegate-header.beta.1", "a", "b"]
    );
    assert_eq!(
        live["spec"]["rules"][1]["matches"][0]["path"]["value"],
        "/b"
    );
    let mut half = live;
    half["spec"]["rules"].as_array_mut().unwrap().remove(0);
    assert_eq!(read(&half, &headers(&["beta"])).side_routes, None);
    assert_eq!(with(&half, 5, &[]), with(&route, 5, &[]));
}

#[test]
fn what_has_no_room_or_no_meaning_is_said() {
    let problem = |route: &Value, names: &[&str]| {
        let found = read(route, &headers(names)).obstacle;
        found.map(|problem| problem.to_string()).unwrap_or_default()
    };
    let mut full = route();
    let rules = full["spec"]["rules"].as_array_mut().unwrap();
    while rules.len() < 15 {
        rules.push(json!({"backendRefs": [{"name": "other", "port": 1}]}));
    }
    assert_eq!(problem(&full, &["beta"]), "");
    assert_eq!(
        problem(&with(&full, 5, &["beta"]), &["beta"]),
        "",
        "ours are not counted twice"
    );
    let said = problem(&full, &["beta", "inside"]);
    assert!(
        said.starts_with("HTTPRoute web spec.rules: 15, and 2 more"),
        "{said}"
    );
    assert!(said.contains("at most 16"), "{said}");
    let mut taken = route();
    taken["spec"]["rules"][1]["matches"][1]["headers"] = json!([{"name": "X-Beta", "value": "2"}]);
    let said = problem(&taken, &["beta"]);
    assert!(
        said.starts_with("HTTPRoute web spec.rules[].matches[].headers: \"x-beta\""),
        "{said}"
    );
    assert_eq!(problem(&taken, &["inside"]), "");
}

/// The route that Tidegate owns is made anew with them, and read back as that.
#[test]
fn the_managed_route_has_them_too() {
    let owner = Owner {
        namespace: "shop",
        name: "web",
        uid: "u1",
    };
    let managed = ManagedRoute {
        parent_refs: vec![json!({"name": "edge"})],
        port: 80,
        ..ManagedRoute::default()
    };
    let known = headers(&["beta"]);
    let mut live = managed_route::body(owner, &managed, BACKENDS, 0);
    let said = |route: &Value| match managed_route::read(
        route,
        owner,
        &managed,
        (&known, &Features::new()),
        BACKENDS,
        FIELD,
    ) {
        RouteState::Live(live) => (live.weight, live.exact, live.side_routes),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&live), (0, true, Some(vec![])));
    for (weight, wanted) in [
        (0, known.known.clone()),
        (20, known.known.clone()),
        (20, vec![]),
    ] {
        let change = managed_route::weight_patch(&live, &managed, BACKENDS, weight, &wanted);
        json_patch::merge(&mut live, &change);
        assert_eq!(said(&live), (weight, true, Some(wanted)), "{live}");
    }
}
