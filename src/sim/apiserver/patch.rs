//! JSON patch and JSON merge patch (RFC 6902, RFC 7386), and the reading of request bodies.
//!
//! Strategic merge and apply have files of their own, since both need the schema.

use json_patch::PatchOperation;
use serde_json::Value;

use super::status_errors::ApiError;

/// Kubernetes' limit on operations in one JSON patch.
const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;

/// A request body as a JSON object. YAML is read too: apply bodies may be YAML.
pub(super) fn read_object(body: &[u8]) -> Result<Value, ApiError> {
    match read_any(body)? {
        object @ Value::Object(_) => Ok(object),
        other => {
            let text = format!(
                "json: cannot unmarshal {} into an object",
                type_name(&other)
            );
            Err(ApiError::bad_request(text))
        }
    }
}

fn read_any(body: &[u8]) -> Result<Value, ApiError> {
    let json_error = match serde_json::from_slice::<Value>(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let looks_like_json = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let text = std::str::from_utf8(body).map_err(|e| ApiError::bad_request(e.to_string()))?;
    if looks_like_json || text.trim().is_empty() {
        let why = format!("couldn't get version/kind; json parse error: {json_error}");
        return Err(ApiError::bad_request(why));
    }
    serde_saphyr::from_str(text)
        .map_err(|e| ApiError::bad_request(format!("error parsing YAML: {e}")))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Applies a JSON patch.
///
/// A patch that cannot be read is a 400; one whose operations do not fit the object (a failed
/// `test`, a missing path) is a 422.
pub(super) fn json_patch(object: &Value, body: &[u8]) -> Result<Value, ApiError> {
    let patch: json_patch::Patch = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if patch.0.len() > JSON_PATCH_OPERATIONS_MAX {
        let why = format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {}",
            patch.0.len()
        );
        let mut error = ApiError::bad_request(why);
        error.code = 413;
        error.reason = "RequestEntityTooLarge";
        return Err(error);
    }
    let mut patched = object.clone();
    for operation in &patch.0 {
        let operation = lenient(operation, &patched);
        json_patch::patch(&mut patched, std::slice::from_ref(&operation)).map_err(|_| {
            ApiError {
                code: 422,
                reason: "Invalid",
                message: "the server rejected our request due to an error in our request"
                    .to_owned(),
                details: Value::Object(Default::default()),
            }
        })?;
    }
    Ok(patched)
}

/// The library that the real server uses takes a `replace` of a field that is not there as `add`,
/// as long as the object it belongs to is.
fn lenient(operation: &PatchOperation, object: &Value) -> PatchOperation {
    match operation {
        PatchOperation::Replace(replace) => {
            let parent = replace.path.parent().and_then(|p| p.resolve(object).ok());
            match parent.is_some_and(Value::is_object) {
                true => PatchOperation::Add(json_patch::AddOperation {
                    path: replace.path.clone(),
                    value: replace.value.clone(),
                }),
                false => operation.clone(),
            }
        }
        other => other.clone(),
    }
}

/// Applies a JSON merge patch.
pub(super) fn merge_patch(object: &Value, body: &[u8]) -> Result<Value, ApiError> {
    let patch: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if !patch.is_object() {
        let text = format!(
            "json: cannot unmarshal {} into an object",
            type_name(&patch)
        );
        return Err(ApiError::bad_request(format!(
            "error decoding patch: {text}"
        )));
    }
    let mut patched = object.clone();
    json_patch::merge(&mut patched, &patch);
    Ok(patched)
}
