//! What the Git writer asks of Argo CD and Flux once a revert has landed: the real loop against the API
//! server in memory, with their kinds, a Git server, and nobody who acts on what is asked.

#![allow(
    clippy::needless_pass_by_value,
    reason = "json!({..}) reads better than &json!({..})"
)]

use std::sync::Arc;
use std::time::Instant;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tidegate::api::crds;
use tidegate::api::rollout::Rollout;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig, Fault};

use crate::git_writer::lab::{LIMIT, World, condition_of};

/// Group, version, kind and plural of what is asked.
const KINDS: [[&str; 4]; 4] = [
    ["argoproj.io", "v1alpha1", "Application", "applications"],
    [
        "kustomize.toolkit.fluxcd.io",
        "v1",
        "Kustomization",
        "kustomizations",
    ],
    [
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        "helmreleases",
    ],
    [
        "source.toolkit.fluxcd.io",
        "v1",
        "GitRepository",
        "gitrepositories",
    ],
];
const REFRESH: &str = "argocd.argoproj.io/refresh";
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// A cluster that knows these kinds.
fn cluster_with_tools() -> ApiServer {
    let mut config = ApiServerConfig::default().with_crds(&crds());
    for [group, version, kind, plural] in KINDS {
        config.crds.push(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                          "singular": kind.to_lowercase()},
                "versions": [{
                    "name": version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        }));
    }
    ApiServer::new(config).unwrap()
}

/// An Application in `argocd` that lists the Rollout, with this policy and operation.
fn application(policy: Value, operation: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {"syncPolicy": policy},
        "status": {
            "resources": [{"group": "tidegate.io", "kind": "Rollout", "namespace": "shop",
                           "name": "checkout"}],
            "operationState": operation,
        },
    })
}

/// An operation on a commit that began long ago.
fn running_on(revision: &str) -> Value {
    json!({
        "phase": "Running", "startedAt": "2026-01-01T00:00:00Z",
        "syncResult": {"revision": revision},
    })
}

fn kustomization(suspend: bool) -> Value {
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "apps", "namespace": "flux-system"},
        "spec": {"suspend": suspend, "sourceRef": {"kind": "GitRepository", "name": "config"}},
    })
}

fn git_repository() -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "config", "namespace": "flux-system"}, "spec": {},
    })
}

/// The metadata that Argo CD writes on what it applies.
fn tracked_as(id: &str) -> Value {
    json!({"annotations": {"argocd.argoproj.io/tracking-id": id}})
}

/// The metadata that Flux writes on what it applies.
fn applied_by(controller: &str, namespace: &str, name: &str) -> Value {
    json!({"labels": {
        format!("{controller}.toolkit.fluxcd.io/name"): name,
        format!("{controller}.toolkit.fluxcd.io/namespace"): namespace,
    }})
}

const OWN: &str = "web:tidegate.io/Rollout:shop/checkout";

/// A world whose Rollout has this metadata, and these objects beside it.
async fn world_with(metadata: Value, objects: &[Value]) -> World {
    let world = World::on(cluster_with_tools()).await;
    let rollouts: Api<Rollout> = Api::namespaced(world.api.client("shop"), "shop");
    let params = PatchParams::default();
    let patch = Patch::Merge(json!({"metadata": metadata}));
    rollouts.patch("checkout", &params, &patch).await.unwrap();
    for object in objects {
        world.api.add(object.clone()).unwrap();
    }
    world.create(world.spec()).await;
    world
}

/// Runs the writer until it has something to say about the tools, or nothing and looks at the Rollout.
async fn handed_over(world: &World) -> Value {
    let writer = world.start(&[]);
    let status = world
        .until("a word about the tools", |s| {
            condition_of(s, "HandedOver")["reason"].is_string()
        })
        .await;
    writer.stop().await;
    condition_of(&status, "HandedOver")
}

fn asked(world: &World, resource: &str, namespace: &str, name: &str, annotation: &str) -> Value {
    let object = world.api.store().get(resource, namespace, name).unwrap();
    object["metadata"]["annotations"][annotation].clone()
}

fn event_reasons(world: &World) -> Vec<String> {
    let events = world.api.store().list("events", "shop");
    let reasons = events.iter().filter_map(|e| e["reason"].as_str());
    reasons.map(str::to_owned).collect()
}

/// Writes of the Git writer to objects of the tools.
fn writes(world: &World) -> u64 {
    let audit = world.api.audit();
    let is_tool = |resource: &str| resource.contains("argoproj.io") || resource.contains("fluxcd");
    let counts = audit.counts();
    counts
        .filter(|(key, _)| key.user_agent == "git-writer" && key.verb != "get")
        .filter(|(key, _)| is_tool(&key.resource))
        .map(|(_, n)| n)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_cd_looks_at_once_and_what_runs_on_the_bad_commit_is_ended() {
    let world = World::on(cluster_with_tools()).await;
    let bad = world.commits["bad"].clone();
    let operation = running_on(&bad);
    world
        .api
        .add(application(json!({"automated": {}}), operation))
        .unwrap();
    let rollouts: Api<Rollout> = Api::namespaced(world.api.client("shop"), "shop");
    let params = PatchParams::default();
    let patch = Patch::Merge(json!({"metadata": tracked_as(OWN)}));
    rollouts.patch("checkout", &params, &patch).await.unwrap();
    world.create(world.spec()).await;

    let condition = handed_over(&world).await;
    assert_eq!(condition["status"], "True", "{condition}");
    assert_eq!(condition["reason"], "Asked", "{condition}");
    assert!(
        condition["message"].as_str().unwrap().contains(&bad),
        "{condition}"
    );
    let live = world
        .api
        .store()
        .get("applications.argoproj.io", "argocd", "web");
    let live = live.unwrap();
    assert_eq!(live["metadata"]["annotations"][REFRESH], "normal");
    assert_eq!(live["status"]["operationState"]["phase"], "Terminating");
    assert_eq!(live["operation"], Value::Null, "no sync was started");
    assert!(event_reasons(&world).contains(&"RevertHandedOver".to_owned()));

    // Argo CD has done so; a writer that starts anew asks nothing a second time.
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        "argoproj.io",
        "v1alpha1",
        "Application",
    ));
    let applications: Api<DynamicObject> =
        Api::namespaced_with(world.api.client("argocd"), "argocd", &resource);
    let done = json!({
        "metadata": {"annotations": {REFRESH: null}},
        "status": {"operationState": {"phase": "Failed"}},
    });
    applications
        .patch("web", &params, &Patch::Merge(done))
        .await
        .unwrap();
    world.api.reset_audit();
    let writer = world.start(&[]);
    let deadline = Instant::now() + LIMIT;
    let looked = |world: &World| {
        let audit = world.api.audit();
        let mut counts = audit.counts();
        counts.any(|(key, _)| {
            let get = key.verb == "get" && key.resource == "rollouts.tidegate.io";
            get && key.user_agent == "git-writer"
        })
    };
    while !looked(&world) {
        assert!(Instant::now() < deadline, "the Rollout is not looked at");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.rollout("Healthy", "good").await;
    world.until_phase("Verified").await;
    writer.stop().await;
    assert_eq!(writes(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_fetches_before_it_applies() {
    let objects = [kustomization(false), git_repository()];
    let world = world_with(applied_by("kustomize", "flux-system", "apps"), &objects).await;
    let condition = handed_over(&world).await;
    assert_eq!(condition["reason"], "Asked", "{condition}");
    let revert = world.reverts().get("checkout-bad-1").await.unwrap();
    let pushed_at = revert.status.unwrap().pushed_at.unwrap().to_string();
    for (resource, name) in [
        ("gitrepositories.source.toolkit.fluxcd.io", "config"),
        ("kustomizations.kustomize.toolkit.fluxcd.io", "apps"),
    ] {
        let value = asked(&world, resource, "flux-system", name, REQUESTED_AT);
        assert_eq!(value, pushed_at.as_str(), "{resource}");
    }
    let version = |resource: &str, name: &str| -> u64 {
        let live = world
            .api
            .store()
            .get(resource, "flux-system", name)
            .unwrap();
        let version = live["metadata"]["resourceVersion"].as_str().unwrap();
        version.parse().unwrap()
    };
    assert!(
        version("gitrepositories.source.toolkit.fluxcd.io", "config")
            < version("kustomizations.kustomize.toolkit.fluxcd.io", "apps"),
        "the source is asked first"
    );
    assert_eq!(writes(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_leads_to_what_applied_it() {
    let release = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": "shop",
                     "labels": applied_by("kustomize", "flux-system", "apps")["labels"]},
        "spec": {},
    });
    let objects = [release, kustomization(false), git_repository()];
    let world = world_with(applied_by("helm", "shop", "web"), &objects).await;
    let condition = handed_over(&world).await;
    assert_eq!(condition["reason"], "Asked", "{condition}");
    let value = asked(
        &world,
        "helmreleases.helm.toolkit.fluxcd.io",
        "shop",
        "web",
        REQUESTED_AT,
    );
    assert!(value.is_string(), "{value}");
    assert_eq!(writes(&world), 3, "{condition}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_to_do_is_said_and_not_done() {
    let by_hand = application(json!({}), Value::Null);
    let argo = || tracked_as(OWN);
    let flux = || applied_by("kustomize", "flux-system", "apps");
    for (metadata, objects, reason, words) in [
        (
            argo(),
            vec![by_hand],
            "SyncByHand",
            "auto-sync of Application argocd/web is off",
        ),
        (
            flux(),
            vec![kustomization(true), git_repository()],
            "Suspended",
            "Kustomization flux-system/apps is suspended",
        ),
        (
            argo(),
            vec![],
            "ObjectNotFound",
            "Application argocd/web, which the Rollout's metadata names",
        ),
    ] {
        let world = world_with(metadata, &objects).await;
        let writer = world.start(&[]);
        let status = world
            .until("the sentence beside the cluster's", |s| {
                let looked = condition_of(s, "Verified")["reason"] == "NotHealthy";
                let message = s["message"].as_str().unwrap_or_default();
                looked && message.contains(words)
            })
            .await;
        let condition = condition_of(&status, "HandedOver");
        assert_eq!(condition["reason"], reason, "{status:#}");
        assert_eq!(condition["status"], "False", "{status:#}");
        assert_eq!(status["phase"], "Landed", "{status:#}");
        // What is said changes nothing about the end.
        world.rollout("Healthy", "good").await;
        world.until_phase("Verified").await;
        writer.stop().await;
        assert!(event_reasons(&world).contains(&"RevertNotHandedOver".to_owned()));
        for object in world
            .api
            .store()
            .list("kustomizations.kustomize.toolkit.fluxcd.io", "")
        {
            assert_eq!(object["spec"]["suspend"], true, "it stays suspended");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_and_harms_nothing() {
    for (verb, code, reason) in [
        ("get", 403, "RightMissing"),
        ("patch", 403, "RightMissing"),
        ("patch", 500, "ToolUnreachable"),
    ] {
        let objects = [application(json!({"automated": {}}), Value::Null)];
        let world = world_with(tracked_as(OWN), &objects).await;
        world.api.set_faults(Some(Arc::new(move |request| {
            let fails = request.resource == "applications" && request.verb == verb;
            if fails && request.user_agent == "git-writer" {
                Fault::Fail(
                    code,
                    if code == 403 {
                        "Forbidden"
                    } else {
                        "InternalError"
                    },
                )
            } else {
                Fault::Pass
            }
        })));
        let writer = world.start(&[]);
        let status = world
            .until("a word about the tools", |s| {
                condition_of(s, "HandedOver")["reason"] == reason
            })
            .await;
        let message = condition_of(&status, "HandedOver")["message"].clone();
        let names = message.as_str().unwrap().contains(verb);
        assert!(names, "{verb} {code}: {message}");
        if code == 500 {
            // What may pass is tried again.
            world.api.set_faults(None);
            let status = world
                .until("another word", |s| {
                    condition_of(s, "HandedOver")["reason"] == "Asked"
                })
                .await;
            assert_eq!(condition_of(&status, "HandedOver")["status"], "True");
        }
        world.rollout("Healthy", "good").await;
        world.until_phase("Verified").await;
        writer.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_who_does_not_manage_the_rollout() {
    let foreign = "web:tidegate.io/Rollout:shop/another";
    for (metadata, more) in [
        (tracked_as(foreign), vec![]),
        (json!({}), vec![]),
        (tracked_as(OWN), vec!["--hand-over=false"]),
    ] {
        let objects = [application(json!({"automated": {}}), Value::Null)];
        let world = world_with(metadata.clone(), &objects).await;
        let writer = world.start(&more);
        let status = world
            .until("a look at the Rollout", |s| {
                condition_of(s, "Verified")["reason"] == "NotHealthy"
            })
            .await;
        writer.stop().await;
        assert_eq!(
            condition_of(&status, "HandedOver"),
            Value::Null,
            "{metadata}"
        );
        let refresh = asked(&world, "applications.argoproj.io", "argocd", "web", REFRESH);
        assert_eq!((refresh, writes(&world)), (Value::Null, 0), "{metadata}");
    }
}
