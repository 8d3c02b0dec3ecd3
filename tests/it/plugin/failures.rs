//! What goes wrong on the way to the cluster and in it, and what is said of it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use serde_json::json;
use tidegate::cli::args::Cli;
use tidegate::cli::client::Session;
use tidegate::cli::error::{CliError, Exit};
use tidegate::cli::terminal::{Screen, Terminal};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig, Fault};

use super::lab::{Lab, Paper, healthy, in_progress};

fn refuse(lab: &Lab, verb: &'static str, resource: &'static str, code: u16, reason: &'static str) {
    lab.server.set_faults(Some(Arc::new(move |info| {
        match info.verb == verb && info.resource == resource {
            true => Fault::Fail(code, reason),
            false => Fault::Pass,
        }
    })));
}

#[tokio::test]
async fn a_name_that_is_not_there() {
    let lab = Lab::with(healthy()).await;
    lab.add_rollout("stage", "payment");
    let seen = lab.run("get chekout").await;
    assert_eq!(seen.exit, Exit::NoAnswer);
    assert_eq!(
        seen.err,
        "error: there is no Rollout \"chekout\" in namespace shop (this client). Did you mean checkout?\n"
    );
    let seen = lab.run("abort payment").await;
    assert!(
        seen.err
            .contains("There is one in namespace stage: add -n stage"),
        "{}",
        seen.err
    );
    let seen = lab.run("status inventory").await;
    assert!(
        seen.err
            .contains("`kubectl get rollouts.tidegate.io -A` lists them all"),
        "{}",
        seen.err
    );
    let seen = Lab::new().run("promote checkout").await;
    assert!(
        seen.err.contains("That namespace has no Rollouts"),
        "{}",
        seen.err
    );
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn names_that_cannot_be_are_not_asked_for() {
    let lab = Lab::with(healthy()).await;
    lab.server.reset_audit();
    for words in [
        "get Checkout",
        "abort ../../secrets",
        "promote pod/a",
        "get a b",
    ] {
        let seen = lab.run(words).await;
        assert_eq!(seen.exit, Exit::Usage, "{words}: {seen:?}");
        assert!(seen.err.starts_with("error: "), "{words}: {}", seen.err);
    }
    assert_eq!(lab.server.audit().counts().count(), 0, "nothing was asked");
}

#[tokio::test]
async fn what_rbac_does_not_allow_is_named() {
    for (verb, resource, words, says) in [
        (
            "get",
            "rollouts",
            "get checkout",
            "alice@example.com (this client) may not get rollouts.tidegate.io in namespace shop",
        ),
        (
            "patch",
            "rollouts",
            "abort checkout",
            "`kubectl auth can-i patch rollouts.tidegate.io -n shop`",
        ),
        (
            "list",
            "rollouts",
            "pause checkout --timeout 20s",
            "Needed is the verb \"watch\" on rollouts.tidegate.io",
        ),
        (
            "list",
            "rollouts",
            "status checkout --wait",
            "Needed is the verb \"watch\"",
        ),
        (
            "list",
            "rollouts",
            "get checkout --watch",
            "Needed is the verb \"watch\"",
        ),
        (
            "list",
            "rollouts",
            "get checkout -o json",
            "may not list rollouts.tidegate.io",
        ),
    ] {
        let lab = Lab::with(in_progress(json!({}))).await;
        refuse(&lab, verb, resource, 403, "Forbidden");
        let seen = lab.run(words).await;
        assert_eq!(seen.exit, Exit::NoAnswer, "{words}: {seen:?}");
        assert!(seen.err.contains(says), "{words}: {says:?} in {}", seen.err);
    }
}

#[tokio::test]
async fn get_shows_what_may_be_seen_and_notes_the_rest() {
    for (resource, note) in [
        ("replicasets", "ReplicaSets are not shown"),
        ("analysisruns", "AnalysisRuns are not shown"),
        ("reverts", "Reverts are not shown"),
    ] {
        let lab = Lab::with(in_progress(json!({}))).await;
        refuse(&lab, "list", resource, 403, "Forbidden");
        let seen = lab.run("get checkout").await;
        assert_eq!(seen.exit, Exit::Done, "{seen:?}");
        assert!(
            seen.out.contains(note) && seen.out.contains("Progressing"),
            "{}",
            seen.out
        );
        assert_eq!(
            lab.run("get checkout -o json").await.exit,
            Exit::NoAnswer,
            "not half to a script"
        );
    }
}

#[tokio::test]
async fn other_answers_of_the_server() {
    for (code, reason, says) in [
        (
            401,
            "Unauthorized",
            "does not accept the credentials of alice@example.com",
        ),
        (
            500,
            "InternalError",
            "the API server refused to get rollouts.tidegate.io in namespace shop",
        ),
    ] {
        let lab = Lab::with(healthy()).await;
        refuse(&lab, "get", "rollouts", code, reason);
        let seen = lab.run("get checkout").await;
        assert_eq!(seen.exit, Exit::NoAnswer);
        assert!(seen.err.contains(says), "{says:?} in {}", seen.err);
    }
    let lab = Lab::with(healthy()).await;
    lab.server.set_faults(Some(Arc::new(|_| Fault::Hang)));
    let mut session = lab.session();
    session.request_timeout = std::time::Duration::from_millis(200);
    let seen = run(Ok(session), "get checkout").await;
    assert_eq!(seen.0, Exit::NoAnswer);
    assert!(
        seen.1
            .contains("no answer within 200ms (--request-timeout)"),
        "{}",
        seen.1
    );
}

async fn run(session: Result<Session, CliError>, words: &str) -> (Exit, String) {
    let (mut out, mut err) = (Paper::default(), Paper::default());
    let text = err.clone();
    let words = std::iter::once("kubectl-tidegate").chain(words.split(' '));
    let cli = Cli::try_parse_from(words).unwrap();
    let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
    let exit = tidegate::cli::run(&cli, session, &mut terminal).await;
    (exit, text.text())
}

#[tokio::test]
async fn a_cluster_without_tidegate() {
    let server = ApiServer::new(ApiServerConfig::default()).unwrap();
    for words in ["get checkout", "abort checkout", "status checkout --wait"] {
        let session = Session::new(server.client("shop"), "shop", "alice");
        let (exit, err) = run(Ok(session), words).await;
        assert_eq!(exit, Exit::NoAnswer);
        assert!(
            err.contains("Tidegate's resources are not installed in this cluster"),
            "{err}"
        );
        assert!(
            err.contains("tidegate crds | kubectl apply --server-side -f -"),
            "{err}"
        );
    }
}

#[tokio::test]
async fn resources_of_another_version_are_said_to_be_that() {
    let lab = Lab::with(healthy()).await;
    // A phase of a version to come; the schema of today would refuse it, so it goes past it.
    let mut crd = lab
        .server
        .store()
        .get(
            "customresourcedefinitions.apiextensions.k8s.io",
            "",
            "rollouts.tidegate.io",
        )
        .unwrap();
    crd["metadata"] = json!({"name": "rollouts.tidegate.io"});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let config = ApiServerConfig {
        crds: vec![crd],
        ..ApiServerConfig::default()
    };
    let lab = Lab {
        server: ApiServer::new(config).unwrap(),
    };
    lab.add_rollout("shop", "checkout");
    let patch = json!({"status": {"phase": "Levitating"}});
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
        lab.server.client("shop"),
        "shop",
        &kube::core::ApiResource::erase::<tidegate::api::rollout::Rollout>(&()),
    );
    api.patch_status(
        "checkout",
        &Default::default(),
        &kube::api::Patch::Merge(patch),
    )
    .await
    .unwrap();
    let seen = lab.run("get checkout").await;
    assert_eq!(seen.exit, Exit::NoAnswer);
    assert!(
        seen.err
            .contains("probably of different versions: `kubectl tidegate version`"),
        "{}",
        seen.err
    );
}

fn global(words: &[&str]) -> tidegate::cli::args::Global {
    let all = ["kubectl-tidegate", "get", "checkout"]
        .iter()
        .chain(words)
        .copied();
    Cli::try_parse_from(all).unwrap().global
}

async fn connect(words: &[&str]) -> CliError {
    match Session::connect(&global(words)).await {
        Ok(_) => panic!("{words:?} should not do"),
        Err(e) => e,
    }
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_or_not_right() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let missing = folder.path().join("none").to_str().unwrap().to_owned();
    let error = connect(&["--kubeconfig", &missing]).await.to_string();
    assert!(
        error.contains("the kubeconfig cannot be used") && error.contains("none"),
        "{error}"
    );

    let broken = write("broken", "contexts: [");
    let error = connect(&["--kubeconfig", &broken]).await.to_string();
    assert!(error.contains("the kubeconfig cannot be used"), "{error}");

    let two = write("two", &kubeconfig("http://127.0.0.1:9", "prod"));
    let error = connect(&["--kubeconfig", &two, "--context", "prdo"]).await;
    assert_eq!(error.exit(), Exit::NoAnswer);
    assert_eq!(
        error.to_string(),
        "the kubeconfig has no context \"prdo\". Give --context with one of: prod, stage"
    );
    let none = write("no-current", &kubeconfig("http://127.0.0.1:9", ""));
    let error = connect(&["--kubeconfig", &none]).await.to_string();
    assert!(
        error.contains("no current-context. Give --context with one of: prod, stage"),
        "{error}"
    );

    let error = connect(&["--kubeconfig", &two, "-n", "Shop/x"]).await;
    assert_eq!(error.exit(), Exit::Usage, "{error}");

    let session = Session::connect(&global(&["--kubeconfig", &two]))
        .await
        .unwrap();
    assert_eq!(
        (session.namespace.as_str(), session.who.as_str()),
        ("shop", "alice@example.com")
    );
    let session = Session::connect(&global(&[
        "--kubeconfig",
        &two,
        "--context",
        "stage",
        "-n",
        "cart",
    ]))
    .await
    .unwrap();
    assert_eq!(
        (session.namespace.as_str(), session.who.as_str()),
        ("cart", "stage")
    );
    assert_eq!(session.context, "context stage");
}

/// Two contexts: `prod` has a namespace and a user, `stage` has neither.
pub fn kubeconfig(server: &str, current: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": current,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "alice@example.com", "user": {}}, {"name": "", "user": {}}],
        "contexts": [
            {"name": "prod", "context": {"cluster": "c", "user": "alice@example.com", "namespace": "shop"}},
            {"name": "stage", "context": {"cluster": "c", "user": ""}},
        ],
    })
    .to_string()
}
