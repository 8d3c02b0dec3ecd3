use serde_json::{Value, json};

use super::*;
use crate::api::rollout::Rollout;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rollout(revision: i64, step: i32, desired: i32, accepted: i32) -> Rollout {
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "a", "namespace": "shop", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {}, "strategy": {"canary": {}}},
        "status": {"phase": "Progressing", "traffic": {"desired": desired, "accepted": accepted},
            "canary": {"revision": revision, "hash": "c", "attempt": 1, "step": step, "steps": 4,
                "stepStartedAt": at(i64::from(step) * 100), "analysisRun": "a-1"}},
    }))
    .unwrap()
}

fn run(comparison: &Value) -> AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "a-1", "namespace": "shop"},
        "spec": {"rollout": {"name": "a", "uid": "u"}, "canaryHash": "c", "stableHash": "s", "revision": 2, "step": 1,
            "metrics": [{"name": "m", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}}]},
        "status": {"phase": "Running", "metrics": [{"name": "m", "verdict": "Inconclusive", "reason": "",
            "message": "", "comparison": comparison}]},
    }))
    .unwrap()
}

#[test]
fn a_curve_keeps_what_is_new_in_order_and_within_its_bounds() {
    let mut curve = Curve::default();
    curve.push(10, 1);
    curve.push(20, 1);
    curve.push(5, 2);
    curve.push(20, 3);
    curve.push(20, 4);
    assert_eq!(curve.points(), [(10, 1), (20, 4)]);
    for second in 0..10_000 {
        curve.push(100 + second, i32::try_from(second).unwrap());
    }
    let points = curve.points();
    assert!(points.len() <= POINTS_MAX, "{}", points.len());
    assert_eq!(points.last(), Some(&(10_099, 9_999)), "the newest is there");
    assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn weights_and_steps_are_noted_as_they_come() {
    let mut past = Past::default();
    past.note(&Objects::of(rollout(2, 0, 5, 0)), at(10));
    past.note(&Objects::of(rollout(2, 0, 5, 5)), at(20));
    past.note(&Objects::of(rollout(2, 1, 5, 5)), at(30));
    assert_eq!(past.weight().points(), [(10, (5, 0)), (20, (5, 5))]);
    assert_eq!(past.since(), Some(at(10)));
    assert_eq!(past.step(2, 1), Some(at(100)));
    assert_eq!(past.step(2, 2), None, "what nobody saw is not known");
}

#[test]
fn what_a_run_has_kept_of_its_windows_is_taken_over_once() {
    let window = |end: i64, log: f64| json!({"end": end, "canary": {"requests": 25}, "stable": {"requests": 75}, "log": log});
    let comparison = json!({"harm": {"log": 3.0, "limit": 4.0}, "safe": {"log": 1.0, "limit": 2.0},
        "windows": [window(100, 1.0), window(130, 1.0)]});
    let mut all = Objects::of(rollout(2, 1, 25, 25));
    all.runs = vec![run(&comparison)];
    let mut past = Past::default();
    past.note(&all, at(140));
    past.note(&all, at(150));
    assert_eq!(
        past.observed().points(),
        [(100, 25.0)],
        "the share of the requests"
    );
    let evidence = &past.metric("a-1", "m").unwrap().evidence;
    let harm: Vec<(i64, f64)> = evidence.points().iter().map(|(t, s)| (*t, s.0)).collect();
    assert_eq!(harm, [(100, 50.0), (130, 75.0), (140, 75.0)]);
    assert!(
        evidence.points()[0].1.1.is_nan(),
        "of safety nothing is told"
    );

    past.note(&Objects::of(rollout(3, 0, 0, 0)), at(200));
    assert!(
        past.metric("a-1", "m").is_none(),
        "another version begins anew"
    );
}

#[test]
fn evidence_that_is_no_number_is_no_evidence() {
    let of = |log: f64, limit: f64| share(&Evidence { log, limit });
    assert!((of(2.0, 4.0) - 50.0).abs() < 1e-9);
    assert!((of(-3.0, 4.0)).abs() < 1e-9);
    assert!((of(f64::NAN, 4.0)).abs() < 1e-9);
    assert!((of(f64::INFINITY, 4.0) - 150.0).abs() < 1e-9);
    assert!((of(1.0, 0.0)).abs() < 1e-9);
}
