//! An instance of Tidegate's controller: caches that lag behind, the shipped decision, and its calls
//! one by one in the shipped order, each with its precondition and its own time, so that anything may
//! happen between two of them.
//!
//! The loop is that of `controller::reconcile`: a look at the caches finds out whether there is
//! anything to do; if there is, everything is read anew, decided anew, and only that is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::calls::{Answer, Verb};
use super::objects::{KINDS, Kind, Objects};
use super::view::observe;
use super::{Event, Fault, World};
use crate::core::decide::decide;
use crate::core::failures::{AFTER_WRITE, Failures, WHILE_HELD};
use crate::core::observed::Observed;
use crate::core::plan::{Call, Plan, Write};
use crate::sim::invariants;

/// When nothing asks for a look.
const RESYNC: SignedDuration = SignedDuration::from_secs(300);
/// Shortest wait for a moment that a plan names.
const WAKE_MIN: SignedDuration = SignedDuration::from_millis(10);

/// An instance.
#[derive(Debug)]
pub struct Controller {
    /// Whether its process runs.
    pub alive: bool,
    /// Whether it believes that it leads.
    pub leads: bool,
    /// How far its clock is ahead of the API server's.
    pub ahead: SignedDuration,
    /// It dies after so many more calls.
    pub dies_after: Option<u64>,
    /// It dies at the write that is so in words: before it, or after it.
    pub dies_at: Option<(String, bool)>,
    /// Changes of these kinds that its watches miss until they list anew.
    pub misses: BTreeSet<Kind>,
    pub(super) cache: Objects,
    /// How far each watch has told the changes.
    pub(super) told: BTreeMap<Kind, usize>,
    work: BTreeMap<String, Work>,
    next_look: BTreeMap<String, Timestamp>,
    pub(super) failures: Failures<String>,
    works: u64,
}

/// What is being done for a Rollout.
#[derive(Debug)]
struct Work {
    id: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Objects are read, kind after kind.
    Reads(Reading),
    /// Calls are made, one after the other.
    Calls {
        observed: Rc<Observed>,
        read_since: Timestamp,
        plan: Rc<Plan>,
        next: usize,
    },
}

#[derive(Debug)]
struct Reading {
    since: Timestamp,
    read: Objects,
    left: Vec<Kind>,
}

impl Controller {
    pub(super) fn new(leads: bool) -> Self {
        Self {
            alive: true,
            leads,
            ahead: SignedDuration::ZERO,
            dies_after: None,
            dies_at: None,
            misses: BTreeSet::new(),
            cache: Objects::new(),
            told: BTreeMap::new(),
            work: BTreeMap::new(),
            next_look: BTreeMap::new(),
            failures: Failures::default(),
            works: 0,
        }
    }

    /// An object that its caches do not have as it is.
    #[must_use]
    pub fn behind(&self, objects: &Objects) -> Option<String> {
        let differs = |key: &super::objects::Key, version: u64| {
            self.cache
                .get(key)
                .is_none_or(|cached| cached.meta.version != version)
        };
        let missing = objects.iter().find(|(key, o)| differs(key, o.meta.version));
        let gone = self.cache.keys().find(|key| !objects.contains_key(key));
        let missing = missing.map(|(key, _)| key).or(gone);
        missing.map(|(kind, name)| format!("{kind:?} {name}"))
    }
}

impl World {
    pub(super) fn controller(&mut self, at: usize) -> Option<&mut Controller> {
        self.controllers.get_mut(at)
    }

    fn clock(&self, at: usize) -> Timestamp {
        let ahead = self
            .controllers
            .get(at)
            .map_or(SignedDuration::ZERO, |c| c.ahead);
        self.now.checked_add(ahead).unwrap_or(self.now)
    }

    fn acts(&self, at: usize) -> bool {
        self.controllers
            .get(at)
            .is_some_and(|c| c.alive && (c.leads || self.weather.has(&Fault::TwoLeaders)))
    }

    /// The first controller dies after so many moments before and after its calls, again and again.
    pub fn crash_at(&mut self, crashes: &[u64]) {
        self.crashes = crashes.iter().copied().collect();
        let first = self.crashes.pop_front();
        if let Some(controller) = self.controller(0) {
            controller.dies_after = first;
        }
    }

    /// A controller's process ends, whatever it is at.
    pub fn kill(&mut self, at: usize, wait: SignedDuration, back: usize) {
        self.trace.say(self.now, || format!("controller {at} dies"));
        if let Some(controller) = self.controller(at) {
            let leads = controller.leads;
            *controller = Controller::new(leads);
            controller.alive = false;
        }
        self.after(wait, Event::Restart(at, back));
    }

    /// A look at a Rollout after `wait`, if none comes earlier.
    pub(super) fn look_after(&mut self, at: usize, rollout: &str, wait: SignedDuration) {
        let due = self.now.checked_add(wait).unwrap_or(Timestamp::MAX);
        let Some(controller) = self.controller(at) else {
            return;
        };
        if controller
            .next_look
            .get(rollout)
            .is_some_and(|next| *next <= due)
        {
            return;
        }
        controller.next_look.insert(rollout.to_owned(), due);
        self.at(due, Event::Look(at, rollout.to_owned()));
    }

    /// A controller looks at a Rollout as its caches have it.
    pub(super) fn look(&mut self, at: usize, rollout: &str) {
        let now = self.now;
        let acts = self.acts(at);
        let Some(controller) = self.controller(at) else {
            return;
        };
        // An earlier look has taken this one's place.
        if controller.next_look.get(rollout) != Some(&now) {
            return;
        }
        controller.next_look.remove(rollout);
        // Whoever works on it looks again at its end.
        if !acts || controller.work.contains_key(rollout) {
            return;
        }
        let clock = self.clock(at);
        let settings = self.settings;
        let Some(controller) = self.controllers.get(at) else {
            return;
        };
        let observed = observe(&controller.cache, rollout, settings, |_| Vec::new());
        let Some(mut observed) = observed else {
            return;
        };
        let refused = self.remember_refusal(at, rollout, &mut observed);
        let Some(plan) = self.decide(rollout, &observed, clock) else {
            self.look_after(at, rollout, self.until_next(RESYNC));
            return;
        };
        if plan.is_settled() && observed.rollout.status.restart_at.is_none() {
            self.succeed(at, rollout);
            self.look_at_wake(at, rollout, &plan, refused);
            return;
        }
        // What was refused is to be said; it is not tried again yet.
        if let (None, Some(wait)) = (refused, self.backing_off(at, rollout, &observed)) {
            self.look_after(at, rollout, wait);
            return;
        }
        self.begin(at, rollout);
    }

    /// Looks again when the plan says; while a refusal counts, when that is over.
    fn look_at_wake(
        &mut self,
        at: usize,
        rollout: &str,
        plan: &Plan,
        refused: Option<SignedDuration>,
    ) {
        if let Some(left) = refused {
            self.look_after(at, rollout, left);
            return;
        }
        let clock = self.clock(at);
        let resync = self.until_next(RESYNC);
        let wait = plan
            .wake_at
            .map_or(resync, |wake| wake.duration_since(clock));
        self.look_after(at, rollout, wait.clamp(WAKE_MIN, resync));
    }

    /// The shipped decision, twice: the same facts must give the same plan.
    fn decide(&mut self, rollout: &str, observed: &Observed, clock: Timestamp) -> Option<Plan> {
        self.counts.decisions += 1;
        let mutant = self.mutant;
        let decided = catch_unwind(AssertUnwindSafe(|| match mutant {
            Some(mutant) => decide(&mutant.sees(observed), clock),
            None => decide(observed, clock),
        }));
        let Ok(mut plan) = decided else {
            invariants::panicked(self, rollout);
            return None;
        };
        if let Some(mutant) = self.mutant {
            mutant.decides(observed, &mut plan, clock, self.counts.decisions);
        }
        invariants::decided(self, observed, clock, &plan);
        Some(plan)
    }

    /// Begins to read everything anew.
    fn begin(&mut self, at: usize, rollout: &str) {
        let mut kinds = KINDS.to_vec();
        // Reads run beside each other, so any of them may be the first.
        for i in (1..kinds.len()).rev() {
            let other = usize::try_from(self.random.below(i as u64 + 1)).unwrap_or(0);
            kinds.swap(i, other);
        }
        let since = self.now;
        let Some(controller) = self.controller(at) else {
            return;
        };
        controller.works += 1;
        let id = controller.works;
        let stage = Stage::Reads(Reading {
            since,
            read: Objects::new(),
            left: kinds,
        });
        self.go_on(at, rollout, id, stage);
    }

    fn go_on(&mut self, at: usize, rollout: &str, id: u64, stage: Stage) {
        if let Some(controller) = self.controller(at) {
            let work = Work { id, stage };
            controller.work.insert(rollout.to_owned(), work);
        }
        let wait = self.some_time(1, 25) + self.weather.slowness();
        self.after(wait, Event::Proceed(at, rollout.to_owned(), id));
    }

    /// The next read or call of a work.
    pub(super) fn proceed(&mut self, at: usize, rollout: &str, id: u64) {
        let acts = self.acts(at);
        let Some(controller) = self.controller(at) else {
            return;
        };
        if controller
            .work
            .get(rollout)
            .is_none_or(|work| work.id != id)
        {
            return;
        }
        let Some(work) = controller.work.remove(rollout) else {
            return;
        };
        if !acts {
            return;
        }
        match work.stage {
            Stage::Reads(reading) => self.read(at, rollout, id, reading),
            Stage::Calls {
                observed,
                read_since,
                plan,
                next,
            } => self.call(at, rollout, id, observed, read_since, plan, next),
        }
    }

    fn read(&mut self, at: usize, rollout: &str, id: u64, mut reading: Reading) {
        let share = self.weather.failing_calls();
        if share > 0 && self.random.below(1_000) < share {
            self.fail(at, rollout, Answer::Failed);
            return;
        }
        // Most of them come together.
        let together = 2 + usize::try_from(self.random.below(6)).unwrap_or(0);
        for _ in 0..together {
            if let Some(kind) = reading.left.pop() {
                self.counts.calls += 1;
                if self.ending(Verb::Read, Some(kind)).is_some() {
                    self.fail(at, rollout, Answer::Failed);
                    return;
                }
                let with = (kind == Kind::Rollout).then_some(Kind::Deployment);
                for kind in [kind].into_iter().chain(with) {
                    let all = self.store.list(kind);
                    let all = all.map(|o| ((kind, o.meta.name.clone()), Arc::clone(o)));
                    reading.read.extend(all);
                }
            }
        }
        if !reading.left.is_empty() {
            let stage = Stage::Reads(reading);
            self.go_on(at, rollout, id, stage);
            return;
        }
        let clock = self.clock(at);
        let observed = observe(&reading.read, rollout, self.settings, |rs| self.pods_of(rs));
        let Some(mut observed) = observed else {
            return;
        };
        let refused = self.remember_refusal(at, rollout, &mut observed);
        let Some(plan) = self.decide(rollout, &observed, clock) else {
            self.fail(at, rollout, Answer::Failed);
            return;
        };
        if plan.is_settled() {
            self.succeed(at, rollout);
            self.look_at_wake(at, rollout, &plan, refused);
            return;
        }
        let stage = Stage::Calls {
            observed: Rc::new(observed),
            read_since: reading.since,
            plan: Rc::new(plan),
            next: 0,
        };
        self.go_on(at, rollout, id, stage);
    }

    fn call(
        &mut self,
        at: usize,
        rollout: &str,
        id: u64,
        observed: Rc<Observed>,
        read_since: Timestamp,
        plan: Rc<Plan>,
        next: usize,
    ) {
        let afterwards = plan.afterwards.iter().map(Call::Write);
        let Some(call) = plan.calls().chain(afterwards).nth(next) else {
            self.tell(rollout, &plan.events);
            self.succeed(at, rollout);
            self.look_after(at, rollout, AFTER_WRITE);
            return;
        };
        let of_a_pod = matches!(call, Call::Write(Write::RelabelPod { .. }));
        let nothing_waits = next >= plan.calls().count();
        if self.dies_now(at) || self.dies_at(at, call, true) {
            return;
        }
        let answer = self.make(&observed, read_since, call);
        if self.dies_now(at) || self.dies_at(at, call, false) {
            return;
        }
        // A pod that is gone needs no role.
        let goes_on = match answer {
            Answer::Done => true,
            Answer::Conflict => of_a_pod,
            Answer::Failed | Answer::Held | Answer::Refused(_) => false,
        };
        if !goes_on && nothing_waits {
            self.succeed(at, rollout);
            self.look_after(at, rollout, WHILE_HELD);
            return;
        }
        if !goes_on {
            self.fail(at, rollout, answer);
            return;
        }
        let stage = Stage::Calls {
            observed,
            read_since,
            plan,
            next: next + 1,
        };
        self.go_on(at, rollout, id, stage);
    }

    /// Whether the process dies before or after this call.
    fn dies_now(&mut self, at: usize) -> bool {
        self.counts.crash_points += 1;
        let Some(controller) = self.controller(at) else {
            return false;
        };
        match &mut controller.dies_after {
            None => false,
            Some(0) => {
                let wait = self.some_time(500, 8_000);
                self.kill(at, wait, 0);
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Whether the process dies before, or after, a write that is so in words.
    fn dies_at(&mut self, at: usize, call: Call<'_>, before: bool) -> bool {
        let controller = self.controllers.get(at);
        let Some((text, moment)) = controller.and_then(|c| c.dies_at.as_ref()) else {
            return false;
        };
        let words = match call {
            Call::Write(write) => write.to_string(),
            Call::Status(_) => "status".to_owned(),
        };
        let words = match &self.journal {
            Some(journal) => journal.words(&words),
            None => words,
        };
        let dies = *moment == before && words.contains(text.as_str());
        if dies {
            let wait = self.some_time(500, 8_000);
            self.kill(at, wait, 0);
        }
        dies
    }
}
