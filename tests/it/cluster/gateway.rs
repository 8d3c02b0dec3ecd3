//! A Gateway API implementation on paper: it accepts the HTTPRoutes of the cluster after a moment,
//! says so in their status, and routes by what it has accepted, not by what was written last.

use futures::TryStreamExt;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// From a written weight to one that the data plane serves.
const ACCEPTS_AFTER: Duration = Duration::from_millis(200);

/// A route with this annotation and the value `stuck` is never accepted again.
const ANNOTATION: &str = "lab.tidegate.io/gateway";

/// A route's namespace and name.
pub type RouteKey = (String, String);

/// One route as the data plane serves it.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Its annotations, which say how much traffic comes in.
    pub annotations: BTreeMap<String, String>,
    /// For each rule the backends: a Service's name and its weight.
    pub rules: Vec<Vec<(String, u64)>>,
}

/// What is served now.
#[derive(Clone, Default)]
pub struct Routes(Arc<Mutex<BTreeMap<RouteKey, Served>>>);

impl Routes {
    /// The routes as they are served at this moment.
    pub fn served(&self) -> BTreeMap<RouteKey, Served> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RouteKey, Served>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running gateway controller; it ends when this is dropped.
pub struct Gateway {
    routes: Routes,
    task: JoinHandle<()>,
}

/// The kind that it looks after.
pub fn http_route() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"),
        "httproutes",
    )
}

impl Gateway {
    /// Starts to accept routes. Their CRD must be there.
    pub fn start(client: &Client) -> Self {
        let routes = Routes::default();
        let task = tokio::spawn(run(client.clone(), routes.clone()));
        Self { routes, task }
    }

    /// What it serves.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: Client, routes: Routes) {
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &http_route());
    let events = watcher::watcher(all, watcher::Config::default()).default_backoff();
    let handled = events.try_for_each(|event| {
        match event {
            Event::Apply(route) | Event::InitApply(route) => {
                if route
                    .annotations()
                    .get(ANNOTATION)
                    .is_none_or(|value| value != "stuck")
                {
                    tokio::spawn(accept(client.clone(), routes.clone(), route));
                }
            }
            Event::Delete(route) => {
                routes.lock().remove(&key(&route));
            }
            Event::Init | Event::InitDone => {}
        }
        std::future::ready(Ok(()))
    });
    if let Err(error) = handled.await {
        eprintln!("gateway: the watch ended: {error}");
    }
}

fn key(route: &DynamicObject) -> RouteKey {
    (route.namespace().unwrap_or_default(), route.name_any())
}

/// Accepts a route's generation: serves it, then reports it.
async fn accept(client: Client, routes: Routes, route: DynamicObject) {
    let generation = route.metadata.generation.unwrap_or_default();
    let accepted = route
        .data
        .pointer("/status/parents/0/conditions/0/observedGeneration");
    if accepted.and_then(Value::as_i64) == Some(generation) {
        return;
    }
    tokio::time::sleep(ACCEPTS_AFTER).await;
    let namespaced: Api<DynamicObject> = Api::namespaced_with(
        client,
        &route.namespace().unwrap_or_default(),
        &http_route(),
    );
    let Ok(Some(newest)) = namespaced.get_opt(&route.name_any()).await else {
        return;
    };
    if newest.metadata.generation != Some(generation) {
        return; // A newer one is on its way through here.
    }
    let served = Served {
        annotations: newest.annotations().clone(),
        rules: rules(&newest.data),
    };
    routes.lock().insert(key(&route), served);

    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": "",
            "observedGeneration": generation, "lastTransitionTime": Timestamp::now(),
        })
    };
    let parents: Vec<Value> = newest
        .data
        .pointer("/spec/parentRefs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|parent| {
            json!({
                "parentRef": parent,
                "controllerName": "lab.tidegate.io/gateway",
                "conditions": [condition("Accepted"), condition("ResolvedRefs")],
            })
        })
        .collect();
    let patch = Patch::Merge(json!({"status": {"parents": parents}}));
    let written = namespaced
        .patch_status(&route.name_any(), &PatchParams::default(), &patch)
        .await;
    if let Err(error) = written {
        eprintln!("gateway: {}: {error}", route.name_any());
    }
}

fn rules(route: &Value) -> Vec<Vec<(String, u64)>> {
    let list = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let spec = route.get("spec").cloned().unwrap_or_default();
    list(&spec, "rules")
        .iter()
        .map(|rule| {
            list(rule, "backendRefs")
                .iter()
                .filter_map(|backend| {
                    let name = backend.get("name")?.as_str()?.to_owned();
                    Some((
                        name,
                        backend.get("weight").and_then(Value::as_u64).unwrap_or(1),
                    ))
                })
                .collect()
        })
        .collect()
}
