//! Everything a scenario runs in: the control plane, the pods, the gateway, the traffic,
//! Prometheus and the Git server, started once for all of them.

use super::engine::Installation;
use super::exporter::Exporter;
use super::gateway::Gateway;
use super::kubelet::Kubelet;
use super::traffic::Traffic;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tidegate_lab::LOGS_VARIABLE;
use tidegate_lab::audit::Audit;
use tidegate_lab::control_plane::{CONTROLLERS, ControlPlane, Purpose};
use tidegate_lab::git_http::GitServer;
use tidegate_lab::objects::{apply, install_crds, objects};
use tidegate_lab::process::Program;
use tidegate_lab::prometheus::Prometheus;
use tidegate_lab::repository::{PASSWORD, USER};

/// The name under which the test itself owns fields.
pub const MANAGER: &str = "lab";

/// The Custom Resource Definitions of others that the scenarios use.
const FOREIGN_CRDS: &[&str] = &["gateway.networking.k8s.io_httproutes.yaml"];

/// A running laboratory. The order of the fields is the order in which it is taken down: first
/// who uses the API server, then the API server, at last the folder.
pub struct Lab {
    _processes: Vec<Program>,
    /// Where the metrics of the controller and of the Git writer are.
    pub metrics: Vec<String>,
    pub client: Client,
    pub audit: Audit,
    pub git: GitServer,
    /// Another one, whose faults are switched on by one scenario.
    pub unreliable_git: GitServer,
    pub prometheus: Prometheus,
    pub exporter: Exporter,
    pub traffic: Traffic,
    _gateway: Gateway,
    _kubelet: Kubelet,
    pub plane: ControlPlane,
    pub tools: PathBuf,
    home: tempfile::TempDir,
}

impl Lab {
    /// Starts everything and waits until each part answers.
    pub async fn start(tools: &Path) -> Self {
        let home = tempfile::Builder::new()
            .prefix("tidegate-cluster-")
            .disable_cleanup(std::env::var_os(LOGS_VARIABLE).is_some())
            .tempdir()
            .unwrap();
        let mut plane = ControlPlane::start(tools, home.path(), Purpose::Paper).await;
        let client = plane.admin().await;
        for name in FOREIGN_CRDS {
            let file = tools.join("gateway-api-crds").join(name);
            let text = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            install_crds(&client, objects(&text).unwrap(), MANAGER).await;
        }
        let own = tidegate::api::crds();
        let own = own
            .iter()
            .map(|crd| serde_json::from_value(json!(crd)).unwrap());
        install_crds(&client, own.collect(), MANAGER).await;
        plane.start_controllers(tools, CONTROLLERS);
        let kubelet = Kubelet::start(&client).await;
        let gateway = Gateway::start(&client);
        let traffic = Traffic::start(&client, gateway.routes());
        let exporter = Exporter::start(traffic.answered()).await;
        let prometheus =
            Prometheus::start(tools, home.path(), "prometheus", &exporter.targets()).await;
        let git = GitServer::start(Some((USER, PASSWORD))).await;
        let unreliable_git = GitServer::start(Some((USER, PASSWORD))).await;
        let repositories = [&git, &unreliable_git].map(|server| server.url("*"));
        let installation =
            Installation::new(tools, home.path(), &plane, &client, &repositories).await;
        let (processes, metrics) = [
            installation.controller().await,
            installation.git_writer().await,
        ]
        .into_iter()
        .unzip();
        let lab = Self {
            _processes: processes,
            metrics,
            audit: Audit::of(plane.audit_log()),
            git,
            unreliable_git,
            client,
            prometheus,
            exporter,
            traffic,
            _gateway: gateway,
            _kubelet: kubelet,
            plane,
            tools: tools.to_path_buf(),
            home,
        };
        lab.provider("lab", lab.prometheus.url()).await;
        lab
    }

    /// What a person needs to know who wants to play with it.
    pub fn introduction(&self) -> String {
        format!(
            "
kubeconfig   export KUBECONFIG={}
Prometheus   {}
Git          {} (user {USER}, password {PASSWORD})
logs         {}

Ctrl-C ends it and removes everything.",
            self.plane.admin_kubeconfig().display(),
            self.prometheus.url(),
            self.git.url(""),
            self.home.path().display(),
        )
    }

    /// Starts a Prometheus of a scenario's own, which it may stop, with a MetricsProvider of that
    /// name.
    pub async fn another_prometheus(&self, name: &str) -> Prometheus {
        let prometheus = Prometheus::start(
            &self.tools,
            self.home.path(),
            name,
            &self.exporter.targets(),
        )
        .await;
        self.provider(name, prometheus.url()).await;
        prometheus
    }

    /// The same, with a configuration of its own.
    pub async fn prometheus_of(&self, name: &str, config: &Value) -> Prometheus {
        let prometheus = Prometheus::configured(&self.tools, self.home.path(), name, config).await;
        self.provider(name, prometheus.url()).await;
        prometheus
    }

    /// Applies a MetricsProvider of this name for everybody.
    pub async fn provider(&self, name: &str, url: &str) {
        self.apply("", &provider(name, url)).await;
    }

    /// Makes a namespace for a scenario.
    pub async fn namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = json!({"metadata": {"name": name}});
        let namespace = serde_json::from_value(namespace).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// Applies manifests, as `kubectl apply --server-side -n NAMESPACE` would.
    pub async fn apply(&self, namespace: &str, manifests: &str) {
        for object in objects(manifests).unwrap() {
            if let Err(error) = apply(&self.client, namespace, &object, MANAGER).await {
                panic!("{} is refused: {error}", object.name_any());
            }
        }
    }
}

/// A MetricsProvider for everybody.
fn provider(name: &str, url: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: MetricsProvider
metadata: {{name: {name}}}
spec: {{prometheus: {{url: '{url}'}}}}
"
    )
}
