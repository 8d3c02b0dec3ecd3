//! Rollouts and what belongs to them as they stand in a cluster, for the tests of the views; and what
//! holds a view to the file in which it is written down. Never part of the plugin.

#![expect(
    clippy::needless_pass_by_value,
    reason = "literals are written where they are used"
)]

use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::objects::Objects;
use super::style::Line;
use super::tree::View;
use crate::api::analysis::AnalysisRun;
use crate::api::revert::Revert;
use crate::api::rollout::Rollout;

pub(super) const NOW: &str = "2026-11-21T12:00:00Z";

pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A canary by an HTTPRoute, with `with` merged in.
pub(super) fn rollout(with: Value) -> Rollout {
    let mut rollout = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u1", "generation": 7,
            "creationTimestamp": "2026-11-14T12:00:00Z"},
        "spec": {
            "replicas": 10,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {"metadata": {"labels": {"app": "checkout"}},
                "spec": {"containers": [{"name": "app", "image": "r.example/checkout:1.5"}]}},
            "strategy": {"canary": {
                "stableService": "checkout-stable", "canaryService": "checkout-canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                "steps": [
                    {"setWeight": 5},
                    {"analysis": {"templates": [{"name": "golden-signals"}]}},
                    {"setWeight": 25},
                    {"pause": {"duration": "10m"}},
                    {"setWeight": 50},
                    {"pause": {"timeout": "24h"}},
                ],
            }},
        },
        "status": {
            "observedGeneration": 7, "phase": "Healthy",
            "message": "revision 12 is stable",
            "stable": {"revision": 12, "hash": "6b5f9c7d00", "images": ["r.example/checkout:1.4"]},
            "traffic": {"desired": 0, "accepted": 0},
            "replicas": 10, "readyReplicas": 10, "updatedReplicas": 10, "availableReplicas": 10,
            "selector": "app=checkout",
        },
    });
    merge(&mut rollout, with);
    serde_json::from_value(rollout).unwrap()
}

pub(super) fn canary(step: i32, phase: &str, message: &str, weight: i32) -> Value {
    json!({"status": {
        "phase": phase, "message": message,
        "canary": {"revision": 13, "hash": "77cd81f200", "images": ["r.example/checkout:1.5"],
            "attempt": 1, "step": step, "steps": 6, "stepText": format!("{step}/6")},
        "traffic": {"desired": weight, "accepted": weight},
        "replicas": 12, "readyReplicas": 12, "updatedReplicas": 2, "availableReplicas": 12,
    }})
}

pub(super) fn replica_set(revision: i64, hash: &str, desired: i32, ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": format!("checkout-{hash}"), "namespace": "shop",
            "labels": {"app": "checkout", "rollouts-pod-template-hash": hash},
            "annotations": {"tidegate.io/revision": revision.to_string()},
            "creationTimestamp": if revision == 13 {"2026-11-21T11:48:00Z"} else {"2026-11-19T12:00:00Z"},
            "ownerReferences": [{"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
                "name": "checkout", "uid": "u1", "controller": true}]},
        "spec": {"replicas": desired, "selector": {"matchLabels": {"app": "checkout"}}},
        "status": {"replicas": desired.max(ready), "readyReplicas": ready, "availableReplicas": ready},
    }))
    .unwrap()
}

pub(super) fn run(phase: &str, verdict: &str, metrics: Value) -> AnalysisRun {
    serde_json::from_value(json!({
        "metadata": {"name": "checkout-77cd81f200-13-1-1", "namespace": "shop",
            "creationTimestamp": "2026-11-21T11:50:00Z"},
        "spec": {"rollout": {"name": "checkout", "uid": "u1"}, "canaryHash": "77cd81f200",
            "stableHash": "6b5f9c7d00", "revision": 13, "step": 1,
            "metrics": [{"name": "error-ratio", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}}]},
        "status": {"phase": phase, "verdict": verdict, "reason": "Undecided",
            "message": "error-ratio needs about 1,900 more requests (2m)", "metrics": metrics},
    }))
    .unwrap()
}

pub(super) fn ratio(verdict: &str, harm: f64, safe: f64) -> Value {
    let log = |odds: f64| json!({"log": odds.ln(), "limit": 100f64.ln()});
    json!({"name": "error-ratio", "verdict": verdict, "reason": "R", "message": "M",
    "comparison": {
        "canary": {"requests": 9400, "bad": 23}, "stable": {"requests": 80000, "bad": 310},
        "canaryAll": {"requests": 9900, "bad": 25}, "stableAll": {"requests": 90000, "bad": 350},
        "harm": log(harm), "safe": log(safe), "gross": log(1.0),
        "effect": {"times": 0.631, "lower": 0.4, "upper": 1.1, "points": -0.1},
        "forecast": {"requests": 1900, "seconds": 120},
    }})
}

pub(super) fn revert(mode: &str, status: Value) -> Revert {
    serde_json::from_value(json!({
        "metadata": {"name": "checkout-77cd81f200-1", "namespace": "shop",
            "creationTimestamp": "2026-11-21T11:58:00Z"},
        "spec": {"mode": mode, "rollout": {"name": "checkout", "uid": "u1"},
            "stable": {"revision": 12, "hash": "6b5f9c7d00"},
            "bad": {"revision": 13, "hash": "77cd81f200"}, "attempt": 1,
            "reason": "AnalysisFailed", "abortedAt": "2026-11-21T11:58:00Z"},
        "status": status,
    }))
    .unwrap()
}

pub(super) fn aborted(phase: &str) -> Value {
    let mut with = canary(1, phase, "stable has all traffic: error-ratio is worse", 0);
    merge(
        &mut with,
        json!({"status": {"abort": {"at": "2026-11-21T11:58:00Z",
        "reason": "AnalysisFailed", "message": "error-ratio is 3.1 times stable's (1.9 to 4.8)",
        "hash": "77cd81f200", "step": 1, "weight": 5, "revert": "checkout-77cd81f200-1"}}}),
    );
    with
}

pub(super) fn view(width: Option<usize>, wide: bool) -> View {
    View {
        now: NOW.parse().unwrap(),
        width,
        wide,
    }
}

pub(super) fn mid_canary() -> Objects {
    let mut all = Objects::of(rollout(canary(
        1,
        "Progressing",
        "step 1/6, 5 % canary: error-ratio needs about 1,900 more requests (2m)",
        5,
    )));
    all.replica_sets = vec![
        replica_set(13, "77cd81f200", 1, 1),
        replica_set(12, "6b5f9c7d00", 10, 10),
        replica_set(11, "11aa22bb00", 0, 0),
        replica_set(10, "10aa22bb00", 0, 0),
        replica_set(9, "09aa22bb00", 0, 0),
        replica_set(8, "08aa22bb00", 0, 0),
    ];
    all.runs = vec![run(
        "Running",
        "Inconclusive",
        json!([ratio("Inconclusive", 1.2, 10.0)]),
    )];
    all
}

pub(super) fn shape(rollout: Rollout, sets: Vec<ReplicaSet>) -> Objects {
    Objects {
        replica_sets: sets,
        ..Objects::of(rollout)
    }
}

pub(super) fn stable_set() -> ReplicaSet {
    replica_set(12, "6b5f9c7d00", 10, 10)
}

pub(super) fn paused(step: i32, reason: &str, until: Value) -> Rollout {
    let mut with = canary(step, "Paused", "waits", 25);
    merge(
        &mut with,
        json!({"status": {"pause": {"reason": reason, "since": "2026-11-21T11:55:00Z",
            "until": until}}}),
    );
    rollout(with)
}

/// What is shown of a shape as it is written down: no wider than the screen, and nothing in it that a
/// terminal would obey.
pub(super) fn written(name: &str, lines: &[Line], view: &View) -> String {
    for line in lines {
        let (width, text) = (line.width(), line.render(false));
        assert!(view.width.is_none_or(|w| width <= w), "{name}: {text}");
        assert!(!text.contains(char::is_control), "{name}: {text:?}");
    }
    let text: String = lines.iter().map(|line| line.render(false) + "\n").collect();
    format!("=== {name}\n\n{text}\n")
}

/// Compares what is shown with a file of `src/cli`; `TIDEGATE_BLESS=1` writes that file anew, to be read
/// before it is committed.
pub(super) fn hold_to(file: &str, actual: &str) {
    let path = format!("{}/src/cli/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (i, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "line {} of {file}", i + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{file}");
}
