//! What the cluster said while a scenario ran, with the times: the Rollout's status, the route's
//! weights, the endpoints of the Services. Written down as it comes, judged afterwards.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tidegate::api::rollout::Rollout;
use tidegate::api::rollout_status::Phase;
use tokio::task::JoinHandle;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// When, by this process' clock, which is the load's as well.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What can be seen.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The Rollout's status.
    Status(Status),
    /// Percent that the route sends to the canary Service.
    Weight(i32),
    /// How many ready endpoints a Service has.
    Endpoints(String, usize),
}

/// What of a status matters here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// The phase.
    pub phase: Option<Phase>,
    /// Percent that the canary may have.
    pub desired: i32,
    /// Percent that the data plane is known to give it.
    pub accepted: i32,
    /// The stable version's revision.
    pub stable: i64,
    /// How many pods the spec asks for.
    pub replicas: i32,
}

/// A timeline that is being written.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at a namespace.
    #[must_use]
    pub fn start(client: &Client, namespace: &str) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let note = |seen: &Arc<Mutex<Vec<Seen>>>| {
            let seen = Arc::clone(seen);
            move |what: What| {
                let at = Timestamp::now();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Seen { at, what });
            }
        };
        let rollouts: Api<Rollout> = Api::namespaced(client.clone(), namespace);
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let routes: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
        let tasks = vec![
            tokio::spawn(of_rollout(rollouts, note(&seen))),
            tokio::spawn(of_route(routes, note(&seen))),
            tokio::spawn(of_endpoints(slices, note(&seen))),
        ];
        Self { seen, tasks }
    }

    /// What was seen so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Every object as it is and as it becomes; what cannot be read now is read again.
fn changes<K>(api: Api<K>) -> BoxStream<'static, K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(async |object| object.ok())
        .boxed()
}

async fn of_rollout(api: Api<Rollout>, note: impl Fn(What)) {
    let mut last = None;
    let mut objects = changes(api);
    while let Some(rollout) = objects.next().await {
        let replicas = rollout.spec.replicas;
        let Some(status) = rollout.status else {
            continue;
        };
        let traffic = status.traffic.unwrap_or_default();
        let status = Status {
            phase: status.phase,
            desired: traffic.desired,
            accepted: traffic.accepted,
            stable: status.stable.map_or(0, |stable| stable.revision),
            replicas,
        };
        if last.as_ref() != Some(&status) {
            last = Some(status.clone());
            note(What::Status(status));
        }
    }
}

async fn of_route(api: Api<DynamicObject>, note: impl Fn(What)) {
    let mut last = None;
    let mut objects = changes(api);
    while let Some(route) = objects.next().await {
        let Some(weight) = weight(&route) else {
            continue;
        };
        if last != Some(weight) {
            last = Some(weight);
            note(What::Weight(weight));
        }
    }
}

/// Percent of the first rule that goes to the Service `canary`.
fn weight(route: &DynamicObject) -> Option<i32> {
    let backends = route
        .data
        .pointer("/spec/rules/0/backendRefs")?
        .as_array()?;
    let of = |name: &str| {
        let mut backends = backends.iter();
        let found = backends.find(|backend| backend["name"] == name);
        found.map_or(0, |backend| backend["weight"].as_i64().unwrap_or(1))
    };
    let (stable, canary) = (of("stable"), of("canary"));
    i32::try_from(canary * 100 / (stable + canary).max(1)).ok()
}

async fn of_endpoints(api: Api<EndpointSlice>, note: impl Fn(What)) {
    let mut slices: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut objects = changes(api);
    while let Some(slice) = objects.next().await {
        let service = slice.labels().get("kubernetes.io/service-name").cloned();
        let Some(service) = service else { continue };
        let ready = slice.endpoints.iter().filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|c| c.ready).unwrap_or(true)
        });
        slices.insert(slice.name_any(), (service.clone(), ready.count()));
        let of_service = slices.values().filter(|(name, _)| *name == service);
        let ready = of_service.map(|(_, ready)| ready).sum();
        if last.insert(service.clone(), ready) != Some(ready) {
            note(What::Endpoints(service, ready));
        }
    }
}
