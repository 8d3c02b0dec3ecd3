//! Rollouts in every phase, one below the other.

use serde_json::Value;

use super::rows::lines;
use super::*;
use crate::cli::fixtures::{aborted, canary, hold_to, merge, rollout, view, written};

/// A Rollout of this name, as the API server lists it.
fn item(name: &str, mut with: Value) -> Item {
    let uid = format!("uid-{name}");
    merge(&mut with, json!({"metadata": {"name": name, "uid": uid}}));
    read(serde_json::to_value(rollout(with)).unwrap())
}

fn read(object: Value) -> Item {
    Item::of(serde_json::from_value::<DynamicObject>(object).unwrap())
}

fn of(mut base: Value, more: Value) -> Value {
    merge(&mut base, more);
    base
}

fn waiting(reason: &str, message: &str, until: &Value) -> Value {
    of(
        canary(3, "Paused", message, 25),
        json!({"status": {"pause": {"reason": reason, "since": "2026-11-21T11:55:00Z",
            "until": until}}}),
    )
}

/// One that a version to come has written.
fn unreadable(name: &str) -> Item {
    let mut object = serde_json::to_value(rollout(json!({}))).unwrap();
    merge(
        &mut object,
        json!({"metadata": {"name": name}, "status": {"phase": "Levitating"}}),
    );
    read(object)
}

fn some() -> Vec<Item> {
    let no_data = "step 3/6, 25 % canary: analysis a-1 has nothing that it could judge: error-ratio: no samples";
    let lacks = json!({"status": {"conditions": [{"type": "TooLittleTraffic", "status": "True",
        "reason": "Forecast", "message": "m", "lastTransitionTime": "2026-11-21T11:58:00Z"}]}});
    let mut new = json!({"metadata": {"generation": 1}});
    merge(&mut new, json!({"status": {"phase": null}}));
    vec![
        item("aborted", aborted("Aborted")),
        item("aborting", aborted("Aborting")),
        item(
            "degraded",
            json!({"status": {"phase": "Degraded", "readyReplicas": 3,
                "message": "no progress within 600 s: pods of the stable version become available"}}),
        ),
        item(
            "deleted",
            json!({"metadata": {"deletionTimestamp": "2026-11-21T11:59:00Z"}}),
        ),
        item("healthy", json!({})),
        item(
            "held",
            json!({"status": {"heldSince": "2026-11-21T11:50:00Z",
                "restartAt": "2026-11-21T11:59:00Z"}}),
        ),
        item(
            "initializing",
            json!({"status": {"phase": "Initializing", "message": "the first version comes up",
                "stable": null,
                "canary": {"revision": 1, "hash": "77cd81f200", "images": []}}}),
        ),
        item(
            "invalid",
            json!({"status": {"phase": "Invalid",
                "message": "spec.strategy.canary.stableService: Service checkout-stable does not exist"}}),
        ),
        unreadable("levitating"),
        item("new", new),
        item(
            "paused",
            waiting(
                "Step",
                "step 3/6, 25 % canary: pause",
                &json!("2026-11-21T12:05:00Z"),
            ),
        ),
        item(
            "paused-without-data",
            waiting("NoData", no_data, &Value::Null),
        ),
        item(
            "progressing",
            of(
                canary(
                    1,
                    "Progressing",
                    "step 1/6, 5 % canary: analysis a-1 gathers evidence",
                    5,
                ),
                lacks,
            ),
        ),
        item(
            "rejected",
            json!({"status": {"phase": "Rejected", "message": "the spec asks for a rejected version"}}),
        ),
        item(
            "shifting",
            of(
                canary(
                    2,
                    "Progressing",
                    "step 2/6, 25 % canary: 25 % of the traffic: HTTPRoute checkout settles",
                    25,
                ),
                json!({"metadata": {"generation": 8}, "status": {"traffic": {"accepted": 5}}}),
            ),
        ),
    ]
}

fn pods() -> Pods {
    let counts = |desired, ready| Counts {
        desired,
        current: desired,
        ready,
        available: ready,
    };
    let of = |name: &str, hash: &str| (format!("uid-{name}"), hash.to_owned());
    [
        (of("progressing", "77cd81f200"), counts(3, 1)),
        (of("progressing", "6b5f9c7d00"), counts(10, 10)),
        (of("paused", "77cd81f200"), counts(3, 3)),
        (of("paused", "6b5f9c7d00"), counts(10, 10)),
        (of("aborted", "6b5f9c7d00"), counts(10, 9)),
    ]
    .into()
}

#[test]
fn every_table_is_laid_out_as_written_down() {
    let all = some();
    let pods = pods();
    let hostile = vec![
        item(
            "hostile",
            json!({"status": {"phase": "Invalid", "message": "a\u{1b}[2J\u{202e}b\nc"}}),
        ),
        {
            let mut object = serde_json::to_value(rollout(json!({}))).unwrap();
            merge(
                &mut object,
                json!({"metadata": {"name": "x\u{1b}[31my"}, "status": {"phase": "\u{202e}\u{7}p"}}),
            );
            read(object)
        },
    ];
    let mut actual = String::new();
    for (name, items, pods, view, namespaces) in [
        ("a namespace", &all, None, view(None, false), false),
        (
            "all namespaces, 80 columns",
            &all,
            None,
            view(Some(80), false),
            true,
        ),
        ("wide", &all, Some(&pods), view(None, true), false),
        (
            "wide, without ReplicaSets",
            &all,
            None,
            view(None, true),
            false,
        ),
        ("hostile text", &hostile, None, view(None, false), true),
        ("none", &Vec::new(), None, view(None, false), true),
    ] {
        let lines = lines(items, pods, &view, namespaces);
        actual.push_str(&written(name, &lines, &view));
    }
    hold_to("list/shapes.txt", &actual);
}

/// A row without the blanks between its columns.
fn row(name: &str, wide: bool) -> String {
    let pods = pods();
    let lines = lines(&some(), Some(&pods), &view(None, wide), false);
    let texts = lines.iter().map(|line| line.render(false));
    let mut words = texts.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    words
        .find(|text| text.starts_with(&format!("{name} ")))
        .unwrap()
}

#[test]
fn a_row_says_where_it_stands_and_what_it_waits_for() {
    for (name, text) in [
        (
            "aborted",
            "aborted ✖ Aborted 1/6 0 % 7d AnalysisFailed 2m ago at 5 % of the traffic: error-ratio is 3.1 times stable's (1.9 to 4.8)",
        ),
        (
            "held",
            "held ✔ Healthy 7d the next rollout will be held; pods from before 2026-11-21T11:59:00Z are being replaced",
        ),
        ("healthy", "healthy ✔ Healthy 7d"),
        (
            "new",
            "new ◌ Unknown 7d the controller has not looked at it yet",
        ),
        ("deleted", "deleted ✔ Healthy 7d it is being deleted"),
        (
            "paused",
            "paused ‖ Paused 3/6 25 % 7d Step for 5m, goes on in 5m",
        ),
        (
            "paused-without-data",
            "paused-without-data ‖ Paused 3/6 25 % 7d NoData for 5m: analysis a-1 has nothing that it could judge: error-ratio: no samples",
        ),
        (
            "progressing",
            "progressing ◌ Progressing 1/6 5 % 7d analysis a-1 gathers evidence; TooLittleTraffic",
        ),
        (
            "shifting",
            "shifting ◌ Progressing 2/6 5 to 25 % 7d the controller has not seen the latest change yet (generation 8; it has seen 7); 25 % of the traffic: HTTPRoute checkout settles",
        ),
    ] {
        assert_eq!(row(name, false), text);
    }
    let levitating = row("levitating", false);
    assert!(
        levitating.starts_with("levitating ⚠ Unreadable 7d unknown variant `Levitating`"),
        "{levitating}"
    );
    for (name, text) in [
        (
            "progressing",
            "progressing ◌ Progressing 1/6 5 % 10/10 1/3 7d",
        ),
        ("aborted", "aborted ✖ Aborted 1/6 0 % 9/10 none 7d"),
        ("degraded", "degraded ✖ Degraded 3/10 7d"),
        ("initializing", "initializing ◌ Initializing none 7d"),
    ] {
        let row = row(name, true);
        assert!(row.starts_with(text), "{row}");
    }
}

#[test]
fn phases_are_coloured_as_elsewhere() {
    let lines = lines(&some(), None, &view(None, false), false);
    let aborted = lines[1].render(true);
    assert!(aborted.contains("\u{1b}[31m"), "{aborted:?}");
    assert!(aborted.contains("✖ Aborted"), "{aborted:?}");
}

#[test]
fn scripts_read_each_as_its_status_alone() {
    let document = Item::document(&some()[0]);
    assert_eq!(document["rollout"], "aborted");
    assert_eq!(document["phase"], "Aborted");
    assert_eq!(document["abort"]["reason"], "AnalysisFailed");
    let document = unreadable("levitating").document();
    assert_eq!(document["rollout"], "levitating");
    assert_eq!(document["phase"], "Unreadable");
    let message = document["message"].as_str().unwrap();
    assert!(message.contains("Levitating"), "{message}");
}

#[test]
fn what_no_row_shows_is_not_kept() {
    let item = item(
        "checkout",
        json!({"metadata": {"annotations": {"a": "b"}, "managedFields": [{"manager": "m"}]}}),
    );
    let rollout = item.rollout().unwrap();
    assert!(rollout.spec.template.is_null());
    assert!(rollout.metadata.annotations.is_none() && rollout.metadata.managed_fields.is_none());
}
