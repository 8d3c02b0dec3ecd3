//! Structural schemas: filling defaults and checking values, as the API server does for custom
//! resources. What they say of a field's place is in [`crate::sim::structural`].
//!
//! Messages follow `kube-openapi/pkg/validation` and `apiextensions-apiserver`, because people and
//! tests match on them. Rules in CEL are in [`cel_rules`].

pub(super) mod builtin;
pub(super) mod cel_rules;
mod validate;

use serde_json::Value;

pub(super) use crate::sim::structural::{field_schema, flag, map_values, prune, resolve};
pub(super) use validate::validate;

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
