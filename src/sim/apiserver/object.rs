//! Reading and writing the parts of a JSON object that every Kubernetes kind has in common.
//!
//! Only accessors: nothing here knows a kind, a rule or the store.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// `metadata.<field>` as a string; empty when absent or of another type.
pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata.<field>` whatever its type.
pub(super) fn meta_value<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .filter(|v| !v.is_null())
}

/// The metadata map, created when the object has none.
pub(super) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    let map = as_map_mut(object);
    let slot = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    as_map_mut(slot)
}

/// Sets `metadata.<field>`.
pub(super) fn set_meta(object: &mut Value, field: &str, value: impl Into<Value>) {
    meta_mut(object).insert(field.to_owned(), value.into());
}

/// Sets `metadata.<field>` to what another object has there, or removes it when it has nothing.
pub(super) fn copy_meta(object: &mut Value, from: &Value, field: &str) {
    match meta_value(from, field) {
        Some(value) => set_meta(object, field, value.clone()),
        None => {
            meta_mut(object).remove(field);
        }
    }
}

/// The object as a map. Anything else becomes an empty map first, so that callers after the
/// decoding step (which refuses non-objects) need no error path.
pub(super) fn as_map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object just above"),
    }
}

/// A top-level field, or null.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

/// Sets a top-level field.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    as_map_mut(object).insert(name.to_owned(), value.into());
}

/// Sets a top-level field to what another object has there, or removes it.
pub(super) fn copy_field(object: &mut Value, from: &Value, name: &str) {
    let map = as_map_mut(object);
    match from.get(name) {
        Some(value) => {
            map.insert(name.to_owned(), value.clone());
        }
        None => {
            map.remove(name);
        }
    }
}

/// The value at a dotted path such as `.spec.replicas`; only plain field names.
pub(super) fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = object;
    for part in path.split('.').filter(|p| !p.is_empty()) {
        here = here.get(part)?;
    }
    (!here.is_null()).then_some(here)
}

/// Sets the value at a dotted path, making the maps on the way.
pub(super) fn set_path(object: &mut Value, path: &str, value: Value) {
    let mut here = object;
    for part in path.split('.').filter(|p| !p.is_empty()) {
        here = as_map_mut(here)
            .entry(part.to_owned())
            .or_insert(Value::Null);
    }
    *here = value;
}

/// The strings of a list under metadata, `finalizers` for one.
pub(super) fn meta_strings(object: &Value, field: &str) -> Vec<String> {
    meta_value(object, field)
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

/// Uids of the owners named in `metadata.ownerReferences`.
pub(super) fn owner_uids(object: &Value) -> Vec<String> {
    meta_value(object, "ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|o| o.get("uid").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

/// Whether deletion has begun.
pub(super) fn is_terminating(object: &Value) -> bool {
    meta_value(object, "deletionTimestamp").is_some()
}

/// A time as `metav1.Time` writes it: RFC 3339 in whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
