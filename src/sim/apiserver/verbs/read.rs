//! GET and LIST.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Body, Call, Reply, State, storage_id};
use crate::sim::apiserver::{
    object,
    selectors::{FieldSelector, LabelSelector},
    status_errors::ApiError,
    store::ObjectKey,
};

/// One object.
pub(in crate::sim::apiserver) fn get(state: &State, call: &Call<'_>) -> Result<Reply, ApiError> {
    wanted_version(state, call)?;
    let found = call.find(state)?;
    Ok(Reply::object(200, call.present(&found), Vec::new()))
}

/// What a list or a watch is narrowed to.
#[derive(Debug, Clone, Default)]
pub(in crate::sim::apiserver) struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    /// Reads the selectors of a request.
    pub(in crate::sim::apiserver) fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        Ok(Filter {
            labels: LabelSelector::parse(call.info.param("labelSelector"))?,
            fields: FieldSelector::parse(call.info.param("fieldSelector"), &call.resource)?,
        })
    }

    /// Whether an object passes.
    pub(in crate::sim::apiserver) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// A collection, whole or in pages.
///
/// Pages are read at the version of the first one, as the real server does, so that a paged list
/// is one consistent snapshot; when that version is forgotten the answer is 410.
pub(in crate::sim::apiserver) fn list(state: &State, call: &Call<'_>) -> Result<Reply, ApiError> {
    let filter = Filter::of(call)?;
    let limit: usize = match call.info.param("limit") {
        "" => 0,
        text => text.parse().map_err(|_| {
            ApiError::bad_request(format!("limit: invalid value \"{text}\": must be a number"))
        })?,
    };
    let (version, start) = match call.info.param("continue") {
        "" => (list_version(state, call)?, None),
        token => {
            let (version, start) = read_token(token)?;
            (version, Some(start))
        }
    };
    let mut matching = snapshot(state, call, version)?;
    matching.retain(|(_, object)| filter.matches(object));
    if let Some(start) = start {
        matching.retain(|(key, _)| (&key.namespace, &key.name) > (&start.namespace, &start.name));
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if limit > 0 && matching.len() > limit {
        let remaining = matching.len() - limit;
        matching.truncate(limit);
        if let Some((last, _)) = matching.last() {
            object::set(&mut metadata, "continue", write_token(version, last));
        }
        if call.info.param("labelSelector").is_empty()
            && call.info.param("fieldSelector").is_empty()
        {
            object::set(&mut metadata, "remainingItemCount", remaining);
        }
    }
    let items = matching
        .iter()
        .map(|(_, object)| call.present(object))
        .collect();
    Ok(Reply {
        code: 200,
        body: Body::List(metadata, items),
        warnings: Vec::new(),
    })
}

/// Refuses a version from the future; returns the one asked for.
fn wanted_version(state: &State, call: &Call<'_>) -> Result<Option<u64>, ApiError> {
    let text = call.info.param("resourceVersion");
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let wanted: u64 = text.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "Invalid resourceVersion: \"{text}\": must be a number"
        ))
    })?;
    match wanted > state.store.version() {
        true => Err(ApiError::version_too_large(wanted, state.store.version())),
        false => Ok(Some(wanted)),
    }
}

fn list_version(state: &State, call: &Call<'_>) -> Result<u64, ApiError> {
    let wanted = wanted_version(state, call)?;
    match (call.info.param("resourceVersionMatch"), wanted) {
        ("Exact", Some(exact)) => Ok(exact),
        _ => Ok(state.store.version()),
    }
}

fn snapshot(
    state: &State,
    call: &Call<'_>,
    version: u64,
) -> Result<Vec<(ObjectKey, Arc<Value>)>, ApiError> {
    let id = storage_id(&call.resource);
    let namespace = call.info.namespace.as_str();
    if version == state.store.version() {
        let now = state.store.list(&id, namespace);
        return Ok(now.map(|(k, v)| (k.clone(), Arc::clone(v))).collect());
    }
    state.store.list_at(&id, namespace, version).ok_or_else(|| {
        ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the \
             list.",
        )
    })
}

/// A page's end as an opaque token: version, namespace and name in hexadecimal.
fn write_token(version: u64, last: &ObjectKey) -> String {
    let text = format!("{version}/{}/{}", last.namespace, last.name);
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

fn read_token(token: &str) -> Result<(u64, ObjectKey), ApiError> {
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
        .collect();
    let text = bytes
        .and_then(|b| String::from_utf8(b).ok())
        .unwrap_or_default();
    let mut parts = text.splitn(3, '/');
    let version = parts.next().and_then(|v| v.parse().ok());
    match (version, parts.next(), parts.next()) {
        (Some(version), Some(namespace), Some(name)) => {
            Ok((version, ObjectKey::new("", namespace, name)))
        }
        _ => Err(ApiError::bad_request("continue key is not valid")),
    }
}
