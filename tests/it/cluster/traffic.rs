//! The traffic of the tests: requests on paper that go where the routes and Services of the
//! cluster send them, counted by the pods that would have answered.
//!
//! An HTTPRoute, an Ingress or a Service with the annotation [`RATE`] is an entrance for so many
//! requests a second. From there on the cluster's own objects decide: the weights that the gateway
//! has accepted, the Services' EndpointSlices, the pods' readiness. A request that finds no ready
//! pod is lost, and counted as that.

use super::gateway::Routes;
use super::version::{Behaviour, image};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Requests per second that come in at the object that has this annotation.
pub const RATE: &str = "lab.tidegate.io/requests-per-second";

/// How often traffic is sent on its way: a weight is felt within this time, which is well below the
/// time between two scrapes.
const TICK: Duration = Duration::from_millis(100);

/// Where ingress-nginx writes that an Ingress is a canary, and its share.
const NGINX_CANARY: &str = "nginx.ingress.kubernetes.io/canary";
const NGINX_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// A pod's namespace and name.
pub type PodKey = (String, String);

/// What one pod has answered since it started.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The pod's labels, by which Prometheus tells versions apart.
    pub labels: BTreeMap<String, String>,
    /// Its address.
    pub address: String,
    /// Its first container's image.
    pub image: String,
    /// The version of the object from which these are.
    read_from: Option<String>,
    /// Requests answered with 200.
    pub good: u64,
    /// Requests answered with 500.
    pub bad: u64,
    /// Parts of a request, kept until they are one.
    due: f64,
    due_bad: f64,
}

/// What a namespace's entrances have seen since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests by the version (image) that answered.
    pub by_image: BTreeMap<String, u64>,
    /// Requests answered with 500.
    pub bad: u64,
    /// Requests that found no ready pod.
    pub lost: u64,
}

impl Totals {
    /// All requests that came in.
    pub fn requests(&self) -> u64 {
        self.by_image.values().sum::<u64>() + self.lost
    }
}

#[derive(Default)]
struct Counters {
    pods: BTreeMap<PodKey, Answered>,
    namespaces: BTreeMap<String, Totals>,
    lost_due: BTreeMap<String, f64>,
}

/// Flowing traffic; it ends when this is dropped.
pub struct Traffic {
    counters: Arc<Mutex<Counters>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts to send requests by what the cluster says.
    pub fn start(client: &Client, routes: Routes) -> Self {
        let mut tasks = Vec::new();
        let view = View {
            pods: stored(client, &mut tasks),
            services: stored(client, &mut tasks),
            slices: stored(client, &mut tasks),
            ingresses: stored(client, &mut tasks),
            routes,
        };
        let counters = Arc::<Mutex<Counters>>::default();
        tasks.push(tokio::spawn(flow(view, Arc::clone(&counters))));
        Self { counters, tasks }
    }

    /// What a namespace's entrances have seen.
    pub fn totals(&self, namespace: &str) -> Totals {
        lock(&self.counters)
            .namespaces
            .get(namespace)
            .cloned()
            .unwrap_or_default()
    }

    /// What every living pod has answered.
    pub fn answered(&self) -> Answers {
        Answers(Arc::clone(&self.counters))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What the pods have answered, for the exporter.
#[derive(Clone)]
pub struct Answers(Arc<Mutex<Counters>>);

impl Answers {
    /// Every pod that was ever ready and still exists.
    pub fn pods(&self) -> BTreeMap<PodKey, Answered> {
        lock(&self.0).pods.clone()
    }

    /// One of them.
    pub fn pod(&self, key: &PodKey) -> Option<Answered> {
        lock(&self.0).pods.get(key).cloned()
    }
}

fn lock(counters: &Mutex<Counters>) -> MutexGuard<'_, Counters> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cluster's objects that decide where a request goes.
struct View {
    pods: Store<Pod>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    ingresses: Store<Ingress>,
    routes: Routes,
}

fn stored<K>(client: &Client, tasks: &mut Vec<JoinHandle<()>>) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: serde::de::DeserializeOwned,
{
    let (store, writer) = reflector::store();
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    let filled = events
        .default_backoff()
        .reflect(writer)
        .for_each(|_| std::future::ready(()));
    tasks.push(tokio::spawn(filled));
    store
}

async fn flow(view: View, counters: Arc<Mutex<Counters>>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        let now = Instant::now();
        let seconds = (now - last).as_secs_f64();
        last = now;
        let pods = view.ready_pods();
        let shares = view.shares();
        let mut counters = lock(&counters);
        counters.remember(&view.pods.state());
        for ((namespace, service), rate) in shares {
            let key = (namespace, service);
            let behind = pods.get(&key).map_or(&[][..], Vec::as_slice);
            counters.send(&key.0, behind, rate * seconds);
        }
    }
}

impl View {
    /// The pods that are ready, for each Service.
    fn ready_pods(&self) -> BTreeMap<(String, String), Vec<String>> {
        let mut pods = BTreeMap::<_, Vec<String>>::new();
        for slice in self.slices.state() {
            let Some(service) = slice.labels().get("kubernetes.io/service-name") else {
                continue;
            };
            let key = (slice.namespace().unwrap_or_default(), service.clone());
            let ready = slice.endpoints.iter().filter(|endpoint| {
                endpoint
                    .conditions
                    .as_ref()
                    .and_then(|conditions| conditions.ready)
                    == Some(true)
            });
            let names = ready.filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone());
            pods.entry(key).or_default().extend(names);
        }
        pods
    }

    /// Requests per second for each Service, from every entrance.
    fn shares(&self) -> BTreeMap<(String, String), f64> {
        let mut shares = BTreeMap::new();
        let mut add = |namespace: &str, service: &str, rate: f64| {
            *shares
                .entry((namespace.to_owned(), service.to_owned()))
                .or_insert(0.0) += rate;
        };
        for ((namespace, _), route) in self.routes.served() {
            let Some(rate) = rate(&route.annotations) else {
                continue;
            };
            let rules = route.rules.iter().filter(|backends| !backends.is_empty());
            let rate = rate / rules.clone().count().max(1) as f64;
            for backends in rules {
                let sum = backends
                    .iter()
                    .map(|(_, weight)| weight)
                    .sum::<u64>()
                    .max(1) as f64;
                for (service, weight) in backends.iter().filter(|(_, weight)| *weight > 0) {
                    add(&namespace, service, rate * *weight as f64 / sum);
                }
            }
        }
        for service in self.services.state() {
            if let Some(rate) = rate(service.annotations()) {
                add(
                    &service.namespace().unwrap_or_default(),
                    &service.name_any(),
                    rate,
                );
            }
        }
        let ingresses = self.ingresses.state();
        for entrance in &ingresses {
            let Some(rate) = rate(entrance.annotations()) else {
                continue;
            };
            let Some((host, stable)) = backend(entrance) else {
                continue;
            };
            let namespace = entrance.namespace().unwrap_or_default();
            let canary = ingresses.iter().find(|other| {
                other.namespace() == entrance.namespace()
                    && other
                        .annotations()
                        .get(NGINX_CANARY)
                        .is_some_and(|value| value == "true")
                    && backend(other).is_some_and(|(other, _)| other == host)
            });
            let weight = canary
                .and_then(|canary| canary.annotations().get(NGINX_WEIGHT)?.parse::<f64>().ok())
                .map_or(0.0, |weight| weight / 100.0);
            add(&namespace, &stable, rate * (1.0 - weight));
            if let Some((_, service)) = canary.and_then(|canary| backend(canary))
                && weight > 0.0
            {
                add(&namespace, &service, rate * weight);
            }
        }
        shares
    }
}

fn rate(annotations: &BTreeMap<String, String>) -> Option<f64> {
    annotations.get(RATE)?.parse().ok()
}

/// An Ingress's first host and the Service behind it.
fn backend(ingress: &Ingress) -> Option<(Option<String>, String)> {
    let rule = ingress.spec.as_ref()?.rules.as_ref()?.first()?;
    let path = rule.http.as_ref()?.paths.first()?;
    Some((
        rule.host.clone(),
        path.backend.service.as_ref()?.name.clone(),
    ))
}

impl Counters {
    /// Takes up new pods and forgets those that are gone, with their counters, as a scrape would.
    fn remember(&mut self, pods: &[Arc<Pod>]) {
        let mut known = std::mem::take(&mut self.pods);
        for pod in pods {
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
            let Some(address) = address else { continue };
            let key = (pod.namespace().unwrap_or_default(), pod.name_any());
            let mut answered = known.remove(&key).unwrap_or_default();
            if answered.read_from.is_none() || answered.read_from != pod.resource_version() {
                answered.labels = pod.labels().clone();
                answered.address = address;
                answered.image = image(pod);
                answered.read_from = pod.resource_version();
            }
            self.pods.insert(key, answered);
        }
    }

    fn send(&mut self, namespace: &str, pods: &[String], requests: f64) {
        let totals = self.namespaces.entry(namespace.to_owned()).or_default();
        if pods.is_empty() {
            let due = self.lost_due.entry(namespace.to_owned()).or_default();
            *due += requests;
            totals.lost += whole(due);
            return;
        }
        let each = requests / pods.len() as f64;
        for pod in pods {
            let Some(answered) = self.pods.get_mut(&(namespace.to_owned(), pod.clone())) else {
                // The slice still names a pod that is gone: its request meets nobody.
                let due = self.lost_due.entry(namespace.to_owned()).or_default();
                *due += each;
                totals.lost += whole(due);
                continue;
            };
            answered.due += each;
            let now = whole(&mut answered.due);
            let errors_percent = Behaviour::of(&answered.image).errors_percent;
            answered.due_bad += now as f64 * f64::from(errors_percent) / 100.0;
            let bad = whole(&mut answered.due_bad).min(now);
            answered.bad += bad;
            answered.good += now - bad;
            totals.bad += bad;
            *totals.by_image.entry(answered.image.clone()).or_default() += now;
        }
    }
}

/// Takes the whole requests out of what is due.
fn whole(due: &mut f64) -> u64 {
    let now = due.floor();
    *due -= now;
    now as u64
}
