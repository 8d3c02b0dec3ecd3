//! A kubelet on paper: it binds every pod to the one node, reports it running and ready as its
//! version behaves, and ends it when it is deleted. No container runs.

use super::version::{Behaviour, Start, image};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The node that every pod runs on.
const NODE: &str = "lab-node";

/// How long a deleted pod goes on answering before it ends, as an application with a drain does:
/// long enough for every EndpointSlice to have forgotten it, on a busy machine too.
const DRAIN: Duration = Duration::from_secs(2);

/// A running kubelet; it ends when this is dropped.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Registers the node and starts to look after pods.
    pub async fn start(client: &Client) -> Self {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "OnPaper"}]},
        });
        let nodes: Api<Node> = Api::all(client.clone());
        let node: Node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        nodes
            .replace_status(NODE, &PostParams::default(), &{
                let mut stored = nodes.get(NODE).await.unwrap();
                stored.status = node.status.clone();
                stored
            })
            .await
            .unwrap();
        let work = Work {
            client: client.clone(),
            begun: Arc::default(),
            addresses: Arc::new(AtomicU32::new(0)),
        };
        Self(tokio::spawn(work.run()))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The steps in a pod's life that the kubelet takes, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Bind,
    Run,
    End,
}

#[derive(Clone)]
struct Work {
    client: Client,
    begun: Arc<Mutex<BTreeSet<(String, Stage)>>>,
    addresses: Arc<AtomicU32>,
}

impl Work {
    async fn run(self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let events = watcher(pods, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let handled = events.try_for_each(|pod| {
            self.see(pod);
            std::future::ready(Ok(()))
        });
        if let Err(error) = handled.await {
            eprintln!("kubelet: the watch ended: {error}");
        }
    }

    /// Takes the step that is due, on a task of its own: one slow pod holds up no other.
    fn see(&self, pod: Pod) {
        let bound = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.node_name.is_some());
        let pending = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Pending");
        let stage = if pod.metadata.deletion_timestamp.is_some() {
            Stage::End
        } else if !bound {
            Stage::Bind
        } else if pending {
            Stage::Run
        } else {
            return;
        };
        let Some(uid) = pod.uid() else { return };
        if self
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((uid, stage))
        {
            let work = self.clone();
            tokio::spawn(async move {
                if let Err(error) = work.take(stage, &pod).await {
                    // A pod that went meanwhile needs nothing any more.
                    if !matches!(&error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
                    {
                        eprintln!("kubelet: {stage:?} {}: {error}", pod.name_any());
                    }
                }
            });
        }
    }

    async fn take(&self, stage: Stage, pod: &Pod) -> Result<(), kube::Error> {
        let name = pod.name_any();
        let pods: Api<Pod> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        match stage {
            Stage::Bind => {
                let binding = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
                });
                let create = PostParams::default();
                pods.create_subresource::<Value, Value>("binding", &name, &create, &binding)
                    .await?;
            }
            Stage::Run => match Behaviour::of(&image(pod)).start {
                Start::Ready(after) => {
                    self.report(&pods, pod, &State::Starting).await?;
                    tokio::time::sleep(after).await;
                    self.report(&pods, pod, &State::Ready).await?;
                }
                Start::NeverReady => self.report(&pods, pod, &State::Starting).await?,
                Start::Crash => self.report(&pods, pod, &State::Crashing).await?,
            },
            Stage::End => {
                tokio::time::sleep(DRAIN).await;
                let now = DeleteParams {
                    grace_period_seconds: Some(0),
                    preconditions: Some(Preconditions {
                        uid: pod.uid(),
                        resource_version: None,
                    }),
                    ..DeleteParams::default()
                };
                pods.delete(&name, &now).await?;
            }
        }
        Ok(())
    }

    async fn report(&self, pods: &Api<Pod>, pod: &Pod, state: &State) -> Result<(), kube::Error> {
        let (ready, container) = match state {
            State::Starting => ("False", json!({"running": {"startedAt": Timestamp::now()}})),
            State::Ready => ("True", json!({"running": {"startedAt": Timestamp::now()}})),
            State::Crashing => ("False", json!({"waiting": {"reason": "CrashLoopBackOff"}})),
        };
        let restarts = if matches!(state, State::Crashing) {
            3
        } else {
            0
        };
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": Timestamp::now()});
        let containers: Vec<Value> = pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .map(|spec| {
                json!({
                    "name": spec.name, "image": spec.image, "imageID": spec.image,
                    "ready": ready == "True", "restartCount": restarts, "state": container,
                })
            })
            .collect();
        let mut status = json!({
            "phase": "Running",
            "conditions": [
                condition("PodScheduled", "True"),
                condition("Initialized", "True"),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "containerStatuses": containers,
        });
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        if address.is_none() && ready == "False" {
            let number = self.addresses.fetch_add(1, Ordering::Relaxed);
            // Shared address space (RFC 6598): these addresses exist on paper only.
            let address = format!("100.64.{}.{}", number / 250 % 250, number % 250 + 1);
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{"ip": address}]);
            status["hostIP"] = json!("192.0.2.1");
            status["startTime"] = json!(Timestamp::now());
        }
        let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid()}, "status": status}));
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

enum State {
    Starting,
    Ready,
    Crashing,
}
