//! A dozen shapes of a Rollout, as people see them.

use serde_json::{Value, json};

use super::*;
use crate::cli::fixtures::{
    aborted, canary, hold_to, merge, mid_canary, paused, ratio, replica_set, revert, rollout, run,
    shape, stable_set, view, written,
};

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

#[test]
fn every_shape_is_shown_as_written_down() {
    let mut actual = String::new();
    for (name, all, view) in shapes() {
        let lines = render(&all, &view);
        actual.push_str(&written(name, &lines, &view));
    }
    hold_to("tree/shapes.txt", &actual);
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
