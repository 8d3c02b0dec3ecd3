//! `MetricsProvider`: a named metrics endpoint of the administrator's. Serde and schema, no logic.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::conditions::Condition;

/// Where metrics come from and who may ask there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "MetricsProvider",
    plural = "metricsproviders",
    shortname = "tgmp",
    category = "tidegate",
    status = "MetricsProviderStatus",
    derive = "PartialEq",
    doc = "A named metrics endpoint of the administrator's",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.prometheus.url"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MetricsProviderSpec {
    /// A Prometheus, or what answers like one.
    pub prometheus: Prometheus,
    /// Which namespaces' analyses may use it. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// How long one query may take in all.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
    /// How many queries may be under way at once. One host gets 16 at most, from all providers together.
    #[serde(default = "default_max_concurrent_queries")]
    #[schemars(range(min = 1, max = 16))]
    pub max_concurrent_queries: i32,
}

/// A Prometheus HTTP API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ca) || self.url.startsWith('https://')").message("prometheus.ca: only for an https url; plain http has no certificate to check"))]
pub struct Prometheus {
    /// Its base URL, to which `/api/v1/query` is added: http or https, no user name, no query.
    #[schemars(schema_with = "url_schema")]
    pub url: String,
    /// How to log in. Absent: without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Who must have signed the certificate of an https endpoint. Absent: whom the controller's
    /// system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Ca>,
    /// More request headers, such as the tenant of a Mimir or Thanos.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<Header>,
}

/// Exactly one way to log in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.bearer) != has(self.basic)").message("auth: exactly one of bearer and basic"))]
pub struct Auth {
    /// `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,
    /// `Authorization: Basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
}

/// A token from a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Bearer {
    /// Where the token is.
    pub secret_ref: SecretKeyRef,
}

/// A user name and a password from a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Basic {
    /// A Secret with the keys `username` and `password` (type `kubernetes.io/basic-auth`).
    pub secret_ref: SecretRef,
}

/// Where a PEM bundle of authorities is, which are trusted and no others: exactly one place.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) != has(self.configMapRef)").message("ca: exactly one of secretRef and configMapRef"))]
pub struct Ca {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
}

/// A Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its namespace.
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Its namespace.
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Its namespace.
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A request header.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Its name.
    #[schemars(schema_with = "header_name_schema")]
    pub name: String,
    /// Its value. No secrets here: everyone who may read the object reads it.
    #[schemars(schema_with = "header_value_schema")]
    pub value: String,
}

/// Which namespaces: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.names) != has(self.matchLabels)").message("allowedNamespaces: exactly one of names and matchLabels"))]
pub struct AllowedNamespaces {
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespaces_schema")]
    pub names: Option<Vec<String>>,
    /// Those with all of these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels_schema")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// Whether the endpoint answers.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsProviderStatus {
    /// The generation that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: it answers a query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub conditions: Vec<Condition>,
}

fn default_timeout_seconds() -> i32 {
    10
}
fn default_max_concurrent_queries() -> i32 {
    10
}

fn namespace_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"})
}

fn namespaces_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 500, "x-kubernetes-list-type": "set", "items": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}})
}

fn labels_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "minProperties": 1, "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}})
}

fn url_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 8, "maxLength": 1024,
        "pattern": "^https?://[^\\s/@?#]+(/[^\\s?#]*)?$",
        "x-kubernetes-validations": [{
            "rule": "!self.matches('^https?://(169[.]254[.]|\\\\[[fF][eE][89aAbB])')",
            "message": "prometheus.url: a link-local address is not allowed; name the Service or host of a Prometheus"
        }]
    })
}

fn header_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9-]+$",
        "x-kubernetes-validations": [{
            "rule": "!(self.lowerAscii() in ['authorization', 'proxy-authorization', 'cookie', 'host', 'content-length', 'transfer-encoding', 'connection'])",
            "message": "headers: authorization comes from auth, and host, cookie and connection headers are not allowed; allowed are headers such as X-Scope-OrgID"
        }]
    })
}

fn header_value_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 1024, "pattern": "^[ -~]*$"})
}
