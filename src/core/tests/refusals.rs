//! What the schema lets through and the planner cannot carry out is refused by name: the field, the
//! value, what is allowed.

use serde_json::{Value, json};

use crate::api::rollout::RolloutSpec;
use crate::core::spec;

const CANARY: &str = "/strategy/canary";

fn rollout(strategy: Value) -> Value {
    json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}},
                     "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}},
        "strategy": strategy,
    })
}

fn canary() -> Value {
    rollout(json!({"canary": {
        "stableService": "stable",
        "canaryService": "canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
        "steps": [{"setWeight": 20}, {"analysis": {"templates": [{"name": "t"}]}}, {"setWeight": 50}],
    }}))
}

/// Without a router.
fn pods(more: &[(&str, Value)]) -> Value {
    let mut canary = json!({"steps": []});
    for (field, value) in more {
        canary[*field] = value.clone();
    }
    rollout(json!({ "canary": canary }))
}

fn with(mut rollout: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = rollout.pointer_mut(parent).unwrap();
    match (parent, key.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => items[index] = value,
        (parent, _) => parent[key] = value,
    }
    rollout
}

fn mirror_route(name: &str) -> Value {
    json!({"setMirrorRoute": {"name": name, "percent": 20}})
}

fn header_route(name: &str) -> Value {
    json!({"setHeaderRoute": {"name": name, "match": [{"header": "x-beta", "exact": "1"}]}})
}

fn problems(rollout: Value) -> Vec<String> {
    let spec: RolloutSpec = serde_json::from_value(rollout).unwrap();
    match spec::parse(&spec) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_by_field() {
    let step = |index: usize, step: Value| with(canary(), &format!("{CANARY}/steps/{index}"), step);
    let template = json!([{"name": "t"}]);
    let rows: Vec<(&str, Value, &str, &str)> = vec![
        (
            "no strategy",
            rollout(json!({})),
            "spec.strategy",
            "exactly one of canary and blueGreen",
        ),
        (
            "both strategies",
            with(
                canary(),
                "/strategy/blueGreen",
                json!({"activeService": "active"}),
            ),
            "spec.strategy",
            "exactly one of canary and blueGreen",
        ),
        (
            "a role's label that the selector has",
            with(
                canary(),
                &format!("{CANARY}/stableMetadata"),
                json!({"labels": {"app": "b"}}),
            ),
            "spec.strategy.canary.stableMetadata.labels",
            "a key that spec.template.metadata.labels (and so spec.selector) does not have",
        ),
        (
            "a role's label that is the version's",
            with(
                canary(),
                &format!("{CANARY}/canaryMetadata"),
                json!({"labels": {"rollouts-pod-template-hash": "b"}}),
            ),
            "spec.strategy.canary.canaryMetadata.labels",
            "are set by controllers",
        ),
        (
            "a role's annotation that is Tidegate's",
            with(
                canary(),
                &format!("{CANARY}/canaryMetadata"),
                json!({"annotations": {"tidegate.io/abort": "now"}}),
            ),
            "spec.strategy.canary.canaryMetadata.annotations",
            "tidegate.io/* is set by Tidegate",
        ),
        (
            "a role's key that is none",
            rollout(json!({"blueGreen": {"activeService": "active",
                "previewMetadata": {"labels": {"not a key": "b"}}}})),
            "spec.strategy.blueGreen.previewMetadata.labels",
            "an optional DNS prefix",
        ),
        (
            "a header route that is not there is removed",
            step(0, json!({"setHeaderRoute": {"name": "beta"}})),
            "spec.strategy.canary.steps[0].setHeaderRoute.name",
            "the name of a header route that an earlier step sets",
        ),
        (
            "a header twice",
            step(
                0,
                json!({"setHeaderRoute": {"name": "beta", "match": [
                    {"header": "x-beta", "exact": "1"}, {"header": "X-Beta", "regex": "2"}]}}),
            ),
            "spec.strategy.canary.steps[0].setHeaderRoute.match[1].header",
            "each header once",
        ),
        (
            "a header with two values",
            step(
                0,
                json!({"setHeaderRoute": {"name": "beta", "match": [
                    {"header": "x-beta", "exact": "1", "regex": "2"}]}}),
            ),
            "spec.strategy.canary.steps[0].setHeaderRoute.match[0]",
            "exactly one of exact and regex",
        ),
        (
            "a header route to no pods",
            with(
                canary(),
                &format!("{CANARY}/steps"),
                json!([{"setCanaryScale": {"replicas": 0}}, header_route("beta")]),
            ),
            "spec.strategy.canary.steps[1]",
            "at least one canary pod",
        ),
        (
            "nine header routes",
            with(
                canary(),
                &format!("{CANARY}/steps"),
                (0..9).map(|i| header_route(&format!("r{i}"))).collect(),
            ),
            "spec.strategy.canary.steps[8].setHeaderRoute",
            "at most 8",
        ),
        (
            "a header route with nginx",
            with(
                step(0, header_route("beta")),
                &format!("{CANARY}/trafficRouting"),
                json!({"nginx": {"ingresses": [{"name": "web"}]}}),
            ),
            "spec.strategy.canary.steps[0].setHeaderRoute",
            "trafficRouting.gatewayAPI",
        ),
        (
            "a header route by pod counts",
            pods(&[("steps", json!([header_route("beta")]))]),
            "spec.strategy.canary.steps[0].setHeaderRoute",
            "trafficRouting.gatewayAPI",
        ),
        (
            "a mirror route that is not there is removed",
            step(0, json!({"setMirrorRoute": {"name": "shadow"}})),
            "spec.strategy.canary.steps[0].setMirrorRoute.name",
            "the name of a mirror route that an earlier step sets",
        ),
        (
            "two mirror routes",
            with(
                canary(),
                &format!("{CANARY}/steps"),
                json!([mirror_route("shadow"), mirror_route("other")]),
            ),
            "spec.strategy.canary.steps[1].setMirrorRoute.name",
            "one mirror route",
        ),
        (
            "a header route and a mirror route of one name",
            with(
                canary(),
                &format!("{CANARY}/steps"),
                json!([mirror_route("beta"), header_route("beta")]),
            ),
            "spec.strategy.canary.steps[1].setHeaderRoute.name",
            "a name of its own for each",
        ),
        (
            "a mirror route to no pods",
            with(
                canary(),
                &format!("{CANARY}/steps"),
                json!([{"setCanaryScale": {"replicas": 0}}, mirror_route("shadow")]),
            ),
            "spec.strategy.canary.steps[1]",
            "at least one canary pod",
        ),
        (
            "a mirror route with nginx",
            with(
                step(0, mirror_route("shadow")),
                &format!("{CANARY}/trafficRouting"),
                json!({"nginx": {"ingresses": [{"name": "web"}]}}),
            ),
            "spec.strategy.canary.steps[0].setMirrorRoute",
            "trafficRouting.gatewayAPI",
        ),
        (
            "a control group by pod counts",
            pods(&[("baseline", json!({"replicas": 1}))]),
            "spec.strategy.canary.baseline",
            "trafficRouting",
        ),
        (
            "a mirror route by pod counts",
            pods(&[("steps", json!([mirror_route("shadow")]))]),
            "spec.strategy.canary.steps[0].setMirrorRoute",
            "trafficRouting.gatewayAPI",
        ),
        (
            "an empty step",
            step(1, json!({})),
            "spec.strategy.canary.steps[1]",
            "exactly one of setWeight",
        ),
        (
            "a step that is two",
            step(1, json!({"setWeight": 30, "pause": {}})),
            "spec.strategy.canary.steps[1]",
            "exactly one of setWeight",
        ),
        (
            "a weight that falls",
            step(2, json!({"setWeight": 10})),
            "spec.strategy.canary.steps[2].setWeight",
            "at least 20",
        ),
        (
            "traffic to no pods",
            step(2, json!({"setCanaryScale": {"replicas": 0}})),
            "spec.strategy.canary.steps[2]",
            "at least one canary pod",
        ),
        (
            "a scale that is two",
            step(1, json!({"setCanaryScale": {"replicas": 1, "percent": 5}})),
            "spec.strategy.canary.steps[1].setCanaryScale",
            "exactly one of replicas",
        ),
        (
            "a duration without a unit",
            step(1, json!({"pause": {"duration": "soon"}})),
            "spec.strategy.canary.steps[1].pause.duration",
            "\"soon\"",
        ),
        (
            "a timeout that is none",
            step(1, json!({"pause": {"timeout": "-1m"}})),
            "spec.strategy.canary.steps[1].pause.timeout",
            "\"-1m\"",
        ),
        (
            "an analysis without an end",
            step(
                1,
                json!({"analysis": {"templates": template, "maxDuration": "ever"}}),
            ),
            "spec.strategy.canary.steps[1].analysis.maxDuration",
            "\"ever\"",
        ),
        (
            "an arg twice",
            step(
                1,
                json!({"analysis": {"templates": template, "args": [
                    {"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}}),
            ),
            "spec.strategy.canary.steps[1].analysis.args[1].name",
            "each arg once",
        ),
        (
            "a background analysis that never begins",
            with(
                canary(),
                "/strategy/canary/analysis",
                json!({"templates": template, "startingStep": 4}),
            ),
            "spec.strategy.canary.analysis.startingStep",
            "0 to 3, the number of steps",
        ),
        (
            "a Service without a router",
            pods(&[("stableService", json!("stable"))]),
            "spec.strategy.canary",
            "all three, or none",
        ),
        (
            "a router that is none",
            with(
                canary(),
                "/strategy/canary/trafficRouting",
                json!({"gatewayAPI": {}}),
            ),
            "spec.strategy.canary.trafficRouting",
            "gatewayAPI.httpRoutes",
        ),
        (
            "a surge of more than all",
            pods(&[("maxSurge", json!("150%"))]),
            "spec.strategy.canary.maxSurge",
            "0% to 100%",
        ),
        (
            "fewer pods than none",
            pods(&[("maxUnavailable", json!(-1))]),
            "spec.strategy.canary.maxUnavailable",
            "a count from 0",
        ),
        (
            "no room to replace a pod",
            pods(&[("maxSurge", json!(0)), ("maxUnavailable", json!("20%"))]),
            "spec.strategy.canary.maxUnavailable",
            "at least one of both above 0",
        ),
        (
            "no image",
            with(canary(), "/template/spec/containers", json!([])),
            "spec.template.spec.containers",
            "at least one container",
        ),
    ];
    for (name, rollout, field, said) in rows {
        let found = problems(rollout);
        let [problem] = found.as_slice() else {
            panic!("{name}: one problem, not {found:?}");
        };
        assert!(
            problem.starts_with(&format!("{field}:")),
            "{name}: {problem}"
        );
        assert!(problem.contains(said), "{name}: {problem}");
    }
}

#[test]
fn what_stands_at_the_limit_is_accepted() {
    let background = |step: i32| json!({"templates": [{"name": "t"}], "startingStep": step});
    for rollout in [
        canary(),
        with(canary(), "/strategy/canary/analysis", background(3)),
        with(
            canary(),
            "/strategy/canary/steps/2",
            json!({"setWeight": 20}),
        ),
        pods(&[("maxSurge", json!("100%")), ("maxUnavailable", json!("0%"))]),
    ] {
        assert_eq!(problems(rollout.clone()), [""; 0], "{rollout}");
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let rollout = with(canary(), "/strategy/canary/steps/0", json!({}));
    let rollout = with(rollout, "/template/spec/containers", json!([]));
    assert_eq!(problems(rollout).len(), 2);
}
