//! Pods, and the ReplicaSet controller that makes and ends them, as Kubernetes' own does: what is
//! missing is created, of what is too much those go first that do not serve, then the youngest; the
//! status follows a moment later.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::objects::{Kind, Stored};
use super::store::Refusal;
use super::{Event, Fault, Target, World};
use crate::core::observed::PodObserved;
use crate::core::plan::RoleChange;
use crate::core::roles::GIVEN;

/// How long a pod that failed waits until it is tried again.
const CRASH_BACKOFF: SignedDuration = SignedDuration::from_secs(10);

/// How long what the ReplicaSet controller could not create is left alone.
const QUOTA_RETRY: SignedDuration = SignedDuration::from_secs(5);

/// How the pods of a version behave.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// From a pod's creation until it is ready.
    pub start: SignedDuration,
    /// Whether it gets ready.
    pub readiness: Readiness,
    /// What an analysis finds.
    pub judgement: Judgement,
    /// What its targets count, if analyses are to be made from that.
    pub targets: Vec<Target>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start: SignedDuration::from_secs(3),
            readiness: Readiness::Gets,
            judgement: Judgement::Good,
            targets: Vec::new(),
        }
    }
}

/// Whether pods get ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They do, and stay it.
    Gets,
    /// None does.
    Never,
    /// So many do.
    AtMost(usize),
    /// They do, and fail so long after it, again and again.
    Crashes(SignedDuration),
}

/// What an analysis finds about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// That it is as good as the one before.
    Good,
    /// That it is worse.
    Bad,
    /// Neither, however long it looks.
    Unclear,
    /// No data.
    NoData,
    /// Answers that are errors.
    Errors,
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its number, also its uid.
    pub id: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it serves.
    pub ready: bool,
    /// When it last began or ceased to serve.
    pub turned: Timestamp,
    /// Whether it ends.
    pub terminating: bool,
    /// What it was given for its version's role.
    pub given: Option<String>,
}

/// The image of a template's first container.
#[must_use]
pub fn image(template: &Value) -> &str {
    template
        .pointer("/spec/containers/0/image")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What somebody with this metadata was given for a role.
fn given(metadata: &Value) -> Option<String> {
    let text = metadata.get("annotations")?.get(GIVEN)?;
    text.as_str().map(str::to_owned)
}

impl World {
    /// How the pods of a ReplicaSet behave.
    fn behaviour(&self, stored: &Stored) -> Behaviour {
        let template = stored.replica_set().map(|rs| Arc::clone(&rs.template));
        let image = template.as_deref().map(image).unwrap_or_default();
        self.behaviours.get(image).cloned().unwrap_or_default()
    }

    /// Pods of a version that serve now.
    #[must_use]
    pub fn serving(&self, rollout: &str, hash: &str) -> i32 {
        self.serving_since(rollout, hash, SignedDuration::ZERO)
    }

    /// The same; one that ceased to less than `excused` ago counts, too.
    #[must_use]
    pub fn serving_since(&self, rollout: &str, hash: &str, excused: SignedDuration) -> i32 {
        let name = crate::core::naming::replica_set(rollout, hash);
        let pods = self.pods.get(&name).into_iter().flatten();
        let lately = |pod: &&Pod| {
            let ceased = self.now.duration_since(pod.turned) < excused && pod.turned > pod.created;
            !pod.terminating && (pod.ready || ceased)
        };
        i32::try_from(pods.filter(lately).count()).unwrap_or(i32::MAX)
    }

    /// The pods of a ReplicaSet as its Rollout's controller reads them.
    pub fn pods_of(&self, replica_set: &str) -> Vec<PodObserved> {
        let pods = self.pods.get(replica_set).into_iter().flatten();
        let stored = self.store.get(Kind::ReplicaSet, replica_set);
        let owner = stored.map_or_else(String::new, |stored| stored.meta.uid.clone());
        let read = |pod: &Pod| PodObserved {
            name: format!("{replica_set}-{}", pod.id),
            uid: pod.id.to_string(),
            created: pod.created,
            terminating: pod.terminating,
            ready: pod.ready,
            owner: owner.clone(),
            given: pod.given.clone(),
        };
        pods.map(read).collect()
    }

    /// The ReplicaSet controller looks at one: pods, then status.
    pub(super) fn sync_pods(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::ReplicaSet, name).cloned() else {
            return;
        };
        let Some(body) = stored.replica_set() else {
            return;
        };
        let desired = usize::try_from(body.desired).unwrap_or(0);
        let mut pods = self.pods.remove(name).unwrap_or_default();
        pods.retain(|pod| !pod.terminating);
        let mut failure = None;
        if pods.len() < desired && self.weather.has(&Fault::Quota) {
            failure = Some("exceeded quota: compute".to_owned());
            self.after(QUOTA_RETRY, Event::Pods(name.to_owned()));
        } else {
            while pods.len() < desired {
                let pod = self.new_pod(name, &stored);
                pods.push(pod);
            }
        }
        // Those that do not serve go first, then the youngest.
        pods.sort_by_key(|pod| (!pod.ready, pod.created, pod.id));
        pods.truncate(desired);
        self.pods.insert(name.to_owned(), pods);
        self.write_pods_status(name, stored.meta.generation, failure);
    }

    fn new_pod(&mut self, replica_set: &str, stored: &Stored) -> Pod {
        let id = self.random.bits();
        let start = self.behaviour(stored).start + self.some_time(0, 1_500);
        self.after(start, Event::Pod(replica_set.to_owned(), id));
        let template = stored.replica_set().map(|rs| &rs.template);
        Pod {
            id,
            created: self.now,
            ready: false,
            turned: self.now,
            terminating: false,
            given: template.and_then(|template| given(template.get("metadata")?)),
        }
    }

    /// A pod gets another role, if it is still there.
    pub(super) fn relabel_pod(&mut self, uid: &str, change: &RoleChange) -> Result<(), Refusal> {
        let mut pods = self.pods.values_mut().flatten();
        let pod = pods.find(|pod| pod.id.to_string() == uid);
        let pod = pod.ok_or(Refusal::NotFound)?;
        pod.given = given(&change.metadata);
        Ok(())
    }

    /// The status of a ReplicaSet, as its pods are now.
    fn write_pods_status(&mut self, name: &str, generation: i64, failure: Option<String>) {
        let stored = self.store.get(Kind::ReplicaSet, name);
        let min_ready = stored.and_then(|stored| Some(stored.replica_set()?.min_ready));
        let min_ready = min_ready.unwrap_or_default();
        let pods = self.pods.get(name).map(Vec::as_slice).unwrap_or_default();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let current = count(pods.len());
        let ready = pods.iter().filter(|pod| pod.ready);
        let waits: Vec<SignedDuration> = ready
            .map(|pod| min_ready - self.now.duration_since(pod.turned))
            .collect();
        let ready = count(waits.len());
        let available = count(waits.iter().filter(|wait| !wait.is_positive()).count());
        let next = waits.into_iter().filter(|wait| wait.is_positive()).min();
        if let Some(wait) = next {
            self.after(wait, Event::Pods(name.to_owned()));
        }
        let same = self
            .store
            .get(Kind::ReplicaSet, name)
            .is_some_and(|stored| {
                stored.replica_set().is_some_and(|rs| {
                    (
                        (rs.current, rs.ready, rs.available),
                        rs.observed_generation,
                        &rs.failure,
                    ) == ((current, ready, available), generation, &failure)
                })
            });
        if same {
            return;
        }
        let _ = self
            .store
            .update(Kind::ReplicaSet, name, None, false, |stored| {
                if let Some(rs) = stored.replica_set_mut() {
                    rs.current = current;
                    rs.ready = ready;
                    rs.available = available;
                    rs.observed_generation = generation;
                    rs.failure = failure;
                }
            });
    }

    /// A pod gets ready, or fails.
    pub(super) fn pod_comes_up(&mut self, name: &str, id: u64) {
        let Some(stored) = self.store.get(Kind::ReplicaSet, name).cloned() else {
            return;
        };
        let behaviour = self.behaviour(&stored);
        let now = self.now;
        let others = self.pods.get(name).into_iter().flatten();
        let ready = others.filter(|pod| pod.ready && pod.id != id).count();
        let Some(pod) = self
            .pods
            .get_mut(name)
            .and_then(|pods| pods.iter_mut().find(|pod| pod.id == id))
        else {
            return;
        };
        let before = pod.ready;
        let mut again = None;
        match behaviour.readiness {
            Readiness::Gets => pod.ready = true,
            Readiness::Never => pod.ready = false,
            Readiness::AtMost(most) => pod.ready = pod.ready || ready < most,
            Readiness::Crashes(after) => {
                pod.ready = !pod.ready;
                again = Some(if pod.ready { after } else { CRASH_BACKOFF });
            }
        }
        if pod.ready != before {
            pod.turned = now;
        }
        if let Some(wait) = again {
            self.after(wait, Event::Pod(name.to_owned(), id));
        }
        self.say_pods(name);
    }

    /// So many pods of a ReplicaSet fail at once, and come up again.
    pub fn fail_pods(&mut self, name: &str, most: usize) {
        let now = self.now;
        let mut failed = Vec::new();
        for pod in self.pods.get_mut(name).into_iter().flatten() {
            if pod.ready && failed.len() < most {
                pod.ready = false;
                pod.turned = now;
                failed.push(pod.id);
            }
        }
        for id in failed {
            let wait = CRASH_BACKOFF + self.some_time(0, 5_000);
            self.after(wait, Event::Pod(name.to_owned(), id));
        }
        self.say_pods(name);
    }

    /// Every pod that does not serve comes up again, if its version's pods do.
    pub fn mend_pods(&mut self) {
        let mut down = Vec::new();
        for (name, pods) in &self.pods {
            let waiting = pods.iter().filter(|pod| !pod.ready);
            down.extend(waiting.map(|pod| (name.clone(), pod.id)));
        }
        for (name, id) in down {
            let wait = self.some_time(1_000, 5_000);
            self.after(wait, Event::Pod(name, id));
        }
    }

    /// A pod is evicted: it ends, and another one takes its place.
    pub(super) fn evict(&mut self, uid: &str) {
        let mut of = None;
        for (name, pods) in &mut self.pods {
            if let Some(pod) = pods.iter_mut().find(|pod| pod.id.to_string() == uid) {
                pod.terminating = true;
                of = Some(name.clone());
            }
        }
        if let Some(name) = of {
            let wait = self.some_time(20, 300);
            self.after(wait, Event::Pods(name));
        }
    }

    /// The ReplicaSet controller writes down how many pods serve.
    fn say_pods(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::ReplicaSet, name) else {
            return;
        };
        let Some(body) = stored.replica_set() else {
            return;
        };
        let (generation, failure) = (body.observed_generation, body.failure.clone());
        self.write_pods_status(name, generation, failure);
    }
}
