//! Events have two shapes, `v1` and `events.k8s.io/v1`, and one storage: what a recorder writes in
//! one shape `kubectl` reads in the other.

use serde_json::{Map, Value};

use super::object::as_map_mut;

/// Names in `events.k8s.io/v1` and in `v1`.
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// From the stored `v1` shape to `events.k8s.io/v1`.
pub(super) fn from_core(event: &Value) -> Value {
    let mut event = event.clone();
    let map = as_map_mut(&mut event);
    for (new, core) in RENAMED {
        rename(map, core, new);
    }
    event
}

/// From `events.k8s.io/v1` to the stored `v1` shape.
pub(super) fn to_core(mut event: Value) -> Value {
    let map = as_map_mut(&mut event);
    for (new, core) in RENAMED {
        rename(map, new, core);
    }
    event
}

fn rename(map: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = map.remove(from) {
        map.insert(to.to_owned(), value);
    }
}
