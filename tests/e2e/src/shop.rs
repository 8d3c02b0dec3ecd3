//! The workload of a scenario: one Rollout with its Services, its route and its load, and what a
//! person does with it.

use std::time::{Duration, Instant};

use http::Uri;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tidegate::api::rollout::Rollout;
use tidegate::api::rollout_status::{Phase, RolloutStatus};
use tidegate_lab::node::ADDRESS;
use tidegate_lab::wait;
use tidegate_load_tests::load::{Http, Load, Rhythm, Target};
use tokio::time::sleep;

use crate::stage::Stage;

/// Requests per second, in every scenario.
pub const RATE: f64 = 300.0;
/// Pods of each.
pub const REPLICAS: i32 = 4;
/// A request without an answer for so long is lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any step takes, an analysis and a minute without Prometheus included. It ends a
/// test that hangs, it measures nothing.
const DEADLINE: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// How a version behaves.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    pub version: &'static str,
    pub error_ratio: &'static str,
    pub latency_ms: &'static str,
    pub slower: &'static str,
    pub never_ready: bool,
    pub crash_seconds: &'static str,
}

/// A good version.
pub const fn good(version: &'static str) -> Release {
    Release {
        version,
        error_ratio: "0",
        latency_ms: "10",
        slower: "1",
        never_ready: false,
        crash_seconds: "3600",
    }
}

/// What is in front of the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The gateway, with a route of the user's between two Services.
    Route,
    /// One Service, reached through kube-proxy.
    Service(&'static str),
}

/// A Rollout in a namespace.
pub struct Shop {
    pub stage: Stage,
    pub namespace: String,
    rollouts: Api<Rollout>,
    strategy: String,
}

/// The Services of a canary, or of blue/green.
fn service(name: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: shop}}, ports: [{{name: http, port: 80, targetPort: http}}]}}
---"
    )
}

fn route(host: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop}}
spec:
  parentRefs: [{{name: public, namespace: gateway}}]
  hostnames: [{host}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    backendRefs:
    - {{name: stable, port: 80, weight: 100}}
    - {{name: canary, port: 80, weight: 0}}
"
    )
}

/// The pod template of a version, as a field of a spec.
fn template(release: Release) -> String {
    let Release {
        version,
        error_ratio,
        latency_ms,
        slower,
        never_ready,
        crash_seconds,
    } = release;
    format!(
        "  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: app
        image: app:lab
        imagePullPolicy: Never
        # Without a request pods get what everything else leaves, and a busy machine looks like a loss.
        resources: {{requests: {{cpu: 50m}}}}
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1, timeoutSeconds: 5}}
        env:
        - {{name: APP_VERSION, value: \"{version}\"}}
        - {{name: APP_ERROR_RATIO, value: \"{error_ratio}\"}}
        - {{name: APP_LATENCY_MS, value: \"{latency_ms}\"}}
        - {{name: APP_SLOWER, value: \"{slower}\"}}
        - {{name: APP_NEVER_READY, value: \"{never_ready}\"}}
        - {{name: APP_CRASH_SECONDS, value: \"{crash_seconds}\"}}
        - {{name: APP_DRAIN_SECONDS, value: \"5\"}}"
    )
}

/// What a careful user would have, with less patience: the application is warm at once.
const TEMPLATES: &str = "
apiVersion: tidegate.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: golden}
spec:
  arm: {label: rollouts_pod_template_hash}
  warmup: {duration: 10s}
  metrics:
  - name: error-ratio
    ratio:
      bad: http_requests_total{namespace=\"$(namespace)\",code=~\"5..\",$(arm)}
      total: http_requests_total{namespace=\"$(namespace)\",$(arm)}
  promote: {minBake: 15s}
---
apiVersion: tidegate.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: latency}
spec:
  arm: {label: rollouts_pod_template_hash}
  warmup: {duration: 10s}
  metrics:
  - name: p90
    threshold:
      query: >-
        histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket{namespace=\"$(namespace)\",$(arm)}[15s])))
      success: result < 0.1
      failure: result >= 0.1
      interval: 5s
      count: 4
      failureLimit: 2
";

impl Shop {
    /// Makes a namespace with all that a Rollout rests on, but for a route.
    pub async fn open(stage: &Stage, namespace: &str, services: &[&str], strategy: &str) -> Self {
        stage.namespace(namespace).await;
        let services: String = services.iter().map(|name| service(name)).collect();
        stage.apply(namespace, &services).await;
        stage.apply(namespace, TEMPLATES).await;
        Self {
            rollouts: Api::namespaced(stage.client.clone(), namespace),
            stage: stage.clone(),
            namespace: namespace.to_owned(),
            strategy: strategy.to_owned(),
        }
    }

    /// Adds a route of the user's, from the gateway to the two Services of a canary.
    pub async fn with_route(self) -> Self {
        let route = route(&host(&self.namespace));
        self.stage.apply(&self.namespace, &route).await;
        self
    }

    /// A GitOps tool that knows nothing of weights puts the route back to what the file says.
    pub async fn reset_route(&self) {
        let route = route(&host(&self.namespace));
        self.stage.apply(&self.namespace, &route).await;
    }

    /// The Rollout as it would stand in a file, with this version.
    pub fn manifest(&self, release: Release) -> String {
        let (strategy, template) = (&self.strategy, template(release));
        format!(
            "apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {{name: shop}}
spec:
  replicas: {REPLICAS}
  progressDeadlineSeconds: 30
  selector: {{matchLabels: {{app: shop}}}}
{template}
{strategy}"
        )
    }

    /// A Deployment with this version, until all of its pods are available.
    pub async fn deployment(&self, release: Release) {
        let template = template(release);
        let deployment = format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  replicas: {REPLICAS}
  selector: {{matchLabels: {{app: shop}}}}
{template}"
        );
        self.stage.apply(&self.namespace, &deployment).await;
        self.deployment_has(REPLICAS).await;
    }

    /// Applies a Rollout that takes the Deployment's place.
    pub async fn take_its_place(&self, scale_down: &str) {
        let strategy = &self.strategy;
        let rollout = format!(
            "apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {{name: shop}}
spec:
  replicas: {REPLICAS}
  selector: {{matchLabels: {{app: shop}}}}
  workloadRef: {{apiVersion: apps/v1, kind: Deployment, name: shop, scaleDown: {scale_down}}}
{strategy}"
        );
        self.stage.apply(&self.namespace, &rollout).await;
    }

    /// Waits until the Deployment has so many pods, all of them available.
    pub async fn deployment_has(&self, pods: i32) {
        let deployments: Api<Deployment> =
            Api::namespaced(self.stage.client.clone(), &self.namespace);
        wait::until_ok(&format!("the Deployment has {pods} pods"), async || {
            let found = deployments.get("shop").await;
            let status = found.map_err(|error| error.to_string())?.status;
            let status = status.unwrap_or_default();
            let seen = [status.replicas, status.available_replicas];
            match seen.map(Option::unwrap_or_default) == [pods; 2] {
                true => Ok(()),
                false => Err(format!("{seen:?}")),
            }
        })
        .await;
    }

    /// Applies the Rollout with this version.
    pub async fn release(&self, release: Release) {
        self.stage
            .apply(&self.namespace, &self.manifest(release))
            .await;
    }

    /// The first version, until it is stable.
    pub async fn first(&self, release: Release) {
        self.release(release).await;
        self.until("the first version is stable", |status| {
            status.phase == Some(Phase::Healthy)
        })
        .await;
    }

    /// Its status.
    pub async fn status(&self) -> Option<RolloutStatus> {
        self.rollouts.get_opt("shop").await.ok()??.status
    }

    /// Waits until the status is so, and speaks of the present spec.
    pub async fn until(&self, what: &str, is: impl Fn(&RolloutStatus) -> bool) -> RolloutStatus {
        let deadline = Instant::now() + DEADLINE;
        let wanted = async || {
            let rollout = self.rollouts.get("shop").await;
            let rollout = rollout.map_err(|error| error.to_string())?;
            let generation = rollout.metadata.generation;
            let status = rollout.status.ok_or("no status")?;
            if status.observed_generation == generation && is(&status) {
                Ok(status)
            } else {
                Err(format!("{:?}: {}", status.phase, status.message))
            }
        };
        loop {
            match wanted().await {
                Ok(status) => return status,
                Err(seen) if Instant::now() > deadline => {
                    panic!("after {DEADLINE:?} still not true: {what}; seen: {seen}")
                }
                Err(_) => sleep(PERIOD).await,
            }
        }
    }

    /// Waits until the canary has this weight, known to the data plane.
    pub async fn has_weight(&self, weight: i32) {
        self.until(&format!("{weight} % are confirmed"), |status| {
            let traffic = status.traffic.as_ref();
            traffic.is_some_and(|t| t.desired == weight && t.accepted == weight)
        })
        .await;
    }

    /// Waits until it is promoted and at rest.
    pub async fn is_promoted(&self) {
        self.until("it is promoted", |status| {
            status.phase == Some(Phase::Healthy) && status.canary.is_none()
        })
        .await;
    }

    /// Waits until it is aborted, stable has everything and the canary's pods are gone.
    pub async fn is_aborted(&self) {
        self.until("it is aborted", |status| {
            status.phase == Some(Phase::Aborted)
        })
        .await;
        self.has_pods(&[REPLICAS]).await;
    }

    /// Waits until there are so many pods, by ReplicaSet in descending order, and none ends any more.
    pub async fn has_pods(&self, wanted: &[i32]) {
        let pods: Api<Pod> = Api::namespaced(self.stage.client.clone(), &self.namespace);
        wait::until_ok(
            &format!("{}: pods {wanted:?}", self.namespace),
            async || {
                let pods = pods.list(&ListParams::default()).await;
                let pods = pods.map_err(|error| error.to_string())?.items;
                let mut counts = std::collections::BTreeMap::<String, i32>::new();
                for pod in &pods {
                    let hash = pod.labels().get("rollouts-pod-template-hash").cloned();
                    *counts.entry(hash.unwrap_or_default()).or_default() += 1;
                }
                let mut counts: Vec<i32> = counts.into_values().collect();
                counts.sort_unstable_by(|a, b| b.cmp(a));
                if counts == wanted {
                    Ok(())
                } else {
                    Err(format!("{counts:?}"))
                }
            },
        )
        .await;
    }

    /// A person's command, bound to the present revision and step as the plugin does it.
    pub async fn command(&self, verb: &str) {
        let status = self.status().await.unwrap_or_default();
        let canary = status.canary.unwrap_or_default();
        let at = jiff::Timestamp::now();
        let value = format!("{}/{} {at} dana", canary.revision, canary.step);
        let annotations = json!({format!("tidegate.io/{verb}"): value});
        self.patch(&json!({"metadata": {"annotations": annotations}}))
            .await;
    }

    /// A merge patch of the Rollout.
    pub async fn patch(&self, patch: &Value) {
        let patch = Patch::Merge(patch);
        let done = self
            .rollouts
            .patch("shop", &PatchParams::default(), &patch)
            .await;
        done.unwrap_or_else(|error| panic!("{}: {error}", self.namespace));
    }

    /// Deletes the Rollout.
    pub async fn delete(&self) {
        let done = self
            .rollouts
            .delete("shop", &kube::api::DeleteParams::default())
            .await;
        done.unwrap_or_else(|error| panic!("{}: {error}", self.namespace));
    }

    /// Its finalizers.
    pub async fn finalizers(&self) -> Vec<String> {
        let rollout = self.rollouts.get("shop").await.unwrap();
        rollout.metadata.finalizers.unwrap_or_default()
    }

    /// Asks for so many pods, as `kubectl scale` and autoscalers do.
    pub async fn scale(&self, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let done = self
            .rollouts
            .patch_scale("shop", &PatchParams::default(), &patch)
            .await;
        done.unwrap_or_else(|error| panic!("{}: {error}", self.namespace));
    }

    /// Whether the Rollout is there.
    pub async fn exists(&self) -> bool {
        self.rollouts
            .get_opt("shop")
            .await
            .is_ok_and(|found| found.is_some())
    }

    /// Begins to send requests.
    pub async fn load(&self, front: Front) -> Load {
        let exchange = Http::new(self.target(front).await);
        self.answers(&exchange).await;
        let fresh = match front {
            Front::Route => 0.1,
            // A kept connection stays with its pod, so every other one is new.
            Front::Service(_) => 0.5,
        };
        Load::start(Rhythm { rate: RATE, fresh }, exchange)
    }

    async fn target(&self, front: Front) -> Target {
        let (uri, host) = match front {
            Front::Route => (format!("http://{ADDRESS}/"), Some(host(&self.namespace))),
            Front::Service(name) => (format!("http://{}/", self.cluster_ip(name).await), None),
        };
        Target {
            uri: uri.parse::<Uri>().unwrap(),
            host,
            timeout: TIMEOUT,
        }
    }

    /// Waits until a version answers through the gateway.
    pub async fn answers_again(&self) {
        let exchange = Http::new(self.target(Front::Route).await);
        self.answers(&exchange).await;
    }

    /// Waits until a version answers: a new route takes the gateway a moment.
    async fn answers(&self, exchange: &Http) {
        use tidegate_load_tests::load::{Connection, Exchange, Outcome};
        wait::until_ok(
            &format!("{} answers", self.namespace),
            async || match exchange.send(Connection::Fresh).await {
                Outcome::Answered {
                    version: Some(_), ..
                } => Ok(()),
                other => Err(other),
            },
        )
        .await;
    }

    async fn cluster_ip(&self, name: &str) -> String {
        let services: Api<Service> = Api::namespaced(self.stage.client.clone(), &self.namespace);
        let service = services.get(name).await.unwrap();
        service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .expect("it has an address")
    }
}

fn host(namespace: &str) -> String {
    format!("{namespace}.example.com")
}
