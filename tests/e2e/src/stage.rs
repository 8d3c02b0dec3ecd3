//! What all scenarios run on: the cluster, seen from inside its network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tidegate_lab::audit::Audit;
use tidegate_lab::node::control::{Action, act};
use tidegate_lab::node::state::State;
use tidegate_lab::node::{ADDRESS, GIT_PORT, NODE, cluster, tidegate};
use tidegate_lab::objects::{apply, objects};
use tidegate_lab::{MANAGER, NAMESPACE, wait};
use tidegate_load_tests::load::Report;
use tokio::process::Command;

use crate::usage::{self, Usage};

/// Whose writes are counted.
const CONTROLLER: &str = "system:serviceaccount:tidegate-system:tidegate";

/// The cluster.
#[derive(Clone)]
pub struct Stage {
    pub client: Client,
    state: State,
    audit: Audit,
}

impl Stage {
    /// Enters a running cluster; the calling thread is in its network already.
    pub async fn enter(state: &State) -> Result<Self, String> {
        Ok(Self {
            client: cluster::client(state).await?,
            audit: Audit::of(state.path("audit.log")),
            state: state.clone(),
        })
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        made.unwrap_or_else(|error| panic!("namespace {name}: {error}"));
    }

    /// Applies manifests.
    pub async fn apply(&self, namespace: &str, manifests: &str) {
        for object in objects(manifests).unwrap() {
            if let Err(error) = apply(&self.client, namespace, &object, MANAGER).await {
                panic!("{:?} is refused: {error}", object.metadata.name);
            }
        }
    }

    /// The folder of the Git server's repositories, and its URL.
    pub fn git(&self) -> (PathBuf, String) {
        (
            self.state.path("git"),
            format!("http://{ADDRESS}:{GIT_PORT}/"),
        )
    }

    /// Kills, stops or starts one of the cluster's programs.
    pub async fn program(&self, name: &str, action: Action) {
        let done = act(name, action).await;
        done.unwrap_or_else(|error| panic!("{action:?} {name}: {error}"));
    }

    /// Kills the controller as a machine that loses power would: nothing is given back, nothing is
    /// finished. Returns when another one is ready.
    pub async fn kill_controller(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let ours = ListParams::default().labels("app.kubernetes.io/component=controller");
        let names = |list: Vec<Pod>| {
            list.into_iter()
                .map(|pod| pod.name_any())
                .collect::<Vec<_>>()
        };
        let killed = names(pods.list(&ours).await.unwrap().items);
        for name in &killed {
            let at_once = DeleteParams::default().grace_period(0);
            let _ = pods.delete(name, &at_once).await;
        }
        wait::until("another controller is ready", async || {
            let list = pods.list(&ours).await.ok()?.items;
            let fresh = list
                .into_iter()
                .filter(|pod| !killed.contains(&pod.name_any()));
            let mut ready = fresh.filter(cluster::is_ready);
            ready.next().map(drop)
        })
        .await;
    }

    /// Replaces the controller by that of another image, as `helm upgrade` does.
    pub async fn replace_controller(&self, tag: &str) {
        let done = tidegate::replace(&self.state, &self.client, tag).await;
        done.unwrap_or_else(|error| panic!("{tag}: {error}"));
    }

    /// What the controller has used so far, by the kubelet's account; by pod, because it counts anew
    /// with each.
    pub async fn usage(&self) -> BTreeMap<String, Usage> {
        let path = format!("/api/v1/nodes/{NODE}/proxy/metrics/resource");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let text = self.client.request_text(request).await;
        usage::read(&text.unwrap_or_else(|error| panic!("the kubelet's metrics: {error}")))
    }

    /// How often the controller wrote in a namespace to bring versions out: evidence and Reverts
    /// aside.
    pub fn writes(&self, namespace: &str) -> u64 {
        let writes = self.audit.writes(CONTROLLER, namespace);
        let apart = |action: &str| action.contains(" analysisruns") || action.contains(" reverts");
        writes.only(|action| !apart(action)).total()
    }

    /// Keeps what is there of a scenario that failed: the objects, the events, the programs' and
    /// Tidegate's logs, the load's report.
    pub async fn save(&self, namespace: &str, folder: &Path, report: Option<&Report>) {
        let kubectl = self.state.path("bin/kubectl");
        let kinds = "rollouts,analysisruns,reverts,replicasets,pods,services,httproutes,endpointslices,events";
        let calls: [(&str, Vec<&str>); 3] = [
            (
                "objects.yaml",
                vec!["get", kinds, "-n", namespace, "-o", "yaml"],
            ),
            (
                "tidegate.log",
                vec![
                    "logs",
                    "-n",
                    NAMESPACE,
                    "--selector=app.kubernetes.io/component=controller",
                    "--prefix",
                    "--tail=2000",
                ],
            ),
            (
                "git-writer.log",
                vec![
                    "logs",
                    "-n",
                    NAMESPACE,
                    "deployment/tidegate-git-writer",
                    "--tail=500",
                ],
            ),
        ];
        if let Err(error) = std::fs::create_dir_all(folder) {
            eprintln!("{}: {error}", folder.display());
            return;
        }
        for (file, arguments) in calls {
            let output = Command::new(&kubectl)
                .args(arguments)
                .env("KUBECONFIG", self.state.kubeconfig())
                .output()
                .await;
            let text = match output {
                Ok(output) => [output.stdout, output.stderr].concat(),
                Err(error) => error.to_string().into_bytes(),
            };
            let _ = std::fs::write(folder.join(file), text);
        }
        if let Some(report) = report.and_then(|report| serde_json::to_vec_pretty(report).ok()) {
            let _ = std::fs::write(folder.join("load.json"), report);
        }
        eprintln!("what was there is in {}", folder.display());
    }

    /// Removes a scenario's namespace; its pods would take the machine from the next one.
    pub async fn forget(&self, namespace: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        wait::until_ok(&format!("the pods of {namespace} are gone"), async || {
            let pods = pods.list(&ListParams::default()).await;
            let left = pods.map_err(|error| error.to_string())?.items.len();
            if left == 0 {
                Ok(())
            } else {
                Err(left.to_string())
            }
        })
        .await;
    }
}
