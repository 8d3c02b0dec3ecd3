//! `list`: of a namespace and of the cluster, in pages, by phase and label, and with one that cannot be
//! read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tidegate::api::rollout::Rollout;
use tidegate::cli::error::Exit;
use tidegate::cli::terminal::Screen;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig, Fault};

use super::lab::{Lab, PLUGIN, Paper, aborted, healthy, in_progress};

/// Lines without the blanks between their columns.
fn rows(out: &str) -> Vec<String> {
    out.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn names(out: &str) -> Vec<&str> {
    let lines = out.lines().skip(1);
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

async fn change(lab: &Lab, namespace: &str, name: &str, status: Value) {
    let api: Api<Rollout> = Api::namespaced(lab.server.client_as(namespace, "test"), namespace);
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Some Rollouts of two namespaces.
async fn shops() -> Lab {
    let lab = Lab::with(in_progress(json!({"phase": "Paused",
        "pause": {"reason": "Step", "since": "2026-11-21T11:55:00Z"}})))
    .await;
    lab.add_rollout("shop", "cart");
    lab.add_rollout("shop", "payment");
    lab.add_rollout("stage", "checkout");
    change(&lab, "shop", "cart", healthy()).await;
    change(&lab, "stage", "checkout", aborted("Aborted")).await;
    lab
}

#[tokio::test]
async fn a_namespace_and_the_cluster() {
    let lab = shops().await;
    let seen = lab.run("list").await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    let lines = rows(&seen.out);
    assert_eq!(lines[0], "NAME PHASE STEP WEIGHT AGE WAITS FOR");
    assert!(lines[1].starts_with("cart ✔ Healthy "), "{lines:?}");
    assert!(
        lines[2].starts_with("checkout ‖ Paused 1/3 5 % "),
        "{lines:?}"
    );
    assert!(lines[2].ends_with(", until it is promoted"), "{lines:?}");
    assert!(lines[3].starts_with("payment ◌ Unknown "), "{lines:?}");
    assert_eq!(lines.len(), 4);
    assert!(!seen.out.contains('\u{1b}'), "plain in a pipe");
    assert!(!seen.out.lines().any(|line| line.ends_with(' ')));

    let seen = lab.run("list -A").await;
    let lines = rows(&seen.out);
    assert_eq!(lines[0], "NAMESPACE NAME PHASE STEP WEIGHT AGE WAITS FOR");
    assert!(lines[1].starts_with("shop cart "), "{lines:?}");
    assert!(
        lines[4].starts_with("stage checkout ✖ Aborted 1/3 0 % "),
        "{lines:?}"
    );
    assert!(lines[4].contains("AnalysisFailed"), "{lines:?}");
    assert_eq!(lines.len(), 5);
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn by_phase_and_by_label() {
    let lab = shops().await;
    let labels = Patch::Merge(json!({"metadata": {"labels": {"team": "a"}}}));
    lab.rollouts()
        .patch("cart", &PatchParams::default(), &labels)
        .await
        .unwrap();
    for (words, found) in [
        ("list --phase Paused,aborted", &["checkout"][..]),
        ("list --phase healthy --phase unknown", &["cart", "payment"]),
        ("list -l team=a", &["cart"]),
        ("list -l team!=a --phase Unknown", &["payment"]),
    ] {
        let seen = lab.run(words).await;
        assert_eq!(seen.exit, Exit::Done, "{words}: {seen:?}");
        assert_eq!(names(&seen.out), found, "{words}");
    }
    let seen = lab.run("list -A --phase Aborted -o name").await;
    assert_eq!(seen.out, "rollout.tidegate.io/checkout\n");
    let seen = lab.run("list -l a=b=c").await;
    assert_eq!(seen.exit, Exit::NoAnswer, "{seen:?}");
}

#[tokio::test]
async fn where_there_is_none_it_is_said_what_to_do() {
    let lab = shops().await;
    let seen = lab.run("list --phase Degraded,Invalid -l team=b").await;
    assert_eq!((seen.exit, seen.out.as_str()), (Exit::Done, ""));
    assert_eq!(
        seen.err,
        "no Rollout in namespace shop (this client) meets --phase Degraded,Invalid and -l team=b: \
         leave that out to see the others\n"
    );
    let lab = Lab::new();
    let seen = lab.run("list").await;
    assert_eq!((seen.exit, seen.out.as_str()), (Exit::Done, ""));
    assert!(
        seen.err.contains("`kubectl tidegate list -A`"),
        "{}",
        seen.err
    );
    let seen = lab.run("list -A").await;
    assert!(
        seen.err
            .contains("there are no Rollouts in the whole cluster"),
        "{}",
        seen.err
    );
    let seen = lab.run("list -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document, json!({"rollouts": []}));
}

#[tokio::test]
async fn scripts_get_what_status_says_of_each() {
    let lab = shops().await;
    let seen = lab.run("list -A -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    let all = document["rollouts"].as_array().unwrap();
    assert_eq!(all.len(), 4);
    let one = lab.run("status checkout -o json").await;
    assert_eq!(all[1], serde_json::from_str::<Value>(&one.out).unwrap());
    assert_eq!(all[3]["namespace"], "stage");
    assert_eq!(all[3]["abort"]["reason"], "AnalysisFailed");
    let seen = lab.run("list -A -o yaml").await;
    let yaml: Value = serde_saphyr::from_str(&seen.out).unwrap();
    assert_eq!(yaml, document, "{}", seen.out);
}

/// How many lists of this resource the plugin has asked for.
fn lists(lab: &Lab, resource: &str) -> u64 {
    let audit = lab.server.audit();
    let of_plugin = audit.counts().filter(|(key, _)| {
        key.user_agent.starts_with(PLUGIN) && key.verb == "list" && key.resource == resource
    });
    of_plugin.map(|(_, count)| count).sum()
}

/// Six hundred of them.
fn many() -> Lab {
    let lab = Lab::new();
    for i in 0..600 {
        lab.add_rollout("shop", &format!("r{i:03}"));
    }
    lab
}

#[tokio::test]
async fn many_are_read_in_pages() {
    let lab = many();
    lab.server.reset_audit();
    let seen = lab.run("list").await;
    assert_eq!(seen.exit, Exit::Done, "{}", seen.err);
    let all: Vec<String> = (0..600).map(|i| format!("r{i:03}")).collect();
    assert_eq!(names(&seen.out), all);
    assert_eq!(lists(&lab, "rollouts.tidegate.io"), 3);

    // A page that the server has forgotten: all of them are of one moment, so it is begun anew.
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    lab.server.set_faults(Some(Arc::new(move |info| {
        let next = info.resource == "rollouts" && !info.param("continue").is_empty();
        match next && count.fetch_add(1, Ordering::SeqCst) < 2 {
            true => Fault::Fail(410, "Expired"),
            false => Fault::Pass,
        }
    })));
    let seen = lab.run("list").await;
    assert_eq!(seen.exit, Exit::Done, "{}", seen.err);
    assert_eq!(names(&seen.out), all, "none twice");

    failed.store(0, Ordering::SeqCst);
    lab.server.set_faults(Some(Arc::new(|info| {
        match info.param("continue").is_empty() {
            true => Fault::Pass,
            false => Fault::Fail(410, "Expired"),
        }
    })));
    let seen = lab.run("list").await;
    assert_eq!((seen.exit, seen.out.as_str()), (Exit::NoAnswer, ""));
    assert!(
        seen.err.contains("refused to list rollouts.tidegate.io"),
        "{}",
        seen.err
    );
}

/// A ReplicaSet of the Rollout `checkout`.
async fn add_pods(lab: &Lab, hash: &str, desired: i32, ready: i32, baseline: bool) {
    let rollout = lab.rollout().await;
    let mut labels = json!({"app": "checkout", "rollouts-pod-template-hash": hash,
        "tidegate.io/rollout": "checkout"});
    let mut name = format!("checkout-{hash}");
    if baseline {
        labels["tidegate.io/baseline"] = json!("true");
        name.push_str("-baseline");
    }
    let owner = json!([{"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "name": "checkout", "uid": rollout.metadata.uid, "controller": true}]);
    lab.server
        .add(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "shop", "labels": labels, "ownerReferences": owner},
            "spec": {"replicas": desired, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": "i"}]}}}}))
        .unwrap();
    let api: Api<ReplicaSet> = Api::namespaced(lab.server.client_as("shop", "test"), "shop");
    let status = json!({"status": {"replicas": desired, "readyReplicas": ready}});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test]
async fn wide_has_the_pods_of_both_versions() {
    let lab = shops().await;
    add_pods(&lab, "77cd81f200", 3, 1, false).await;
    add_pods(&lab, "6b5f9c7d00", 10, 10, false).await;
    add_pods(&lab, "6b5f9c7d00", 2, 0, true).await;
    add_pods(&lab, "0000000000", 0, 0, false).await;
    lab.server.reset_audit();
    let seen = lab.run("list -o wide").await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    let lines = rows(&seen.out);
    assert_eq!(
        lines[0],
        "NAME PHASE STEP WEIGHT STABLE CANARY AGE WAITS FOR"
    );
    assert!(lines[1].starts_with("cart ✔ Healthy 10/10 "), "{lines:?}");
    assert!(
        lines[2].starts_with("checkout ‖ Paused 1/3 5 % 10/10 1/3 "),
        "{lines:?}"
    );
    assert_eq!(lists(&lab, "replicasets.apps"), 1);

    lab.server
        .set_faults(Some(Arc::new(|info| match info.resource.as_str() {
            "replicasets" => Fault::Fail(403, "Forbidden"),
            _ => Fault::Pass,
        })));
    let seen = lab.run("list -o wide").await;
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert!(
        rows(&seen.out)[2].starts_with("checkout ‖ Paused 1/3 5 % ? ? "),
        "{}",
        seen.out
    );
    assert!(
        seen.err.contains("ReplicaSets are not shown"),
        "{}",
        seen.err
    );
}

#[tokio::test]
async fn a_screen_is_not_left() {
    let lab = shops().await;
    let (out, err) = (Paper::default(), Paper::default());
    let screen = Screen {
        colour: true,
        width: Some(60),
        height: Some(24),
    };
    let exit = lab.run_on("list -A", screen, &out, &err).await;
    assert_eq!(exit, Exit::Done);
    let text = out.text();
    assert!(text.contains("\u{1b}[31m") && text.contains('…'), "{text}");
}

#[tokio::test]
async fn one_that_cannot_be_read_hides_no_other() {
    // A phase of a version to come; the schema of today would refuse it, so it goes past it.
    let crds = ApiServerConfig::default()
        .with_crds(&tidegate::api::crds())
        .crds;
    let mut rollouts = crds
        .into_iter()
        .filter(|crd| crd["spec"]["names"]["plural"] == "rollouts");
    let mut crd = rollouts.next().unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let config = ApiServerConfig {
        crds: vec![crd],
        ..ApiServerConfig::default()
    };
    let lab = Lab {
        server: ApiServer::new(config).unwrap(),
    };
    for name in ["a", "b", "c"] {
        lab.add_rollout("shop", name);
    }
    let api: Api<DynamicObject> = Api::namespaced_with(
        lab.server.client("shop"),
        "shop",
        &ApiResource::erase::<Rollout>(&()),
    );
    for (name, phase) in [("a", "Healthy"), ("b", "Levitating"), ("c", "Paused")] {
        let patch = Patch::Merge(json!({"status": {"phase": phase}}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    let seen = lab.run("list").await;
    assert_eq!(seen.exit, Exit::Done, "{seen:?}");
    assert_eq!(names(&seen.out), ["a", "b", "c"]);
    let lines = rows(&seen.out);
    assert!(lines[2].starts_with("b ⚠ Unreadable "), "{lines:?}");
    assert!(
        lines[2].contains("unknown variant `Levitating`"),
        "{lines:?}"
    );
    assert!(
        seen.err.contains("1 Rollout cannot be read by this plugin")
            && seen
                .err
                .contains("`kubectl tidegate version` compares them"),
        "{}",
        seen.err
    );

    let seen = lab.run("list --phase Paused").await;
    assert_eq!(names(&seen.out), ["c"]);
    assert!(
        seen.err
            .contains("may be missing here (--phase Unreadable shows what)"),
        "{}",
        seen.err
    );
    assert_eq!(names(&lab.run("list --phase unreadable").await.out), ["b"]);
    let seen = lab.run("list -o json").await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["rollouts"][1]["phase"], "Unreadable");
    assert_eq!(document["rollouts"][2]["phase"], "Paused");
}

#[tokio::test]
async fn what_rbac_does_not_allow_is_named() {
    let lab = shops().await;
    lab.server
        .set_faults(Some(Arc::new(|_| Fault::Fail(403, "Forbidden"))));
    let seen = lab.run("list -A").await;
    assert_eq!(seen.exit, Exit::NoAnswer);
    assert!(
        seen.err
            .contains("`kubectl auth can-i list rollouts.tidegate.io -A`"),
        "{}",
        seen.err
    );
    let seen = lab.run("list").await;
    assert!(
        seen.err.contains("rollouts.tidegate.io in namespace shop"),
        "{}",
        seen.err
    );
}
