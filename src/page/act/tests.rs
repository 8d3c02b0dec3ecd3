use serde_json::{Value, json};

use super::*;

fn rollout(status: Value) -> Rollout {
    let mut rollout = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {}, "strategy": {"canary": {
            "steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]}}},
    });
    rollout["status"] = status;
    serde_json::from_value(rollout).unwrap()
}

fn going_out(phase: &str) -> Value {
    json!({"phase": phase, "traffic": {"desired": 5, "accepted": 5},
        "stable": {"revision": 12, "hash": "s"},
        "canary": {"revision": 13, "hash": "c", "attempt": 1, "step": 1, "steps": 3}})
}

fn verbs(rollout: &Rollout) -> Vec<&'static str> {
    choices(rollout).iter().map(|choice| choice.verb).collect()
}

#[test]
fn abort_is_always_there_and_the_rest_where_it_can_be_meant() {
    let mut held = going_out("Paused");
    held["heldSince"] = json!("2026-11-21T12:00:00Z");
    let mut given_up = going_out("Aborted");
    given_up["abort"] = json!({"at": "2026-11-21T12:00:00Z", "reason": "Manual", "message": "m", "hash": "c",
        "step": 1, "weight": 5});
    for (status, expected) in [
        (Value::Null, vec!["abort"]),
        (
            json!({"phase": "Healthy", "stable": {"revision": 12, "hash": "s"}}),
            vec!["abort"],
        ),
        (
            going_out("Progressing"),
            vec!["promote", "promote-full", "pause", "abort"],
        ),
        (held, vec!["promote", "promote-full", "resume", "abort"]),
        (given_up, vec!["retry", "abort"]),
    ] {
        assert_eq!(verbs(&rollout(status.clone())), expected, "{status}");
    }
    for verb_of_page in [
        "promote",
        "promote-full",
        "abort",
        "retry",
        "pause",
        "resume",
    ] {
        assert!(verb(verb_of_page).is_some(), "{verb_of_page}");
    }
    assert!(verb("restart").is_none() && verb("Abort").is_none());
}

#[test]
fn a_confirmation_says_what_will_happen() {
    let rollout = rollout(going_out("Paused"));
    let all = choices(&rollout);
    let will = |word: &str| &all.iter().find(|c| c.verb == word).unwrap().will;
    assert_eq!(
        will("promote"),
        "Revision 13 ends step 1 of 3 (pause until promoted) at once and goes on to step 2 (setWeight \
         50). The next weight is 50 %; it has 5 % now."
    );
    assert!(
        will("abort").contains("its 5 % of the traffic go back to revision 12"),
        "{}",
        will("abort")
    );
}

#[test]
fn what_the_person_saw_must_still_be_so() {
    let rollout = rollout(going_out("Paused"));
    for (verb, seen, good) in [
        (Verb::Promote, "13/1", true),
        (Verb::Promote, "13/0", false),
        (Verb::Promote, "12/1", false),
        (Verb::Abort, "13/0", true),
        (Verb::Abort, "12/0", false),
        (Verb::Retry, "", false),
    ] {
        assert_eq!(
            moved(&rollout, verb, seen).is_none(),
            good,
            "{verb:?} {seen}"
        );
    }
}
