//! The in-memory API server, asked by the clients that will use it. What it answers in detail is
//! the conformance script's subject; here is what needs a real client, time or faults.

mod faults;
mod kubectl;
mod objects;
mod watching;
mod workloads;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::ConfigMap};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

fn server() -> ApiServer {
    ApiServer::new(ApiServerConfig::default().with_crds(&tidegate::api::crds())).unwrap()
}

/// A server whose time stands still until it is moved.
fn server_with_time() -> (ApiServer, Time) {
    let time = Time::default();
    let clock = time.clone();
    let config = ApiServerConfig {
        clock: Arc::new(move || clock.now()),
        ..Default::default()
    };
    (
        ApiServer::new(config.with_crds(&tidegate::api::crds())).unwrap(),
        time,
    )
}

/// A clock that a test moves.
#[derive(Clone)]
struct Time(Arc<Mutex<Timestamp>>);

impl Default for Time {
    fn default() -> Self {
        Time(Arc::new(Mutex::new(
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )))
    }
}

impl Time {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn pass(&self, seconds: i64) -> Timestamp {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        *now
    }
}

fn config_map(name: &str, data: &Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

fn labelled(name: &str, label: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": label}}})).unwrap()
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "shop")
}

fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "app", "image": "example.com/app:1",
                    "ports": [{"name": "http", "containerPort": 8080}],
                }]},
            },
        },
    }))
    .unwrap()
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer of the API: {other}"),
    }
}

/// Waits until the condition holds; fails with what it was waiting for.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came: {what}");
}
