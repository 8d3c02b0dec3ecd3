//! The verbs of the API on stored objects. Each is a synchronous step on the state: the caller
//! holds the lock for one request and no longer.

pub(super) mod collect;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod read;
pub(super) mod subresources;
pub(super) mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    events, object,
    registry::{Registry, Resource},
    routes::RequestInfo,
    status_errors::{ApiError, FieldError},
    store::{ObjectKey, Store},
};

/// What all requests share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) registry: Registry,
}

impl State {
    /// Changes a stored object outside any request, as a controller beside the API server would;
    /// writes nothing and answers false when nothing differs afterwards.
    pub(super) fn rewrite(&mut self, key: &ObjectKey, change: impl FnOnce(&mut Value)) -> bool {
        let Some(old) = self.store.get(key) else {
            return false;
        };
        let mut new = (**old).clone();
        change(&mut new);
        let changed = new != **old;
        if changed {
            self.store.put(key, new);
        }
        changed
    }

    /// Creates an object outside any request.
    pub(super) fn create(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        object: Value,
        agent: &str,
        now: Timestamp,
    ) -> Result<Value, ApiError> {
        let info = RequestInfo::creating(resource, namespace, agent);
        let call = Call {
            info: &info,
            resource: Arc::clone(resource),
            body: &[],
            now,
        };
        create::create_internal(self, &call, object)
    }
}

/// One request on a resource.
pub(super) struct Call<'a> {
    pub(super) info: &'a RequestInfo,
    /// The resource as addressed.
    pub(super) resource: Arc<Resource>,
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
}

impl Call<'_> {
    /// The storage key of the object that the URL names.
    pub(super) fn key(&self) -> ObjectKey {
        self.key_of(&self.info.name)
    }

    /// The storage key of a name in the URL's namespace.
    pub(super) fn key_of(&self, name: &str) -> ObjectKey {
        let namespace = if self.resource.namespaced {
            self.info.namespace.as_str()
        } else {
            ""
        };
        ObjectKey::new(&storage_id(&self.resource), namespace, name)
    }

    /// An object as this request's version shows it.
    pub(super) fn present(&self, object: &Value) -> Value {
        present(&self.resource, &self.info.version, object)
    }

    /// The stored object, or 404.
    pub(super) fn find(&self, state: &State) -> Result<Arc<Value>, ApiError> {
        let found = state.store.get(&self.key()).cloned();
        found.ok_or_else(|| ApiError::not_found(&self.resource, &self.info.name))
    }

    /// Whether nothing may be stored.
    pub(super) fn dry_run(&self) -> Result<bool, ApiError> {
        match self.info.param("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let why = format!("Unsupported value: \"{other}\": supported values: \"All\"");
                let error = FieldError {
                    field: "dryRun".to_owned(),
                    reason: "FieldValueNotSupported",
                    message: why,
                };
                Err(ApiError::invalid_options("CreateOptions", &[error]))
            }
        }
    }
}

/// An answer before it is written in the representation that the client asked for.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) body: Body,
    pub(super) warnings: Vec<String>,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Body {
    /// One object of the resource.
    Object(Value),
    /// A list of the resource: its metadata and items.
    List(Value, Vec<Value>),
    /// Something of another kind (Status, Scale, discovery), sent as it is.
    Plain(Value),
}

impl Reply {
    /// One object of the resource.
    pub(super) fn object(code: u16, value: Value, warnings: Vec<String>) -> Self {
        Reply {
            code,
            body: Body::Object(value),
            warnings,
        }
    }

    /// A value of another kind.
    pub(super) fn plain(code: u16, value: Value) -> Self {
        Reply {
            code,
            body: Body::Plain(value),
            warnings: Vec::new(),
        }
    }
}

/// Carries out a request (all verbs but watch).
pub(super) fn dispatch(state: &mut State, call: &Call<'_>) -> Result<Reply, ApiError> {
    let info = call.info;
    if call.resource.namespaced && info.namespace.is_empty() && info.is_write() {
        return Err(ApiError::method_not_allowed());
    }
    if !call.resource.namespaced && !info.namespace.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    match (info.verb.as_str(), info.subresource.as_str()) {
        ("get", "") => read::get(state, call),
        ("list", "") => read::list(state, call),
        ("create", "") if info.name.is_empty() => create::create(state, call),
        ("update", "") if !info.name.is_empty() => update::put(state, call),
        ("patch", "") if !info.name.is_empty() => update::patch(state, call),
        ("delete", "") => delete::delete(state, call),
        ("deletecollection", "") => delete::delete_collection(state, call),
        (_, "") => Err(ApiError::method_not_allowed()),
        (verb, _) => subresources::dispatch(state, call, verb),
    }
}

/// Where the objects of a resource are stored: both Event kinds share one place.
pub(super) fn storage_id(resource: &Resource) -> String {
    match resource.id() {
        id if id == "events.events.k8s.io" => "events".to_owned(),
        id => id,
    }
}

/// A stored object as a version of a resource shows it.
pub(super) fn present(resource: &Resource, version: &str, object: &Value) -> Value {
    let mut shown = match resource.group.as_str() {
        "events.k8s.io" => events::from_core(object),
        _ => object.clone(),
    };
    let map = object::as_map_mut(&mut shown);
    map.insert(
        "apiVersion".to_owned(),
        resource.api_version(version).into(),
    );
    map.insert("kind".to_owned(), resource.kind.clone().into());
    shown
}

/// An object of a request's version as it is stored.
pub(super) fn to_storage(resource: &Resource, object: Value) -> Value {
    let mut stored = match resource.group.as_str() {
        "events.k8s.io" => events::to_core(object),
        _ => object,
    };
    let api_version = match resource.group.as_str() {
        "events.k8s.io" => "v1".to_owned(),
        _ => resource.api_version(resource.version()),
    };
    object::as_map_mut(&mut stored).insert("apiVersion".to_owned(), api_version.into());
    stored
}

/// The `Status` that answers a deletion.
pub(super) fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": object::meta(object, "name"),
        "kind": resource.plural,
        "uid": object::meta(object, "uid"),
    });
    if !resource.group.is_empty() {
        object::set(&mut details, "group", resource.group.clone());
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}
