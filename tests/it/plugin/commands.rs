//! Every command: what is written, what is waited for, what is refused.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::cli::error::Exit;
use tidegate::sim::apiserver::Fault;

use super::lab::{Lab, aborted, healthy, in_progress};

#[tokio::test]
async fn a_command_names_revision_and_step_and_is_acknowledged() {
    for (words, verb, status, place) in [
        (
            "promote checkout",
            "promote",
            in_progress(json!({})),
            "13/1",
        ),
        (
            "promote checkout --full",
            "promote-full",
            in_progress(json!({})),
            "13/1",
        ),
        (
            "abort checkout",
            "abort",
            in_progress(json!({"phase": "Paused"})),
            "13/1",
        ),
        ("retry checkout", "retry", aborted("Aborted"), "13/1"),
        ("pause checkout", "pause", in_progress(json!({})), "13/1"),
        ("pause rollout/checkout", "pause", healthy(), "12/0"),
        (
            "resume checkout",
            "resume",
            in_progress(json!({"heldSince": "2026-11-21T11:00:00Z"})),
            "13/1",
        ),
        ("restart checkout", "restart", healthy(), "12/0"),
    ] {
        let lab = Lab::with(status).await;
        let (seen, value) = lab.run_answered(words, verb, "Accepted").await;
        assert_eq!(seen.exit, Exit::Done, "{words}: {seen:?}");
        assert_eq!(seen.err, "", "{words}");
        assert!(
            seen.out
                .contains(&format!("{verb} asked for by alice@example.com")),
            "{}",
            seen.out
        );
        assert!(
            seen.out
                .ends_with("rollout.tidegate.io/checkout: Accepted\n"),
            "{}",
            seen.out
        );

        let mut parts = value.splitn(3, ' ');
        assert_eq!(parts.next(), Some(place), "{value}");
        let time: Timestamp = parts.next().unwrap().parse().unwrap();
        assert!(
            (Timestamp::now().duration_since(time)).as_secs().abs() < 3_600,
            "{value}"
        );
        assert_eq!(parts.next(), Some("alice@example.com"), "{value}");

        assert_eq!(lab.writes(), 1, "{words}");
        let rollout = lab.rollout().await;
        assert_eq!(
            rollout.metadata.generation,
            Some(1),
            "{words}: the spec is not touched"
        );
        assert_eq!(rollout.metadata.annotations.unwrap().len(), 1, "{words}");
    }
}

#[tokio::test]
async fn what_the_controller_refuses_is_said_with_exit_code_1() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let refusal = "Refused: it was meant for step 1; the rollout is at step 2 of 3";
    let (seen, _) = lab
        .run_answered("promote checkout", "promote", refusal)
        .await;
    assert_eq!(seen.exit, Exit::Refused, "{seen:?}");
    assert!(seen.out.contains(refusal), "{}", seen.out);
}

#[tokio::test]
async fn scripts_read_what_became_of_a_command() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let (seen, value) = lab
        .run_answered("abort checkout -o json", "abort", "Accepted")
        .await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(
        document,
        json!({"rollout": "checkout", "namespace": "shop", "command": "abort", "value": value,
            "result": "Accepted", "accepted": true})
    );
    let lab = Lab::with(in_progress(json!({}))).await;
    let (seen, value) = lab
        .run_answered("pause checkout -o yaml", "pause", "Refused: no")
        .await;
    assert_eq!(seen.exit, Exit::Refused);
    let document: Value = serde_saphyr::from_str(&seen.out).unwrap();
    assert_eq!(document["result"], "Refused: no", "{}", seen.out);
    assert_eq!(document["accepted"], false);
    assert_eq!(document["value"], json!(value));
    let lab = Lab::with(in_progress(json!({}))).await;
    let (seen, _) = lab
        .run_answered("pause checkout -o name", "pause", "Accepted")
        .await;
    assert_eq!(seen.out, "rollout.tidegate.io/checkout\n");
    let lab = Lab::with(in_progress(json!({}))).await;
    let (seen, value) = lab
        .run_answered("pause checkout -o wide", "pause", "Accepted")
        .await;
    assert!(
        seen.out
            .contains(&format!("Accepted (tidegate.io/pause={value})")),
        "{}",
        seen.out
    );
}

#[tokio::test]
async fn nobody_answers() {
    // What was answered before is no answer to this.
    let before = "13/0 2026-11-21T11:00:00Z bob";
    let lab = Lab::with(in_progress(json!({
        "handledCommands": {"promote": before},
        "lastHandledCommand": {"command": "promote", "value": before,
            "at": "2026-11-21T11:00:01Z", "result": "Accepted"},
    })))
    .await;
    let seen = lab.run("promote checkout --timeout 1s").await;
    assert_eq!(seen.exit, Exit::TimedOut, "{seen:?}");
    for advice in [
        "no answer to promote within 1s",
        "The request is written",
        "kubectl get pods -A",
        "kubectl annotate rollout.tidegate.io checkout -n shop tidegate.io/promote-",
    ] {
        assert!(seen.err.contains(advice), "{advice:?} in {}", seen.err);
    }
    assert_eq!(lab.writes(), 1);
    let seen = lab.run("promote checkout --timeout 1s -o json").await;
    assert_eq!(seen.exit, Exit::TimedOut);
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["accepted"], Value::Null, "{}", seen.out);
}

#[tokio::test]
async fn without_waiting_the_request_is_written_and_that_is_all() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let seen = lab.run("abort checkout --no-wait").await;
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert!(
        lab.rollout()
            .await
            .metadata
            .annotations
            .unwrap()
            .contains_key("tidegate.io/abort")
    );
    let seen = lab.run("abort checkout --no-wait -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["result"], Value::Null);
    assert!(
        document["value"].as_str().unwrap().starts_with("13/1 "),
        "{document}"
    );
}

#[tokio::test]
async fn an_answer_that_a_later_command_has_covered_still_counts() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let cover = async {
        let value = lab.acknowledge("pause", "Accepted").await;
        lab.set_status(json!({"lastHandledCommand": {"command": "abort", "value": "13/1 x y"}}))
            .await;
        value
    };
    // The watch is closed until both answers are there.
    let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let gate = closed.clone();
    lab.server.set_faults(Some(std::sync::Arc::new(move |info| {
        let shut = gate.load(std::sync::atomic::Ordering::SeqCst);
        let of_plugin = info.user_agent == super::lab::PLUGIN;
        match shut && of_plugin && matches!(info.verb.as_str(), "list" | "watch") {
            true => Fault::Fail(500, "InternalError"),
            false => Fault::Pass,
        }
    })));
    let cover = async {
        cover.await;
        closed.store(false, std::sync::atomic::Ordering::SeqCst);
    };
    let (seen, ()) = tokio::join!(lab.run("pause checkout"), cover);
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert!(
        seen.out.contains("Handled; a later command's result"),
        "{}",
        seen.out
    );
}

#[tokio::test]
async fn a_rollout_that_goes_away_meanwhile() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let delete = async {
        let rollouts = lab.rollouts();
        while lab.rollout().await.metadata.annotations.is_none() {
            tokio::task::yield_now().await;
        }
        rollouts
            .delete("checkout", &Default::default())
            .await
            .unwrap();
    };
    let (seen, ()) = tokio::join!(lab.run("promote checkout"), delete);
    assert_eq!(seen.exit, Exit::NoAnswer, "{seen:?}");
    assert!(
        seen.err.contains("deleted while the answer was waited for"),
        "{}",
        seen.err
    );
}

/// Nothing is written when a command cannot mean anything, and the reason names the way out.
#[tokio::test]
async fn every_refusal() {
    let table: Vec<(&str, Value, &str)> = vec![
        (
            "promote",
            healthy(),
            "there is nothing to promote: revision 12 is stable",
        ),
        (
            "promote",
            in_progress(json!({"phase": "Initializing", "stable": null})),
            "the first deployment has no steps",
        ),
        (
            "promote",
            aborted("Aborted"),
            "revision 13 was aborted (error-ratio is 3.1 times stable's); `kubectl tidegate retry checkout`",
        ),
        ("promote", aborted("Aborting"), "was aborted"),
        ("promote", rejected(), "on record as rejected"),
        (
            "promote",
            in_progress(json!({"phase": "Invalid", "message": "spec.x: 3"})),
            "cannot be carried out as it is: spec.x: 3",
        ),
        (
            "promote",
            in_progress(json!({"phase": "Degraded", "canary": null})),
            "no rollout is in progress",
        ),
        (
            "promote",
            in_progress(json!({"canary": {"step": 3}})),
            "all steps are done",
        ),
        (
            "promote",
            in_progress(json!({"observedGeneration": 0})),
            "has not seen the latest change yet (generation 1; it has seen 0)",
        ),
        ("promote --full", healthy(), "nothing to promote"),
        (
            "promote --full",
            aborted("Aborted"),
            "promote-full is refused, nothing was written",
        ),
        ("abort", healthy(), "no rollout is in progress"),
        (
            "abort",
            rejected(),
            "on record as rejected; stable has all the traffic",
        ),
        (
            "abort",
            in_progress(json!({"phase": "Initializing", "stable": null})),
            "there is no stable version to go back to",
        ),
        ("retry", healthy(), "was not aborted: it is stable"),
        ("retry", in_progress(json!({})), "was not aborted"),
        (
            "retry",
            in_progress(json!({"phase": "Invalid", "message": "spec.x: 3"})),
            "cannot be carried out",
        ),
        (
            "retry",
            {
                let mut s = aborted("Aborted");
                s["observedGeneration"] = json!(0);
                s
            },
            "has not seen the latest change",
        ),
        (
            "pause",
            in_progress(json!({"heldSince": "2026-11-21T11:00:00Z"})),
            "it is paused since 2026-11-21T11:00:00Z; `kubectl tidegate resume checkout`",
        ),
        ("pause", aborted("Aborting"), "that is not held up"),
        ("resume", in_progress(json!({})), "it is not paused"),
        (
            "resume",
            paused("Step"),
            "which `kubectl tidegate promote checkout` ends",
        ),
        ("resume", paused("Inconclusive"), "decides neither way"),
        ("resume", paused("NoData"), "it waits for data"),
        ("resume", paused("SourceError"), "it waits for data"),
    ];
    let lab = Lab::with(healthy()).await;
    for (words, status, why) in table {
        lab.replace_status(status).await;
        let seen = lab.run(&format!("{words} checkout")).await;
        assert_eq!(seen.exit, Exit::Refused, "{words}: {seen:?}");
        assert!(seen.err.contains(why), "{words}: {why:?} in {}", seen.err);
        assert_eq!(seen.out, "", "{words}");
        assert_eq!(lab.writes(), 0, "{words}: {why}");
    }
}

fn paused(reason: &str) -> Value {
    in_progress(
        json!({"phase": "Paused", "pause": {"reason": reason, "since": "2026-11-21T11:00:00Z"}}),
    )
}

fn rejected() -> Value {
    let mut status = healthy();
    status["phase"] = json!("Rejected");
    status
}

#[tokio::test]
async fn what_the_spec_says_is_not_undone_by_a_command() {
    let lab = Lab::with(in_progress(json!({}))).await;
    lab.set_spec(json!({"paused": true})).await;
    lab.set_status(json!({"observedGeneration": 2})).await;
    let seen = lab.run("resume checkout").await;
    assert!(
        seen.err
            .contains("spec.paused is true: set it to false where"),
        "{}",
        seen.err
    );
    let seen = lab.run("pause checkout").await;
    assert!(
        seen.err.contains("spec.paused is true already"),
        "{}",
        seen.err
    );
    lab.set_spec(json!({"replicas": 0, "paused": false})).await;
    lab.set_status(json!({"replicas": 0})).await;
    let seen = lab.run("restart checkout").await;
    assert!(seen.err.contains("spec.replicas is 0"), "{}", seen.err);
    assert_eq!((seen.exit, lab.writes()), (Exit::Refused, 0));
}

#[tokio::test]
async fn nothing_is_asked_of_a_rollout_that_nobody_has_looked_at_or_that_goes_away() {
    let new = Lab::new();
    new.add_rollout("shop", "checkout");
    let leaving = Lab::with(in_progress(json!({}))).await;
    let finalizer = json!({"metadata": {"finalizers": ["tidegate.io/routes"]}});
    let (rollouts, params) = (leaving.rollouts(), kube::api::PatchParams::default());
    rollouts
        .patch("checkout", &params, &kube::api::Patch::Merge(finalizer))
        .await
        .unwrap();
    rollouts
        .delete("checkout", &Default::default())
        .await
        .unwrap();
    for verb in [
        "promote",
        "promote --full",
        "abort",
        "retry",
        "pause",
        "resume",
        "restart",
    ] {
        for (lab, why) in [
            (&new, "has not looked at the Rollout yet"),
            (&leaving, "is being deleted"),
        ] {
            let seen = lab.run(&format!("{verb} checkout")).await;
            assert_eq!(
                (seen.exit, lab.writes()),
                (Exit::Refused, 0),
                "{verb}: {seen:?}"
            );
            assert!(seen.err.contains(why), "{verb}: {}", seen.err);
        }
    }
}

#[tokio::test]
async fn what_is_so_already_is_no_failure() {
    for phase in ["Aborting", "Aborted"] {
        let lab = Lab::with(aborted(phase)).await;
        let seen = lab.run("abort checkout").await;
        assert_eq!((seen.exit, lab.writes()), (Exit::Done, 0), "{seen:?}");
        assert!(
            seen.out
                .contains("Nothing to do: aborted at 2026-11-21T11:58:00Z"),
            "{}",
            seen.out
        );
    }
    let lab = Lab::with(in_progress(json!({"canary": {"full": true}}))).await;
    let seen = lab.run("promote checkout --full").await;
    assert_eq!((seen.exit, lab.writes()), (Exit::Done, 0), "{seen:?}");
}

#[tokio::test]
async fn an_abort_is_taken_even_while_the_controller_is_behind() {
    let mut behind = healthy();
    behind["observedGeneration"] = json!(0);
    let lab = Lab::with(behind).await;
    let (seen, value) = lab
        .run_answered("abort checkout", "abort", "Accepted")
        .await;
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert!(value.starts_with("12/0 "), "{value}");
}

#[tokio::test]
async fn a_version_whose_analysis_has_failed_is_not_promoted_in_full() {
    let lab = Lab::with(in_progress(
        json!({"canary": {"analysisRun": "checkout-run"}}),
    ))
    .await;
    lab.server
        .add(json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "checkout-run", "namespace": "shop"},
            "spec": {"canaryHash": "77cd81f200", "stableHash": "6b5f9c7d00",
                "metrics": [{"name": "saturation", "threshold": {"query": "up", "success": "result > 0.0"}}]},
        }))
        .unwrap();
    let runs: kube::Api<tidegate::api::analysis::AnalysisRun> =
        kube::Api::namespaced(lab.server.client_as("shop", "test"), "shop");
    let fail = json!({"status": {"phase": "Failed", "verdict": "Fail", "message": "3 failures"}});
    let patch = kube::api::Patch::Merge(fail);
    runs.patch_status("checkout-run", &Default::default(), &patch)
        .await
        .unwrap();
    let seen = lab.run("promote checkout --full").await;
    assert_eq!((seen.exit, lab.writes()), (Exit::Refused, 0), "{seen:?}");
    assert!(
        seen.err
            .contains("AnalysisRun checkout-run has failed (3 failures)"),
        "{}",
        seen.err
    );
}
