//! PUT and PATCH, and the one pipeline that every change of an existing object goes through.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, Reply, State, collect, create, delete, present, to_storage};
use crate::sim::apiserver::{
    admission::{self, Checked, UnknownFields},
    apply, managed_fields, object, patch,
    registry::Resource,
    status_errors::{ApiError, FieldError},
    strategic,
};

/// Which part of an object a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim::apiserver) enum Part {
    /// Everything but the status (where there is a status subresource).
    Main,
    /// The status alone.
    Status,
    /// The number of replicas, through `/scale`; rules of `Main` apply.
    Scale,
}

impl Part {
    /// The name of the subresource, as `managedFields` records it.
    pub(in crate::sim::apiserver) fn name(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "status",
            Part::Scale => "scale",
        }
    }
}

/// Who accounts for the owners of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim::apiserver) enum Owners {
    /// Whatever differs from before now belongs to the writer.
    Track,
    /// `managedFields` of the new object are right already (server-side apply).
    AsGiven,
}

/// PUT of an object.
pub(in crate::sim::apiserver) fn put(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    put_part(state, call, Part::Main)
}

/// PUT of an object or its status.
pub(super) fn put_part(state: &mut State, call: &Call<'_>, part: Part) -> Result<Reply, ApiError> {
    let mut new = patch::read_object(call.body)?;
    create::check_type(call, &new)?;
    create::settle_namespace(call, &mut new)?;
    let name = object::meta(&new, "name");
    if name.is_empty() {
        object::set_meta(&mut new, "name", call.info.name.as_str());
    } else if name != call.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        )));
    }
    let version = object::meta(&new, "resourceVersion").to_owned();
    let old = match call.find(state) {
        Ok(old) => old,
        Err(_) if part == Part::Main && call.resource.create_on_update() && version.is_empty() => {
            let (stored, warnings) = create::create_object(state, call, new)?;
            return Ok(Reply::object(201, call.present(&stored), warnings));
        }
        Err(not_found) => return Err(not_found),
    };
    unconditional(call, &version)?;
    same_object(call, &old, &new)?;
    let (stored, warnings) = replace(state, call, &old, new, part, Owners::Track)?;
    Ok(Reply::object(200, call.present(&stored), warnings))
}

/// PATCH of an object.
pub(in crate::sim::apiserver) fn patch(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    patch_part(state, call, Part::Main)
}

/// PATCH of an object or its status, in any of the four formats.
pub(super) fn patch_part(
    state: &mut State,
    call: &Call<'_>,
    part: Part,
) -> Result<Reply, ApiError> {
    if call.info.content_type == "application/apply-patch+yaml" {
        return apply::apply(state, call, part);
    }
    let old = call.find(state)?;
    let shown = present(&call.resource, &call.info.version, &old);
    let new = patched(call, &shown)?;
    check_patched(call, &new)?;
    let (stored, warnings) = replace(state, call, &old, new, part, Owners::Track)?;
    Ok(Reply::object(200, call.present(&stored), warnings))
}

/// Applies a patch body to an object by its content type.
pub(super) fn patched(call: &Call<'_>, shown: &Value) -> Result<Value, ApiError> {
    const JSON: &str = "application/json-patch+json";
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    match call.info.content_type.as_str() {
        JSON => patch::json_patch(shown, call.body),
        MERGE => patch::merge_patch(shown, call.body),
        STRATEGIC if call.resource.builtin => strategic::merge(shown, call.body),
        _ => Err(ApiError::unsupported_media_type(call.resource.builtin)),
    }
}

/// A patch may not turn the object into another one.
fn check_patched(call: &Call<'_>, new: &Value) -> Result<(), ApiError> {
    if !new.is_object() {
        return Err(ApiError::bad_request("the patch must leave an object"));
    }
    create::check_type(call, new)?;
    let name = object::meta(new, "name");
    if name != call.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        )));
    }
    let namespace = object::meta(new, "namespace");
    if call.resource.namespaced && namespace != call.info.namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the \
             request ({})",
            call.info.namespace
        )));
    }
    Ok(())
}

/// Replaces `old` (as stored) by `new` (in the request's version) under all rules of an update,
/// and returns what is stored then. A change that changes nothing writes nothing.
pub(in crate::sim::apiserver) fn replace(
    state: &mut State,
    call: &Call<'_>,
    old: &Arc<Value>,
    mut new: Value,
    part: Part,
    owners: Owners,
) -> Result<(Arc<Value>, Vec<String>), ApiError> {
    let resource = &call.resource;
    let shown = present(resource, &call.info.version, old);
    preconditions(call, &shown, &new)?;
    let unknown = UnknownFields::parse(call.info.param("fieldValidation"))?;
    let warnings = admission::decode(resource, &call.info.version, &mut new, unknown)?;
    carry_over(call, &shown, &mut new, part);
    if resource.generation && spec_changed(resource.status, &shown, &new) {
        let generation = object::meta_value(&shown, "generation").and_then(Value::as_i64);
        object::set_meta(&mut new, "generation", generation.unwrap_or(0) + 1);
    }
    let checked = if part == Part::Status {
        Checked::Status
    } else {
        Checked::Whole
    };
    admission::validate(resource, &call.info.version, &new, Some(&shown), checked)?;
    let unchanged = same_but_bookkeeping(&shown, &new);
    match owners {
        Owners::Track if unchanged => return Ok((Arc::clone(old), warnings)),
        Owners::Track => track_fields(call, &mut new, Some(&shown), part.name()),
        Owners::AsGiven if unchanged && managed_fields::same_but_times(&shown, &new) => {
            return Ok((Arc::clone(old), warnings));
        }
        Owners::AsGiven => {}
    }
    let stored = store(state, call, to_storage(resource, new))?;
    Ok((stored, warnings))
}

/// Writes a changed object, or takes it away when this change released its last finalizer.
fn store(state: &mut State, call: &Call<'_>, mut new: Value) -> Result<Arc<Value>, ApiError> {
    if call.dry_run()? {
        return Ok(Arc::new(new));
    }
    let key = call.key();
    create::complete(state, &key, &mut new, call);
    if delete::may_go(&new) {
        // The last change is visible to watchers only as the deletion, as on a real server.
        collect::remove(state, &key, call.now);
        return Ok(Arc::new(new));
    }
    let stored = state.store.put(&key, new);
    collect::collect_if_orphaned(state, &key, call.now);
    collect::release_foreground(state, &key, call.now);
    Ok(stored)
}

/// Some kinds refuse a PUT that does not say which version it replaces.
fn unconditional(call: &Call<'_>, version: &str) -> Result<(), ApiError> {
    if !version.is_empty() || call.resource.allows_unconditional_update() {
        return Ok(());
    }
    let detail = "must be specified for an update";
    let error = FieldError::invalid("metadata.resourceVersion", &serde_json::json!(0), detail);
    // The real server names the resource where it names the kind elsewhere.
    let Resource { group, plural, .. } = &*call.resource;
    Err(ApiError::invalid_kind(
        group,
        plural,
        &call.info.name,
        &[error],
    ))
}

/// A PUT with a uid is meant for the object with that uid.
fn same_object(call: &Call<'_>, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (uid, own) = (object::meta(new, "uid"), object::meta(old, "uid"));
    if uid.is_empty() || uid == own {
        return Ok(());
    }
    let key = call
        .resource
        .storage_path(&call.info.namespace, &call.info.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: \
         {own}"
    );
    Err(ApiError::conflict(&call.resource, &call.info.name, &why))
}

/// A resourceVersion in the new object must be the old one's, or absent.
fn preconditions(call: &Call<'_>, old: &Value, new: &Value) -> Result<(), ApiError> {
    let version = object::meta(new, "resourceVersion");
    if version.is_empty() || version == "0" || version == object::meta(old, "resourceVersion") {
        return Ok(());
    }
    if version.parse::<u64>().is_err() {
        let why = format!("strconv.ParseUint: parsing \"{version}\": invalid syntax");
        return Err(ApiError::internal(why));
    }
    Err(ApiError::stale(&call.resource, &call.info.name))
}

/// Restores what this request may not change: system metadata always, and the other part.
fn carry_over(call: &Call<'_>, old: &Value, new: &mut Value, part: Part) {
    const SYSTEM: &[&str] = &[
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
    ];
    match part {
        Part::Status => {
            // Custom resources: the status and nothing else. Built-in kinds let labels,
            // annotations and finalizers through.
            let mut merged = old.clone();
            object::copy_field(&mut merged, new, "status");
            if call.resource.builtin {
                for field in ["labels", "annotations", "finalizers"] {
                    object::copy_meta(&mut merged, new, field);
                }
            }
            object::copy_meta(&mut merged, new, "managedFields");
            *new = merged;
        }
        Part::Main | Part::Scale if call.resource.status => object::copy_field(new, old, "status"),
        Part::Main | Part::Scale => {}
    }
    for field in SYSTEM {
        object::copy_meta(new, old, field);
    }
    // Another uid is refused as the change of an immutable field; an absent one is filled in.
    if object::meta(new, "uid").is_empty() {
        object::copy_meta(new, old, "uid");
    }
    if object::meta_value(new, "managedFields").is_none() {
        object::copy_meta(new, old, "managedFields");
    }
}

/// Whether anything but metadata (and the status, where it is a subresource) differs.
fn spec_changed(has_status: bool, old: &Value, new: &Value) -> bool {
    let relevant = |name: &str| {
        !(matches!(name, "metadata" | "apiVersion" | "kind") || has_status && name == "status")
    };
    let part = |object: &Value| -> Vec<(String, Value)> {
        let map = object.as_object().into_iter().flatten();
        map.filter(|(name, _)| relevant(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    };
    part(old) != part(new)
}

/// Equality without managedFields and resourceVersion.
fn same_but_bookkeeping(old: &Value, new: &Value) -> bool {
    let strip = |object: &Value| {
        let mut copy = object.clone();
        let meta = object::meta_mut(&mut copy);
        meta.remove("managedFields");
        meta.remove("resourceVersion");
        copy
    };
    strip(old) == strip(new)
}

/// Records who wrote which field of a create, PUT or plain patch.
pub(super) fn track_fields(
    call: &Call<'_>,
    new: &mut Value,
    old: Option<&Value>,
    subresource: &str,
) {
    managed_fields::record_update(
        &call.resource,
        &call.info.version,
        call.info.field_manager(),
        subresource,
        old,
        new,
        call.now,
    );
}
