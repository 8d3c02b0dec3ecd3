//! The harness itself: what the scenarios rest on is tried without Tidegate.

use super::table::Bench;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tidegate_lab::gitops::GitOps;
use tidegate_lab::repository::{PASSWORD, Repository, USER};
use tidegate_lab::wait;

/// A Deployment of one version with a Service of the same name.
fn version(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{version: {name}}}}}
  template:
    metadata: {{labels: {{app: shop, version: {name}}}}}
    spec: {{containers: [{{name: app, image: \"{image}\"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{version: {name}}}, ports: [{{port: 80}}]}}
"
    )
}

fn route(stable: u32, canary: u32) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  annotations: {{lab.tidegate.io/requests-per-second: '200'}}
spec:
  parentRefs: [{{name: public}}]
  rules:
  - backendRefs:
    - {{name: stable, port: 80, weight: {stable}}}
    - {{name: canary, port: 80, weight: {canary}}}
"
    )
}

/// Pods become ready, or stay what their version makes of them, and go when they are deleted.
pub async fn pods(bench: Bench) {
    let Bench { lab, namespace, .. } = &bench;
    lab.apply(namespace, &version("good", "app:1.0", 3)).await;
    lab.apply(namespace, &version("bad", "app:2.0-neverready", 1))
        .await;
    lab.apply(namespace, &version("worse", "app:2.0-crash", 1))
        .await;
    let deployments: Api<Deployment> = Api::namespaced(lab.client.clone(), namespace);
    wait::until_ok("three pods are available", async || {
        let status = deployments.get("good").await.unwrap().status;
        status
            .filter(|status| status.available_replicas == Some(3))
            .ok_or("fewer")
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), namespace);
    let of = |version: &str| ListParams::default().labels(&format!("version={version}"));
    for (version, waiting) in [("bad", None), ("worse", Some("CrashLoopBackOff"))] {
        let pod = wait::until(&format!("the {version} pod runs"), async || {
            let pods = pods.list(&of(version)).await.unwrap().items;
            let running = |pod: &Pod| {
                pod.status
                    .as_ref()
                    .is_some_and(|status| status.pod_ip.is_some())
            };
            pods.into_iter().find(running)
        })
        .await;
        let status = pod.status.unwrap();
        let container = &status.container_statuses.unwrap()[0];
        assert!(!container.ready, "{version}: {container:?}");
        let state = container
            .state
            .clone()
            .unwrap()
            .waiting
            .and_then(|state| state.reason);
        assert_eq!(state.as_deref(), waiting, "{version}");
    }
    deployments
        .delete("good", &DeleteParams::background())
        .await
        .unwrap();
    wait::until("the deleted pods are gone", async || {
        pods.list(&of("good"))
            .await
            .unwrap()
            .items
            .is_empty()
            .then_some(())
    })
    .await;
}

/// Requests follow the accepted weights, and Prometheus knows who answered what.
pub async fn traffic(bench: Bench) {
    let Bench { lab, namespace, .. } = &bench;
    lab.apply(namespace, &version("stable", "app:1.0", 3)).await;
    lab.apply(namespace, &version("canary", "app:2.0-errors50", 1))
        .await;
    lab.apply(namespace, &route(100, 0)).await;
    wait::until("stable answers", async || {
        let totals = lab.traffic.totals(namespace);
        (totals.by_image.get("app:1.0").copied()? > 100).then_some(())
    })
    .await;
    assert_eq!(lab.traffic.totals(namespace).bad, 0);

    lab.apply(namespace, &route(75, 25)).await;
    let routes: Api<DynamicObject> =
        Api::namespaced_with(lab.client.clone(), namespace, &super::gateway::http_route());
    wait::until_ok("the new weights are accepted", async || {
        let route = routes.get("shop").await.unwrap();
        let pointer = "/status/parents/0/conditions/0/observedGeneration";
        let accepted = route
            .data
            .pointer(pointer)
            .and_then(serde_json::Value::as_i64);
        let generation = route.metadata.generation;
        if accepted == generation {
            Ok(())
        } else {
            Err((accepted, generation))
        }
    })
    .await;
    let before = lab.traffic.totals(namespace);
    let grown = |image: &str| {
        let count = |totals: &super::traffic::Totals| totals.by_image.get(image).copied();
        let now = lab.traffic.totals(namespace);
        count(&now).unwrap_or_default() - count(&before).unwrap_or_default()
    };
    wait::until("the canary has answered 200", async || {
        (grown("app:2.0-errors50") >= 200).then_some(())
    })
    .await;
    let (stable, canary) = (grown("app:1.0"), grown("app:2.0-errors50"));
    let share = canary as f64 / (stable + canary) as f64;
    assert!(
        (0.24..0.26).contains(&share),
        "{canary} of {} went to the canary",
        stable + canary
    );

    let query = |more: &str| {
        format!("sum(http_requests_total{{namespace=\"{namespace}\",service=\"shop\",{more}}})")
    };
    wait::until("Prometheus has the canary's errors", async || {
        (lab.prometheus
            .value(&query("version=\"canary\",code=\"500\""))
            .await
            >= 100.0)
            .then_some(())
    })
    .await;
    assert!(
        lab.prometheus
            .value(&query("version=\"stable\",code=\"500\""))
            .await
            < 0.5
    );
    let targets = format!("count(up{{namespace=\"{namespace}\"}} == 1)");
    // On a busy machine a scrape may take too long.
    wait::until("Prometheus reaches the four pods", async || {
        let up = lab.prometheus.value(&targets).await;
        ((up - 4.0).abs() < 0.1).then_some(())
    })
    .await;
}

/// Who pushes needs the password; what is pushed is applied; writes are counted by their author.
pub async fn gitops(bench: Bench) {
    let Bench { lab, namespace, .. } = &bench;
    let manifest = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{key: {value}}}\n"
        )
    };
    let (first, second) = (manifest("one"), manifest("two"));
    let repository =
        Repository::create(&lab.git, "self-test", &[("shop/settings.yaml", &first)]).await;
    assert!(repository.may_push(true).await);
    assert!(
        !repository.may_push(false).await,
        "{USER} with {PASSWORD} alone may push"
    );

    let mark: tidegate_lab::gitops::Mark = |object, source| {
        object
            .annotations_mut()
            .insert("lab/commit".into(), source.commit.into());
    };
    let gitops = GitOps::start(&lab.client, repository.clone(), "shop", namespace, mark);
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), namespace);
    let state = async || {
        let map = maps.get("settings").await.unwrap();
        (
            map.data.clone().unwrap()["key"].clone(),
            map.annotations()["lab/commit"].clone(),
        )
    };
    let commit = repository.tip().await.unwrap();
    gitops.has_applied(&commit).await;
    assert_eq!(state().await, ("one".to_owned(), commit));
    let commit = repository
        .commit("Change it", &[("shop/settings.yaml", &second)])
        .await;
    gitops.has_applied(&commit).await;
    assert_eq!(state().await, ("two".to_owned(), commit.clone()));
    assert_eq!(repository.message(&commit).await.trim(), "Change it");

    drop(gitops);
    let count = || {
        lab.audit
            .writes("administrator", namespace)
            .0
            .get("patch configmaps")
            .copied()
    };
    let before = wait::until("the audit log knows of the writes", async || count()).await;
    let patch = Patch::Merge(json!({"data": {"key": "three"}}));
    maps.patch("settings", &PatchParams::default(), &patch)
        .await
        .unwrap();
    wait::until_ok("one more write is in the audit log", async || {
        if count() >= Some(before + 1) {
            Ok(())
        } else {
            Err(count())
        }
    })
    .await;
}
