//! Plays a history from its beginning to the moment when nothing moves any more, and says what became
//! of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::happen::{happen, keys};
use super::history::History;
use super::invariants::{self, Break};
use super::mutants::Mutant;
use super::world::objects::{Body, Kind};
use super::world::{Event, Judgement, Readiness, Weather, World};

/// How long everything has to end once the faults are over: longer than the longest deadline, delay
/// and backoff that a history has, one after the other.
pub(super) const TIME_TO_END: SignedDuration = SignedDuration::from_mins(45);
/// How long nothing must be written then.
pub(super) const REST: SignedDuration = SignedDuration::from_hours(24);
/// Events of one history; one that has more goes round in a circle.
pub(super) const EVENTS_MAX: u64 = 300_000;

/// What became of a history.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Objects written by Tidegate.
    pub writes: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Stands for all that happened.
    pub hash: u64,
    /// The invariant that broke.
    pub broken: Option<Break>,
    /// What happened, in words, if that was wanted.
    pub trace: Vec<String>,
}

/// Plays a history.
#[must_use]
pub fn play(history: &History, mutant: Option<Mutant>, traced: bool) -> Outcome {
    let world = to_the_end(history, mutant, traced, &[]);
    Outcome {
        seed: history.seed,
        faults: history.faults(),
        writes: world.counts.writes,
        decisions: world.counts.decisions,
        hash: world.trace.hash(),
        broken: world.broken.clone(),
        trace: world.trace.lines().to_vec(),
    }
}

/// The world when a history has been played to its end. The first controller dies when it has come
/// past so many moments before and after its calls, `crashes` after each other, each counted from the
/// restart after the one before.
#[must_use]
pub(super) fn to_the_end(
    history: &History,
    mutant: Option<Mutant>,
    traced: bool,
    crashes: &[u64],
) -> World {
    let mut world = World::new(history.seed, history.instances, traced);
    world.mutant = mutant;
    world.crash_at(crashes);
    world.git.applied = history.gitops;
    world.behaviours.extend(history.behaviours.iter().cloned());
    templates(&mut world);
    world.add_rollout("web", history.spec.clone());
    if let Some(other) = &history.other {
        // It names the same Services, so one of the two is told.
        world.add_rollout("other", other.clone());
    }
    let begin = world.now;
    for (at, (after, _)) in history.happenings.iter().enumerate() {
        world.after(*after, Event::History(at));
    }
    let last = history
        .happenings
        .last()
        .map_or(SignedDuration::ZERO, |(after, _)| *after);
    let over = later(begin, last + SignedDuration::from_mins(2));
    run(&mut world, history, over);
    if world.broken.is_none() {
        if crashes.is_empty() {
            everything_is_well(&mut world);
        }
        let end = later(world.now, TIME_TO_END);
        run(&mut world, history, end);
    }
    if world.broken.is_none() {
        invariants::at_end(&mut world);
    }
    if world.broken.is_none() {
        rests(&mut world, history);
    }
    world
}

pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn run(world: &mut World, history: &History, until: Timestamp) {
    while world.broken.is_none() {
        let Some(event) = world.step(until) else {
            return;
        };
        if let Event::History(at) = event
            && let Some((_, what)) = history.happenings.get(at)
        {
            happen(world, "web", what);
            world.changed();
        }
        if world.counts.events > EVENTS_MAX {
            world.break_off(Break {
                invariant: "I20",
                message: format!("{EVENTS_MAX} events and no end"),
            });
        }
    }
}

/// Nothing is written for a day.
fn rests(world: &mut World, history: &History) {
    let before = world.counts.writes;
    let from = world.counts.events;
    let end = later(world.now, REST);
    world.rest();
    world.counts.events = 0;
    run(world, history, end);
    world.counts.events += from;
    let written = world.counts.writes - before;
    if written > 0 && world.broken.is_none() {
        world.break_off(Break {
            invariant: "I12",
            message: format!("{written} writes in a day of rest"),
        });
    }
}

/// What analyses refer to.
pub(super) fn templates(world: &mut World) {
    let errors = json!({"metrics": [{"name": "errors", "ratio": {
        "bad": "http_requests_total{code=~\"5..\",$(arm)}", "total": "http_requests_total{$(arm)}"}}],
        "promote": {"minBake": "0s", "maxDuration": "10m"}});
    let level = json!({"metrics": [{"name": "level",
        "threshold": {"query": "max(lag_seconds)", "success": "result < 5.0"}}],
        "promote": {"maxDuration": "10m"}});
    for (name, template) in [("errors", errors), ("level", level)] {
        let body = Body::Template(serde_json::from_value(template).ok());
        let _ = world
            .store
            .create(Kind::Template, name, None, body, world.now);
    }
}

/// Whatever was wrong is mended, but what versions are.
pub(super) fn everything_is_well(world: &mut World) {
    world
        .trace
        .say(world.now, || "the faults are over".to_owned());
    world.weather = Weather::default();
    world.autoscalers.retain(|_, scaler| !scaler.erratic);
    let services: Vec<String> = keys(world, Kind::Service);
    for name in services {
        let _ = world
            .store
            .update(Kind::Service, &name, None, true, |stored| {
                if let Some(service) = stored.service_mut() {
                    service.problem = None;
                }
            });
    }
    for name in keys(world, Kind::Route) {
        let _ = world
            .store
            .update(Kind::Route, &name, None, false, |stored| {
                if let Some(route) = stored.route_mut() {
                    route.problem = None;
                }
            });
    }
    for behaviour in world.behaviours.values_mut() {
        if matches!(behaviour.readiness, Readiness::Crashes(_)) {
            behaviour.readiness = Readiness::Gets;
        }
        if behaviour.judgement == Judgement::Errors {
            behaviour.judgement = Judgement::Good;
        }
    }
    world.mend_pods();
    for at in 0..world.controllers.len() {
        if let Some(controller) = world.controllers.get_mut(at) {
            controller.ahead = SignedDuration::ZERO;
            controller.dies_after = None;
            controller.dies_at = None;
        }
        world.relist(at);
    }
    world.changed();
}
