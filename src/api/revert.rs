//! The `Revert`: one bad change to take out of Git.
//!
//! The engine writes the spec when it aborts a version; the Git writer carries it out and writes
//! the status. The object is also the record that the version was rejected, so it has no owner and
//! outlives its Rollout. Serde and schema only: what to do with it is decided in `core` (whether a
//! version is rejected) and in `git` (what is written to the branch).

use std::borrow::Cow;

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::conditions::Condition;

/// Label with the name of the Rollout that a Revert belongs to.
pub const ROLLOUT_LABEL: &str = "tidegate.io/rollout";

/// Annotation that takes the rejection back: `"<RFC 3339 time> <who>"`.
///
/// A released version may be rolled out again. A Revert that is released before its commit was
/// pushed is not pushed any more.
pub const RELEASED_ANNOTATION: &str = "tidegate.io/released";

/// Annotation that asks the Git writer to try at once: `"<RFC 3339 time> <who>"`.
///
/// Each value is acted on once: then it stands in [`RevertStatus::handled_retry`].
pub const RETRY_ANNOTATION: &str = "tidegate.io/retry";

/// Annotation that says that the change is not to be taken out of Git: `"<RFC 3339 time> <who>"`.
///
/// What was pushed already stays pushed. The version stays rejected.
pub const DECLINED_ANNOTATION: &str = "tidegate.io/declined";

/// So many characters of [`RETRY_ANNOTATION`] tell one request from another.
pub const RETRY_CHARS_MAX: usize = 256;

/// The most leaves of the pod template that are listed in [`RevertSpec::changes`].
pub const CHANGES_MAX: usize = 50;

/// The longest [`TemplateChange::old`] and [`TemplateChange::new`], in bytes: an image reference
/// has at most 255 + 1 + 128 + 72 characters; a longer value is rarely what broke a version.
pub const CHANGE_VALUE_BYTES_MAX: usize = 1024;

/// The longest [`RevertStatus::plan`], in bytes; a longer diff is cut.
pub const PLAN_BYTES_MAX: usize = 16 * 1024;

/// The longest name of an object whose name may also become a label value.
const NAME_LENGTH_MAX: usize = 63;

/// A version that was aborted, what it changed, and where in Git that change lives.
#[allow(clippy::duplicated_attributes, reason = "columns have a type each")]
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Revert",
    plural = "reverts",
    singular = "revert",
    shortname = "tgrv",
    category = "tidegate",
    namespaced,
    status = "RevertStatus",
    derive = "PartialEq",
    doc = "A bad change to take out of Git, and the record that its version was rejected. Written by the engine, carried out by the Git writer.",
    printcolumn(json_path = ".spec.rollout.name", name = "Rollout", type_ = "string"),
    printcolumn(json_path = ".spec.mode", name = "Mode", type_ = "string"),
    printcolumn(json_path = ".status.phase", name = "Phase", type_ = "string"),
    printcolumn(json_path = ".status.commit", name = "Commit", type_ = "string"),
    printcolumn(
        json_path = ".status.message",
        name = "Message",
        type_ = "string",
        priority = 1
    ),
    printcolumn(
        json_path = ".metadata.creationTimestamp",
        name = "Age",
        type_ = "date"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("spec: a Revert records what happened and cannot be changed; to release the version set the annotation tidegate.io/released"),
    validation = Rule::new("self.stable.hash != self.bad.hash").message("spec.bad.hash: must differ from spec.stable.hash; a version cannot be reverted to itself")
)]
pub struct RevertSpec {
    /// What the Git writer may do: nothing but keep the record, plan only, open a pull request, or
    /// push to the branch.
    pub mode: RevertMode,
    /// The Rollout whose version was aborted.
    pub rollout: RevertRollout,
    /// The cluster's name, as the engine was told by its flag; it stands in the commit message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster: Option<String>,
    /// Where the workload's manifests come from. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RevertSource>,
    /// The version that serves, and that Git is to ask for again.
    pub stable: RevertVersion,
    /// The version that was aborted.
    pub bad: RevertVersion,
    /// Which attempt at the bad version this was; 1 unless it was retried.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub attempt: i32,
    /// The scalars of the pod template in which the two versions differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub changes: Vec<TemplateChange>,
    /// The step at which the version was aborted, from 0 as in the Rollout's
    /// `status.canary.step`; absent without steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub step: Option<i32>,
    /// How many steps there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub steps: Option<i32>,
    /// Share of the traffic that the bad version had, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
    /// Why the version was aborted.
    pub reason: RevertReason,
    /// The evidence in one line, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The AnalysisRun that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub analysis_run: Option<String>,
    /// When the version was aborted; also the date of the commit, so that a repeated run makes the
    /// same commit.
    pub aborted_at: Timestamp,
}

/// What the Git writer may do with a [`Revert`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RevertMode {
    /// Keep the record of the rejection; do not touch Git.
    Off,
    /// Read the repository and write the planned change into the status; do not push.
    DryRun,
    /// Push the revert to a branch of its own and open a pull or merge request for it.
    PullRequest,
    /// Push the revert to the branch; where that is protected and the forge is known, as
    /// `PullRequest`.
    Push,
}

/// Why a version was aborted.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RevertReason {
    /// An analysis came to the verdict `Fail`.
    AnalysisFailed,
    /// A person asked for it.
    Manual,
    /// The version did not become ready in time.
    ProgressDeadlineExceeded,
    /// A pause was not ended by a person in time.
    PauseTimeout,
}

impl RevertReason {
    /// The reason as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            RevertReason::AnalysisFailed => "AnalysisFailed",
            RevertReason::Manual => "Manual",
            RevertReason::ProgressDeadlineExceeded => "ProgressDeadlineExceeded",
            RevertReason::PauseTimeout => "PauseTimeout",
        }
    }
}

/// The Rollout whose version was aborted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertRollout {
    /// Its name, in the Revert's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid at the time; the Revert also holds for a Rollout of that name with another uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Where the workload's manifests come from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertSource {
    /// URL of the repository, without credentials: `https://…`, `http://…`, `ssh://…` or
    /// `user@host:path`; a path on disk only where the Git writer's allow-list names it.
    #[schemars(length(min = 1, max = 2048))]
    pub repo: String,
    /// The branch that the cluster follows and that the revert is pushed to, without `refs/heads/`.
    #[schemars(length(min = 1, max = 255))]
    pub branch: String,
    /// The file, or the folder whose files are looked through, relative to the repository's root.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// One version of the workload.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertVersion {
    /// The Rollout's revision number.
    #[schemars(range(min = 0))]
    pub revision: i64,
    /// The pod template's hash.
    #[schemars(length(min = 1, max = 63))]
    pub hash: String,
    /// The images of its containers, in the template's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 1024)))]
    pub images: Vec<String>,
    /// The Git commit that it was applied from (40 or 64 hexadecimal digits). Without it the Git
    /// writer finds the version by its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub source_revision: Option<String>,
}

/// A scalar of the pod template in which the stable and the bad version differ.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.old) || has(self.new)").message("spec.changes[]: old, new or both must be given")
)]
pub struct TemplateChange {
    /// Where in the template it stands: keys with dots between them, list items by name or index
    /// in brackets, as in `spec.containers[app].image`. A key or name that itself holds one of
    /// `. [ ] "` stands in double quotes.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The stable version's value as text; absent if the bad version added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub old: Option<String>,
    /// The bad version's value as text; absent if the bad version removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub new: Option<String>,
}

/// How far the revert has come.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertStatus {
    /// Where it stands; see [`RevertPhase`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RevertPhase>,
    /// What happened last and, where a person has to act, what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// The revert's commit on the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
    /// The branch that it was pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub branch: Option<String>,
    /// The pull or merge request for the revert's commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The value of the commit's trailer `Rollout-Revert-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub revert_id: Option<String>,
    /// How often the Git writer has tried and failed for a reason that may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub attempts: Option<i32>,
    /// When it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Timestamp>,
    /// The value of the annotation `tidegate.io/retry` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub handled_retry: Option<String>,
    /// When the remote accepted the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// The change as a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub plan: Option<String>,
    /// `Resolved` (the change was found in Git), `Landed` (the branch holds the stable version's
    /// values again), `HandedOver` (Argo CD or Flux was asked to follow), `Verified` (the cluster
    /// runs the stable version).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A pull or merge request.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number in the repository.
    #[schemars(range(min = 1))]
    pub number: i64,
    /// Its page.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// The branch that it asks to merge, without `refs/heads/`.
    #[schemars(length(max = 255))]
    pub branch: String,
}

/// Where a revert stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RevertPhase {
    /// Not looked at yet, or waiting for the next try.
    Pending,
    /// The change is known (`status.plan`). With mode `DryRun` it stays so.
    Planned,
    /// The remote accepted the commit.
    Pushed,
    /// A pull or merge request waits for somebody to merge it (`status.pullRequest`).
    PullRequestOpen,
    /// A person does not want it, or closed the request without merging it: nothing is written.
    Declined,
    /// The branch holds the stable version's values.
    Landed,
    /// The cluster runs the stable version. The end of a good revert.
    Verified,
    /// Nothing to do any more: a person or a bot was first, or the version was released.
    Superseded,
    /// It cannot be known what to revert, or the writer may not.
    Unresolvable,
    /// The change was found but not with the certainty that a push needs.
    NeedsHuman,
    /// Git was put right, but the cluster did not follow in time.
    Mismatch,
    /// Mode `Off`: the record of a rejected version, nothing more.
    Recorded,
}

impl RevertPhase {
    /// The phase as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            RevertPhase::Pending => "Pending",
            RevertPhase::Planned => "Planned",
            RevertPhase::Pushed => "Pushed",
            RevertPhase::PullRequestOpen => "PullRequestOpen",
            RevertPhase::Declined => "Declined",
            RevertPhase::Landed => "Landed",
            RevertPhase::Verified => "Verified",
            RevertPhase::Superseded => "Superseded",
            RevertPhase::Unresolvable => "Unresolvable",
            RevertPhase::NeedsHuman => "NeedsHuman",
            RevertPhase::Mismatch => "Mismatch",
            RevertPhase::Recorded => "Recorded",
        }
    }
}

/// The name of the Revert for one attempt at one version: the same inputs give the same name, so
/// that an abort that is carried out twice creates one object.
///
/// At most 63 characters; a long Rollout name is cut and told apart by a hash.
pub fn revert_name(rollout: &str, bad_hash: &str, attempt: i32) -> String {
    let suffix = format!("-{bad_hash}-{attempt}");
    let whole = format!("{rollout}{suffix}");
    if whole.len() <= NAME_LENGTH_MAX {
        return whole;
    }
    let digest = Sha256::digest(whole.as_bytes());
    let mark: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    let tail = if suffix.len() + mark.len() + 2 <= NAME_LENGTH_MAX {
        Cow::from(suffix)
    } else {
        Cow::from(format!("-{attempt}"))
    };
    let room = NAME_LENGTH_MAX.saturating_sub(tail.len() + mark.len() + 1);
    // A cut may end on '.' or '-', which may not stand beside the separator in a DNS name.
    let head: String = rollout.chars().take(room).collect();
    let head = head.trim_end_matches(['-', '.']);
    format!("{head}-{mark}{tail}")
}

#[cfg(test)]
mod tests;
