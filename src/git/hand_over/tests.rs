use super::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

fn revert(mode: &str, phase: &str, handed_over: Option<(&str, &str)>) -> Revert {
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": at(0),
        })
    };
    let mut conditions = vec![condition("Landed", "True", "Reverted")];
    conditions.extend(handed_over.map(|(status, reason)| condition("HandedOver", status, reason)));
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
        "metadata": {"name": "checkout-bad-1", "namespace": "shop"},
        "spec": {
            "mode": mode, "attempt": 1, "reason": "Manual", "abortedAt": "2026-01-01T00:00:00Z",
            "rollout": {"name": "checkout", "uid": "u"},
            "stable": {"revision": 1, "hash": "good"}, "bad": {"revision": 2, "hash": "bad"},
        },
        "status": {"phase": phase, "conditions": conditions},
    }))
    .unwrap()
}

fn waits(on_its_way: bool) -> Outcome {
    Outcome::NotVerified {
        reason: "NotHealthy",
        message: String::new(),
        on_its_way,
    }
}

#[test]
fn the_tools_are_asked_once_and_again_while_they_do_not_answer() {
    let late = ASK_LIMIT.as_secs() + 1;
    for (mode, phase, handed_over, found, after, due) in [
        ("Push", "Landed", None, waits(false), 1, true),
        ("PullRequest", "Landed", None, waits(false), late, true),
        (
            "Push",
            "Landed",
            Some(("True", "Asked")),
            waits(false),
            1,
            false,
        ),
        (
            "Push",
            "Landed",
            Some(("False", "Suspended")),
            waits(false),
            1,
            false,
        ),
        (
            "Push",
            "Landed",
            Some(("Unknown", "ToolUnreachable")),
            waits(false),
            1,
            true,
        ),
        (
            "Push",
            "Landed",
            Some(("Unknown", "ToolUnreachable")),
            waits(false),
            late,
            false,
        ),
        // The cluster has followed, or follows.
        ("Push", "Landed", None, Outcome::Verified, 1, false),
        ("Push", "Landed", None, waits(true), 1, false),
        ("Push", "Mismatch", None, waits(false), 1, false),
        ("DryRun", "Landed", None, waits(false), 1, false),
    ] {
        let revert = revert(mode, phase, handed_over);
        let is = is_due(&revert, &found, at(after));
        assert_eq!(is, due, "{mode} {phase} {handed_over:?} {found:?} {after}");
    }
}

#[test]
fn the_same_answer_again_is_no_news() {
    let answer = |value, reason| Outcome::HandedOver {
        value,
        reason,
        message: "in other words".to_owned(),
    };
    let before = revert("Push", "Landed", Some(("Unknown", "ToolUnreachable")));
    let again = answer(ConditionStatus::Unknown, "ToolUnreachable");
    assert!(!is_news(&before, &again));
    assert!(is_news(&before, &answer(ConditionStatus::True, "Asked")));
    assert!(is_news(&revert("Push", "Landed", None), &again));
}
