use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

const OBJECT: Object<'static> = Object {
    namespace: "shop",
    rollout: "web",
    uid: "u1",
};

/// A Rollout at its second version, with what is changed of it.
fn status(change: &Value) -> RolloutStatus {
    let mut status = json!({
        "phase": "Progressing",
        "stable": {"revision": 1, "hash": "good", "images": ["web:1"]},
        "canary": {
            "revision": 2, "hash": "bad", "images": ["web:2"], "attempt": 1, "startedAt": at(0),
            "step": 1, "steps": 3,
        },
    });
    json_patch::merge(&mut status, change);
    serde_json::from_value(status).unwrap()
}

fn pause(reason: &str, until: Option<Timestamp>, message: &str) -> Value {
    json!({
        "phase": "Paused", "message": message,
        "pause": {"reason": reason, "since": at(60), "until": until},
    })
}

fn told(change: &Value, since: i64) -> Vec<(Kind, String)> {
    of_rollout(OBJECT, "east", &status(change), at(since))
        .into_iter()
        .map(|notice| (notice.kind, notice.reason))
        .collect()
}

#[test]
fn what_happened_to_a_rollout_is_read_off_its_status() {
    let started = (Kind::Started, "Started");
    let abort = json!({
        "phase": "Aborted",
        "abort": {
            "at": at(90), "reason": "AnalysisFailed", "message": "errors: 4 %", "hash": "bad",
            "step": 1, "weight": 20,
        },
    });
    let other = json!({"abort": {"at": at(90), "reason": "Manual", "message": "", "hash": "other",
        "step": 1, "weight": 20}});
    let promoted = json!({
        "phase": "Healthy", "canary": null, "stable": {"hash": "bad", "images": ["web:2"]},
        "history": [
            {"revision": 2, "hash": "bad", "outcome": "Promoted", "at": at(200), "message": "all steps"},
            {"revision": 1, "hash": "good", "outcome": "Initial", "at": at(-900), "message": ""},
        ],
    });
    let by_hand = format!("step 2/3: {UNTIL_PROMOTED}");
    for (change, expected) in [
        (json!({}), vec![started]),
        // The first version of all goes out in nobody's place.
        (json!({"stable": null}), vec![]),
        (abort, vec![started, (Kind::Aborted, "AnalysisFailed")]),
        // An abort of a version before.
        (other, vec![started]),
        (promoted, vec![(Kind::Promoted, "Promoted")]),
        (
            pause("Step", Some(at(90)), "step 2/3: pause"),
            vec![started],
        ),
        (
            pause("Step", None, &by_hand),
            vec![started, (Kind::Waits, "Step")],
        ),
        (
            pause("Step", Some(at(90)), &by_hand),
            vec![started, (Kind::Waits, "Step")],
        ),
        (
            pause("Manual", None, "paused"),
            vec![started, (Kind::Waits, "Manual")],
        ),
        (
            pause("Inconclusive", None, "?"),
            vec![started, (Kind::Waits, "Inconclusive")],
        ),
        (
            pause("NoData", None, "none"),
            vec![started, (Kind::Held, "NoData")],
        ),
        (
            pause("SourceError", None, "down"),
            vec![started, (Kind::Held, "SourceError")],
        ),
    ] {
        let told = told(&change, -60);
        let told: Vec<(Kind, &str)> = told.iter().map(|(k, r)| (*k, r.as_str())).collect();
        assert_eq!(told, expected, "{change}");
    }
}

#[test]
fn what_is_older_is_not_told() {
    let paused = pause("Manual", None, "paused");
    assert_eq!(told(&paused, 1), [(Kind::Waits, "Manual".to_owned())]);
    assert_eq!(told(&paused, 60).len(), 1);
    assert!(told(&paused, 61).is_empty());
}

#[test]
fn the_same_thing_has_the_same_id_and_another_try_another() {
    let of = |change: &Value| of_rollout(OBJECT, "east", &status(change), at(0)).remove(0);
    let first = of(&json!({}));
    assert_eq!(
        first,
        of(&json!({"message": "something else", "canary": {"step": 2}}))
    );
    assert_eq!(first.title, "shop/web: revision 2 begins to go out");
    assert_eq!(first.images, ["web:2"]);
    for other in [
        json!({"canary": {"attempt": 2}}),
        json!({"canary": {"revision": 3, "hash": "third"}}),
    ] {
        let other = of(&other);
        assert_ne!(other.id, first.id);
        assert_ne!(other.key, first.key);
    }
    // Later is another event, but nothing new to people within a while.
    let later = of(&json!({"canary": {"startedAt": at(5)}}));
    assert_ne!(later.id, first.id);
    assert_eq!(later.key, first.key);
}

fn revert(status: &Value) -> Revert {
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
        "metadata": {"name": "web-bad-1", "namespace": "shop", "uid": "u2"},
        "spec": {
            "mode": "Push", "rollout": {"name": "web", "uid": "u1"}, "cluster": "west",
            "stable": {"revision": 1, "hash": "good"},
            "bad": {"revision": 2, "hash": "bad", "images": ["web:2"]},
            "attempt": 1, "reason": "AnalysisFailed", "message": "errors: 4 %", "abortedAt": at(0),
        },
        "status": status,
    }))
    .unwrap()
}

#[test]
fn what_became_of_a_revert_is_told_with_its_commit_and_diff() {
    let condition = |type_: &str, second: i64| {
        json!({"type": type_, "status": "True", "reason": "x", "message": "",
            "lastTransitionTime": at(second)})
    };
    let status = json!({
        "phase": "Landed", "message": "the branch is right", "commit": "c0ffee", "branch": "main",
        "plan": "é".repeat(DIFF_MAX), "pushedAt": at(20),
        "conditions": [
            condition("Resolved", 10), condition("Landed", 30), condition("HandedOver", 40),
        ],
    });
    let told = of_revert(&revert(&status), "east", at(30)).unwrap();
    assert_eq!(told.kind, Kind::RevertLanded);
    assert_eq!(told.at, at(30));
    assert_eq!(
        (told.commit.as_str(), told.branch.as_str()),
        ("c0ffee", "main")
    );
    assert_eq!(told.cluster, "west", "the Revert's own");
    assert_eq!(told.why, "errors: 4 %; the branch is right");
    assert!(told.diff.len() <= DIFF_MAX && told.diff.ends_with(" …"));
    assert_eq!(of_revert(&revert(&status), "east", at(31)), None);
    // What nobody acts on is not told.
    for phase in ["Pending", "Recorded"] {
        let mut status = status.clone();
        status["phase"] = json!(phase);
        assert_eq!(of_revert(&revert(&status), "east", at(0)), None, "{phase}");
    }
}

#[test]
fn each_kind_has_one_word_and_it_is_the_one_that_is_sent() {
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        let phase = kind.as_str().strip_prefix("Revert");
        let phase = phase.map(|phase| serde_json::from_value(json!(phase)).unwrap());
        assert_eq!(phase.and_then(Kind::of_phase), phase.map(|_| kind));
    }
}
