//! What a weight means at each router, as a patch: one file per router.
//!
//! Pure functions on the JSON of the router's own objects, so that nothing a user wrote is dropped
//! because a typed struct did not know it. Nothing here reads or writes a cluster, waits, or
//! decides: `read` says what an object says, the other functions say how it is changed. Open
//! [`gateway_api`] and write the file for another router by its example.

pub mod gateway_api;
pub mod header_rules;
pub mod ingress_class;
pub mod ingress_nginx;
pub mod managed_route;
pub mod mirror;
pub mod router;
pub mod service;
pub mod side_routes;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The field manager of everything that Tidegate writes.
pub const FIELD_MANAGER: &str = "tidegate";

/// Label with the name of the Rollout, on everything that Tidegate creates for one.
pub use crate::api::revert::ROLLOUT_LABEL;

/// The two Services between which a route divides the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backends<'a> {
    /// Selects the canary.
    pub canary: &'a str,
    /// Selects stable.
    pub stable: &'a str,
}

/// The Rollout that owns what Tidegate creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

impl Owner<'_> {
    /// The controller reference to it.
    #[must_use]
    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": "tidegate.io/v1alpha1",
            "kind": "Rollout",
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// Whether it is the controller of `object`: by uid, because a name may come back.
    #[must_use]
    pub fn controls(&self, object: &Value) -> bool {
        controller_uid(object) == Some(self.uid)
    }

    /// Who owns `object`, in words.
    fn owner_of(object: &Value) -> String {
        let references = object
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array);
        match references.into_iter().flatten().find(|r| is_controller(r)) {
            Some(r) => format!("owned by {} {}", text(r, "/kind"), text(r, "/name")),
            None => "owned by nobody".to_owned(),
        }
    }

    /// `metadata` of an object that Tidegate creates for it.
    fn metadata(&self, name: &str) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("name".into(), name.into());
        metadata.insert("namespace".into(), self.namespace.into());
        metadata.insert("labels".into(), json!({ ROLLOUT_LABEL: self.name }));
        metadata.insert("ownerReferences".into(), json!([self.reference()]));
        metadata
    }
}

/// The uid of an object's controller.
#[must_use]
pub fn controller_uid(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/ownerReferences")?
        .as_array()?
        .iter()
        .find(|r| is_controller(r))?
        .get("uid")?
        .as_str()
}

fn is_controller(reference: &Value) -> bool {
    reference.get("controller").and_then(Value::as_bool) == Some(true)
}

/// The resourceVersion of an object as read; empty if it has none, which no write will match.
fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

fn timestamp(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// `part` out of `total` in percent, rounded up: exposure is never told smaller than it is.
fn percent(part: i64, total: i64) -> i32 {
    if total <= 0 {
        return 0;
    }
    let rounded_up = (part.clamp(0, total) * 100 + total - 1) / total;
    i32::try_from(rounded_up).unwrap_or(100)
}

/// Who wrote the field at `path` of an object, and when they last changed anything of theirs (to the
/// second; kubernetes.io/docs/reference/using-api/server-side-apply, "Field management").
pub(crate) fn writers<'a>(
    object: &'a Value,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, Option<Timestamp>)> {
    list(object, "/metadata/managedFields")
        .iter()
        .filter(|entry| {
            let fields = path.iter().try_fold(entry.get("fieldsV1"), |at, key| {
                at.map(|fields| fields.get(format!("f:{key}")))
            });
            matches!(fields, Some(Some(_)))
        })
        .map(|entry| {
            let time = timestamp(entry.get("time").and_then(Value::as_str));
            (text(entry, "/manager"), time)
        })
}

/// The field manager that last wrote the field at `path` of an object (`f:` keys), other than
/// Tidegate itself.
pub(crate) fn last_writer(object: &Value, path: &[&str]) -> Option<String> {
    writers(object, path)
        .filter(|(manager, _)| *manager != FIELD_MANAGER)
        .max_by_key(|(_, time)| *time)
        .map(|(manager, _)| manager.to_owned())
}

/// When the field at `path` of an object was last changed, by whomever, by the API server's clock: to
/// the second, so that it may have been up to one later.
fn changed_at(object: &Value, path: &[&str]) -> Option<Timestamp> {
    writers(object, path).filter_map(|(_, time)| time).max()
}

/// What the rules of a route say together: the largest weight, and whether all say exactly it.
fn summarise(shares: &[(i64, i64)]) -> (i32, bool) {
    let weight = shares
        .iter()
        .map(|(c, s)| percent(*c, c + s))
        .max()
        .unwrap_or(0);
    let all = shares
        .iter()
        .all(|(c, s)| *c == i64::from(weight) && *s == 100 - i64::from(weight));
    (weight, all && !shares.is_empty())
}

/// Whether everything in `wanted` is in `found` as well. What `found` has besides is the API
/// server's defaulting, which must not look like a foreign change; lists must be equally long.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, want)| found.get(key).is_some_and(|have| covers(have, want))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| covers(f, w))
        }
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests;
