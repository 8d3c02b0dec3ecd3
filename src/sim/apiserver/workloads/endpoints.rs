//! EndpointSlices follow Services and the readiness of pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{keys, pods};
use crate::sim::apiserver::{
    object::{self, at_path},
    selectors::LabelSelector,
    store::ObjectKey,
    verbs::State,
};

const SLICES: &str = "endpointslices.discovery.k8s.io";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// A pod that receives traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Its uid, which a restarted pod of the same name does not share.
    pub uid: String,
    /// Its address; nothing listens there.
    pub address: String,
    /// Its labels: the template hash tells the version.
    pub labels: BTreeMap<String, String>,
}

/// The pods that a Service selects, ready and not terminating.
pub(super) fn ready_pods(state: &State, namespace: &str, service: &str) -> Vec<PodRef> {
    let key = ObjectKey::new("services", namespace, service);
    let Some(service) = state.store.get(&key) else {
        return Vec::new();
    };
    let selected = selected_pods(state, namespace, service).into_iter();
    let ready = selected.filter(|pod| pods::is_ready(pod) && !object::is_terminating(pod));
    ready.map(pod_ref).collect()
}

fn pod_ref(pod: &Value) -> PodRef {
    let labels = object::meta_value(pod, "labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    PodRef {
        namespace: object::meta(pod, "namespace").to_owned(),
        name: object::meta(pod, "name").to_owned(),
        uid: object::meta(pod, "uid").to_owned(),
        address: at_path(pod, "status.podIP")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        labels: labels
            .filter_map(|(k, v)| v.as_str().map(|v| (k.clone(), v.to_owned())))
            .collect(),
    }
}

/// Pods with an address that the Service's selector matches; a Service without selector has none.
fn selected_pods<'a>(state: &'a State, namespace: &'a str, service: &Value) -> Vec<&'a Value> {
    let selector = at_path(service, "spec.selector").and_then(LabelSelector::from_labels);
    let Some(selector) = selector else {
        return Vec::new();
    };
    let pods = state.store.list("pods", namespace).map(|(_, pod)| &**pod);
    pods.filter(|pod| selector.matches(pod) && at_path(pod, "status.podIP").is_some())
        .collect()
}

/// Brings the slice of every Service up to date.
pub(super) fn publish(state: &mut State, now: Timestamp) {
    for key in keys(state, "services") {
        let Some(service) = state.store.get(&key).cloned() else {
            continue;
        };
        if at_path(&service, "spec.selector").is_none() {
            continue;
        }
        let endpoints: Vec<Value> = selected_pods(state, &key.namespace, &service)
            .into_iter()
            .map(endpoint)
            .collect();
        let ports = ports(&service, &selected_pods(state, &key.namespace, &service));
        match slice_of(state, &service) {
            Some(slice) => {
                state.rewrite(&slice, |slice| {
                    object::set_path(slice, "endpoints", Value::Array(endpoints));
                    object::set_path(slice, "ports", ports);
                });
            }
            None => create_slice(state, &key, &service, &endpoints, &ports, now),
        }
    }
}

fn slice_of(state: &State, service: &Value) -> Option<ObjectKey> {
    let dependents = state.store.dependents(object::meta(service, "uid"));
    dependents.into_iter().find(|key| key.resource == SLICES)
}

fn create_slice(
    state: &mut State,
    key: &ObjectKey,
    service: &Value,
    endpoints: &[Value],
    ports: &Value,
    now: Timestamp,
) {
    let Some(resource) = state.registry.get(SLICES).cloned() else {
        return;
    };
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", key.name),
            "labels": {
                "kubernetes.io/service-name": key.name,
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Service",
                "name": key.name,
                "uid": object::meta(service, "uid"),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    });
    // A Service that was deleted in between takes its slice along; nothing else can refuse it.
    let _ = state.create(&resource, &key.namespace, slice, MANAGER, now);
}

fn endpoint(pod: &Value) -> Value {
    let terminating = object::is_terminating(pod);
    let serving = pods::is_ready(pod);
    json!({
        "addresses": [at_path(pod, "status.podIP")],
        "conditions": {
            "ready": serving && !terminating,
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": at_path(pod, "spec.nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": object::meta(pod, "namespace"),
            "name": object::meta(pod, "name"),
            "uid": object::meta(pod, "uid"),
        },
    })
}

/// The Service's ports as pods have them; named target ports are looked up in the containers.
fn ports(service: &Value, pods: &[&Value]) -> Value {
    let ports = at_path(service, "spec.ports").and_then(Value::as_array);
    let resolved = ports.into_iter().flatten().filter_map(|port| {
        let target = port.get("targetPort").or_else(|| port.get("port"))?;
        let number = match target.as_str() {
            Some(name) => pods.iter().find_map(|pod| container_port(pod, name))?,
            None => target.clone(),
        };
        Some(json!({
            "name": port.get("name").cloned().unwrap_or_else(|| json!("")),
            "port": number,
            "protocol": port.get("protocol"),
        }))
    });
    resolved.collect()
}

fn container_port(pod: &Value, name: &str) -> Option<Value> {
    let containers = at_path(pod, "spec.containers")?.as_array()?.iter();
    let mut ports = containers
        .filter_map(|c| c.get("ports")?.as_array())
        .flatten();
    ports
        .find(|p| p.get("name").and_then(Value::as_str) == Some(name))?
        .get("containerPort")
        .cloned()
}
