//! Plays a scenario: the world goes on event by event, what is due happens, and after each event every
//! expectation has a look.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::act::Due;
use super::expected::{Form, When, hold, own_beginning};
use super::sight::Sight;
use super::{Outcome, Scenario, Unmet};
use crate::sim::happen::happen;
use crate::sim::invariants::{self, Break};
use crate::sim::mutants::Mutant;
use crate::sim::play::{EVENTS_MAX, REST, TIME_TO_END, everything_is_well, later};
use crate::sim::world::{Event, World};

/// Plays a scenario under a seed of chance.
#[must_use]
pub fn play(scenario: &Scenario, seed: u64, mutant: Option<Mutant>, traced: bool) -> Outcome {
    let mut world = scenario.beginning.stage(seed, traced);
    world.mutant = mutant;
    let mut playing = Playing {
        begin: world.now,
        world,
        scenario,
        acts: vec![ActState::default(); scenario.acts.len()],
        moments: BTreeMap::new(),
        looks: vec![Look::default(); scenario.expectations.len()],
        unmet: BTreeMap::new(),
        mended: false,
    };
    playing.schedule();
    playing.run(later(playing.begin, scenario.lasts));
    playing.finish();
    let world = playing.world;
    Outcome {
        seed,
        hash: world.trace.hash(),
        writes: world.counts.writes,
        decisions: world.counts.decisions,
        broken: world.broken.clone(),
        unmet: playing.unmet.into_values().collect(),
        trace: world.trace.lines().to_vec(),
    }
}

/// What became of an entry of the timeline.
#[derive(Clone, Debug, Default)]
struct ActState {
    /// What it waits for has come true.
    due: bool,
    /// So often it has happened.
    happened: u32,
}

/// What an expectation has seen.
#[derive(Clone, Debug, Default)]
struct Look {
    /// It counts.
    began: bool,
    /// It was looked at while it counted, or what it is about was so.
    looked: bool,
    /// It has nothing more to see.
    over: bool,
    /// When it has to be met.
    due: Option<Timestamp>,
}

struct Playing<'s> {
    scenario: &'s Scenario,
    world: World,
    begin: Timestamp,
    acts: Vec<ActState>,
    moments: BTreeMap<String, Timestamp>,
    looks: Vec<Look>,
    unmet: BTreeMap<usize, Unmet>,
    mended: bool,
}

impl Playing<'_> {
    /// What has a time of its own gets its place in the queue.
    fn schedule(&mut self) {
        let scenario = self.scenario;
        for (i, act) in scenario.acts.iter().enumerate() {
            if let Due::At(at) = act.due {
                self.world.after(at, Event::History(i));
            }
        }
        for expected in &scenario.expectations {
            if let Form::At(at, _) = expected.form {
                self.world.after(at, self.look_later());
            }
        }
    }

    /// An event at which there is nothing to do but to look.
    fn look_later(&self) -> Event {
        Event::History(self.scenario.acts.len())
    }

    fn run(&mut self, until: Timestamp) {
        let scenario = self.scenario;
        let most = EVENTS_MAX * scenario.beginning.rollouts.len() as u64;
        while self.world.broken.is_none() {
            let Some(event) = self.world.step(until) else {
                return;
            };
            if let Event::History(i) = event
                && i < scenario.acts.len()
            {
                self.act(i);
            }
            self.look();
            if self.world.counts.events > most {
                self.world.break_off(Break {
                    invariant: "I20",
                    message: format!("{most} events and no end"),
                });
            }
        }
    }

    /// An entry of the timeline happens.
    fn act(&mut self, i: usize) {
        let scenario = self.scenario;
        let (Some(act), Some(state)) = (scenario.acts.get(i), self.acts.get_mut(i)) else {
            return;
        };
        state.due = true;
        state.happened += 1;
        if let Some((every, times)) = act.repeat
            && state.happened < times
        {
            self.world.after(every, Event::History(i));
        }
        if let Some(name) = &act.name {
            let now = self.world.now;
            self.moments.entry(name.clone()).or_insert(now);
        }
        for (rollout, what) in &act.happenings {
            happen(&mut self.world, rollout, what);
            self.world.changed();
        }
    }

    /// Entries that wait for something, then expectations.
    fn look(&mut self) {
        for i in 0..self.acts.len() {
            self.wait_for(i);
        }
        for i in 0..self.looks.len() {
            self.expect(i);
        }
        if let Some(journal) = &mut self.world.journal {
            journal.forget_fresh();
        }
    }

    fn wait_for(&mut self, i: usize) {
        let scenario = self.scenario;
        let (Some(act), Some(state)) = (scenario.acts.get(i), self.acts.get(i)) else {
            return;
        };
        let Due::When(facts, after) = &act.due else {
            return;
        };
        if state.due || self.mended || !self.is_so(facts) {
            return;
        }
        if let Some(state) = self.acts.get_mut(i) {
            state.due = true;
        }
        match after.is_zero() {
            true => self.act(i),
            false => self.world.after(*after, Event::History(i)),
        }
    }

    fn holds(&self, facts: &super::facts::Facts) -> Result<(), String> {
        hold(facts, &Sight(&self.world), &self.scenario.beginning)
    }

    fn is_so(&self, facts: &super::facts::Facts) -> bool {
        self.holds(facts).is_ok()
    }

    /// Whether a moment has come; for an entry and a time also later than that.
    fn has_come(&self, when: &When) -> bool {
        match when {
            When::At(at) => self.world.now >= later(self.begin, *at),
            When::Entry(name) => self.moments.contains_key(name),
            When::First(facts) => self.is_so(facts),
        }
    }

    /// An expectation looks at what is now.
    fn expect(&mut self, i: usize) {
        let scenario = self.scenario;
        let (Some(expected), Some(look)) = (scenario.expectations.get(i), self.looks.get(i)) else {
            return;
        };
        if look.over {
            return;
        }
        match &expected.form {
            Form::AtTheEnd(_) => {}
            Form::At(at, that) => {
                if self.world.now >= later(self.begin, *at) {
                    self.close(i, self.holds(that));
                }
            }
            Form::Within(span, of, that) => self.by_the_moment(i, *span, of, that, true),
            Form::After(span, of, that) => self.by_the_moment(i, *span, of, that, false),
            form => self.all_the_time(i, form),
        }
    }

    /// What has to be so at the latest, or exactly, so long after a moment.
    fn by_the_moment(
        &mut self,
        i: usize,
        span: SignedDuration,
        of: &When,
        that: &super::facts::Facts,
        at_the_latest: bool,
    ) {
        let known = self.looks.get(i).and_then(|look| look.due);
        let due = match known {
            Some(due) => due,
            None if !self.has_come(of) => return,
            None => {
                let since = match of {
                    When::Entry(name) => self.moments.get(name).copied(),
                    _ => None,
                };
                let due = later(since.unwrap_or(self.world.now), span);
                self.world.at(due, self.look_later());
                if let Some(look) = self.looks.get_mut(i) {
                    look.due = Some(due);
                }
                due
            }
        };
        let seen = self.holds(that);
        let over = self.world.now >= due;
        if over || (at_the_latest && seen.is_ok()) {
            self.close(i, seen);
        }
    }

    /// What has to be so from one moment to another.
    fn all_the_time(&mut self, i: usize, form: &Form) {
        let scenario = self.scenario;
        let Some(expected) = scenario.expectations.get(i) else {
            return;
        };
        let began = self.looks.get(i).is_some_and(|look| look.began);
        if !began {
            let from = expected.from.clone().or_else(|| own_beginning(form));
            if from.is_some_and(|from| !self.has_come(&from)) {
                return;
            }
            if let Some(look) = self.looks.get_mut(i) {
                look.began = true;
            }
        }
        let until = expected.until.as_ref();
        if self.mended || until.is_some_and(|until| self.has_come(until)) {
            if let Some(look) = self.looks.get_mut(i) {
                look.over = true;
            }
            return;
        }
        let wrote = self
            .world
            .journal
            .as_ref()
            .is_some_and(|journal| !journal.fresh().is_empty());
        let (concerned, seen) = match form {
            Form::Always(facts) => (true, self.holds(facts)),
            Form::Never(facts) => match self.is_so(facts) {
                true => (true, Err("it was so".to_owned())),
                false => (true, Ok(())),
            },
            Form::Whenever(when, that) => match self.is_so(when) {
                true => (true, self.holds(that)),
                false => (false, Ok(())),
            },
            Form::EveryWrite(facts) if wrote => (true, self.holds(facts)),
            _ => (false, Ok(())),
        };
        if let Some(look) = self.looks.get_mut(i) {
            look.looked |= concerned;
        }
        if seen.is_err() {
            self.close(i, seen);
        }
    }

    /// An expectation has seen enough.
    fn close(&mut self, i: usize, seen: Result<(), String>) {
        if let Some(look) = self.looks.get_mut(i) {
            look.over = true;
            look.looked = true;
        }
        if let Err(seen) = seen {
            self.not_met(i, seen);
        }
    }

    fn not_met(&mut self, i: usize, seen: String) {
        let scenario = self.scenario;
        let Some(expected) = scenario.expectations.get(i) else {
            return;
        };
        let unmet = Unmet {
            line: expected.line,
            expected: expected.form.words(),
            seen,
            at: self.world.now.duration_since(self.begin),
            because: expected.because.clone(),
        };
        let words = unmet.to_string();
        let now = self.world.now;
        self.world.trace.say(now, || format!("NOT MET {words}"));
        self.unmet.entry(i).or_insert(unmet);
    }

    /// Everything is mended, has time to end, and rests.
    fn finish(&mut self) {
        if self.world.broken.is_none() {
            self.mended = true;
            everything_is_well(&mut self.world);
            let time = TIME_TO_END + self.scenario.ahead();
            self.run(later(self.world.now, time));
        }
        if self.world.broken.is_none() {
            invariants::at_end(&mut self.world);
        }
        self.conclude();
        if self.world.broken.is_none() {
            let before = self.world.counts.writes;
            self.run(later(self.world.now, REST));
            let written = self.world.counts.writes - before;
            if written > 0 && self.world.broken.is_none() {
                self.world.break_off(Break {
                    invariant: "I12",
                    message: format!("{written} writes in a day of rest"),
                });
            }
        }
    }

    /// What is expected of the end, and what never came to be looked at.
    fn conclude(&mut self) {
        let scenario = self.scenario;
        let broken = self.world.broken.is_some();
        for i in 0..self.looks.len() {
            let (Some(expected), Some(look)) = (scenario.expectations.get(i), self.looks.get(i))
            else {
                continue;
            };
            if let Form::AtTheEnd(facts) = &expected.form {
                if !broken {
                    self.close(i, self.holds(facts));
                }
                continue;
            }
            if !look.looked && !broken {
                self.not_met(i, "it never came to that".to_owned());
            }
        }
        for (i, act) in scenario.acts.iter().enumerate() {
            let never = self.acts.get(i).is_some_and(|state| state.happened == 0);
            if let (Due::When(facts, _), true, false) = (&act.due, never, broken) {
                let unmet = Unmet {
                    line: act.line,
                    expected: format!("when {}", facts.words()),
                    seen: "it never came to that, so nothing happened".to_owned(),
                    at: self.world.now.duration_since(self.begin),
                    because: None,
                };
                self.unmet.insert(self.looks.len() + i, unmet);
            }
        }
    }
}
