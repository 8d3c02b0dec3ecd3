//! The calls of a plan, made one by one: each in the weather of its moment, each with its
//! precondition, each watched over by the invariants.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use json_patch::merge;
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{
    Body, Kind, ReplicaSetBody, RevertBody, RouteBody, RunBody, ServiceBody, Stored,
};
use super::store;
use super::view::OURSELVES;
use super::{Fault, World};
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::RolloutStatus;
use crate::core::observed::{Observed, Refusal};
use crate::core::plan::{Call, Precondition, RoleChange, Write};
use crate::core::roles;
use crate::sim::invariants;

/// What a call does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// It is read.
    Read,
    /// It is made.
    Create,
    /// Something of it changes.
    Update,
    /// It goes.
    Delete,
    /// A pod is evicted.
    Evict,
    /// A Rollout's status is written.
    Status,
}

/// How a call ends that goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It is refused, and nothing is done.
    #[default]
    Refused,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is answered with a conflict, and nothing is done.
    Conflict,
}

/// Of certain calls, a share goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFault {
    /// Of which verb; `None`: of every one.
    pub verb: Option<Verb>,
    /// Of which kind of object; `None`: of every one.
    pub kind: Option<Kind>,
    /// So many of a thousand.
    pub share: u64,
    /// How they end.
    pub ending: Ending,
}

/// What a write does, and to which kind of object; a pod is of none that is kept here.
fn target(call: &Call<'_>) -> (Verb, Option<Kind>) {
    let Call::Write(write) = call else {
        return (Verb::Status, Some(Kind::Rollout));
    };
    let (verb, kind) = match write {
        Write::SetFinalizer { .. } | Write::RemoveAnnotation { .. } => {
            (Verb::Update, Kind::Rollout)
        }
        Write::CreateReplicaSet(_) | Write::CreateBaseline(_) => (Verb::Create, Kind::ReplicaSet),
        Write::ScaleReplicaSet { .. }
        | Write::RelabelReplicaSet { .. }
        | Write::NotePodsRelabelled { .. } => (Verb::Update, Kind::ReplicaSet),
        Write::DeleteReplicaSet { .. } => (Verb::Delete, Kind::ReplicaSet),
        Write::ScaleWorkload { .. } => (Verb::Update, Kind::Deployment),
        Write::SwitchService { .. } => (Verb::Update, Kind::Service),
        Write::SetWeight { .. } => (Verb::Update, Kind::Route),
        Write::CreateRoute { .. } => (Verb::Create, Kind::Route),
        Write::CreateAnalysisRun { .. } => (Verb::Create, Kind::Run),
        Write::TerminateAnalysisRun { .. } => (Verb::Update, Kind::Run),
        Write::DeleteAnalysisRun { .. } => (Verb::Delete, Kind::Run),
        Write::CreateRevert { .. } => (Verb::Create, Kind::Revert),
        Write::ReleaseRevert { .. } => (Verb::Update, Kind::Revert),
        Write::DeleteRevert { .. } => (Verb::Delete, Kind::Revert),
        Write::RelabelPod { .. } => return (Verb::Update, None),
        Write::EvictPod { .. } => return (Verb::Evict, None),
    };
    (verb, Some(kind))
}

/// What became of a call.
pub(super) enum Answer {
    /// It was carried out.
    Done,
    /// It was not, because of another version or name (409).
    Conflict,
    /// It was not, or nobody knows, because of the API server or the network.
    Failed,
    /// A disruption budget forbids it.
    Held,
    /// The API server will not have this ReplicaSet.
    Refused(Refusal),
}

impl World {
    /// Makes a call, in whatever weather there is.
    pub(super) fn make(
        &mut self,
        observed: &Observed,
        read_since: Timestamp,
        call: Call<'_>,
    ) -> Answer {
        self.counts.calls += 1;
        let (verb, kind) = target(&call);
        let ending = self.ending(verb, kind);
        match ending {
            Some(Ending::Refused) => return Answer::Failed,
            Some(Ending::Conflict) => return Answer::Conflict,
            Some(Ending::AnswerLost) | None => {}
        }
        let share = self.weather.failing_calls();
        let fails = share > 0 && self.random.below(1_000) < share;
        if fails && self.random.below(2) == 0 {
            return Answer::Failed;
        }
        if let Some(refusal) = self.refusal(call) {
            let name = &observed.rollout.name;
            self.trace
                .say(self.now, || format!("{name}: refused: {refusal:?}"));
            return Answer::Refused(refusal);
        }
        let result = match call {
            Call::Write(Write::EvictPod { .. }) if self.weather.has(&Fault::Budget) => {
                return Answer::Held;
            }
            Call::Write(write) => {
                let replaced = self.replaced(write, &observed.rollout.name);
                let done = self.apply(observed, write);
                if done.is_ok() {
                    let spec = observed.rollout.spec.as_ref().ok();
                    self.patch_whole(spec, &observed.rollout.name, write);
                    invariants::wrote(self, observed, read_since, write, replaced.as_deref());
                }
                let name = &observed.rollout.name;
                if done.is_ok() {
                    self.note_in_journal(name, || write.to_string());
                }
                self.trace
                    .say(self.now, || format!("{name}: {write}: {done:?}"));
                done
            }
            Call::Status(status) => self.write_status(observed, read_since, status),
        };
        if result.is_ok() {
            self.counts.writes += 1;
        }
        // What this write changed is seen before anything else happens.
        self.changed();
        match result {
            // It was carried out, but the answer is lost.
            Ok(()) if fails || ending == Some(Ending::AnswerLost) => Answer::Failed,
            Ok(()) => Answer::Done,
            Err(_) => Answer::Conflict,
        }
    }

    /// What the API server has against what is to be created.
    fn refusal(&self, call: Call<'_>) -> Option<Refusal> {
        let Call::Write(Write::CreateReplicaSet(new)) = call else {
            return None;
        };
        let why = self.weather.refuses()?.to_owned();
        let replica_set = new.name.clone();
        Some(Refusal { replica_set, why })
    }

    /// How a call ends that certain faults may let go wrong; `None`: as it would without them.
    pub(super) fn ending(&mut self, verb: Verb, kind: Option<Kind>) -> Option<Ending> {
        let faults = self.weather.certain_calls(verb, kind);
        let mut drawn = faults
            .into_iter()
            .filter(|(share, _)| self.random.below(1_000) < *share);
        drawn.next().map(|(_, ending)| ending)
    }

    fn write_status(
        &mut self,
        observed: &Observed,
        read_since: Timestamp,
        status: &RolloutStatus,
    ) -> Result<(), store::Refusal> {
        let stored = self
            .store
            .get(Kind::Rollout, &observed.rollout.name)
            .cloned();
        let name = &observed.rollout.name;
        let version = self.version(&observed.rollout.resource_version);
        let done = self
            .store
            .update(Kind::Rollout, name, version.as_deref(), false, |stored| {
                if let Some(rollout) = stored.rollout_mut() {
                    rollout.status = status.clone();
                }
            });
        if let (Ok(()), Some(stored)) = (done, stored) {
            invariants::said(self, observed, read_since, &stored, status);
            let phase = status.phase;
            self.note_in_journal(name, || match phase {
                Some(phase) => format!("status {phase}"),
                None => "status".to_owned(),
            });
        }
        self.trace.say(self.now, || {
            let phase = status.phase.map(|p| p.to_string()).unwrap_or_default();
            format!("{name}: status {phase} {}: {done:?}", status.message)
        });
        done
    }

    /// The object that a write changes, as it is before.
    fn replaced(&self, write: &Write, rollout: &str) -> Option<Arc<Stored>> {
        let (kind, name) = match write {
            Write::SetFinalizer { .. } | Write::RemoveAnnotation { .. } => {
                (Kind::Rollout, rollout.to_owned())
            }
            Write::ScaleReplicaSet { name, .. }
            | Write::DeleteReplicaSet { name, .. }
            | Write::RelabelReplicaSet { name, .. }
            | Write::NotePodsRelabelled { name, .. } => (Kind::ReplicaSet, name.clone()),
            Write::ScaleWorkload { name, .. } => (Kind::Deployment, name.clone()),
            Write::SwitchService { name, .. } => (Kind::Service, name.clone()),
            Write::SetWeight { route, .. } => (Kind::Route, route.to_string()),
            Write::TerminateAnalysisRun { name, .. } | Write::DeleteAnalysisRun { name, .. } => {
                (Kind::Run, name.clone())
            }
            Write::ReleaseRevert { name, .. } | Write::DeleteRevert { name, .. } => {
                (Kind::Revert, name.clone())
            }
            Write::CreateReplicaSet(_)
            | Write::CreateBaseline(_)
            | Write::CreateRoute { .. }
            | Write::CreateAnalysisRun { .. }
            | Write::CreateRevert { .. }
            | Write::RelabelPod { .. }
            | Write::EvictPod { .. } => return None,
        };
        self.store.get(kind, &name).cloned()
    }

    /// The version that a write is made on; a bug may leave it out.
    fn version(&self, read: &str) -> Option<String> {
        let forgotten = self.mutant.is_some_and(|mutant| mutant.forgets_versions());
        (!forgotten).then(|| read.to_owned())
    }

    fn apply(&mut self, observed: &Observed, write: &Write) -> Result<(), store::Refusal> {
        let rollout = observed.rollout.name.clone();
        let now = self.now;
        let owner = Some((rollout.as_str(), observed.rollout.uid.as_str()));
        match write {
            Write::SetFinalizer { on, present } => {
                let present = *present;
                self.update(Kind::Rollout, &rollout, on, false, |stored| {
                    if let Some(body) = stored.rollout_mut() {
                        body.finalizer = present;
                    }
                })
            }
            Write::RemoveAnnotation { on, key } => {
                self.update(Kind::Rollout, &rollout, on, false, |stored| {
                    if let Some(body) = stored.rollout_mut() {
                        body.annotations.remove(key);
                    }
                })
            }
            Write::CreateReplicaSet(new) | Write::CreateBaseline(new) => {
                let template = Arc::new(new.template.clone());
                let body = Body::ReplicaSet(ReplicaSetBody {
                    is_baseline: matches!(write, Write::CreateBaseline(_)),
                    revision: new.revision,
                    min_ready: SignedDuration::from_secs(new.min_ready_seconds.into()),
                    pods_given: roles::mark(&new.template),
                    ..ReplicaSetBody::new(new.hash.clone(), new.replicas, template)
                });
                self.store
                    .create(Kind::ReplicaSet, &new.name, owner, body, now)
            }
            Write::ScaleReplicaSet {
                name,
                on,
                to,
                revision,
                role,
                ..
            } => self.update(Kind::ReplicaSet, name, on, true, |stored| {
                if let Some(body) = stored.replica_set_mut() {
                    body.desired = *to;
                    body.revision = revision.unwrap_or(body.revision);
                    if let Some(role) = role {
                        relabel(body, role);
                        body.pods_given.clone_from(&role.given);
                    }
                }
            }),
            Write::DeleteReplicaSet { name, on } => self.delete(Kind::ReplicaSet, name, on),
            Write::ScaleWorkload { name, on, to, .. } => {
                self.update(Kind::Deployment, name, on, true, |stored| {
                    if let Some(body) = stored.deployment_mut() {
                        body.desired = *to;
                    }
                })
            }
            Write::RelabelReplicaSet {
                name,
                on,
                generation,
                change,
            } => self.update(Kind::ReplicaSet, name, on, true, |stored| {
                if let Some(body) = stored.replica_set_mut() {
                    relabel(body, change);
                    body.relabelled_at = Some(*generation);
                }
            }),
            Write::NotePodsRelabelled { name, on, given } => {
                self.update(Kind::ReplicaSet, name, on, false, |stored| {
                    if let Some(body) = stored.replica_set_mut() {
                        body.pods_given.clone_from(given);
                    }
                })
            }
            Write::RelabelPod { uid, change, .. } => self.relabel_pod(uid, change),
            Write::SwitchService {
                name, on, to, at, ..
            } => self.update(Kind::Service, name, on, true, |stored| {
                if let Some(body) = stored.service_mut() {
                    *body = ServiceBody {
                        hash: to.clone(),
                        switched_at: Some(now.max(*at)),
                        managed_by: to.is_some().then(|| rollout.clone()),
                        problem: body.problem.clone(),
                    };
                }
            }),
            Write::SetWeight {
                route,
                resource_version,
                to,
                side_routes,
                ..
            } => {
                let version = self.version(resource_version);
                let key = route.to_string();
                self.store
                    .update(Kind::Route, &key, version.as_deref(), true, |stored| {
                        if let Some(body) = stored.route_mut() {
                            body.weight = *to;
                            body.side_routes.clone_from(side_routes);
                            body.changed_at = Some(now);
                            OURSELVES.clone_into(&mut body.writer);
                        }
                    })
            }
            Write::CreateRoute { route, weight, .. } => {
                let body = Body::Route(RouteBody {
                    id: route.clone(),
                    weight: *weight,
                    side_routes: Vec::new(),
                    accepted: 0,
                    changed_at: Some(now),
                    writer: OURSELVES.to_owned(),
                    problem: None,
                });
                self.store
                    .create(Kind::Route, &route.to_string(), owner, body, now)
            }
            Write::CreateAnalysisRun { name, spec } => {
                let body = Body::Run(RunBody {
                    spec: Arc::new((**spec).clone()),
                    terminate: false,
                    phase: RunPhase::Pending,
                    verdict: None,
                    message: String::new(),
                });
                self.store.create(Kind::Run, name, owner, body, now)
            }
            Write::TerminateAnalysisRun { name, on } => {
                self.update(Kind::Run, name, on, true, |stored| {
                    if let Some(body) = stored.run_mut() {
                        body.terminate = true;
                    }
                })
            }
            Write::DeleteAnalysisRun { name, on } => self.delete(Kind::Run, name, on),
            Write::CreateRevert { name, spec } => {
                let body = Body::Revert(RevertBody {
                    spec: Arc::new((**spec).clone()),
                    released: false,
                    phase: None,
                    commit: None,
                });
                // It is of the Rollout and outlives it: it has no owner.
                let done = self.store.create(Kind::Revert, name, None, body, now);
                if done.is_ok() {
                    let _ = self
                        .store
                        .update(Kind::Revert, name, None, false, |stored| {
                            stored.meta.rollout = Some(rollout.clone());
                        });
                }
                done
            }
            Write::ReleaseRevert { name, on, .. } => {
                self.update(Kind::Revert, name, on, false, |stored| {
                    if let Some(body) = stored.revert_mut() {
                        body.released = true;
                    }
                })
            }
            Write::DeleteRevert { name, on } => self.delete(Kind::Revert, name, on),
            Write::EvictPod { uid, .. } => {
                self.evict(uid);
                Ok(())
            }
        }
    }

    fn update(
        &mut self,
        kind: Kind,
        name: &str,
        on: &Precondition,
        respec: bool,
        change: impl FnOnce(&mut Stored),
    ) -> Result<(), store::Refusal> {
        let version = self.version(&on.resource_version);
        self.store
            .update(kind, name, version.as_deref(), respec, change)
    }

    fn delete(&mut self, kind: Kind, name: &str, on: &Precondition) -> Result<(), store::Refusal> {
        let version = self.version(&on.resource_version);
        self.store.delete(kind, name, version.as_deref(), self.now)
    }
}

/// Gives a ReplicaSet's pods to come another role.
fn relabel(body: &mut ReplicaSetBody, change: &RoleChange) {
    let mut template = Value::clone(&body.template);
    merge(&mut template, &json!({ "metadata": change.metadata }));
    body.template = Arc::new(template);
}
