//! What makes the cluster live: ReplicaSets, pods, endpoints, routes.

use super::{Time, replica_set, server_with_time, until};
use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::sim::apiserver::{
    ApiServer,
    workloads::{PodBehaviour, Workloads, WorkloadsConfig},
};

struct Cluster {
    server: ApiServer,
    time: Time,
    workloads: Workloads,
    sets: Api<ReplicaSet>,
    pods: Api<Pod>,
}

fn cluster(config: WorkloadsConfig) -> Cluster {
    let (server, time) = server_with_time();
    let client: Client = server.client("shop");
    Cluster {
        workloads: Workloads::new(&server, config),
        sets: Api::default_namespaced(client.clone()),
        pods: Api::default_namespaced(client),
        server,
        time,
    }
}

fn ready_after(seconds: u64) -> WorkloadsConfig {
    WorkloadsConfig {
        behaviour: Arc::new(move |_| PodBehaviour::ReadyAfter(Duration::from_secs(seconds))),
        termination: Duration::from_secs(2),
        ..Default::default()
    }
}

impl Cluster {
    /// Lets time pass and everything due happen.
    fn pass(&self, seconds: i64) {
        let now = self.time.pass(seconds);
        while self.workloads.tick(now) {}
    }

    async fn status(&self, name: &str) -> ReplicaSetStatus {
        self.sets.get(name).await.unwrap().status.unwrap()
    }

    async fn scale(&self, name: &str, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.sets
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

fn counts(status: &ReplicaSetStatus) -> (i32, i32, i32) {
    (
        status.replicas,
        status.ready_replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0),
    )
}

#[tokio::test]
async fn a_replica_set_brings_its_pods_up_and_counts_them() {
    let cluster = cluster(ready_after(5));
    let mut set = replica_set("r", 3);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(10);
    cluster
        .sets
        .create(&PostParams::default(), &set)
        .await
        .unwrap();
    cluster.pass(0);
    assert_eq!(counts(&cluster.status("r").await), (3, 0, 0));
    cluster.pass(4);
    assert_eq!(counts(&cluster.status("r").await), (3, 0, 0));
    cluster.pass(1);
    assert_eq!(counts(&cluster.status("r").await), (3, 3, 0));
    cluster.pass(10);
    let status = cluster.status("r").await;
    assert_eq!(counts(&status), (3, 3, 3));
    assert_eq!(
        (status.observed_generation, status.fully_labeled_replicas),
        (Some(1), Some(3))
    );
    let version = cluster.server.store().version();
    cluster.pass(3600);
    assert_eq!(
        cluster.server.store().version(),
        version,
        "nothing is due, nothing is written"
    );

    let pods = cluster.pods.list(&Default::default()).await.unwrap().items;
    let owner = &pods[0].owner_references()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller),
        ("ReplicaSet", Some(true))
    );
    assert!(pods[0].name_any().starts_with("r-"));
}

#[tokio::test]
async fn scaling_down_takes_the_unready_first_and_ends_after_the_grace() {
    let ill = Arc::new(Mutex::new(String::new()));
    let who = Arc::clone(&ill);
    let cluster = cluster(WorkloadsConfig {
        behaviour: Arc::new(move |pod| match pod.name_any() == *who.lock().unwrap() {
            true => PodBehaviour::CrashLoop,
            false => PodBehaviour::ReadyAfter(Duration::ZERO),
        }),
        ..ready_after(0)
    });
    cluster
        .sets
        .create(&PostParams::default(), &replica_set("r", 3))
        .await
        .unwrap();
    cluster.pass(1);
    assert_eq!(counts(&cluster.status("r").await), (3, 3, 3));
    let first = cluster.pods.list(&Default::default()).await.unwrap().items[0].name_any();
    first.clone_into(&mut ill.lock().unwrap());
    cluster.pass(1);
    assert_eq!(counts(&cluster.status("r").await), (3, 2, 2));
    let crashing = cluster.pods.get(&first).await.unwrap().status.unwrap();
    let container = &crashing.container_statuses.unwrap()[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));

    cluster.scale("r", 2).await;
    cluster.pass(0);
    assert_eq!(counts(&cluster.status("r").await), (2, 2, 2));
    let going = cluster.pods.get(&first).await.unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    cluster.pass(2);
    assert!(cluster.pods.get_opt(&first).await.unwrap().is_none());
    cluster
        .sets
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    cluster.pass(0);
    cluster.pass(2);
    assert_eq!(
        cluster.server.store().list("pods", "shop"),
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn a_service_sends_to_ready_pods_and_its_slice_says_so() {
    let cluster = cluster(ready_after(5));
    cluster
        .sets
        .create(&PostParams::default(), &replica_set("r", 2))
        .await
        .unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"selector": {"app": "r"}, "ports": [{"port": 80, "targetPort": "http"}]},
    });
    cluster.server.add(service).unwrap();
    cluster.pass(1);
    assert_eq!(cluster.workloads.ready_pods("shop", "r"), []);
    cluster.pass(5);
    let ready = cluster.workloads.ready_pods("shop", "r");
    assert_eq!(ready.len(), 2);
    assert_eq!(ready[0].labels["app"], "r");
    let slices = cluster
        .server
        .store()
        .list("endpointslices.discovery.k8s.io", "shop");
    let [slice] = slices.as_slice() else {
        panic!("{slices:?}")
    };
    assert_eq!(
        slice["metadata"]["labels"]["kubernetes.io/service-name"],
        "r"
    );
    assert_eq!(slice["ports"][0]["port"], 8080);
    assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
    cluster.scale("r", 1).await;
    cluster.pass(0);
    assert_eq!(cluster.workloads.ready_pods("shop", "r").len(), 1);
}

#[tokio::test]
async fn a_route_is_accepted_for_each_generation_after_a_while() {
    let cluster = cluster(WorkloadsConfig {
        route_delay: Duration::from_secs(3),
        ..Default::default()
    });
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"parentRefs": [{"name": "gateway"}],
                 "rules": [{"backendRefs": [{"name": "stable", "port": 80}]}]},
    });
    cluster.server.add(route).unwrap();
    let condition = |kind: &str| {
        let route = cluster
            .server
            .store()
            .get("httproutes.gateway.networking.k8s.io", "shop", "r");
        let route = route.unwrap();
        let list = route["status"]["parents"][0]["conditions"]
            .as_array()
            .cloned();
        let found = list.into_iter().flatten().find(|c| c["type"] == kind);
        found.map(|c| {
            (
                c["status"].clone(),
                c["reason"].clone(),
                c["observedGeneration"].clone(),
            )
        })
    };
    cluster.pass(0);
    assert_eq!(condition("Accepted"), None);
    cluster.pass(3);
    assert_eq!(
        condition("Accepted"),
        Some((json!("True"), json!("Accepted"), json!(1)))
    );
    let missing = Some((json!("False"), json!("BackendNotFound"), json!(1)));
    assert_eq!(condition("ResolvedRefs"), missing);
    cluster.server.add(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stable", "namespace": "shop"},
        "spec": {"ports": [{"port": 80}]},
    }))
    .unwrap();
    cluster.pass(0);
    let resolved = Some((json!("True"), json!("ResolvedRefs"), json!(1)));
    assert_eq!(condition("ResolvedRefs"), resolved);
}

#[tokio::test]
async fn the_controllers_run_by_themselves_too() {
    let cluster = cluster(ready_after(0));
    let Cluster {
        server,
        workloads,
        sets,
        time,
        ..
    } = cluster;
    let running = tokio::spawn(async move { workloads.run(Duration::from_millis(5)).await });
    sets.create(&PostParams::default(), &replica_set("r", 1))
        .await
        .unwrap();
    until("a ready pod", async || {
        time.pass(1);
        sets.get("r").await.unwrap().status.unwrap().ready_replicas == Some(1)
    })
    .await;
    running.abort();
    assert_eq!(server.store().list("pods", "shop").len(), 1);
}
