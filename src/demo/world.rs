//! The world of the demo: an API server, pods, a gateway, traffic, metrics, Git, a GitOps loop, and
//! in it the real controller and the real Git writer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::engine;
use super::gitops::{self, Branch};
use super::metrics::Metrics;
use super::repository::Repository;
use super::traffic::{DataPlane, Entrance};
use crate::sim::apiserver::workloads::{PodBehaviour, Workloads, WorkloadsConfig};
use crate::sim::apiserver::{ApiServer, ApiServerConfig};

/// The namespace of the story.
pub const NAMESPACE: &str = "shop";
/// The Rollout of the story, its route and its service.
pub const ROLLOUT: &str = "checkout";

const ENTRANCE: Entrance = Entrance {
    namespace: NAMESPACE,
    route: ROLLOUT,
    service: ROLLOUT,
};

/// Time between two looks of the pods' and the gateway's controllers.
const WORKLOADS_INTERVAL: Duration = Duration::from_millis(50);
/// How long a container takes to start and to become ready.
const POD_START: Duration = Duration::from_millis(800);
/// The gateway says that it has a route when the proxies have it: a little more than their lag.
const ROUTE_DELAY: Duration = Duration::from_millis(500);

/// Everything that runs. Ends when it is dropped.
pub struct World {
    /// When it began.
    pub begun: Instant,
    /// The API server.
    pub api: ApiServer,
    /// The traffic.
    pub plane: DataPlane,
    /// The Git repository.
    pub repository: Repository,
    /// What the GitOps loop knows.
    pub branch: tokio::sync::watch::Receiver<Branch>,
    /// Where the metrics are served.
    pub metrics_address: SocketAddr,
    /// Where `kubectl` finds the API.
    pub kubeconfig: PathBuf,
    title: Mutex<String>,
    awaited: Mutex<String>,
    engine: engine::Engine,
    tasks: JoinSet<&'static str>,
}

impl World {
    /// Sets everything going. `folder` is the demo's own; `port` is the API's, 0 for any.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub async fn start(folder: &Path, port: u16) -> Result<Self> {
        let begun = Instant::now();
        let config = ApiServerConfig::default().with_crds(&crate::api::crds());
        let api = ApiServer::new(config).map_err(|error| anyhow!("the API server: {error}"))?;
        for namespace in [NAMESPACE, engine::NAMESPACE] {
            let object =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            api.add(object)
                .map_err(|error| anyhow!("namespace {namespace}: {error}"))?;
        }
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port} for the API"))?;
        let api_address = listener.local_addr()?;
        let metrics_listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let metrics_address = metrics_listener.local_addr()?;
        let kubeconfig = folder.join("kubeconfig");
        tokio::fs::write(&kubeconfig, kubeconfig_text(api_address)).await?;

        let repository = Repository::create(folder).await?;
        let plane = DataPlane::new(api.clone(), ENTRANCE);
        let metrics = Metrics::default();
        let (seen, branch) = tokio::sync::watch::channel(Branch::default());

        let mut tasks = JoinSet::new();
        let server = api.clone();
        tasks.spawn(async move {
            let _ended = server.serve(listener).await;
            "the API server"
        });
        let served = metrics.clone();
        tasks.spawn(async move {
            let _ended = served.serve(metrics_listener).await;
            "the metrics endpoint"
        });
        let workloads = Workloads::new(&api, workloads_config());
        tasks.spawn(async move {
            workloads.run(WORKLOADS_INTERVAL).await;
            "the pods"
        });
        tasks.spawn({
            let plane = plane.clone();
            async move {
                plane.run().await;
                "the traffic"
            }
        });
        tasks.spawn({
            let plane = plane.clone();
            async move {
                metrics.scrape(plane).await;
                "the scrapes"
            }
        });
        let engine = engine::Engine::start(&api, metrics_address, &repository, folder)?;
        let client = api.client_as(NAMESPACE, "demo-gitops");
        tasks.spawn({
            let repository = repository.clone();
            async move {
                gitops::follow(repository, client, seen).await;
                "the GitOps loop"
            }
        });
        Ok(Self {
            begun,
            api,
            plane,
            repository,
            branch,
            metrics_address,
            kubeconfig,
            title: Mutex::default(),
            awaited: Mutex::default(),
            engine,
            tasks,
        })
    }

    /// What is going on in the story.
    #[must_use]
    pub fn title(&self) -> String {
        self.title
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says what is going on in the story.
    pub fn tell(&self, title: impl Into<String>) {
        *self.title.lock().unwrap_or_else(PoisonError::into_inner) = title.into();
    }

    /// Notes what the story waits for, for the case that it never comes.
    pub fn waits_for(&self, what: &str) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if *awaited != what {
            what.clone_into(&mut awaited);
        }
    }

    /// What the story waits for.
    #[must_use]
    pub fn awaited(&self) -> String {
        self.awaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What ended that should not have.
    pub fn broken(&self) -> Option<String> {
        self.engine.broken()
    }

    /// Ends everything in order: first the engine, which gives its lease back.
    pub async fn stop(mut self) {
        self.engine.stop().await;
        self.tasks.shutdown().await;
    }
}

fn workloads_config() -> WorkloadsConfig {
    WorkloadsConfig {
        behaviour: Arc::new(|_| PodBehaviour::ReadyAfter(POD_START)),
        route_delay: ROUTE_DELAY,
        gateway_controller: "demo.tidegate.io/gateway".to_owned(),
        ..WorkloadsConfig::default()
    }
}

fn kubeconfig_text(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: tidegate-demo\n\
         contexts:\n\
         - name: tidegate-demo\n\
         \x20 context: {{cluster: tidegate-demo, namespace: {NAMESPACE}, user: demo}}\n\
         clusters:\n\
         - name: tidegate-demo\n\
         \x20 cluster: {{server: \"http://{address}\"}}\n\
         users:\n\
         - name: demo\n\
         \x20 user: {{}}\n"
    )
}
