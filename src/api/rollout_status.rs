//! The Rollout's status: the vocabulary of the whole project. The plugin, the metrics, the events
//! and the docs use the same words. Every timer is derived from a timestamp in here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;

/// Most outcomes kept in `history`.
pub const HISTORY_MAX: usize = 10;

/// What the engine observed and where it stands.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// The generation that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the Rollout stands, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The reason of the present state in one sentence.
    pub message: String,
    /// The version that carries the traffic when no rollout is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<StableStatus>,
    /// The version that is being brought out, or was aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// What the routes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// What the rollout waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseStatus>,
    /// Since when somebody holds the rollout by the pause command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// Why the canary was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<AbortStatus>,
    /// The last command and what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_command: Option<HandledCommand>,
    /// The annotation values already handled, by verb: each is acted on once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub handled_commands: BTreeMap<String, String>,
    /// Pods created before this time are to be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Timestamp>,
    /// When the pod counts below were last written on their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Timestamp>,
    /// Pods of the versions in play: stable and the one that goes out. What an older version still
    /// has for its delay is not in the counts.
    pub replicas: i32,
    /// Ready pods of the versions in play.
    pub ready_replicas: i32,
    /// Pods of the version that the spec asks for, unless it was given up.
    pub updated_replicas: i32,
    /// Available pods of the versions in play.
    pub available_replicas: i32,
    /// The selector for `/scale`, as text.
    pub selector: String,
    /// The Deployment of workloadRef as it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadStatus>,
    /// How often the template's hash met a foreign ReplicaSet of the same name.
    #[serde(skip_serializing_if = "is_zero")]
    pub collision_count: i32,
    /// Ready, Reconciling, Stalled (kstatus) and Available, Paused, TrafficConfirmed, Lossless, WorkloadScaledDown, LabelsShared, TooLittleTraffic, RejectedVersionServing, GitReverted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The last outcomes, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<HistoryEntry>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// Where a Rollout stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Phase {
    /// The first deployment comes up: there is no stable version yet.
    Initializing,
    /// A new version goes out.
    Progressing,
    /// The rollout waits: see `pause`.
    Paused,
    /// Traffic goes back to stable.
    Aborting,
    /// Stable has all traffic; the spec still asks for the aborted version.
    Aborted,
    /// The spec asks for a version on record as rejected; stable keeps all traffic.
    Rejected,
    /// Stable is what the spec asks for, and it is available.
    Healthy,
    /// Something is wrong that Tidegate cannot mend by going back.
    Degraded,
    /// The spec cannot be carried out as it is; nothing is changed.
    Invalid,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The stable version.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StableStatus {
    /// Its revision.
    pub revision: i64,
    /// Hash of its template.
    pub hash: String,
    /// Its containers' images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub images: Vec<String>,
    /// Where it came from in Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// Since when it is stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// The version that is being brought out.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Its revision.
    pub revision: i64,
    /// Hash of its template.
    pub hash: String,
    /// Its containers' images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub images: Vec<String>,
    /// Where it came from in Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// 1 for the first try; each retry adds one.
    pub attempt: i32,
    /// When this attempt started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Not before then it gets pods: versions follow each other so closely that most of them would get
    /// theirs only to lose them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<Timestamp>,
    /// The step it is at, from 0; equal to `steps` when all are done.
    pub step: i32,
    /// How many steps there are.
    pub steps: i32,
    /// `step/steps`, for `kubectl get`.
    pub step_text: String,
    /// When this step began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_started_at: Option<Timestamp>,
    /// Hash of the steps already done: when they are edited, the rollout starts at step 0.
    pub steps_hash: String,
    /// When the first canary pod became available: data count from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_since: Option<Timestamp>,
    /// The largest number of available pods so far: progress is a monotone maximum.
    pub best_available: i32,
    /// When progress was last made; none while it waits for evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_at: Option<Timestamp>,
    /// True after `promote-full`: the remaining steps and analyses are skipped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// When all traffic was authorised: the steps ask for it, and the background analysis had passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_traffic_at: Option<Timestamp>,
    /// The AnalysisRun of the present step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run: Option<String>,
    /// The AnalysisRun in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background_run: Option<String>,
}

/// Where a version came from.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceStatus {
    /// URL of the repository.
    #[schemars(length(max = 2048))]
    pub repo: String,
    /// The branch that the version was applied from.
    #[schemars(length(max = 255))]
    pub branch: String,
    /// File or folder in the repository.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// The commit.
    #[schemars(length(max = 64))]
    pub revision: String,
}

/// The Deployment that the template is from.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// Its uid.
    pub uid: String,
    /// Its generation: as long as it is the same, so is the version, whatever defaults a newer API
    /// server fills in.
    pub observed_generation: i64,
    /// Hash of the version that it asks for.
    pub hash: String,
    /// When Tidegate last scaled it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled_at: Option<Timestamp>,
}

/// What the routes (or the active Service, or the pod counts) say.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficStatus {
    /// Percent for the canary that the rollout wants now.
    pub desired: i32,
    /// Percent for the canary that the data plane is known to have.
    pub accepted: i32,
    /// Names of the header routes that the data plane is known to have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub header_routes: Vec<String>,
    /// Name of the mirror route that the data plane is known to have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub mirror_routes: Vec<String>,
    /// When these were confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// When a weight that somebody else had changed was last put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasserted_at: Option<Timestamp>,
}

/// What a rollout waits for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseStatus {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Why a rollout waits.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum PauseReason {
    /// A pause step.
    Step,
    /// `spec.paused` or the pause command.
    Manual,
    /// An analysis ended without enough evidence.
    Inconclusive,
    /// An analysis has no data.
    NoData,
    /// The metrics endpoint does not answer as it should.
    SourceError,
}

/// Why a version was given up.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbortStatus {
    /// When.
    pub at: Timestamp,
    /// Why, in one word.
    pub reason: AbortReason,
    /// Why, in one sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Hash of the version.
    pub hash: String,
    /// The step it was at.
    pub step: i32,
    /// The weight it had.
    pub weight: i32,
    /// The AnalysisRun that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis_run: Option<String>,
    /// The Revert that records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<String>,
}

/// Why a version was given up, in one word.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AbortReason {
    /// An analysis failed.
    AnalysisFailed,
    /// Somebody said so.
    Manual,
    /// No progress within `progressDeadlineSeconds`.
    ProgressDeadlineExceeded,
    /// Nobody promoted in time.
    PauseTimeout,
}

/// A command and what became of it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandledCommand {
    /// The verb.
    pub command: String,
    /// The annotation's value.
    #[schemars(length(max = 512))]
    pub value: String,
    /// When it was handled.
    pub at: Timestamp,
    /// `Accepted` or `Refused: <reason>`.
    #[schemars(length(max = 512))]
    pub result: String,
}

/// One outcome, one line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The revision that it speaks of.
    pub revision: i64,
    /// Its hash.
    pub hash: String,
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// A sentence.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// What became of a version.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Outcome {
    /// It is the first stable version.
    Initial,
    /// It became stable.
    Promoted,
    /// It was given up.
    Aborted,
    /// Another version took its place before it was done.
    Superseded,
    /// The spec went back to stable.
    RolledBack,
}
