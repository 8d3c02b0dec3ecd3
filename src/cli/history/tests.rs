//! Outcomes, with what is known of them.

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::*;
use crate::cli::fixtures::{
    NOW, aborted, hold_to, merge, replica_set, revert, rollout, shape, stable_set, view, written,
};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn entry(revision: i64, hash: &str, outcome: &str, at: &str, message: &str) -> Value {
    json!({"revision": revision, "hash": hash, "outcome": outcome, "at": at, "message": message})
}

/// Made then, and with an image.
fn made(revision: i64, hash: &str, at: &str) -> ReplicaSet {
    let mut rs = replica_set(revision, hash, 0, 0);
    rs.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
    rs.spec.as_mut().unwrap().template = serde_json::from_value(json!({"spec": {"containers": [
        {"name": "app", "image": format!("r.example/checkout:of-{hash}")}]}}))
    .unwrap();
    rs
}

/// Revision 13 was given up twice, the second time just now.
fn twice() -> Objects {
    let source = json!({"repo": "https://git.example/shop", "branch": "main",
        "path": "apps/checkout.yaml", "revision": "0f1e2d3c"});
    let mut status = aborted("Aborted");
    merge(
        &mut status,
        json!({"status": {
            "stable": {"since": "2026-11-19T12:00:00Z", "source": source},
            "canary": {"attempt": 2, "startedAt": "2026-11-21T11:40:00Z"},
            "abort": {"revert": "checkout-77cd81f200-2"},
            "history": [
                entry(13, "77cd81f200", "Aborted", "2026-11-21T11:58:00Z", "error-ratio: 3.1 times stable's (1.9 to 4.8)"),
                entry(13, "77cd81f200", "Aborted", "2026-11-21T11:00:00Z", "anna asked for it"),
                entry(12, "6b5f9c7d00", "Promoted", "2026-11-19T12:00:00Z", "is stable"),
                entry(11, "11aa22bb00", "RolledBack", "2026-11-19T10:00:00Z", "the spec went back to the stable version"),
                entry(10, "10aa22bb00", "Superseded", "2026-11-18T10:00:00Z", "another version took its place"),
                entry(9, "09aa22bb00", "Initial", "2026-11-16T12:00:00Z", "is the first stable version"),
            ],
        }}),
    );
    let mut all = shape(
        rollout(status),
        vec![
            made(13, "77cd81f200", "2026-11-21T10:30:00Z"),
            made(12, "6b5f9c7d00", "2026-11-19T11:15:00Z"),
            made(10, "10aa22bb00", "2026-11-18T10:00:30Z"),
            made(9, "09aa22bb00", "2026-11-16T11:59:00Z"),
        ],
    );
    let mut first = revert("Off", json!({"phase": "Recorded"}));
    first.spec.aborted_at = time("2026-11-21T11:00:00Z");
    first.metadata.annotations =
        serde_json::from_value(json!({"tidegate.io/released": "2026-11-21T11:40:00Z anna"}))
            .unwrap();
    let mut second = revert(
        "Push",
        json!({"phase": "Pushed", "commit": "1a2b3c4d5e6f", "branch": "main",
            "message": "commit 1a2b3c4d5e6f was accepted by the remote"}),
    );
    second.metadata.name = Some("checkout-77cd81f200-2".to_owned());
    second.spec.attempt = 2;
    second.spec.bad.source_revision = Some("9a8b7c6d".to_owned());
    second.spec.source = serde_json::from_value(json!({"repo": "https://git.example/shop",
        "branch": "main", "path": "apps/checkout.yaml"}))
    .unwrap();
    all.reverts = vec![second, first];
    all
}

#[test]
fn every_history_is_told_as_written_down() {
    let mut unseen = twice();
    unseen.replica_sets.clear();
    unseen.reverts.clear();
    unseen.notes = vec!["Reverts are not shown: forbidden".to_owned()];
    let hostile = json!({"status": {"history": [
        entry(12, "6b5f9c7d00", "RolledBack", "2026-11-19T13:00:00Z", "a\u{1b}[2J\u{202e}b\nc")]}});
    let mut new = rollout(json!({}));
    new.status = None;
    let mut actual = String::new();
    for (name, all, view) in [
        ("given up twice", twice(), view(None, false)),
        ("given up twice, 80 columns", twice(), view(Some(80), false)),
        ("given up twice, wide", twice(), view(None, true)),
        ("nothing else may be read", unseen, view(None, false)),
        (
            "nobody has looked at it",
            Objects::of(new),
            view(None, false),
        ),
        (
            "hostile text",
            shape(rollout(hostile), vec![stable_set()]),
            view(None, false),
        ),
    ] {
        let lines = text::lines(&all, &view);
        actual.push_str(&written(name, &lines, &view));
    }
    hold_to("history/shapes.txt", &actual);
}

#[test]
fn a_time_is_told_only_where_something_tells_its_beginning() {
    let all = twice();
    let took = |all: &Objects| -> Vec<Option<i64>> {
        past::of(all, time(NOW))
            .iter()
            .map(|past| past.took)
            .collect()
    };
    assert_eq!(
        took(&all),
        [
            // Since the first try was released.
            Some(18 * 60),
            Some(30 * 60),
            Some(45 * 60),
            // Its ReplicaSet is gone.
            None,
            // Its ReplicaSet is of a later try.
            None,
            Some(60),
        ]
    );
    let stable: Vec<Option<i64>> = past::of(&all, time(NOW)).iter().map(|p| p.stable).collect();
    let days = |days: i64| Some(days * 86_400);
    assert_eq!(stable, [None, None, days(2), None, None, days(3)]);

    // A version that comes back has its ReplicaSet from long before.
    let mut back = twice();
    let status = back.rollout.status.as_mut().unwrap();
    let mut again = status.history[2].clone();
    again.at = time("2026-11-21T11:59:00Z");
    status.history.insert(0, again);
    assert_eq!(took(&back)[0], None);

    // Where more may have been forgotten, what is older than the oldest outcome tells nothing.
    let mut long = twice();
    let history = &mut long.rollout.status.as_mut().unwrap().history;
    let last = history.last().unwrap().clone();
    while history.len() < crate::api::rollout_status::HISTORY_MAX {
        let mut more = last.clone();
        more.hash = history.len().to_string();
        history.push(more);
    }
    long.replica_sets[1].metadata.creation_timestamp =
        serde_json::from_value(json!("2026-11-10T12:00:00Z")).unwrap();
    assert_eq!(took(&long)[2], None);
    assert_eq!(took(&long)[1], Some(30 * 60));
}

#[test]
fn scripts_read_what_people_read() {
    let document = document(&twice(), time(NOW));
    assert_eq!(document["stable"]["revision"], 12);
    assert_eq!(document["canary"]["attempt"], 2);
    let history = document["history"].as_array().unwrap();
    assert_eq!(history.len(), 6);
    let last = &history[0];
    assert_eq!(last["outcome"], "Aborted");
    assert_eq!(last["revert"], "checkout-77cd81f200-2");
    assert_eq!(last["source"]["revision"], "9a8b7c6d");
    assert_eq!(last["images"], json!(["r.example/checkout:1.5"]));
    assert_eq!(last["tookSeconds"], 1080);
    assert_eq!(history[1]["revert"], "checkout-77cd81f200-1");
    assert_eq!(history[1]["stableSeconds"], Value::Null);
    assert_eq!(history[2]["source"]["revision"], "0f1e2d3c");
    assert_eq!(history[3]["images"], json!([]));
    let of_template = json!(["r.example/checkout:of-10aa22bb00"]);
    assert_eq!(history[4]["images"], of_template);
}
