#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "tables of cases read better so"
)]

use json_patch::merge;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const BACKENDS: Backends<'static> = Backends {
    canary: "web-canary",
    stable: "web-stable",
};
const OWNER: Owner<'static> = Owner {
    namespace: "shop",
    name: "web",
    uid: "u1",
};
const FIELD: &str = "spec.strategy.canary.trafficRouting.nginx.ingresses[0].name";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn path(path: &str, service: &str) -> Value {
    json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}})
}

fn stable() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "edge", "namespace": "shop", "annotations": {
            CLASS: "nginx", "nginx.ingress.kubernetes.io/rewrite-target": "/"}},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["a.example"], "secretName": "tls"}],
            "defaultBackend": {"service": {"name": "fallback", "port": {"number": 80}}},
            "rules": [
                {"host": "a.example", "http": {"paths": [path("/", "web-stable"), path("/static", "assets")]}},
                {"host": "b.example", "http": {"paths": [path("/", "assets")]}},
                {"http": {"paths": [path("/c", "web-stable")]}},
            ],
        },
    })
}

fn created(weight: i32) -> Value {
    let mut canary = body(
        &stable(),
        OWNER,
        BACKENDS,
        weight,
        at("2026-01-01T00:00:00Z"),
        FIELD,
    )
    .unwrap();
    canary["metadata"]["resourceVersion"] = "7".into();
    canary
}

fn state(stable: Option<&Value>, canary: Option<&Value>) -> RouteState {
    read(stable, canary, OWNER, BACKENDS, "edge", FIELD)
}

fn live(stable: &Value, canary: &Value) -> (i32, bool) {
    match state(Some(stable), Some(canary)) {
        RouteState::Live(live) => (live.weight, live.exact),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_canary_ingress_has_the_paths_to_stable_and_no_others() {
    assert_eq!(
        created(20),
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "web-edge-canary", "namespace": "shop", "resourceVersion": "7",
                "labels": {"tidegate.io/rollout": "web"},
                "ownerReferences": [{"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout", "name": "web",
                    "uid": "u1", "controller": true, "blockOwnerDeletion": true}],
                "annotations": {"nginx.ingress.kubernetes.io/canary": "true",
                    "nginx.ingress.kubernetes.io/canary-weight": "20",
                    "tidegate.io/changed-at": "2026-01-01T00:00:00Z", "kubernetes.io/ingress.class": "nginx"},
            },
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["a.example"], "secretName": "tls"}],
                "rules": [
                    {"host": "a.example", "http": {"paths": [path("/", "web-canary")]}},
                    {"http": {"paths": [path("/c", "web-canary")]}},
                ],
            },
        })
    );
    let RouteState::Live(found) = state(Some(&stable()), Some(&created(20))) else {
        panic!()
    };
    assert_eq!((found.weight, found.exact), (20, true));
    assert_eq!(
        (found.pending, found.changed_at),
        (None, Some(at("2026-01-01T00:00:00Z")))
    );
    // The API server had it later than it was decided.
    let mut late = created(20);
    late["metadata"]["managedFields"] = json!([{
        "manager": "tidegate", "time": "2026-01-01T00:00:03Z",
        "fieldsV1": {"f:metadata": {"f:annotations": {format!("f:{WEIGHT}"): {}}}},
    }]);
    let RouteState::Live(found) = state(Some(&stable()), Some(&late)) else {
        panic!()
    };
    assert_eq!(found.changed_at, Some(at("2026-01-01T00:00:03Z")));
}

#[test]
fn what_cannot_be_used() {
    let said = |stable: Option<&Value>, canary: Option<&Value>| match state(stable, canary) {
        RouteState::Unusable(problem) => problem.to_string(),
        other => format!("{other:?}"),
    };
    assert!(said(None, None).contains("there is no such Ingress"));
    let mut elsewhere = stable();
    elsewhere["spec"]["rules"] = json!([{"http": {"paths": [path("/", "assets")]}}]);
    assert!(
        said(Some(&elsewhere), None).contains("Ingress edge has no path to Service web-stable")
    );
    assert_eq!(said(Some(&stable()), None), "ToCreate");
    let mut canary = stable();
    canary["metadata"]["annotations"] = json!({ CANARY: "true" });
    assert!(said(Some(&canary), None).contains("the Ingress of the stable version"));
    let mut human = created(20);
    human["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    assert!(
        said(Some(&stable()), Some(&human))
            .contains("Ingress web-edge-canary exists, owned by nobody")
    );
}

#[test]
fn every_foreign_change_is_seen_and_put_back() {
    type Change = fn(&mut Value, &mut Value);
    let changes: [(&str, i32, Change); 8] = [
        ("weight", 30, |_, c| {
            c["metadata"]["annotations"][WEIGHT] = "30".into()
        }),
        ("weight in words", 0, |_, c| {
            c["metadata"]["annotations"][WEIGHT] = "half".into()
        }),
        ("total", 2, |_, c| {
            c["metadata"]["annotations"][WEIGHT_TOTAL] = "1000".into()
        }),
        ("not a canary any more", 0, |_, c| {
            c["metadata"]["annotations"][CANARY] = "false".into()
        }),
        ("class", 20, |s, _| {
            s["metadata"]["annotations"][CLASS] = "other".into()
        }),
        ("a path more", 20, |s, _| {
            s["spec"]["rules"][1]["http"]["paths"]
                .as_array_mut()
                .unwrap()
                .push(path("/new", "web-stable"));
        }),
        ("tls gone", 20, |s, _| {
            s["spec"].as_object_mut().unwrap().remove("tls");
        }),
        ("a backend of its own", 20, |_, c| {
            c["spec"]["defaultBackend"] = json!({"service": {"name": "x"}})
        }),
    ];
    for (what, weight, change) in changes {
        let (mut stable, mut canary) = (stable(), created(20));
        canary["metadata"]["annotations"]["mine"] = "kept".into();
        change(&mut stable, &mut canary);
        let seen = live(&stable, &canary);
        assert_eq!(seen.0, weight, "{what}");
        assert_ne!(seen, (20, true), "{what} was not seen");
        let patch = weight_patch(
            &stable,
            &canary,
            BACKENDS,
            20,
            at("2026-01-02T00:00:00Z"),
            FIELD,
        )
        .unwrap();
        merge(&mut canary, &patch);
        assert_eq!(
            live(&stable, &canary),
            (20, true),
            "{what} was not put back"
        );
        assert_eq!(canary["metadata"]["annotations"]["mine"], "kept");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }
}

#[test]
fn long_names_stay_valid_and_apart() {
    let long = "x".repeat(60);
    assert!(name("web", &long).len() <= 63);
    assert_ne!(name("web", &long), name("web", &format!("{long}y")));
}

proptest! {
    #[test]
    fn a_weight_is_said_as_it_was_set_and_setting_it_twice_changes_nothing(from in 0i32..=100, to in 0i32..=100) {
        let (stable, mut canary) = (stable(), created(from));
        let patch = weight_patch(&stable, &canary, BACKENDS, to, at("2026-01-02T00:00:00Z"), FIELD).unwrap();
        let before = canary.clone();
        merge(&mut canary, &patch);
        prop_assert_eq!(live(&stable, &canary), (to, true));
        let once = canary.clone();
        merge(&mut canary, &patch);
        prop_assert_eq!(&canary, &once);
        let mut put_back = once;
        for key in [WEIGHT, CHANGED_AT] {
            put_back["metadata"]["annotations"][key] = before["metadata"]["annotations"][key].clone();
        }
        prop_assert_eq!(put_back, before);
    }
}
