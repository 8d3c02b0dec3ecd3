use super::*;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const BAD: &str = "2222222222222222222222222222222222222222";
const PUSHED: &str = "2026-01-01T00:10:00Z";

/// The branch is right since a second after the push.
fn revert(status: &Value) -> Revert {
    let mut all = json!({
        "commit": COMMIT, "phase": "Landed", "pushedAt": PUSHED,
        "conditions": [{
            "type": "Landed", "status": "True", "reason": "Reverted", "message": "",
            "lastTransitionTime": "2026-01-01T00:10:01Z",
        }],
    });
    merge(&mut all, status.clone());
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
        "metadata": {"name": "checkout-bad-1", "namespace": "shop"},
        "spec": {
            "mode": "Push", "attempt": 1, "reason": "Manual", "abortedAt": "2026-01-01T00:00:00Z",
            "rollout": {"name": "checkout", "uid": "u"},
            "stable": {"revision": 1, "hash": "good"}, "bad": {"revision": 2, "hash": "bad"},
        },
        "status": all,
    }))
    .unwrap()
}

fn landing(status: &Value) -> Landing {
    Landing::of(&revert(status)).unwrap()
}

fn place(kind: super::super::place::Kind) -> Place {
    Place {
        kind,
        namespace: "argocd".to_owned(),
        name: "web".to_owned(),
    }
}

/// An Application that manages the Rollout by itself, with `more`.
fn application_with(more: &Value) -> Value {
    let mut live = json!({
        "metadata": {"resourceVersion": "7"},
        "spec": {"syncPolicy": {"automated": {}}},
        "status": {"resources": [
            {"version": "v1", "kind": "Service", "namespace": "shop", "name": "checkout"},
            {"group": "tidegate.io", "kind": "Rollout", "namespace": "shop", "name": "checkout"},
        ]},
    });
    merge(&mut live, more.clone());
    live
}

fn asked(more: &Value) -> Ask {
    let place = place(super::super::place::Kind::Application);
    application(&place, &application_with(more), &landing(&json!({})))
}

#[test]
fn an_application_is_asked_to_look_once() {
    let refresh = json!({"metadata": {"annotations": {REFRESH: "normal"}}});
    for (more, patch) in [
        (json!({}), Some(refresh.clone())),
        (
            json!({"status": {"sync": {"revision": BAD}}}),
            Some(refresh),
        ),
        // Argo CD has the request, or has the commit.
        (
            json!({"metadata": {"annotations": {REFRESH: "hard"}}}),
            None,
        ),
        (json!({"status": {"sync": {"revision": COMMIT}}}), None),
        (
            json!({"status": {"sync": {"revisions": ["1.2.3", COMMIT]}}}),
            None,
        ),
    ] {
        let ask = asked(&more);
        assert_eq!(ask.patch, patch, "{more}");
        assert_eq!(ask.said.reason, "Asked", "{more}");
    }
}

#[test]
fn only_an_operation_without_the_revert_is_ended() {
    let runs = |phase: &str, began: &str, revision: &str| {
        json!({"status": {"operationState": {
            "phase": phase, "startedAt": began, "syncResult": {"revision": revision},
        }}})
    };
    let early = "2026-01-01T00:09:59Z";
    let late = "2026-01-01T00:10:05Z";
    for (more, ends) in [
        (runs("Running", early, BAD), true),
        (runs("Running", late, BAD), false),
        (runs("Running", early, COMMIT), false),
        (runs("Succeeded", early, BAD), false),
        (runs("Terminating", early, BAD), false),
        // Not known on what, or since when.
        (runs("Running", early, ""), false),
        (runs("Running", "", BAD), false),
        (
            json!({"status": {"operationState": {
                "phase": "Running", "startedAt": early,
                "operation": {"sync": {"revisions": ["1.2.3", BAD]}},
            }}}),
            true,
        ),
        (
            json!({"status": {"operationState": {
                "phase": "Running", "startedAt": early,
                "operation": {"sync": {"revisions": ["1.2.3", COMMIT]}},
            }}}),
            false,
        ),
    ] {
        let patch = asked(&more).patch.unwrap();
        let phase = patch.pointer("/status/operationState/phase");
        assert_eq!(phase == Some(&json!("Terminating")), ends, "{more}");
        // Written over the operation that was read, and over no other.
        let version = patch.pointer("/metadata/resourceVersion");
        assert_eq!(version == Some(&json!("7")), ends, "{more}");
        assert_eq!(
            patch.pointer("/metadata/annotations"),
            Some(&json!({REFRESH: "normal"})),
            "{more}"
        );
    }
    // Nobody knows on which commit the branch was right before.
    let live = application_with(&runs("Running", early, BAD));
    let by_hand = landing(&json!({"commit": null}));
    let ask = application(
        &place(super::super::place::Kind::Application),
        &live,
        &by_hand,
    );
    let patch = ask.patch.unwrap();
    assert_eq!(patch.get("status"), None, "{patch}");
}

#[test]
fn a_sync_by_hand_stays_by_hand() {
    for (policy, reason) in [
        (json!({"automated": {}}), "Asked"),
        (json!({"automated": {"enabled": true}}), "Asked"),
        (json!({"automated": {"enabled": false}}), "SyncByHand"),
        (json!({"automated": null}), "SyncByHand"),
        (Value::Null, "SyncByHand"),
    ] {
        let ask = asked(&json!({"spec": {"syncPolicy": policy}}));
        assert_eq!(ask.said.reason, reason, "{policy}");
        let patch = ask.patch.unwrap();
        assert_eq!(patch.get("operation"), None, "no sync is started: {patch}");
    }
}

#[test]
fn an_application_that_does_not_manage_the_rollout_is_left_alone() {
    for resources in [
        json!([]),
        Value::Null,
        json!([{"group": "tidegate.io", "kind": "Rollout", "namespace": "shop", "name": "other"}]),
        json!([{"group": "tidegate.io", "kind": "Rollout", "namespace": "x", "name": "checkout"}]),
        json!([{"group": "argoproj.io", "kind": "Rollout", "namespace": "shop", "name": "checkout"}]),
    ] {
        let ask = asked(&json!({"status": {"resources": resources}}));
        assert_eq!(ask.patch, None, "{resources}");
        assert_eq!(ask.said.reason, "NotItsOwn", "{resources}");
    }
}

#[test]
fn flux_is_asked_with_the_time_of_the_push_and_once() {
    let place = place(super::super::place::Kind::Kustomization);
    let requested = |at: &str| json!({"metadata": {"annotations": {REQUESTED_AT: at}}});
    let wanted = Some(requested(PUSHED));
    for (live, patch, reason) in [
        (json!({}), wanted.clone(), "Asked"),
        (requested("2026-01-01T00:00:00Z"), wanted.clone(), "Asked"),
        (requested("1767225600"), wanted, "Asked"),
        (requested(PUSHED), None, "Asked"),
        (requested("2026-01-01T00:20:00Z"), None, "Asked"),
        (json!({"spec": {"suspend": true}}), None, "Suspended"),
    ] {
        let ask = flux(&place, &live, &landing(&json!({})));
        assert_eq!(ask.patch, patch, "{live}");
        assert_eq!(ask.said.reason, reason, "{live}");
    }
    // A pull request is pushed long before it is merged.
    let request = json!({"number": 1, "url": "https://h/1", "branch": "b"});
    let merged = landing(&json!({"pullRequest": request}));
    let patch = flux(&place, &json!({}), &merged).patch;
    assert_eq!(patch, Some(requested("2026-01-01T00:10:01Z")));
}

#[test]
fn what_is_missing_is_a_sentence_with_the_right_in_it() {
    let place = place(super::super::place::Kind::Application);
    for (code, reason, words) in [
        (
            Some(403),
            "RightMissing",
            "patch applications.argoproj.io in namespace argocd",
        ),
        (
            Some(404),
            "ObjectNotFound",
            "Application argocd/web, which the Rollout's metadata names, is not in this cluster",
        ),
        (Some(409), "ToolUnreachable", "words"),
        (Some(500), "ToolUnreachable", "words"),
        (None, "ToolUnreachable", "words"),
    ] {
        let said = refused(&place, "patch", code, "words");
        assert_eq!(said.reason, reason);
        assert!(said.text.contains(words), "{}", said.text);
    }
}

#[test]
fn what_needs_somebody_is_said_first() {
    let said = |reason| Said {
        reason,
        text: reason.to_owned(),
    };
    for (said, expected) in [
        (vec![], None),
        (
            vec![said("Asked")],
            Some((ConditionStatus::True, "Asked", "Asked")),
        ),
        (
            vec![said("Asked"), said("SyncByHand")],
            Some((ConditionStatus::False, "SyncByHand", "SyncByHand; Asked")),
        ),
        (
            vec![said("Suspended"), said("ToolUnreachable")],
            Some((
                ConditionStatus::Unknown,
                "ToolUnreachable",
                "ToolUnreachable; Suspended",
            )),
        ),
    ] {
        let expected = expected.map(|(value, reason, message)| Outcome::HandedOver {
            value,
            reason,
            message: message.to_owned(),
        });
        assert_eq!(conclude(&said), expected);
    }
}

#[test]
fn nothing_is_asked_before_the_branch_is_right() {
    let mut revert = revert(&json!({}));
    revert.status.as_mut().unwrap().conditions.clear();
    assert_eq!(Landing::of(&revert), None);
}
