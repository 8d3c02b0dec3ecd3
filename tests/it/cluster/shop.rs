//! The workload of a scenario: one Rollout with its Services and its route, and what a person asks
//! about it while it changes.

use super::gateway::http_route;
use super::lab::Lab;
use super::table::Bench;
use super::traffic::Totals;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate::api::analysis::AnalysisRun;
use tidegate::api::analysis_status::RunPhase;
use tidegate::api::revert::Revert;
use tidegate::api::rollout::Rollout;
use tidegate::api::rollout_status::{Phase, RolloutStatus};
use tidegate_lab::objects::objects;
use tidegate_lab::wait;

/// The name of the Rollout and of its route.
pub const NAME: &str = "shop";

/// The two Services of a canary.
pub const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: stable}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: canary}
spec: {selector: {app: shop}, ports: [{port: 80}]}
";

/// A route as a user has it: with much that is none of Tidegate's business.
pub const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  annotations: {lab.tidegate.io/requests-per-second: '3000', team: checkout}
spec:
  parentRefs: [{name: public, sectionName: https}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x-beta, value: '1'}]}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {add: [{name: x-route, value: shop}]}
    timeouts: {request: 10s}
    backendRefs:
    - {name: stable, port: 80, weight: 100}
    - {name: canary, port: 80, weight: 0}
";

/// What tells a bad version from a good one here, and quickly: the pods need no warm-up.
pub const TEMPLATE: &str = "
apiVersion: tidegate.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: golden}
spec:
  provider: lab
  warmup: {duration: 1s}
  metrics:
  - name: error-ratio
    ratio:
      bad: http_requests_total{namespace=\"$(namespace)\",code=~\"5..\",$(arm)}
      total: http_requests_total{namespace=\"$(namespace)\",$(arm)}
  promote: {minBake: 5s}
";

/// The same by a level, for when the old version has no traffic to compare with.
pub const LEVEL: &str = "
apiVersion: tidegate.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: level}
spec:
  provider: lab
  warmup: {duration: 1s}
  metrics:
  - name: error-level
    threshold:
      query: >-
        sum(rate(http_requests_total{namespace=\"$(namespace)\",code=~\"5..\",$(arm)}[5s]) or vector(0))
        / sum(rate(http_requests_total{namespace=\"$(namespace)\",$(arm)}[5s]))
      success: result < 0.01
      failure: result > 0.05
      interval: 5s
      count: 2
";

/// A Rollout as it would stand in a file.
pub fn rollout(image: &str, replicas: u32, rest: &str) -> String {
    format!(
        "# The shop, as its team keeps it in Git.
apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {{name: {NAME}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      containers:
      - name: app
        image: {image}   # changed by each release
{rest}"
    )
}

/// A Rollout in its namespace.
pub struct Shop {
    pub lab: Arc<Lab>,
    pub namespace: String,
    rollouts: Api<Rollout>,
    replicas: u32,
    rest: String,
}

impl Shop {
    /// Applies what a Rollout rests on; the Rollout itself comes with the first release. `rest` is
    /// what its spec has besides replicas, selector and template.
    pub async fn open(bench: &Bench, base: &[&str], replicas: u32, rest: &str) -> Self {
        for manifests in base {
            bench.lab.apply(&bench.namespace, manifests).await;
        }
        Self {
            lab: Arc::clone(&bench.lab),
            namespace: bench.namespace.clone(),
            rollouts: Api::namespaced(bench.lab.client.clone(), &bench.namespace),
            replicas,
            rest: rest.to_owned(),
        }
    }

    /// Applies the Rollout with this image.
    pub async fn release(&self, image: &str) {
        let manifest = rollout(image, self.replicas, &self.rest);
        self.lab.apply(&self.namespace, &manifest).await;
    }

    /// Releases the first version and waits until it is stable.
    pub async fn first(&self, image: &str) {
        self.release(image).await;
        self.is_stable(image).await;
    }

    /// The status, if it speaks of the present spec.
    pub async fn status(&self) -> Option<RolloutStatus> {
        let rollout = self.rollouts.get(NAME).await.unwrap();
        let generation = rollout.metadata.generation;
        rollout
            .status
            .filter(|status| status.observed_generation == generation)
    }

    /// Waits until the status fulfils a condition; returns it.
    pub async fn until(
        &self,
        what: &str,
        condition: impl Fn(&RolloutStatus) -> bool,
    ) -> RolloutStatus {
        wait::until_ok(&format!("{}: {what}", self.namespace), async || {
            let status = self.status().await;
            let summary = status.as_ref().map(|status| {
                let canary = status
                    .canary
                    .as_ref()
                    .map(|canary| canary.step_text.clone());
                (
                    status.phase,
                    canary,
                    status.traffic.clone(),
                    status.message.clone(),
                )
            });
            status.filter(&condition).ok_or(summary)
        })
        .await
    }

    /// Waits until a version is stable and nothing is under way.
    pub async fn is_stable(&self, image: &str) -> RolloutStatus {
        self.until(&format!("{image} is stable and healthy"), |status| {
            let stable = status.stable.as_ref();
            status.phase == Some(Phase::Healthy)
                && stable.is_some_and(|stable| stable.images.iter().any(|name| name == image))
        })
        .await
    }

    /// Waits until the canary is at a step, from 0, with a weight that the gateway has accepted.
    pub async fn at(&self, step: i32, weight: i32) -> RolloutStatus {
        self.until(&format!("step {step} at {weight} %"), |status| {
            let canary = status.canary.as_ref().map(|canary| canary.step);
            let accepted = status.traffic.as_ref().map(|traffic| traffic.accepted);
            canary == Some(step) && accepted == Some(weight)
        })
        .await
    }

    /// Gives a command as the plugin does: for the revision and step that the status shows.
    pub async fn command(&self, verb: &str) {
        let status = self.status().await.unwrap_or_default();
        let canary = status.canary.unwrap_or_default();
        let now = jiff::Timestamp::now();
        self.annotate(
            verb,
            &format!("{}/{} {now} dana", canary.revision, canary.step),
        )
        .await;
    }

    /// Gives a command in its bare form.
    pub async fn annotate(&self, verb: &str, value: &str) {
        let key = format!("tidegate.io/{verb}");
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.rollouts
            .patch(NAME, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Deletes the Rollout.
    pub async fn delete(&self) {
        self.rollouts
            .delete(NAME, &Default::default())
            .await
            .unwrap();
    }

    /// Whether the Rollout is there.
    pub async fn exists(&self) -> bool {
        self.rollouts.get_opt(NAME).await.unwrap().is_some()
    }

    /// The route's spec.
    pub async fn route(&self) -> Value {
        let routes: Api<DynamicObject> =
            Api::namespaced_with(self.lab.client.clone(), &self.namespace, &http_route());
        routes.get(NAME).await.unwrap().data["spec"].clone()
    }

    /// The route's weight for the canary, in percent; asserts that all else is as the user wrote
    /// it and that nothing is lost between the two backends.
    pub async fn weight(&self) -> u64 {
        let mut route = self.route().await;
        let written = objects(ROUTE).unwrap().remove(0).data["spec"].clone();
        let mut weights = Vec::new();
        for at in 0..2 {
            let pointer = format!("/rules/0/backendRefs/{at}/weight");
            let weight = route.pointer_mut(&pointer).unwrap();
            weights.push(weight.as_u64().unwrap());
            *weight = written.pointer(&pointer).unwrap().clone();
        }
        assert_eq!(
            defaulted(route),
            defaulted(written),
            "more than the weights has changed"
        );
        assert_eq!(weights.iter().sum::<u64>(), 100, "{weights:?}");
        weights[1]
    }

    /// Ready pods by image; those that are being deleted do not count.
    pub async fn ready_pods(&self) -> BTreeMap<String, usize> {
        let pods: Api<Pod> = Api::namespaced(self.lab.client.clone(), &self.namespace);
        let mut ready = BTreeMap::new();
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let conditions = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            let is_ready = conditions
                .into_iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True");
            if is_ready && pod.metadata.deletion_timestamp.is_none() {
                *ready.entry(super::version::image(&pod)).or_default() += 1;
            }
        }
        ready
    }

    /// Waits until exactly these pods are ready.
    pub async fn has_pods(&self, expected: &[(&str, usize)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(image, count)| ((*image).to_owned(), *count))
            .collect();
        wait::until_ok(
            &format!("{}: pods {expected:?}", self.namespace),
            async || {
                let ready = self.ready_pods().await;
                if ready == expected {
                    Ok(())
                } else {
                    Err(ready)
                }
            },
        )
        .await;
    }

    /// The ReplicaSets that are there.
    pub async fn replica_sets(&self) -> Vec<ReplicaSet> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.lab.client.clone(), &self.namespace);
        sets.list(&ListParams::default()).await.unwrap().items
    }

    /// The image that a Service's pods must have by its selector's hash.
    pub async fn behind(&self, service: &str) -> Option<String> {
        let services: Api<Service> = Api::namespaced(self.lab.client.clone(), &self.namespace);
        let selector = services.get(service).await.unwrap().spec?.selector?;
        let hash = selector.get(tidegate::api::rollout::HASH_LABEL)?;
        let sets = self.replica_sets().await;
        let set = sets
            .iter()
            .find(|set| set.labels().get(tidegate::api::rollout::HASH_LABEL) == Some(hash))?;
        let template = set.spec.as_ref()?.template.as_ref()?;
        template.spec.as_ref()?.containers.first()?.image.clone()
    }

    /// The Reverts that are there.
    pub async fn reverts(&self) -> Vec<Revert> {
        let reverts: Api<Revert> = Api::namespaced(self.lab.client.clone(), &self.namespace);
        reverts.list(&ListParams::default()).await.unwrap().items
    }

    /// The AnalysisRuns that are there.
    pub async fn runs(&self) -> Vec<AnalysisRun> {
        let runs: Api<AnalysisRun> = Api::namespaced(self.lab.client.clone(), &self.namespace);
        runs.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until an AnalysisRun is in a phase; returns it.
    pub async fn run_is(&self, phase: RunPhase) -> AnalysisRun {
        wait::until_ok(
            &format!("{}: a run is {phase:?}", self.namespace),
            async || {
                let runs = self.runs().await;
                let phases: Vec<_> = runs.iter().map(run_phase).collect();
                let found = runs.into_iter().find(|run| run_phase(run) == Some(phase));
                found.ok_or(phases)
            },
        )
        .await
    }

    /// What the entrances have seen.
    pub fn totals(&self) -> Totals {
        self.lab.traffic.totals(&self.namespace)
    }
}

fn run_phase(run: &AnalysisRun) -> Option<RunPhase> {
    run.status.as_ref().and_then(|status| status.phase)
}

/// A route without the values that the API server fills in where the user wrote none.
fn defaulted(mut route: Value) -> Value {
    let remove = |object: &mut Value, key: &str, default: Value| {
        if object.get(key) == Some(&default) {
            object.as_object_mut().unwrap().remove(key);
        }
    };
    for parent in route["parentRefs"].as_array_mut().unwrap() {
        remove(parent, "group", json!("gateway.networking.k8s.io"));
        remove(parent, "kind", json!("Gateway"));
    }
    for rule in route["rules"].as_array_mut().unwrap() {
        for matched in rule["matches"].as_array_mut().unwrap() {
            for header in matched["headers"].as_array_mut().unwrap() {
                remove(header, "type", json!("Exact"));
            }
        }
        for backend in rule["backendRefs"].as_array_mut().unwrap() {
            remove(backend, "group", json!(""));
            remove(backend, "kind", json!("Service"));
        }
    }
    route
}
