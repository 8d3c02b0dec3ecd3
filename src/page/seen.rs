//! What the watches have brought: every Rollout with what belongs to it, and what is wrong with a watch.
//! Asks nobody and shows nothing. An object that cannot be read hides no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;

use super::past::Past;
use crate::api::analysis::AnalysisRun;
use crate::api::analysis_status::Sampler;
use crate::api::revert::{ROLLOUT_LABEL, Revert};
use crate::api::rollout::Rollout;
use crate::cli::objects::Objects;

/// Namespace and name of a Rollout.
pub type Key = (String, String);

/// A Rollout as far as it can be read.
#[derive(Clone, Debug)]
pub enum Item {
    /// Like any other.
    Read(Arc<Rollout>),
    /// This program does not know what to make of it.
    Unreadable {
        /// Since when it is there.
        created: Option<Timestamp>,
        /// What does not fit.
        problem: String,
    },
}

/// The objects of one kind, by the Rollout that they belong to and their own name.
#[derive(Debug)]
struct Kind<K> {
    of: BTreeMap<Key, BTreeMap<String, K>>,
    /// What a new list has brought so far; what is not in it when it is complete is gone.
    coming: Option<BTreeSet<(Key, String)>>,
}

impl<K> Default for Kind<K> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            coming: None,
        }
    }
}

impl<K> Kind<K> {
    fn put(&mut self, key: Key, name: String, object: K) {
        if let Some(coming) = &mut self.coming {
            coming.insert((key.clone(), name.clone()));
        }
        self.of.entry(key).or_default().insert(name, object);
    }

    fn take_out(&mut self, key: &Key, name: &str) {
        if let Some(own) = self.of.get_mut(key) {
            own.remove(name);
            if own.is_empty() {
                self.of.remove(key);
            }
        }
    }

    fn complete(&mut self) {
        let Some(kept) = self.coming.take() else {
            return;
        };
        for (key, own) in &mut self.of {
            own.retain(|name, _| kept.contains(&(key.clone(), name.clone())));
        }
        self.of.retain(|_, own| !own.is_empty());
    }

    /// Applies an event; `read` makes of an object what is kept, and none of one that is not.
    fn apply(
        &mut self,
        event: Event<DynamicObject>,
        key: fn(&DynamicObject) -> Option<Key>,
        read: impl Fn(DynamicObject) -> Option<K>,
    ) -> Option<Key> {
        match event {
            Event::Init => self.coming = Some(BTreeSet::new()),
            Event::InitDone => self.complete(),
            Event::InitApply(object) | Event::Apply(object) => {
                let key = key(&object)?;
                let name = object.name_any();
                if let Some(object) = read(object) {
                    self.put(key.clone(), name, object);
                }
                return Some(key);
            }
            Event::Delete(object) => {
                let key = key(&object)?;
                self.take_out(&key, &object.name_any());
                return Some(key);
            }
        }
        None
    }

    fn list(&self, key: &Key) -> Vec<K>
    where
        K: Clone,
    {
        let own = self.of.get(key);
        own.map_or_else(Vec::new, |own| own.values().cloned().collect())
    }
}

/// Everything that is watched, as it is known now.
#[derive(Debug, Default)]
pub struct Seen {
    rollouts: Kind<Item>,
    replica_sets: Kind<ReplicaSet>,
    runs: Kind<AnalysisRun>,
    reverts: Kind<Revert>,
    past: BTreeMap<Key, Past>,
    /// By resource: what is wrong with its watch.
    trouble: BTreeMap<&'static str, String>,
    /// Resources whose first list is complete.
    complete: BTreeSet<&'static str>,
}

/// What a watch has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A Rollout.
    Rollout,
    /// A ReplicaSet of one.
    ReplicaSet,
    /// An AnalysisRun of one.
    Run,
    /// A Revert of one.
    Revert,
}

impl Seen {
    /// Takes in what a watch says.
    pub fn apply(
        &mut self,
        of: Of,
        resource: &'static str,
        event: Event<DynamicObject>,
        now: Timestamp,
    ) {
        match &event {
            // A list that begins says nothing yet: it may fail like the one before.
            Event::Init => {}
            Event::InitDone => {
                self.complete.insert(resource);
                self.trouble.remove(resource);
            }
            _ => {
                self.trouble.remove(resource);
            }
        }
        let is_whole = matches!(event, Event::InitDone);
        let is_listed = matches!(event, Event::InitApply(_));
        let key = match of {
            Of::Rollout => self.rollouts.apply(event, own_key, |o| Some(item(o))),
            Of::ReplicaSet => self.replica_sets.apply(event, owner_key, typed),
            Of::Run => self.runs.apply(event, owner_key, |o| typed(o).map(slim)),
            Of::Revert => self.reverts.apply(event, owner_key, typed),
        };
        if of == Of::Rollout && is_whole {
            let there = &self.rollouts.of;
            self.past.retain(|key, _| there.contains_key(key));
        }
        // Of a list, each Rollout is noted once, when it is whole: it may bring twenty runs of each.
        let touched: Vec<Key> = match key {
            None if is_whole => self.rollouts.of.keys().cloned().collect(),
            Some(key) if !is_listed => vec![key],
            _ => return,
        };
        for key in touched {
            match self.objects(&key) {
                Some(all) => self.past.entry(key).or_default().note(&all, now),
                None if of == Of::Rollout => {
                    self.past.remove(&key);
                }
                None => {}
            }
        }
    }

    /// Notes what is wrong with a watch, in a sentence.
    pub fn trouble(&mut self, resource: &'static str, text: String) {
        self.trouble.insert(resource, text);
    }

    /// What is wrong, in sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.trouble.values().cloned().collect()
    }

    /// Whether the first list of this resource is here.
    #[must_use]
    pub fn is_complete(&self, resource: &str) -> bool {
        self.complete.contains(resource)
    }

    /// Every Rollout, by namespace and name.
    pub fn items(&self) -> impl Iterator<Item = (&Key, &Item)> {
        let of = self.rollouts.of.iter();
        of.filter_map(|(key, own)| own.values().next().map(|item| (key, item)))
    }

    /// One Rollout.
    #[must_use]
    pub fn item(&self, key: &Key) -> Option<&Item> {
        self.rollouts.of.get(key)?.values().next()
    }

    /// One Rollout with what belongs to it, if it can be read.
    #[must_use]
    pub fn objects(&self, key: &Key) -> Option<Objects> {
        let Some(Item::Read(rollout)) = self.item(key) else {
            return None;
        };
        let mut all = Objects::of(rollout.as_ref().clone());
        all.replica_sets = self.replica_sets.list(key);
        all.runs = self.runs.list(key);
        all.reverts = self.reverts.list(key);
        // What could not be read is no proof that it is not there.
        let others = self.trouble.iter();
        let others = others.filter(|(resource, _)| **resource != crate::cli::client::ROLLOUTS);
        all.notes = others.map(|(_, text)| text.clone()).collect();
        all.keep_own();
        Some(all)
    }

    /// An AnalysisRun of a Rollout.
    #[must_use]
    pub fn run(&self, key: &Key, name: &str) -> Option<&AnalysisRun> {
        self.runs.of.get(key)?.get(name)
    }

    /// What was seen of a Rollout since this program has watched.
    #[must_use]
    pub fn past(&self, key: &Key) -> Option<&Past> {
        self.past.get(key)
    }
}

fn own_key(object: &DynamicObject) -> Option<Key> {
    Some((object.namespace().unwrap_or_default(), object.name_any()))
}

fn owner_key(object: &DynamicObject) -> Option<Key> {
    let owner = object.labels().get(ROLLOUT_LABEL)?.clone();
    Some((object.namespace().unwrap_or_default(), owner))
}

fn item(object: DynamicObject) -> Item {
    let created = object.creation_timestamp().map(|t| t.0);
    match read::<Rollout>(object) {
        Ok(rollout) => Item::Read(Arc::new(rollout)),
        Err(problem) => Item::Unreadable {
            created,
            problem: problem.to_string(),
        },
    }
}

fn typed<K: DeserializeOwned>(object: DynamicObject) -> Option<K> {
    read(object).ok()
}

fn read<K: DeserializeOwned>(mut object: DynamicObject) -> Result<K, serde_json::Error> {
    object.metadata.managed_fields = None;
    serde_json::to_value(object).and_then(serde_json::from_value)
}

/// A run without the state that it goes on from: by far the largest part, of which nothing is shown but
/// the calibration.
fn slim(mut run: AnalysisRun) -> AnalysisRun {
    let metrics = run.status.as_mut().map(|status| &mut status.metrics);
    for metric in metrics.into_iter().flatten() {
        let sampler = metric.comparison.as_mut().and_then(|c| c.sampler.as_mut());
        if let Some(sampler) = sampler {
            let calibration = sampler.calibration.take();
            *sampler = Sampler {
                calibration,
                ..Sampler::default()
            };
        }
    }
    run
}

#[cfg(test)]
mod tests;
