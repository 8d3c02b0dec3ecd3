//! A dozen shapes of a Rollout, as people see them.

#![expect(
    clippy::needless_pass_by_value,
    reason = "literals are written where they are used"
)]

use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::*;
use crate::api::rollout::Rollout;

const NOW: &str = "2026-11-21T12:00:00Z";

fn merge(into: &mut Value, from: Value) {
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
fn rollout(with: Value) -> Rollout {
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

fn canary(step: i32, phase: &str, message: &str, weight: i32) -> Value {
    json!({"status": {
        "phase": phase, "message": message,
        "canary": {"revision": 13, "hash": "77cd81f200", "images": ["r.example/checkout:1.5"],
            "attempt": 1, "step": step, "steps": 6, "stepText": format!("{step}/6")},
        "traffic": {"desired": weight, "accepted": weight},
        "replicas": 12, "readyReplicas": 12, "updatedReplicas": 2, "availableReplicas": 12,
    }})
}

fn replica_set(revision: i64, hash: &str, desired: i32, ready: i32) -> ReplicaSet {
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

fn run(phase: &str, verdict: &str, metrics: Value) -> AnalysisRun {
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

fn ratio(verdict: &str, harm: f64, safe: f64) -> Value {
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

fn revert(mode: &str, status: Value) -> Revert {
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

fn aborted(phase: &str) -> Value {
    let mut with = canary(1, phase, "stable has all traffic: error-ratio is worse", 0);
    merge(
        &mut with,
        json!({"status": {"abort": {"at": "2026-11-21T11:58:00Z",
        "reason": "AnalysisFailed", "message": "error-ratio is 3.1 times stable's (1.9 to 4.8)",
        "hash": "77cd81f200", "step": 1, "weight": 5, "revert": "checkout-77cd81f200-1"}}}),
    );
    with
}

fn view(width: Option<usize>, wide: bool) -> View {
    View {
        now: NOW.parse().unwrap(),
        width,
        wide,
    }
}

fn mid_canary() -> Objects {
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

fn shape(rollout: Rollout, sets: Vec<ReplicaSet>) -> Objects {
    Objects {
        replica_sets: sets,
        ..Objects::of(rollout)
    }
}

fn stable_set() -> ReplicaSet {
    replica_set(12, "6b5f9c7d00", 10, 10)
}

fn paused(step: i32, reason: &str, until: Value) -> Rollout {
    let mut with = canary(step, "Paused", "waits", 25);
    merge(
        &mut with,
        json!({"status": {"pause": {"reason": reason, "since": "2026-11-21T11:55:00Z",
            "until": until}}}),
    );
    rollout(with)
}

/// Every shape with its name and how it is shown.
fn shapes() -> Vec<(&'static str, Objects, View)> {
    let plain = view(None, false);
    let mut out = Vec::new();

    let healthy = || shape(rollout(json!({})), vec![stable_set()]);
    out.push(("healthy", healthy(), plain));

    let lossy = |status: &str, message: &str| {
        shape(
            rollout(
                json!({"status": {"conditions": [{"type": "Lossless", "status": status,
                "reason": "R", "message": message, "lastTransitionTime": "2026-11-21T11:48:00Z"}]}}),
            ),
            vec![stable_set()],
        )
    };
    let missing = lossy(
        "False",
        "spec.template.spec.containers: none has a readinessProbe",
    );
    out.push(("pods that lose requests", missing, plain));
    let unseen = lossy(
        "Unknown",
        "spec.template.spec.containers: none has a preStop hook",
    );
    out.push(("pods that may lose requests", unseen.clone(), plain));
    let wide = view(None, true);
    out.push(("pods that may lose requests, wide", unseen, wide));

    let mut new = rollout(json!({"metadata": {"generation": 1}}));
    new.status = None;
    out.push(("nobody has looked at it", Objects::of(new), plain));

    let first = rollout(
        json!({"status": {"phase": "Initializing", "message": "the first version comes up",
        "stable": null, "readyReplicas": 3, "availableReplicas": 3,
        "canary": {"revision": 1, "hash": "6b5f9c7d00", "images": ["r.example/checkout:1.4"]}}}),
    );
    out.push((
        "first deployment",
        shape(first, vec![replica_set(1, "6b5f9c7d00", 10, 3)]),
        plain,
    ));

    out.push(("mid canary", mid_canary(), plain));
    out.push((
        "mid canary, 80 columns",
        mid_canary(),
        view(Some(80), false),
    ));
    out.push((
        "mid canary, 120 columns, wide",
        mid_canary(),
        view(Some(120), true),
    ));

    let sets = || vec![replica_set(13, "77cd81f200", 3, 3), stable_set()];
    out.push((
        "pause step with a time",
        shape(paused(3, "Step", json!("2026-11-21T12:05:00Z")), sets()),
        plain,
    ));
    out.push((
        "pause step that aborts",
        shape(paused(5, "Step", json!("2026-11-22T11:55:00Z")), sets()),
        plain,
    ));
    let mut held = paused(2, "Manual", Value::Null);
    held.status.as_mut().unwrap().held_since = Some("2026-11-21T11:55:00Z".parse().unwrap());
    out.push(("held by hand", shape(held, sets()), plain));

    let mut no_source = shape(paused(1, "SourceError", Value::Null), sets());
    no_source.runs = vec![run(
        "Running",
        "SourceError",
        json!([
            {"name": "error-ratio", "verdict": "SourceError", "reason": "HttpStatus", "message": "m",
             "trouble": {"reason": "HttpStatus", "message": "http://prometheus:9090 answered 503",
                "since": "2026-11-21T11:57:00Z", "count": 6, "retryAt": "2026-11-21T12:00:20Z"}},
            {"name": "saturation", "verdict": "Inconclusive", "reason": "R", "message": "", "dryRun": true,
             "threshold": {"successes": 8, "needed": 10, "failures": 1, "failureLimit": 2, "unanswered": 3,
                "recent": [{"at": "2026-11-21T11:59:00Z", "value": 0.423, "outcome": "Success"}]}},
        ]),
    )];
    out.push(("the metrics endpoint does not answer", no_source, plain));

    let mut waits = canary(
        2,
        "Progressing",
        "step 2/6: waits for HTTPRoute checkout",
        25,
    );
    merge(
        &mut waits,
        json!({"metadata": {"generation": 8}, "status": {"traffic": {"accepted": 5},
        "lastHandledCommand": {"command": "promote", "value": "13/1 2026-11-21T11:59:00Z alice",
            "at": "2026-11-21T11:59:01Z", "result": "Refused: it was meant for step 1; the rollout is at step 2 of 6"}}}),
    );
    out.push((
        "a weight on its way, a refused command, a change not seen",
        shape(rollout(waits), sets()),
        plain,
    ));

    let mut bad = shape(
        rollout(aborted("Aborted")),
        vec![replica_set(13, "77cd81f200", 1, 1), stable_set()],
    );
    bad.runs = vec![run("Failed", "Fail", json!([ratio("Fail", 140.0, 0.01)]))];
    bad.reverts = vec![revert(
        "Push",
        json!({"phase": "Pushed", "commit": "1a2b3c4d5e6f",
        "branch": "main", "message": "pushed to main; waits for the cluster to follow"}),
    )];
    out.push((
        "aborted, the change on its way out of Git",
        bad.clone(),
        plain,
    ));
    bad.reverts = vec![revert(
        "Push",
        json!({"phase": "NeedsHuman",
        "message": "two files set this image: say which by tidegate.io/source-path"}),
    )];
    out.push(("aborted, Git needs a person", bad, view(Some(80), false)));

    let mut dry = shape(
        rollout(aborted("Aborting")),
        vec![replica_set(13, "77cd81f200", 1, 0), stable_set()],
    );
    dry.reverts = vec![revert(
        "DryRun",
        json!({"phase": "Planned", "plan": "-image: a:1.5\n+image: a:1.4\n"}),
    )];
    out.push((
        "aborting, a dry run of the revert, wide",
        dry,
        view(None, true),
    ));

    let rejected = rollout(
        json!({"status": {"phase": "Rejected", "message": "the spec asks for a rejected version"}}),
    );
    let mut rejected = shape(rejected, vec![stable_set()]);
    rejected.reverts = vec![revert("Off", json!({"phase": "Recorded"}))];
    out.push(("rejected", rejected, plain));

    let invalid = rollout(json!({"status": {"phase": "Invalid",
        "message": "spec.strategy.canary.stableService: Service checkout-stable does not exist"}}));
    out.push(("invalid", shape(invalid, vec![stable_set()]), plain));

    let mut failing = replica_set(13, "77cd81f200", 2, 0);
    failing.status.as_mut().unwrap().conditions = Some(
        serde_json::from_value(json!([
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
         "message": "pods \"checkout-x\" is forbidden: exceeded quota"}]))
        .unwrap(),
    );
    let overdue = rollout(canary(0, "Degraded", "no progress for 10m", 0));
    out.push((
        "degraded by a quota",
        shape(overdue, vec![failing, stable_set()]),
        plain,
    ));

    let blue_green = |accepted: i32| {
        let mut with = canary(3, "Progressing", "the new version is judged", accepted);
        merge(
            &mut with,
            json!({"spec": {"strategy": {"canary": null, "blueGreen":
            {"activeService": "checkout", "previewService": "checkout-preview"}}}}),
        );
        rollout(with)
    };
    let both = || vec![replica_set(13, "77cd81f200", 10, 10), stable_set()];
    out.push((
        "blue/green before the switch",
        shape(blue_green(0), both()),
        plain,
    ));
    out.push((
        "blue/green after the switch",
        shape(blue_green(100), both()),
        plain,
    ));

    let hostile = rollout(json!({"status": {"message": "a\u{1b}[2J\u{202e}b\nc"}}));
    let mut hostile = shape(hostile, vec![]);
    hostile.notes = vec!["AnalysisRuns are not shown: forbidden".to_owned()];
    out.push(("hostile text, and a note", hostile, plain));
    out
}

/// Shows every shape and compares it with `shapes.txt`; `TIDEGATE_BLESS=1` writes that file anew, to
/// be read before it is committed.
#[test]
fn every_shape_is_shown_as_written_down() {
    let mut actual = String::new();
    for (name, all, view) in shapes() {
        let lines = render(&all, &view);
        for line in &lines {
            let width = line.width();
            assert!(
                view.width.is_none_or(|w| width <= w),
                "{name}: {}",
                line.render(false)
            );
        }
        let text: String = lines.iter().map(|line| line.render(false) + "\n").collect();
        actual.push_str(&format!("=== {name}\n\n{text}\n"));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/tree/shapes.txt");
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(file, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap();
    for (i, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "line {} of shapes.txt", i + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count());
}

#[test]
fn what_belongs_to_somebody_else_is_not_shown() {
    let mut all = mid_canary();
    all.replica_sets[1]
        .metadata
        .owner_references
        .as_mut()
        .unwrap()[0]
        .uid = "u2".into();
    all.runs[0].spec.rollout.as_mut().unwrap().uid = "u2".into();
    let mut of_another = revert("Off", json!({}));
    of_another.spec.rollout.name = "cart".into();
    all.reverts = vec![of_another, revert("Off", json!({}))];
    all.keep_own();
    assert_eq!(all.replica_sets.len(), 5);
    assert!(all.runs.is_empty());
    assert_eq!(all.reverts.len(), 1);
}
