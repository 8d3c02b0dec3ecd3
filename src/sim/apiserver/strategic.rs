//! Strategic merge patch for built-in kinds.
//!
//! Lists of objects merge by the key that Kubernetes' Go types declare for the field; all other
//! lists are replaced. Directives: `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/…`,
//! `$setElementOrder/…`, `$retainKeys`.

use serde_json::{Map, Value};

use super::status_errors::ApiError;

/// Applies a strategic merge patch.
pub(super) fn merge(object: &Value, body: &[u8]) -> Result<Value, ApiError> {
    let patch: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            let mut merged = object.clone();
            merge_maps(&mut merged, &patch);
            Ok(Value::Object(merged))
        }
        _ => Err(ApiError::bad_request(
            "error decoding patch: the patch must be a JSON object",
        )),
    }
}

/// The merge key of a list field; ports are told apart by what their items hold.
fn merge_key(field: &str, items: &[Value]) -> Option<&'static str> {
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "schedulingGates"
        | "secrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" | "podIPs" | "hostIPs" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "conditions" | "addresses" => Some("type"),
        "ownerReferences" => Some("uid"),
        "taints" => Some("key"),
        "ports" if items.iter().any(|p| p.get("containerPort").is_some()) => Some("containerPort"),
        "ports" if items.iter().any(|p| p.get("port").is_some()) => Some("port"),
        _ => None,
    }
}

fn merge_maps(object: &mut Map<String, Value>, patch: &Map<String, Value>) {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => object.clear(),
        Some("delete") => {
            object.clear();
            return;
        }
        _ => {}
    }
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        object.retain(|name, _| kept.iter().any(|k| k.as_str() == Some(name)));
    }
    for (name, wanted) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let doomed = wanted.as_array().cloned().unwrap_or_default();
            if let Some(Value::Array(items)) = object.get_mut(field) {
                items.retain(|item| !doomed.contains(item));
            }
        } else if !name.starts_with('$') {
            merge_field(object, name, wanted);
        }
    }
    for (name, order) in patch {
        if let Some(field) = name.strip_prefix("$setElementOrder/") {
            set_order(object, field, order);
        }
    }
}

fn merge_field(object: &mut Map<String, Value>, name: &str, wanted: &Value) {
    match (object.get_mut(name), wanted) {
        (_, Value::Null) => {
            object.remove(name);
        }
        (Some(Value::Object(present)), Value::Object(wanted)) => {
            merge_maps(present, wanted);
            if wanted.get("$patch").and_then(Value::as_str) == Some("delete") {
                object.remove(name);
            }
        }
        (Some(Value::Array(present)), Value::Array(wanted)) => merge_lists(present, wanted, name),
        (_, Value::Array(wanted)) => {
            let mut fresh = Vec::new();
            merge_lists(&mut fresh, wanted, name);
            object.insert(name.to_owned(), Value::Array(fresh));
        }
        (_, Value::Object(wanted)) => {
            let mut fresh = Map::new();
            merge_maps(&mut fresh, wanted);
            object.insert(name.to_owned(), Value::Object(fresh));
        }
        (_, wanted) => {
            object.insert(name.to_owned(), wanted.clone());
        }
    }
}

fn merge_lists(present: &mut Vec<Value>, wanted: &[Value], name: &str) {
    let all: Vec<Value> = present.iter().chain(wanted).cloned().collect();
    let replace = wanted
        .iter()
        .any(|i| i.get("$patch").and_then(Value::as_str) == Some("replace"));
    if replace {
        let keep = wanted.iter().filter(|i| i.get("$patch").is_none());
        *present = keep.cloned().collect();
        return;
    }
    let Some(key) = merge_key(name, &all) else {
        // `finalizers` merge as a set; every other list of values is replaced whole.
        if name == "finalizers" {
            let fresh: Vec<Value> = wanted
                .iter()
                .filter(|w| !present.contains(w))
                .cloned()
                .collect();
            present.extend(fresh);
        } else {
            *present = wanted.to_vec();
        }
        return;
    };
    let server: Vec<Value> = present.clone();
    for item in wanted {
        let at = present.iter().position(|p| p.get(key) == item.get(key));
        let delete = item.get("$patch").and_then(Value::as_str) == Some("delete");
        match (at, item) {
            (Some(at), _) if delete => {
                present.remove(at);
            }
            (None, _) if delete => {}
            (Some(at), Value::Object(item)) => {
                if let Some(Value::Object(found)) = present.get_mut(at) {
                    merge_maps(found, item);
                }
            }
            (_, item) => {
                let mut fresh = Map::new();
                if let Value::Object(item) = item {
                    merge_maps(&mut fresh, item);
                }
                present.push(Value::Object(fresh));
            }
        }
    }
    order(present, &server, wanted, |a, b| a.get(key) == b.get(key));
}

/// Brings a merged list into order: the items that `named` names in its order, the others as they
/// were; an item of the second sort goes before one of the first only if it was before it on the
/// server. New items therefore come first.
fn order(
    merged: &mut Vec<Value>,
    server: &[Value],
    named: &[Value],
    same: impl Fn(&Value, &Value) -> bool,
) {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) = merged
        .drain(..)
        .partition(|item| place(named, item).is_some());
    patched.sort_by_key(|item| place(named, item));
    others.sort_by_key(|item| place(server, item));
    let (mut patched, mut others) = (
        patched.into_iter().peekable(),
        others.into_iter().peekable(),
    );
    while let (Some(patch), Some(other)) = (patched.peek(), others.peek()) {
        let other_first = match (place(server, other), place(server, patch)) {
            (Some(other), Some(patch)) => other < patch,
            _ => false,
        };
        merged.extend(if other_first {
            others.next()
        } else {
            patched.next()
        });
    }
    merged.extend(patched);
    merged.extend(others);
}

/// Sorts a list into the order that the patch names; items it does not name stay behind.
fn set_order(object: &mut Map<String, Value>, field: &str, order: &Value) {
    let Some(Value::Array(items)) = object.get_mut(field) else {
        return;
    };
    let wanted = order.as_array().cloned().unwrap_or_default();
    let key = merge_key(field, items);
    let server = items.clone();
    self::order(items, &server, &wanted, |a, b| match key {
        Some(key) => a.get(key) == b.get(key),
        None => a == b,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(object: &Value, patch: &Value) -> Value {
        merge(object, patch.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn lists_of_objects_merge_by_their_key_and_new_items_come_first() {
        let object =
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "args": [1]});
        let patch = json!({"containers": [{"name": "a", "tty": true}, {"name": "c"}], "args": [2]});
        let wanted = json!({
            "containers": [{"name": "a", "image": "1", "tty": true}, {"name": "c"}, {"name": "b"}],
            "args": [2],
        });
        assert_eq!(merged(&object, &patch), wanted);
    }

    #[test]
    fn directives() {
        let object = json!({
            "env": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "finalizers": ["x", "y"], "labels": {"k": "v"}, "gone": {"k": "v"},
        });
        for (patch, field, wanted) in [
            (
                json!({"env": [{"name": "b", "$patch": "delete"}]}),
                "env",
                json!([{"name": "a"}, {"name": "c"}]),
            ),
            (
                json!({"env": [{"$patch": "replace"}, {"name": "z"}]}),
                "env",
                json!([{"name": "z"}]),
            ),
            (
                json!({"$setElementOrder/env": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}),
                "env",
                json!([{"name": "c"}, {"name": "a"}, {"name": "b"}]),
            ),
            (
                json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
                "strategy",
                json!({"type": "Recreate"}),
            ),
            (
                json!({"$deleteFromPrimitiveList/finalizers": ["x"]}),
                "finalizers",
                json!(["y"]),
            ),
            (
                json!({"finalizers": ["z"]}),
                "finalizers",
                json!(["x", "y", "z"]),
            ),
            (
                json!({"labels": {"$patch": "replace", "n": "m"}}),
                "labels",
                json!({"n": "m"}),
            ),
            (json!({"gone": {"$patch": "delete"}}), "gone", Value::Null),
            (json!({"gone": null}), "gone", Value::Null),
        ] {
            let after = merged(&object, &patch);
            assert_eq!(after.get(field).unwrap_or(&Value::Null), &wanted, "{patch}");
        }
        assert!(merge(&object, b"[1]").is_err());
    }
}
