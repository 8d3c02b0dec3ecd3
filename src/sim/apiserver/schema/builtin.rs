//! Schemas of the built-in kinds, taken from the `k8s-openapi` types.
//!
//! Those types carry field names and JSON types but not how lists merge, so the merge keys that
//! Kubernetes' Go types declare (`+listMapKey`, `patchMergeKey`) are added here by field name.

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// All definitions of the built-in kinds: `{"$defs": {…}}`. Built once per process.
pub(in crate::sim::apiserver) fn definitions() -> &'static Arc<Value> {
    static DEFINITIONS: OnceLock<Arc<Value>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| Arc::new(generate()))
}

/// The schema of a built-in kind: a reference into [`definitions`].
pub(in crate::sim::apiserver) fn reference(
    group: &str,
    version: &str,
    kind: &str,
) -> Option<Value> {
    let group = match group {
        "" => "core",
        other => other.split('.').next().unwrap_or_default(),
    };
    let name = format!("io.k8s.api.{group}.{version}.{kind}");
    definitions().get("$defs")?.get(&name)?;
    Some(json!({"$ref": format!("#/$defs/{name}")}))
}

fn generate() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    core_kinds(&mut generator);
    add::<apps::ReplicaSet>(&mut generator);
    add::<apps::Deployment>(&mut generator);
    add::<apps::StatefulSet>(&mut generator);
    add::<apps::DaemonSet>(&mut generator);
    add::<apps::ControllerRevision>(&mut generator);
    add::<batch::Job>(&mut generator);
    add::<coordination::Lease>(&mut generator);
    add::<discovery::EndpointSlice>(&mut generator);
    add::<events::Event>(&mut generator);
    add::<networking::Ingress>(&mut generator);
    add::<networking::IngressClass>(&mut generator);
    add::<networking::NetworkPolicy>(&mut generator);
    add::<autoscaling::HorizontalPodAutoscaler>(&mut generator);
    add::<policy::PodDisruptionBudget>(&mut generator);
    add::<rbac::Role>(&mut generator);
    add::<rbac::RoleBinding>(&mut generator);
    add::<rbac::ClusterRole>(&mut generator);
    add::<rbac::ClusterRoleBinding>(&mut generator);
    let mut definitions = generator.take_definitions(true);
    for (name, definition) in &mut definitions {
        complete(name, definition);
    }
    json!({"$defs": definitions})
}

fn core_kinds(generator: &mut SchemaGenerator) {
    add::<core::Namespace>(generator);
    add::<core::Node>(generator);
    add::<core::Pod>(generator);
    add::<core::Service>(generator);
    add::<core::ConfigMap>(generator);
    add::<core::Secret>(generator);
    add::<core::ServiceAccount>(generator);
    add::<core::Endpoints>(generator);
    add::<core::Event>(generator);
    add::<core::PersistentVolumeClaim>(generator);
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// Opens the types that stand for any JSON and writes the merge keys of lists.
fn complete(name: &str, definition: &mut Value) {
    let open = definition.get("type").and_then(Value::as_str) == Some("object")
        && definition.get("properties").is_none()
        && definition.get("additionalProperties").is_none();
    let Some(map) = definition.as_object_mut() else {
        return;
    };
    if open {
        map.insert(
            "x-kubernetes-preserve-unknown-fields".to_owned(),
            true.into(),
        );
    }
    let atomic = [
        "LabelSelector",
        "ObjectFieldSelector",
        "ResourceFieldSelector",
        "SecretKeySelector",
        "ConfigMapKeySelector",
        "NodeSelector",
        "NodeSelectorTerm",
        "TypedLocalObjectReference",
        "LocalObjectReference",
        "ObjectReference",
        "ScopedResourceSelectorRequirement",
    ];
    if atomic
        .iter()
        .any(|kind| name.ends_with(&format!(".{kind}")))
    {
        map.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (field, schema) in properties {
        if let Some(list) = schema.as_object_mut().filter(|s| s.get("items").is_some()) {
            list_semantics(name, field, list);
        }
        if field == "selector" && name.ends_with(".ServiceSpec") {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
    }
}

fn list_semantics(definition: &str, field: &str, list: &mut Map<String, Value>) {
    let short = definition.rsplit('.').next().unwrap_or_default();
    let keys: &[&str] = match (short, field) {
        ("PodSpec", "containers" | "initContainers" | "ephemeralContainers" | "volumes") => {
            &["name"]
        }
        ("PodSpec", "imagePullSecrets" | "resourceClaims" | "schedulingGates") => &["name"],
        ("PodSpec", "hostAliases") => &["ip"],
        ("PodSpec", "topologySpreadConstraints") => &["topologyKey", "whenUnsatisfiable"],
        ("Container" | "EphemeralContainer", "env") => &["name"],
        ("Container" | "EphemeralContainer", "volumeMounts") => &["mountPath"],
        ("Container" | "EphemeralContainer", "volumeDevices") => &["devicePath"],
        ("Container" | "EphemeralContainer", "ports") => &["containerPort", "protocol"],
        ("ServiceSpec", "ports") => &["port", "protocol"],
        ("ServiceAccount", "secrets") => &["name"],
        ("PodStatus", "podIPs" | "hostIPs") => &["ip"],
        ("NodeStatus", "addresses") => &["type"],
        ("ObjectMeta", "ownerReferences") => &["uid"],
        ("ObjectMeta", "finalizers") | ("LoadBalancerSpec", "sourceRanges") => &[],
        (_, "conditions") if short.ends_with("Status") => &["type"],
        _ => {
            list.insert("x-kubernetes-list-type".to_owned(), "atomic".into());
            return;
        }
    };
    let kind = if keys.is_empty() { "set" } else { "map" };
    list.insert("x-kubernetes-list-type".to_owned(), kind.into());
    if !keys.is_empty() {
        list.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
}
