//! What every kind does, asked of ConfigMaps: reading, selecting, changing, refusing, deleting,
//! watching.

// A script reads best with the values where they are used; what is indexed was made just above.
#![allow(clippy::needless_pass_by_value, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::script::{Step, get, json_patch, merge, post, put, raw, strategic};

pub(super) const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";

pub(super) fn map(name: &str, labels: Value, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": data,
    })
}

pub(super) fn at(name: &str) -> String {
    format!("{MAPS}/{name}")
}

pub(super) fn selected(name: &str, selector: &str) -> Step {
    get(name, &format!("{MAPS}?labelSelector={selector}"))
}

/// Steps on ConfigMaps.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = reading();
    steps.extend(replacing());
    steps.extend(patching());
    steps.extend(refusing());
    steps.extend(super::life_cycles::steps());
    steps
}

fn reading() -> Vec<Step> {
    vec![
        post(
            "create a",
            MAPS,
            &map("a", json!({"app": "a", "tier": "web"}), json!({"k": "1"})),
        )
        .with_owners(),
        post("create a again", MAPS, &map("a", json!({}), json!({}))),
        get("get a", &at("a")).with_owners(),
        get("get missing", &at("missing")),
        post(
            "create b",
            MAPS,
            &map("b", json!({"app": "b", "tier": "db"}), json!({})),
        ),
        post("create c", MAPS, &map("c", json!({"app": "c"}), json!({}))),
        get("list", MAPS),
        selected("list app=a", "app%3Da"),
        selected("list app==a", "app%3D%3Da"),
        selected("list app!=a", "app!%3Da"),
        selected("list in", "app+in+(a,b)"),
        selected("list notin", "app+notin+(a,b)"),
        selected("list exists", "tier"),
        selected("list absent", "!tier"),
        selected("list two", "tier,app+in+(a)"),
        selected("list bad selector", "app+is+a").code_only(),
        get(
            "list by name",
            &format!("{MAPS}?fieldSelector=metadata.name%3Db"),
        ),
        get(
            "list by other names",
            &format!("{MAPS}?fieldSelector=metadata.name!%3Db"),
        ),
        get(
            "list by unknown field",
            &format!("{MAPS}?fieldSelector=data.k%3D1"),
        )
        .code_only(),
        get("list page 1", &format!("{MAPS}?limit=2")),
        get(
            "list page 2",
            &format!("{MAPS}?limit=2&continue=$[continue:list page 1]"),
        ),
        get(
            "list bad continue",
            &format!("{MAPS}?limit=2&continue=nonsense"),
        )
        .code_only(),
        get("list bad version", &format!("{MAPS}?resourceVersion=abc")).code_only(),
        get(
            "list all namespaces",
            "/api/v1/configmaps?fieldSelector=metadata.namespace%3D{ns},metadata.name%3Dc",
        ),
        get("metadata of a", &at("a"))
            .accept("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
        get("metadata of all", &format!("{MAPS}?labelSelector=app"))
            .accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
        get("not acceptable", &at("a")).accept("text/html"),
        post(
            "create generated",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"},
            }),
        ),
    ]
}

fn replacing() -> Vec<Step> {
    let body = |version: &str, value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "resourceVersion": version, "labels": {"app": "a"}},
            "data": {"k": value},
        })
    };
    vec![
        put("put", &at("a"), &body("$[rv:get a]", "2")).with_owners(),
        put("put stale", &at("a"), &body("$[rv:get a]", "3")),
        put("put unchanged", &at("a"), &body("$[rv:put]", "2")),
        put(
            "put unconditional",
            &at("a"),
            &map("a", json!({"app": "a"}), json!({"k": "4"})),
        ),
        put("put other name", &at("a"), &map("b", json!({}), json!({}))),
        put(
            "put missing",
            &at("missing"),
            &map("missing", json!({}), json!({})),
        ),
        put(
            "put missing with version",
            &at("missing"),
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "missing", "resourceVersion": "$[rv:put]"},
            }),
        ),
        put(
            "put other uid",
            &at("a"),
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "uid": "$[uid:create b]"},
            }),
        ),
        put(
            "put bad version",
            &at("a"),
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "resourceVersion": "abc"},
            }),
        ),
        put(
            "put without a body's namespace",
            &at("a"),
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"},
            }),
        ),
    ]
}

fn patching() -> Vec<Step> {
    let label = |value: Value| json!({"metadata": {"labels": {"new": value}}});
    vec![
        merge("merge", &at("a"), &label(json!("x"))).with_owners(),
        merge("merge nothing", &at("a"), &label(json!("x"))),
        merge("merge null", &at("a"), &label(Value::Null)).with_owners(),
        merge(
            "merge stale",
            &at("a"),
            &json!({
                "metadata": {"resourceVersion": "$[rv:merge]", "labels": {"new": "y"}},
            }),
        ),
        merge(
            "merge current",
            &at("a"),
            &json!({
                "metadata": {"resourceVersion": "$[rv:merge null]", "labels": {"new": "y"}},
            }),
        ),
        merge("merge missing", &at("missing"), &label(json!("x"))),
        merge("merge a list", &at("a"), &json!([1])).code_only(),
        merge(
            "merge the name",
            &at("a"),
            &json!({"metadata": {"name": "z"}}),
        ),
        merge(
            "merge the uid",
            &at("a"),
            &json!({"metadata": {"uid": "$[uid:create b]"}}),
        ),
        json_patch(
            "json patch",
            &at("a"),
            &json!([
                {"op": "test", "path": "/data/k", "value": "4"},
                {"op": "add", "path": "/data/l", "value": "5"},
                {"op": "replace", "path": "/data/k", "value": "6"},
            ]),
        ),
        json_patch(
            "json patch failed test",
            &at("a"),
            &json!([
                {"op": "test", "path": "/data/k", "value": "wrong"},
                {"op": "add", "path": "/data/l", "value": "5"},
            ]),
        ),
        json_patch(
            "json patch missing path",
            &at("a"),
            &json!([
                {"op": "remove", "path": "/data/nothing/here"},
            ]),
        ),
        json_patch(
            "json patch version test",
            &at("a"),
            &json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "$[rv:json patch]"},
                {"op": "remove", "path": "/data/l"},
            ]),
        ),
        json_patch(
            "json patch escaped",
            &at("a"),
            &json!([
                {"op": "add", "path": "/metadata/annotations", "value": {}},
                {"op": "add", "path": "/metadata/annotations/example.com~1x", "value": "y"},
            ]),
        ),
        raw(
            "json patch unreadable",
            "PATCH",
            &at("a"),
            "application/json-patch+json",
            "{\"a\":1}",
        )
        .code_only(),
        raw(
            "patch of another media type",
            "PATCH",
            &at("a"),
            "application/json",
            "{}",
        ),
        strategic(
            "strategic",
            &at("a"),
            &json!({"data": {"k": null, "m": "7"}}),
        ),
        get("a at last", &at("a")),
    ]
}

fn refusing() -> Vec<Step> {
    let named = |name: &str| map(name, json!({}), json!({}));
    vec![
        post("create dry", &format!("{MAPS}?dryRun=All"), &named("dry")).code_only(),
        get("get dry", &at("dry")),
        post(
            "create dry nonsense",
            &format!("{MAPS}?dryRun=Some"),
            &named("dry"),
        )
        .code_only(),
        post("create bad name", MAPS, &named("No_Good")),
        post(
            "create bad label",
            MAPS,
            &map("d", json!({"app": "no good"}), json!({})),
        ),
        post(
            "create bad label key",
            MAPS,
            &map("d", json!({"no good": "x"}), json!({})),
        ),
        post(
            "create nameless",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {},
            }),
        ),
        post(
            "create other kind",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "d"},
            }),
        )
        .code_only(),
        post(
            "create other version",
            MAPS,
            &json!({
                "apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "d"},
            }),
        )
        .code_only(),
        post(
            "create other namespace",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "d", "namespace": "elsewhere"},
            }),
        ),
        post(
            "create with version",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "d", "resourceVersion": "5"},
            }),
        ),
        post(
            "create wrong type",
            MAPS,
            &map("d", json!({}), json!({"k": 1})),
        )
        .code_only(),
        raw(
            "create unreadable",
            "POST",
            MAPS,
            "application/json",
            "{not json",
        )
        .code_only(),
        post(
            "create unknown field strict",
            &format!("{MAPS}?fieldValidation=Strict"),
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "nonsense": 1,
            }),
        ),
        post(
            "create unknown field",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "unknown"}, "nonsense": 1,
            }),
        ),
        get("unknown resource", "/api/v1/namespaces/{ns}/nonsenses").code_only(),
        get("unknown group", "/apis/nonsense.example.com/v1/nonsenses").code_only(),
        get("unknown subresource", &format!("{}/nonsense", at("a"))).code_only(),
        post("post to an object", &at("a"), &named("a")),
        put("put to a collection", MAPS, &named("a")),
        get(
            "cluster kind in a namespace",
            "/api/v1/namespaces/{ns}/nodes",
        )
        .code_only(),
        post(
            "bad owner",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "d", "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": "x"}]},
            }),
        ),
        post(
            "immutable map",
            MAPS,
            &json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed"},
                "immutable": true, "data": {"k": "1"},
            }),
        ),
        merge(
            "immutable map changed",
            &at("fixed"),
            &json!({"data": {"k": "2"}}),
        ),
    ]
}
