#![allow(
    clippy::needless_pass_by_value,
    reason = "tables of cases read better so"
)]

use json_patch::patch;
use serde_json::json;

use super::*;
use crate::api::rollout::ManagedRoute;
use crate::core::observed::{LiveRoute, RouteState};
use crate::core::spec::{HeaderMatch, HeaderValue};
use crate::traffic::side_routes::SideRoutes;
use crate::traffic::{Backends, Owner, gateway_api, managed_route};

const BACKENDS: Backends<'static> = Backends {
    canary: "web-canary",
    stable: "web-stable",
};
const FIELD: &str = "httpRoutes[0]";

fn shadow(percent: i32) -> SideRoute {
    SideRoute {
        name: "shadow".into(),
        takes: Takes::Copies(percent),
    }
}

fn beta() -> SideRoute {
    let header = HeaderMatch {
        name: "x-beta".into(),
        value: HeaderValue::Exact("1".into()),
    };
    SideRoute {
        name: "beta".into(),
        takes: Takes::Headers(vec![header]),
    }
}

fn known(sides: &[SideRoute]) -> SideRoutes {
    SideRoutes {
        known: sides.to_vec(),
        most_headers: 1,
    }
}

/// A user's route with these filters in the rule that carries weights.
fn route(filters: Value) -> Value {
    let mut rule = json!({"name": "main", "backendRefs": [
        {"name": "web-stable", "port": 80, "weight": 100}, {"name": "web-canary", "port": 80, "weight": 0}]});
    if !filters.is_null() {
        rule["filters"] = filters;
    }
    let other = json!({"name": "first", "backendRefs": [{"name": "other", "port": 1}]});
    json!({"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "4"},
        "spec": {"rules": [other, rule]},
        "status": {"parents": [{"controllerName": "example.com/gateway"}]}})
}

fn read(route: &Value, sides: &SideRoutes) -> LiveRoute {
    gateway_api::read(route, &[], (sides, &Features::new()), BACKENDS, FIELD).unwrap()
}

/// The route with this weight and these side routes.
fn changed(route: &Value, weight: i32, sides: &[SideRoute]) -> Value {
    let change = gateway_api::weight_patch(route, &[], BACKENDS, weight, sides, FIELD).unwrap();
    let mut after = route.clone();
    patch(&mut after, &change).unwrap();
    after
}

fn copies(percent: Option<i32>) -> Value {
    let mut filter = json!({"type": "RequestMirror",
        "requestMirror": {"backendRef": {"name": "web-canary", "port": 80}}});
    if let Some(percent) = percent {
        filter["requestMirror"]["percent"] = percent.into();
    }
    filter
}

/// A filter comes to those of the user's, changes its share, and goes without a trace.
#[test]
fn copies_come_as_one_filter_and_go_without_a_trace() {
    let of_user =
        json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}});
    let elsewhere = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 1}}});
    let steps = [
        (shadow(20), Some(20)),
        (shadow(50), Some(50)),
        (shadow(100), None),
    ];
    let sides = known(&[shadow(20), shadow(50), shadow(100)]);
    for users in [json!(null), json!([of_user]), json!([of_user, elsewhere])] {
        let before = route(users.clone());
        assert_eq!(read(&before, &sides).side_routes, Some(vec![]));
        let mut live = before.clone();
        for (side, percent) in &steps {
            live = changed(&live, 0, std::slice::from_ref(side));
            let mut filters = users.as_array().cloned().unwrap_or_default();
            filters.push(copies(*percent));
            assert_eq!(live["spec"]["rules"][1]["filters"], json!(filters));
            assert_eq!(live["spec"]["rules"][0], before["spec"]["rules"][0]);
            let found = read(&live, &sides);
            assert_eq!(found.side_routes, Some(vec![side.clone()]));
            assert_eq!((found.weight, found.exact), (0, true));
            assert_eq!(changed(&live, 0, std::slice::from_ref(side)), live);
        }
        assert_eq!(changed(&live, 0, &[]), before);
    }
}

/// Requests that a header sends to the canary are not copied to it as well; each goes by itself.
#[test]
fn a_header_route_beside_it_copies_nothing() {
    let sides = known(&[beta(), shadow(20)]);
    let before = route(json!(null));
    let both = changed(&before, 5, &[beta(), shadow(20)]);
    assert_eq!(both["spec"]["rules"][1]["name"], "tidegate-header.beta.0");
    assert_eq!(both["spec"]["rules"][1].get("filters"), None);
    assert_eq!(
        both["spec"]["rules"][2]["filters"],
        json!([copies(Some(20))])
    );
    assert_eq!(
        read(&both, &sides).side_routes,
        Some(vec![beta(), shadow(20)])
    );
    for left in [vec![beta()], vec![shadow(20)], vec![]] {
        let after = changed(&both, 5, &left);
        assert_eq!(read(&after, &sides).side_routes, Some(left.clone()));
        assert_eq!(after, changed(&before, 5, &left));
    }
}

#[test]
fn what_somebody_changes_in_it_is_seen_and_mended() {
    let sides = known(&[shadow(20)]);
    let good = changed(&route(json!(null)), 0, &[shadow(20)]);
    let mut defaulted = good.clone();
    defaulted["spec"]["rules"][1]["filters"][0]["requestMirror"]["backendRef"]["kind"] =
        json!("Service");
    assert_eq!(
        read(&defaulted, &sides).side_routes,
        Some(vec![shadow(20)]),
        "what the API server fills in is no change"
    );
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 4] = [
        ("another share", |mirror| mirror["percent"] = json!(80)),
        ("all of them", |mirror| {
            mirror.as_object_mut().unwrap().remove("percent");
        }),
        ("a fraction", |mirror| {
            mirror["fraction"] = json!({"numerator": 1, "denominator": 2});
        }),
        ("another port", |mirror| {
            mirror["backendRef"]["port"] = json!(81);
        }),
    ];
    for (name, edit) in edits {
        let mut edited = good.clone();
        edit(&mut edited["spec"]["rules"][1]["filters"][0]["requestMirror"]);
        assert_eq!(read(&edited, &sides).side_routes, None, "{name}");
        assert_eq!(changed(&edited, 0, &[shadow(20)]), good, "{name}");
    }
    let mut twice = good.clone();
    let filters = twice["spec"]["rules"][1]["filters"].as_array_mut().unwrap();
    filters.push(copies(Some(20)));
    assert_eq!(read(&twice, &sides).side_routes, None);
    assert_eq!(changed(&twice, 0, &[shadow(20)]), good);
    // Steps that know no mirror any more.
    assert_eq!(read(&good, &known(&[])).side_routes, None);
}

/// The route that Tidegate owns has it too, and is read back as that.
#[test]
fn the_managed_route_has_it_too() {
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
    let sides = known(&[beta(), shadow(20), shadow(100)]);
    let mut live = managed_route::body(owner, &managed, BACKENDS, 0);
    let said = |route: &Value| {
        let of = (&sides, &Features::new());
        match managed_route::read(route, owner, &managed, of, BACKENDS, FIELD) {
            RouteState::Live(live) => (live.weight, live.exact, live.side_routes),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said(&live), (0, true, Some(vec![])));
    for (weight, wanted) in [
        (0, vec![shadow(20)]),
        (20, vec![beta(), shadow(100)]),
        (20, vec![]),
    ] {
        let change = managed_route::weight_patch(&live, &managed, BACKENDS, weight, &wanted);
        json_patch::merge(&mut live, &change);
        assert_eq!(said(&live), (weight, true, Some(wanted)), "{live}");
    }
    let change = managed_route::weight_patch(&live, &managed, BACKENDS, 0, &[shadow(20)]);
    json_patch::merge(&mut live, &change);
    live["spec"]["rules"][0]["filters"][0]["requestMirror"]["percent"] = json!(90);
    assert_eq!(said(&live), (0, false, None));
}

#[test]
fn a_gateway_that_says_it_cannot_is_refused_by_name() {
    let class = |features: Value| {
        json!({"metadata": {"name": "edge"}, "spec": {"controllerName": "example.com/gateway"},
            "status": {"supportedFeatures": features}})
    };
    let of = |features: Value| features_of(&class(features));
    let (all, part) = ("HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror");
    let named = |names: &[&str]| names.iter().map(|n| json!({"name": n})).collect::<Value>();
    // What the class says; what the steps ask for; what is said of it.
    let rows = [
        ("nothing", json!([]), shadow(20), None),
        ("all of it", named(&[all, part]), shadow(20), None),
        ("its old form", json!([all, part]), shadow(20), None),
        ("only all", named(&[all, "HTTPRoute"]), shadow(100), None),
        (
            "only all",
            named(&[all, "HTTPRoute"]),
            shadow(20),
            Some(part),
        ),
        ("neither", named(&["HTTPRoute"]), shadow(100), Some(all)),
        (
            "neither, and nobody asks",
            named(&["HTTPRoute"]),
            beta(),
            None,
        ),
    ];
    for (name, features, side, expected) in rows {
        let sides = known(&[side]);
        let said = of(features);
        let live = gateway_api::read(&route(json!(null)), &[], (&sides, &said), BACKENDS, FIELD);
        let problem = live.unwrap().obstacle.map(|p| p.to_string());
        match (expected, problem) {
            (None, None) => {}
            (Some(feature), Some(problem)) => {
                assert!(problem.contains("setMirrorRoute"), "{name}: {problem}");
                assert!(problem.contains("example.com/gateway"), "{name}: {problem}");
                assert!(
                    problem.contains(&format!("list {feature}")),
                    "{name}: {problem}"
                );
            }
            (expected, found) => panic!("{name}: {expected:?}, {found:?}"),
        }
    }
    let full: Vec<Value> = (0..16).map(|_| json!({"type": "CORS"})).collect();
    let live = read(&route(full.into()), &known(&[shadow(20)]));
    let problem = live.obstacle.unwrap().to_string();
    assert!(
        problem.starts_with("HTTPRoute web spec.rules[].filters: 16"),
        "{problem}"
    );
}

fn features_of(class: &Value) -> Features {
    features(class).into_iter().collect()
}
