//! `kubectl get` asks for tables first: columns and cells computed by the server.
//!
//! Custom kinds have the columns of their CRD; of the built-in ones those that people look at in a
//! demo have their usual columns, the rest NAME and AGE.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    object::{self, at_path},
    registry::Resource,
    represent::{IncludeObject, partial},
};

/// A column: heading, type, priority, and how a cell is made.
struct Column {
    name: String,
    kind: String,
    priority: i64,
    cell: Cell,
}

/// Where a cell's value comes from.
enum Cell {
    Path(String),
    Date(String),
    Computed(fn(&Value) -> Value),
}

/// The table of some objects.
pub(super) fn table(
    resource: &Resource,
    version: &str,
    objects: Vec<Value>,
    metadata: &Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let columns = columns(resource, version);
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|c| c.value(&object, now)).collect();
            let mut row = json!({"cells": cells});
            match include {
                IncludeObject::None => {}
                IncludeObject::Metadata => object::set(&mut row, "object", partial(&object)),
                IncludeObject::Object => object::set(&mut row, "object", object),
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = columns
        .iter()
        .map(|c| {
            let format = if c.name == "Name" { "name" } else { "" };
            json!({"name": c.name, "type": c.kind, "format": format, "description": "",
                   "priority": c.priority})
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": if with_columns { definitions } else { Vec::new() },
        "rows": rows,
    })
}

impl Column {
    fn computed(name: &str, cell: fn(&Value) -> Value) -> Self {
        Column {
            name: name.to_owned(),
            kind: "string".to_owned(),
            priority: 0,
            cell: Cell::Computed(cell),
        }
    }

    fn path(name: &str, kind: &str, path: &str) -> Self {
        let cell = match kind {
            "date" => Cell::Date(path.to_owned()),
            _ => Cell::Path(path.to_owned()),
        };
        let kind = if kind == "date" { "string" } else { kind };
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            priority: 0,
            cell,
        }
    }

    fn value(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Computed(cell) => cell(object),
            Cell::Path(path) => simple_json_path(object, path),
            Cell::Date(path) => match simple_json_path(object, path).as_str() {
                Some(text) => age(text, now),
                None => Value::Null,
            },
        }
    }
}

fn columns(resource: &Resource, version: &str) -> Vec<Column> {
    let name = Column::path("Name", "string", ".metadata.name");
    let age = Column::path("Age", "date", ".metadata.creationTimestamp");
    let integer = |name: &str, path: &str| Column::path(name, "integer", path);
    let mut columns = vec![name];
    match resource.id().as_str() {
        "pods" => columns.extend([
            Column::computed("Ready", ready_containers),
            Column::computed("Status", pod_status),
            Column::computed("Restarts", restarts),
        ]),
        "replicasets.apps" => columns.extend([
            Column::computed("Desired", |o| number(o, "spec.replicas")),
            Column::computed("Current", |o| number(o, "status.replicas")),
            Column::computed("Ready", |o| number(o, "status.readyReplicas")),
        ]),
        "services" => columns.extend([
            Column::path("Type", "string", ".spec.type"),
            Column::path("Cluster-IP", "string", ".spec.clusterIP"),
            Column::computed("Selector", selector_text),
        ]),
        "events" | "events.events.k8s.io" => {
            columns = vec![
                Column::path("Type", "string", ".type"),
                Column::path("Reason", "string", ".reason"),
                Column::computed("Object", event_object),
                Column::computed("Message", event_message),
            ];
        }
        "leases.coordination.k8s.io" => {
            columns.push(Column::path("Holder", "string", ".spec.holderIdentity"));
        }
        _ if resource.builtin => {}
        _ => {
            let printed = resource
                .columns
                .get(version)
                .map(Vec::as_slice)
                .unwrap_or_default();
            columns.extend(printed.iter().map(|c| {
                let mut column = Column::path(&c.name, &c.kind, &c.json_path);
                column.priority = c.priority;
                column
            }));
            if !printed.is_empty() {
                return columns;
            }
        }
    }
    if resource.id() == "endpointslices.discovery.k8s.io" {
        columns.push(integer("Endpoints", ".endpoints"));
    }
    columns.push(age);
    columns
}

/// The JSONPath forms that printer columns use: fields, indexes, and a filter by one field's value
/// (`.status.conditions[?(@.type=="Ready")].status`).
fn simple_json_path(object: &Value, path: &str) -> Value {
    let mut here = object;
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((selector, tail)) = inner.split_once(']') else {
                return Value::Null;
            };
            let Some(found) = pick(here, selector) else {
                return Value::Null;
            };
            here = found;
            rest = tail;
        } else {
            let field = rest.trim_start_matches('.');
            let end = next_stop(field);
            let (name, tail) = field.split_at(end);
            if !name.is_empty() {
                let Some(found) = here.get(name.replace("\\.", ".")) else {
                    return Value::Null;
                };
                here = found;
            } else if tail == rest {
                return Value::Null;
            }
            rest = tail;
        }
    }
    match here {
        Value::Object(_) | Value::Array(_) => Value::from(here.to_string()),
        plain => plain.clone(),
    }
}

/// Where a field name ends: at the next dot or bracket that is not escaped.
fn next_stop(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return at,
            _ => escaped = false,
        }
    }
    text.len()
}

fn pick<'a>(list: &'a Value, selector: &str) -> Option<&'a Value> {
    if let Ok(index) = selector.parse::<usize>() {
        return list.get(index);
    }
    let condition = selector.strip_prefix("?(@.")?.trim_end_matches(')');
    let (field, wanted) = condition.split_once("==")?;
    let wanted = wanted.trim().trim_matches(|c| c == '"' || c == '\'');
    let same = |item: &&Value| at_path(item, field.trim()).and_then(Value::as_str) == Some(wanted);
    list.as_array()?.iter().find(same)
}

/// How long ago, in the short form of kubectl.
fn age(text: &str, now: Timestamp) -> Value {
    let Ok(then) = text.parse::<Timestamp>() else {
        return Value::from("<invalid>");
    };
    let seconds = now.duration_since(then).as_secs();
    let short = match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    Value::from(short)
}

fn number(object: &Value, path: &str) -> Value {
    at_path(object, path).cloned().unwrap_or_else(|| json!(0))
}

fn containers(pod: &Value) -> &[Value] {
    at_path(pod, "status.containerStatuses")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn ready_containers(pod: &Value) -> Value {
    let ready = containers(pod)
        .iter()
        .filter(|c| c.get("ready") == Some(&Value::Bool(true)));
    let wanted = at_path(pod, "spec.containers")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    json!(format!("{}/{wanted}", ready.count()))
}

fn pod_status(pod: &Value) -> Value {
    if object::is_terminating(pod) {
        return json!("Terminating");
    }
    let waiting = containers(pod)
        .iter()
        .find_map(|c| at_path(c, "state.waiting.reason"));
    waiting
        .or_else(|| at_path(pod, "status.phase"))
        .cloned()
        .unwrap_or_else(|| json!("Unknown"))
}

fn restarts(pod: &Value) -> Value {
    json!(
        containers(pod)
            .iter()
            .filter_map(|c| c.get("restartCount")?.as_i64())
            .sum::<i64>()
    )
}

fn selector_text(service: &Value) -> Value {
    let selector = at_path(service, "spec.selector").and_then(Value::as_object);
    let parts: Vec<String> = selector
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if parts.is_empty() {
        json!("<none>")
    } else {
        json!(parts.join(","))
    }
}

fn event_object(event: &Value) -> Value {
    let about = event
        .get("involvedObject")
        .or_else(|| event.get("regarding"));
    let text = |field: &str| {
        about
            .and_then(|a| a.get(field))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    json!(format!("{}/{}", text("kind").to_lowercase(), text("name")))
}

fn event_message(event: &Value) -> Value {
    event
        .get("message")
        .or_else(|| event.get("note"))
        .cloned()
        .unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printer_columns_find_their_values() {
        let object = json!({
            "metadata": {"labels": {"example.com/x": "dotted"}},
            "spec": {"list": [1, {"deep": 2}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "False"}, {"type": "Paused", "status": "True"}]},
        });
        for (path, wanted) in [
            (".spec.list[0]", json!(1)),
            (".spec.list[1].deep", json!(2)),
            (
                ".status.conditions[?(@.type==\"Paused\")].status",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type=='Ready')].status",
                json!("False"),
            ),
            (".status.conditions[?(@.type==\"No\")].status", Value::Null),
            (".metadata.labels.example\\.com/x", json!("dotted")),
            (".spec.none.deeper", Value::Null),
            (".spec.list", json!("[1,{\"deep\":2}]")),
        ] {
            assert_eq!(simple_json_path(&object, path), wanted, "{path}");
        }
    }

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        for (then, wanted) in [
            ("2026-01-09T23:59:01Z", "59s"),
            ("2026-01-09T23:55:30Z", "4m30s"),
            ("2026-01-09T23:00:00Z", "60m"),
            ("2026-01-09T12:00:00Z", "12h"),
            ("2026-01-01T00:00:00Z", "9d"),
            ("2026-01-10T00:00:09Z", "0s"),
            ("yesterday", "<invalid>"),
        ] {
            assert_eq!(age(then, now), wanted, "{then}");
        }
    }
}
