use serde_json::{Value, json};

use super::*;
use crate::cli::client::ROLLOUTS;
use crate::cli::objects::RUNS;

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn rollout(name: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {}, "strategy": {"canary": {}}},
        "status": {"phase": "Healthy"},
    }))
}

fn half_written(name: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"strategy": 7},
    }))
}

fn seen_after(events: Vec<Event<DynamicObject>>) -> Seen {
    let mut seen = Seen::default();
    for event in events {
        seen.apply(Of::Rollout, ROLLOUTS, event, Timestamp::UNIX_EPOCH);
    }
    seen
}

fn names(seen: &Seen) -> Vec<&str> {
    seen.items().map(|(key, _)| key.1.as_str()).collect()
}

#[test]
fn a_new_list_takes_the_place_of_what_was_known() {
    let mut seen = seen_after(vec![
        Event::Init,
        Event::InitApply(rollout("a")),
        Event::InitApply(rollout("b")),
        Event::InitDone,
        Event::Init,
        Event::InitApply(rollout("b")),
    ]);
    assert_eq!(
        names(&seen),
        ["a", "b"],
        "as long as it is not complete, all are shown"
    );
    seen.apply(
        Of::Rollout,
        ROLLOUTS,
        Event::InitDone,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(names(&seen), ["b"]);
    let gone = Event::Delete(rollout("b"));
    seen.apply(Of::Rollout, ROLLOUTS, gone, Timestamp::UNIX_EPOCH);
    assert!(names(&seen).is_empty());
    assert!(seen.past(&("shop".to_owned(), "b".to_owned())).is_none());
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let seen = seen_after(vec![
        Event::Apply(half_written("broken")),
        Event::Apply(rollout("good")),
    ]);
    assert_eq!(names(&seen), ["broken", "good"]);
    let of = |name: &str| seen.item(&("shop".to_owned(), name.to_owned())).unwrap();
    assert!(matches!(of("broken"), Item::Unreadable { .. }));
    assert!(matches!(of("good"), Item::Read(_)));
}

#[test]
fn a_trouble_stays_until_the_watch_brings_something() {
    let mut seen = Seen::default();
    seen.trouble(RUNS, "forbidden".to_owned());
    seen.apply(Of::Run, RUNS, Event::Init, Timestamp::UNIX_EPOCH);
    assert_eq!(
        seen.notes(),
        ["forbidden"],
        "a list that begins is no answer"
    );
    assert!(!seen.is_complete(RUNS));
    seen.apply(Of::Run, RUNS, Event::InitDone, Timestamp::UNIX_EPOCH);
    assert!(seen.notes().is_empty() && seen.is_complete(RUNS));
}

#[test]
fn a_run_is_kept_without_the_state_that_it_goes_on_from() {
    let mut seen = seen_after(vec![Event::Apply(rollout("a"))]);
    let run = object(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "a-1", "namespace": "shop", "labels": {"tidegate.io/rollout": "a"}},
        "spec": {"rollout": {"name": "a", "uid": "uid-a"}, "canaryHash": "c", "stableHash": "s", "revision": 2, "step": 1,
            "metrics": [{"name": "m", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}}]},
        "status": {"phase": "Running", "metrics": [{"name": "m", "verdict": "Inconclusive", "reason": "", "message": "",
            "comparison": {"sampler": {"cursor": 7, "bounds": [1.0, 2.0],
                "calibration": {"origin": "Pods", "targets": 3, "seconds": 60}}}}]},
    }));
    seen.apply(Of::Run, RUNS, Event::Apply(run), Timestamp::UNIX_EPOCH);
    let key = ("shop".to_owned(), "a".to_owned());
    let run = seen.run(&key, "a-1").unwrap();
    let metric = &run.status.as_ref().unwrap().metrics[0];
    let sampler = metric
        .comparison
        .as_ref()
        .unwrap()
        .sampler
        .as_ref()
        .unwrap();
    assert!(sampler.bounds.is_empty() && sampler.cursor == 0);
    assert_eq!(sampler.calibration.as_ref().unwrap().targets, 3);
    assert_eq!(seen.objects(&key).unwrap().runs.len(), 1);
}
