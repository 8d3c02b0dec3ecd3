//! Custom kinds: one made for this script, with every kind of rule, and Tidegate's own.

// A script reads best with the values where they are used; what is indexed was made just above.
#![allow(clippy::needless_pass_by_value, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::script::{Step, apply, delete, get, merge, post, put, strategic, watch};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GAUGES: &str = "/apis/conformance.example.com/v1/namespaces/{ns}/gauges";
const ROLLOUTS: &str = "/apis/tidegate.io/v1alpha1/namespaces/{ns}/rollouts";
const TEMPLATES: &str = "/apis/tidegate.io/v1alpha1/namespaces/{ns}/analysistemplates";
const REVERTS: &str = "/apis/tidegate.io/v1alpha1/namespaces/{ns}/reverts";
const PROVIDERS: &str = "/apis/tidegate.io/v1alpha1/metricsproviders";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/{ns}/httproutes";

/// Makes the namespace and installs the CRDs (whether or not they are there already), and waits
/// until they are served.
pub(super) fn install(crds: &[Value]) -> Vec<Step> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}"}});
    let mut steps = vec![post("namespace", "/api/v1/namespaces", &namespace).unrecorded()];
    for crd in crds.iter().chain([&gauge()]) {
        let text = |pointer: &str| {
            crd.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let name = text("/metadata/name");
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
        let version = versions
            .and_then(|v| v.first()?.get("name")?.as_str())
            .unwrap_or("v1");
        steps.push(post(&format!("install {name}"), CRDS, crd).unrecorded());
        let list = format!("/apis/{group}/{version}/{plural}");
        steps.push(
            get(&format!("{name} is served"), &list)
                .unrecorded()
                .until_code(200),
        );
    }
    steps
}

/// Steps on custom kinds.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = creating();
    steps.extend(refusing());
    steps.extend(changing());
    steps.extend(rollouts());
    steps.extend(routes());
    steps
}

fn gauge() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gauges.conformance.example.com"},
        "spec": {
            "group": "conformance.example.com", "scope": "Namespaced",
            "names": {"plural": "gauges", "singular": "gauge", "kind": "Gauge", "shortNames": ["gg"],
                      "listKind": "GaugeList", "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": gauge_schema()},
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                    "labelSelectorPath": ".status.selector"}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string",
                     "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1}],
                "selectableFields": [{"jsonPath": ".spec.mode"}],
            }],
        },
    })
}

fn gauge_schema() -> Value {
    let point = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "value": {"type": "integer", "default": 7},
        },
    });
    json!({
        "type": "object", "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "required": ["mode"],
                "properties": {
                    "mode": {"type": "string", "enum": ["Fast", "Slow"]},
                    "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 10,
                             "default": 1},
                    "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
                    "text": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
                    "list": {"type": "array", "minItems": 1, "maxItems": 2,
                             "items": {"type": "string", "maxLength": 10}},
                    "unique": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 5,
                               "items": {"type": "string", "maxLength": 10}},
                    "points": {"type": "array", "x-kubernetes-list-type": "map", "maxItems": 5,
                               "x-kubernetes-list-map-keys": ["name"], "items": point},
                    "table": {"type": "object", "minProperties": 1, "maxProperties": 2,
                              "additionalProperties": {"type": "integer"}},
                    "amount": {"x-kubernetes-int-or-string": true,
                               "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "either": {"type": "object",
                               "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                               "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                    "nested": {"type": "object", "default": {}, "properties": {
                        "on": {"type": "boolean", "default": true}}},
                    "maybe": {"type": "string", "nullable": true},
                    "fixed": {"type": "string", "maxLength": 10, "x-kubernetes-validations": [
                        {"rule": "self == oldSelf", "message": "fixed cannot change"}]},
                    "low": {"type": "integer"},
                    "high": {"type": "integer"},
                },
                "x-kubernetes-validations": [
                    {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high",
                     "message": "low must not be above high", "fieldPath": ".low"},
                    {"rule": "self.mode != 'Slow' || self.size <= 5",
                     "messageExpression": "self.size > 8 ? 'much too big' : 'too big'"},
                ],
            },
            "status": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"}, "selector": {"type": "string"},
                    "conditions": {"type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"], "items": {
                            "type": "object", "required": ["type", "status"],
                            "properties": {"type": {"type": "string"}, "status": {"type": "string"},
                                           "message": {"type": "string"}}}},
                },
            },
        },
    })
}

fn gauge_of(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "conformance.example.com/v1", "kind": "Gauge",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn creating() -> Vec<Step> {
    let mut with_status = gauge_of(
        "g",
        json!({
            "mode": "Fast", "unknown": 1, "open": {"kept": {"deep": 1}}, "maybe": null,
            "points": [{"name": "x", "unknown": 1}, {"name": "y", "value": 1}],
            "amount": "25%", "fixed": "one", "nested": {"unknown": true},
        }),
    );
    with_status["status"] = json!({"size": 3});
    with_status["metadata"]["generation"] = json!(9);
    vec![
        post("gauge created", GAUGES, &with_status).with_owners(),
        get("gauge read", &format!("{GAUGES}/g")),
        get("gauges listed", GAUGES),
        get(
            "gauges by field",
            &format!("{GAUGES}?fieldSelector=spec.mode%3DFast"),
        ),
        get(
            "gauges by another value",
            &format!("{GAUGES}?fieldSelector=spec.mode%3DSlow"),
        ),
        get(
            "gauges by an unknown field",
            &format!("{GAUGES}?fieldSelector=spec.size%3D1"),
        )
        .code_only(),
        post(
            "gauge unknown field strict",
            &format!("{GAUGES}?fieldValidation=Strict"),
            &gauge_of(
                "strict",
                json!({"mode": "Fast", "unknown": 1, "nested": {"no": 1}}),
            ),
        ),
        post(
            "gauge again",
            GAUGES,
            &gauge_of("g", json!({"mode": "Fast"})),
        ),
        post(
            "gauge untyped",
            GAUGES,
            &json!({"metadata": {"name": "g2"}, "spec": {"mode": "Fast"}}),
        )
        .code_only(),
        get("gauge missing", &format!("{GAUGES}/missing")),
        get("gauge table", GAUGES)
            .accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
            .code_only(),
    ]
}

fn refusing() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut refuse = |what: &str, mut spec: Value| {
        if spec.get("mode").is_none() && what != "no mode" {
            spec["mode"] = json!("Fast");
        }
        steps.push(post(
            &format!("gauge refused: {what}"),
            GAUGES,
            &gauge_of("bad", spec),
        ));
    };
    refuse("no mode", json!({}));
    refuse("wrong type", json!({"size": "big"}));
    refuse("null", json!({"text": null}));
    refuse("enum", json!({"mode": "Sideways"}));
    refuse("below minimum", json!({"size": -1}));
    refuse("above maximum", json!({"size": 11}));
    refuse("exclusive minimum", json!({"ratio": 0}));
    refuse("not an integer", json!({"size": 1.5}));
    refuse("too short", json!({"text": "a"}));
    refuse("too long", json!({"text": "abcdef"}));
    refuse("pattern", json!({"text": "ABC"}));
    refuse("too few items", json!({"list": []}));
    refuse("too many items", json!({"list": ["a", "b", "c"]}));
    refuse("item type", json!({"list": [1]}));
    refuse("duplicate in a set", json!({"unique": ["a", "a"]}));
    refuse(
        "duplicate key",
        json!({"points": [{"name": "x"}, {"name": "x"}]}),
    );
    refuse("missing key", json!({"points": [{"value": 1}]}));
    refuse("too few properties", json!({"table": {}}));
    refuse(
        "too many properties",
        json!({"table": {"a": 1, "b": 2, "c": 3}}),
    );
    refuse("property type", json!({"table": {"a": "x"}}));
    refuse("int or string", json!({"amount": true}));
    refuse("none of one", json!({"either": {}}));
    refuse("both of one", json!({"either": {"a": "1", "b": "2"}}));
    refuse("rule", json!({"low": 2, "high": 1}));
    refuse("message expression", json!({"mode": "Slow", "size": 6}));
    refuse("several", json!({"size": 99, "text": "A", "list": []}));
    refuse("not an object", json!({"nested": 5}));
    steps.push(post("gauge refused: no spec", GAUGES, &json!({
        "apiVersion": "conformance.example.com/v1", "kind": "Gauge", "metadata": {"name": "bad"},
    })));
    steps.push(post(
        "gauge refused: bad name",
        GAUGES,
        &gauge_of("No_Good", json!({"mode": "Fast"})),
    ));
    steps
}

fn changing() -> Vec<Step> {
    let at = format!("{GAUGES}/g");
    let status = format!("{at}/status");
    let scale = format!("{at}/scale");
    let spec = |name: &str, value: Value| json!({"spec": {name: value}});
    let conditions = |status: &str| json!([{"type": "Ready", "status": status}]);
    vec![
        merge("gauge changed", &at, &spec("size", json!(2))).with_owners(),
        merge("gauge unchanged", &at, &spec("size", json!(2))),
        merge("gauge labelled", &at, &json!({"metadata": {"labels": {"x": "y"}}})),
        merge("gauge status through the front", &at, &json!({"status": {"size": 5}})),
        merge("gauge fixed", &at, &spec("fixed", json!("two"))),
        merge("gauge default back", &at, &spec("size", Value::Null)),
        strategic("gauge strategic", &at, &spec("size", json!(3))),
        put("gauge put without version", &at, &gauge_of("g", json!({"mode": "Fast"}))),
        merge("gauge status", &status, &json!({
            "spec": {"size": 9},
            "status": {"size": 2, "selector": "app=g", "conditions": conditions("True"), "odd": 1},
        }))
        .with_owners(),
        merge("gauge status unchanged", &status, &json!({"status": {"size": 2}})),
        merge("gauge status stale", &status, &json!({
            "metadata": {"resourceVersion": "$[rv:gauge created]"}, "status": {"size": 3},
        })),
        merge("gauge status wrong", &status, &json!({"status": {"size": "x"}})),
        put("gauge status put", &status, &json!({
            "apiVersion": "conformance.example.com/v1", "kind": "Gauge",
            "metadata": {"name": "g", "labels": {"x": "y"}, "resourceVersion": "$[rv:gauge status]"},
            "spec": {"mode": "Slow"}, "status": {"size": 4, "selector": "app=g"},
        })),
        apply("gauge status applied", &status, "fieldManager=watcher", &json!({
            "apiVersion": "conformance.example.com/v1", "kind": "Gauge", "metadata": {"name": "g"},
            "status": {"conditions": conditions("False")},
        }))
        .with_owners(),
        get("gauge scale", &scale),
        merge("gauge scaled", &scale, &spec("replicas", json!(4))),
        merge("gauge scaled too far", &scale, &spec("replicas", json!(11))),
        get("gauge after all", &at).with_owners(),
        apply("gauge applied", &format!("{GAUGES}/applied"), "fieldManager=one", &gauge_of("applied", json!({
            "mode": "Fast", "points": [{"name": "x", "value": 1}, {"name": "y"}], "unique": ["a", "b"],
            "list": ["a"], "table": {"t": 1},
        })))
        .with_owners(),
        apply("gauge applied by another", &format!("{GAUGES}/applied"), "fieldManager=two", &gauge_of(
            "applied", json!({"points": [{"name": "z", "value": 3}], "unique": ["c"], "table": {"u": 2}})))
        .with_owners(),
        apply("gauge applied anew", &format!("{GAUGES}/applied"), "fieldManager=one", &gauge_of("applied",
            json!({"mode": "Fast", "points": [{"name": "y"}], "unique": ["b"], "list": ["b"]})))
        .with_owners(),
        apply("gauge applied in conflict", &format!("{GAUGES}/applied"), "fieldManager=two", &gauge_of(
            "applied", json!({"list": ["c"], "points": [{"name": "y", "value": 9}]}))),
        delete("gauge deleted", &at, &Value::Null),
        watch("gauges watched", &format!("{GAUGES}?resourceVersion=$[rv:gauge created]")),
    ]
}

fn rollout(name: &str, spec: &Value) -> Value {
    let mut full = json!({
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "example.com/app:1"}]},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        full[field] = value.clone();
    }
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name}, "spec": full,
    })
}

fn rollouts() -> Vec<Step> {
    let canary = json!({"strategy": {"canary": {"steps": [
        {"setWeight": 20}, {"pause": {}}, {"setWeight": 50}]}}});
    let at = format!("{ROLLOUTS}/demo");
    let none = json!({"spec": {}});
    let typed = |kind: &str| {
        let mut object = none.clone();
        object["apiVersion"] = json!("tidegate.io/v1alpha1");
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "empty"});
        object
    };
    let both = json!({"strategy": {"canary": {}, "blueGreen": {"activeService": "a"}}});
    let heavy = json!({"strategy": {"canary": {"steps": [{"setWeight": 101}]}}});
    let double = json!({"strategy": {"canary": {"steps": [{"setWeight": 10, "pause": {}}]}}});
    vec![
        post("rollout created", ROLLOUTS, &rollout("demo", &canary)),
        merge("rollout paused", &at, &json!({"spec": {"paused": true}})),
        merge(
            "rollout selector changed",
            &at,
            &json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
        ),
        merge(
            "rollout annotated",
            &at,
            &json!({"metadata": {"annotations": {
            "tidegate.io/promote": "1/0 2026-01-01T00:00:00Z someone"}}}),
        ),
        merge(
            "rollout image changed",
            &at,
            &json!({"spec": {"template": {"spec": {"containers": [
            {"name": "app", "image": "example.com/app:2"}]}}}}),
        ),
        merge("rollout negative", &at, &json!({"spec": {"replicas": -1}})),
        post("rollout empty", ROLLOUTS, &typed("Rollout")),
        post("rollout both strategies", ROLLOUTS, &rollout("bad", &both)),
        post("rollout too heavy", ROLLOUTS, &rollout("bad", &heavy)),
        post("rollout two in a step", ROLLOUTS, &rollout("bad", &double)),
        post(
            "rollout unknown strictly",
            &format!("{ROLLOUTS}?fieldValidation=Strict"),
            &rollout("bad", &json!({"nonsense": 1})),
        ),
        get("rollout scale", &format!("{at}/scale")),
        merge(
            "rollout scaled",
            &format!("{at}/scale"),
            &json!({"spec": {"replicas": 3}}),
        ),
        merge(
            "rollout status wrong",
            &format!("{at}/status"),
            &json!({"status": {"phase": 7}}),
        ),
        post("template empty", TEMPLATES, &typed("AnalysisTemplate")),
        post("revert empty", REVERTS, &typed("Revert")),
        post("provider empty", PROVIDERS, &typed("MetricsProvider")),
        delete("rollout deleted", &at, &Value::Null),
    ]
}

fn routes() -> Vec<Step> {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "route"},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": [
                {"backendRefs": [{"name": "stable", "port": 80}, {"name": "canary", "port": 80, "weight": 0}]},
                {"matches": [{"path": {"value": "/x"}, "headers": [{"name": "h", "value": "v"}]}],
                 "backendRefs": [{"name": "stable", "port": 80}]},
            ],
        },
    });
    let at = format!("{ROUTES}/route");
    vec![
        post("route created", ROUTES, &route),
        merge(
            "route relabelled",
            &at,
            &json!({"metadata": {"labels": {"x": "y"}}}),
        ),
        super::script::json_patch(
            "route weighted",
            &at,
            &json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "$[rv:route relabelled]"},
                {"op": "test", "path": "/spec/rules/0/backendRefs/0/name", "value": "stable"},
                {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 80},
                {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 20},
            ]),
        ),
        super::script::json_patch(
            "route weighted from an old view",
            &at,
            &json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "$[rv:route relabelled]"},
                {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 70},
            ]),
        ),
        delete("route deleted", &at, &Value::Null),
    ]
}
