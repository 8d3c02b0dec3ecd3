//! Defaults of the built-in kinds, as far as Tidegate's objects touch them.
//!
//! Code that hashes or compares a template must see the fields that a real server adds
//! (`pkg/apis/*/v1/defaults.go`).

use serde_json::{Map, Value, json};

use super::{
    object::{self, as_map_mut, at_path},
    registry::Resource,
};

/// Fills in what the real server fills in.
pub(super) fn fill_defaults(resource: &Resource, object: &mut Value) {
    match resource.id().as_str() {
        "pods" => pod(object),
        "services" => service(object),
        "replicasets.apps" => {
            workload(object, &[("replicas", json!(1))]);
            condition_times(object, &["lastTransitionTime"]);
        }
        "deployments.apps" => deployment(object),
        "statefulsets.apps" => workload(
            object,
            &[
                ("replicas", json!(1)),
                ("revisionHistoryLimit", json!(10)),
                ("podManagementPolicy", json!("OrderedReady")),
                (
                    "updateStrategy",
                    json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
                ),
                (
                    "persistentVolumeClaimRetentionPolicy",
                    json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
                ),
            ],
        ),
        "secrets" => {
            default(as_map_mut(object), "type", json!("Opaque"));
            string_data(object);
        }
        "namespaces" => {
            let name = object::meta(object, "name").to_owned();
            if !name.is_empty() {
                let labels = object::meta_mut(object)
                    .entry("labels")
                    .or_insert_with(|| json!({}));
                as_map_mut(labels).insert("kubernetes.io/metadata.name".to_owned(), name.into());
            }
            let spec = as_map_mut(object)
                .entry("spec")
                .or_insert_with(|| json!({}));
            default(as_map_mut(spec), "finalizers", json!(["kubernetes"]));
        }
        "ingresses.networking.k8s.io" => ingress(object),
        "events" => event(
            object,
            &["eventTime", "firstTimestamp", "lastTimestamp"],
            "source",
        ),
        "events.events.k8s.io" => event(
            object,
            &[
                "eventTime",
                "deprecatedFirstTimestamp",
                "deprecatedLastTimestamp",
            ],
            "deprecatedSource",
        ),
        "endpointslices.discovery.k8s.io" => endpoint_slice(object),
        _ => {}
    }
}

fn default(map: &mut Map<String, Value>, field: &str, value: Value) {
    map.entry(field.to_owned()).or_insert(value);
}

fn string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = as_map_mut(secret).remove("stringData") else {
        return;
    };
    let data = as_map_mut(secret)
        .entry("data")
        .or_insert_with(|| json!({}));
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        as_map_mut(data).insert(key, base64(text.as_bytes()).into());
    }
}

/// Standard base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            if at > chunk.len() {
                text.push('=');
            } else {
                let index = usize::try_from(word >> (18 - 6 * at) & 63).unwrap_or(0);
                text.push(ALPHABET.get(index).copied().map_or('=', char::from));
            }
        }
    }
    text
}

fn workload(object: &mut Value, defaults: &[(&str, Value)]) {
    let spec = as_map_mut(
        as_map_mut(object)
            .entry("spec")
            .or_insert_with(|| json!({})),
    );
    for (field, value) in defaults {
        default(spec, field, value.clone());
    }
    if let Some(spec) = spec.get_mut("template").and_then(|t| t.get_mut("spec")) {
        pod_spec(spec);
    }
}

fn deployment(object: &mut Value) {
    workload(
        object,
        &[
            ("replicas", json!(1)),
            ("revisionHistoryLimit", json!(10)),
            ("progressDeadlineSeconds", json!(600)),
            ("strategy", json!({"type": "RollingUpdate"})),
        ],
    );
    let strategy = object.get_mut("spec").and_then(|s| s.get_mut("strategy"));
    let Some(strategy) = strategy.map(as_map_mut) else {
        return;
    };
    default(strategy, "type", json!("RollingUpdate"));
    if strategy.get("type") == Some(&json!("RollingUpdate")) {
        let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
        default(as_map_mut(rolling), "maxSurge", json!("25%"));
        default(as_map_mut(rolling), "maxUnavailable", json!("25%"));
    }
}

/// `SetDefaults_PodSpec` and `SetDefaults_Container`.
fn pod_spec(spec: &mut Value) {
    let map = as_map_mut(spec);
    default(map, "restartPolicy", json!("Always"));
    default(map, "terminationGracePeriodSeconds", json!(30));
    default(map, "dnsPolicy", json!("ClusterFirst"));
    default(map, "securityContext", json!({}));
    default(map, "schedulerName", json!("default-scheduler"));
    if let Some(account) = map.get("serviceAccountName").cloned() {
        default(map, "serviceAccount", account);
    }
    for list in ["containers", "initContainers"] {
        for one in map
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container(as_map_mut(one));
        }
    }
}

/// A pod also gets what the API server's admission plugins write (priority, tolerations).
fn pod(object: &mut Value) {
    condition_times(object, &["lastProbeTime", "lastTransitionTime"]);
    let Some(spec) = object.get_mut("spec") else {
        return;
    };
    pod_spec(spec);
    let spec = as_map_mut(spec);
    default(spec, "enableServiceLinks", json!(true));
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    default(spec, "priority", json!(0));
    let tolerations = as_list_mut(spec.entry("tolerations").or_insert_with(|| json!([])));
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        if !tolerations
            .iter()
            .any(|t| t.get("key").and_then(Value::as_str) == Some(key))
        {
            tolerations.push(
                json!({"effect": "NoExecute", "key": key, "operator": "Exists",
                                    "tolerationSeconds": 300}),
            );
        }
    }
}

fn as_list_mut(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made a list just above"),
    }
}

/// Times of conditions are written even when they are not known.
fn condition_times(object: &mut Value, times: &[&str]) {
    let conditions = object
        .get_mut("status")
        .and_then(|s| s.get_mut("conditions"));
    for condition in conditions
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for time in times {
            default(as_map_mut(condition), time, Value::Null);
        }
    }
}

/// Fields that an Event always has in its JSON form.
fn event(object: &mut Value, times: &[&str], source: &str) {
    let map = as_map_mut(object);
    for time in times {
        default(map, time, Value::Null);
    }
    default(map, source, json!({}));
}

fn container(map: &mut Map<String, Value>) {
    let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@')
        && name
            .split_once(':')
            .is_none_or(|(_, tag)| tag.is_empty() || tag == "latest");
    let policy = if latest { "Always" } else { "IfNotPresent" };
    default(map, "imagePullPolicy", json!(policy));
    default(map, "terminationMessagePath", json!("/dev/termination-log"));
    default(map, "terminationMessagePolicy", json!("File"));
    default(map, "resources", json!({}));
    for port in map
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(as_map_mut(port), "protocol", json!("TCP"));
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map.get_mut(name).map(as_map_mut) {
            default(probe, "timeoutSeconds", json!(1));
            default(probe, "periodSeconds", json!(10));
            default(probe, "successThreshold", json!(1));
            default(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet").map(as_map_mut) {
                default(get, "path", json!("/"));
                default(get, "scheme", json!("HTTP"));
            }
        }
    }
}

fn service(object: &mut Value) {
    let spec = as_map_mut(
        as_map_mut(object)
            .entry("spec")
            .or_insert_with(|| json!({})),
    );
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let port = as_map_mut(port);
        default(port, "protocol", json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    }
    if spec.get("type") != Some(&json!("ExternalName")) {
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
}

fn ingress(object: &mut Value) {
    let rules = object.get_mut("spec").and_then(|s| s.get_mut("rules"));
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        let paths = rule.get_mut("http").and_then(|h| h.get_mut("paths"));
        for path in paths.and_then(Value::as_array_mut).into_iter().flatten() {
            default(
                as_map_mut(path),
                "pathType",
                json!("ImplementationSpecific"),
            );
        }
    }
}

fn endpoint_slice(object: &mut Value) {
    for port in object
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(as_map_mut(port), "protocol", json!("TCP"));
        default(as_map_mut(port), "name", json!(""));
    }
}

/// What an object of a kind looks like before anything is set: the parts of its Go type that are
/// no pointers are always there, so creating an object does not "add" them.
pub(super) fn blank(resource: &Resource) -> Value {
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    match resource.id().as_str() {
        "pods" => json!({"metadata": {}, "spec": {"containers": null}, "status": {}}),
        "replicasets.apps" => {
            json!({"metadata": {}, "spec": {"template": template}, "status": {"replicas": 0}})
        }
        "statefulsets.apps" => json!({
            "metadata": {}, "status": {"replicas": 0},
            "spec": {"template": template, "updateStrategy": {}},
        }),
        "deployments.apps" => {
            json!({"metadata": {}, "spec": {"template": template, "strategy": {}}, "status": {}})
        }
        "services" | "ingresses.networking.k8s.io" => {
            json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}})
        }
        "events" => json!({"metadata": {}, "involvedObject": {}, "source": {},
                           "eventTime": null, "firstTimestamp": null, "lastTimestamp": null,
                           "reportingComponent": "", "reportingInstance": ""}),
        _ if resource.builtin => json!({"metadata": {}, "spec": {}, "status": {}}),
        _ => json!({"metadata": {}}),
    }
}

/// The status that a new object starts with; the one sent by the client is dropped.
pub(super) fn initial_status(resource: &Resource, object: &Value) -> Option<Value> {
    match resource.id().as_str() {
        "pods" => Some(json!({"phase": "Pending", "qosClass": qos_class(object)})),
        "services" => Some(json!({"loadBalancer": {}})),
        "ingresses.networking.k8s.io" => Some(json!({"loadBalancer": {}})),
        "replicasets.apps" | "statefulsets.apps" => Some(json!({"replicas": 0})),
        "deployments.apps" | "jobs.batch" => Some(json!({})),
        "namespaces" => Some(json!({"phase": "Active"})),
        _ => None,
    }
}

/// `BestEffort` without requests and limits, `Guaranteed` when every container's limits equal its
/// requests for cpu and memory, else `Burstable`.
fn qos_class(pod: &Value) -> &'static str {
    let containers = at_path(pod, "spec.containers").and_then(Value::as_array);
    let (mut any, mut guaranteed) = (false, true);
    for container in containers.into_iter().flatten() {
        let of = |list: &str, name: &str| {
            container
                .get("resources")
                .and_then(|r| r.get(list))
                .and_then(|l| l.get(name))
        };
        for name in ["cpu", "memory"] {
            let (request, limit) = (of("requests", name), of("limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
