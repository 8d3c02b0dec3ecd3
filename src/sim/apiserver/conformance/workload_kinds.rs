//! What the kinds that a rollout is made of do beyond that: defaults, status, scale, selectors,
//! owners, apply.

// A script reads best with the values where they are used; what is indexed was made just above.
#![allow(clippy::needless_pass_by_value, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::script::{Step, delete, get, merge, post, put, strategic};

pub(super) const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
pub(super) const SETS: &str = "/apis/apps/v1/namespaces/{ns}/replicasets";
const PODS: &str = "/api/v1/namespaces/{ns}/pods";
const SERVICES: &str = "/api/v1/namespaces/{ns}/services";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";

/// Steps on ReplicaSets, Pods, Services, Leases, Events and owners.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = replica_sets();
    steps.extend(scale());
    steps.extend(pods_and_services());
    steps.extend(others());
    steps.extend(owners());
    steps
}

fn replica_set(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "app", "image": "example.com/app:1",
                    "ports": [{"containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"port": 8080}},
                }]},
            },
        },
    })
}

fn replica_sets() -> Vec<Step> {
    let set = format!("{SETS}/r");
    let status = format!("{SETS}/r/status");
    let mut mismatched = replica_set("bad");
    mismatched["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let mut nothing = replica_set("bad");
    nothing["spec"]["template"]["spec"]["containers"] = json!([]);
    vec![
        post("set created with defaults", SETS, &replica_set("r")).with_owners(),
        post("set with mismatched labels", SETS, &mismatched),
        post("set without containers", SETS, &nothing),
        post(
            "set without selector",
            SETS,
            &json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "bad"},
                "spec": {"template": replica_set("bad")["spec"]["template"]},
            }),
        ),
        merge(
            "set labelled",
            &set,
            &json!({"metadata": {"labels": {"x": "y"}}}),
        ),
        merge("set spec changed", &set, &json!({"spec": {"replicas": 3}})).with_owners(),
        merge(
            "set spec unchanged",
            &set,
            &json!({"spec": {"replicas": 3}}),
        ),
        merge(
            "set status ignored",
            &set,
            &json!({"status": {"replicas": 9}}),
        ),
        merge("set negative", &set, &json!({"spec": {"replicas": -1}})),
        merge(
            "set selector changed",
            &set,
            &json!({"spec": {"selector": {"matchLabels": {"b": "c"}}}}),
        ),
        strategic(
            "set image changed",
            &set,
            &json!({
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "example.com/app:2"}]}}},
            }),
        ),
        strategic(
            "set env added",
            &set,
            &json!({
                "spec": {"template": {"spec": {"containers": [
                    {"name": "app", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}}},
            }),
        ),
        strategic(
            "set env removed",
            &set,
            &json!({
                "spec": {"template": {"spec": {"containers": [
                    {"name": "app", "env": [{"name": "A", "$patch": "delete"}]}]}}},
            }),
        ),
        merge(
            "set status patched",
            &status,
            &json!({
                "spec": {"replicas": 7}, "status": {"replicas": 3, "readyReplicas": 2},
            }),
        )
        .with_owners(),
        get("set status read", &status),
        merge(
            "set status unchanged",
            &status,
            &json!({"status": {"readyReplicas": 2}}),
        ),
        put(
            "set status put",
            &status,
            &json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": "r"}, "spec": replica_set("r")["spec"],
                "status": {"replicas": 3, "observedGeneration": 4},
            }),
        ),
        post("status posted", &status, &replica_set("r")),
    ]
}

fn scale() -> Vec<Step> {
    let scale = format!("{SETS}/r/scale");
    let body = |version: &str, replicas: i64| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "r", "namespace": "{ns}", "resourceVersion": version},
            "spec": {"replicas": replicas},
        })
    };
    vec![
        get("scale read", &scale),
        merge("scale patched", &scale, &json!({"spec": {"replicas": 5}})),
        put("scale put", &scale, &body("$[rv:scale patched]", 6)),
        put("scale put stale", &scale, &body("$[rv:scale patched]", 7)),
        merge(
            "scale patched stale",
            &scale,
            &json!({
                "metadata": {"resourceVersion": "$[rv:scale patched]"}, "spec": {"replicas": 8},
            }),
        ),
        merge("scale negative", &scale, &json!({"spec": {"replicas": -1}})),
        merge("scale to zero", &scale, &json!({"spec": {"replicas": 0}})),
        get("scaled set", &format!("{SETS}/r")),
        get("scale of a map", &format!("{MAPS}/a/scale")).code_only(),
        delete("set deleted", &format!("{SETS}/r"), &Value::Null),
    ]
}

fn pods_and_services() -> Vec<Step> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "p"}},
        "spec": {"automountServiceAccountToken": false,
                 "containers": [{"name": "app", "image": "example.com/app"}]},
    });
    let service = |ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": {"app": "p"}, "ports": ports},
        })
    };
    let status = json!({
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    vec![
        post("pod created", PODS, &pod),
        get(
            "pods pending",
            &format!("{PODS}?fieldSelector=status.phase%3DPending"),
        ),
        merge("pod status", &format!("{PODS}/p/status"), &status),
        strategic(
            "pod condition merged",
            &format!("{PODS}/p/status"),
            &json!({
                "status": {"conditions": [{"type": "Initialized", "status": "True"}]},
            }),
        ),
        get(
            "pods running",
            &format!("{PODS}?fieldSelector=status.phase%3DRunning"),
        ),
        post(
            "pod evicted",
            &format!("{PODS}/p/eviction"),
            &json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "{ns}"},
            }),
        ),
        get("evicted pod", &format!("{PODS}/p"))
            .code_only()
            .until_code(404),
        post("pod created again", PODS, &pod),
        delete(
            "unscheduled pod deleted",
            &format!("{PODS}/p"),
            &Value::Null,
        ),
        get("deleted pod", &format!("{PODS}/p")),
        post(
            "service created",
            SERVICES,
            &service(json!([{"port": 80, "targetPort": 8080}])),
        ),
        merge(
            "service selector changed",
            &format!("{SERVICES}/s"),
            &json!({
                "spec": {"selector": {"app": "p", "hash": "1"}},
            }),
        ),
        merge(
            "service selector removed",
            &format!("{SERVICES}/s"),
            &json!({
                "spec": {"selector": {"hash": null}},
            }),
        ),
        post("service without ports", SERVICES, &service(json!([]))),
        post(
            "service with a bad port",
            SERVICES,
            &service(json!([{"port": 0}])),
        ),
        delete("service deleted", &format!("{SERVICES}/s"), &Value::Null),
    ]
}

fn others() -> Vec<Step> {
    let lease = |holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15,
                     "renewTime": "2026-01-01T00:00:00.000000Z"},
        })
    };
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "e.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Tested",
        "note": "said", "action": "Test", "reportingController": "example.com/conformance",
        "reportingInstance": "one",
        "regarding": {"kind": "ConfigMap", "namespace": "{ns}", "name": "a"},
    });
    vec![
        put("lease put creates", &format!("{LEASES}/l"), &lease("one")),
        put("lease put changes", &format!("{LEASES}/l"), &lease("two")),
        post(
            "event created",
            "/apis/events.k8s.io/v1/namespaces/{ns}/events",
            &event,
        ),
        get(
            "event in the other shape",
            "/api/v1/namespaces/{ns}/events/e.1",
        ),
        get(
            "events of an object",
            "/api/v1/namespaces/{ns}/events?fieldSelector=involvedObject.name%3Da",
        ),
        post(
            "secret from text",
            "/api/v1/namespaces/{ns}/secrets",
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"},
                "stringData": {"password": "swordfish", "a": "b"},
            }),
        ),
        post(
            "ingress",
            "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
            &json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": "example.com", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix",
                     "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]},
            }),
        ),
        post(
            "deployment",
            "/apis/apps/v1/namespaces/{ns}/deployments",
            &json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "d"}},
                         "template": replica_set("d")["spec"]["template"]},
            }),
        ),
        merge(
            "deployment paused",
            "/apis/apps/v1/namespaces/{ns}/deployments/d",
            &json!({"spec": {"paused": true}}),
        ),
        get(
            "deployment's scale",
            "/apis/apps/v1/namespaces/{ns}/deployments/d/scale",
        ),
        delete(
            "deployment deleted",
            "/apis/apps/v1/namespaces/{ns}/deployments/d",
            &Value::Null,
        ),
    ]
}

fn owned(name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": owner,
            "uid": format!("$[uid:create {owner}]"), "controller": true, "blockOwnerDeletion": true,
        }]},
    })
}

fn owners() -> Vec<Step> {
    let plain =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let at = |name: &str| format!("{MAPS}/{name}");
    vec![
        post("create owner1", MAPS, &plain("owner1")),
        post("owned1", MAPS, &owned("owned1", "owner1")),
        delete("owner1 deleted", &at("owner1"), &Value::Null),
        get("owned1 collected", &at("owned1")).until_code(404),
        post("create owner2", MAPS, &plain("owner2")),
        post("owned2", MAPS, &owned("owned2", "owner2")),
        delete(
            "owner2 orphans",
            &at("owner2"),
            &json!({"propagationPolicy": "Orphan"}),
        )
        .code_only(),
        get("owner2 gone", &at("owner2")).until_code(404),
        get("owned2 orphaned", &at("owned2")).until_body("/metadata/ownerReferences", Value::Null),
        post("create owner3", MAPS, &plain("owner3")),
        post("owned3", MAPS, &owned("owned3", "owner3")),
        delete(
            "owner3 in the foreground",
            &at("owner3"),
            &json!({"propagationPolicy": "Foreground"}),
        ),
        get("owned3 collected", &at("owned3")).until_code(404),
        get("owner3 gone", &at("owner3")).until_code(404),
        post("owned by the dead", MAPS, &owned("owned4", "owner1")).code_only(),
        get("owned by the dead collected", &at("owned4")).until_code(404),
    ]
}
