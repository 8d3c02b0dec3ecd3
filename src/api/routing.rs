//! Where a Rollout's weights are written: the routers and what each needs to know. Serde and schema.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{dns_name_schema, hostnames_schema, object_list_schema, open_object_schema};

/// One router.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gatewayAPI) != has(self.nginx)").message("spec.strategy.canary.trafficRouting: exactly one of gatewayAPI and nginx"))]
pub struct TrafficRouting {
    /// Gateway API HTTPRoutes.
    #[serde(
        default,
        rename = "gatewayAPI",
        skip_serializing_if = "Option::is_none"
    )]
    pub gateway_api: Option<GatewayApi>,
    /// ingress-nginx: a canary Ingress with its annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nginx: Option<Nginx>,
}

/// HTTPRoutes of the user's, or one that Tidegate owns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.httpRoutes) != has(self.managedRoute)").message("spec.strategy.canary.trafficRouting.gatewayAPI: exactly one of httpRoutes and managedRoute"))]
pub struct GatewayApi {
    /// Routes of the user's. Only the weights of the two backends change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub http_routes: Option<Vec<HttpRouteRef>>,
    /// A route that Tidegate creates and owns, so that no GitOps tool can fight over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_route: Option<ManagedRoute>,
}

/// A named HTTPRoute and which of its rules carry the weights.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRef {
    /// Name of the HTTPRoute in the Rollout's namespace.
    #[schemars(schema_with = "dns_name_schema")]
    pub name: String,
    /// By name or by index. None: every rule that has both backends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub rules: Vec<RuleRef>,
}

/// A rule of an HTTPRoute.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.name) != has(self.index)").message("a rule is given by exactly one of name and index"))]
pub struct RuleRef {
    /// The rule's `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// The rule's place in the list, from 0. For routes whose rules cannot be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub index: Option<i32>,
}

/// The parts of the route that Tidegate owns; the backends and weights are its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRoute {
    /// Gateway API `parentRefs`, as in an HTTPRoute.
    #[schemars(schema_with = "object_list_schema")]
    pub parent_refs: Vec<Value>,
    /// Gateway API `hostnames`, as in an HTTPRoute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "hostnames_schema")]
    pub hostnames: Vec<String>,
    /// The port of both Services.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Gateway API rules without backends. None: one rule that matches every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub rules: Vec<ManagedRule>,
}

/// A rule of the owned route: what an HTTPRoute rule has besides its backends.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRule {
    /// Gateway API `matches`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "object_list_schema")]
    pub matches: Vec<Value>,
    /// Gateway API `filters`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "object_list_schema")]
    pub filters: Vec<Value>,
    /// Gateway API `timeouts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open_object_schema")]
    pub timeouts: Option<Value>,
}

/// Ingresses of the user's that get a canary Ingress beside them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Nginx {
    /// The stable Ingresses; they are never written.
    #[schemars(length(min = 1, max = 8))]
    pub ingresses: Vec<IngressRef>,
}

/// A named Ingress.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IngressRef {
    /// Name of the Ingress in the Rollout's namespace.
    #[schemars(schema_with = "dns_name_schema")]
    pub name: String,
}
