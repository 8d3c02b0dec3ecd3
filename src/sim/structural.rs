//! What a structural schema says of the fields of an object: which there are, and which of them an API
//! server drops. It knows nothing of requests.

use serde_json::{Map, Value};

/// Follows `$ref: "#/$defs/Name"` or `"#/components/schemas/Name"` in the document `root`.
pub(in crate::sim) fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(pointer) = schema.get("$ref").and_then(Value::as_str) else {
        return schema;
    };
    pointer
        .strip_prefix('#')
        .and_then(|p| root.pointer(p))
        .unwrap_or(schema)
}

pub(in crate::sim) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether fields that the schema does not list are kept.
pub(in crate::sim) fn preserves_unknown(schema: &Value) -> bool {
    flag(schema, "x-kubernetes-preserve-unknown-fields")
}

/// The schema of a map's values, when the schema describes a map.
pub(in crate::sim) fn map_values(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|s| s.is_object())
}

/// The schema of a named field, from `properties`, else from `additionalProperties`.
pub(in crate::sim) fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema
        .get("properties")
        .and_then(|p| p.get(name))
        .or_else(|| map_values(schema))
}

/// Removes the fields that the schema does not know and returns their paths.
///
/// `apiVersion`, `kind` and `metadata` of the root (and of embedded resources) stay: they are
/// described by the API machinery, not by the kind.
///
/// `root` is the document that `$ref`s point into, the schema itself when it has none.
pub(in crate::sim) fn prune(object: &mut Value, schema: &Value, root: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_at(object, schema, root, "", true, &mut unknown);
    unknown
}

fn prune_at(
    value: &mut Value,
    schema: &Value,
    root: &Value,
    path: &str,
    is_resource: bool,
    unknown: &mut Vec<String>,
) {
    let schema = resolve(schema, root);
    match value {
        Value::Object(map) => prune_map(map, schema, root, path, is_resource, unknown),
        Value::Array(items) => {
            let Some(item_schema) = schema.get("items") else {
                return;
            };
            for (at, item) in items.iter_mut().enumerate() {
                let embedded = flag(resolve(item_schema, root), "x-kubernetes-embedded-resource");
                prune_at(
                    item,
                    item_schema,
                    root,
                    &format!("{path}[{at}]"),
                    embedded,
                    unknown,
                );
            }
        }
        _ => {}
    }
}

fn prune_map(
    map: &mut Map<String, Value>,
    schema: &Value,
    root: &Value,
    path: &str,
    is_resource: bool,
    unknown: &mut Vec<String>,
) {
    let keep_all = preserves_unknown(schema) || open_map(schema);
    let names: Vec<String> = map.keys().cloned().collect();
    for name in names {
        if is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let here = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match field_schema(schema, &name) {
            Some(inner) => {
                if let Some(value) = map.get_mut(&name) {
                    let embedded = flag(resolve(inner, root), "x-kubernetes-embedded-resource");
                    prune_at(value, inner, root, &here, embedded, unknown);
                }
            }
            None if keep_all => {}
            None => {
                map.remove(&name);
                unknown.push(here);
            }
        }
    }
}

/// A schema that says nothing about fields: `{}` in built-in schemas stands for any JSON.
fn open_map(schema: &Value) -> bool {
    schema
        .get("additionalProperties")
        .and_then(Value::as_bool)
        .unwrap_or(false)
        || (schema.get("properties").is_none()
            && schema.get("additionalProperties").is_none()
            && schema.get("type").is_none())
}
