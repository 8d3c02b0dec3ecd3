#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "tables of cases read better so"
)]

use json_patch::merge;
use serde_json::json;

use super::*;
use crate::api::rollout::ManagedRule;
use crate::traffic::mirror::Features;

const BACKENDS: Backends<'static> = Backends {
    canary: "web-canary",
    stable: "web-stable",
};
const OWNER: Owner<'static> = Owner {
    namespace: "shop",
    name: "web",
    uid: "u1",
};
const FIELD: &str = "spec.strategy.canary.trafficRouting.gatewayAPI.managedRoute";

fn managed() -> ManagedRoute {
    ManagedRoute {
        parent_refs: vec![json!({"name": "edge", "sectionName": "https"})],
        hostnames: vec!["web.example".into()],
        port: 80,
        rules: vec![
            ManagedRule {
                matches: vec![json!({"path": {"type": "PathPrefix", "value": "/api"}})],
                filters: vec![json!({"type": "RequestHeaderModifier"})],
                timeouts: Some(json!({"request": "5s"})),
            },
            ManagedRule::default(),
        ],
    }
}

/// What an API server makes of it.
fn stored(weight: i32, managed: &ManagedRoute) -> Value {
    let mut route = body(OWNER, managed, BACKENDS, weight);
    route["metadata"]["resourceVersion"] = "7".into();
    route["metadata"]["generation"] = 1.into();
    route["spec"]["parentRefs"][0]["group"] = "gateway.networking.k8s.io".into();
    route["spec"]["parentRefs"][0]["kind"] = "Gateway".into();
    for rule in route["spec"]["rules"].as_array_mut().unwrap() {
        if rule.get("matches").is_none() {
            rule["matches"] = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
        }
    }
    route
}

fn said(route: &Value, managed: &ManagedRoute) -> (i32, bool) {
    match read(
        route,
        OWNER,
        managed,
        (&SideRoutes::default(), &Features::new()),
        BACKENDS,
        FIELD,
    ) {
        RouteState::Live(live) => (live.weight, live.exact),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_created_is_what_was_asked_for() {
    for managed in [
        managed(),
        ManagedRoute {
            rules: vec![],
            hostnames: vec![],
            ..managed()
        },
    ] {
        let route = stored(20, &managed);
        assert_eq!(said(&route, &managed), (20, true));
        assert_eq!(
            route["metadata"]["ownerReferences"][0]["controller"],
            json!(true)
        );
        assert_eq!(
            route["metadata"]["labels"][super::super::ROLLOUT_LABEL],
            "web"
        );
        let sums: Vec<i64> = route["spec"]["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| {
                r["backendRefs"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|b| b["weight"].as_i64().unwrap())
                    .sum()
            })
            .collect();
        assert!(
            sums.iter().all(|s| *s == 100) && sums.len() == managed.rules.len().max(1),
            "{sums:?}"
        );
    }
}

#[test]
fn every_foreign_change_is_seen_and_put_back() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 9] = [
        ("parentRefs", |s| s["parentRefs"] = json!([])),
        ("hostnames", |s| s["hostnames"] = json!(["evil.example"])),
        ("a hostname more", |s| {
            s["hostnames"] = json!(["web.example", "b.example"])
        }),
        ("matches", |s| {
            s["rules"][0]["matches"][0]["path"]["value"] = "/".into()
        }),
        ("filters", |s| {
            s["rules"][1]["filters"] = json!([{"type": "RequestMirror"}])
        }),
        ("timeouts", |s| {
            s["rules"][0]["timeouts"]["request"] = "1h".into()
        }),
        ("a rule less", |s| {
            s["rules"].as_array_mut().unwrap().pop();
        }),
        ("weights", |s| {
            s["rules"][0]["backendRefs"][1]["weight"] = 21.into()
        }),
        ("port", |s| {
            s["rules"][0]["backendRefs"][1]["port"] = 81.into()
        }),
    ];
    let managed = managed();
    for (what, change) in changes {
        let mut route = stored(20, &managed);
        change(&mut route["spec"]);
        assert!(!said(&route, &managed).1, "{what} was not seen");
        let patch = weight_patch(&route, &managed, BACKENDS, 20, &[]);
        merge(&mut route, &patch);
        assert_eq!(
            said(&route, &managed),
            (20, true),
            "{what} was not put back"
        );
    }
    // A hostname where none is asked for.
    let none = ManagedRoute {
        hostnames: vec![],
        ..managed
    };
    let mut route = stored(20, &none);
    route["spec"]["hostnames"] = json!(["evil.example"]);
    assert!(!said(&route, &none).1);
    let patch = weight_patch(&route, &none, BACKENDS, 30, &[]);
    merge(&mut route, &patch);
    assert_eq!(said(&route, &none), (30, true));
}

#[test]
fn the_weight_is_the_largest_and_foreign_backends_count() {
    let managed = managed();
    let mut route = stored(20, &managed);
    route["spec"]["rules"][1]["backendRefs"] =
        json!([{"name": "web-canary", "weight": 1}, {"name": "x", "weight": 3}]);
    assert_eq!(said(&route, &managed), (25, false));
    route["spec"]["rules"] = json!([]);
    assert_eq!(said(&route, &managed), (0, false));
}

#[test]
fn a_foreign_route_is_not_taken_over() {
    let mut route = stored(20, &managed());
    route["metadata"]["ownerReferences"][0]["uid"] = "u2".into();
    let RouteState::Unusable(problem) = read(
        &route,
        OWNER,
        &managed(),
        (&SideRoutes::default(), &Features::new()),
        BACKENDS,
        FIELD,
    ) else {
        panic!()
    };
    assert!(
        problem
            .to_string()
            .contains("HTTPRoute web exists, owned by Rollout web"),
        "{problem}"
    );
}
