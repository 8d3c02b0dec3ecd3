//! `get`, `get --watch`, `status`, `version`, `completion` and the help.

use clap::CommandFactory;
use kube::api::{Api, Patch};
use serde_json::{Value, json};
use tidegate::cli::args::Cli;
use tidegate::cli::error::{CliError, Exit};
use tidegate::cli::terminal::{Screen, Terminal};

use super::lab::{DEADLINE, Lab, Paper, aborted, eventually, healthy, in_progress};

/// A Rollout in mid-canary with its ReplicaSets, an AnalysisRun and a Revert; and the same of a
/// neighbour, which must not be shown.
async fn whole() -> Lab {
    let lab = Lab::with(in_progress(json!({}))).await;
    lab.add_rollout("shop", "neighbour");
    let uid = |name: &str| {
        let rollout = lab
            .server
            .store()
            .get("rollouts.tidegate.io", "shop", name)
            .unwrap();
        rollout["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    for (rollout, hash, replicas) in [
        ("checkout", "77cd81f200", 1),
        ("checkout", "6b5f9c7d00", 10),
        ("neighbour", "99", 3),
    ] {
        let uid = uid(rollout);
        let labels = json!({"app": "checkout", "rollouts-pod-template-hash": hash,
            "tidegate.io/rollout": rollout});
        let owner = json!([{"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout", "name": rollout,
            "uid": uid, "controller": true}]);
        lab.server
            .add(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": format!("{rollout}-{hash}"), "namespace": "shop",
                    "labels": labels, "ownerReferences": owner},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels},
                        "spec": {"containers": [{"name": "app", "image": "i"}]}}}}))
            .unwrap();
    }
    for rollout in ["checkout", "neighbour"] {
        let metadata = |name: &str| {
            json!({"name": format!("{rollout}-{name}"), "namespace": "shop",
                "labels": {"tidegate.io/rollout": rollout}})
        };
        let of = json!({"name": rollout, "uid": uid(rollout)});
        lab.server
            .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
                "metadata": metadata("run"),
                "spec": {"rollout": of, "canaryHash": "77cd81f200", "stableHash": "6b5f9c7d00",
                    "revision": 13, "step": 1,
                    "metrics": [{"name": "saturation", "threshold": {"query": "up", "success": "result > 0.0"}}]}}))
            .unwrap();
        lab.server
            .add(
                json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
                "metadata": metadata("revert"),
                "spec": {"mode": "Push", "rollout": of, "reason": "AnalysisFailed", "attempt": 1,
                    "stable": {"revision": 12, "hash": "6b5f9c7d00"},
                    "bad": {"revision": 11, "hash": "11"}, "abortedAt": "2026-11-21T11:58:00Z"}}),
            )
            .unwrap();
    }
    lab
}

#[tokio::test]
async fn get_shows_what_belongs_to_the_rollout_and_nothing_else() {
    let lab = whole().await;
    let seen = lab.run("get checkout").await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    for part in [
        "Phase:      ◌ Progressing",
        "Step:       1/3 pause until promoted",
        "⧉ checkout-77cd81f200",
        "⧉ checkout-6b5f9c7d00",
        "α checkout-run",
        "↩ checkout-revert",
    ] {
        assert!(seen.out.contains(part), "{part:?} in\n{}", seen.out);
    }
    assert!(!seen.out.contains("neighbour"), "{}", seen.out);
    assert!(
        !seen.out.contains('\u{1b}'),
        "no escape sequences in a pipe"
    );
    assert!(
        !seen.out.lines().any(|line| line.ends_with(' ')),
        "no blanks at the end"
    );
}

#[tokio::test]
async fn get_for_scripts() {
    let lab = whole().await;
    let seen = lab.run("get checkout -o json").await;
    let json: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(json["rollout"]["kind"], "Rollout");
    assert_eq!(json["rollout"]["status"]["canary"]["revision"], 13);
    let names = |list: &str| {
        let list = json[list].as_array().unwrap().iter();
        list.map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("replicaSets"),
        ["checkout-6b5f9c7d00", "checkout-77cd81f200"]
    );
    assert_eq!(names("analysisRuns"), ["checkout-run"]);
    assert_eq!(names("reverts"), ["checkout-revert"]);
    let seen = lab.run("get checkout -o yaml").await;
    let yaml: Value = serde_saphyr::from_str(&seen.out).unwrap();
    assert_eq!(yaml, json, "{}", seen.out);
    assert_eq!(
        lab.run("get checkout -o name").await.out,
        "rollout.tidegate.io/checkout\n"
    );
    let seen = lab.run("get checkout --watch -o json").await;
    assert_eq!(seen.exit, Exit::Usage, "{seen:?}");
}

#[tokio::test]
async fn the_live_view_is_redrawn_in_place_until_the_rollout_is_gone() {
    let lab = whole().await;
    let (out, err) = (Paper::default(), Paper::default());
    let screen = Screen {
        colour: true,
        width: Some(90),
        height: Some(60),
    };
    let person = async {
        eventually("the first picture", || out.text().contains("◌ Progressing")).await;
        lab.set_status(aborted("Aborted")).await;
        eventually("the abort", || out.text().contains("✖ Aborted")).await;
        let runs: Api<tidegate::api::analysis::AnalysisRun> =
            Api::namespaced(lab.server.client_as("shop", "test"), "shop");
        let status = json!({"status": {"phase": "Failed", "verdict": "Fail", "message": "so bad"}});
        runs.patch_status("checkout-run", &Default::default(), &Patch::Merge(status))
            .await
            .unwrap();
        eventually("the analysis", || out.text().contains("so bad")).await;
        // A server that restarts ends all watches; they begin anew.
        lab.server.disconnect_watches();
        lab.set_status(json!({"message": "after the restart"}))
            .await;
        eventually("life after a restart", || {
            out.text().contains("after the restart")
        })
        .await;
        lab.rollouts()
            .delete("checkout", &Default::default())
            .await
            .unwrap();
    };
    let run = tokio::time::timeout(DEADLINE, lab.run_on("get checkout -w", screen, &out, &err));
    let (exit, ()) = tokio::join!(run, person);
    assert_eq!(exit.unwrap(), Exit::Done, "{}", err.text());
    let text = out.text();
    assert!(
        text.ends_with("rollout.tidegate.io/checkout was deleted\n"),
        "{text}"
    );
    assert_eq!(
        text.matches("\u{1b}[2J").count(),
        1,
        "cleared once, then drawn over"
    );
    assert!(text.contains("\u{1b}[31m"), "in colour");
    for frame in text.split("\u{1b}[?2026h").skip(1) {
        assert!(
            frame.starts_with("\u{1b}[2J\u{1b}[H") || frame.starts_with("\u{1b}[H"),
            "{frame:?}"
        );
        assert!(frame.matches("\r\n").count() <= 60, "fits the screen");
    }
}

#[tokio::test]
async fn a_low_screen_shows_the_top_and_says_that_there_is_more() {
    let lab = whole().await;
    let (out, err) = (Paper::default(), Paper::default());
    let screen = Screen {
        colour: false,
        width: Some(80),
        height: Some(8),
    };
    let person = async {
        eventually("the first picture", || {
            out.text().contains("more lines below")
        })
        .await;
        lab.rollouts()
            .delete("checkout", &Default::default())
            .await
            .unwrap();
    };
    tokio::join!(lab.run_on("get checkout -w", screen, &out, &err), person);
    let text = out.text();
    let frame = text.split("\u{1b}[?2026h").nth(1).unwrap();
    assert_eq!(frame.matches("\r\n").count(), 7, "{frame:?}");
}

#[tokio::test]
async fn in_a_pipe_every_change_is_one_line() {
    let lab = whole().await;
    let (out, err) = (Paper::default(), Paper::default());
    let person = async {
        eventually("the start", || {
            out.text().contains("Progressing, revision 13 step 1/3")
        })
        .await;
        lab.set_status(json!({"traffic": {"desired": 50}})).await;
        eventually("the weight", || {
            out.text().contains("traffic 50 % (5 % accepted)")
        })
        .await;
        lab.rollouts()
            .delete("checkout", &Default::default())
            .await
            .unwrap();
    };
    let run = lab.run_on("get checkout --watch", Screen::default(), &out, &err);
    let (exit, ()) = tokio::join!(run, person);
    assert_eq!(exit, Exit::Done);
    let text = out.text();
    assert!(!text.contains('\u{1b}'), "{text}");
    let about = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        about("rollout.tidegate.io/checkout: Progressing"),
        2,
        "{text}"
    );
    assert_eq!(
        about("analysisrun.tidegate.io/checkout-run"),
        1,
        "said once: {text}"
    );
    assert_eq!(
        about("revert.tidegate.io/checkout-revert: Pending"),
        1,
        "{text}"
    );
}

#[tokio::test]
async fn status_is_one_word() {
    let lab = Lab::with(in_progress(json!({"phase": "Paused"}))).await;
    let seen = lab.run("status checkout").await;
    assert_eq!((seen.exit, seen.out.as_str()), (Exit::Done, "Paused\n"));
    let seen = lab.run("status checkout -o wide").await;
    assert_eq!(seen.out, "‖ Paused  step 1/3, 5 % canary\n");
    let seen = lab.run("status checkout -o json").await;
    let json: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(
        (&json["phase"], &json["canary"]["step"]),
        (&json!("Paused"), &json!(1))
    );
    let lab = Lab::new();
    lab.add_rollout("shop", "checkout");
    assert_eq!(lab.run("status checkout").await.out, "Unknown\n");
}

#[tokio::test]
async fn waiting_ends_with_the_outcome_as_exit_code() {
    for (phase, exit) in [
        ("Healthy", Exit::Done),
        ("Aborted", Exit::Aborted),
        ("Rejected", Exit::Aborted),
        ("Degraded", Exit::Broken),
        ("Invalid", Exit::Broken),
    ] {
        let lab = Lab::with(in_progress(json!({}))).await;
        let (out, err) = (Paper::default(), Paper::default());
        let controller = async {
            eventually("the start", || out.text().contains("◌ Progressing")).await;
            lab.set_status(json!({"phase": "Paused", "message": "until promoted"}))
                .await;
            eventually("the pause", || {
                out.text().contains("‖ Paused  until promoted")
            })
            .await;
            lab.set_status(json!({"phase": phase, "message": "the end"}))
                .await;
        };
        let run = lab.run_on("status checkout --wait", Screen::default(), &out, &err);
        let (ended, ()) = tokio::join!(run, controller);
        assert_eq!(ended, exit, "{phase}: {}", out.text());
        assert!(
            out.text().contains(&format!("{phase}  the end")),
            "{}",
            out.text()
        );
        // What is settled already is not waited for.
        assert_eq!(
            lab.run("status checkout --wait").await.exit,
            exit,
            "{phase}"
        );
    }
}

#[tokio::test]
async fn yesterdays_healthy_is_not_todays() {
    let lab = Lab::with(healthy()).await;
    lab.set_spec(json!({"minReadySeconds": 5})).await;
    let seen = lab.run("status checkout --wait --timeout 1s").await;
    assert_eq!(seen.exit, Exit::TimedOut, "{seen:?}");
    assert!(
        seen.out
            .contains("has not seen the latest change yet (generation 2"),
        "{}",
        seen.out
    );
    assert!(seen.err.contains("not settled after 1s"), "{}", seen.err);
    lab.set_status(json!({"observedGeneration": 2})).await;
    let seen = lab.run("status checkout --wait --timeout 1s -o json").await;
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert_eq!(
        serde_json::from_str::<Value>(&seen.out).unwrap()["phase"],
        "Healthy"
    );
}

/// A reader that has gone.
struct Closed;

impl std::io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_failure_and_no_good_news() {
    let lab = Lab::with(in_progress(json!({}))).await;
    for (words, exit) in [
        ("get checkout", Exit::Done),
        ("list", Exit::Done),
        ("why checkout", Exit::Done),
        ("history checkout", Exit::Done),
        ("status checkout --wait", Exit::NoAnswer),
    ] {
        let words = std::iter::once("kubectl-tidegate").chain(words.split(' '));
        let cli = <Cli as clap::Parser>::try_parse_from(words).unwrap();
        let mut err = Paper::default();
        let errors = err.clone();
        let mut out = Closed;
        let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
        assert_eq!(
            Box::pin(tidegate::cli::run(&cli, Ok(lab.session()), &mut terminal)).await,
            exit
        );
        assert_eq!(errors.text(), "");
    }
}

#[tokio::test]
async fn version_says_what_can_be_told() {
    let lab = Lab::new();
    let client = env!("CARGO_PKG_VERSION");
    let seen = lab.run("version").await;
    assert_eq!(seen.exit, Exit::Done);
    assert!(
        seen.out.contains(&format!("client:     {client}\n")),
        "{}",
        seen.out
    );
    assert!(
        seen.out.contains("server:     Kubernetes v1."),
        "{}",
        seen.out
    );
    assert!(
        seen.out.contains("resources:  tidegate.io/v1alpha1"),
        "{}",
        seen.out
    );
    assert!(
        seen.out
            .contains("controller: cannot be told: no Deployment"),
        "{}",
        seen.out
    );
    let labels = json!({"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/version": "9.8.7",
        "app.kubernetes.io/component": "controller"});
    lab.server
        .add(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "tidegate", "namespace": "ops", "labels": labels},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "app", "image": "tidegate:9.8.7"}]}}}}))
        .unwrap();
    let seen = lab.run("version").await;
    assert!(
        seen.out
            .contains("9.8.7 controller, 0/2 available (ops/tidegate)"),
        "{}",
        seen.out
    );
    let skew = format!("warning: the plugin is {client} and the controller 9.8.7");
    assert!(seen.out.contains(&skew), "{}", seen.out);
    let seen = lab.run("version -o json").await;
    let json: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(
        (&json["client"], &json["problems"]),
        (&json!(client), &json!([])),
        "{json}"
    );
    assert_eq!(
        lab.run("version --client").await.out,
        format!("client:     {client}\n")
    );
}

#[tokio::test]
async fn completion_for_every_shell_and_for_kubectl() {
    let lab = Lab::with(healthy()).await;
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let seen = lab.run(&format!("completion {shell}")).await;
        assert_eq!(seen.exit, Exit::Done);
        for word in [
            "kubectl-tidegate",
            "promote",
            "retry",
            "full",
            "request-timeout",
        ] {
            assert!(seen.out.contains(word), "{word} in the script for {shell}");
        }
    }
    let seen = lab.run("completion kubectl").await;
    assert!(seen.out.starts_with("#!/bin/sh\n") && seen.out.contains("__complete \"$@\""));
    lab.add_rollout("shop", "cart");
    assert_eq!(
        lab.run("__complete promote ch").await.out,
        "checkout\t\n:4\n"
    );
    let seen = lab.run("__complete pro").await;
    assert!(
        seen.out.starts_with("promote\tEnd the present step"),
        "{}",
        seen.out
    );
}

#[tokio::test]
async fn completion_is_silent_where_there_is_no_cluster() {
    let (mut out, mut err) = (Paper::default(), Paper::default());
    let (text, errors) = (out.clone(), err.clone());
    let cli =
        <Cli as clap::Parser>::try_parse_from(["kubectl-tidegate", "__complete", "get"]).unwrap();
    let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
    let nowhere = Err(CliError::Kubeconfig("none".to_owned()));
    assert_eq!(
        tidegate::cli::run(&cli, nowhere, &mut terminal).await,
        Exit::Done
    );
    assert!(text.text().ends_with(":4\n"), "{}", text.text());
    assert_eq!(errors.text(), "");
}

#[test]
fn help_teaches() {
    let mut root = Cli::command();
    let top = root.render_long_help().to_string();
    for part in [
        "Examples:",
        "Exit codes:",
        "kubectl tidegate get checkout --watch",
        "acknowledges it",
    ] {
        assert!(top.contains(part), "{part:?} in\n{top}");
    }
    assert!(!top.contains("__complete"));
    for command in root.get_subcommands_mut().filter(|c| !c.is_hide_set()) {
        let name = command.get_name().to_owned();
        assert!(command.get_about().is_some(), "{name} says what it does");
        for arg in command
            .get_arguments()
            .filter(|a| !a.is_hide_set() && a.get_id() != "help")
        {
            assert!(
                arg.get_help().is_some(),
                "{name} {} says what it does",
                arg.get_id()
            );
        }
    }
}

#[test]
fn every_command_has_its_row_in_the_docs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let root = Cli::command();
    for command in root.get_subcommands().filter(|c| !c.is_hide_set()) {
        let head = format!("| `kubectl tidegate {}", command.get_name());
        let is_about = |row: &&&str| {
            let rest = row.strip_prefix(&head);
            rest.is_some_and(|rest| rest.starts_with([' ', '`']))
        };
        let number = rows.iter().filter(is_about).count();
        assert_eq!(number, 1, "docs/commands.md: {}", command.get_name());
    }
}
