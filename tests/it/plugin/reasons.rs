//! `history` and `why`: what is read for them, and what is done without.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate::cli::error::Exit;
use tidegate::cli::terminal::Screen;
use tidegate::sim::apiserver::Fault;

use super::lab::{Lab, Paper, aborted, merge};

/// After an abort, with its AnalysisRun, its Revert and what was before.
async fn given_up() -> Lab {
    let mut status = aborted("Aborted");
    merge(
        &mut status,
        json!({
            "abort": {"analysisRun": "checkout-run", "revert": "checkout-revert"},
            "history": [
                {"revision": 13, "hash": "77cd81f200", "outcome": "Aborted",
                 "at": "2026-11-21T11:58:00Z", "message": "error-ratio is 3.1 times stable's"},
                {"revision": 12, "hash": "6b5f9c7d00", "outcome": "Promoted",
                 "at": "2026-11-19T11:58:00Z", "message": "is stable"},
            ],
        }),
    );
    let lab = Lab::with(status).await;
    let uid = lab.rollout().await.metadata.uid;
    let metadata = |name: &str| json!({"name": name, "namespace": "shop", "labels": {"tidegate.io/rollout": "checkout"}});
    let of = json!({"name": "checkout", "uid": uid});
    lab.server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": metadata("checkout-run"),
            "spec": {"rollout": of, "canaryHash": "77cd81f200", "stableHash": "6b5f9c7d00",
                "revision": 13, "step": 1,
                "metrics": [{"name": "saturation", "threshold": {"query": "up", "success": "result > 0.0"}}]}}))
        .unwrap();
    lab.server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
            "metadata": metadata("checkout-revert"),
            "spec": {"mode": "Push", "rollout": of, "reason": "AnalysisFailed", "attempt": 1,
                "source": {"repo": "https://git.example/shop", "branch": "main", "path": "app.yaml"},
                "stable": {"revision": 12, "hash": "6b5f9c7d00"},
                "bad": {"revision": 13, "hash": "77cd81f200"},
                "abortedAt": "2026-11-21T11:58:00Z"}}))
        .unwrap();
    lab
}

#[tokio::test]
async fn history_has_the_outcomes_and_the_versions_that_there_are() {
    let lab = given_up().await;
    let seen = lab.run("history checkout").await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    for part in [
        "Stable:     revision 12 (6b5f9c7d00)",
        "Canary:     revision 13 (77cd81f200), given up: AnalysisFailed",
        "✖ Aborted",
        "✔ Promoted",
        "r.example/checkout:1.5",
        "  from https://git.example/shop main app.yaml",
        "  Revert checkout-revert is ◌ Pending",
    ] {
        assert!(seen.out.contains(part), "{part:?} in\n{}", seen.out);
    }
    assert!(!seen.out.lines().any(|line| line.ends_with(' ')));
    let seen = lab.run("history checkout -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["history"][0]["revert"], "checkout-revert");
    assert_eq!(document["history"][0]["source"]["branch"], "main");
    assert_eq!(
        document["history"][1]["images"],
        json!(["r.example/checkout:1.4"])
    );
    let seen = lab.run("history checkout -o yaml").await;
    let yaml: Value = serde_saphyr::from_str(&seen.out).unwrap();
    assert_eq!(yaml["history"][0], document["history"][0]);
    let seen = lab.run("history checkout -o name").await;
    assert_eq!(seen.out, "rollout.tidegate.io/checkout\n");
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn history_reads_no_analyses() {
    let lab = given_up().await;
    lab.server.reset_audit();
    lab.run("history checkout").await;
    let audit = lab.server.audit();
    let asked: Vec<&str> = audit
        .counts()
        .map(|(key, _)| key.resource.as_str())
        .collect();
    assert!(asked.contains(&"reverts.tidegate.io"), "{asked:?}");
    assert!(!asked.contains(&"analysisruns.tidegate.io"), "{asked:?}");
}

#[tokio::test]
async fn why_has_the_abort_its_proof_and_what_became_of_it_in_git() {
    let lab = given_up().await;
    let seen = lab.run("why checkout").await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    for part in [
        "checkout in namespace shop is ✖ Aborted\n",
        "- revision 13 (r.example/checkout:1.5) was given up at step 1/3",
        "- AnalysisRun checkout-run of step 1 is ◌ New",
        "- Revert checkout-revert is ◌ Pending",
        "Next:       the change is being taken out of Git; `kubectl tidegate retry checkout -n shop`",
    ] {
        assert!(seen.out.contains(part), "{part:?} in\n{}", seen.out);
    }
    let seen = lab.run("why checkout -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["phase"], "Aborted");
    assert_eq!(document["why"].as_array().unwrap().len(), 3);
    let seen = lab.run("why checkout -o yaml").await;
    let yaml: Value = serde_saphyr::from_str(&seen.out).unwrap();
    assert_eq!(yaml["next"], document["next"]);
    assert_eq!(
        lab.run("why rollout/checkout -o name").await.exit,
        Exit::Done
    );

    let (out, err) = (Paper::default(), Paper::default());
    let screen = Screen {
        colour: false,
        width: Some(60),
        height: Some(40),
    };
    lab.run_on("why checkout", screen, &out, &err).await;
    let text = out.text();
    assert!(
        text.lines().all(|line| line.chars().count() <= 60),
        "{text}"
    );
}

#[tokio::test]
async fn what_may_not_be_read_is_noted_for_people_and_refused_to_scripts() {
    for (words, resource, note) in [
        ("why checkout", "analysisruns", "AnalysisRuns are not shown"),
        ("why checkout", "reverts", "Reverts are not shown"),
        ("history checkout", "reverts", "Reverts are not shown"),
        (
            "history checkout",
            "replicasets",
            "ReplicaSets are not shown",
        ),
    ] {
        let lab = given_up().await;
        lab.server.set_faults(Some(Arc::new(move |info| {
            match info.verb == "list" && info.resource == resource {
                true => Fault::Fail(403, "Forbidden"),
                false => Fault::Pass,
            }
        })));
        let seen = lab.run(words).await;
        assert_eq!(seen.exit, Exit::Done, "{words}: {seen:?}");
        assert!(seen.out.contains(note), "{words}: {}", seen.out);
        assert!(!seen.out.contains("is not there"), "{words}: {}", seen.out);
        let seen = lab.run(&format!("{words} -o json")).await;
        assert_eq!(seen.exit, Exit::NoAnswer, "{words}: {seen:?}");
        assert_eq!(seen.out, "", "{words}");
        assert!(seen.err.contains(note), "{words}: {}", seen.err);
    }
}

#[tokio::test]
async fn both_need_one_rollout_that_is_there() {
    let lab = given_up().await;
    for command in ["history", "why"] {
        let seen = lab.run(&format!("{command} chekout")).await;
        assert_eq!(seen.exit, Exit::NoAnswer, "{command}");
        assert!(seen.err.contains("Did you mean checkout?"), "{}", seen.err);
        let seen = lab.run(&format!("{command} ../x")).await;
        assert_eq!(seen.exit, Exit::Usage, "{command}");
        let seen = lab.run(&format!("{command} chekout -o name")).await;
        assert_eq!(seen.exit, Exit::NoAnswer, "{command}");
    }
    let lab = Lab::new();
    lab.add_rollout("shop", "checkout");
    let seen = lab.run("history checkout").await;
    assert!(
        seen.out.contains("no version has come to an end yet"),
        "{}",
        seen.out
    );
    let seen = lab.run("why checkout").await;
    assert!(
        seen.out.contains("the controller has not looked at it yet"),
        "{}",
        seen.out
    );
}
