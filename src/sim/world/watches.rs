//! How a controller's caches learn of changes: late, kind by kind, and now and then not at all until
//! they list everything anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

use super::objects::{KINDS, Kind};
use super::{Event, Fault, World};

impl World {
    /// A controller starts: it lists everything, from an API server that may be late, and looks at
    /// every Rollout.
    pub(super) fn start(&mut self, at: usize, back: usize) {
        let listed = self.store.before(back).clone();
        let told = self.store.log().len().saturating_sub(back);
        let Some(controller) = self.controllers.get_mut(at) else {
            return;
        };
        controller.alive = true;
        controller.cache = listed;
        if at == 0 {
            controller.dies_after = self.crashes.pop_front();
        }
        controller.told = told_all(told);
        self.relist_later(at);
        self.look_at_all(at);
    }

    /// What the watches have not told yet comes soon.
    fn relist_later(&mut self, at: usize) {
        for kind in KINDS {
            let wait = self.some_time(100, 1_000);
            self.after(wait, Event::Watch(at, kind));
        }
        if self.store.list(Kind::Deployment).next().is_some() {
            let wait = self.some_time(100, 1_000);
            self.after(wait, Event::Watch(at, Kind::Deployment));
        }
    }

    fn look_at_all(&mut self, at: usize) {
        let rollouts: Vec<String> = self
            .store
            .list(Kind::Rollout)
            .map(|stored| stored.meta.name.clone())
            .collect();
        for rollout in rollouts {
            self.look_after(at, &rollout, SignedDuration::from_millis(1));
        }
    }

    /// The watches of a controller list everything anew, as after a long silence.
    pub fn relist(&mut self, at: usize) {
        if self.mutant.is_some_and(|mutant| mutant.never_lists_anew()) {
            return;
        }
        let now = self.store.objects().clone();
        let told = self.store.log().len();
        if let Some(controller) = self.controller(at).filter(|c| c.alive) {
            controller.misses.clear();
            controller.cache = now;
            controller.told = told_all(told);
        }
        self.look_at_all(at);
    }

    /// A watch tells what it has not told yet.
    pub(super) fn deliver(&mut self, at: usize, kind: Kind) {
        if self.weather.has(&Fault::Watches(kind)) {
            return;
        }
        let log = self.store.log();
        let Some(controller) = self.controllers.get_mut(at).filter(|c| c.alive) else {
            return;
        };
        let told = controller.told.entry(kind).or_default();
        let mut concerned = BTreeSet::new();
        for change in log.get(*told..).unwrap_or_default() {
            if change.key.0 != kind || controller.misses.contains(&kind) {
                continue;
            }
            let before = match &change.now {
                Some(object) => controller
                    .cache
                    .insert(change.key.clone(), Arc::clone(object)),
                None => controller.cache.remove(&change.key),
            };
            let of = [change.now.as_ref(), before.as_ref()].into_iter().flatten();
            concerned.extend(of.filter_map(|object| object.meta.rollout.clone()));
            if kind == Kind::Rollout {
                concerned.insert(change.key.1.clone());
            } else if matches!(
                kind,
                Kind::Service | Kind::Route | Kind::Template | Kind::Deployment
            ) {
                // Who names it is found out by looking: there are few Rollouts in here.
                let all = controller
                    .cache
                    .keys()
                    .filter(|(kind, _)| *kind == Kind::Rollout);
                concerned.extend(all.map(|(_, name)| name.clone()));
            }
        }
        *told = log.len();
        for rollout in concerned {
            let wait = self.some_time(1, 20);
            self.look_after(at, &rollout, wait);
        }
    }
}

/// Every watch has told so many changes.
fn told_all(told: usize) -> BTreeMap<Kind, usize> {
    let kinds = KINDS.into_iter().chain([Kind::Deployment]);
    kinds.map(|kind| (kind, told)).collect()
}
