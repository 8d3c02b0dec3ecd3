//! What is said of Reverts, and what may be asked for.

use super::ask::{Word, check, is_answer};
use super::*;
use crate::api::rollout::Rollout;
use crate::cli::command::Check;
use crate::cli::fixtures::{aborted, revert, rollout, view, written};

const DIFF: &str = "--- a/app.yaml\n+++ b/app.yaml\n@@ -3 +3 @@\n-checkout: v2\n+checkout: v1\n";

fn protected() -> Revert {
    revert(
        "Push",
        json!({"phase": "NeedsHuman", "message": "the branch is protected",
            "nextRetryAt": "2026-11-21T12:58:00Z", "attempts": 3, "plan": DIFF,
            "conditions": [{"type": "Landed", "status": "False", "reason": "ProtectedBranch",
                "message": "the branch is protected", "lastTransitionTime": "2026-11-21T11:59:00Z"}]}),
    )
}

fn annotated(mut revert: Revert, key: &str) -> Revert {
    let value = "2026-11-21T11:59:30Z anna".to_owned();
    revert.metadata.annotations = Some([(key.to_owned(), value)].into());
    revert
}

#[test]
fn one_that_needs_a_person() {
    let mut revert = protected();
    revert.spec.changes = vec![
        serde_json::from_value(json!({"path": "spec.containers[app].image",
            "old": "r/checkout:v1", "new": "r/checkout:v2"}))
        .unwrap(),
        serde_json::from_value(json!({"path": "spec.containers[app].tty", "new": "true"})).unwrap(),
    ];
    revert.spec.weight = Some(5);
    let view = view(None, false);
    let expected = "\
=== protected

Revert:     checkout-77cd81f200-1 (shop)
Rollout:    checkout
Aborted:    revision 13 (77cd81f200), attempt 1, 2m ago with 5 % of the traffic: AnalysisFailed
Back to:    revision 12 (6b5f9c7d00)
Phase:      ⚠ NeedsHuman
Message:    the branch is protected
Next try:   in 58m; it has failed 3 times

CONDITION  STATUS  REASON           SINCE  MESSAGE
Landed     False   ProtectedBranch  60s    the branch is protected

What the version had changed
  spec.containers[app].image: r/checkout:v1 → r/checkout:v2
  spec.containers[app].tty: (nothing) → true

Diff
--- a/app.yaml
+++ b/app.yaml
@@ -3 +3 @@
-checkout: v2
+checkout: v1

Next
- do what the message says, and then `kubectl tidegate revert retry checkout-77cd81f200-1 -n shop`; `kubectl tidegate revert decline checkout-77cd81f200-1 -n shop` ends it without that
- revision 13 stays rejected until `kubectl tidegate revert release checkout-77cd81f200-1 -n shop` takes that back, or `kubectl tidegate retry checkout -n shop` tries it again

";
    let text = written("protected", &text::lines(&revert, &view), &view);
    assert_eq!(text, expected);
}

#[test]
fn why_there_is_no_plan_and_what_to_do() {
    let none = json!(null);
    for (mode, status, says) in [
        (
            "Off",
            json!({"phase": "Recorded"}),
            "with mode DryRun the next abort makes a plan",
        ),
        ("Push", none, "has not looked at it yet"),
        (
            "DryRun",
            json!({"phase": "Unresolvable", "message": "no source"}),
            "it is Unresolvable: no source",
        ),
        ("Push", json!({"phase": "Superseded"}), "it is Superseded"),
    ] {
        let text = text::no_plan(&revert(mode, status));
        assert!(
            text.starts_with("Revert checkout-77cd81f200-1 has no plan: "),
            "{text}"
        );
        assert!(text.contains(says), "{says:?} in {text}");
    }
}

#[test]
fn what_to_do_next() {
    for (mode, phase, says) in [
        (
            "DryRun",
            "Planned",
            "plan checkout-77cd81f200-1 -n shop | git apply --unidiff-zero",
        ),
        ("Push", "Pending", "goes on by itself"),
        ("Push", "Unresolvable", "do what the message says"),
        ("Push", "Landed", "the cluster has to follow"),
        (
            "Push",
            "Mismatch",
            "`kubectl tidegate why checkout -n shop`",
        ),
        ("Push", "Declined", "revision 13 stays rejected until"),
    ] {
        let next = text::next(&revert(mode, json!({"phase": phase})));
        let first = next.first().unwrap();
        assert!(first.contains(says), "{phase}: {says:?} in {first}");
    }
    let released = annotated(
        revert("Push", json!({"phase": "Verified"})),
        RELEASED_ANNOTATION,
    );
    assert_eq!(text::next(&released), ["nothing"]);
}

#[test]
fn what_may_be_asked_of_the_writer() {
    use Word::{Decline, Retry};
    const GO: &str = "go";
    let table = [
        (Retry, "Push", "Pending", GO),
        (Retry, "Push", "NeedsHuman", GO),
        (Retry, "Push", "Unresolvable", GO),
        (Retry, "DryRun", "Planned", GO),
        (Retry, "Push", "Mismatch", GO),
        (Retry, "Push", "Verified", "is out of Git"),
        (Retry, "Push", "Superseded", "which is its end"),
        (Retry, "Push", "Declined", "which is its end"),
        (Retry, "Off", "Recorded", "a record only"),
        (Decline, "Push", "Pending", GO),
        (Decline, "DryRun", "Planned", GO),
        (Decline, "Push", "NeedsHuman", GO),
        (Decline, "Push", "Declined", "Nothing to do"),
        (
            Decline,
            "Push",
            "Pushed",
            "holds the stable version's values already",
        ),
        (
            Decline,
            "Push",
            "Verified",
            "holds the stable version's values already",
        ),
        (Decline, "Push", "Superseded", "which is its end"),
        (Decline, "Off", "Recorded", "a record only"),
    ];
    for (word, mode, phase, says) in table {
        let found = match check(&revert(mode, json!({"phase": phase})), word) {
            Ok(Check::Go) => GO.to_owned(),
            Ok(Check::AlreadySo(why)) => why,
            Err(error) => error.to_string(),
        };
        assert!(found.contains(says), "{word:?} {mode} {phase}: {found}");
    }
    let error = |key: &str, word| check(&annotated(protected(), key), word).unwrap_err();
    let declined = error(DECLINED_ANNOTATION, Retry).to_string();
    assert!(
        declined.contains("it was declined (2026-11-21T11:59:30Z anna)"),
        "{declined}"
    );
    for word in [Retry, Decline] {
        let released = error(RELEASED_ANNOTATION, word).to_string();
        assert!(released.contains("its version was released"), "{released}");
    }
}

#[test]
fn what_counts_as_the_writers_answer() {
    use Word::{Decline, Retry};
    for (word, mode, status, is) in [
        (Retry, "Push", json!({"phase": "NeedsHuman"}), false),
        (
            Retry,
            "Push",
            json!({"phase": "NeedsHuman", "handledRetry": "before"}),
            false,
        ),
        (
            Retry,
            "Push",
            json!({"phase": "NeedsHuman", "handledRetry": "now"}),
            true,
        ),
        // It is about to push.
        (
            Retry,
            "Push",
            json!({"phase": "Planned", "handledRetry": "now"}),
            false,
        ),
        (
            Retry,
            "DryRun",
            json!({"phase": "Planned", "handledRetry": "now"}),
            true,
        ),
        (
            Retry,
            "Push",
            json!({"phase": "Planned", "handledRetry": "now", "nextRetryAt": "2026-11-21T12:58:00Z"}),
            true,
        ),
        (Retry, "Push", json!({"phase": "Superseded"}), true),
        (Decline, "Push", json!({"phase": "NeedsHuman"}), false),
        (Decline, "Push", json!({"phase": "Declined"}), true),
        // Too late.
        (Decline, "Push", json!({"phase": "Pushed"}), true),
    ] {
        let found = is_answer(&revert(mode, status.clone()), word, "now");
        assert_eq!(found, is, "{word:?} {mode} {status}");
    }
}

#[test]
fn why_a_rollout_has_none() {
    let with = |mut with: Value, git: Value| -> Rollout {
        with["spec"] = json!({"gitRevert": git});
        rollout(with)
    };
    for (status, git, says) in [
        (json!({}), json!(null), "no version of it was aborted"),
        (json!({}), json!(null), "spec.gitRevert.mode is Off"),
        (
            json!({}),
            json!({"mode": "DryRun"}),
            "an abort (Failed) makes a plan and pushes nothing",
        ),
        (
            json!({}),
            json!({"mode": "Push", "on": ["Failed", "Manual"]}),
            "(Failed, Manual)",
        ),
        (aborted("Aborting"), json!(null), "look again in a moment"),
    ] {
        let text = find::none(&with(status, git));
        assert!(text.contains(says), "{says:?} in {text}");
    }
}
