//! The forms in which an answer can be asked for: whole objects, their metadata, or a table.
//!
//! `Accept: application/json;as=…;g=meta.k8s.io;v=v1`. The first form of the list that this server
//! knows is used.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{object, registry::Resource, table, verbs::Body};

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    /// As they are.
    Objects,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `Table`, with or without the metadata of each row's object.
    Table(IncludeObject),
}

/// What a table's rows carry beside their cells (`includeObject=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata.
    Metadata,
    /// The whole object.
    Object,
}

impl Representation {
    /// Reads the `Accept` header; none when nothing in it is JSON.
    pub(super) fn choose(accept: &str, include_object: &str) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Representation::Objects);
        }
        accept.split(',').find_map(|part| {
            let mut parameters = part.split(';').map(str::trim);
            let media = parameters.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                return None;
            }
            let form = parameters.find_map(|p| p.strip_prefix("as="));
            match form {
                None => Some(Representation::Objects),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    Some(Representation::Metadata)
                }
                Some("Table") => Some(Representation::Table(match include_object {
                    "None" => IncludeObject::None,
                    "Object" => IncludeObject::Object,
                    _ => IncludeObject::Metadata,
                })),
                Some(_) => None,
            }
        })
    }

    /// A whole answer.
    pub(super) fn body(
        self,
        resource: &Resource,
        version: &str,
        body: Body,
        now: Timestamp,
    ) -> Value {
        match (self, body) {
            (_, Body::Plain(value)) => value,
            (Representation::Objects, Body::Object(object)) => object,
            (Representation::Metadata, Body::Object(object)) => partial(&object),
            (Representation::Table(include), Body::Object(object)) => {
                let metadata = list_metadata(&object);
                table::table(
                    resource,
                    version,
                    vec![object],
                    &metadata,
                    include,
                    true,
                    now,
                )
            }
            (Representation::Objects, Body::List(metadata, items)) => {
                list(resource, version, metadata, items)
            }
            (Representation::Metadata, Body::List(metadata, items)) => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items.iter().map(partial).collect::<Vec<_>>(),
            }),
            (Representation::Table(include), Body::List(metadata, items)) => {
                table::table(resource, version, items, &metadata, include, true, now)
            }
        }
    }

    /// The object of a watch event; only the first table of a stream names its columns.
    pub(super) fn event_object(
        self,
        resource: &Resource,
        version: &str,
        object: Value,
        first: bool,
        now: Timestamp,
    ) -> Value {
        match self {
            Representation::Objects => object,
            Representation::Metadata => partial(&object),
            Representation::Table(include) => {
                let metadata = list_metadata(&object);
                table::table(
                    resource,
                    version,
                    vec![object],
                    &metadata,
                    include,
                    first,
                    now,
                )
            }
        }
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(self, object: Value) -> Value {
        match self {
            Representation::Objects => object,
            Representation::Metadata => partial(&object),
            Representation::Table(_) => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": object::meta(&object, "resourceVersion")},
                "columnDefinitions": [],
                "rows": [],
            }),
        }
    }
}

fn list_metadata(object: &Value) -> Value {
    json!({"resourceVersion": object::meta(object, "resourceVersion")})
}

/// `PartialObjectMetadata` of an object.
pub(super) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object::field(object, "metadata"),
    })
}

/// A list object. Items of built-in kinds do not repeat their type, those of custom ones do.
fn list(resource: &Resource, version: &str, mut metadata: Value, mut items: Vec<Value>) -> Value {
    if !resource.builtin && metadata.get("continue").is_none() {
        object::set(&mut metadata, "continue", "");
    }
    if resource.builtin {
        for item in &mut items {
            let map: &mut Map<String, Value> = object::as_map_mut(item);
            map.remove("apiVersion");
            map.remove("kind");
        }
    }
    json!({
        "kind": format!("{}List", resource.kind),
        "apiVersion": resource.api_version(version),
        "metadata": metadata,
        "items": items,
    })
}
