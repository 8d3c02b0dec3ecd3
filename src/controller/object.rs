//! Kubernetes objects as the controller holds them: any kind, as JSON.
//!
//! Typed structs would drop what they do not know, and one object that does not fit its struct would
//! stop the watch of all others of its kind. Here every object is read as it is; what it means is
//! worked out in `observe`, for one Rollout at a time. In the caches an object is its JSON text
//! without the parts that nobody reads: a ReplicaSet takes about 3 KiB so.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::{Api, Client, Resource};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Every kind that the controller reads or writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `tidegate.io/v1alpha1` Rollout.
    #[default]
    Rollout,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` Deployment.
    Deployment,
    /// `v1` Service.
    Service,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1` GatewayClass.
    GatewayClass,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `tidegate.io/v1alpha1` AnalysisRun.
    AnalysisRun,
    /// `tidegate.io/v1alpha1` AnalysisTemplate.
    AnalysisTemplate,
    /// `tidegate.io/v1alpha1` ClusterAnalysisTemplate.
    ClusterAnalysisTemplate,
    /// `tidegate.io/v1alpha1` Revert.
    Revert,
    /// `tidegate.io/v1alpha1` MetricsProvider.
    MetricsProvider,
    /// `v1` Pod.
    Pod,
    /// `v1` Secret: read one by one, only those that a MetricsProvider names.
    Secret,
    /// `v1` ConfigMap: read one by one, only those that a MetricsProvider names.
    ConfigMap,
    /// `v1` Namespace: read one by one, for its labels.
    Namespace,
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass,
}

impl Kind {
    /// Group, version, kind and plural.
    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        const TIDEGATE: &str = "tidegate.io";
        match self {
            Self::Rollout => (TIDEGATE, "v1alpha1", "Rollout", "rollouts"),
            Self::ReplicaSet => ("apps", "v1", "ReplicaSet", "replicasets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::GatewayClass => (
                "gateway.networking.k8s.io",
                "v1",
                "GatewayClass",
                "gatewayclasses",
            ),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::AnalysisRun => (TIDEGATE, "v1alpha1", "AnalysisRun", "analysisruns"),
            Self::AnalysisTemplate => (
                TIDEGATE,
                "v1alpha1",
                "AnalysisTemplate",
                "analysistemplates",
            ),
            Self::ClusterAnalysisTemplate => (
                TIDEGATE,
                "v1alpha1",
                "ClusterAnalysisTemplate",
                "clusteranalysistemplates",
            ),
            Self::Revert => (TIDEGATE, "v1alpha1", "Revert", "reverts"),
            Self::MetricsProvider => (TIDEGATE, "v1alpha1", "MetricsProvider", "metricsproviders"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::IngressClass => ("networking.k8s.io", "v1", "IngressClass", "ingressclasses"),
        }
    }

    /// Its name in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().2
    }

    /// Whether its objects live in no namespace.
    #[must_use]
    pub const fn is_cluster_scoped(self) -> bool {
        matches!(
            self,
            Self::ClusterAnalysisTemplate
                | Self::MetricsProvider
                | Self::Namespace
                | Self::GatewayClass
                | Self::IngressClass
        )
    }

    /// The API for its objects in `namespace`, or in all.
    pub fn api(self, client: Client, namespace: Option<&str>) -> Api<Object> {
        match namespace.filter(|_| !self.is_cluster_scoped()) {
            Some(namespace) => Api::namespaced_with(client, namespace, &self),
            None => Api::all_with(client, &self),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object of any kind.
#[derive(Clone, Debug)]
pub struct Object {
    metadata: ObjectMeta,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// As it was read.
    Whole(Value),
    /// As it is kept.
    Text(Box<str>),
}

impl Object {
    /// An object that is to be created.
    ///
    /// # Errors
    /// When its metadata is none.
    pub fn new(value: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(value)
    }

    /// All of it.
    #[must_use]
    pub fn value(&self) -> Cow<'_, Value> {
        match &self.body {
            Body::Whole(value) => Cow::Borrowed(value),
            // The text was made from a value, so it is one.
            Body::Text(text) => Cow::Owned(serde_json::from_str(text).unwrap_or_default()),
        }
    }

    /// Its name; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace; empty if it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its uid; empty if it has none.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its resourceVersion; empty if it has none.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }

    /// The version of its spec.
    #[must_use]
    pub fn generation(&self) -> Option<i64> {
        self.metadata.generation
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|at| at.0)
    }

    /// A label of it.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// An annotation of it.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata
            .annotations
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    /// The uid of its controller.
    #[must_use]
    pub fn controller_uid(&self) -> Option<&str> {
        let owners = self.metadata.owner_references.as_ref()?;
        owners
            .iter()
            .find(|o| o.controller == Some(true))
            .map(|o| o.uid.as_str())
    }

    /// Drops what nobody reads, for the caches.
    pub fn slim(&mut self, kind: Kind) {
        let mut value = self.value().into_owned();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut)
            {
                annotations.remove(LAST_APPLIED);
            }
        }
        let keep = |part: &str, keys: &[&str]| -> Value {
            let found = value.get(part);
            keys.iter()
                .filter_map(|k| Some(((*k).to_owned(), found?.get(*k)?.clone())))
                .collect()
        };
        let kept = match kind {
            // The evidence may take 64 KiB; the Rollout needs the verdict.
            Kind::AnalysisRun => Some((
                keep(
                    "spec",
                    &[
                        "canaryHash",
                        "terminate",
                        "promote",
                        "rollout",
                        "ttlSecondsAfterFinished",
                    ],
                ),
                keep(
                    "status",
                    &["phase", "verdict", "reason", "message", "completedAt"],
                ),
            )),
            // There are as many as a cluster has workloads; few of them belong to a Rollout.
            Kind::Deployment => Some((
                keep("spec", &["replicas", "selector", "template"]),
                keep(
                    "status",
                    &[
                        "observedGeneration",
                        "replicas",
                        "updatedReplicas",
                        "availableReplicas",
                    ],
                ),
            )),
            _ => None,
        };
        if let Some((spec, status)) = kept {
            value = json!({"metadata": value.get("metadata"), "spec": spec, "status": status});
        }
        self.metadata.managed_fields = None;
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.remove(LAST_APPLIED);
        }
        self.body = Body::Text(value.to_string().into());
    }
}

/// Left by kubectl: the whole object once more.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let metadata = match value.get("metadata") {
            Some(metadata) => ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?,
            None => ObjectMeta::default(),
        };
        Ok(Self {
            metadata,
            body: Body::Whole(value),
        })
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl Resource for Object {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.names().0.into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.names().1.into()
    }

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.names().2.into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.names().3.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::facts;

    #[test]
    fn unknown_and_odd_objects_are_read_as_they_are() {
        let odd =
            json!({"metadata": {"name": "x"}, "spec": "not what the schema says", "extra": [1]});
        let object = Object::new(odd.clone()).unwrap();
        assert_eq!(object.name(), "x");
        assert_eq!(object.value().into_owned(), odd);
        assert_eq!(serde_json::to_value(&object).unwrap(), odd);
    }

    #[test]
    fn the_cache_keeps_what_is_read_and_no_more() {
        let mut run = Object::new(json!({
            "metadata": {"name": "r", "managedFields": [{"manager": "x"}], "annotations": {LAST_APPLIED: "{}", "a": "b"}},
            "spec": {"canaryHash": "h", "metrics": [1, 2, 3], "terminate": true, "promote": {"maxDuration": "7m"}},
            "status": {"phase": "Failed", "verdict": "Fail", "reason": "Fail", "message": "m",
                "completedAt": "2026-01-01T00:00:00Z", "metrics": [{"much": "evidence"}]},
        }))
        .unwrap();
        let whole = facts::run(&run);
        run.slim(Kind::AnalysisRun);
        assert_eq!(
            run.value().into_owned(),
            json!({"metadata": {"name": "r", "annotations": {"a": "b"}},
                "spec": {"canaryHash": "h", "terminate": true, "promote": {"maxDuration": "7m"}},
                "status": {"phase": "Failed", "verdict": "Fail", "reason": "Fail", "message": "m",
                    "completedAt": "2026-01-01T00:00:00Z"}})
        );
        // What is decided on the caches is what is decided on the objects.
        assert_eq!(facts::run(&run), whole);
        assert!(run.annotation(LAST_APPLIED).is_none() && run.annotation("a").is_some());
    }

    #[test]
    fn the_paths_are_those_of_kubernetes() {
        assert_eq!(
            Object::url_path(&Kind::Service, Some("shop")),
            "/api/v1/namespaces/shop/services"
        );
        assert_eq!(
            Object::url_path(&Kind::HttpRoute, Some("shop")),
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes"
        );
    }
}
