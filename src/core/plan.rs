//! What is to be done: an ordered list of writes, each naming one object and carrying its
//! precondition, the whole new status, events, and when to look again.
//!
//! Execution stops at the first write that fails; the next reconcile decides again. A plan holds
//! at most one destructive write, and is carried out only if it was made from live reads.

use jiff::Timestamp;
use serde_json::Value;

use super::observed::RouteId;
use super::spec::SideRoute;
use crate::api::analysis::AnalysisRunSpec;
use crate::api::revert::RevertSpec;
use crate::api::rollout_status::RolloutStatus;

/// What is to be done for one Rollout now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub writes: Vec<Write>,
    /// The whole new status, if it differs from the observed one; written after `writes`.
    pub status: Option<RolloutStatus>,
    /// Written after the status. Nothing waits for these, and one that fails stops nothing.
    pub afterwards: Vec<Write>,
    /// To be published after the status; losing one loses nothing.
    pub events: Vec<PlannedEvent>,
    /// When time alone changes something. `None`: only an event can.
    pub wake_at: Option<Timestamp>,
}

/// One call of a plan's execution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call<'p> {
    /// A write to one object.
    Write(&'p Write),
    /// The whole status, on the version of the Rollout that was read.
    Status(&'p RolloutStatus),
}

impl Plan {
    /// Its calls in the order in which they are made; the first that fails ends it.
    pub fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        let writes = self.writes.iter().map(Call::Write);
        writes.chain(self.status.iter().map(Call::Status))
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.writes.is_empty() && self.status.is_none() && self.afterwards.is_empty()
    }
}

/// A resourceVersion, and the uid with it: the object that the decision was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The uid.
    pub uid: String,
    /// The resourceVersion.
    pub resource_version: String,
}

/// Other labels and annotations for pods, because their version has another role.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleChange {
    /// A JSON merge patch of a pod's metadata, or of that in a ReplicaSet's template.
    pub metadata: Value,
    /// Short for what is given then; `None`: nothing.
    pub given: Option<String>,
}

/// A ReplicaSet that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewReplicaSet {
    /// Its name.
    pub name: String,
    /// Hash of the version.
    pub hash: String,
    /// Its revision.
    pub revision: i64,
    /// Pods to begin with.
    pub replicas: i32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// The user's template, or that of the version's own ReplicaSet.
    pub template: Value,
}

/// One write to one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Put Tidegate's finalizer on the Rollout, or take it off.
    SetFinalizer {
        /// The Rollout as read.
        on: Precondition,
        /// On or off.
        present: bool,
    },
    /// Take a handled annotation off the Rollout.
    RemoveAnnotation {
        /// The Rollout as read.
        on: Precondition,
        /// Its key.
        key: String,
    },
    /// A ReplicaSet for a version. Precondition: there is none of this name.
    CreateReplicaSet(Box<NewReplicaSet>),
    /// One for the control group of a version, with the template of the version's own. Precondition:
    /// there is none of this name.
    CreateBaseline(Box<NewReplicaSet>),
    /// Another size for a ReplicaSet.
    ScaleReplicaSet {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// From so many pods.
        from: i32,
        /// To so many.
        to: i32,
        /// A new revision number, when the version goes out anew.
        revision: Option<i64>,
        /// Its template's role, when the version's first pods of now have another one.
        role: Option<RoleChange>,
    },
    /// Another role for the pods to come of a ReplicaSet. It restarts none.
    RelabelReplicaSet {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// Its generation as read: the write makes the next one, of the same size.
        generation: i64,
        /// What changes.
        change: RoleChange,
    },
    /// Another role for a pod that runs.
    RelabelPod {
        /// Its name.
        name: String,
        /// Its uid, the precondition: its status is the kubelet's and changes all the time.
        uid: String,
        /// What changes.
        change: RoleChange,
    },
    /// Note that all pods of a ReplicaSet have their role.
    NotePodsRelabelled {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// Short for what they were given; `None`: nothing.
        given: Option<String>,
    },
    /// A ReplicaSet of the history that is not kept any longer.
    DeleteReplicaSet {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
    },
    /// Another size for the Deployment that the template is from.
    ScaleWorkload {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// From so many pods.
        from: i32,
        /// To so many.
        to: i32,
    },
    /// Let a Service select a version (`Some(hash)`), or all of the workload's pods again (`None`).
    SwitchService {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// From this version.
        from: Option<String>,
        /// To this one.
        to: Option<String>,
        /// When: written beside the selector in one patch, so that the settle delay survives a crash.
        at: Timestamp,
    },
    /// Give the canary Service this percentage.
    SetWeight {
        /// Where.
        route: RouteId,
        /// As read.
        resource_version: String,
        /// From.
        from: i32,
        /// To.
        to: i32,
        /// The side routes that it has then.
        side_routes: Vec<SideRoute>,
        /// When.
        at: Timestamp,
    },
    /// An owned route or a canary Ingress, with this weight. Precondition: there is none.
    CreateRoute {
        /// Which.
        route: RouteId,
        /// Percent for the canary Service.
        weight: i32,
        /// When.
        at: Timestamp,
    },
    /// An analysis. Precondition: there is none of this name.
    CreateAnalysisRun {
        /// Its name.
        name: String,
        /// All of it, frozen.
        spec: Box<AnalysisRunSpec>,
    },
    /// End an analysis without a verdict.
    TerminateAnalysisRun {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
    },
    /// An analysis of the history that is not kept any longer.
    DeleteAnalysisRun {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
    },
    /// The record of a rejected version, and the intent to take it out of Git. Precondition: none of this name.
    CreateRevert {
        /// Its name.
        name: String,
        /// All of it.
        spec: Box<RevertSpec>,
    },
    /// Lift a rejection: the version may be tried again.
    ReleaseRevert {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
        /// Who and when.
        note: String,
    },
    /// A record of the history that is not kept any longer.
    DeleteRevert {
        /// Its name.
        name: String,
        /// As read.
        on: Precondition,
    },
    /// Replace a pod, by the eviction API so that disruption budgets hold.
    EvictPod {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

impl Write {
    /// Whether it can take something from users: fewer pods, another selector, a deletion.
    #[must_use]
    pub fn is_destructive(&self) -> bool {
        match self {
            Self::ScaleReplicaSet { from, to, .. } | Self::ScaleWorkload { from, to, .. } => {
                to < from
            }
            Self::SwitchService { .. } | Self::DeleteReplicaSet { .. } | Self::EvictPod { .. } => {
                true
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetFinalizer { present: true, .. } => write!(f, "add the finalizer"),
            Self::SetFinalizer { present: false, .. } => write!(f, "remove the finalizer"),
            Self::RemoveAnnotation { key, .. } => write!(f, "remove annotation {key}"),
            Self::CreateReplicaSet(new) => write!(
                f,
                "create ReplicaSet {} (revision {}) with {} pods",
                new.name, new.revision, new.replicas
            ),
            Self::CreateBaseline(new) => {
                write!(f, "create baseline {} with {} pods", new.name, new.replicas)
            }
            Self::ScaleReplicaSet { name, from, to, .. } => {
                write!(f, "scale ReplicaSet {name} {from} -> {to}")
            }
            Self::ScaleWorkload { name, from, to, .. } => {
                write!(f, "scale Deployment {name} {from} -> {to}")
            }
            Self::DeleteReplicaSet { name, .. } => write!(f, "delete ReplicaSet {name}"),
            Self::RelabelReplicaSet { name, .. } => write!(f, "relabel ReplicaSet {name}"),
            Self::RelabelPod { name, .. } => write!(f, "relabel Pod {name}"),
            Self::NotePodsRelabelled { name, .. } => {
                write!(f, "note the relabelled pods of ReplicaSet {name}")
            }
            Self::SwitchService { name, from, to, .. } => write!(
                f,
                "switch Service {name} {} -> {}",
                from.as_deref().unwrap_or("(all)"),
                to.as_deref().unwrap_or("(all)")
            ),
            Self::SetWeight {
                route,
                from,
                to,
                side_routes,
                ..
            } => {
                write!(f, "weight {route} {from} -> {to}")?;
                let (mirrors, headers): (Vec<&SideRoute>, Vec<&SideRoute>) =
                    side_routes.iter().partition(|side| side.is_mirror());
                let names: Vec<&str> = headers.iter().map(|h| h.name.as_str()).collect();
                if !names.is_empty() {
                    write!(f, ", by header {}", names.join(", "))?;
                }
                let mut mirrors = mirrors.iter();
                mirrors.try_for_each(|mirror| write!(f, ", copies of {} %", mirror.copies()))
            }
            Self::CreateRoute { route, weight, .. } => {
                write!(f, "create {route} with weight {weight}")
            }
            Self::CreateAnalysisRun { name, .. } => write!(f, "create AnalysisRun {name}"),
            Self::TerminateAnalysisRun { name, .. } => write!(f, "terminate AnalysisRun {name}"),
            Self::DeleteAnalysisRun { name, .. } => write!(f, "delete AnalysisRun {name}"),
            Self::CreateRevert { name, .. } => write!(f, "create Revert {name}"),
            Self::ReleaseRevert { name, .. } => write!(f, "release Revert {name}"),
            Self::DeleteRevert { name, .. } => write!(f, "delete Revert {name}"),
            Self::EvictPod { name, .. } => write!(f, "evict Pod {name}"),
        }
    }
}

/// An Event for the Rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEvent {
    /// Whether somebody should look.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// One sentence, at most 1 KiB.
    pub note: String,
}
