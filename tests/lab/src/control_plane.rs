//! etcd, kube-apiserver and kube-controller-manager with RBAC and an audit log.

use crate::process::{Program, free_ports};
use crate::wait;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Who may do everything, with a token of the same name: the test itself, and Kubernetes' own
/// controllers, so that the audit log tells their writes apart.
const ADMINISTRATOR: &str = "administrator";
const MANAGER: &str = "kube-controller-manager";

/// The node's own parts, which may do everything too.
pub const NODE_PARTS: [&str; 4] = ["kube-scheduler", "kubelet", "kube-proxy", "traefik"];

/// Who may do nothing until a scenario gives her a role.
pub const DEVELOPER: &str = "dana";

/// Every write is logged with its author, and nothing else: what a controller writes is counted
/// from here, as its users will see it. Where the logs are kept, what was written is in it too.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources: [{group: '', resources: [secrets, serviceaccounts/token]}]
- level: LEVEL
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// The controllers a workload needs. Those that watch over nodes stay off: there is one node, it
/// exists on paper, and its kubelet is the harness.
pub const CONTROLLERS: &str = "deployment-controller,replicaset-controller,endpointslice-controller,\
garbage-collector-controller,namespace-controller,serviceaccount-controller,\
root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
horizontal-pod-autoscaler-controller";

/// What a control plane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Pods on paper: everything on loopback and on free ports.
    Paper,
    /// A real node with this address, in a network of its own: pods reach the API server, and have
    /// ServiceAccounts.
    Node(Ipv4Addr),
}

/// The API server's port where there is a network of its own.
const PORT: u16 = 6443;

/// A running control plane.
pub struct ControlPlane {
    server: String,
    home: PathBuf,
    /// What a kubeconfig has as its namespace.
    namespace: &'static str,
    programs: Vec<Program>,
}

impl ControlPlane {
    /// Starts etcd and the API server below `home` and waits until it is ready.
    pub async fn start(tools: &Path, home: &Path, purpose: Purpose) -> Self {
        let [etcd, etcd_peer, free] = free_ports();
        let (address, api) = match purpose {
            Purpose::Paper => (Ipv4Addr::LOCALHOST, free),
            Purpose::Node(address) => (address, PORT),
        };
        let path = |name: &str| home.join(name).display().to_string();
        let level = match std::env::var_os(crate::LOGS_VARIABLE) {
            Some(_) => "Request",
            None => "Metadata",
        };
        let policy = AUDIT_POLICY.replace("LEVEL", level);
        std::fs::write(path("audit-policy.yaml"), policy).unwrap();
        let all_powerful = [ADMINISTRATOR, MANAGER].into_iter().chain(NODE_PARTS);
        let mut tokens: String = all_powerful
            .map(|user| format!("{user},{user},{user},\"system:masters\"\n"))
            .collect();
        tokens += &format!("{DEVELOPER},{DEVELOPER},{DEVELOPER}\n");
        std::fs::write(path("tokens.csv"), tokens).unwrap();
        let key = Command::new(tools.join("kubernetes"))
            .args(["service-account-key", &path("service-account.key")])
            .status();
        assert!(
            key.is_ok_and(|status| status.success()),
            "no key for ServiceAccounts"
        );

        let client_url = format!("http://127.0.0.1:{etcd}");
        let peer_url = format!("http://127.0.0.1:{etcd_peer}");
        let of_purpose: &[(&str, &str)] = match purpose {
            Purpose::Paper => &[
                ("bind-address", "127.0.0.1"),
                ("endpoint-reconciler-type", "none"),
                // A pod need not wait until its namespace has a ServiceAccount.
                ("disable-admission-plugins", "ServiceAccount"),
            ],
            Purpose::Node(_) => &[
                ("bind-address", "0.0.0.0"),
                ("allow-privileged", "true"),
                // The kubelet is found by its address: nobody here resolves names.
                ("kubelet-preferred-address-types", "InternalIP"),
            ],
        };
        let mut programs = vec![
            Program::component(
                tools,
                home,
                "etcd",
                &flags(&[
                    ("data-dir", &path("etcd")),
                    ("unsafe-no-fsync", "true"),
                    ("log-level", "warn"),
                    ("listen-client-urls", &client_url),
                    ("advertise-client-urls", &client_url),
                    ("listen-peer-urls", &peer_url),
                    ("initial-advertise-peer-urls", &peer_url),
                    ("initial-cluster", &format!("default={peer_url}")),
                ]),
            ),
            Program::component(
                tools,
                home,
                "kube-apiserver",
                &[
                    flags(of_purpose),
                    flags(&[
                        ("etcd-servers", &client_url),
                        ("advertise-address", &address.to_string()),
                        ("secure-port", &api.to_string()),
                        ("cert-dir", &path("certificates")),
                        ("authorization-mode", "RBAC"),
                        ("token-auth-file", &path("tokens.csv")),
                        ("service-account-issuer", "https://kubernetes.default.svc"),
                        ("service-account-key-file", &path("service-account.key")),
                        (
                            "service-account-signing-key-file",
                            &path("service-account.key"),
                        ),
                        ("service-cluster-ip-range", "203.0.113.0/24"),
                        ("audit-policy-file", &path("audit-policy.yaml")),
                        ("audit-log-path", &path("audit.log")),
                        // Requests of one test must not wait for those of another.
                        ("max-requests-inflight", "2000"),
                        ("max-mutating-requests-inflight", "1000"),
                    ]),
                ]
                .concat(),
            ),
        ];
        let mut plane = Self {
            server: format!("https://{address}:{api}"),
            home: home.to_path_buf(),
            namespace: match purpose {
                Purpose::Paper => crate::NAMESPACE,
                Purpose::Node(_) => "default",
            },
            programs: Vec::new(),
        };
        let kubeconfig = plane.kubeconfig(ADMINISTRATOR, ADMINISTRATOR);
        wait::until(
            "the API server has its certificate and is ready",
            async || {
                programs.iter_mut().for_each(Program::assert_running);
                let client = plane.client_for(&kubeconfig).await?;
                let ready = http::Request::get("/readyz").body(Vec::new()).ok()?;
                client
                    .request_text(ready)
                    .await
                    .ok()
                    .filter(|answer| answer == "ok")
            },
        )
        .await;
        plane.programs = programs;
        plane
    }

    /// Starts Kubernetes' own controllers. The CRDs are to be there before: the garbage collector
    /// looks for new kinds twice a minute only.
    pub fn start_controllers(&mut self, tools: &Path, controllers: &str) {
        let [port] = free_ports();
        let kubeconfig = self.kubeconfig(MANAGER, MANAGER);
        let path = |name: &str| self.home.join(name).display().to_string();
        let manager = Program::component(
            tools,
            &self.home,
            MANAGER,
            &flags(&[
                ("kubeconfig", &kubeconfig.display().to_string()),
                ("secure-port", &port.to_string()),
                ("bind-address", "127.0.0.1"),
                ("cert-dir", &path("certificates-manager")),
                // It would make the usual one on the machine.
                ("flex-volume-plugin-dir", &path("volume-plugins")),
                ("leader-elect", "false"),
                ("controllers", controllers),
                ("root-ca-file", &path("certificates/apiserver.crt")),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
                // An HPA decides within a test, not within minutes.
                ("horizontal-pod-autoscaler-sync-period", "2s"),
            ]),
        );
        self.programs.push(manager);
    }

    /// Its programs, so that they can be stopped and started again.
    pub fn programs(&mut self) -> &mut Vec<Program> {
        &mut self.programs
    }

    /// What its kubeconfigs say of the server: its URL, and the file with its certificate.
    pub fn server(&self) -> (&str, PathBuf) {
        (&self.server, self.home.join("certificates/apiserver.crt"))
    }

    /// The audit log's file.
    pub fn audit_log(&self) -> PathBuf {
        self.home.join("audit.log")
    }

    /// The kubeconfig of the administrator, for a person or another process.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.home.join("administrator.kubeconfig")
    }

    /// A client that may do everything.
    pub async fn admin(&self) -> Client {
        self.client_for(&self.admin_kubeconfig()).await.unwrap()
    }

    /// Writes a kubeconfig that authenticates with a token.
    pub fn kubeconfig(&self, user: &str, token: &str) -> PathBuf {
        let file = self.home.join(format!("{user}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {
                "server": self.server,
                "certificate-authority": self.server().1,
            }}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": user, "context": {
                "cluster": "lab", "user": user, "namespace": self.namespace,
            }}],
            "current-context": user,
        });
        std::fs::write(&file, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
        file
    }

    /// A client that authenticates as a kubeconfig says.
    pub async fn client_for(&self, kubeconfig: &Path) -> Option<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).ok()?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .ok()?;
        config.connect_timeout = Some(Duration::from_secs(2));
        Client::try_from(config).ok()
    }
}

pub(crate) fn flags(values: &[(&str, &str)]) -> Vec<String> {
    values
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}
