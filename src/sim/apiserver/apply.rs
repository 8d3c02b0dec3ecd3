//! Server-side apply: create or merge, owners of fields, conflicts, removal of what a manager no
//! longer applies.
//!
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>

use serde_json::Value;

use super::{
    fields::{Difference, Fields, merge, remove_path},
    managed_fields::{Writer, Writers, typed},
    object, patch,
    status_errors::{ApiError, FieldError},
    verbs::{
        Call, Reply, State, create, present,
        update::{self, Owners, Part},
    },
};

/// Carries out an apply patch on an object or its status.
pub(super) fn apply(state: &mut State, call: &Call<'_>, part: Part) -> Result<Reply, ApiError> {
    let manager = call.info.param("fieldManager");
    if manager.is_empty() {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[error]));
    }
    let mut config = patch::read_object(call.body)?;
    check_config(call, &mut config)?;
    let old = match state.store.get(&call.key()).cloned() {
        Some(old) => old,
        None if part == Part::Main => return create_applied(state, call, config),
        None => return Err(ApiError::not_found(&call.resource, &call.info.name)),
    };
    let live = present(&call.resource, &call.info.version, &old);
    let new = merged(call, &live, &config, part)?;
    let (stored, warnings) = update::replace(state, call, &old, new, part, Owners::AsGiven)?;
    Ok(Reply::object(200, call.present(&stored), warnings))
}

fn check_config(call: &Call<'_>, config: &mut Value) -> Result<(), ApiError> {
    let name = object::meta(config, "name").to_owned();
    if !name.is_empty() && name != call.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        )));
    }
    create::check_type(call, config)?;
    create::settle_namespace(call, config)?;
    object::set_meta(config, "name", call.info.name.as_str());
    if object::meta_value(config, "managedFields").is_some() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn writer(call: &Call<'_>, part: Part) -> Writer {
    Writer {
        operation: "Apply".to_owned(),
        name: call.info.param("fieldManager").to_owned(),
        api_version: call.resource.api_version(&call.info.version),
        subresource: part.name().to_owned(),
    }
}

/// The object did not exist: the configuration becomes it.
fn create_applied(state: &mut State, call: &Call<'_>, config: Value) -> Result<Reply, ApiError> {
    if !object::meta(&config, "uid").is_empty() {
        let why = "uid mismatch: the provided object specified uid ".to_owned()
            + object::meta(&config, "uid")
            + ", and no existing object was found";
        return Err(ApiError::conflict(&call.resource, &call.info.name, &why));
    }
    let owned = Fields::of(&config, typed(&call.resource, &call.info.version));
    let mut writers = Writers::default();
    writers
        .0
        .insert(writer(call, Part::Main), (owned, object::time(call.now)));
    let (stored, warnings) = create::create_applied(state, call, config, &writers)?;
    Ok(Reply::object(201, call.present(&stored), warnings))
}

/// The live object with the configuration merged in and the owners brought up to date.
fn merged(call: &Call<'_>, live: &Value, config: &Value, part: Part) -> Result<Value, ApiError> {
    let typed = typed(&call.resource, &call.info.version);
    let writer = writer(call, part);
    let mut writers = Writers::read(live);
    let before = writers
        .0
        .get(&writer)
        .map(|(fields, _)| fields.clone())
        .unwrap_or_default();
    let owned = Fields::of(config, typed);
    let mut new = merge(live, config, typed, true);
    writers
        .0
        .insert(writer.clone(), (owned, object::time(call.now)));
    let still_owned = writers.all();
    let dropped = before.minus(&still_owned);
    // Parents first: an item that goes whole must still be recognised by its key.
    for path in &dropped.0 {
        if !still_owned.any_under(path) {
            remove_path(&mut new, path, typed, &still_owned, &mut Vec::new());
        }
    }
    let difference = Difference::between(live, &new, typed);
    let taken = difference.modified.union(&difference.added);
    let mut conflicts = Vec::new();
    for (other, (fields, _)) in &mut writers.0 {
        if *other == writer {
            continue;
        }
        let contested = fields.common(&taken);
        for path in &contested.0 {
            conflicts.push((other.text(), super::fields::path_text(path)));
        }
        *fields = fields.minus(&contested).minus(&difference.removed);
    }
    if !conflicts.is_empty() && !call.info.flag("force") {
        return Err(ApiError::apply_conflict(&conflicts));
    }
    writers.write(&mut new);
    Ok(new)
}
