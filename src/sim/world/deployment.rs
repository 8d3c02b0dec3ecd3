//! Deployments that Rollouts have their templates from, and Kubernetes' own controller of them, as
//! much of it as such a Rollout meets: one ReplicaSet of the Deployment's own, of its size and
//! template, and a status that follows.
//!
//! A Rollout's spec and its Deployment's template are one manifest here, as they are one commit: what
//! is written as the Rollout's template reaches the Deployment a moment later.

use std::sync::Arc;

use serde_json::{Value, json};

use super::objects::{Body, DeploymentBody, Kind, ReplicaSetBody};
use super::{Event, World};
use crate::api::rollout::WorkloadRef;

/// The Deployment that a Rollout's spec names.
pub(super) fn named(raw: &Value) -> Option<WorkloadRef> {
    serde_json::from_value(raw.get("workloadRef")?.clone()).ok()
}

/// The ReplicaSet of a Deployment's own pods.
#[must_use]
pub fn own_pods(deployment: &str) -> String {
    format!("{deployment}{OWN}")
}

const OWN: &str = "-own";

impl World {
    /// Adds the Deployment of a Rollout that is to take its place, with all its pods.
    pub(super) fn add_deployment(&mut self, raw: &Value) {
        let Some(workload) = named(raw) else { return };
        let replicas = raw.get("replicas").and_then(Value::as_i64).unwrap_or(1);
        let template = raw.get("template").cloned().unwrap_or_default();
        let pods = i32::try_from(replicas).unwrap_or(1);
        self.create_deployment(&workload.name, template, pods);
    }

    fn create_deployment(&mut self, name: &str, template: Value, pods: i32) {
        let body = Body::Deployment(DeploymentBody {
            template: Arc::new(template),
            desired: pods,
            current: 0,
            available: 0,
            observed_generation: 0,
        });
        let now = self.now;
        let _ = self.store.create(Kind::Deployment, name, None, body, now);
    }

    /// Somebody applies a Deployment of this name with so many pods: one of the labels and the image
    /// that the Rollout of this name would have, if there is one.
    pub fn deploy(&mut self, name: &str, pods: i32) {
        if self.store.get(Kind::Deployment, name).is_none() {
            let template = json!({"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}});
            self.create_deployment(name, template, pods);
            return;
        }
        self.scale_named(name, pods);
    }

    /// The template of a Rollout's manifest reaches its Deployment.
    pub(super) fn apply_manifest(&mut self, rollout: &str) {
        let stored = self.store.get(Kind::Rollout, rollout);
        let Some(raw) = stored.and_then(|stored| Some(Arc::clone(&stored.rollout()?.raw))) else {
            return;
        };
        let (Some(workload), Some(template)) = (named(&raw), raw.get("template")) else {
            return;
        };
        let same = self
            .store
            .get(Kind::Deployment, &workload.name)
            .and_then(|stored| stored.deployment())
            .is_none_or(|body| *body.template == *template);
        if same {
            return;
        }
        let template = Arc::new(template.clone());
        let _ = self
            .store
            .update(Kind::Deployment, &workload.name, None, true, |stored| {
                if let Some(body) = stored.deployment_mut() {
                    body.template = template;
                }
            });
    }

    /// Somebody gives a Rollout's Deployment another size.
    pub fn scale_deployment(&mut self, rollout: &str, to: i32) {
        let stored = self.store.get(Kind::Rollout, rollout);
        let workload = stored.and_then(|stored| named(&stored.rollout()?.raw));
        if let Some(workload) = workload {
            self.scale_named(&workload.name, to);
        }
    }

    fn scale_named(&mut self, name: &str, to: i32) {
        let _ = self
            .store
            .update(Kind::Deployment, name, None, true, |stored| {
                if let Some(body) = stored.deployment_mut() {
                    body.desired = to;
                }
            });
    }

    /// A change of a ReplicaSet concerns its Deployment, if it is one's own.
    pub(super) fn tell_deployment(&mut self, replica_set: &str) {
        if let Some(deployment) = replica_set.strip_suffix(OWN) {
            let wait = self.some_time(10, 150);
            self.after(wait, Event::Deployment(deployment.to_owned()));
        }
    }

    /// Kubernetes' controller looks at a Deployment: its ReplicaSet, then its status.
    pub(super) fn sync_deployment(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::Deployment, name).cloned() else {
            return;
        };
        let Some(body) = stored.deployment() else {
            return;
        };
        let own = own_pods(name);
        let pods = self.store.get(Kind::ReplicaSet, &own).cloned();
        let pods = pods.as_ref().and_then(|stored| stored.replica_set());
        match pods {
            None => self.create_own_pods(&own, body),
            Some(pods) if pods.desired != body.desired || pods.template != body.template => {
                let (desired, template) = (body.desired, Arc::clone(&body.template));
                let _ = self
                    .store
                    .update(Kind::ReplicaSet, &own, None, true, |stored| {
                        if let Some(pods) = stored.replica_set_mut() {
                            pods.desired = desired;
                            pods.template = template;
                        }
                    });
            }
            Some(_) => {}
        }
        let (current, available) = pods.map_or((0, 0), |pods| (pods.current, pods.available));
        let generation = stored.meta.generation;
        let said = (body.current, body.available, body.observed_generation);
        if said == (current, available, generation) {
            return;
        }
        let _ = self
            .store
            .update(Kind::Deployment, name, None, false, |stored| {
                if let Some(body) = stored.deployment_mut() {
                    body.current = current;
                    body.available = available;
                    body.observed_generation = generation;
                }
            });
    }

    fn create_own_pods(&mut self, name: &str, of: &DeploymentBody) {
        let template = Arc::clone(&of.template);
        let body = ReplicaSetBody::new("own".to_owned(), of.desired, template);
        let body = Body::ReplicaSet(body);
        let now = self.now;
        let _ = self.store.create(Kind::ReplicaSet, name, None, body, now);
    }
}
