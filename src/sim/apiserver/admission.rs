//! What happens to an object between the wire and the store: metadata rules, unknown fields,
//! defaults and validation.
//!
//! No preconditions and no storage here; those are the verbs'.

use serde_json::Value;

use super::{
    builtin_defaults, builtin_rules, metadata, object,
    registry::Resource,
    schema::{self, cel_rules},
    status_errors::{ApiError, FieldError},
};

/// What to do about fields that the kind does not know (`fieldValidation=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownFields {
    /// Drop them.
    Ignore,
    /// Drop them and say so in a `Warning` header; the default of the API.
    Warn,
    /// Refuse the request.
    Strict,
}

impl UnknownFields {
    /// Reads the query parameter.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "" | "Warn" => Ok(UnknownFields::Warn),
            "Ignore" => Ok(UnknownFields::Ignore),
            "Strict" => Ok(UnknownFields::Strict),
            other => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \
                 \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Drops unknown fields and fills in defaults. Returns the warnings to send along.
pub(super) fn decode(
    resource: &Resource,
    version: &str,
    object: &mut Value,
    unknown_fields: UnknownFields,
) -> Result<Vec<String>, ApiError> {
    let mut unknown = metadata::prune(object);
    if let Some(schema) = resource.schema(version) {
        let root = resource.definitions().map_or(&**schema, |d| &**d);
        if resource.builtin {
            if let Some(problem) = schema::type_problem(object, schema, root, "") {
                let kind = &resource.kind;
                return Err(ApiError::bad_request(format!(
                    "{kind} in version \"{version}\" cannot be handled as a {kind}: {problem}"
                )));
            }
            drop_nulls(object);
            schema::drop_empty(object, schema, root);
        }
        unknown.extend(schema::prune(object, schema, root));
        if !resource.builtin {
            schema::fill_defaults(object, schema);
        }
    }
    if resource.builtin {
        builtin_defaults::fill_defaults(resource, object);
    }
    let warnings: Vec<String> = unknown
        .iter()
        .map(|f| format!("unknown field \"{f}\""))
        .collect();
    match unknown_fields {
        UnknownFields::Strict if !warnings.is_empty() => {
            let kind = &resource.kind;
            let list = warnings.join(", ");
            let text = format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding \
                 error: {list}"
            );
            Err(ApiError::bad_request(text))
        }
        UnknownFields::Ignore => Ok(Vec::new()),
        _ => Ok(warnings),
    }
}

/// What of an object a request changes, and therefore what is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// All of it.
    Whole,
    /// The status alone.
    Status,
}

/// Checks an object about to be stored; `old` is what it replaces.
pub(super) fn validate(
    resource: &Resource,
    version: &str,
    new: &Value,
    old: Option<&Value>,
    checked: Checked,
) -> Result<(), ApiError> {
    let mut errors = metadata::problems(resource, new);
    if let Some(old) = old {
        // The real server checks this once for all kinds and once in each kind.
        errors.extend(metadata::immutable(new, old));
        errors.extend(metadata::immutable(new, old));
    }
    if resource.builtin {
        builtin_rules::validate(resource, new, old, &mut errors);
    } else if let Some(schema) = resource.schema(version) {
        custom_problems(resource, schema, new, old, checked, &mut errors);
    }
    refuse(resource, object::meta(new, "name"), &errors)
}

/// What a schema and its rules say of an object of a kind that is not built in.
pub(super) fn custom_problems(
    resource: &Resource,
    schema: &Value,
    new: &Value,
    old: Option<&Value>,
    checked: Checked,
    errors: &mut Vec<FieldError>,
) {
    let status_schema = schema.get("properties").and_then(|p| p.get("status"));
    match (checked, new.get("status"), status_schema) {
        (Checked::Whole, _, _) => schema::validate(new, schema, "", errors),
        (Checked::Status, Some(status), Some(schema)) => {
            // Texts name the path from the status on, fields the path from the root.
            let mut found = Vec::new();
            schema::validate(status, schema, "", &mut found);
            errors.extend(found.into_iter().map(|mut error| {
                if error.field != "<nil>" {
                    error.field = format!("status.{}", error.field);
                }
                error
            }));
        }
        (Checked::Status, _, _) => {}
    }
    if let Some(paths) = &resource.scale {
        let path = match checked {
            Checked::Whole => &paths.spec,
            Checked::Status => &paths.status,
        };
        scale_problem(new, path, errors);
    }
    if !errors.iter().any(blocks_rules) {
        errors.extend(cel_rules::check(new, old, schema));
    } else if cel_rules::has_rules(schema) {
        errors.push(FieldError::invalid("<nil>", &Value::Null, RULES_SKIPPED));
    }
}

const RULES_SKIPPED: &str = "some validation rules were not checked because the object was \
     invalid; correct the existing errors to complete validation";

/// Whether an error leaves an object that rules could not be evaluated on.
fn blocks_rules(error: &FieldError) -> bool {
    matches!(
        error.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

/// The scale subresource asks more of its numbers than the schema may.
fn scale_problem(new: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(replicas) = object::at_path(new, path) else {
        return;
    };
    match replicas.as_i64() {
        Some(0..) => {}
        Some(_) => {
            let detail = "should be a non-negative integer";
            errors.push(FieldError::invalid(path, replicas, detail));
        }
        None => {
            let (shown, kind) = match replicas {
                Value::String(text) => (text.clone(), "string"),
                Value::Number(n) => (n.to_string(), "float64"),
                Value::Bool(b) => (b.to_string(), "bool"),
                other => (other.to_string(), "map[string]interface {}"),
            };
            let detail =
                format!("{path} accessor error: {shown} is of the type {kind}, expected int64");
            errors.push(FieldError::invalid(path, &Value::from(0), detail));
        }
    }
}

fn refuse(resource: &Resource, name: &str, errors: &[FieldError]) -> Result<(), ApiError> {
    match errors {
        [] => Ok(()),
        some => Err(ApiError::invalid(resource, name, some)),
    }
}

/// A null in a built-in kind is an absent field (a nil pointer in the Go type).
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
