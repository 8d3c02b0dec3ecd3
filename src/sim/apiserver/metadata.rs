//! `metadata`: which fields exist, which names are valid, what may never change.

use serde_json::{Value, json};

use super::{object, registry::Resource, status_errors::FieldError};

/// The fields of `ObjectMeta`.
const FIELDS: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Kubernetes' limit on all annotations of an object together, in bytes.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

/// Drops metadata fields that do not exist, and empty ones that the real server would not store.
/// Returns the paths of the unknown ones.
pub(super) fn prune(value: &mut Value) -> Vec<String> {
    let map = object::meta_mut(value);
    let known = |name: &str| FIELDS.contains(&name);
    let unknown = map
        .keys()
        .filter(|k| !known(k))
        .map(|k| format!("metadata.{k}"))
        .collect();
    map.retain(|name, value| {
        let empty = match value {
            Value::Null => true,
            Value::Object(m) => m.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::String(s) => s.is_empty(),
            _ => false,
        };
        known(name) && !empty && name != "selfLink"
    });
    unknown
}

/// Everything wrong with the metadata of an object.
pub(super) fn problems(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = object::meta(object, "name");
    if name.is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::required("metadata.name", detail));
    } else if let Some(detail) = name_problem(resource, name) {
        errors.push(FieldError::invalid("metadata.name", &name.into(), detail));
    }
    labels(object, &mut errors);
    annotations(object, &mut errors);
    owners(object, &mut errors);
    errors
}

/// Changes that no update may make.
pub(super) fn immutable(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let (was, is) = (object::meta(old, field), object::meta(new, field));
        if was != is {
            errors.push(FieldError::invalid(
                format!("metadata.{field}"),
                &is.into(),
                "field is immutable",
            ));
        }
    }
    if object::is_terminating(old) {
        let before = object::meta_strings(old, "finalizers");
        let added: Vec<String> = object::meta_strings(new, "finalizers")
            .into_iter()
            .filter(|f| !before.contains(f))
            .collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &detail));
        }
    }
    errors
}

const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
     alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
     (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
     characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
     '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric \
     characters or '-', start with an alphabetic character, and end with an alphanumeric character \
     (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric \
     characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
     'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART_TEXT: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
     '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Why a name is not valid for the kind; none when it is.
fn name_problem(resource: &Resource, name: &str) -> Option<String> {
    match resource.id().as_str() {
        "services" => {
            let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
            label_problem(name, LABEL_1035_TEXT)
                .or_else(|| (!starts).then(|| LABEL_1035_TEXT.to_owned()))
        }
        "namespaces" => label_problem(name, LABEL_1123_TEXT),
        "events" | "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            None
        }
        _ => subdomain_problem(name),
    }
}

fn lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    text.starts_with(lower_alphanumeric)
        && text.ends_with(lower_alphanumeric)
        && text.chars().all(|c| lower_alphanumeric(c) || c == '-')
}

fn label_problem(name: &str, text: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 characters".to_owned());
    }
    (!is_label(name)).then(|| text.to_owned())
}

fn subdomain_problem(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some("must be no more than 253 characters".to_owned());
    }
    (!name.split('.').all(is_label)).then(|| SUBDOMAIN_TEXT.to_owned())
}

fn is_qualified_part(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text
            .chars()
            .all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

/// Why a label or annotation key is not valid; none when it is.
fn key_problem(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|p| subdomain_problem(p).is_some()) {
        return Some(format!("prefix part {SUBDOMAIN_TEXT}"));
    }
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 characters".to_owned());
    }
    (!is_qualified_part(name)).then(|| NAME_PART_TEXT.to_owned())
}

/// Why a label value is not valid; none when it is.
fn label_value_problem(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 characters".to_owned());
    }
    (!value.is_empty() && !is_qualified_part(value)).then(|| LABEL_VALUE_TEXT.to_owned())
}

fn labels(object: &Value, errors: &mut Vec<FieldError>) {
    let labels = object::meta_value(object, "labels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        if let Some(detail) = key_problem(key) {
            errors.push(FieldError::invalid("metadata.labels", &json!(key), detail));
        }
        if let Some(detail) = value.as_str().and_then(label_value_problem) {
            errors.push(FieldError::invalid("metadata.labels", value, detail));
        }
    }
}

fn annotations(object: &Value, errors: &mut Vec<FieldError>) {
    let annotations = object::meta_value(object, "annotations").and_then(Value::as_object);
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(detail) = key_problem(&key.to_lowercase()) {
            errors.push(FieldError::invalid(
                "metadata.annotations",
                &json!(key),
                detail,
            ));
        }
    }
    if size > ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError {
            field: "metadata.annotations".to_owned(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {ANNOTATIONS_MAX_BYTES} bytes"),
        });
    }
}

fn owners(object: &Value, errors: &mut Vec<FieldError>) {
    let owners = object::meta_value(object, "ownerReferences").and_then(Value::as_array);
    let mut controllers = 0;
    for owner in owners.into_iter().flatten() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .is_empty()
            {
                let path = format!("metadata.ownerReferences.{field}");
                errors.push(FieldError::invalid(path, &json!(""), "must not be empty"));
            }
        }
        controllers += usize::from(owner.get("controller") == Some(&Value::Bool(true)));
    }
    if controllers > 1 {
        let shown = owners.map(|o| Value::Array(o.clone())).unwrap_or_default();
        let detail = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            &shown,
            detail,
        ));
    }
}
