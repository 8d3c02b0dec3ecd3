//! POST to a collection.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, Reply, State, collect, present, to_storage, update};
use crate::sim::apiserver::{
    admission::{self, Checked, UnknownFields},
    builtin_defaults, crds,
    managed_fields::Writers,
    object, patch,
    status_errors::{ApiError, FieldError},
    store::ObjectKey,
};

/// How long a generated name's prefix may be: 63 less the five random characters.
const GENERATE_NAME_PREFIX_MAX: usize = 58;

/// Creates the object in the body.
pub(in crate::sim::apiserver) fn create(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    let object = patch::read_object(call.body)?;
    let (stored, warnings) = create_object(state, call, object)?;
    Ok(Reply::object(201, call.present(&stored), warnings))
}

/// Creates `object` (in the request's version) and returns it as stored.
pub(super) fn create_object(
    state: &mut State,
    call: &Call<'_>,
    object: Value,
) -> Result<(Arc<Value>, Vec<String>), ApiError> {
    create_with(state, call, object, None)
}

/// The same for server-side apply, which knows the owners of the fields.
pub(in crate::sim::apiserver) fn create_applied(
    state: &mut State,
    call: &Call<'_>,
    object: Value,
    writers: &Writers,
) -> Result<(Arc<Value>, Vec<String>), ApiError> {
    create_with(state, call, object, Some(writers))
}

fn create_with(
    state: &mut State,
    call: &Call<'_>,
    mut object: Value,
    writers: Option<&Writers>,
) -> Result<(Arc<Value>, Vec<String>), ApiError> {
    let resource = &call.resource;
    check_type(call, &object)?;
    let unknown = UnknownFields::parse(call.info.param("fieldValidation"))?;
    settle_namespace(call, &mut object)?;
    if !object::meta(&object, "resourceVersion").is_empty() {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(ApiError::internal(message));
    }
    name_it(state, call, &mut object)?;
    let warnings = admission::decode(resource, &call.info.version, &mut object, unknown)?;
    prepare(state, call, &mut object);
    admission::validate(resource, &call.info.version, &object, None, Checked::Whole)?;
    let name = object::meta(&object, "name").to_owned();
    let key = call.key_of(&name);
    if state.store.get(&key).is_some() {
        return Err(ApiError::already_exists(resource, &name));
    }
    match writers {
        Some(writers) => writers.write(&mut object),
        None => update::track_fields(call, &mut object, None, ""),
    }
    let mut stored = to_storage(resource, object);
    if call.dry_run()? {
        return Ok((Arc::new(stored), warnings));
    }
    complete(state, &key, &mut stored, call);
    let stored = state.store.put(&key, stored);
    collect::collect_if_orphaned(state, &key, call.now);
    Ok((stored, warnings))
}

/// Refuses a body of another kind or version than the URL's.
pub(in crate::sim::apiserver) fn check_type(
    call: &Call<'_>,
    object: &Value,
) -> Result<(), ApiError> {
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let wanted = call.resource.api_version(&call.info.version);
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    // Built-in kinds may leave out their type: the URL names it.
    if call.resource.builtin && api_version.is_empty() && kind.is_empty() {
        return Ok(());
    }
    if kind.is_empty() {
        let shown = object.to_string();
        return Err(ApiError::bad_request(format!(
            "Object 'Kind' is missing in '{shown}'"
        )));
    }
    if api_version != wanted {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version \
             ({wanted})"
        )));
    }
    if kind != call.resource.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            call.resource.kind
        )));
    }
    Ok(())
}

/// Writes the URL's namespace into the object, or refuses another one there.
pub(in crate::sim::apiserver) fn settle_namespace(
    call: &Call<'_>,
    object: &mut Value,
) -> Result<(), ApiError> {
    let map = object::as_map_mut(object);
    map.insert(
        "apiVersion".to_owned(),
        call.resource.api_version(&call.info.version).into(),
    );
    map.insert("kind".to_owned(), call.resource.kind.clone().into());
    let given = object::meta(object, "namespace").to_owned();
    let namespace = call.info.namespace.as_str();
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if namespace.is_empty() {
        object::meta_mut(object).remove("namespace");
    } else {
        object::set_meta(object, "namespace", namespace);
    }
    Ok(())
}

fn name_it(state: &mut State, call: &Call<'_>, object: &mut Value) -> Result<(), ApiError> {
    if !object::meta(object, "name").is_empty() {
        return Ok(());
    }
    let prefix = object::meta(object, "generateName").to_owned();
    if prefix.is_empty() {
        let error = FieldError::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(&call.resource, "", &[error]));
    }
    // Kubernetes tries a few names before it reports a collision.
    for _ in 0..8 {
        let short: String = prefix.chars().take(GENERATE_NAME_PREFIX_MAX).collect();
        let name = format!("{short}{}", state.store.name_suffix());
        if state.store.get(&call.key_of(&name)).is_none() {
            object::set_meta(object, "name", name);
            return Ok(());
        }
    }
    Err(ApiError::already_exists(&call.resource, &prefix))
}

/// The fields that the server alone writes.
fn prepare(state: &mut State, call: &Call<'_>, object: &mut Value) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "managedFields",
    ] {
        object::meta_mut(object).remove(field);
    }
    object::set_meta(object, "uid", state.store.new_uid());
    object::set_meta(object, "creationTimestamp", object::time(call.now));
    if call.resource.generation {
        object::set_meta(object, "generation", 1);
    }
    if call.resource.status {
        let map = object::as_map_mut(object);
        map.remove("status");
        if let Some(status) = builtin_defaults::initial_status(&call.resource, object) {
            object::as_map_mut(object).insert("status".to_owned(), status);
        }
    }
}

/// Effects of a creation or change beyond the object itself: addresses of Services, kinds of CRDs.
pub(super) fn complete(state: &mut State, key: &ObjectKey, object: &mut Value, call: &Call<'_>) {
    match key.resource.as_str() {
        "services" => cluster_ip(state, object),
        "customresourcedefinitions.apiextensions.k8s.io"
            if state.registry.add_crd(object).is_ok() && object.get("status").is_none() =>
        {
            let status = crds::crd_status(object, &object::time(call.now));
            object::set(object, "status", status);
        }
        _ => {}
    }
}

/// Gives a Service an address from the documentation range 203.0.113.0/24, continued in
/// 198.18.0.0/15 (benchmarking) when that is used up. Nothing listens there.
fn cluster_ip(state: &State, service: &mut Value) {
    let spec = object::field(service, "spec");
    let given = spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !given.is_empty() || spec.get("type") == Some(&json!("ExternalName")) {
        if !given.is_empty() && spec.get("clusterIPs").is_none() {
            let list = json!([given]);
            object::set_path(service, ".spec.clusterIPs", list);
        }
        return;
    }
    let used: std::collections::BTreeSet<String> = state
        .store
        .list("services", "")
        .filter_map(|(_, s)| {
            object::at_path(s, "spec.clusterIP")?
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    let candidates = (1..255u32)
        .map(|n| format!("203.0.113.{n}"))
        .chain((0..65_536u32).map(|n| format!("198.18.{}.{}", n / 256, n % 256)));
    if let Some(free) = candidates.into_iter().find(|ip| !used.contains(ip)) {
        object::set_path(service, ".spec.clusterIP", json!(free));
        object::set_path(service, ".spec.clusterIPs", json!([free]));
    }
}

/// Creates an object for the server itself (a controller's doing), outside any request.
pub(in crate::sim::apiserver) fn create_internal(
    state: &mut State,
    call: &Call<'_>,
    object: Value,
) -> Result<Value, ApiError> {
    let (stored, _) = create_object(state, call, object)?;
    Ok(present(&call.resource, &call.info.version, &stored))
}
