//! What keeps the objects, as an API server does: a version for each write, a uid for each object, a
//! generation for each spec, and a log of all changes, from which watches are fed.
//!
//! What is written here was accepted; who may write what is for those who call.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use super::objects::{Body, Key, Kind, Meta, Objects, Stored};

/// How many states of the past are kept for reads that come too late.
const PAST_KEPT: usize = 64;

/// Why a write was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another version than the one that the writer read (409).
    Conflict,
    /// There is one of this name (409).
    AlreadyExists,
    /// There is none of this name (404).
    NotFound,
}

/// A change, as a watch tells it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of which object.
    pub key: Key,
    /// What it is now; `None`: it is gone.
    pub now: Option<Arc<Stored>>,
}

/// All objects, and what became of them.
#[derive(Debug, Default)]
pub struct Store {
    objects: Objects,
    /// Every change in its order.
    log: Vec<Change>,
    /// The objects before each of the last changes, oldest first.
    past: VecDeque<Objects>,
    version: u64,
    uids: u64,
}

impl Store {
    /// All objects now.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// All objects as they were `back` writes ago, or as long ago as is remembered.
    pub fn before(&self, back: usize) -> &Objects {
        if back == 0 {
            return &self.objects;
        }
        let at = self.past.len().saturating_sub(back);
        self.past.get(at).unwrap_or(&self.objects)
    }

    /// Every change so far.
    pub fn log(&self) -> &[Change] {
        &self.log
    }

    /// An object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Stored>> {
        // The key is built anew: it is short, and the map is small.
        self.objects.get(&(kind, name.to_owned()))
    }

    /// The objects of a kind, by name.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Stored>> {
        of_kind(&self.objects, kind)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create(
        &mut self,
        kind: Kind,
        name: &str,
        owner: Option<(&str, &str)>,
        body: Body,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let key = (kind, name.to_owned());
        if self.objects.contains_key(&key) {
            return Err(Refusal::AlreadyExists);
        }
        self.uids += 1;
        let meta = Meta {
            name: name.to_owned(),
            uid: format!("uid-{}", self.uids),
            version: 0,
            generation: 1,
            created: now,
            deleted_at: None,
            owner: owner.map(|(_, uid)| uid.to_owned()),
            rollout: owner.map(|(name, _)| name.to_owned()),
        };
        self.put(key, Some(Stored { meta, body }));
        Ok(())
    }

    /// Changes an object, if it still has this version (`None`: whatever it has). `respec` says
    /// whether its spec changes.
    ///
    /// # Errors
    /// It has another version, or there is none.
    pub fn update(
        &mut self,
        kind: Kind,
        name: &str,
        version: Option<&str>,
        respec: bool,
        change: impl FnOnce(&mut Stored),
    ) -> Result<(), Refusal> {
        let key = (kind, name.to_owned());
        let Some(before) = self.objects.get(&key) else {
            return Err(Refusal::NotFound);
        };
        if version.is_some_and(|read| read != before.meta.version.to_string()) {
            return Err(Refusal::Conflict);
        }
        let mut after = Stored::clone(before);
        change(&mut after);
        if respec {
            after.meta.generation += 1;
        }
        let held = after.rollout().is_some_and(|rollout| rollout.finalizer);
        let gone = after.meta.deleted_at.is_some() && !held;
        self.put(key.clone(), (!gone).then_some(after));
        if gone && kind == Kind::Rollout {
            self.collect(&key.1);
        }
        Ok(())
    }

    /// Deletes an object, if it still has this version; one with a finalizer is only marked.
    ///
    /// # Errors
    /// It has another version, or there is none.
    pub fn delete(
        &mut self,
        kind: Kind,
        name: &str,
        version: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.update(kind, name, version, false, |object| {
            object.meta.deleted_at.get_or_insert(now);
        })
    }

    fn put(&mut self, key: Key, object: Option<Stored>) {
        self.past.push_back(self.objects.clone());
        if self.past.len() > PAST_KEPT {
            self.past.pop_front();
        }
        self.version += 1;
        let object = object.map(|mut object| {
            object.meta.version = self.version;
            Arc::new(object)
        });
        match &object {
            Some(object) => self.objects.insert(key.clone(), object.clone()),
            None => self.objects.remove(&key),
        };
        self.log.push(Change { key, now: object });
    }

    /// What a Rollout that is gone controlled goes with it; a Revert stays.
    fn collect(&mut self, rollout: &str) {
        let owned: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, o)| o.meta.owner.is_some() && o.meta.rollout.as_deref() == Some(rollout))
            .map(|(key, _)| key.clone())
            .collect();
        for key in owned {
            self.put(key, None);
        }
    }
}

/// The objects of a kind, by name.
pub fn of_kind(objects: &Objects, kind: Kind) -> impl Iterator<Item = &Arc<Stored>> {
    let from = (kind, String::new());
    objects
        .range(from..)
        .take_while(move |((of, _), _)| *of == kind)
        .map(|(_, object)| object)
}
