//! A horizontal autoscaler, as Kubernetes' own decides: so many pods as bring the load of each to what
//! it should be, from the pods that the scale subresource's selector finds, and nothing while the load
//! is within a tenth of that.

use jiff::SignedDuration;
use serde_json::json;

use super::objects::{Kind, ReplicaSetBody};
use super::{Event, World};
use crate::api::rollout::HASH_LABEL;

/// What a load may be off without consequence (`--horizontal-pod-autoscaler-tolerance`).
const TOLERANCE: f64 = 0.1;

/// An autoscaler of a Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// How many pods the load of all users is enough for.
    pub demand: i32,
    /// Never fewer.
    pub min: i32,
    /// Never more.
    pub max: i32,
    /// From look to look.
    pub every: SignedDuration,
    /// Whether it follows chance between `min` and `max` instead of the load.
    pub erratic: bool,
}

impl World {
    /// An autoscaler begins to look at a Rollout.
    pub fn add_autoscaler(&mut self, rollout: &str, autoscaler: Autoscaler) {
        let every = autoscaler.every;
        self.autoscalers.insert(rollout.to_owned(), autoscaler);
        self.after(every, Event::Autoscale(rollout.to_owned()));
    }

    /// An autoscaler looks at the pods of a Rollout, and asks for another number of them.
    pub(super) fn autoscale(&mut self, rollout: &str) {
        let Some(scaler) = self.autoscalers.get(rollout).cloned() else {
            return;
        };
        self.after(scaler.every, Event::Autoscale(rollout.to_owned()));
        let Some(now) = self.spec(rollout).map(|spec| spec.replicas) else {
            return;
        };
        // Whoever is scaled to nothing is left alone.
        if now == 0 {
            return;
        }
        let wanted = match scaler.erratic {
            true => {
                let chance = self.random.between(scaler.min.into(), scaler.max.into());
                i32::try_from(chance).unwrap_or(now)
            }
            false => self.pods_for_load(rollout, &scaler, now),
        };
        let wanted = wanted.clamp(scaler.min, scaler.max);
        if wanted != now {
            self.trace.say(self.now, || {
                format!("the autoscaler of {rollout}: {now} -> {wanted}")
            });
            self.edit_rollout(rollout, |spec| spec["replicas"] = json!(wanted));
        }
    }

    fn pods_for_load(&self, rollout: &str, scaler: &Autoscaler, now: i32) -> i32 {
        let stored = self.store.get(Kind::Rollout, rollout);
        let selector = stored
            .and_then(|stored| Some(stored.rollout()?.status.selector.as_str()))
            .unwrap_or_default();
        let sets = self.store.list(Kind::ReplicaSet);
        let ready: i32 = sets
            .filter_map(|stored| stored.replica_set())
            .filter(|body| selects(selector, body))
            .map(|body| body.ready)
            .sum();
        if ready == 0 {
            return now;
        }
        let load = f64::from(scaler.demand) / f64::from(ready);
        if (load - 1.0).abs() <= TOLERANCE {
            return now;
        }
        (load * f64::from(ready)).ceil() as i32
    }
}

/// Whether a selector of the scale subresource finds the pods of a ReplicaSet.
fn selects(selector: &str, body: &ReplicaSetBody) -> bool {
    let labels = body.template.pointer("/metadata/labels");
    let has = |key: &str, value: &str| match key {
        HASH_LABEL => body.hash == value,
        _ => labels.and_then(|labels| labels.get(key)?.as_str()) == Some(value),
    };
    !selector.is_empty()
        && selector.split(',').all(|pair| {
            pair.split_once('=')
                .is_some_and(|(key, value)| has(key, value))
        })
}
