//! A cluster in memory: the API server, what beside it brings pods up and accepts routes, and the
//! real controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::{Value, json};
use tidegate::controller::error::RunError;
use tidegate::controller::run::{self, Config};
use tidegate::core::observed::Settings;
use tidegate::sim::apiserver::workloads::{PodBehaviour, Workloads, WorkloadsConfig};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig, Fault, RequestInfo};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A test that waits longer than this for anything has failed.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks of the stand-ins.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks of a test.
const LOOK: Duration = Duration::from_millis(40);

pub const NAMESPACE: &str = "shop";
pub const ROLLOUTS: &str = "rollouts.tidegate.io";
pub const REPLICA_SETS: &str = "replicasets.apps";
pub const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
pub const INGRESSES: &str = "ingresses.networking.k8s.io";
pub const RUNS: &str = "analysisruns.tidegate.io";
pub const REVERTS: &str = "reverts.tidegate.io";
/// Both kinds of Event have one storage, in the older shape.
pub const EVENTS: &str = "events";

pub struct World {
    pub server: ApiServer,
    pub user: Client,
    stand_ins: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stand_ins.abort();
    }
}

/// The controller, running.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Ends it in order.
    pub async fn stop(mut self) -> Result<(), RunError> {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(DEADLINE, &mut self.task)
            .await
            .expect("it stops")
            .unwrap()
    }

    /// Ends it like a power cut.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), RunError> {
        tokio::time::timeout(DEADLINE, &mut self.task)
            .await
            .expect("it ends")
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn config() -> Config {
    Config {
        settings: Settings {
            settle: SignedDuration::from_millis(50),
        },
        // Every test has the machine to share with all others.
        qps: 500.0,
        burst: 500,
        cluster_name: Some("east".into()),
        ..Config::default()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with_crds(&tidegate::api::crds())
    }

    /// A cluster whose CRDs are of another version of Tidegate, and let everything pass.
    pub fn with_foreign_crds() -> Self {
        let mut crds = tidegate::api::crds();
        for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
            let open = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
            version.schema = Some(serde_json::from_value(open).unwrap());
        }
        Self::with_crds(&crds)
    }

    fn with_crds(crds: &[CustomResourceDefinition]) -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            // Set once per process; whoever comes later uses it too.
            let _ = tidegate::controller::telemetry::init(Default::default());
        }
        let config = ApiServerConfig::default().with_crds(crds);
        let server = ApiServer::new(config).unwrap();
        server
            .add(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
            .unwrap();
        let workloads = Workloads::new(&server, behaviour());
        let stand_ins = tokio::spawn(async move { workloads.run(TICK).await });
        let user = server.client_as(NAMESPACE, "user");
        Self {
            server,
            user,
            stand_ins,
        }
    }

    pub fn controller(&self) -> Running {
        self.controller_with(config())
    }

    pub fn controller_with(&self, config: Config) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let client = self.server.client("default");
        let task = tokio::spawn(async move {
            run::run(config, client, async move {
                let _ = stopped.await;
            })
            .await
        });
        Running {
            stop: Some(stop),
            task,
        }
    }

    /// Adds the two Services, the HTTPRoute and the Rollout of a canary.
    pub fn add_canary(&self, name: &str, steps: &Value) {
        self.add_service(&format!("{name}-stable"), name);
        self.add_service(&format!("{name}-canary"), name);
        self.server.add(route(name)).unwrap();
        self.server.add(canary(name, steps)).unwrap();
    }

    pub fn add_service(&self, name: &str, app: &str) {
        self.server
            .add(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}}))
            .unwrap();
    }

    pub fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.server.store().get(resource, NAMESPACE, name)
    }

    pub fn rollout(&self, name: &str) -> Value {
        self.get(ROLLOUTS, name).unwrap_or_default()
    }

    pub fn phase(&self, name: &str) -> String {
        self.rollout(name)["status"]["phase"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The canary's weight in the route, and stable's.
    pub fn weights(&self, name: &str) -> (i64, i64) {
        let route = self.get(ROUTES, name).unwrap_or_default();
        let backends = route["spec"]["rules"][0]["backendRefs"].clone();
        let of = |suffix: &str| {
            let all = backends.as_array().into_iter().flatten();
            let found = all
                .filter(|b| b["name"] == format!("{name}-{suffix}"))
                .map(|b| b["weight"].as_i64().unwrap_or(1));
            found.sum()
        };
        (of("canary"), of("stable"))
    }

    pub fn service_hash(&self, name: &str) -> Option<String> {
        let service = self.get("services", name)?;
        service["spec"]["selector"]["rollouts-pod-template-hash"]
            .as_str()
            .map(str::to_owned)
    }

    /// Pods that the ReplicaSets of a Rollout ask for, by image.
    pub fn sizes(&self, rollout: &str) -> Vec<(String, i64)> {
        let of = |rs: &Value| rs["metadata"]["labels"]["tidegate.io/rollout"] == rollout;
        let sets = self.server.store().list(REPLICA_SETS, NAMESPACE);
        let mut sizes: Vec<_> = sets
            .iter()
            .filter(|rs| of(rs))
            .map(|rs| {
                let image = rs["spec"]["template"]["spec"]["containers"][0]["image"]
                    .as_str()
                    .unwrap();
                (image.to_owned(), rs["spec"]["replicas"].as_i64().unwrap())
            })
            .collect();
        sizes.sort();
        sizes
    }

    /// Waits until `condition` holds; if it does not in time, says what and shows the Rollouts.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition(self) {
            if Instant::now() > deadline {
                let all = self.server.store().list(ROLLOUTS, NAMESPACE);
                let shown: Vec<String> = all
                    .iter()
                    .map(|r| format!("{}: {:#}", r["metadata"]["name"], r["status"]))
                    .collect();
                panic!("in vain waited for: {what}\n{}", shown.join("\n"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn until_phase(&self, name: &str, phase: &str) {
        self.until(&format!("{name} {phase}"), |w| w.phase(name) == phase)
            .await;
    }

    /// Changes an object as a user does.
    pub async fn patch(&self, resource: &str, name: &str, patch: Value) {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let version = match group {
            "tidegate.io" => "v1alpha1",
            _ => "v1",
        };
        let root = if group.is_empty() {
            "api/v1".to_owned()
        } else {
            format!("apis/{group}/{version}")
        };
        let (name, sub) = name.split_once('/').unwrap_or((name, ""));
        let path =
            format!("/{root}/namespaces/{NAMESPACE}/{plural}/{name}/{sub}?fieldManager=user");
        let request = http::Request::patch(path.replace("/?", "?"))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        self.user.request::<Value>(request).await.unwrap();
    }

    pub async fn set_image(&self, name: &str, image: &str) {
        let template = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
        self.patch(ROLLOUTS, name, json!({"spec": {"template": template}}))
            .await;
    }

    pub async fn command(&self, name: &str, verb: &str) {
        let status = self.rollout(name)["status"].clone();
        let canary = &status["canary"];
        let revision = canary["revision"]
            .as_i64()
            .or(status["stable"]["revision"].as_i64())
            .unwrap();
        let step = canary["step"].as_i64().unwrap_or(0);
        let value = format!("{revision}/{step} {} test", jiff::Timestamp::now());
        let key = format!("tidegate.io/{verb}");
        self.patch(
            ROLLOUTS,
            name,
            json!({"metadata": {"annotations": {key: value}}}),
        )
        .await;
    }

    pub async fn delete(&self, resource: &str, name: &str) {
        let (plural, group) = resource.split_once('.').unwrap();
        let path = format!("/apis/{group}/v1alpha1/namespaces/{NAMESPACE}/{plural}/{name}");
        let request = http::Request::delete(path).body(Vec::new()).unwrap();
        self.user.request::<Value>(request).await.unwrap();
    }

    /// Calls of the controller that are not watches, and those of them that write.
    pub fn calls(&self) -> (u64, u64) {
        let audit = self.server.audit();
        let ours = audit
            .counts()
            .filter(|(k, _)| k.user_agent.starts_with("tidegate"));
        let reads = ours
            .filter(|(k, _)| matches!(k.verb.as_str(), "get" | "list"))
            .map(|(_, n)| n)
            .sum();
        (reads, audit.writes("tidegate"))
    }

    /// Decides about the controller's own requests from now on.
    pub fn faults(&self, hook: impl Fn(&RequestInfo) -> Fault + Send + Sync + 'static) {
        self.server.set_faults(Some(Arc::new(move |request| {
            if request.user_agent.starts_with("tidegate") {
                hook(request)
            } else {
                Fault::Pass
            }
        })));
    }

    pub fn no_faults(&self) {
        self.server.set_faults(None);
    }

    pub fn event_reasons(&self) -> Vec<String> {
        let events = self.server.store().list(EVENTS, NAMESPACE);
        events
            .iter()
            .map(|e| e["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Pods of an image that is called broken never become ready.
fn behaviour() -> WorkloadsConfig {
    let of = |pod: &Pod| {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let broken = containers
            .filter_map(|c| c.image.as_ref())
            .any(|i| i.contains("broken"));
        if broken {
            PodBehaviour::NeverReady
        } else {
            PodBehaviour::ReadyAfter(Duration::ZERO)
        }
    };
    WorkloadsConfig {
        behaviour: Arc::new(of),
        termination: Duration::ZERO,
        ..WorkloadsConfig::default()
    }
}

/// Counts up and answers every `n`-th time.
pub fn every(n: usize) -> impl Fn() -> bool {
    let count = AtomicUsize::new(0);
    move || count.fetch_add(1, Ordering::Relaxed) % n == n - 1
}

pub fn route(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"mine": "kept"}},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [format!("{name}.example")], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
             "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}],
             "backendRefs": [{"name": format!("{name}-stable"), "port": 80}, {"name": format!("{name}-canary"), "port": 80, "weight": 0}]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/canary-only"}}],
             "backendRefs": [{"name": format!("{name}-canary"), "port": 80, "weight": 7}]},
        ]},
    })
}

pub fn rollout(name: &str, strategy: &Value) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "r/app:v1"}]}},
            "strategy": strategy,
        },
    })
}

pub fn canary(name: &str, steps: &Value) -> Value {
    rollout(
        name,
        &json!({"canary": {
            "stableService": format!("{name}-stable"), "canaryService": format!("{name}-canary"),
            "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": name}]}},
            "scaleDownDelaySeconds": 0, "abortScaleDownDelaySeconds": 0, "steps": steps,
        }}),
    )
}
