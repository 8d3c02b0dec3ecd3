//! The error bodies of the API: `metav1.Status` with the reasons, messages and details that
//! clients match on (`apimachinery/pkg/api/errors`).
//!
//! Nothing here decides whether something is an error.

use serde_json::{Value, json};

use super::{object, registry::Resource};

/// A failure as the API reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, `NotFound` for one.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
    /// `details` of the Status, null when there are none.
    pub details: Value,
}

/// What is wrong with one field of an object (422 bodies list these as causes).
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path such as `spec.replicas`.
    pub field: String,
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// Text after the path: `Invalid value: -1: must be …`.
    pub message: String,
}

impl FieldError {
    /// A value that is not allowed; `shown` is the value as JSON.
    pub fn invalid(field: impl Into<String>, shown: &Value, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {shown}: {}", detail.as_ref());
        FieldError {
            field: field.into(),
            reason: "FieldValueInvalid",
            message,
        }
    }

    /// A value that is not allowed and too big to show.
    pub fn invalid_unshown(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {}", detail.as_ref());
        FieldError {
            field: field.into(),
            reason: "FieldValueInvalid",
            message,
        }
    }

    /// A value that must be there and is not.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            _ => format!("Required value: {detail}"),
        };
        FieldError {
            field: field.into(),
            reason: "FieldValueRequired",
            message,
        }
    }

    /// A value that may not be set or changed here.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        let message = format!("Forbidden: {detail}");
        FieldError {
            field: field.into(),
            reason: "FieldValueForbidden",
            message,
        }
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = details(name, &resource.group, &resource.plural);
        self
    }

    /// 404 for an object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.id());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// 409 on create.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.id());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409 because the resourceVersion is not the current one.
    pub fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(resource, name, why)
    }

    /// 409 for another reason.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflict_on(&resource.group, &resource.plural, name, why)
    }

    /// 409 that names the object by another word than its resource.
    pub fn conflict_on(group: &str, kind: &str, name: &str, why: &str) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        let message =
            format!("Operation cannot be fulfilled on {kind}{dot}{group} \"{name}\": {why}");
        let mut error = Self::new(409, "Conflict", message);
        error.details = details(name, group, kind);
        error
    }

    /// 409 of a server-side apply that would change other managers' fields; each conflict is the
    /// manager (with its details) and the field.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                let message = format!("conflict with {manager}");
                json!({"reason": "FieldManagerConflict", "message": message, "field": field})
            })
            .collect();
        let n = conflicts.len();
        let plural = if n == 1 { "" } else { "s" };
        let mut by_manager: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
        for (manager, field) in conflicts {
            by_manager.entry(manager).or_default().push(field);
        }
        let text: Vec<String> = by_manager
            .iter()
            .map(|(manager, fields)| match fields.as_slice() {
                [one] => format!("conflict with {manager}: {one}"),
                many => format!("conflicts with {manager}:\n- {}", many.join("\n- ")),
            })
            .collect();
        let message = format!(
            "Apply failed with {n} conflict{plural}: {}",
            text.join("\n")
        );
        let mut error = Self::new(409, "Conflict", message);
        error.details = json!({"causes": causes});
        error
    }

    /// 422 with the fields that are wrong.
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_kind(&resource.group, &resource.kind, name, errors)
    }

    /// 422 about an object of another kind than the resource's (a Scale).
    pub fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        let message = format!(
            "{kind}{dot}{group} \"{name}\" is invalid: {}",
            listed(errors)
        );
        let mut error = Self::new(422, "Invalid", message);
        error.details = details(name, group, kind);
        object::set(&mut error.details, "causes", causes(errors));
        error
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut error = Self::new(405, "MethodNotAllowed", message);
        error.details = json!({});
        error
    }

    /// 404 for a subresource or path below a known resource.
    pub fn no_such_resource() -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = json!({});
        error
    }

    /// 406: none of the media types of `Accept` can be written.
    pub fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, \
                       application/yaml, application/vnd.kubernetes.protobuf";
        let mut error = Self::new(406, "NotAcceptable", message);
        error.details = json!({});
        error
    }

    /// 500 with a text and no reason, which is how some mistakes of a client come out.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 422 about the options of a request rather than an object.
    pub fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{kind}.meta.k8s.io \"\" is invalid: {}", listed(errors)),
        );
        error.details = json!({"group": "meta.k8s.io", "kind": kind, "causes": causes(errors)});
        error
    }

    /// 410: the requested version has been compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415: a body in a format that this endpoint does not read.
    pub fn unsupported_media_type(builtin: bool) -> Self {
        if !builtin {
            let message = "the body of the request was in an unknown format - accepted media types \
                           include: application/json-patch+json, application/merge-patch+json, \
                           application/apply-patch+yaml";
            return Self::new(415, "UnsupportedMediaType", message);
        }
        let mut error = Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
        error.details = json!({});
        error
    }

    /// 504 for a resourceVersion from the future.
    pub fn version_too_large(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let mut error = Self::new(504, "Timeout", message);
        error.details = json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        });
        error
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// A failure that a test asked for.
    pub fn injected(code: u16, reason: &'static str) -> Self {
        Self::new(code, reason, format!("injected fault: {code} {reason}"))
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            object::set(&mut status, "reason", self.reason);
        }
        if !self.details.is_null() {
            object::set(&mut status, "details", self.details.clone());
        }
        status
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for ApiError {}

/// `details` naming one object; the group is left out for the core group, as the real server does.
fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({"kind": kind});
    if !name.is_empty() {
        object::set(&mut details, "name", name);
    }
    if !group.is_empty() {
        object::set(&mut details, "group", group);
    }
    details
}

/// All errors in one sentence; the same one twice is said once.
fn listed(errors: &[FieldError]) -> String {
    let mut text: Vec<String> = Vec::new();
    for error in errors {
        let one = format!("{}: {}", error.field, error.message);
        if !text.contains(&one) {
            text.push(one);
        }
    }
    match text.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn causes(errors: &[FieldError]) -> Value {
    let cause =
        |e: &FieldError| json!({"reason": e.reason, "message": e.message, "field": e.field});
    Value::Array(errors.iter().map(cause).collect())
}
