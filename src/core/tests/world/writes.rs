//! What a plan's writes change in the small cluster, each held to what it was decided on.

use jiff::SignedDuration;

use super::{Rs, World};
use crate::api::analysis_status::RunPhase;
use crate::core::observed::{RUN_MAX_DURATION, RevertObserved, RunObserved};
use crate::core::plan::Write;
use crate::core::roles;

impl World {
    pub(super) fn apply(&mut self, write: Write) {
        self.rv += 1;
        let rv = self.rv;
        let now = self.now;
        match write {
            Write::SetFinalizer { present, .. } => {
                self.finalizer = present;
                self.gone = !present;
            }
            Write::RemoveAnnotation { key, .. } => {
                self.annotations.remove(&key);
            }
            Write::CreateReplicaSet(new) => {
                assert!(!self.rs.contains_key(&new.hash));
                let rs = Rs {
                    pods_given: roles::mark(&new.template),
                    hash: new.hash.clone(),
                    revision: new.revision,
                    desired: new.replicas,
                    available: 0,
                    created: now,
                    template: new.template,
                    healthy: true,
                    rv,
                    scaled_by: None,
                };
                self.rs.insert(new.hash, rs);
            }
            Write::CreateBaseline(new) => {
                let own = &self.rs[&new.hash];
                assert_eq!(new.template, own.template, "it is more of the same");
                let uid = new.name.strip_prefix("web-").unwrap().to_owned();
                let rs = Rs {
                    revision: new.revision,
                    desired: new.replicas,
                    available: 0,
                    created: now,
                    template: new.template,
                    rv,
                    ..own.clone()
                };
                assert!(self.baselines.insert(uid, rs).is_none());
            }
            Write::ScaleReplicaSet {
                on,
                from,
                to,
                revision,
                role,
                ..
            } => {
                let mut all = self.rs.iter_mut().chain(&mut self.baselines);
                let rs = all.find(|(uid, _)| **uid == on.uid).unwrap().1;
                assert_eq!(rs.rv.to_string(), on.resource_version);
                assert_eq!(rs.desired, from);
                rs.desired = to;
                rs.scaled_by = None;
                rs.available = rs.available.min(to);
                rs.revision = revision.unwrap_or(rs.revision);
                rs.rv = rv;
                if let Some(role) = role {
                    assert_eq!(from, 0, "pods that run are brought to a role one by one");
                    roles::merge(&mut rs.template["metadata"], &role.metadata);
                    rs.pods_given = role.given;
                }
            }
            Write::RelabelReplicaSet { on, change, .. } => {
                let rs = self.rs.get_mut(&on.uid).unwrap();
                assert_eq!(rs.rv.to_string(), on.resource_version);
                roles::merge(&mut rs.template["metadata"], &change.metadata);
                rs.rv = rv;
            }
            Write::RelabelPod { uid, change, .. } => {
                let pod = self.pods.iter_mut().find(|p| p.uid == uid).unwrap();
                if !self.pods_are_fixed {
                    let given = &change.metadata["annotations"][roles::GIVEN];
                    pod.given = given.as_str().map(str::to_owned);
                }
            }
            Write::NotePodsRelabelled { on, given, .. } => {
                let rs = self.rs.get_mut(&on.uid).unwrap();
                assert_eq!(rs.rv.to_string(), on.resource_version);
                rs.pods_given = given;
                rs.rv = rv;
            }
            Write::DeleteReplicaSet { on, .. } => {
                let rs = self.rs.remove(&on.uid);
                let rs = rs.or_else(|| self.baselines.remove(&on.uid)).unwrap();
                assert_eq!(rs.desired, 0);
            }
            Write::ScaleWorkload {
                name, on, from, to, ..
            } => {
                let workload = self.workload.as_mut().unwrap();
                assert_eq!((&workload.name, workload.desired), (&name, from));
                assert_eq!(workload.resource_version, on.resource_version);
                workload.desired = to;
                workload.available = workload.available.min(to);
                workload.generation += 1;
                workload.resource_version = rv.to_string();
            }
            Write::SwitchService { name, to, at, .. } => {
                let service = self.services.get_mut(&name).unwrap();
                service.hash = to;
                service.switched_at = Some(at);
                service.resource_version = rv.to_string();
            }
            Write::SetWeight {
                to, side_routes, ..
            } => {
                assert!((0..=100).contains(&to));
                self.weight = to;
                self.check_new_side_routes(&side_routes);
                self.side_routes = side_routes;
                self.route_accepted_at = now.checked_add(SignedDuration::from_secs(1)).unwrap();
                self.route_changed_at = Some(now);
            }
            Write::CreateRoute { weight, .. } => {
                self.route_exists = true;
                self.weight = weight;
                self.side_routes = Vec::new();
                self.route_accepted_at = now;
                self.route_changed_at = Some(now);
            }
            Write::CreateAnalysisRun { name, spec } => {
                let run = RunObserved {
                    name: name.clone(),
                    uid: name.clone(),
                    resource_version: rv.to_string(),
                    hash: spec.canary_hash.clone(),
                    phase: RunPhase::Running,
                    verdict: None,
                    reason: String::new(),
                    message: "m".into(),
                    terminate: false,
                    max_duration: RUN_MAX_DURATION,
                    created: now,
                };
                self.run_specs.insert(name.clone(), *spec);
                assert!(self.runs.insert(name, run).is_none());
            }
            Write::TerminateAnalysisRun { name, .. } => {
                let run = self.runs.get_mut(&name).unwrap();
                run.terminate = true;
                run.phase = RunPhase::Terminated;
            }
            Write::DeleteAnalysisRun { name, .. } => {
                self.runs.remove(&name);
            }
            Write::CreateRevert { name, spec } => {
                let revert = RevertObserved {
                    name: name.clone(),
                    uid: name.clone(),
                    resource_version: rv.to_string(),
                    hash: spec.bad.hash.clone(),
                    attempt: spec.attempt,
                    released: false,
                    phase: None,
                    message: None,
                    commit: None,
                    finished: false,
                    created: now,
                };
                assert!(self.reverts.insert(name, revert).is_none());
            }
            Write::ReleaseRevert { name, .. } => {
                self.reverts.get_mut(&name).unwrap().released = true;
            }
            Write::DeleteRevert { name, .. } => {
                self.reverts.remove(&name);
            }
            Write::EvictPod { name, .. } => {
                let evicted = self.pods.iter_mut().find(|p| p.name == name);
                evicted.unwrap().terminating = true;
            }
        }
    }
}
