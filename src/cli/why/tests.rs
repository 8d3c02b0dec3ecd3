//! A Rollout in every phase, pause and abort, and why it is so.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::*;
use crate::api::analysis::{AnalysisRun, OnInconclusive, RunMode};
use crate::api::rollout::{Rollout, TimeoutAction};
use crate::cli::fixtures::{
    NOW, aborted, canary, hold_to, merge, paused, ratio, replica_set, revert, rollout, run, shape,
    stable_set, view, written,
};
use crate::cli::tree::View;
use crate::core::naming;

/// The run of the fixtures.
const RUN: &str = "checkout-77cd81f200-13-1-1";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn with(mut base: Value, more: Value) -> Value {
    merge(&mut base, more);
    base
}

/// In the middle of a step that began at 11:50.
fn at(step: i32, message: &str, weight: i32, more: Value) -> Rollout {
    let began = json!({"status": {"canary": {"startedAt": "2026-11-21T11:40:00Z",
        "stepStartedAt": "2026-11-21T11:50:00Z"}}});
    let base = canary(step, "Progressing", message, weight);
    rollout(with(with(base, began), more))
}

/// In a pause of the fixtures' Rollout, whose step began with it.
fn waits(step: i32, reason: &str, message: &str, until: Value) -> Rollout {
    let mut rollout = paused(step, reason, until);
    let status = rollout.status.as_mut().unwrap();
    status.message = message.to_owned();
    status.canary.as_mut().unwrap().step_started_at = Some(time("2026-11-21T11:55:00Z"));
    rollout
}

fn both_sets(ready: i32) -> Vec<ReplicaSet> {
    vec![replica_set(13, "77cd81f200", 3, ready), stable_set()]
}

/// A run of step 1 that began at 11:50.
fn looking(verdict: &str, message: &str, metrics: Value) -> AnalysisRun {
    let mut run = run("Running", verdict, metrics);
    run.spec.promote.max_duration = Some("60m".to_owned());
    run.spec.promote.min_bake = Some("5m".to_owned());
    let status = run.status.as_mut().unwrap();
    status.started_at = Some(time("2026-11-21T11:50:00Z"));
    status.message = message.to_owned();
    run
}

fn judged(step: i32, message: &str, weight: i32) -> Rollout {
    let named = json!({"status": {"canary": {"analysisRun": RUN}}});
    at(step, message, weight, named)
}

/// Given up for this reason.
fn given_up(phase: &str, reason: &str, message: &str) -> Objects {
    let head = match phase {
        "Aborting" => "traffic goes back to stable",
        "Degraded" => "stable does not come to take its traffic back",
        _ => "stable has all traffic",
    };
    let failed = reason == "AnalysisFailed";
    let more = json!({"status": {"message": format!("{head}: {message}"), "abort": {
        "reason": reason, "message": message, "analysisRun": failed.then_some(RUN)}}});
    let mut all = shape(rollout(with(aborted(phase), more)), both_sets(3));
    if failed {
        let mut failed = run(
            "Failed",
            "Fail",
            json!([ratio("Fail", 140.0, 0.01), {"name": "latency", "verdict": "Inconclusive",
                "reason": "R", "message": "M"}]),
        );
        failed.status.as_mut().unwrap().message = message.to_owned();
        all.runs = vec![failed];
    }
    all
}

fn failed() -> Objects {
    given_up(
        "Aborted",
        "AnalysisFailed",
        "analysis checkout-77cd81f200-13-1-1 failed: error-ratio: 3.1 times stable's (1.9 to 4.8)",
    )
}

/// Rollouts with their names and how they are shown.
type Shapes = Vec<(&'static str, Objects, View)>;

/// All of them.
fn shapes() -> Shapes {
    let plain = view(None, false);
    let mut out = Shapes::new();
    beginnings(&mut out);
    let mut add = |name: &'static str, all: Objects| out.push((name, all, plain));

    add(
        "pods come",
        shape(
            at(
                0,
                "step 0/6, 5 % canary: pods of the new version become available (3 needed)",
                0,
                json!({"status": {"canary": {"progressAt": "2026-11-21T11:57:00Z"}}}),
            ),
            both_sets(1),
        ),
    );
    add(
        "pods do not come, which is only said",
        shape(
            at(
                0,
                "step 0/6, 5 % canary: pods of the new version become available (3 needed)",
                0,
                json!({"spec": {"progressDeadlineAction": "Report"},
                    "status": {"canary": {"progressAt": "2026-11-21T11:57:00Z"}}}),
            ),
            both_sets(1),
        ),
    );
    add(
        "versions follow each other closely",
        Objects::of(at(
            0,
            "step 0/6, 0 % canary: versions follow each other closely: this one begins when the spec is at rest",
            0,
            json!({"status": {"canary": {"beginsAt": "2026-11-21T12:00:03Z", "attempt": 2,
                "progressAt": "2026-11-21T11:59:58Z", "stepStartedAt": "2026-11-21T11:59:58Z"}}}),
        )),
    );
    add(
        "a weight settles",
        shape(
            at(
                2,
                "step 2/6, 25 % canary: 25 % of the traffic: HTTPRoute checkout settles",
                25,
                json!({"status": {"traffic": {"accepted": 5},
                    "canary": {"progressAt": "2026-11-21T11:59:50Z"}}}),
            ),
            both_sets(3),
        ),
    );

    let gathers = "step 1/6, 5 % canary: analysis checkout-77cd81f200-13-1-1 gathers evidence";
    let mut looks = shape(judged(1, gathers, 5), both_sets(3));
    let good = json!({"name": "latency", "verdict": "Pass", "reason": "Pass", "message": "M"});
    looks.runs = vec![looking(
        "Inconclusive",
        "error-ratio: about 1,900 more requests",
        json!([ratio("Inconclusive", 1.2, 10.0), good]),
    )];
    add("an analysis gathers evidence", looks.clone());
    let status = looks.runs[0].status.as_mut().unwrap();
    status.started_at = Some(time("2026-11-21T11:57:00Z"));
    status.held_seconds = 20;
    status.held_since = Some(time("2026-11-21T11:59:50Z"));
    looks.runs[0].spec.promote.on_inconclusive = Some(OnInconclusive::Abort);
    add("a young analysis that was held", looks.clone());
    let foreseen = json!({"status": {"canary": {"analysisRun": RUN}, "conditions": [
        {"type": "TooLittleTraffic", "status": "True", "reason": "Forecast",
         "message": "analysis checkout-77cd81f200-13-1-1: error-ratio: will not decide at this traffic within the step: 9m are left",
         "lastTransitionTime": "2026-11-21T11:58:00Z"}]}});
    looks.rollout = at(1, gathers, 5, foreseen);
    add("too little traffic for an analysis", looks.clone());
    looks.runs.clear();
    add("an analysis that is gone", looks.clone());
    looks.notes = vec!["AnalysisRuns are not shown: forbidden".to_owned()];
    add("an analysis that may not be read", looks);

    let withheld = "step 4/6, 50 % canary: analysis checkout-77cd81f200-13-bg-1 gathers evidence";
    let named = json!({"status": {"canary": {"backgroundRun": "checkout-77cd81f200-13-bg-1"}}});
    let mut background = shape(at(4, withheld, 50, named), both_sets(3));
    let mut watching = looking(
        "Pass",
        "error-ratio: good enough",
        json!([ratio("Pass", 0.2, 180.0)]),
    );
    watching.metadata.name = Some("checkout-77cd81f200-13-bg-1".to_owned());
    watching.spec.mode = RunMode::Background;
    background.runs = vec![watching];
    add("an analysis in the background", background);

    let full = json!({"status": {"canary": {"full": true, "progressAt": "2026-11-21T11:50:00Z"},
        "lastHandledCommand": {"command": "retry", "value": "13/1 2026-11-21T11:59:00Z alice",
            "at": "2026-11-21T11:59:01Z",
            "result": "Refused: the version was not aborted; there is nothing to retry"}}});
    add(
        "promoted in full, overdue, and a refused command",
        shape(
            at(
                4,
                "step 4/6, 100 % canary: all traffic: being written",
                100,
                full,
            ),
            both_sets(3),
        ),
    );
    pauses(&mut out);
    aborts(&mut out);
    endings(&mut out);
    out
}

/// Before there is a stable version, and before anybody looked.
fn beginnings(out: &mut Shapes) {
    let plain = view(None, false);
    let mut new = rollout(json!({"metadata": {"generation": 1}}));
    new.status = None;
    out.push(("nobody has looked at it", Objects::of(new), plain));
    let first = |phase: &str, message: &str| {
        rollout(
            json!({"status": {"phase": phase, "message": message, "stable": null,
            "canary": {"revision": 1, "hash": "6b5f9c7d00", "images": ["r.example/checkout:1.4"],
                "startedAt": "2026-11-21T11:56:00Z", "stepStartedAt": "2026-11-21T11:56:00Z",
                "progressAt": "2026-11-21T11:58:00Z"}}}),
        )
    };
    let few = || vec![replica_set(1, "6b5f9c7d00", 10, 3)];
    let comes = first("Initializing", "the first version comes up");
    out.push(("first deployment", shape(comes, few()), plain));
    let late = first(
        "Degraded",
        "first deployment: no progress within 600 s: HTTPRoute checkout settles",
    );
    out.push(("first deployment, too late", shape(late, few()), plain));

    let mut serving = first(
        "Degraded",
        "the version is on record as rejected, but there is no other to serve",
    );
    serving.status.as_mut().unwrap().conditions = serde_json::from_value(json!([
        {"type": "RejectedVersionServing", "status": "True", "reason": "NoOtherVersion",
         "message": "m", "lastTransitionTime": "2026-11-21T11:58:00Z"}]))
    .unwrap();
    let mut record = revert("Off", json!({"phase": "Recorded"}));
    record.spec.bad.hash = naming::template_hash(&serving.spec.template, 0);
    let mut serving = shape(serving, few());
    serving.reverts = vec![record];
    out.push(("the only version was rejected", serving, plain));
}

fn pauses(out: &mut Shapes) {
    let plain = view(None, false);
    let mut add = |name: &'static str, all: Objects| out.push((name, all, plain));
    let sets = || both_sets(3);
    add(
        "pause step with a time",
        shape(
            waits(
                3,
                "Step",
                "step 3/6, 25 % canary: pause",
                json!("2026-11-21T12:05:00Z"),
            ),
            sets(),
        ),
    );
    let until = "step 5/6, 50 % canary: pause until promoted: kubectl tidegate promote";
    let timeout = json!("2026-11-22T11:55:00Z");
    add(
        "pause step that aborts",
        shape(waits(5, "Step", until, timeout.clone()), sets()),
    );
    let mut goes_on = waits(5, "Step", until, timeout);
    let steps = &mut goes_on.spec.strategy.canary.as_mut().unwrap().steps;
    let pause = steps[5].pause.as_mut().unwrap();
    pause.on_timeout = Some(TimeoutAction::Promote);
    add("pause step that goes on", shape(goes_on.clone(), sets()));
    let steps = &mut goes_on.spec.strategy.canary.as_mut().unwrap().steps;
    steps[5].pause.as_mut().unwrap().timeout = None;
    goes_on
        .status
        .as_mut()
        .unwrap()
        .pause
        .as_mut()
        .unwrap()
        .until = None;
    add("pause step until promoted", shape(goes_on, sets()));

    let message = "step 2/6, 25 % canary: held (kubectl tidegate resume)";
    let mut held = waits(2, "Manual", message, Value::Null);
    let status = held.status.as_mut().unwrap();
    status.held_since = Some(time("2026-11-21T11:55:00Z"));
    status.last_handled_command = serde_json::from_value(json!({"command": "pause",
        "value": "13/2 2026-11-21T11:54:59Z alice", "at": "2026-11-21T11:55:00Z",
        "result": "Accepted"}))
    .unwrap();
    add("held by hand", shape(held, sets()));
    let message = "step 2/6, 25 % canary: held (spec.paused)";
    let mut spec = waits(2, "Manual", message, Value::Null);
    spec.spec.paused = true;
    add("held by the spec", shape(spec, sets()));

    let named = |reason: &str, message: &str| {
        let mut rollout = waits(1, reason, message, Value::Null);
        let canary = rollout.status.as_mut().unwrap().canary.as_mut().unwrap();
        canary.analysis_run = Some(RUN.to_owned());
        shape(rollout, both_sets(3))
    };
    let mut undecided = named(
        "Inconclusive",
        "step 1/6, 5 % canary: analysis checkout-77cd81f200-13-1-1 ended without enough evidence: kubectl tidegate promote goes on, abort gives up",
    );
    let mut ended = run(
        "Inconclusive",
        "Inconclusive",
        json!([ratio("Inconclusive", 1.2, 10.0)]),
    );
    ended.status.as_mut().unwrap().message =
        "not enough evidence within 60m; error-ratio: about 1,900 more requests".to_owned();
    undecided.runs = vec![ended];
    add("an analysis that decided neither way", undecided);

    let mut no_data = named(
        "NoData",
        "step 1/6, 5 % canary: analysis checkout-77cd81f200-13-1-1 has nothing that it could judge: error-ratio: no samples of the new version",
    );
    no_data.runs = vec![looking(
        "NoData",
        "error-ratio: no samples of the new version",
        json!([{"name": "error-ratio", "verdict": "NoData", "reason": "NoCanarySamples",
            "message": "no samples of the new version"}]),
    )];
    add("an analysis without data", no_data);

    let mut no_source = named(
        "SourceError",
        "step 1/6, 5 % canary: analysis checkout-77cd81f200-13-1-1 gets no answer that can be used: error-ratio: http://prometheus:9090 answered 503",
    );
    no_source.runs = vec![looking(
        "SourceError",
        "error-ratio: http://prometheus:9090 answered 503",
        json!([{"name": "error-ratio", "verdict": "SourceError", "reason": "HttpStatus", "message": "m",
            "trouble": {"reason": "HttpStatus", "message": "http://prometheus:9090 answered 503",
                "since": "2026-11-21T11:57:00Z", "count": 6, "retryAt": "2026-11-21T12:00:20Z"}}]),
    )];
    add("the metrics endpoint does not answer", no_source);
}

fn aborts(out: &mut Shapes) {
    let plain = view(None, false);
    let mut going = given_up("Aborting", "Manual", "anna asked for it");
    going.rollout.status.as_mut().unwrap().traffic =
        serde_json::from_value(json!({"desired": 0, "accepted": 5})).unwrap();
    going.replica_sets[1] = replica_set(12, "6b5f9c7d00", 10, 6);
    going.reverts = vec![revert(
        "Off",
        json!({"phase": "Recorded",
        "message": "mode Off: the version is on record as rejected"}),
    )];
    out.push(("the traffic goes back", going, plain));

    let mut pushed = failed();
    pushed.reverts = vec![revert(
        "Push",
        json!({"phase": "Pushed", "commit": "1a2b3c4d5e6f", "branch": "main",
            "message": "commit 1a2b3c4d5e6f was accepted by the remote"}),
    )];
    out.push(("an analysis failed", pushed.clone(), plain));
    out.push((
        "an analysis failed, 80 columns",
        pushed,
        view(Some(80), false),
    ));

    let mut manual = given_up("Aborted", "Manual", "anna asked for it");
    manual.reverts = vec![revert(
        "Push",
        json!({"phase": "Pending", "message": "git.example did not answer within 60 s",
            "attempts": 3, "nextRetryAt": "2026-11-21T12:00:16Z", "conditions": [
            {"type": "Resolved", "status": "Unknown", "reason": "Unreachable",
             "message": "git.example did not answer within 60 s",
             "lastTransitionTime": "2026-11-21T11:58:00Z"}]}),
    )];
    out.push(("aborted by hand, Git does not answer", manual, plain));

    let mut late = given_up(
        "Aborted",
        "ProgressDeadlineExceeded",
        "no progress within 600 s: pods of the new version become available (3 needed)",
    );
    late.reverts = vec![revert(
        "Push",
        json!({"phase": "NeedsHuman", "message": "two files set this image: say which by tidegate.io/source-path",
            "conditions": [{"type": "Resolved", "status": "False", "reason": "Ambiguous",
             "message": "two files set this image: say which by tidegate.io/source-path",
             "lastTransitionTime": "2026-11-21T11:58:00Z"}]}),
    )];
    out.push(("no progress, Git needs a person", late, plain));

    let mut nobody = given_up("Aborted", "PauseTimeout", "nobody promoted within 86400 s");
    nobody.reverts = vec![revert(
        "DryRun",
        json!({"phase": "Planned", "plan": "-image: a:1.5\n+image: a:1.4\n",
            "message": "the change is found; see status.plan"}),
    )];
    out.push((
        "nobody promoted, a dry run of the revert",
        nobody.clone(),
        plain,
    ));
    nobody.reverts.clear();
    out.push(("nobody promoted, the record is gone", nobody, plain));

    let mut stuck = given_up("Degraded", "Manual", "anna asked for it");
    stuck.replica_sets[1] = replica_set(12, "6b5f9c7d00", 10, 0);
    stuck.reverts = vec![revert("Off", json!({}))];
    out.push(("stable does not come", stuck, plain));
}

fn endings(out: &mut Shapes) {
    let plain = view(None, false);
    let mut add = |name: &'static str, all: Objects| out.push((name, all, plain));
    let mut refused = rollout(json!({"status": {"phase": "Rejected",
        "message": "the spec asks for a version on record as rejected; stable keeps all traffic: take the change out of Git, or kubectl tidegate retry"}}));
    refused
        .status
        .as_mut()
        .unwrap()
        .stable
        .as_mut()
        .unwrap()
        .since = Some(time("2026-11-19T12:00:00Z"));
    let mut record = revert("Off", json!({"phase": "Recorded"}));
    record.spec.bad.hash = naming::template_hash(&refused.spec.template, 0);
    record.spec.bad.images = vec!["r.example/checkout:1.5".to_owned()];
    record.spec.message = Some("error-ratio: 3.1 times stable's (1.9 to 4.8)".to_owned());
    let mut released = record.clone();
    released.spec.attempt = 2;
    released.metadata.annotations =
        serde_json::from_value(json!({"tidegate.io/released": "2026-11-21T11:59:00Z anna"}))
            .unwrap();
    let mut rejected = shape(refused, vec![stable_set()]);
    rejected.reverts = vec![record, released];
    add("rejected", rejected);

    let invalid = rollout(json!({"status": {"phase": "Invalid",
        "message": "spec.strategy.canary.stableService: Service checkout-stable does not exist"}}));
    add("invalid", shape(invalid, vec![stable_set()]));

    let mut failing = replica_set(13, "77cd81f200", 3, 0);
    failing.status.as_mut().unwrap().conditions = Some(
        serde_json::from_value(json!([
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
         "message": "pods \"checkout-x\" is forbidden: exceeded quota"}]))
        .unwrap(),
    );
    let overdue = rollout(canary(
        0,
        "Degraded",
        "step 0/6, 5 % canary: no progress within 600 s: pods of the new version cannot be created: exceeded quota",
        0,
    ));
    add(
        "degraded by a quota",
        shape(overdue, vec![failing, stable_set()]),
    );

    let short = rollout(json!({"status": {"phase": "Progressing",
        "message": "pods of the stable version become available", "readyReplicas": 8,
        "conditions": [{"type": "Ready", "status": "False", "reason": "Progressing", "message": "m",
            "lastTransitionTime": "2026-11-21T11:57:00Z"}]}}));
    let some = vec![replica_set(12, "6b5f9c7d00", 10, 8)];
    add("stable is short of pods", shape(short, some));

    add("healthy", shape(rollout(json!({})), vec![stable_set()]));
    let history = |outcome: &str, message: &str| {
        json!({"status": {"message": "stable has all traffic", "history": [
            {"revision": 13, "hash": "77cd81f200", "outcome": outcome,
             "at": "2026-11-21T11:58:00Z", "message": message}]}})
    };
    let mut back = shape(
        rollout(history("Aborted", "error-ratio: 3.1 times stable's")),
        vec![stable_set()],
    );
    back.reverts = vec![revert(
        "Push",
        json!({"phase": "Verified", "commit": "1a2b3c4d5e6f",
        "branch": "main", "message": "the cluster runs the stable version"}),
    )];
    add("healthy after an abort", back);
    let mut taken_back = history("RolledBack", "the spec went back to the stable version");
    merge(
        &mut taken_back,
        json!({"metadata": {"generation": 8}, "status": {"heldSince": "2026-11-21T11:50:00Z",
            "restartAt": "2026-11-21T11:59:00Z"}}),
    );
    add(
        "healthy after a change of mind, held, restarted, and a change not seen",
        shape(rollout(taken_back), vec![stable_set()]),
    );
    let gone = json!({"metadata": {"deletionTimestamp": "2026-11-21T11:59:00Z"}});
    add("deleted", Objects::of(rollout(gone)));
    let hostile = rollout(
        json!({"status": {"phase": "Invalid", "message": "a\u{1b}[2J\u{202e}b\nc",
        "stable": {"images": ["\u{1b}]0;x\u{7}image"]}}}),
    );
    add("hostile text", Objects::of(hostile));
}

#[test]
fn every_shape_is_explained_as_written_down() {
    let mut actual = String::new();
    for (name, all, view) in shapes() {
        let lines = text::lines(&all, &view);
        actual.push_str(&written(name, &lines, &view));
    }
    hold_to("why/shapes.txt", &actual);
}

/// The words that the schema allows at a place of the status.
fn words_of(path: &str) -> BTreeSet<String> {
    let crds = crate::api::crds();
    let crd = crds.iter().find(|crd| crd.spec.names.plural == "rollouts");
    let crd = serde_json::to_value(crd.unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let place = path
        .split('.')
        .fold(schema, |schema, name| &schema["properties"][name]);
    let words = place["enum"].as_array().unwrap().iter();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn every_phase_pause_and_abort_is_among_the_shapes() {
    for (path, pointer) in [
        ("phase", "/phase"),
        ("pause.reason", "/pause/reason"),
        ("abort.reason", "/abort/reason"),
    ] {
        let shown: BTreeSet<String> = shapes()
            .iter()
            .filter_map(|(_, all, _)| {
                let status = serde_json::to_value(&all.rollout.status).unwrap();
                status.pointer(pointer)?.as_str().map(str::to_owned)
            })
            .collect();
        let missing: Vec<String> = words_of(path).difference(&shown).cloned().collect();
        assert!(missing.is_empty(), "{path}: no shape has {missing:?}");
    }
}

/// What the lines of a shape say, without their breaks.
fn said(name: &str) -> String {
    let shapes = shapes();
    let (_, all, _) = shapes.iter().find(|(n, ..)| *n == name).unwrap();
    let lines = text::lines(all, &view(None, false));
    lines.iter().map(|line| line.render(false) + "\n").collect()
}

#[test]
fn the_numbers_and_the_next_command_are_said() {
    for (name, parts) in [
        (
            "pods come",
            &[
                "- pods of revision 13: 1 of 3 ready, 1 available\n",
                "- no progress for 3m; if that goes on, it is aborted in 7m (spec.progressDeadlineSeconds is 600)\n",
                "Next:       goes on by itself; `kubectl tidegate abort checkout -n shop` gives the version up\n",
            ][..],
        ),
        (
            "pods do not come, which is only said",
            &["the phase is Degraded in 7m"],
        ),
        (
            "versions follow each other closely",
            &[
                "- it gets its first pods in 3s\n",
                ", attempt 2, since 2s\n",
            ],
        ),
        (
            "a weight settles",
            &[
                "- traffic: 25 % desired, 5 % accepted: waits for the route\n",
                "--settle-seconds",
            ],
        ),
        (
            "an analysis gathers evidence",
            &[
                " of step 1 is ◌ Running, ? Inconclusive so far; it has looked for 10m of at most 60m, then it waits for a person; 1 metric has passed\n",
                "    error-ratio: about 1,900 more requests\n",
                "harm 1.2 of 100",
                "about 1,900 more requests (2m)\n",
            ],
        ),
        (
            "a young analysis that was held",
            &[
                "it has looked for 2m30s of at most 60m, then it aborts; 30s without data do not count; it passes no sooner than after 5m",
            ],
        ),
        (
            "promoted in full, overdue, and a refused command",
            &[
                "- no progress for 10m, and spec.progressDeadlineSeconds is 600: it is aborted\n",
                "- the last command: retry for 13/1 by alice, 59s ago: Refused",
            ],
        ),
        (
            "pause step that aborts",
            &[
                "- it waits: Step for 5m, aborts in 23h55m unless it is promoted\n",
                "`kubectl tidegate promote checkout -n shop` goes on now",
            ],
        ),
        (
            "held by hand",
            &["- it is held by a command: pause for 13/2 by alice, 5m ago: Accepted\n"],
        ),
        (
            "an analysis failed",
            &[
                "(r.example/checkout:1.5) was given up at step 1/6 analysis golden-signals: AnalysisFailed 2m ago at 5 % of the traffic\n",
                "error-ratio  ✖ Fail  0.63 times stable's (0.4 to 1.1)\n",
                "- Revert checkout-77cd81f200-1 is ◌ Pushed, commit 1a2b3c4d on main: commit",
                "Next:       the change is being taken out of Git; `kubectl tidegate retry checkout -n shop`",
            ],
        ),
        (
            "aborted by hand, Git does not answer",
            &[
                "is ◌ Pending (Unreachable): git.example did not answer within 60 s; it has failed 3 times; it is looked at again in 16s\n",
            ],
        ),
        (
            "no progress, Git needs a person",
            &["is ⚠ NeedsHuman (Ambiguous): two files"],
        ),
        (
            "rejected",
            &[
                "- revision 13 (r.example/checkout:1.5) was rejected 2m ago: AnalysisFailed: error-ratio: 3.1 times",
                "- Revert checkout-77cd81f200-1 is • Recorded, record only\n",
            ],
        ),
        (
            "healthy after an abort",
            &[
                "- the last outcome: revision 13 Aborted 2m ago",
                "✔ Verified",
            ],
        ),
    ] {
        let text = said(name);
        for part in parts {
            assert!(text.contains(part), "{name}: {part:?} in\n{text}");
        }
    }
    let failed = said("an analysis failed");
    assert!(!failed.contains("latency"), "what did not fail: {failed}");
    assert_eq!(
        failed.matches("3.1 times").count(),
        1,
        "said once: {failed}"
    );
}

#[test]
fn scripts_get_the_same_sentences() {
    let shapes = shapes();
    let failed = shapes.iter().find(|(n, ..)| *n == "an analysis failed");
    let document = document(&failed.unwrap().1, time(NOW));
    assert_eq!(document["phase"], "Aborted");
    let why = document["why"].as_array().unwrap();
    let run = why[1]["text"].as_str().unwrap();
    assert!(run.starts_with("AnalysisRun checkout-77cd81f200-13-1-1 of step 1 is ✖ Failed"));
    let shown = why[1]["shown"].as_array().unwrap();
    assert!(shown[0].as_str().unwrap().starts_with("error-ratio"));
    assert_eq!(document["next"].as_array().unwrap().len(), 1);
}
