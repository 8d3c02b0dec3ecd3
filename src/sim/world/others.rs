//! What others than Tidegate do to the objects that it works with: operators, other tools, nodes that
//! are drained, an API server that fills fields in.

use std::sync::Arc;

use json_patch::merge;
use serde_json::Value;

use super::objects::{Body, Kind, ReplicaSetBody};
use super::workload::{Behaviour, Readiness, image};
use super::{Event, World};
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::analysis_status::RunPhase;
use crate::core::naming;

impl World {
    /// The ReplicaSets of a Rollout that have pods of an image, without those that are nobody's.
    #[must_use]
    pub fn replica_sets_of(&self, rollout: &str, of_image: &str) -> Vec<String> {
        let uid = self
            .store
            .get(Kind::Rollout, rollout)
            .map(|stored| stored.meta.uid.clone());
        let all = self.store.list(Kind::ReplicaSet);
        all.filter(|stored| uid.is_some() && stored.meta.owner == uid)
            .filter(|stored| {
                stored
                    .replica_set()
                    .is_some_and(|body| image(&body.template) == of_image)
            })
            .map(|stored| stored.meta.name.clone())
            .collect()
    }

    /// Somebody gives a ReplicaSet another size.
    pub fn scale_by_hand(&mut self, replica_set: &str, to: i32) {
        let _ = self
            .store
            .update(Kind::ReplicaSet, replica_set, None, true, |stored| {
                if let Some(body) = stored.replica_set_mut() {
                    body.desired = to;
                }
            });
    }

    /// The API server, or a webhook, fills fields of a ReplicaSet's template in.
    pub fn fill_in(&mut self, replica_set: &str, template: &Value) {
        let _ = self
            .store
            .update(Kind::ReplicaSet, replica_set, None, true, |stored| {
                if let Some(body) = stored.replica_set_mut() {
                    let mut filled = Value::clone(&body.template);
                    merge(&mut filled, template);
                    body.template = Arc::new(filled);
                }
            });
    }

    /// Somebody lets a Service select another version.
    pub fn select_by_hand(&mut self, service: &str, hash: Option<&str>) {
        let _ = self
            .store
            .update(Kind::Service, service, None, true, |stored| {
                if let Some(body) = stored.service_mut() {
                    body.hash = hash.map(str::to_owned);
                }
            });
    }

    /// Somebody ends the analyses of a Rollout that run.
    pub fn end_analyses(&mut self, rollout: &str) {
        for name in self.runs_of(rollout) {
            let _ = self.store.update(Kind::Run, &name, None, true, |stored| {
                if let Some(run) = stored.run_mut() {
                    run.terminate |= matches!(run.phase, RunPhase::Pending | RunPhase::Running);
                }
            });
        }
    }

    /// Somebody deletes the analyses of a Rollout.
    pub fn delete_analyses(&mut self, rollout: &str) {
        let now = self.now;
        for name in self.runs_of(rollout) {
            let _ = self.store.delete(Kind::Run, &name, None, now);
        }
    }

    fn runs_of(&self, rollout: &str) -> Vec<String> {
        let all = self.store.list(Kind::Run);
        all.filter(|stored| stored.meta.rollout.as_deref() == Some(rollout))
            .map(|stored| stored.meta.name.clone())
            .collect()
    }

    /// Pods of a ReplicaSet are evicted, those that serve first; others take their place.
    pub fn drain(&mut self, replica_set: &str, most: usize) {
        let mut pods = self.pods_of(replica_set);
        pods.retain(|pod| !pod.terminating);
        pods.sort_by_key(|pod| (!pod.ready, pod.created));
        for pod in pods.into_iter().take(most) {
            self.evict(&pod.uid);
        }
    }

    /// Pods of an image behave otherwise from now on, those that run as well.
    pub fn behave(&mut self, of_image: &str, behaviour: Behaviour) {
        let readiness = behaviour.readiness;
        self.behaviours.insert(of_image.to_owned(), behaviour);
        let sets: Vec<String> = self
            .store
            .list(Kind::ReplicaSet)
            .filter(|stored| {
                stored
                    .replica_set()
                    .is_some_and(|body| image(&body.template) == of_image)
            })
            .map(|stored| stored.meta.name.clone())
            .collect();
        for name in sets {
            let pods = self.pods_of(&name);
            let ready = pods.iter().filter(|pod| pod.ready).count();
            match readiness {
                Readiness::Never => self.fail_pods(&name, usize::MAX),
                Readiness::AtMost(most) => self.fail_pods(&name, ready.saturating_sub(most)),
                Readiness::Gets | Readiness::Crashes(_) => {}
            }
            for pod in pods {
                let wait = match readiness {
                    Readiness::Gets if !pod.ready => self.some_time(1_000, 5_000),
                    Readiness::Crashes(after) if pod.ready => after,
                    _ => continue,
                };
                if let Ok(id) = pod.uid.parse() {
                    self.after(wait, Event::Pod(name.clone(), id));
                }
            }
        }
    }

    /// An analysis template that Rollouts may name.
    pub fn add_template(&mut self, name: &str, template: AnalysisTemplateSpec) {
        let body = Body::Template(Some(template));
        let now = self.now;
        let _ = self.store.create(Kind::Template, name, None, body, now);
    }

    /// A ReplicaSet that is nobody's, with the name that a version of a Rollout would have.
    pub fn add_stranger(&mut self, rollout: &str, template: &Value, pods: i32) {
        let hash = naming::template_hash(template, 0);
        let name = naming::replica_set(rollout, &hash);
        let body = ReplicaSetBody::new(hash, pods, Arc::new(template.clone()));
        let body = Body::ReplicaSet(body);
        let now = self.now;
        let _ = self.store.create(Kind::ReplicaSet, &name, None, body, now);
        let _ = self
            .store
            .update(Kind::ReplicaSet, &name, None, false, |stored| {
                stored.meta.rollout = Some(rollout.to_owned());
            });
    }
}
