//! `Rollout`: a workload and how its next version goes out. Serde and schema, no logic.
//!
//! Field names follow Argo Rollouts wherever those are good. The schema refuses what can be refused
//! at admission; what needs other objects is checked in `core::spec`. A field that is not built is
//! not here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{
    int_or_percent_schema, match_labels_schema, name_schema, pod_template_schema,
    role_annotations_schema, role_labels_schema,
};
use super::rollout_status::RolloutStatus;
pub use super::routing::{
    GatewayApi, HttpRouteRef, IngressRef, ManagedRoute, ManagedRule, Nginx, RuleRef, TrafficRouting,
};
pub use super::steps::{
    Arg, BackgroundAnalysis, HeaderMatch, Pause, SetCanaryScale, SetHeaderRoute, SetMirrorRoute,
    Step, StepAnalysis, TemplateRef, TimeoutAction,
};

/// The pod label that tells the versions of one Rollout apart. Its Prometheus form
/// (`rollouts_pod_template_hash`) is the default arm label of analysis templates.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";
/// Label of a control group's ReplicaSet and pods.
pub const BASELINE_LABEL: &str = "tidegate.io/baseline";

/// Desired state of a Rollout.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Rollout",
    plural = "rollouts",
    shortname = "tgr",
    category = "tidegate",
    namespaced,
    status = "RolloutStatus",
    derive = "PartialEq",
    doc = "A workload and how its next version goes out",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.canary.stepText"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.traffic.accepted"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 52").message("metadata.name: at most 52 characters, because the names of ReplicaSets, AnalysisRuns and Reverts are made from it"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['Progressing', 'Paused', 'Aborting']) || has(self.spec.strategy.canary) == has(oldSelf.spec.strategy.canary)").message("spec.strategy: canary and blueGreen cannot be exchanged while a rollout is in progress; promote or abort it first"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.template) != has(self.workloadRef)").message("spec: exactly one of template and workloadRef"),
    validation = Rule::new("!has(self.template) || self.selector.matchLabels.all(k, has(self.template.metadata) && has(self.template.metadata.labels) && k in self.template.metadata.labels && self.template.metadata.labels[k] == self.selector.matchLabels[k])").message("spec.selector.matchLabels must be a subset of spec.template.metadata.labels"),
    validation = Rule::new("self.minReadySeconds < self.progressDeadlineSeconds").message("spec.progressDeadlineSeconds must be greater than spec.minReadySeconds"),
)]
pub struct RolloutSpec {
    /// How many pods the workload has outside a rollout.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: i32,
    /// Which pods are this workload's. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.selector is immutable: delete the Rollout and create it anew"))]
    pub selector: Selector,
    /// A PodTemplateSpec, kept as written: its canonical JSON is the version's identity. Or workloadRef.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "pod_template_schema")]
    pub template: Value,
    /// A Deployment whose template this is, instead of template. Its pods give way to the Rollout's,
    /// and come back when the Rollout is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadRef>,
    /// A pod counts as available after it has been ready this long.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub min_ready_seconds: i32,
    /// How many scaled-down ReplicaSets of earlier versions are kept. Stable's and the canary's are always kept.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub revision_history_limit: i32,
    /// How long a version may make no progress; waiting in pauses and analyses does not count.
    #[serde(default = "default_progress_deadline")]
    #[schemars(range(min = 1, max = 86400))]
    pub progress_deadline_seconds: i32,
    /// What happens when the deadline has passed.
    #[serde(default)]
    pub progress_deadline_action: DeadlineAction,
    /// Going back to a version that was stable lately goes without steps, pauses and analyses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_window: Option<RollbackWindow>,
    /// Stops the rollout where it is: no step, no weight. Scaling goes on.
    #[serde(default)]
    pub paused: bool,
    /// How a new version goes out: exactly one of canary and blueGreen.
    pub strategy: Strategy,
    /// What happens to the change in Git when a version is aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_revert: Option<GitRevert>,
}

fn default_replicas() -> i32 {
    1
}
fn default_history_limit() -> i32 {
    10
}
fn default_progress_deadline() -> i32 {
    600
}

/// The workload that a Rollout has its template from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Of the Deployment.
    pub api_version: WorkloadApiVersion,
    /// Only a Deployment.
    pub kind: WorkloadKind,
    /// Its name, in the Rollout's namespace.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// When its own pods go. They come back when the Rollout is deleted, unless Never.
    #[serde(default)]
    pub scale_down: WorkloadScaleDown,
}

/// Where a workload's kind is from.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum WorkloadApiVersion {
    /// Kubernetes' own workloads.
    #[default]
    #[serde(rename = "apps/v1")]
    AppsV1,
}

/// What a workload may be.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum WorkloadKind {
    /// A Deployment.
    #[default]
    Deployment,
}

/// When the pods of the workload that a Rollout has its template from go.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum WorkloadScaleDown {
    /// Not by Tidegate: whoever writes this scales it.
    #[default]
    Never,
    /// When the Rollout's own pods are there and have the traffic: double capacity until then.
    OnSuccess,
    /// As the Rollout's own pods come up.
    Progressively,
}

/// Which versions may go out again without steps.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RollbackWindow {
    /// Those that were stable at most so many promotions ago. An aborted version is none of them.
    #[schemars(range(min = 1, max = 9))]
    pub revisions: i32,
}

/// Labels that a pod must have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Every label must be there with this value.
    #[schemars(schema_with = "match_labels_schema")]
    pub match_labels: BTreeMap<String, String>,
}

/// What happens when a version makes no progress for too long.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum DeadlineAction {
    /// Abort: traffic goes back to stable.
    #[default]
    Abort,
    /// Only say so in the conditions.
    Report,
}

/// Exactly one strategy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.canary) != has(self.blueGreen)").message("spec.strategy: exactly one of canary and blueGreen"))]
pub struct Strategy {
    /// Shift traffic in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Bring the whole new version up beside the old one, then switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
}

/// Traffic is shifted to the new version in steps.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.trafficRouting) || (has(self.stableService) && has(self.canaryService))").message("spec.strategy.canary: trafficRouting needs stableService and canaryService"),
    validation = Rule::new("!has(self.stableService) || !has(self.canaryService) || self.stableService != self.canaryService").message("spec.strategy.canary: stableService and canaryService must be two Services"),
    validation = Rule::new("has(self.trafficRouting) || !has(self.steps) || !self.steps.exists(s, has(s.setCanaryScale))").message("spec.strategy.canary.steps: setCanaryScale needs trafficRouting, because without it the pod counts are the traffic"),
    validation = Rule::new("!has(self.steps) || !self.steps.exists(s, has(s.setHeaderRoute)) || (has(self.trafficRouting) && has(self.trafficRouting.gatewayAPI))").message("spec.strategy.canary.steps: setHeaderRoute needs trafficRouting.gatewayAPI: neither pod counts nor ingress-nginx tell requests apart by headers beside a weight"),
    validation = Rule::new("!has(self.steps) || !self.steps.exists(s, has(s.setMirrorRoute)) || (has(self.trafficRouting) && has(self.trafficRouting.gatewayAPI))").message("spec.strategy.canary.steps: setMirrorRoute needs trafficRouting.gatewayAPI: neither pod counts nor a canary Ingress copy requests"),
    validation = Rule::new("!has(self.baseline) || has(self.trafficRouting)").message("spec.strategy.canary.baseline needs trafficRouting: by pod counts its pods would change the weights"),
    validation = Rule::new("!has(self.trafficRouting) || (!has(self.maxSurge) && !has(self.maxUnavailable))").message("spec.strategy.canary: maxSurge and maxUnavailable apply only without trafficRouting"),
    validation = Rule::new("has(self.trafficRouting) || (!has(self.scaleDownDelaySeconds) && !has(self.abortScaleDownDelaySeconds))").message("spec.strategy.canary: scaleDownDelaySeconds and abortScaleDownDelaySeconds apply only with trafficRouting"),
    validation = Rule::new("has(self.trafficRouting) || (!self.dynamicStableScale && !self.keepOnAbort && !has(self.minPodsPerReplicaSet))").message("spec.strategy.canary: dynamicStableScale, keepOnAbort and minPodsPerReplicaSet apply only with trafficRouting, because without it the pod counts are the traffic"),
    validation = Rule::new("!self.dynamicStableScale || !has(self.scaleDownDelaySeconds)").message("spec.strategy.canary: with dynamicStableScale the old version's pods go with its traffic, and scaleDownDelaySeconds has nothing to keep; leave one of them out"),
    validation = Rule::new("!self.keepOnAbort || !has(self.abortScaleDownDelaySeconds)").message("spec.strategy.canary: with keepOnAbort an aborted version's pods stay, and abortScaleDownDelaySeconds has no meaning; leave one of them out"),
    validation = Rule::new("!has(self.steps) || self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()").message("spec.strategy.canary.steps: weights must not decrease from step to step"),
)]
pub struct Canary {
    /// The Service that selects the stable version's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub stable_service: Option<String>,
    /// The Service that selects the new version's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub canary_service: Option<String>,
    /// Where the weights are written. Absent: the weight is approximated by pod counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_routing: Option<TrafficRouting>,
    /// The way to 100 %. None: one step to 100 % once the pods are available.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub steps: Vec<Step>,
    /// Analysis in the background, from `startingStep` to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<BackgroundAnalysis>,
    /// Pods above `replicas` while shifting by pod counts. Default 25 %, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_or_percent_schema")]
    pub max_surge: Option<IntOrString>,
    /// Pods missing from `replicas` while shifting by pod counts. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_or_percent_schema")]
    pub max_unavailable: Option<IntOrString>,
    /// How long the old version's pods stay after the traffic has left them. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub scale_down_delay_seconds: Option<i32>,
    /// How long an aborted version's pods stay after the traffic has left them. Default 30; 0: at once after the drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// An aborted version's pods stay, to look at, until another version goes out, the spec goes back or the Rollout is scaled to zero.
    #[serde(default)]
    pub keep_on_abort: bool,
    /// Keeps a new version's pods off the stable version's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// For the stable version's pods, as long as it is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_metadata: Option<PodMetadata>,
    /// For the new version's pods, until it is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_metadata: Option<PodMetadata>,
    /// The stable version's pods go as its traffic goes: no double capacity, and an abort that has to
    /// wait for pods.
    #[serde(default)]
    pub dynamic_stable_scale: bool,
    /// No version that has traffic by weight has fewer pods, unless `replicas` is less. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_pods_per_replica_set: Option<i32>,
    /// Fresh pods of the stable version beside the new one: what only young pods have is not taken for
    /// harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// A control group for an analysis.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// How many pods.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
}

/// Labels and annotations that pods carry because of their version's role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels that neither the template nor the selector has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "role_labels_schema")]
    pub labels: BTreeMap<String, String>,
    /// Annotations that the template does not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "role_annotations_schema")]
    pub annotations: BTreeMap<String, String>,
}

/// Keeps a new version's pods off the stable version's nodes: exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.requiredDuringSchedulingIgnoredDuringExecution) != has(self.preferredDuringSchedulingIgnoredDuringExecution)").message("antiAffinity has exactly one of requiredDuringSchedulingIgnoredDuringExecution and preferredDuringSchedulingIgnoredDuringExecution"))]
pub struct AntiAffinity {
    /// A pod that finds no such node stays pending.
    #[serde(
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub required: Option<RequiredAntiAffinity>,
    /// A pod that finds no such node runs elsewhere.
    #[serde(
        rename = "preferredDuringSchedulingIgnoredDuringExecution",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub preferred: Option<PreferredAntiAffinity>,
}

/// `{}`: there is nothing to choose.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct RequiredAntiAffinity {}

/// How much it counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreferredAntiAffinity {
    /// Beside the scheduler's other preferences, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}

/// The whole new version comes up beside the old one; then one write switches.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.previewService) || self.activeService != self.previewService").message("spec.strategy.blueGreen: activeService and previewService must be two Services"),
    validation = Rule::new("!self.keepOnAbort || !has(self.abortScaleDownDelaySeconds)").message("spec.strategy.blueGreen: with keepOnAbort an aborted version's pods stay, and abortScaleDownDelaySeconds has no meaning; leave one of them out"),
)]
pub struct BlueGreen {
    /// The Service that users reach.
    #[schemars(schema_with = "name_schema")]
    pub active_service: String,
    /// A Service that selects the new version before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub preview_service: Option<String>,
    /// Pods of the new version until its promotion. Default: `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub preview_replica_count: Option<i32>,
    /// When the switch happens by itself. Default: enabled, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_promotion: Option<AutoPromotion>,
    /// Must pass before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis: Option<StepAnalysis>,
    /// Must pass after the switch; a failure switches back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis: Option<StepAnalysis>,
    /// How long the old version stays at full size after the switch. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub scale_down_delay_seconds: Option<i32>,
    /// How long an aborted version's pods stay after the traffic has left them. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// An aborted version's pods stay, to look at, until another version goes out, the spec goes back or the Rollout is scaled to zero.
    #[serde(default)]
    pub keep_on_abort: bool,
    /// Keeps a new version's pods off the stable version's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// For the stable version's pods, as long as it is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_metadata: Option<PodMetadata>,
    /// For the new version's pods, until it is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_metadata: Option<PodMetadata>,
}

/// When the switch happens without a person.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AutoPromotion {
    /// False: wait until promoted.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// Wait this long before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2592000))]
    pub after_seconds: Option<i32>,
}

fn default_true() -> bool {
    true
}

/// What happens in Git when a version is aborted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GitRevert {
    /// Off: only record the rejection. DryRun: plan and show the diff. PullRequest: open a pull or
    /// merge request. Push: commit and push.
    #[serde(default)]
    pub mode: GitRevertMode,
    /// For which aborts. Default: Failed.
    #[serde(default = "default_revert_on")]
    #[schemars(length(min = 1, max = 3))]
    pub on: Vec<RevertCause>,
}

fn default_revert_on() -> Vec<RevertCause> {
    vec![RevertCause::Failed]
}

/// How far the Git writer goes.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum GitRevertMode {
    /// Only the record that the version is rejected.
    #[default]
    Off,
    /// Plan, and show the diff in the Revert's status.
    DryRun,
    /// Commit on a branch of its own, and open a pull or merge request.
    PullRequest,
    /// Commit on the branch tip and push without force.
    Push,
}

/// Which aborts take the change out of Git.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum RevertCause {
    /// An analysis failed.
    Failed,
    /// Somebody aborted.
    Manual,
    /// The progress deadline or a pause's timeout passed.
    Deadline,
}
