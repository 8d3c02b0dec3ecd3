//! `revert`: what is shown, what is written, and what the Git writer answers, whose part a small task plays.

use futures::StreamExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tidegate::api::revert::Revert;
use tidegate::cli::error::Exit;

use super::lab::{DEADLINE, Lab, Seen, aborted};

const NAME: &str = "checkout-77cd81f200-1";
const DIFF: &str =
    "--- a/app.yaml\n+++ b/app.yaml\n@@ -3 +3 @@\n-checkout: v2\t# ours  \n+checkout: v1\n";

fn api(lab: &Lab) -> Api<Revert> {
    Api::namespaced(lab.server.client_as("shop", "test"), "shop")
}

async fn set_status(lab: &Lab, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    api(lab)
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn add(lab: &Lab, name: &str, mode: &str, attempt: i64, status: Value) {
    lab.server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
            "metadata": {"name": name, "namespace": "shop", "labels": {"tidegate.io/rollout": "checkout"}},
            "spec": {"mode": mode, "rollout": {"name": "checkout", "uid": "u"}, "reason": "AnalysisFailed",
                "attempt": attempt,
                "source": {"repo": "https://git.example/shop", "branch": "main", "path": "app.yaml"},
                "stable": {"revision": 12, "hash": "6b5f9c7d00"},
                "bad": {"revision": 13, "hash": "77cd81f200"},
                "abortedAt": "2026-11-21T11:58:00Z"}}))
        .unwrap();
    if !status.is_null() {
        set_status(lab, name, status).await;
    }
}

/// One whose branch is protected.
async fn waits() -> Lab {
    let lab = Lab::with(aborted("Aborted")).await;
    let status = json!({"phase": "NeedsHuman", "message": "the branch is protected", "plan": DIFF,
        "nextRetryAt": "2126-11-21T12:58:00Z"});
    add(&lab, NAME, "Push", 1, status).await;
    lab
}

/// Once the annotation is there, the Git writer writes this; gives the annotation's value.
async fn answered(lab: &Lab, annotation: &str, answer: impl Fn(&str) -> Value) -> String {
    let mut watch = watcher::watch_object(api(lab), NAME)
        .default_backoff()
        .boxed();
    while let Some(event) = watch.next().await {
        let Ok(Some(revert)) = event else { continue };
        let annotations = revert.metadata.annotations.unwrap_or_default();
        if let Some(value) = annotations.get(annotation) {
            set_status(lab, NAME, answer(value)).await;
            return value.clone();
        }
    }
    panic!("the watch ended before the annotation came");
}

async fn run_answered(
    lab: &Lab,
    words: &str,
    annotation: &str,
    answer: impl Fn(&str) -> Value,
) -> (Seen, String) {
    let answer = async {
        tokio::time::timeout(DEADLINE, answered(lab, annotation, answer))
            .await
            .expect(words)
    };
    tokio::join!(lab.run(words), answer)
}

#[tokio::test]
async fn the_newest_one_of_a_rollout_is_shown_or_one_by_its_name() {
    let lab = waits().await;
    add(&lab, "checkout-77cd81f200-2", "DryRun", 2, Value::Null).await;
    for (words, shown) in [
        ("revert show checkout", "checkout-77cd81f200-2 (shop)"),
        (
            "revert show rollout/checkout",
            "checkout-77cd81f200-2 (shop)",
        ),
        (
            "revert show checkout-77cd81f200-1",
            "checkout-77cd81f200-1 (shop)",
        ),
        (
            "revert show revert/checkout-77cd81f200-1",
            "checkout-77cd81f200-1 (shop)",
        ),
    ] {
        let seen = lab.run(words).await;
        assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{words}");
        assert!(seen.out.contains(shown), "{words}: {}", seen.out);
    }
    let seen = lab.run(&format!("revert show {NAME}")).await;
    for part in [
        "⚠ NeedsHuman",
        "the branch is protected",
        "+checkout: v1",
        "kubectl tidegate revert retry checkout-77cd81f200-1 -n shop",
    ] {
        assert!(seen.out.contains(part), "{part:?} in\n{}", seen.out);
    }
    let seen = lab.run(&format!("revert show {NAME} -o json")).await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["phase"], "NeedsHuman");
    assert_eq!(
        (&document["rejects"], &document["plan"]),
        (&json!(true), &json!(DIFF))
    );
    let seen = lab.run(&format!("revert show {NAME} -o name")).await;
    assert_eq!(seen.out, format!("revert.tidegate.io/{NAME}\n"));
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn a_plan_is_what_git_applies_or_it_is_said_why_there_is_none() {
    let lab = waits().await;
    let seen = lab.run("revert plan checkout").await;
    assert_eq!(
        (seen.exit, seen.out.as_str()),
        (Exit::Done, DIFF),
        "{seen:?}"
    );
    add(
        &lab,
        "checkout-77cd81f200-2",
        "Off",
        2,
        json!({"phase": "Recorded"}),
    )
    .await;
    lab.add_rollout("shop", "cart");
    for (name, says) in [
        ("checkout", "has no plan: it is a record only"),
        ("cart", "no version of it was aborted"),
        ("chekout", "Did you mean checkout?"),
        (
            "revert/cart",
            "there is no Revert \"cart\" in namespace shop",
        ),
    ] {
        let seen = lab.run(&format!("revert plan {name}")).await;
        assert_ne!(seen.exit, Exit::Done, "{name}");
        assert!(seen.err.contains(says), "{says:?} in {}", seen.err);
        assert_eq!(seen.out, "", "{name}");
    }
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn a_retry_is_over_when_the_writer_has_tried() {
    for (then, exit, says) in [
        (
            json!({"phase": "Landed", "nextRetryAt": null}),
            Exit::Done,
            "✔ Landed",
        ),
        (json!({"phase": "NeedsHuman"}), Exit::Refused, "NeedsHuman"),
    ] {
        let lab = waits().await;
        let (seen, value) = run_answered(
            &lab,
            "revert retry checkout",
            "tidegate.io/retry",
            |value| {
                let mut status = then.clone();
                status["handledRetry"] = json!(value);
                status
            },
        )
        .await;
        assert_eq!(seen.exit, exit, "{seen:?}");
        assert!(
            seen.out.contains("retry asked for by alice@example.com"),
            "{}",
            seen.out
        );
        assert!(seen.out.contains(says), "{says:?} in {}", seen.out);
        assert!(value.ends_with(" alice@example.com"), "{value}");
        assert_eq!(lab.writes(), 1);
        let revert = api(&lab).get(NAME).await.unwrap();
        assert_eq!(
            revert.metadata.generation,
            Some(1),
            "the spec is not touched"
        );
    }
}

#[tokio::test]
async fn a_decline_is_over_when_the_writer_has_put_it_aside_or_was_faster() {
    for (phase, exit) in [("Declined", Exit::Done), ("Pushed", Exit::Refused)] {
        let lab = waits().await;
        let words = "revert decline checkout -o json";
        let (seen, value) = run_answered(
            &lab,
            words,
            "tidegate.io/declined",
            |_| json!({"phase": phase, "nextRetryAt": null}),
        )
        .await;
        assert_eq!(seen.exit, exit, "{seen:?}");
        let document: Value = serde_json::from_str(&seen.out).unwrap();
        assert_eq!(document["value"], json!(value));
        assert_eq!(
            (&document["command"], &document["phase"]),
            (&json!("decline"), &json!(phase))
        );
    }
}

#[tokio::test]
async fn a_writer_that_is_not_there() {
    let lab = waits().await;
    let seen = lab.run("revert retry checkout --timeout 1s").await;
    assert_eq!(seen.exit, Exit::TimedOut, "{seen:?}");
    let back = format!("kubectl annotate revert.tidegate.io {NAME} -n shop tidegate.io/retry-");
    assert!(seen.err.contains(&back), "{}", seen.err);
    let seen = lab.run("revert decline checkout --no-wait").await;
    assert_eq!((seen.exit, lab.writes()), (Exit::Done, 2), "{seen:?}");
}

#[tokio::test]
async fn a_release_takes_the_rejection_back_once() {
    let lab = waits().await;
    add(
        &lab,
        "checkout-77cd81f200-2",
        "Push",
        2,
        json!({"phase": "Verified"}),
    )
    .await;
    let first = lab.run(&format!("revert release {NAME}")).await;
    assert_eq!(first.exit, Exit::Done, "{first:?}");
    assert!(
        first
            .out
            .contains("is still rejected by checkout-77cd81f200-2"),
        "{}",
        first.out
    );
    let second = lab.run("revert release checkout").await;
    assert!(
        second.out.contains("may be rolled out again"),
        "{}",
        second.out
    );
    let revert = api(&lab).get(NAME).await.unwrap();
    let annotations = revert.metadata.annotations.unwrap();
    assert!(annotations["tidegate.io/released"].ends_with(" alice@example.com"));
    assert_eq!(lab.writes(), 2);
    let again = lab.run(&format!("revert release {NAME}")).await;
    assert!(
        again.out.contains("Nothing to do: it was released already"),
        "{}",
        again.out
    );
    let late = lab.run(&format!("revert retry {NAME}")).await;
    assert!(
        late.err.contains("its version was released"),
        "{}",
        late.err
    );
    assert_eq!((late.exit, lab.writes()), (Exit::Refused, 2));
}
