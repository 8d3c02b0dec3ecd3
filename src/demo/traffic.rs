//! The data plane: requests that flow by the weights that the HTTPRoute says, through the Services'
//! selectors, to the ready pods, and what those pods answer.
//!
//! It sees a change of the cluster a little later than it happens, as every data plane does. Each
//! version's share of errors is decided by its image's tag; see [`errors_per_million`]. Nothing here
//! knows Tidegate: it reads routes, Services and pods, and it counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::series::Labels;
use crate::api::rollout::HASH_LABEL;
use crate::sim::apiserver::ApiServer;
use crate::sim::random::Random;

/// Requests for each second. With 0.1 % of them bad, it takes tens of thousands of requests to show
/// that a version is good enough for half and for all of the traffic; this many come together in one
/// window of the analysis.
pub const REQUESTS_PER_SECOND: u64 = 16_000;
/// How long a change of the cluster takes to reach the proxies.
pub const LAG: Duration = Duration::from_millis(300);
/// Time between two rounds of requests.
const TICK: Duration = Duration::from_millis(50);
/// Longest time that one round makes up for: a machine that slept does not answer for it.
const CATCH_UP: Duration = Duration::from_millis(500);
/// The seed of the traffic: the same in every run.
const SEED: u64 = 20_261_121;

/// How many requests in a million a version answers with an error.
#[must_use]
pub fn errors_per_million(image: &str) -> u64 {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    if tag == "v3" || tag.ends_with("-bad") {
        BAD
    } else {
        GOOD
    }
}

/// Errors of a good version: 0.1 %.
const GOOD: u64 = 1_000;
/// Errors of a bad version: 8 %.
const BAD: u64 = 80_000;

/// Which namespace and route are served.
#[derive(Debug, Clone, Copy)]
pub struct Entrance {
    /// The namespace of everything.
    pub namespace: &'static str,
    /// The HTTPRoute.
    pub route: &'static str,
    /// The value of the `service` label in the metrics.
    pub service: &'static str,
}

/// A running data plane. Clones share it.
#[derive(Clone)]
pub struct DataPlane {
    api: ApiServer,
    entrance: Entrance,
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    seen: u64,
    coming: VecDeque<(Instant, Table)>,
    table: Table,
    /// All pods that ever were; their counts are the totals.
    pods: Vec<Pod>,
    /// Where each pod is among them, by name.
    places: BTreeMap<String, usize>,
    /// Whether there ever was a pod to answer: before, nobody knows of the shop.
    open: bool,
    /// Requests that found no pod.
    lost: u64,
    carried: f64,
}

/// What is served, by version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// All requests, those that found no pod among them.
    pub requests: u64,
    /// Those answered with an error.
    pub bad: u64,
    /// By the hash of the version.
    pub versions: BTreeMap<String, Version>,
}

/// What one version served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub bad: u64,
}

/// Where a request may go.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    /// Weight and pods of each backend.
    backends: Vec<(u64, Vec<usize>)>,
}

#[derive(Debug, Clone, Default)]
struct Pod {
    name: String,
    hash: String,
    errors_per_million: u64,
    alive: bool,
    good: u64,
    bad: u64,
}

impl DataPlane {
    /// A data plane before the API server; [`DataPlane::run`] sets it going.
    #[must_use]
    pub fn new(api: ApiServer, entrance: Entrance) -> Self {
        let state = State {
            random: Random::new(SEED),
            seen: 0,
            coming: VecDeque::new(),
            table: Table::default(),
            pods: Vec::new(),
            places: BTreeMap::new(),
            open: false,
            lost: 0,
            carried: 0.0,
        };
        Self {
            api,
            entrance,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut before = Instant::now();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.round(now, now.duration_since(before).min(CATCH_UP));
            before = now;
        }
    }

    /// Everything served so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let state = self.lock();
        let mut totals = Totals {
            requests: state.lost,
            bad: state.lost,
            versions: BTreeMap::new(),
        };
        for pod in &state.pods {
            totals.requests += pod.good + pod.bad;
            totals.bad += pod.bad;
            let version = totals.versions.entry(pod.hash.clone()).or_default();
            version.requests += pod.good + pod.bad;
            version.bad += pod.bad;
        }
        totals
    }

    /// What a scrape of all pods finds now.
    #[must_use]
    pub fn scrape(&self) -> Vec<(Labels, f64)> {
        let state = self.lock();
        let mut found = Vec::new();
        for pod in state.pods.iter().filter(|pod| pod.alive) {
            let labels = |metric: &str, code: Option<&str>| -> Labels {
                let mut labels: Labels = [
                    ("__name__", metric),
                    ("job", self.entrance.service),
                    ("namespace", self.entrance.namespace),
                    ("pod", &pod.name),
                    ("rollouts_pod_template_hash", &pod.hash),
                    ("service", self.entrance.service),
                ]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
                labels.extend(code.map(|code| ("code".to_owned(), code.to_owned())));
                labels
            };
            found.push((labels("up", None), 1.0));
            // As client libraries do: the series of a code is born with its first request.
            for (code, count) in [("200", pod.good), ("500", pod.bad)] {
                if count > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
                    found.push((labels("http_requests_total", Some(code)), count as f64));
                }
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the requests that are due after `elapsed`.
    fn round(&self, now: Instant, elapsed: Duration) {
        let mut state = self.lock();
        let state = &mut *state;
        let version = self.api.store().version();
        if version != state.seen {
            state.seen = version;
            let table = self.look(state);
            let last = state.coming.back().map_or(&state.table, |(_, t)| t);
            if *last != table {
                state.coming.push_back((now + LAG, table));
            }
        }
        while state.coming.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, table)) = state.coming.pop_front() {
                state.table = table;
            }
        }
        state.open |= state
            .table
            .backends
            .iter()
            .any(|(_, pods)| !pods.is_empty());
        if !state.open {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let due = REQUESTS_PER_SECOND as f64 * elapsed.as_secs_f64() + state.carried;
        state.carried = due.fract();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand, never negative"
        )]
        let count = due as u64;
        for _ in 0..count {
            state.request();
        }
    }

    /// What the cluster says now.
    fn look(&self, state: &mut State) -> Table {
        let store = self.api.store();
        let namespace = self.entrance.namespace;
        let pods = store.list("pods", namespace);
        for pod in &mut state.pods {
            pod.alive = false;
        }
        for pod in &pods {
            let name = text(pod, "/metadata/name");
            let next = state.pods.len();
            let place = *state.places.entry(name.clone()).or_insert(next);
            if place == next {
                let image = text(pod, "/spec/containers/0/image");
                state.pods.push(Pod {
                    name,
                    hash: text(pod, &format!("/metadata/labels/{HASH_LABEL}")),
                    errors_per_million: errors_per_million(&image),
                    ..Pod::default()
                });
            }
            if let Some(known) = state.pods.get_mut(place) {
                known.alive = pod.pointer("/metadata/deletionTimestamp").is_none();
            }
        }
        let Some(route) = store.get(
            "httproutes.gateway.networking.k8s.io",
            namespace,
            self.entrance.route,
        ) else {
            return Table::default();
        };
        let rules = route.pointer("/spec/rules").and_then(Value::as_array);
        let backends = rules
            .and_then(|rules| rules.first()?.get("backendRefs")?.as_array())
            .cloned()
            .unwrap_or_default();
        let backends = backends.iter().map(|backend| {
            let weight = backend.get("weight").and_then(Value::as_u64).unwrap_or(1);
            let service = store.get("services", namespace, &text(backend, "/name"));
            let ready = service.map_or_else(Vec::new, |service| selected(&service, &pods));
            let places = ready
                .iter()
                .filter_map(|name| state.places.get(name).copied());
            (weight, places.collect())
        });
        Table {
            // A rule whose weights are all 0, like no route at all, leads nowhere.
            backends: backends.filter(|(weight, _)| *weight > 0).collect(),
        }
    }
}

impl State {
    /// Sends one request.
    fn request(&mut self) {
        let all: u64 = self.table.backends.iter().map(|(weight, _)| weight).sum();
        let mut at = self.random.below(all);
        let mut ready: &[usize] = &[];
        for (weight, pods) in &self.table.backends {
            if at < *weight {
                ready = pods;
                break;
            }
            at -= weight;
        }
        let choice = self.random.below(ready.len() as u64);
        let place = usize::try_from(choice).ok().and_then(|i| ready.get(i));
        // A pod that was taken away within the lag still drains: it answers.
        match place.and_then(|place| self.pods.get_mut(*place)) {
            None => self.lost += 1,
            Some(pod) if self.random.happens(pod.errors_per_million) => pod.bad += 1,
            Some(pod) => pod.good += 1,
        }
    }
}

/// The names of the ready pods that a Service selects.
fn selected(service: &Value, pods: &[Value]) -> Vec<String> {
    let Some(selector) = service.pointer("/spec/selector").and_then(Value::as_object) else {
        return Vec::new();
    };
    let fits = |pod: &&Value| {
        let labels = pod.pointer("/metadata/labels");
        let all = selector
            .iter()
            .all(|(name, value)| labels.and_then(|l| l.get(name)) == Some(value));
        all && is_ready(pod)
    };
    pods.iter()
        .filter(fits)
        .map(|pod| text(pod, "/metadata/name"))
        .collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
