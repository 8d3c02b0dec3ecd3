//! The steps of a canary and what they ask for. Serde and schema, no logic.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::fields::{
    dns_name_schema, duration_schema, header_name_schema, name_schema, only_true_schema,
};

/// One step of a canary: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.setWeight), has(self.pause), has(self.analysis), has(self.setCanaryScale), has(self.setHeaderRoute), has(self.setMirrorRoute)].filter(x, x).size() == 1").message("a step has exactly one of setWeight, pause, analysis, setCanaryScale, setHeaderRoute and setMirrorRoute"))]
pub struct Step {
    /// Percent of the traffic for the new version, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub set_weight: Option<i32>,
    /// Wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Go on when the evidence suffices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<StepAnalysis>,
    /// How many canary pods there are, apart from the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_canary_scale: Option<SetCanaryScale>,
    /// Requests with these headers go to the new version, whatever the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_header_route: Option<SetHeaderRoute>,
    /// The new version gets copies of requests; nobody waits for its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_mirror_route: Option<SetMirrorRoute>,
}

/// A route to the new version for requests with certain headers, until a later step removes it and at
/// most until the steps are done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SetHeaderRoute {
    /// Its name: a later step with the same name replaces or removes it.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// All of these headers. None: the route of this name is removed.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub matches: Vec<HeaderMatch>,
}

/// A route by which the new version gets copies of requests, until a later step removes it and at most
/// until the steps are done. The answers go nowhere.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SetMirrorRoute {
    /// Its name: the same at each step of the Rollout.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// Percent of the requests that are copied, 1 to 100. Absent: the route is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
}

/// A header and its value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.exact) != has(self.regex)").message("a header is matched by exactly one of exact and regex"))]
pub struct HeaderMatch {
    /// Its name, in any case.
    #[schemars(schema_with = "header_name_schema")]
    pub header: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub exact: Option<String>,
    /// A regular expression, in the dialect of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub regex: Option<String>,
}

/// A wait: for a time, or until somebody promotes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.duration) && has(self.timeout))").message("a pause has a duration, or a timeout that bounds the wait for a promotion, not both"),
    validation = Rule::new("!has(self.onTimeout) || has(self.timeout)").message("onTimeout needs timeout"),
)]
pub struct Pause {
    /// Goes on by itself after this time. Absent: until promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub duration: Option<String>,
    /// How long to wait for a promotion at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub timeout: Option<String>,
    /// What happens after `timeout`. Default Abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<TimeoutAction>,
}

/// What a pause does when nobody promoted in time.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum TimeoutAction {
    /// Abort the version.
    #[default]
    Abort,
    /// Go on.
    Promote,
}

/// An analysis as a step.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StepAnalysis {
    /// The templates whose metrics are looked at together.
    #[schemars(length(min = 1, max = 10))]
    pub templates: Vec<TemplateRef>,
    /// Values for the templates' args.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Arg>,
    /// Overrides the templates' `promote.maxDuration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub max_duration: Option<String>,
}

/// An analysis beside the steps, to the end of the rollout.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackgroundAnalysis {
    /// The templates whose metrics are looked at together.
    #[schemars(length(min = 1, max = 10))]
    pub templates: Vec<TemplateRef>,
    /// Values for the templates' args.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Arg>,
    /// The step, from 0, at which it starts.
    #[serde(default)]
    #[schemars(range(min = 0, max = 50))]
    pub starting_step: i32,
}

/// An AnalysisTemplate of the namespace, or a ClusterAnalysisTemplate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// Its name.
    #[schemars(schema_with = "dns_name_schema")]
    pub name: String,
    /// True: a ClusterAnalysisTemplate.
    #[serde(default)]
    pub cluster_scope: bool,
}

/// A value for a template's arg.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Arg {
    /// The arg's name in the template.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its value; escaped as a label value where a query uses it.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// How many canary pods there are: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.replicas), has(self.percent), has(self.matchTraffic)].filter(x, x).size() == 1").message("setCanaryScale has exactly one of replicas, percent and matchTraffic"))]
pub struct SetCanaryScale {
    /// This many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: Option<i32>,
    /// This share of `spec.replicas`, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// Back to what the weight asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true_schema")]
    pub match_traffic: Option<bool>,
}
