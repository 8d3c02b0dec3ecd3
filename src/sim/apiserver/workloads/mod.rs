//! What beside the API server makes a cluster live: ReplicaSets that bring pods up, pods that
//! become ready or do not, endpoints that follow them, routes that get accepted.
//!
//! Driven from outside: each [`Workloads::tick`] does what is due at that time and nothing waits
//! in between, so that a test decides when time passes. What it does not do: Deployments, volumes,
//! scheduling, real containers.

mod endpoints;
mod pods;
mod replica_sets;
mod routes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{ApiServer, store::ObjectKey, verbs::State};
pub use endpoints::PodRef;

/// Of so many ticks in which nothing was written one looks all the same.
const IDLE_TICKS: u32 = 4;

/// How a pod behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodBehaviour {
    /// Ready this long after it was started.
    ReadyAfter(Duration),
    /// Runs, but its readiness probe never succeeds.
    NeverReady,
    /// Its container exits again and again.
    CrashLoop,
}

/// Decides how a pod behaves; asked at every tick, so that a pod may fall ill later.
pub type Behaviour = Arc<dyn Fn(&Pod) -> PodBehaviour + Send + Sync>;

/// How the cluster beside the API server behaves.
#[derive(Clone)]
pub struct WorkloadsConfig {
    /// How each pod behaves.
    pub behaviour: Behaviour,
    /// A terminating pod goes after this long, or after its own grace period when that is shorter.
    pub termination: Duration,
    /// How long the gateway takes to accept a new generation of a route.
    pub route_delay: Duration,
    /// Name under which the gateway reports.
    pub gateway_controller: String,
}

impl Default for WorkloadsConfig {
    fn default() -> Self {
        WorkloadsConfig {
            behaviour: Arc::new(|_| PodBehaviour::ReadyAfter(Duration::ZERO)),
            termination: Duration::from_secs(1),
            route_delay: Duration::ZERO,
            gateway_controller: "tidegate.io/sim-gateway".to_owned(),
        }
    }
}

/// The controllers beside the API server.
pub struct Workloads {
    server: ApiServer,
    config: WorkloadsConfig,
    memory: Mutex<Memory>,
}

/// What the controllers remember between ticks. API timestamps have whole seconds only.
#[derive(Debug, Default)]
struct Memory {
    /// When something was first seen in a state, by uid and state.
    since: BTreeMap<(String, String), Timestamp>,
    /// Addresses given out so far.
    addresses: u32,
}

impl Memory {
    /// How long something has been in a state, counted from the first time it was asked.
    fn age(&mut self, uid: &str, state: &str, now: Timestamp) -> Duration {
        let since = *self
            .since
            .entry((uid.to_owned(), state.to_owned()))
            .or_insert(now);
        Duration::try_from(now.duration_since(since)).unwrap_or_default()
    }

    /// The next pod address, of the range 10.244.0.0/16. Nothing listens there.
    fn next_address(&mut self) -> String {
        self.addresses = (self.addresses + 1) % 65_536;
        format!("10.244.{}.{}", self.addresses / 256, self.addresses % 256)
    }

    /// Forgets what is gone.
    fn retain(&mut self, lives: impl Fn(&str) -> bool) {
        self.since.retain(|(uid, _), _| lives(uid));
    }
}

impl Workloads {
    /// Controllers for a server.
    #[must_use]
    pub fn new(server: &ApiServer, config: WorkloadsConfig) -> Self {
        Workloads {
            server: server.clone(),
            config,
            memory: Mutex::default(),
        }
    }

    /// Does all that is due at `now`; answers whether anything changed.
    pub fn tick(&self, now: Timestamp) -> bool {
        let shared = &self.server.shared;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = shared.lock();
        let before = state.store.version();
        pods::end_terminating(&mut state, &mut memory, &self.config, now);
        replica_sets::scale(&mut state, now);
        pods::report(&mut state, &mut memory, &self.config, now);
        replica_sets::report(&mut state, now);
        endpoints::publish(&mut state, now);
        routes::accept(&mut state, &mut memory, &self.config, now);
        memory.retain(|uid| state.store.find_uid(uid).is_some());
        let after = state.store.version();
        drop(state);
        shared.announce(after);
        after != before
    }

    /// Ticks by the server's clock until dropped: soon after something was written, and now and then
    /// for what comes due by time alone.
    pub async fn run(&self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = None;
        for idle in (0..IDLE_TICKS).cycle() {
            ticks.tick().await;
            let version = self.server.shared.lock().store.version();
            if idle == 0 || seen != Some(version) {
                // What it writes itself is looked at again.
                self.tick((self.server.shared.clock)());
                seen = Some(version);
            }
        }
    }

    /// The pods that a Service sends traffic to: selected, ready, not terminating.
    #[must_use]
    pub fn ready_pods(&self, namespace: &str, service: &str) -> Vec<PodRef> {
        endpoints::ready_pods(&self.server.shared.lock(), namespace, service)
    }
}

/// Keys of all objects of a resource.
fn keys(state: &State, resource: &str) -> Vec<ObjectKey> {
    state
        .store
        .list(resource, "")
        .map(|(key, _)| key.clone())
        .collect()
}

/// A span of API time.
fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
