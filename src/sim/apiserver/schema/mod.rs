//! Structural schemas: pruning unknown fields, filling defaults and checking values, as the API
//! server does for custom resources (and, for pruning, for built-in kinds).
//!
//! Messages follow `kube-openapi/pkg/validation` and `apiextensions-apiserver`, because people and
//! tests match on them. Rules in CEL are in [`cel_rules`].

pub(super) mod builtin;
pub(super) mod cel_rules;
mod validate;

use serde_json::{Map, Value};

pub(super) use validate::validate;

/// Follows `$ref: "#/$defs/Name"` or `"#/components/schemas/Name"` in the document `root`.
pub(super) fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(pointer) = schema.get("$ref").and_then(Value::as_str) else {
        return schema;
    };
    pointer
        .strip_prefix('#')
        .and_then(|p| root.pointer(p))
        .unwrap_or(schema)
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether fields that the schema does not list are kept.
pub(super) fn preserves_unknown(schema: &Value) -> bool {
    flag(schema, "x-kubernetes-preserve-unknown-fields")
}

/// The schema of a map's values, when the schema describes a map.
pub(super) fn map_values(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|s| s.is_object())
}

/// The schema of a named field, from `properties`, else from `additionalProperties`.
pub(super) fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
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
pub(super) fn prune(object: &mut Value, schema: &Value, root: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_at(object, schema, root, "", true, &mut unknown);
    unknown
}

/// The first value whose JSON type is not the schema's, described as the decoder of a built-in
/// kind would; none when all fit.
pub(super) fn type_problem(
    value: &Value,
    schema: &Value,
    root: &Value,
    path: &str,
) -> Option<String> {
    let schema = resolve(schema, root);
    match value {
        Value::Null => None,
        _ if !validate::type_matches(value, schema) => {
            let wanted = schema
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("int or string");
            Some(format!(
                "cannot unmarshal {value} into field {path} of type {wanted}"
            ))
        }
        Value::Object(map) => map.iter().find_map(|(name, inner)| {
            let here = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            type_problem(inner, field_schema(schema, name)?, root, &here)
        }),
        Value::Array(items) => {
            let item_schema = schema.get("items")?;
            items
                .iter()
                .find_map(|item| type_problem(item, item_schema, root, path))
        }
        _ => None,
    }
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

/// Drops empty maps and lists, which the JSON form of a built-in kind leaves out.
pub(super) fn drop_empty(value: &mut Value, schema: &Value, root: &Value) {
    let schema = resolve(schema, root);
    match value {
        Value::Object(map) => map.retain(|name, inner| {
            let Some(inner_schema) = field_schema(schema, name) else {
                return true;
            };
            drop_empty(inner, inner_schema, root);
            let is_map = map_values(resolve(inner_schema, root)).is_some();
            match inner {
                Value::Object(entries) => !(is_map && entries.is_empty()),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            }
        }),
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| drop_empty(item, item_schema, root));
            }
        }
        _ => {}
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

/// Fills in `default:` values, and drops nulls from fields that are not nullable: such a null gets
/// the default, or vanishes.
pub(super) fn fill_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                !value.is_null() || field_schema(schema, name).is_none_or(|s| flag(s, "nullable"))
            });
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, inner) in properties.into_iter().flatten() {
                if let Some(default) = inner.get("default").filter(|_| !map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, present) in map {
                if let Some(inner) = field_schema(schema, name) {
                    fill_defaults(present, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                items.iter_mut().for_each(|item| fill_defaults(item, inner));
            }
        }
        _ => {}
    }
}
