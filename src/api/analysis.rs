//! `AnalysisTemplate`, `ClusterAnalysisTemplate` and `AnalysisRun`: which metrics are looked at and
//! what they are held against. Serde and schema, no logic.
//!
//! A template is merged, checked and resolved by `analysis::template::freeze` into the spec of a
//! run, which never changes afterwards (but for `terminate`). A field that is not built is not here.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::analysis_status::AnalysisRunStatus;
use super::fields::{duration_schema, false_abort_rate_schema, percent_schema};
use super::metric::Metric;

/// The Prometheus form of the pod label that tells the versions of one Rollout apart.
pub const DEFAULT_ARM_LABEL: &str = "rollouts_pod_template_hash";

/// Which metrics tell a good version from a bad one.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "AnalysisTemplate",
    plural = "analysistemplates",
    shortname = "tgat",
    category = "tidegate",
    namespaced,
    derive = "PartialEq",
    doc = "Which metrics are looked at and what they are held against",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(
        name = "False-abort-rate",
        type_ = "string",
        json_path = ".spec.falseAbortRate"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisTemplateSpec {
    /// What a Rollout may fill in: `$(args.name)` inside a quoted label value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub args: Vec<TemplateArg>,
    /// The MetricsProvider to ask. Absent: the controller's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub provider: Option<String>,
    /// How often a good version may be aborted, for the whole rollout, shared by all metrics. Default 1%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "false_abort_rate_schema")]
    pub false_abort_rate: Option<String>,
    /// How the series of the two versions are told apart. Default: by the pods' hash label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    /// While pods are young only gross harm counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// The metrics, at most 20.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<Metric>,
    /// When the evidence suffices to go on, and what happens when it does not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promote>,
}

/// The same for every namespace, written by the administrator.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "ClusterAnalysisTemplate",
    plural = "clusteranalysistemplates",
    shortname = "tgcat",
    category = "tidegate",
    derive = "PartialEq",
    doc = "An AnalysisTemplate for every namespace",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(
        name = "False-abort-rate",
        type_ = "string",
        json_path = ".spec.falseAbortRate"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(transparent)]
pub struct ClusterAnalysisTemplateSpec(pub AnalysisTemplateSpec);

/// One execution of an analysis: a frozen spec, the evidence, the verdict.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "AnalysisRun",
    plural = "analysisruns",
    shortname = "tgar",
    category = "tidegate",
    namespaced,
    status = "AnalysisRunStatus",
    derive = "PartialEq",
    doc = "One execution of an analysis: its frozen spec, the evidence and the verdict",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!oldSelf.terminate || self.terminate").message("spec.terminate: false is not allowed after true; create a new AnalysisRun instead"),
    validation = Rule::new("has(self.rollout) == has(oldSelf.rollout) && has(self.provider) == has(oldSelf.provider) && has(self.step) == has(oldSelf.step) && has(self.startAt) == has(oldSelf.startAt) && has(self.plan) == has(oldSelf.plan) && has(self.split) == has(oldSelf.split)").message("spec: only terminate and ttlSecondsAfterFinished may change; create a new AnalysisRun instead"),
    validation = Rule::new("!self.metrics.exists(m, !has(m.threshold) && !has(m.compareTo)) || (has(self.arm) && has(self.arm.canary)) || (self.canaryHash != '' && self.stableHash != '')").message("spec: a comparison is between two versions; give canaryHash and stableHash, or arm.canary and arm.stable"),
    validation = Rule::new("!has(self.ttlSecondsAfterFinished) || !has(self.rollout)").message("spec.ttlSecondsAfterFinished is for a run of its own; a Rollout keeps the last 20 of its runs"),
)]
pub struct AnalysisRunSpec {
    /// The Rollout that this run belongs to. Absent: a run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.rollout is immutable"))]
    pub rollout: Option<RunRollout>,
    /// The new version's hash, the value of the arm label.
    #[serde(default)]
    #[schemars(schema_with = "hash_schema")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.canaryHash is immutable"))]
    pub canary_hash: String,
    /// The stable version's hash, the value of the arm label.
    #[serde(default)]
    #[schemars(schema_with = "hash_schema")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.stableHash is immutable"))]
    pub stable_hash: String,
    /// The Rollout's revision that is judged.
    #[serde(default)]
    #[schemars(range(min = 0))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.revision is immutable"))]
    pub revision: i64,
    /// The step that waits for this run. Absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.step is immutable"))]
    pub step: Option<i32>,
    /// Which attempt of the version this is, from 1.
    #[serde(default = "default_attempt")]
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.attempt is immutable"))]
    pub attempt: i32,
    /// Whether the run ends at its first verdict or watches on.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.mode is immutable"))]
    pub mode: RunMode,
    /// The weight in percent that a promotion would authorise: the larger, the more must be shown.
    #[serde(default = "default_next_weight")]
    #[schemars(range(min = 0, max = 100))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.nextWeight is immutable"))]
    pub next_weight: i32,
    /// What is planned, for the choice of effects to look for. Empty: unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.plan is immutable"))]
    pub plan: Vec<PlanStep>,
    /// What the route gives the new version while a step waits for this run: the requests that it
    /// gets are held against it. Absent: that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.split is immutable"))]
    pub split: Option<Split>,
    /// From when on the canary's data count. Absent: from the run's creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.startAt is immutable"))]
    pub start_at: Option<Timestamp>,
    /// What a ratio of the new version is held against.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.reference is immutable"))]
    pub reference: Reference,
    /// Resolved metrics: no args and built-ins are left, only `$(arm)`.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self == oldSelf").message("spec.metrics is immutable"),
    )]
    pub metrics: Vec<Metric>,
    /// How the series of the two versions are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.arm is immutable"))]
    pub arm: Option<Arm>,
    /// While pods are young only gross harm counts.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.warmup is immutable"))]
    pub warmup: Warmup,
    /// The MetricsProvider to ask. Absent: the controller's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.provider is immutable"))]
    pub provider: Option<String>,
    /// This run's part of the rollout's false-abort rate, shared by its metrics.
    #[serde(default = "default_false_abort_rate")]
    #[schemars(schema_with = "false_abort_rate_schema")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.falseAbortRate is immutable"))]
    pub false_abort_rate: String,
    /// When the evidence suffices to go on, and what happens when it does not come.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.promote is immutable"))]
    pub promote: Promote,
    /// So many seconds after its end a run of its own is deleted. Absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2592000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// True ends the run as Terminated, which is no verdict.
    #[serde(default)]
    pub terminate: bool,
}

/// The Rollout that a run belongs to; another uid is another Rollout.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunRollout {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Whether a run ends at its first verdict or watches on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunMode {
    /// A step waits for it: it ends with its first final verdict.
    #[default]
    Step,
    /// It watches on after `Pass`, until it is terminated; a `Fail` ends it.
    Background,
}

/// What a ratio of the new version is held against.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reference {
    /// The stable version in the same minutes: both have traffic.
    #[default]
    Stable,
    /// The stable version in the hour before `startAt`, because it has no traffic any more.
    StableHistory,
}

/// A stretch of the planned rollout.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// The new version's share of the traffic in percent.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// How long it is planned to last.
    #[schemars(range(min = 0, max = 2592000))]
    pub seconds: i64,
}

/// How a route splits the requests between the versions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The new version's share in percent.
    #[schemars(range(min = 1, max = 99))]
    pub weight: i32,
    /// Since when.
    pub since: Timestamp,
}

/// Something that a Rollout fills in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateArg {
    /// `$(args.<name>)`.
    #[schemars(schema_with = "arg_name_schema")]
    pub name: String,
    /// The value where the Rollout gives none; may name other args and built-ins. Absent: required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
}

/// What `$(arm)` becomes in a query: a label, the pods' names, or one matcher list for each version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.pods) && self.pods) || has(self.label) ? !has(self.canary) && !has(self.stable) && !(has(self.pods) && self.pods && has(self.label)) : has(self.canary) && has(self.stable)").message("arm: either label, or pods, or both canary and stable"))]
pub struct Arm {
    /// The label that holds the version's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_name_schema")]
    pub label: Option<String>,
    /// True: by the pods' names in the label `pod`, where no label with the hash is scraped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pods: bool,
    /// Label matchers of the new version's series, e.g. what the router calls its backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub canary: Option<String>,
    /// Label matchers of the stable version's series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub stable: Option<String>,
}

/// Young pods: cold caches, empty connection pools. Only gross harm counts against them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Warmup {
    /// How long a pod counts as young, at most 1h. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub duration: Option<String>,
    /// What even a young pod may not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerate: Option<GrossTolerance>,
}

/// Gross harm: both bounds are exceeded. It is watched for from the first scrapes to the end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrossTolerance {
    /// So many times the stable version's ratio. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub times: Option<i32>,
    /// This ratio in itself. Default 1%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub absolute: Option<String>,
}

/// When the evidence suffices, and what happens when it does not come. Missing data and a source
/// that does not answer always hold; their time is not part of `maxDuration`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Promote {
    /// Never sooner than this, warm-up included. Default 5m with a ratio, else 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub min_bake: Option<String>,
    /// After this long without a verdict the run is inconclusive. Default 60m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub max_duration: Option<String>,
    /// What an inconclusive run does. Default Pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_inconclusive: Option<OnInconclusive>,
    /// What happens while the new version gets another share of the requests than the route gives
    /// it. Default Hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_split_mismatch: Option<OnSplitMismatch>,
}

/// What a run does while the requests are not split as the route says.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSplitMismatch {
    /// It holds: what was measured is not what was planned.
    #[default]
    Hold,
    /// Nothing; the status shows the shares.
    Ignore,
}

/// What a run does whose evidence suffices for neither side in time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInconclusive {
    /// It ends as Inconclusive; the rollout waits for a person.
    #[default]
    Pause,
    /// It ends as Failed; the rollout is aborted.
    Abort,
}

fn default_attempt() -> i32 {
    1
}
fn default_next_weight() -> i32 {
    100
}
fn default_false_abort_rate() -> String {
    "1%".into()
}

fn name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"})
}

fn arg_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[A-Za-z_][-A-Za-z0-9_]*$"})
}

fn label_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"})
}

fn hash_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 63, "pattern": "^[A-Za-z0-9]*$"})
}
