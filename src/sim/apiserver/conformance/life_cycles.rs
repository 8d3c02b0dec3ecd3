//! How objects end, and what a watch tells of their lives.

// A script reads best with the values where they are used; what is indexed was made just above.
#![allow(clippy::needless_pass_by_value, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::{
    builtin_kinds::{MAPS, at, map, selected},
    script::{Step, delete, get, merge, post, watch},
};

/// Steps on ConfigMaps.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = deleting();
    steps.extend(watching());
    steps.extend(namespaces());
    steps
}

fn deleting() -> Vec<Step> {
    let none = Value::Null;
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["example.com/hold"]},
    });
    vec![
        delete(
            "delete with another uid",
            &at("b"),
            &json!({
                "preconditions": {"uid": "$[uid:create a]"},
            }),
        ),
        delete(
            "delete with an old version",
            &at("a"),
            &json!({
                "preconditions": {"resourceVersion": "$[rv:create a]"},
            }),
        ),
        delete(
            "delete with preconditions",
            &at("b"),
            &json!({
                "preconditions": {"uid": "$[uid:create b]", "resourceVersion": "$[rv:create b]"},
            }),
        ),
        delete("delete missing", &at("b"), &none),
        delete(
            "delete with bad propagation",
            &at("c"),
            &json!({"propagationPolicy": "Sideways"}),
        )
        .code_only(),
        delete("delete dry", &format!("{}?dryRun=All", at("c")), &none).code_only(),
        get("c lives", &at("c")),
        post("create held", MAPS, &held),
        delete("delete held", &at("held"), &none),
        get("held waits", &at("held")),
        delete("delete held again", &at("held"), &none),
        merge(
            "finalizer added too late",
            &at("held"),
            &json!({
                "metadata": {"finalizers": ["example.com/hold", "example.com/more"]},
            }),
        ),
        merge(
            "held still changes",
            &at("held"),
            &json!({"data": {"k": "1"}}),
        ),
        merge(
            "held released",
            &at("held"),
            &json!({"metadata": {"finalizers": null}}),
        ),
        get("held gone", &at("held")),
        post(
            "create x1",
            MAPS,
            &map("x1", json!({"group": "x"}), json!({})),
        ),
        post(
            "create x2",
            MAPS,
            &map("x2", json!({"group": "x"}), json!({})),
        ),
        delete(
            "delete collection",
            &format!("{MAPS}?labelSelector=group%3Dx"),
            &none,
        ),
        selected("collection gone", "group%3Dx"),
    ]
}

fn watching() -> Vec<Step> {
    let none = Value::Null;
    let from = "resourceVersion=$[rv:watch start]";
    vec![
        post(
            "watch start",
            MAPS,
            &map("w0", json!({"watched": "no"}), json!({})),
        ),
        post(
            "watch create",
            MAPS,
            &map("w1", json!({"watched": "yes"}), json!({})),
        ),
        merge("watch change", &at("w1"), &json!({"data": {"k": "1"}})),
        merge("watch no change", &at("w1"), &json!({"data": {"k": "1"}})),
        merge(
            "watch enters",
            &at("w0"),
            &json!({"metadata": {"labels": {"watched": "yes"}}}),
        ),
        merge(
            "watch leaves",
            &at("w1"),
            &json!({"metadata": {"labels": {"watched": "no"}}}),
        ),
        delete("watch delete outside", &at("w1"), &none),
        delete("watch delete", &at("w0"), &none),
        watch("watched all", &format!("{MAPS}?{from}")),
        watch(
            "watched selected",
            &format!("{MAPS}?{from}&labelSelector=watched%3Dyes"),
        ),
        watch(
            "watched by name",
            &format!("{MAPS}?{from}&fieldSelector=metadata.name%3Dw1"),
        ),
        watch("watched one object", &format!("{}?{from}", at("w0"))),
        watch("watched from now", &format!("{MAPS}?labelSelector=app%3Dc")),
        watch(
            "watched from any",
            &format!("{MAPS}?labelSelector=app%3Dc&resourceVersion=0"),
        ),
        watch(
            "streamed list",
            &format!(
                "{MAPS}?labelSelector=app%3Dc&sendInitialEvents=true&allowWatchBookmarks=true\
                 &resourceVersionMatch=NotOlderThan"
            ),
        ),
        get(
            "streamed list without match",
            &format!("{MAPS}?watch=true&sendInitialEvents=true"),
        ),
        get(
            "watch bad version",
            &format!("{MAPS}?watch=true&resourceVersion=abc"),
        )
        .code_only(),
    ]
}

/// A namespace takes along what is in it.
fn namespaces() -> Vec<Step> {
    let inner = "/api/v1/namespaces/{ns}-inner";
    let maps = format!("{inner}/configmaps");
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}-inner"},
    });
    vec![
        post("inner namespace", "/api/v1/namespaces", &namespace),
        post(
            "map inside",
            &maps,
            &map("inside", json!({}), json!({"k": "1"})),
        ),
        delete("inner namespace deleted", inner, &Value::Null),
        get("map inside gone", &format!("{maps}/inside")).until_code(404),
        get("inner namespace gone", inner).until_code(404),
    ]
}
