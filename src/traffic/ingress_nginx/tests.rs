#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "tables of cases read better so"
)]

use json_patch::merge;
use proptest::prelude::*;
use serde_json::json;

use super::super::ingress_class::IngressClass;
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
    state_in(&|_| IngressClass::Unknown, stable, canary)
}

/// The same where something is known of classes.
fn state_in(classes: Classes<'_>, stable: Option<&Value>, canary: Option<&Value>) -> RouteState {
    read((stable, canary), classes, OWNER, BACKENDS, "edge", FIELD)
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

/// With this class, by the field or by the annotation.
fn of_class(mut ingress: Value, class: &str, legacy: bool) -> Value {
    let annotations = ingress["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove(CLASS);
    ingress["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    match legacy {
        true => ingress["metadata"]["annotations"][CLASS] = class.into(),
        false => ingress["spec"]["ingressClassName"] = class.into(),
    }
    ingress
}

#[test]
fn a_class_that_is_certainly_anothers_is_refused_by_name() {
    let of = |controller: &str| IngressClass::Of(controller.to_owned());
    let missing = "is of class edge, and there is no such IngressClass";
    let by_field = [
        (of("k8s.io/ingress-nginx"), None),
        (of("k8s.io/internal-ingress-nginx"), None),
        // Whatever it is called, it may be ingress-nginx, or another one that knows its annotations.
        (of("example.com/edge"), None),
        (of("higress.io/higress-controller"), None),
        (of("webapprouting.kubernetes.azure.com/nginx"), None),
        (of("traefik.io/ingress-controller-nginx"), None),
        (of(""), None),
        (IngressClass::Unknown, None),
        (IngressClass::Missing, Some(missing)),
        (
            of("nginx.org/ingress-controller"),
            Some("is of class edge, which is nginx.org/ingress-controller's"),
        ),
        (
            of("traefik.io/ingress-controller"),
            Some("is of class edge, which is traefik.io/ingress-controller's"),
        ),
        (
            of("haproxy.org/ingress-controller/internal"),
            Some("which is haproxy.org/ingress-controller/internal's"),
        ),
    ];
    for (known, expected) in by_field {
        let classes = |name: &str| {
            assert_eq!(name, "edge");
            known.clone()
        };
        for legacy in [false, true] {
            // The annotation is a word that ingress-nginx was told; there need be no such class.
            let expected = expected.filter(|_| !(legacy && known == IngressClass::Missing));
            let stable = of_class(stable(), "edge", legacy);
            let what = format!("{known:?}, by annotation: {legacy}");
            match (state_in(&classes, Some(&stable), None), expected) {
                (RouteState::ToCreate, None) => {}
                (RouteState::Unusable(problem), Some(words)) => {
                    assert_eq!(problem.field, FIELD);
                    assert!(
                        problem.value.starts_with("Ingress edge ") && problem.value.contains(words),
                        "{what}: {problem}"
                    );
                }
                (state, _) => panic!("{what}: {state:?}"),
            }
        }
    }
    // Without a class it is for whoever takes such Ingresses.
    let mut nobodys = of_class(stable(), "x", false);
    nobodys["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    let asked = |_: &str| panic!("there is no class to ask for");
    assert_eq!(state_in(&asked, Some(&nobodys), None), RouteState::ToCreate);
}

#[test]
fn a_canary_ingress_is_not_brought_to_another_controller_and_can_be_emptied_where_it_is() {
    let classes = |name: &str| match name {
        "nginx" => IngressClass::Missing,
        _ => IngressClass::Of("traefik.io/ingress-controller".to_owned()),
    };
    let stable = of_class(stable(), "nginx", false);
    let at = at("2026-01-01T00:00:00Z");
    let canary = body(&stable, OWNER, BACKENDS, 20, at, FIELD).unwrap();
    // The class went away: whoever served it may serve it still.
    let RouteState::Live(found) = state_in(&classes, Some(&stable), Some(&canary)) else {
        panic!()
    };
    assert_eq!((found.weight, found.exact), (20, true));
    let problem = found.obstacle.unwrap().to_string();
    assert!(problem.contains("no such IngressClass"), "{problem}");
    // The user's Ingress went over to another controller: the canary's does not follow.
    let moved = of_class(stable, "traefik", false);
    let RouteState::Unusable(problem) = state_in(&classes, Some(&moved), Some(&canary)) else {
        panic!()
    };
    let problem = problem.to_string();
    assert!(
        problem.contains("traefik.io/ingress-controller's"),
        "{problem}"
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
