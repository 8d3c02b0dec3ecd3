//! Whether nothing of the way is left at its end: what a namespace holds against what it held when
//! its first version had just been deployed, as it would in a fresh cluster.
//!
//! Both say the same but for what tells two deployments apart by nature: names of versions and
//! their hashes, revisions, times, and the history. ReplicaSets without pods are history as well.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

/// What is looked at.
const KINDS: [(&str, &str, &str); 5] = [
    ("tidegate.io", "v1alpha1", "Rollout"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("apps", "v1", "ReplicaSet"),
    ("", "v1", "Service"),
    ("", "v1", "Pod"),
];

/// Fields that are other ones with every deployment, wherever they stand.
const OWN: [&str; 21] = [
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "revision",
    "since",
    "confirmedAt",
    "reassertedAt",
    "countedAt",
    "history",
    "handledCommands",
    "lastHandledCommand",
    "generateName",
    "podIP",
    "podIPs",
    "startTime",
    "startedAt",
    "containerID",
];

/// Fields of a pod's status besides: how the kubelet brought it up is not Tidegate's.
const OF_PODS: [&str; 2] = ["spec", "status"];

/// What the namespace holds.
pub async fn picture(client: &Client, namespace: &str) -> Result<Value, String> {
    let mut kinds = Map::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let list = api.list(&ListParams::default()).await;
        let list = list.map_err(|error| format!("{kind}: {error}"))?.items;
        let objects = list
            .into_iter()
            .map(|object| serde_json::to_value(object).map_err(|error| error.to_string()));
        kinds.insert(kind.to_owned(), objects.collect::<Result<Value, _>>()?);
    }
    Ok(normal(&Value::Object(kinds)))
}

/// Where two pictures differ, as the patch from the first to the second.
pub fn difference(first: &Value, second: &Value) -> Result<(), String> {
    let patch = json_patch::diff(first, second);
    if patch.0.is_empty() {
        Ok(())
    } else {
        Err(patch.to_string())
    }
}

/// The same picture without what tells two deployments apart by nature.
fn normal(kinds: &Value) -> Value {
    let text = |pointer: &str| {
        let found = kinds.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let names = [
        (text("/Rollout/0/status/stable/hash"), "HASH"),
        (
            text("/Rollout/0/spec/template/spec/containers/0/env/0/value"),
            "VERSION",
        ),
    ];
    let mut normal = kinds.clone();
    if let Some(sets) = normal["ReplicaSet"].as_array_mut() {
        sets.retain(|set| set["spec"]["replicas"] != 0);
    }
    if let Some(pods) = normal["Pod"].as_array_mut() {
        for pod in pods {
            if let Some(fields) = pod.as_object_mut() {
                fields.retain(|field, _| !OF_PODS.contains(&field.as_str()));
            }
            pod["metadata"]["name"] = json!("POD");
        }
    }
    strip(&mut normal, &names);
    normal
}

fn strip(value: &mut Value, names: &[(String, &str)]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| !OWN.contains(&field.as_str()));
            // Which there are counts; what they say is revisions, times and commits.
            if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
                annotations
                    .values_mut()
                    .for_each(|text| *text = Value::Null);
            }
            fields.values_mut().for_each(|field| strip(field, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, names)),
        Value::String(text) => {
            for (name, stands_for) in names {
                // A version is a text of its own; a hash is part of names and selectors.
                if text == name || (*stands_for == "HASH" && !name.is_empty()) {
                    *text = text.replace(name.as_str(), stands_for);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(version: &str, hash: &str, weight: i64) -> Value {
        json!({
            "Rollout": [{
                "metadata": {"name": "shop", "uid": hash},
                "spec": {"template": {"spec": {"containers": [{"env": [{"name": "APP_VERSION", "value": version}]}]}}},
                "status": {"stable": {"hash": hash, "revision": weight}, "phase": "Healthy"},
            }],
            "HTTPRoute": [{"spec": {"weight": weight}}],
            "ReplicaSet": [
                {"metadata": {"name": format!("shop-{hash}")}, "spec": {"replicas": 4}},
                {"metadata": {"name": "shop-old"}, "spec": {"replicas": 0}},
            ],
            "Pod": [{"metadata": {"name": format!("shop-{hash}-x"), "labels": {"hash": hash}}, "status": {"phase": "Running"}}],
        })
    }

    #[test]
    fn another_version_in_the_same_place_looks_the_same() {
        let fresh = normal(&namespace("1.0", "abc", 0));
        let mut later = namespace("2.0", "xyz", 0);
        later["Rollout"][0]["status"]["stable"]["revision"] = json!(7);
        assert_eq!(difference(&fresh, &normal(&later)), Ok(()));
    }

    #[test]
    fn what_is_left_of_the_way_is_seen() {
        let fresh = normal(&namespace("1.0", "abc", 0));
        let differs = |change: fn(&mut Value)| {
            let mut later = namespace("2.0", "xyz", 0);
            change(&mut later);
            difference(&fresh, &normal(&later)).expect_err("it differs")
        };
        let annotated =
            |n: &mut Value| n["Rollout"][0]["metadata"]["annotations"] = json!({"left": "x"});
        assert!(differs(annotated).contains("annotations"));
        assert!(differs(|n| n["HTTPRoute"][0]["spec"]["weight"] = json!(5)).contains("weight"));
        assert!(differs(|n| n["Rollout"][0]["status"]["abort"] = json!({})).contains("abort"));
        assert!(
            differs(|n| n["ReplicaSet"][1]["spec"]["replicas"] = json!(1)).contains("ReplicaSet")
        );
        assert!(
            differs(|n| n["Pod"][0]["metadata"]["labels"]["hash"] = json!("abc")).contains("hash")
        );
    }
}
