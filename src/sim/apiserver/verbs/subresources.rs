//! `/status`, `/scale` and `pods/eviction`.

use serde_json::{Value, json};

use super::{
    Call, Reply, State, delete,
    update::{self, Owners, Part},
};
use crate::sim::apiserver::{
    object, patch,
    registry::ScalePaths,
    selectors::LabelSelector,
    status_errors::{ApiError, FieldError},
};

/// Carries out a verb on a subresource.
pub(super) fn dispatch(state: &mut State, call: &Call<'_>, verb: &str) -> Result<Reply, ApiError> {
    match (call.info.subresource.as_str(), verb) {
        ("status", "get") if call.resource.status => super::read::get(state, call),
        ("status", "update") if call.resource.status => update::put_part(state, call, Part::Status),
        ("status", "patch") if call.resource.status => {
            update::patch_part(state, call, Part::Status)
        }
        ("scale", _) => match call.resource.scale.clone() {
            Some(paths) => scale(state, call, &paths, verb),
            None => Err(ApiError::no_such_resource()),
        },
        ("eviction", "create") if call.resource.id() == "pods" => evict(state, call),
        ("status", _) if call.resource.status => Err(ApiError::method_not_allowed()),
        _ => Err(ApiError::no_such_resource()),
    }
}

fn scale(
    state: &mut State,
    call: &Call<'_>,
    paths: &ScalePaths,
    verb: &str,
) -> Result<Reply, ApiError> {
    let old = call.find(state)?;
    let shown = call.present(&old);
    let current = scale_of(&shown, paths);
    let wanted = match verb {
        "get" => return Ok(Reply::plain(200, current)),
        "update" => patch::read_object(call.body)?,
        "patch" => update::patched(call, &current)?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    let replicas = object::at_path(&wanted, "spec.replicas")
        .cloned()
        .unwrap_or_else(|| json!(0));
    if replicas.as_i64().is_none_or(|n| n < 0) {
        let error = FieldError::invalid(
            "spec.replicas",
            &replicas,
            "must be greater than or equal to 0",
        );
        let name = &call.info.name;
        return Err(ApiError::invalid_kind(
            "autoscaling",
            "Scale",
            name,
            &[error],
        ));
    }
    let mut new = shown;
    object::set_path(&mut new, &paths.spec, replicas);
    // The scale's version is the object's: a stale one is a conflict like any other.
    let version = object::meta(&wanted, "resourceVersion");
    if version.is_empty() {
        object::meta_mut(&mut new).remove("resourceVersion");
    } else {
        object::set_meta(&mut new, "resourceVersion", version);
    }
    let uid = object::meta(&wanted, "uid");
    if !uid.is_empty() {
        object::set_meta(&mut new, "uid", uid);
    }
    let (stored, _) = update::replace(state, call, &old, new, Part::Scale, Owners::Track)?;
    Ok(Reply::plain(200, scale_of(&call.present(&stored), paths)))
}

/// The `autoscaling/v1` Scale of an object.
fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        object::copy_field(&mut metadata, object::field(object, "metadata"), field);
    }
    let number = |path: &str| object::at_path(object, path).cloned();
    let mut spec = json!({});
    if let Some(replicas) = number(&paths.spec).filter(|r| r.as_i64() != Some(0)) {
        object::set(&mut spec, "replicas", replicas);
    }
    let mut status = json!({"replicas": number(&paths.status).unwrap_or_else(|| json!(0))});
    let selector = paths
        .selector
        .as_deref()
        .and_then(|path| object::at_path(object, path));
    let text = match selector {
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => LabelSelector::from_object(other).map(|s| s.text()),
        None => None,
    };
    if let Some(text) = text {
        object::set(&mut status, "selector", text);
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}

/// Deletes the pod. Disruption budgets are not modelled: every eviction is granted.
fn evict(state: &mut State, call: &Call<'_>) -> Result<Reply, ApiError> {
    let eviction = patch::read_object(call.body)?;
    call.find(state)?;
    let grace = object::at_path(&eviction, "deleteOptions.gracePeriodSeconds");
    delete::delete_internal(state, &call.key(), grace.and_then(Value::as_i64), call.now);
    let success = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    });
    Ok(Reply::plain(201, success))
}
