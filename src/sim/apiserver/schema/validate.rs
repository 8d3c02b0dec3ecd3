//! Values against a structural schema: types, ranges, lengths, patterns, required fields, enums
//! and the logical combinations.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock},
};

use regex::Regex;
use serde_json::{Map, Value};

use crate::sim::apiserver::status_errors::FieldError;

/// Checks `value` and appends what is wrong; `path` is the field path of the value.
///
/// The root's `apiVersion`, `kind` and `metadata` are checked elsewhere.
pub(in crate::sim::apiserver) fn validate(
    value: &Value,
    schema: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if value.is_null()
        && schema
            .get("nullable")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    {
        return;
    }
    if !type_matches(value, schema) {
        errors.push(wrong_type(value, schema, path));
    }
    enumeration(value, schema, path, errors);
    match value {
        Value::Number(_) => numbers(value, schema, path, errors),
        Value::String(text) => strings(text, schema, path, errors),
        Value::Array(items) => arrays(items, schema, path, errors),
        Value::Object(map) => objects(map, schema, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    combinations(value, schema, path, errors);
}

pub(super) fn type_matches(value: &Value, schema: &Value) -> bool {
    let int_or_string = schema
        .get("x-kubernetes-int-or-string")
        .and_then(Value::as_bool);
    if int_or_string.unwrap_or(false) {
        return value.is_i64() || value.is_u64() || value.is_string();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn wrong_type(value: &Value, schema: &Value, path: &str) -> FieldError {
    let int_or_string = schema.get("x-kubernetes-int-or-string").is_some();
    let wanted = match schema.get("type").and_then(Value::as_str) {
        _ if int_or_string => "integer,string",
        Some(wanted) => wanted,
        None => "object",
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
    let mut error = FieldError::invalid(path, &Value::from(found), detail);
    error.reason = "FieldValueTypeInvalid";
    error
}

fn enumeration(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(allowed) = schema.get("enum").and_then(Value::as_array) else {
        return;
    };
    if allowed.contains(value) {
        return;
    }
    let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
    errors.push(FieldError {
        field: path.to_owned(),
        reason: "FieldValueNotSupported",
        message: format!(
            "Unsupported value: {value}: supported values: {}",
            names.join(", ")
        ),
    });
}

fn numbers(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let exclusive = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut fail = |what: &str, limit: f64| {
        let detail = format!("{path} in body should be {what} {limit}");
        errors.push(FieldError::invalid(path, value, detail));
    };
    if let Some(limit) = schema.get("minimum").and_then(Value::as_f64) {
        if exclusive("exclusiveMinimum") && number <= limit {
            fail("greater than", limit);
        } else if number < limit {
            fail("greater than or equal to", limit);
        }
    }
    if let Some(limit) = schema.get("maximum").and_then(Value::as_f64) {
        if exclusive("exclusiveMaximum") && number >= limit {
            fail("less than", limit);
        } else if number > limit {
            fail("less than or equal to", limit);
        }
    }
    if let Some(step) = schema.get("multipleOf").and_then(Value::as_f64)
        && step > 0.0
        && (number / step).fract() != 0.0
    {
        fail("a multiple of", step);
    }
    let in_format = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX),
        _ => true,
    };
    if !in_format {
        let detail = format!("{path} in body must be of type int32: {value}");
        errors.push(FieldError::invalid(path, value, detail));
    }
}

fn limit(schema: &Value, name: &str) -> Option<usize> {
    schema
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

/// Of length and pattern only the first that fails is reported.
fn strings(text: &str, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let value = Value::from(text);
    let length = text.chars().count();
    let pattern = schema.get("pattern").and_then(Value::as_str);
    if let Some(max) = limit(schema, "maxLength").filter(|max| length > *max) {
        errors.push(FieldError {
            field: path.to_owned(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {max} bytes"),
        });
    } else if let Some(min) = limit(schema, "minLength").filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, &value, detail));
    } else if let Some(pattern) = pattern.filter(|p| !pattern_matches(p, text)) {
        let detail = format!("{path} in body should match '{pattern}'");
        errors.push(FieldError::invalid(path, &value, detail));
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && !format_matches(format, text)
    {
        let detail = format!("{path} in body must be of type {format}: {value}");
        errors.push(FieldError::invalid(path, &value, detail));
    }
}

/// Compiled patterns are kept: the same schemas are used for every write. A pattern that this
/// regex engine cannot read is treated as matching, since the real server has accepted the CRD.
fn pattern_matches(pattern: &str, text: &str) -> bool {
    static COMPILED: OnceLock<Mutex<BTreeMap<String, Option<Regex>>>> = OnceLock::new();
    let cache = COMPILED.get_or_init(Mutex::default);
    let mut cache = cache
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let compiled = cache
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).ok());
    compiled.as_ref().is_none_or(|regex| regex.is_match(text))
}

fn format_matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => true,
    }
}

fn arrays(items: &[Value], schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(max) = limit(schema, "maxItems").filter(|max| items.len() > *max) {
        errors.push(FieldError {
            field: path.to_owned(),
            reason: "FieldValueTooMany",
            message: format!("Too many: {}: must have at most {max} items", items.len()),
        });
    }
    if let Some(min) = limit(schema, "minItems").filter(|min| items.len() < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        errors.push(FieldError::invalid(path, &Value::from(items.len()), detail));
    }
    if let Some(inner) = schema.get("items") {
        for (at, item) in items.iter().enumerate() {
            validate(item, inner, &format!("{path}[{at}]"), errors);
        }
    }
    duplicates(items, schema, path, errors);
}

/// Sets may hold a value once, maps a key once.
fn duplicates(items: &[Value], schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let identity = |item: &Value| -> Option<Value> {
        match schema.get("x-kubernetes-list-type")?.as_str()? {
            "set" => Some(item.clone()),
            "map" => {
                let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?;
                let mut identity = Map::new();
                for key in keys.iter().filter_map(Value::as_str) {
                    identity.insert(key.to_owned(), item.get(key)?.clone());
                }
                Some(Value::Object(identity))
            }
            _ => None,
        }
    };
    let mut seen: Vec<Value> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else {
            continue;
        };
        if seen.contains(&identity) {
            errors.push(FieldError {
                field: format!("{path}[{at}]"),
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {identity}"),
            });
        } else {
            seen.push(identity);
        }
    }
}

fn objects(map: &Map<String, Value>, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let join = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    if let Some(min) = limit(schema, "minProperties").filter(|min| map.len() < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        errors.push(FieldError::invalid(path, &Value::from(map.len()), detail));
    }
    if let Some(max) = limit(schema, "maxProperties").filter(|max| map.len() > *max) {
        errors.push(FieldError {
            field: path.to_owned(),
            reason: "FieldValueTooMany",
            message: format!("Too many: {}: must have at most {max} items", map.len()),
        });
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            errors.push(FieldError::required(join(name), ""));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in map {
        if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        match properties.and_then(|p| p.get(name)) {
            Some(inner) => validate(value, inner, &join(name), errors),
            None => {
                if let Some(inner) = super::map_values(schema) {
                    validate(value, inner, &join(name), errors);
                }
            }
        }
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`. The real server names no field for these and adds the errors
/// of the alternative that came nearest.
fn combinations(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let failures = |name: &str| -> Option<Vec<Vec<FieldError>>> {
        let parts = schema.get(name)?.as_array()?;
        let failures = parts.iter().map(|part| {
            let mut found = Vec::new();
            validate(value, part, path, &mut found);
            found
        });
        Some(failures.collect())
    };
    let composite = |text: &str| {
        FieldError::invalid("<nil>", &Value::from(""), format!("\"{path}\" must {text}"))
    };
    let nearest = |all: Vec<Vec<FieldError>>| all.into_iter().min_by_key(Vec::len);
    if let Some(all) = failures("allOf").filter(|all| all.iter().any(|f| !f.is_empty())) {
        errors.extend(all.into_iter().flatten());
        errors.push(composite("validate all the schemas (allOf)"));
    }
    if let Some(all) = failures("anyOf").filter(|all| all.iter().all(|f| !f.is_empty())) {
        errors.push(composite("validate at least one schema (anyOf)"));
        errors.extend(nearest(all).into_iter().flatten());
    }
    if let Some(all) = failures("oneOf") {
        let text = "validate one and only one schema (oneOf). Found";
        match all.iter().filter(|f| f.is_empty()).count() {
            1 => {}
            0 => {
                errors.push(composite(&format!("{text} none valid")));
                errors.extend(nearest(all).into_iter().flatten());
            }
            n => errors.push(composite(&format!("{text} {n} valid alternatives"))),
        }
    }
    if let Some(not) = schema.get("not").filter(|n| n.is_object()) {
        let mut found = Vec::new();
        validate(value, not, path, &mut found);
        if found.is_empty() {
            errors.push(composite("not validate the schema (not)"));
        }
    }
}
