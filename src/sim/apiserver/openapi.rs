//! `/openapi/v3`: one document per group and version.
//!
//! Enough for `kubectl` to see that this server validates fields itself (so that `apply` and
//! `create` need no flag) and for `kubectl explain`. Built-in kinds come with their `k8s-openapi`
//! schemas, custom ones with their CRD's.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    object,
    registry::{Registry, Resource},
    schema::builtin,
};

/// The answer for a path below `/openapi/v3`; none when there is no such document.
pub(super) fn answer(registry: &Registry, path: &str) -> Option<Value> {
    let rest = path.strip_prefix("/openapi/v3")?;
    let parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        [] => Some(index(registry)),
        ["api", version] => document(registry, "", version),
        ["apis", group, version] => document(registry, group, version),
        _ => None,
    }
}

fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for resource in registry.all() {
        for version in &resource.versions {
            let place = place(&resource.group, version);
            let link = json!({"serverRelativeURL": format!("/openapi/v3/{place}")});
            paths.insert(place, link);
        }
    }
    json!({"paths": paths})
}

fn place(group: &str, version: &str) -> String {
    match group {
        "" => format!("api/{version}"),
        group => format!("apis/{group}/{version}"),
    }
}

fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let served =
        |r: &&std::sync::Arc<Resource>| r.group == group && r.versions.iter().any(|v| v == version);
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for resource in registry.all().filter(served) {
        let (collection, item) = operations(resource, version);
        let namespaced = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let base = format!("/{}{namespaced}/{}", place(group, version), resource.plural);
        paths.insert(format!("{base}/{{name}}"), item);
        paths.insert(base, collection);
        add_schema(&mut schemas, resource, version);
    }
    (!paths.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Tidegate's in-memory Kubernetes", "version": "v1.35.0"},
            "paths": paths,
            "components": {"schemas": schemas},
        })
    })
}

fn kind_of(resource: &Resource, version: &str) -> Value {
    json!({"group": resource.group, "version": version, "kind": resource.kind})
}

/// The operations on a collection and on an object, with the parameters that clients look for.
fn operations(resource: &Resource, version: &str) -> (Value, Value) {
    let kind = kind_of(resource, version);
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
            .collect();
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
        })
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let apply = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let collection = json!({
        "get": operation("list", &["labelSelector", "fieldSelector", "limit", "watch"]),
        "post": operation("post", &write),
    });
    let item = json!({
        "get": operation("get", &[]),
        "put": operation("put", &write),
        "patch": operation("patch", &apply),
        "delete": operation("delete", &["dryRun", "propagationPolicy"]),
    });
    (collection, item)
}

/// Adds the schema of a kind and of all that it refers to.
fn add_schema(schemas: &mut Map<String, Value>, resource: &Resource, version: &str) {
    let Some(schema) = resource.schema(version) else {
        return;
    };
    let kinds = json!([kind_of(resource, version)]);
    if let Some(name) = referred(schema) {
        add_definitions(schemas, name);
        if let Some(own) = schemas.get_mut(name) {
            object::set(own, "x-kubernetes-group-version-kind", kinds);
        }
        return;
    }
    let mut parts: Vec<&str> = resource.group.split('.').collect();
    parts.reverse();
    let mut own = (**schema).clone();
    object::set(&mut own, "x-kubernetes-group-version-kind", kinds);
    schemas.insert(
        format!("{}.{version}.{}", parts.join("."), resource.kind),
        own,
    );
}

fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn add_definitions(schemas: &mut Map<String, Value>, name: &str) {
    let Some(definitions) = builtin::definitions().get("$defs") else {
        return;
    };
    let mut todo = BTreeSet::from([name.to_owned()]);
    while let Some(name) = todo.pop_first() {
        let Some(definition) = definitions
            .get(&name)
            .filter(|_| !schemas.contains_key(&name))
        else {
            continue;
        };
        let mut definition = definition.clone();
        relink(&mut definition, &mut todo);
        schemas.insert(name, definition);
    }
}

/// Points references to where OpenAPI keeps schemas, and collects them.
fn relink(value: &mut Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                let name = name.trim_start_matches("#/$defs/").to_owned();
                map.insert(
                    "$ref".to_owned(),
                    format!("#/components/schemas/{name}").into(),
                );
                found.insert(name);
            }
            map.values_mut().for_each(|inner| relink(inner, found));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| relink(inner, found)),
        _ => {}
    }
}
