//! `undo`, `set image` and `create analysisrun`: what is written, and what is refused.

use serde_json::{Value, json};
use tidegate::api::rollout::HASH_LABEL;
use tidegate::cli::error::Exit;
use tidegate::core::naming::template_hash;
use tidegate::sim::apiserver::Fault;

use super::lab::{Lab, healthy, in_progress};

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "app", "image": image}]}})
}

/// Revision 13 is what the spec asks for; 12 and 11 have their ReplicaSets still.
async fn three_versions() -> Lab {
    let lab = Lab::with(healthy()).await;
    let uid = lab.rollout().await.metadata.uid;
    for (revision, image) in [
        (11, "r.example/checkout:1.3"),
        (12, "r.example/checkout:1.4"),
        (13, "r.example/checkout:1.5"),
    ] {
        let mut template = template(image);
        let hash = template_hash(&template, 0);
        let labels = json!({"app": "checkout", HASH_LABEL: hash});
        template["metadata"]["labels"] = labels.clone();
        let mut own = labels.clone();
        own["tidegate.io/rollout"] = json!("checkout");
        lab.server
            .add(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": format!("checkout-{hash}"), "namespace": "shop", "labels": own,
                    "annotations": {"tidegate.io/revision": revision.to_string()},
                    "ownerReferences": [{"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
                        "name": "checkout", "uid": uid, "controller": true}]},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}))
            .unwrap();
    }
    lab
}

async fn annotate(lab: &Lab, key: &str) {
    let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {key: "shop:x"}}}));
    lab.rollouts()
        .patch("checkout", &Default::default(), &patch)
        .await
        .unwrap();
}

#[tokio::test]
async fn undo_brings_back_the_very_version_that_it_was() {
    for (words, image) in [
        ("undo checkout", "r.example/checkout:1.4"),
        ("undo checkout --to-revision 11", "r.example/checkout:1.3"),
    ] {
        let lab = three_versions().await;
        let dry = lab.run(&format!("{words} --dry-run")).await;
        assert_eq!(dry.exit, Exit::Done, "{dry:?}");
        assert!(dry.out.contains("Not written (dry run)"), "{}", dry.out);
        let asked_for = lab.rollout().await.spec.template;
        assert_eq!(asked_for, template("r.example/checkout:1.5"), "{words}");

        let seen = lab.run(words).await;
        assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
        let shown = format!("spec.containers[app].image: r.example/checkout:1.5 → {image}");
        assert!(seen.out.contains(&shown), "{}", seen.out);
        assert!(!seen.out.contains("a new version"), "{}", seen.out);
        // What the API server has put into the ReplicaSet is not in it: the hash is that of then.
        let rollout = lab.rollout().await;
        assert_eq!(rollout.spec.template, template(image), "{words}");
        assert_eq!(rollout.metadata.generation, Some(2), "{words}");
    }
}

#[tokio::test]
async fn undo_leaves_rejected_versions_out() {
    let lab = three_versions().await;
    lab.server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
            "metadata": {"name": "bad-1", "namespace": "shop", "labels": {"tidegate.io/rollout": "checkout"}},
            "spec": {"mode": "Off", "rollout": {"name": "checkout", "uid": "u"}, "reason": "Manual",
                "attempt": 1, "stable": {"revision": 11, "hash": "s"},
                "bad": {"revision": 12, "hash": template_hash(&template("r.example/checkout:1.4"), 0)},
                "abortedAt": "2026-11-21T11:58:00Z"}}))
        .unwrap();
    let seen = lab.run("undo checkout --to-revision 12").await;
    assert_eq!((seen.exit, lab.writes()), (Exit::Refused, 0), "{seen:?}");
    assert!(
        seen.err.contains("revert release bad-1 -n shop"),
        "{}",
        seen.err
    );
    let seen = lab.run("undo checkout -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(
        document["changes"][0]["new"], "r.example/checkout:1.3",
        "{document}"
    );
}

#[tokio::test]
async fn what_a_gitops_tool_would_undo_is_refused_unless_it_is_forced() {
    for words in [
        "undo checkout",
        "set image checkout app=r.example/checkout:1.6",
    ] {
        let lab = three_versions().await;
        annotate(&lab, "argocd.argoproj.io/tracking-id").await;
        let seen = lab.run(words).await;
        assert_eq!((seen.exit, lab.writes()), (Exit::Refused, 0), "{seen:?}");
        assert!(
            seen.err
                .contains("Argo CD (annotation argocd.argoproj.io/tracking-id"),
            "{}",
            seen.err
        );
        assert!(
            seen.out.contains("spec.containers[app].image"),
            "{}",
            seen.out
        );
        let seen = lab.run(&format!("{words} --force")).await;
        assert_eq!((seen.exit, lab.writes()), (Exit::Done, 1), "{seen:?}");
        assert!(
            seen.out.contains("will put its template back"),
            "{}",
            seen.out
        );
    }
}

#[tokio::test]
async fn set_image_changes_the_image_and_nothing_else() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let seen = lab
        .run("set image rollout/checkout *=r.example/checkout:1.6")
        .await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    assert_eq!(
        lab.rollout().await.spec.template,
        template("r.example/checkout:1.6")
    );
    let seen = lab
        .run("set image checkout app=r.example/checkout:1.6")
        .await;
    assert!(seen.out.contains("Nothing to do"), "{}", seen.out);
    let seen = lab
        .run("set image checkout web=r.example/checkout:1.7")
        .await;
    assert_eq!(seen.exit, Exit::Refused, "{seen:?}");
    assert!(
        seen.err.contains("no container \"web\"; it has: app"),
        "{}",
        seen.err
    );
    assert_eq!(lab.writes(), 1);
}

/// The status moves on all the time and is no reason; the spec is.
#[tokio::test]
async fn a_change_is_written_onto_the_spec_that_it_was_made_from() {
    let lab = Lab::with(in_progress(json!({}))).await;
    // Between the plugin's reading and its writing somebody changes this.
    let interfere = |with: Value| {
        let store = lab.server.client_as("shop", "somebody");
        async move {
            let api: kube::Api<tidegate::api::rollout::Rollout> =
                kube::Api::namespaced(store, "shop");
            let patch = kube::api::Patch::Merge(with);
            api.patch("checkout", &Default::default(), &patch)
                .await
                .unwrap();
        }
    };
    let seen = lab.rollout().await;
    interfere(json!({"spec": {"replicas": 11}})).await;
    let change = tidegate::cli::change::Change {
        rollout: &seen,
        command: "set image",
        template: template("r.example/checkout:1.6"),
        notes: Vec::new(),
    };
    let (mut out, mut err) = (Vec::<u8>::new(), Vec::<u8>::new());
    let screen = tidegate::cli::terminal::Screen::default();
    let mut terminal = tidegate::cli::terminal::Terminal::new(&mut out, &mut err, screen);
    let args = tidegate::cli::args::ChangeArgs::default();
    let made = change
        .make(&lab.session(), &mut terminal, &args, None)
        .await;
    let error = made.unwrap_err().to_string();
    assert!(
        error.contains("has changed the Rollout meanwhile"),
        "{error}"
    );
    assert_eq!(lab.rollout().await.spec.template, seen.spec.template);

    let seen = lab.rollout().await;
    lab.set_status(json!({"message": "moves on"})).await;
    let change = tidegate::cli::change::Change {
        rollout: &seen,
        command: "set image",
        template: template("r.example/checkout:1.6"),
        notes: Vec::new(),
    };
    let made = change
        .make(&lab.session(), &mut terminal, &args, None)
        .await;
    assert_eq!(made.unwrap(), Exit::Done);
    assert_eq!(
        lab.rollout().await.spec.template,
        template("r.example/checkout:1.6")
    );
}

/// What is not known to be allowed is not done.
#[tokio::test]
async fn undo_without_the_right_to_read_reverts_does_nothing() {
    let lab = three_versions().await;
    lab.server.set_faults(Some(std::sync::Arc::new(|info| {
        match info.user_agent == super::lab::PLUGIN && info.resource == "reverts" {
            true => Fault::Fail(403, "Forbidden"),
            false => Fault::Pass,
        }
    })));
    let seen = lab.run("undo checkout").await;
    assert_eq!((seen.exit, lab.writes()), (Exit::NoAnswer, 0), "{seen:?}");
    assert!(seen.err.contains("reverts.tidegate.io"), "{}", seen.err);
}

#[tokio::test]
async fn a_run_of_ones_own_is_made_of_a_template() {
    let lab = Lab::with(in_progress(json!({}))).await;
    for kind in ["AnalysisTemplate", "ClusterAnalysisTemplate"] {
        let mut metadata = json!({"name": "errors"});
        if kind == "AnalysisTemplate" {
            metadata["namespace"] = json!("shop");
        }
        lab.server
            .add(
                json!({"apiVersion": "tidegate.io/v1alpha1", "kind": kind, "metadata": metadata,
                "spec": {"args": [{"name": "job"}], "metrics": [{"name": "errors", "ratio": {
                    "bad": "errors_total{job=\"$(args.job)\",$(arm)}",
                    "total": "requests_total{job=\"$(args.job)\",$(arm)}"}}]}}),
            )
            .unwrap();
    }
    let runs: kube::Api<tidegate::api::analysis::AnalysisRun> =
        kube::Api::namespaced(lab.server.client_as("shop", "test"), "shop");

    let seen = lab
        .run("create analysisrun --from-template errors --rollout checkout --arg job=web --name mine --ttl 1h")
        .await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    let run = runs.get("mine").await.unwrap();
    assert_eq!(
        (run.spec.canary_hash.as_str(), run.spec.stable_hash.as_str()),
        ("77cd81f200", "6b5f9c7d00")
    );
    assert_eq!(
        (run.spec.rollout, run.spec.ttl_seconds_after_finished),
        (None, Some(3600))
    );
    let metrics = serde_json::to_string(&run.spec.metrics).unwrap();
    assert!(
        metrics.contains("job=\\\"web\\\"") && !metrics.contains("$(args"),
        "{metrics}"
    );

    let words = "create analysisrun --from-cluster-template errors --arg job=web --canary a=\"2\" --stable a=\"1\"";
    let seen = lab.run(&format!("{words} -o name")).await;
    let name = seen
        .out
        .trim()
        .strip_prefix("analysisrun.tidegate.io/errors-");
    assert_eq!(name.map(str::len), Some(5), "{seen:?}");
    let seen = lab.run(&format!("{words} --dry-run --name other")).await;
    assert!(seen.out.contains("not created (dry run)"), "{seen:?}");
    assert!(runs.get_opt("other").await.unwrap().is_none());

    let written = lab.writes();
    for (words, says) in [
        ("--from-template errors --rollout checkout", "job"),
        (
            "--from-template nothing --rollout checkout",
            "there is no AnalysisTemplate \"nothing\"",
        ),
        (
            "--from-template errors --rollout checkout --arg job=a --arg x=1",
            "no template has an arg \"x\"",
        ),
    ] {
        let seen = lab.run(&format!("create analysisrun {words}")).await;
        assert_ne!(seen.exit, Exit::Done, "{words}");
        assert!(seen.err.contains(says), "{says:?} in {}", seen.err);
    }
    assert_eq!(lab.writes(), written, "nothing was written");
}
