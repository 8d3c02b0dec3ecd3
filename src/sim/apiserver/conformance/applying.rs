//! Server-side apply: who owns what, what is a conflict, what goes when it is no longer applied.

// A script reads best with the values where they are used; what is indexed was made just above.
#![allow(clippy::needless_pass_by_value, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::{
    script::{Step, apply, delete, get, json_patch, merge, raw},
    workload_kinds::{MAPS, SETS},
};

/// Steps on ConfigMaps and ReplicaSets.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = applying();
    steps.extend(applying_lists());
    steps
}

fn applying() -> Vec<Step> {
    let at = |name: &str| format!("{MAPS}/{name}");
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": data});
    let one = "fieldManager=one";
    vec![
        apply(
            "apply without manager",
            &at("ssa"),
            "",
            &map(json!({"k": "1"})),
        ),
        apply(
            "apply creates",
            &at("ssa"),
            one,
            &map(json!({"k": "1", "l": "1"})),
        )
        .with_owners(),
        apply(
            "apply the same",
            &at("ssa"),
            one,
            &map(json!({"k": "1", "l": "1"})),
        )
        .with_owners(),
        apply(
            "apply a conflict",
            &at("ssa"),
            "fieldManager=two",
            &map(json!({"k": "2"})),
        ),
        apply(
            "apply two conflicts",
            &at("ssa"),
            "fieldManager=two",
            &map(json!({"k": "2", "l": "2"})),
        ),
        apply(
            "apply shared",
            &at("ssa"),
            "fieldManager=two",
            &map(json!({"k": "1", "m": "1"})),
        )
        .with_owners(),
        apply(
            "apply forced",
            &at("ssa"),
            "fieldManager=two&force=true",
            &map(json!({"k": "2"})),
        )
        .with_owners(),
        apply("apply drops a field", &at("ssa"), one, &map(json!({}))).with_owners(),
        merge(
            "apply meets an update",
            &at("ssa"),
            &json!({"data": {"k": "3", "u": "1"}}),
        )
        .with_owners(),
        apply(
            "apply against an update",
            &at("ssa"),
            "fieldManager=two",
            &map(json!({"k": "2"})),
        ),
        apply(
            "apply stale",
            &at("ssa"),
            one,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "ssa", "resourceVersion": "$[rv:apply creates]"}, "data": {"z": "1"},
            }),
        ),
        apply(
            "apply other name",
            &at("ssa"),
            one,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"},
            }),
        ),
        apply(
            "apply managed fields",
            &at("ssa"),
            one,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa", "managedFields": [
                    {"manager": "x", "operation": "Apply", "apiVersion": "v1"}]},
            }),
        ),
        raw(
            "apply yaml",
            "PATCH",
            &format!("{}?fieldManager=yaml", at("yaml")),
            "application/apply-patch+yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: \"1\"\n",
        ),
        apply(
            "apply labels",
            &at("ssa"),
            "fieldManager=three",
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "ssa", "labels": {"l1": "a", "l2": "b"}},
            }),
        )
        .with_owners(),
        apply(
            "apply fewer labels",
            &at("ssa"),
            "fieldManager=three",
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "ssa", "labels": {"l1": "a"}},
            }),
        )
        .with_owners(),
    ]
}

fn applying_lists() -> Vec<Step> {
    let at = format!("{SETS}/ssa");
    let set = |containers: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "ssa"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "ssa"}},
                "template": {"metadata": {"labels": {"app": "ssa"}}, "spec": {"containers": containers}},
            },
        })
    };
    let app = json!({"name": "app", "image": "example.com/app:1",
                     "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                     "ports": [{"containerPort": 80}]});
    let fewer =
        json!({"name": "app", "image": "example.com/app:1", "env": [{"name": "B", "value": "2"}]});
    let partial = |container: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "ssa"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        })
    };
    vec![
        apply("apply a set", &at, "fieldManager=one", &set(json!([app]))).with_owners(),
        apply(
            "apply a sidecar",
            &at,
            "fieldManager=two",
            &partial(json!({"name": "side", "image": "example.com/side:1"})),
        )
        .with_owners(),
        apply(
            "apply fewer items",
            &at,
            "fieldManager=one",
            &set(json!([fewer])),
        )
        .with_owners(),
        apply(
            "apply a conflicting image",
            &at,
            "fieldManager=two",
            &partial(json!({"name": "app", "image": "example.com/app:2"})),
        ),
        apply(
            "apply status",
            &format!("{at}/status"),
            "fieldManager=status",
            &json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "ssa"},
                "status": {"replicas": 0, "conditions": [{"type": "Tested", "status": "True"}]},
            }),
        )
        .with_owners(),
        json_patch(
            "scale by patch",
            &format!("{at}/scale"),
            &json!([
                {"op": "replace", "path": "/spec/replicas", "value": 0},
            ]),
        )
        .code_only(),
        merge(
            "scale takes replicas over",
            &format!("{at}/scale"),
            &json!({"spec": {"replicas": 1}}),
        ),
        get("set after scale", &at).with_owners(),
        apply(
            "apply against scale",
            &at,
            "fieldManager=one",
            &set(json!([fewer])),
        ),
        delete("applied set deleted", &at, &Value::Null),
    ]
}
