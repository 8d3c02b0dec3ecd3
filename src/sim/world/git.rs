//! The repository, the GitOps loop that brings the cluster to what it says, and the Git writer that
//! takes a bad change out of it. Only what others see of them: which commit says what, and the phases
//! of a Revert; the writer's own work has its tests against real repositories.

#![expect(
    clippy::indexing_slicing,
    reason = "specs that somebody wrote as objects: indexing finds nothing, or adds it"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use super::objects::{Kind, RevertBody};
use super::{Event, Fault, World};
use crate::api::revert::RevertMode;
use crate::core::naming::template_hash;

/// From look to look of the GitOps loop.
pub(super) const SYNC_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// From step to step of the Git writer.
const WRITER_STEP: SignedDuration = SignedDuration::from_secs(2);
/// How long it waits for a server that does not answer.
const WRITER_RETRY: SignedDuration = SignedDuration::from_secs(8);

/// The repository.
#[derive(Clone, Debug, Default)]
pub struct Git {
    /// What it says of each Rollout's spec.
    head: BTreeMap<String, Arc<Value>>,
    /// What it said before, oldest first.
    past: Vec<(String, Arc<Value>)>,
    /// The commits that take a change out, by the Revert that asked.
    pub reverts: BTreeMap<String, u32>,
    /// Whether a GitOps loop applies what it says.
    pub applied: bool,
    /// How much of a spec it applies.
    pub owns: Loop,
}

/// How much of a Rollout's spec the GitOps loop applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loop {
    /// The template: an autoscaler, or a person, has the number of replicas.
    #[default]
    Template,
    /// All of it.
    Spec,
}

impl Git {
    /// Somebody commits a spec.
    pub fn commit(&mut self, rollout: &str, spec: &Arc<Value>) {
        self.past.push((rollout.to_owned(), Arc::clone(spec)));
        self.head.insert(rollout.to_owned(), Arc::clone(spec));
    }

    /// What it says of a Rollout's spec.
    #[must_use]
    pub fn spec(&self, rollout: &str) -> Option<&Value> {
        self.head.get(rollout).map(|spec| &**spec)
    }

    /// Somebody commits a change of a spec.
    pub fn edit(&mut self, rollout: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(spec) = self.head.get_mut(rollout) {
            let mut changed = Value::clone(spec);
            edit(&mut changed);
            *spec = Arc::new(changed);
            self.past.push((rollout.to_owned(), Arc::clone(spec)));
        }
    }
}

/// Whether the Git writer has not begun.
pub(super) fn is_new(revert: &RevertBody) -> bool {
    revert.phase.is_none()
}

impl World {
    /// The GitOps loop applies what the repository says.
    pub(super) fn sync_git(&mut self) {
        self.after(SYNC_EVERY, Event::Sync);
        if !self.git.applied || self.weather.has(&Fault::Git) {
            return;
        }
        let wanted: Vec<(String, Arc<Value>)> = self
            .git
            .head
            .iter()
            .map(|(name, spec)| (name.clone(), Arc::clone(spec)))
            .collect();
        for (name, spec) in wanted {
            let whole = self.git.owns == Loop::Spec;
            let differs = self
                .store
                .get(Kind::Rollout, &name)
                .and_then(|stored| stored.rollout())
                .is_some_and(|rollout| match whole {
                    true => rollout.raw != spec,
                    false => rollout.raw["template"] != spec["template"],
                });
            if differs {
                self.trace
                    .say(self.now, || format!("GitOps applies {name}"));
                self.edit_rollout(&name, |raw| match whole {
                    true => raw.clone_from(&spec),
                    false => raw["template"] = spec["template"].clone(),
                });
            }
        }
    }

    /// Somebody changes the spec of a Rollout.
    pub fn edit_rollout(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let _ = self
            .store
            .update(Kind::Rollout, name, None, true, |stored| {
                if let Some(rollout) = stored.rollout_mut() {
                    rollout.edit(edit);
                }
            });
    }

    /// The Git writer goes one step on with a Revert.
    pub(super) fn write_git(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::Revert, name).cloned() else {
            return;
        };
        let Some(revert) = stored.revert() else {
            return;
        };
        let push = revert.spec.mode == RevertMode::Push && !revert.released;
        if push && self.weather.has(&Fault::Git) {
            self.after(WRITER_RETRY, Event::Writer(name.to_owned()));
            return;
        }
        let next = match revert.phase.as_deref() {
            None if !push => None,
            None => Some("Pending"),
            Some("Pending") => Some("Pushed"),
            Some("Pushed") => Some("Landed"),
            Some("Landed") => Some("Verified"),
            Some(_) => None,
        };
        let Some(next) = next else { return };
        let commit = next == "Pushed";
        if commit {
            self.take_out(name, revert);
        }
        let _ = self
            .store
            .update(Kind::Revert, name, None, false, |stored| {
                if let Some(revert) = stored.revert_mut() {
                    revert.phase = Some(next.to_owned());
                    if commit {
                        revert.commit = Some("c0ffee".to_owned());
                    }
                }
            });
        self.after(WRITER_STEP, Event::Writer(name.to_owned()));
    }

    /// The repository says what the stable version is again, if it still says the bad one.
    fn take_out(&mut self, name: &str, revert: &RevertBody) {
        *self.git.reverts.entry(name.to_owned()).or_default() += 1;
        let rollout = revert.spec.rollout.name.clone();
        let is = |spec: &Value, hash: &str| template_hash(&spec["template"], 0) == hash;
        let stable = self
            .git
            .past
            .iter()
            .rev()
            .find(|(of, spec)| *of == rollout && is(spec, &revert.spec.stable.hash));
        let Some((_, stable)) = stable.cloned() else {
            return;
        };
        let bad = |head: &Arc<Value>| is(head, &revert.spec.bad.hash);
        if self.git.head.get(&rollout).is_some_and(bad) {
            self.git.edit(&rollout, |spec| {
                spec["template"] = stable["template"].clone();
            });
        }
    }
}
