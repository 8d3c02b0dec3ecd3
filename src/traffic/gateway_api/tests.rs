#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "tables of cases read better so"
)]

use json_patch::patch;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::traffic::mirror::Features;

const BACKENDS: Backends<'static> = Backends {
    canary: "web-canary",
    stable: "web-stable",
};
const FIELD: &str = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0]";

fn backend(name: &str, weight: i64) -> Value {
    json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight})
}

fn route(rules: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "41", "generation": 3},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["web.example"], "rules": rules},
    })
}

fn two(canary: i64, stable: i64) -> Value {
    json!({"name": "main", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
           "backendRefs": [backend("web-stable", stable), backend("web-canary", canary)]})
}

fn by_name(name: &str) -> Vec<RuleRef> {
    vec![RuleRef {
        name: Some(name.into()),
        index: None,
    }]
}

fn by_index(index: i32) -> Vec<RuleRef> {
    vec![RuleRef {
        name: None,
        index: Some(index),
    }]
}

fn said(route: &Value, rules: &[RuleRef]) -> String {
    match read(
        route,
        rules,
        (&SideRoutes::default(), &Features::new()),
        BACKENDS,
        FIELD,
    ) {
        Ok(live) => format!("{}{}", live.weight, if live.exact { "" } else { "~" }),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn what_a_route_says() {
    let single = |name: &str| json!({"backendRefs": [backend(name, 1)]});
    let table: Vec<(Value, Vec<RuleRef>, &str)> = vec![
        (json!([two(20, 80)]), vec![], "20"),
        (
            json!([two(0, 100), single("web-canary"), single("other")]),
            vec![],
            "0",
        ),
        (json!([two(20, 80), two(30, 70)]), vec![], "30~"),
        (json!([two(1, 1)]), vec![], "50~"),
        (json!([two(1, 2)]), vec![], "34~"),
        (json!([two(5, 95)]), by_name("main"), "5"),
        (json!([single("other"), two(5, 95)]), by_index(1), "5"),
        // A missing weight is 1.
        (
            json!([{"backendRefs": [{"name": "web-stable", "port": 80}, {"name": "web-canary", "port": 80}]}]),
            vec![],
            "50~",
        ),
        (
            json!([two(5, 95)]),
            by_name("beta"),
            "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0].rules[0].name: \"beta\": one of the rules that HTTPRoute web names: main",
        ),
        (
            json!([two(5, 95)]),
            by_index(1),
            "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0].rules[0].index: 1: below 1, the number of rules of HTTPRoute web",
        ),
        (
            json!([single("web-stable")]),
            vec![],
            "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0]: HTTPRoute web has no rule with both backends: at least one rule whose backendRefs name the Services web-stable and web-canary",
        ),
        (
            json!([single("web-stable")]),
            by_index(0),
            "HTTPRoute web spec.rules[0].backendRefs: no backend web-canary: both the canary Service and the stable Service as backends of the rule",
        ),
        (
            json!([{"backendRefs": [backend("web-stable", 1), backend("web-canary", 1), backend("web-canary", 1)]}]),
            vec![],
            "HTTPRoute web spec.rules[0].backendRefs[2].name: web-canary, as at [1]: each of the two Services once in a rule",
        ),
        (
            json!([{"backendRefs": [backend("web-stable", 1), {"group": "x.io", "kind": "Bucket", "name": "web-canary"}]}]),
            vec![],
            "HTTPRoute web spec.rules[0].backendRefs[1].kind: Bucket: Service: Tidegate divides traffic between Services",
        ),
        (
            json!([{"backendRefs": [backend("web-stable", 1), {"name": "web-canary", "namespace": "lab", "port": 80}]}]),
            vec![],
            "HTTPRoute web spec.rules[0].backendRefs[1].namespace: lab: shop, the Rollout's own namespace, or none",
        ),
        (
            json!([{"backendRefs": [backend("web-stable", 1), {"name": "web-canary", "port": 8080}]}]),
            vec![],
            "HTTPRoute web spec.rules[0].backendRefs[1].port: 8080: the same port at both backends: only the weights tell the versions apart",
        ),
        (
            json!([two(0, 0)]),
            vec![],
            "HTTPRoute web spec.rules[0].backendRefs[1].weight: 0, and 0 for the other backend: a sum above 0: a rule without weight answers 500; give the stable backend its weight back and Tidegate goes on",
        ),
    ];
    for (rules, wanted, expected) in table {
        assert_eq!(said(&route(rules), &wanted), expected);
    }
    let mut unnamed = route(json!([two(5, 95)]));
    unnamed["spec"]["rules"][0]
        .as_object_mut()
        .unwrap()
        .remove("name");
    assert!(said(&unnamed, &by_name("main")).contains("names none of its 1 rules: use index"));
}

#[test]
fn a_route_is_accepted_when_every_parent_has_this_generation() {
    let parent = |name: &str, conditions: Value| json!({"parentRef": {"group": GROUP, "kind": "Gateway", "name": name}, "controllerName": "x/y", "conditions": conditions});
    let ok = |generation: i64| {
        json!([
            {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": generation},
            {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "observedGeneration": generation},
        ])
    };
    let check = |parents: Value, refs: Value, expected: Option<String>| {
        let mut route = route(json!([two(5, 95)]));
        route["spec"]["parentRefs"] = refs;
        route["status"] = json!({ "parents": parents });
        assert_eq!(super::pending(&route), expected);
    };
    let pending = |text: &str| Some(text.to_owned());
    let one = json!([{"name": "edge"}]);
    check(json!([parent("edge", ok(3))]), one.clone(), None);
    check(json!([parent("edge", ok(4))]), one.clone(), None);
    check(
        json!([parent("edge", ok(2))]),
        one.clone(),
        pending("Gateway edge: generation 3 is not accepted yet"),
    );
    check(
        json!([]),
        one.clone(),
        pending("Gateway edge: no controller has reported on it yet"),
    );
    check(
        json!([parent("edge", ok(3))]),
        json!([{"name": "edge"}, {"name": "inner"}]),
        pending("Gateway inner: no controller has reported on it yet"),
    );
    check(
        json!([parent("edge", ok(3)), parent("inner", ok(3))]),
        json!([{"name": "edge"}, {"name": "inner", "namespace": "shop"}]),
        None,
    );
    check(
        json!([parent(
            "edge",
            json!([
            {"type": "Accepted", "status": "True", "observedGeneration": 3},
            {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no Service", "observedGeneration": 3}])
        )]),
        one.clone(),
        pending("Gateway edge: ResolvedRefs=False BackendNotFound no Service"),
    );
    check(
        json!([parent(
            "edge",
            json!([
            {"type": "Accepted", "status": "False", "reason": "NoMatchingListenerHostname", "observedGeneration": 3}])
        )]),
        one.clone(),
        pending("Gateway edge: Accepted=False NoMatchingListenerHostname"),
    );
    check(
        json!([parent("edge", json!([]))]),
        one,
        pending("Gateway edge: no Accepted condition yet"),
    );
    check(
        json!([]),
        json!([]),
        pending("the route names no parent, so no Gateway serves it"),
    );
}

#[test]
fn a_route_was_changed_when_its_rules_were() {
    let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "time": time, "fieldsV1": fields});
    let mut written = route(json!([two(5, 95)]));
    let changed = |route: &Value| {
        let live = read(
            route,
            &[],
            (&SideRoutes::default(), &Features::new()),
            BACKENDS,
            FIELD,
        )
        .unwrap();
        live.changed_at.map(|at| at.to_string())
    };
    assert_eq!(changed(&written), None);
    let rules = json!({"f:spec": {"f:rules": {}}});
    written["metadata"]["managedFields"] = json!([
        entry("helm", "2026-01-01T00:00:00Z", rules.clone()),
        entry("tidegate", "2026-01-01T00:01:00Z", rules),
        entry(
            "edge",
            "2026-01-01T00:02:00Z",
            json!({"f:status": {"f:parents": {}}})
        ),
    ]);
    assert_eq!(changed(&written).as_deref(), Some("2026-01-01T00:01:00Z"));
}

#[test]
fn the_patch_is_refused_when_the_route_is_another() {
    let live = route(json!([two(5, 95)]));
    let change = weight_patch(&live, &[], BACKENDS, 20, &[], FIELD).unwrap();
    let mut newer = live.clone();
    newer["metadata"]["resourceVersion"] = "42".into();
    assert!(patch(&mut newer, &change).is_err());
    let mut swapped = live.clone();
    swapped["spec"]["rules"][0]["backendRefs"]
        .as_array_mut()
        .unwrap()
        .reverse();
    assert!(patch(&mut swapped, &change).is_err());
    let mut same = live;
    patch(&mut same, &change).unwrap();
    assert_eq!(said(&same, &[]), "20");
}

/// Rules as people write them: with filters, several backends, fields nobody has heard of.
fn rules() -> impl Strategy<Value = Value> {
    let weight = prop_oneof![Just(None), (0i64..1_000_000).prop_map(Some)];
    let backend = (
        prop_oneof![
            Just("web-canary"),
            Just("web-stable"),
            Just("other"),
            Just("third")
        ],
        weight,
    )
        .prop_map(|(name, weight)| {
            let mut b = json!({"name": name, "port": 80, "x-unknown": {"deep": [1, null, "ü"]}});
            if let Some(weight) = weight {
                b["weight"] = weight.into();
            }
            b
        });
    let rule = (prop::collection::vec(backend, 0..5), any::<u8>()).prop_map(|(backends, n)| {
        json!({"name": format!("r{n}"), "filters": [{"type": "URLRewrite", "n": n}], "backendRefs": backends})
    });
    prop::collection::vec(rule, 1..5).prop_map(Value::from)
}

fn without_weights(mut route: Value) -> String {
    for rule in route["spec"]["rules"].as_array_mut().unwrap() {
        for backend in rule["backendRefs"].as_array_mut().unwrap() {
            if backend["name"] == "web-canary" || backend["name"] == "web-stable" {
                backend.as_object_mut().unwrap().remove("weight");
            }
        }
    }
    route.to_string()
}

proptest! {
    #[test]
    fn only_the_two_weights_change_and_their_sum_is_100(rules in rules(), weight in 0i32..=100) {
        let before = route(rules);
        let Ok(change) = weight_patch(&before, &[], BACKENDS, weight, &[], FIELD) else { return Ok(()) };
        let mut after = before.clone();
        patch(&mut after, &change).unwrap();
        prop_assert_eq!(without_weights(after.clone()), without_weights(before.clone()));
        let live = read(&after, &[], (&SideRoutes::default(), &Features::new()), BACKENDS, FIELD).unwrap();
        prop_assert_eq!((live.weight, live.exact), (weight, true));
        for (rule, old) in after["spec"]["rules"].as_array().unwrap().iter().zip(before["spec"]["rules"].as_array().unwrap()) {
            let of = |name: &str| rule["backendRefs"].as_array().unwrap().iter()
                .find(|b| b["name"] == name).map(|b| b["weight"].as_i64());
            if let (Some(canary), Some(stable)) = (of("web-canary"), of("web-stable")) {
                prop_assert_eq!(canary.unwrap() + stable.unwrap(), 100);
            } else {
                prop_assert_eq!(rule, old, "a rule without both backends is left alone");
            }
        }
        let mut again = after.clone();
        patch(&mut again, &change).unwrap();
        prop_assert_eq!(again, after);
    }
}
