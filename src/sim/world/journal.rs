//! What Tidegate wrote and told, kept where somebody asks for it: a scenario does, thousands of drawn
//! histories do not.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::World;
use super::objects::Stored;
use super::workload::image;
use crate::core::plan::PlannedEvent;

/// Most writes that are kept: more than the invariants allow in an hour.
const WRITES_MAX: usize = 20_000;

/// A write that the API server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// For which Rollout.
    pub rollout: String,
    /// What, in words, with the names of versions instead of their hashes.
    pub words: String,
}

/// What Tidegate wrote and told.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// The name of each version, by its hash: the tag of its image.
    versions: BTreeMap<String, String>,
    writes: Vec<Entry>,
    told: BTreeMap<(String, String), u64>,
    fresh: usize,
}

impl Journal {
    /// A version was seen.
    pub(super) fn note_version(&mut self, stored: &Stored) {
        let Some(body) = stored.replica_set() else {
            return;
        };
        if !self.versions.contains_key(&body.hash) {
            let tag = tag(image(&body.template)).to_owned();
            self.versions.insert(body.hash.clone(), tag);
        }
    }

    /// The name of a version.
    #[must_use]
    pub fn version(&self, hash: &str) -> Option<&str> {
        self.versions.get(hash).map(String::as_str)
    }

    /// `text` with the names of versions instead of their hashes.
    #[must_use]
    pub fn words(&self, text: &str) -> String {
        let mut words = text.to_owned();
        for (hash, tag) in &self.versions {
            if words.contains(hash) {
                words = words.replace(hash, tag);
            }
        }
        words
    }

    /// The writes so far, oldest first.
    #[must_use]
    pub fn writes(&self) -> &[Entry] {
        &self.writes
    }

    /// The writes since it was last asked to forget what is new.
    #[must_use]
    pub fn fresh(&self) -> &[Entry] {
        self.writes.get(self.fresh..).unwrap_or_default()
    }

    /// Nothing is new any more.
    pub fn forget_fresh(&mut self) {
        self.fresh = self.writes.len();
    }

    /// How many Events with this reason were told of a Rollout.
    #[must_use]
    pub fn told(&self, rollout: &str, reason: &str) -> u64 {
        let key = (rollout.to_owned(), reason.to_owned());
        self.told.get(&key).copied().unwrap_or(0)
    }
}

/// What follows the last colon of an image.
#[must_use]
pub fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

impl World {
    /// A write was made for a Rollout.
    pub(super) fn note_in_journal(&mut self, rollout: &str, text: impl FnOnce() -> String) {
        let at = self.now;
        if let Some(journal) = self
            .journal
            .as_mut()
            .filter(|j| j.writes.len() < WRITES_MAX)
        {
            let words = journal.words(&text());
            journal.writes.push(Entry {
                at,
                rollout: rollout.to_owned(),
                words,
            });
        }
    }

    /// Events of a plan that was carried out are published.
    pub(super) fn tell(&mut self, rollout: &str, events: &[PlannedEvent]) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        for event in events {
            let key = (rollout.to_owned(), event.reason.to_owned());
            *journal.told.entry(key).or_default() += 1;
        }
    }
}
