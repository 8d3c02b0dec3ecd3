//! What the decision is made from: a snapshot of one Rollout and of everything that it names.
//!
//! Own small types: the planner knows no kube client and no Kubernetes struct but the API of
//! Tidegate itself. `controller::observe` fills them from the cluster, the simulator from its world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::roles;
use super::spec::{Problem, SideRoute, Spec};
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::rollout_status::RolloutStatus;

/// Everything about one Rollout at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Rollout itself.
    pub rollout: RolloutObserved,
    /// ReplicaSets whose controller is this Rollout (by uid), in name order.
    pub replica_sets: Vec<ReplicaSetObserved>,
    /// The same of control groups, whose hash is that of the version whose pods they have more of.
    pub baselines: Vec<ReplicaSetObserved>,
    /// Names of ReplicaSets that exist under this Rollout's names but belong to somebody else.
    pub foreign_replica_sets: BTreeSet<String>,
    /// The Services that the spec names; `None`: it does not exist.
    pub services: BTreeMap<String, Option<ServiceObserved>>,
    /// The routes that the spec names, in its order.
    pub routes: Vec<RouteObserved>,
    /// The Deployment that the template is from.
    pub workload: Option<WorkloadObserved>,
    /// AnalysisRuns whose controller is this Rollout.
    pub runs: Vec<RunObserved>,
    /// The templates that the spec names; `None`: it does not exist.
    pub templates: BTreeMap<TemplateKey, Option<AnalysisTemplateSpec>>,
    /// Reverts of this Rollout's name (also of an earlier object of that name).
    pub reverts: Vec<RevertObserved>,
    /// What stands in the way because of other objects: another Rollout with an overlapping
    /// selector, a Service or route that belongs to another Rollout.
    pub conflicts: Vec<Problem>,
    /// Deployments other than the spec's own that have pods, and whose labels are such that a selector
    /// of the one meets pods of the other.
    pub labels_shared_with: Vec<String>,
    /// A ReplicaSet that the API server refused only just now to create.
    pub refused: Option<Refusal>,
    /// This Rollout's pods; read only while a restart is pending or pods have another role than
    /// their version.
    pub pods: Vec<PodObserved>,
    /// What the administrator set.
    pub settings: Settings,
}

impl Observed {
    /// Pods of a ReplicaSet that are available for certain. While a restart evicts them one by one, its
    /// status may not know yet of the one that was evicted last; the pods themselves do.
    #[must_use]
    pub fn surely_available(&self, rs: &ReplicaSetObserved) -> i32 {
        let counted = rs.surely_available();
        if self.rollout.status.restart_at.is_none() {
            return counted;
        }
        let of_it = self.pods.iter().filter(|pod| pod.owner == rs.uid);
        let serving = of_it.filter(|pod| pod.ready && !pod.terminating).count();
        counted.min(i32::try_from(serving).unwrap_or(i32::MAX))
    }
}

/// A ReplicaSet that the API server refuses to create: what only it can judge of a template, or what
/// an admission webhook or a quota has against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the ReplicaSet.
    pub replica_set: String,
    /// What the API server says.
    pub why: String,
}

/// What the administrator set by flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a change of a Service or of a route takes to reach the data plane.
    pub settle: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        // Endpoints and kube-proxy follow within a second; five is that with a margin.
        Self {
            settle: SignedDuration::from_secs(5),
        }
    }
}

/// The Rollout.
#[derive(Clone, Debug)]
pub struct RolloutObserved {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version of the object that this snapshot was made from.
    pub resource_version: String,
    /// Generation of its spec.
    pub generation: i64,
    /// When its deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// Whether Tidegate's finalizer is on it.
    pub has_finalizer: bool,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The parsed spec, or everything that is wrong with it.
    pub spec: Result<Spec, Vec<Problem>>,
    /// The status as last written.
    pub status: RolloutStatus,
}

/// A ReplicaSet of the Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSetObserved {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Hash of its template (label `rollouts-pod-template-hash`).
    pub hash: String,
    /// Its revision (annotation `tidegate.io/revision`), 0 if it has none.
    pub revision: i64,
    /// `spec.replicas`.
    pub desired: i32,
    /// Who asked for so many pods, other than Tidegate (field manager).
    pub scaled_by: Option<String>,
    /// `status.replicas`.
    pub current: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Whether the status speaks of the present size.
    pub up_to_date: bool,
    /// Its generation.
    pub generation: i64,
    /// Whether the status speaks of the present template: pods from now on are made from it.
    pub template_seen: bool,
    /// Short for what its pods were given for their version's role; `None`: nothing.
    pub pods_given: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Message of a `ReplicaFailure` condition (quota, admission).
    pub failure: Option<String>,
    /// The pod template, for the record of what changed and for its version's role.
    pub template: Arc<Value>,
}

impl ReplicaSetObserved {
    /// Pods that are available for certain: none while the status speaks of an earlier size, because
    /// those pods may be on their way out.
    #[must_use]
    pub fn surely_available(&self) -> i32 {
        if self.up_to_date {
            self.available.min(self.desired)
        } else {
            0
        }
    }

    /// Whether it has pods that may have another role than its template.
    #[must_use]
    pub fn pods_lag(&self) -> bool {
        self.current > 0 && self.template_seen && self.pods_given != roles::mark(&self.template)
    }

    /// Pods that may be sent requests: every ready one, whether it has been so for long enough or not,
    /// and all of them while the status speaks of an earlier size.
    #[must_use]
    pub fn possibly_serving(&self) -> i32 {
        let ready = self.ready.max(self.available);
        if self.up_to_date {
            ready
        } else {
            ready.max(self.desired)
        }
    }
}

/// The Deployment that the template is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadObserved {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.replicas`.
    pub current: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `status.updatedReplicas`: pods of its present template.
    pub updated: i32,
    /// Whether the status speaks of the present spec.
    pub up_to_date: bool,
}

/// A Service that the Rollout names.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceObserved {
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its uid.
    pub uid: String,
    /// The version that its selector names, if it names one.
    pub hash: Option<String>,
    /// When its selector was last changed; `None`: longer ago than anybody knows.
    pub switched_at: Option<Timestamp>,
    /// The Rollout that it belongs to (annotation `tidegate.io/managed-by`).
    pub managed_by: Option<String>,
    /// What makes it unusable: ExternalName, headless, no selector.
    pub problem: Option<String>,
}

/// Which object carries a weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteId {
    /// A user's HTTPRoute.
    HttpRoute(String),
    /// The HTTPRoute that Tidegate owns.
    ManagedHttpRoute(String),
    /// The canary Ingress beside a user's Ingress (its name: the user's Ingress).
    NginxIngress(String),
}

impl std::fmt::Display for RouteId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HttpRoute(name) | Self::ManagedHttpRoute(name) => write!(f, "HTTPRoute {name}"),
            Self::NginxIngress(name) => write!(f, "Ingress {name}"),
        }
    }
}

/// A route that the Rollout names.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteObserved {
    /// Which.
    pub id: RouteId,
    /// What it says.
    pub state: RouteState,
}

/// What a route says.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteState {
    /// It does not exist, and Tidegate is the one who creates it (an owned route, a canary Ingress).
    ToCreate,
    /// It cannot carry weights: missing, ambiguous, no backend of ours. Field, value, what is allowed.
    Unusable(Problem),
    /// It carries weights.
    Live(LiveRoute),
}

/// A route that carries weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRoute {
    /// Its resourceVersion.
    pub resource_version: String,
    /// Percent of the traffic that goes to the canary Service, rounded up; the largest of its rules.
    pub weight: i32,
    /// Whether every rule says exactly `weight` and `100 - weight`.
    pub exact: bool,
    /// The spec's side routes that it has; `None`: rules or filters of Tidegate's stand there that are
    /// not as they should be.
    pub side_routes: Option<Vec<SideRoute>>,
    /// What is wrong with it although its weight can be read and written: it cannot have the spec's side
    /// routes, or its router does not act on the weight.
    pub obstacle: Option<Problem>,
    /// Why its router does not have it, as far as the router says. `None`: the router says that it
    /// has it, or has no way to say.
    pub pending: Option<String>,
    /// When it was last changed; `None`: longer ago than anybody knows. The settle delay counts from
    /// here also for what is not pending: a router may accept a route before it serves it.
    pub changed_at: Option<Timestamp>,
    /// Who wrote it last, other than Tidegate (field manager), for the event when it is put back.
    pub last_writer: Option<String>,
}

/// How long the word of an AnalysisRun is waited for that does not say
/// (`crate::analysis::plan::MAX_DURATION`).
pub const RUN_MAX_DURATION: SignedDuration = SignedDuration::from_mins(60);

/// An AnalysisRun of the Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RunObserved {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The version that it judges.
    pub hash: String,
    /// Where it stands.
    pub phase: RunPhase,
    /// The present verdict.
    pub verdict: Option<RunVerdict>,
    /// The verdict's reason in one word.
    pub reason: String,
    /// One sentence with numbers.
    pub message: String,
    /// Whether it was told to end.
    pub terminate: bool,
    /// How long its word is waited for (`spec.promote.maxDuration`).
    pub max_duration: SignedDuration,
    /// When it was created.
    pub created: Timestamp,
}

pub use crate::api::analysis_status::{RunPhase, Verdict as RunVerdict};

/// Name of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateKey {
    /// Its name.
    pub name: String,
    /// True: a ClusterAnalysisTemplate.
    pub cluster_scope: bool,
}

/// A Revert of the Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RevertObserved {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Hash of the rejected version.
    pub hash: String,
    /// Which attempt at it that was, from 1.
    pub attempt: i32,
    /// Whether the rejection was lifted.
    pub released: bool,
    /// Where it stands, as text.
    pub phase: Option<String>,
    /// One sentence.
    pub message: Option<String>,
    /// The commit that took the change out.
    pub commit: Option<String>,
    /// Whether the writer is done with it, in whatever way.
    pub finished: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// A pod of the Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct PodObserved {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether its deletion has begun.
    pub terminating: bool,
    /// Uid of its ReplicaSet.
    pub owner: String,
    /// What it was given for its version's role (annotation [`roles::GIVEN`]).
    pub given: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_gate_traffic_by_what_is_certain_and_removal_by_what_is_possible() {
        // desired, ready, available, whether the status knows the size: certain, possible
        let rows = [
            ((3, 3, 3, true), (3, 3)),
            ((3, 2, 0, true), (0, 2)),
            ((1, 3, 3, true), (1, 3)),
            ((3, 1, 1, false), (0, 3)),
            ((0, 2, 1, false), (0, 2)),
        ];
        for ((desired, ready, available, up_to_date), expected) in rows {
            let rs = ReplicaSetObserved {
                name: "web-1".to_owned(),
                uid: "u".to_owned(),
                resource_version: "1".to_owned(),
                hash: "1".to_owned(),
                revision: 1,
                desired,
                scaled_by: None,
                current: desired,
                ready,
                available,
                up_to_date,
                generation: 1,
                template_seen: up_to_date,
                pods_given: None,
                created: Timestamp::UNIX_EPOCH,
                failure: None,
                template: Value::Null.into(),
            };
            let found = (rs.surely_available(), rs.possibly_serving());
            assert_eq!(
                found, expected,
                "{desired} {ready} {available} {up_to_date}"
            );
        }
    }
}
