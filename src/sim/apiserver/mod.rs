//! An in-memory Kubernetes API server.
//!
//! Good enough that the real controller, the plugin and `kubectl` run against it: resource
//! versions, conflicts, watches with bookmarks and 410, server-side apply, status and scale
//! subresources, selectors, finalizers, owner garbage collection, CRDs with their defaults and
//! rules. What it is not: authentication, authorisation, admission webhooks, persistence,
//! conversion. The conformance script keeps it honest against a real kube-apiserver.
//!
//! Nothing in here knows Tidegate's kinds: they come as CRDs like anybody's.

mod admission;
mod apply;
mod audit;
mod builtin_defaults;
mod builtin_kinds;
mod builtin_rules;
pub mod conformance;
mod crds;
mod discovery;
mod events;
mod fields;
mod gateway_kinds;
mod managed_fields;
mod metadata;
mod object;
pub mod offline;
mod openapi;
mod patch;
pub mod registry;
mod represent;
mod routes;
mod schema;
pub mod selectors;
mod serve;
pub mod status_errors;
pub mod store;
mod strategic;
mod table;
mod verbs;
mod watch;
pub mod workloads;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

pub use audit::{Audit, AuditKey};
pub use routes::RequestInfo;
pub use serve::{Fault, FaultHook, InProcess};

use registry::Registry;
use store::{ObjectKey, Store};
use verbs::State;

/// Events kept for watches that resume; a real server keeps some minutes.
const HISTORY_EVENTS: usize = 10_000;

/// Whom `managedFields` name for what the server's own parts write.
const SELF: &str = "tidegate-sim";

/// The clock of the server: every timestamp it writes comes from here.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a server is made.
#[derive(Clone)]
pub struct ApiServerConfig {
    /// Where timestamps come from.
    pub clock: Clock,
    /// CustomResourceDefinitions to serve, as JSON.
    pub crds: Vec<Value>,
    /// How many events are kept for watches.
    pub history_events: usize,
    /// Makes uids and generated names repeat between runs, and differ between servers.
    pub seed: String,
}

impl Default for ApiServerConfig {
    fn default() -> Self {
        ApiServerConfig {
            clock: Arc::new(Timestamp::now),
            crds: Vec::new(),
            history_events: HISTORY_EVENTS,
            seed: "tidegate".to_owned(),
        }
    }
}

impl ApiServerConfig {
    /// Serves these kinds too.
    #[must_use]
    pub fn with_crds(mut self, crds: &[CustomResourceDefinition]) -> Self {
        let documents = crds.iter().filter_map(|crd| serde_json::to_value(crd).ok());
        self.crds.extend(documents);
        self
    }
}

/// A server. Clones share everything.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

/// What requests, watches and clones share.
pub(super) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    /// The newest version, for those who wait.
    version: tokio::sync::watch::Sender<u64>,
    /// Changes when all watches are to end.
    epoch: tokio::sync::watch::Sender<u64>,
    faults: Mutex<Option<FaultHook>>,
    audit: Mutex<Audit>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault_hook(&self) -> Option<FaultHook> {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ApiServer {
    /// A server with the built-in kinds, the given CRDs, and the namespaces every cluster has.
    ///
    /// # Errors
    /// A CRD that cannot be served, with its name and what it lacks.
    pub fn new(config: ApiServerConfig) -> Result<Self, String> {
        let mut registry = Registry::builtin();
        for crd in &config.crds {
            registry.add_crd(crd)?;
        }
        let store = Store::new(config.history_events, &config.seed);
        let shared = Shared {
            state: Mutex::new(State { store, registry }),
            clock: config.clock,
            version: tokio::sync::watch::Sender::new(0),
            epoch: tokio::sync::watch::Sender::new(0),
            faults: Mutex::new(None),
            audit: Mutex::new(Audit::default()),
        };
        let server = ApiServer {
            shared: Arc::new(shared),
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            server.add(json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            }))?;
        }
        for crd in config.crds {
            server.add(crd)?;
        }
        Ok(server)
    }

    /// A client that talks to the server in this process, as `tidegate`.
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        self.client_as(default_namespace, "tidegate")
    }

    /// A client with a user agent of its own, which the audit and `managedFields` show.
    pub fn client_as(&self, default_namespace: &str, user_agent: &str) -> kube::Client {
        kube::Client::new(self.service(user_agent), default_namespace)
    }

    /// The server as a tower service; requests without a `User-Agent` get this one.
    pub fn service(&self, user_agent: &str) -> InProcess {
        InProcess::new(self.clone(), user_agent)
    }

    /// Looks into the objects without a request.
    pub fn store(&self) -> Objects<'_> {
        Objects {
            shared: &self.shared,
        }
    }

    /// Counts of requests so far.
    pub fn audit(&self) -> Audit {
        self.shared.audit().clone()
    }

    /// Starts the counts anew.
    pub fn reset_audit(&self) {
        *self.shared.audit() = Audit::default();
    }

    /// Validation rules of the served CRDs that this server cannot read and therefore skips.
    pub fn skipped_rules(&self) -> Vec<String> {
        let state = self.shared.lock();
        let schemas = state
            .registry
            .all()
            .filter(|r| !r.builtin)
            .flat_map(|r| r.schemas.values());
        schemas
            .flat_map(|schema| schema::cel_rules::broken(schema))
            .collect()
    }

    /// Decides about every request from now on; none ends the faults.
    pub fn set_faults(&self, hook: Option<FaultHook>) {
        *self
            .shared
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = hook;
    }

    /// Ends all watches now, as a restarting server does.
    pub fn disconnect_watches(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Forgets the history, so that a watch that resumes from before gets 410.
    pub fn compact(&self) {
        let mut state = self.shared.lock();
        state.store.compact();
        let version = state.store.version();
        drop(state);
        self.shared.announce(version);
    }

    /// Creates an object of whatever kind it says it is, in the namespace it names.
    ///
    /// # Errors
    /// The reason why the API refused it.
    pub fn add(&self, object: Value) -> Result<Value, String> {
        let text = |v: &Value, f: &str| {
            v.get(f)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (api_version, kind) = (text(&object, "apiVersion"), text(&object, "kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let mut state = self.shared.lock();
        let resource = state
            .registry
            .all()
            .find(|r| r.group == group && r.kind == kind && r.versions.iter().any(|v| v == version))
            .cloned()
            .ok_or_else(|| format!("no kind {kind} in {api_version} is served"))?;
        let mut info = RequestInfo::creating(&resource, object::meta(&object, "namespace"), SELF);
        version.clone_into(&mut info.version);
        let now = (self.shared.clock)();
        let call = verbs::Call {
            info: &info,
            resource,
            body: &[],
            now,
        };
        let created = verbs::create::create_internal(&mut state, &call, object);
        let version = state.store.version();
        drop(state);
        self.shared.announce(version);
        created.map_err(|e| e.to_string())
    }
}

/// Reads objects without a request, for tests and the demo's data plane.
pub struct Objects<'a> {
    shared: &'a Shared,
}

impl Objects<'_> {
    /// One object: resource as `plural.group` (`pods`, `rollouts.tidegate.io`), namespace (empty
    /// for cluster-scoped kinds), name.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.shared.lock();
        let key = ObjectKey::new(resource, namespace, name);
        let found = state.store.get(&key)?;
        Some(verbs::delete::shown(&state, &key, found))
    }

    /// All objects of a resource in a namespace (empty: in all).
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let state = self.shared.lock();
        let found = state.store.list(resource, namespace);
        found
            .map(|(key, object)| verbs::delete::shown(&state, key, object))
            .collect()
    }

    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.shared.lock().store.version()
    }

    /// Everything that happened after a version, in order; none when that is forgotten.
    pub fn events_after(&self, resource: &str, version: u64) -> Option<Vec<store::Event>> {
        let state = self.shared.lock();
        state
            .store
            .events_after(resource, version, usize::MAX)
            .map(|(events, _)| events)
    }
}
