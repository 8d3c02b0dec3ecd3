//! What `kubectl wait`, Helm, Flux and Argo CD make of a Rollout: the rules of kstatus for any resource,
//! read from the status alone, and held against the phase after every write.

use std::collections::BTreeMap;

use serde_json::json;

use super::world::World;
use super::{deployed, routed};
use crate::api::conditions::ConditionStatus;
use crate::api::rollout_status::{Phase, RolloutStatus};

/// What kstatus calls a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    InProgress,
    Failed,
    Current,
}

/// A generation that was not observed, then `Reconciling` and `Stalled`, then `Ready`.
fn read(status: &RolloutStatus, generation: i64) -> Is {
    let value = |type_: &str| {
        let found = status.conditions.iter().find(|c| c.type_ == type_);
        found.map(|condition| condition.status)
    };
    if status.observed_generation != Some(generation) {
        return Is::InProgress;
    }
    if value("Reconciling") == Some(ConditionStatus::True) {
        return Is::InProgress;
    }
    if value("Stalled") == Some(ConditionStatus::True) {
        return Is::Failed;
    }
    match value("Ready") {
        None | Some(ConditionStatus::True) => Is::Current,
        Some(ConditionStatus::False | ConditionStatus::Unknown) => Is::InProgress,
    }
}

fn wanted(phase: Phase) -> Is {
    match phase {
        Phase::Initializing | Phase::Progressing | Phase::Paused | Phase::Aborting => {
            Is::InProgress
        }
        Phase::Aborted | Phase::Rejected | Phase::Degraded | Phase::Invalid => Is::Failed,
        Phase::Healthy => Is::Current,
    }
}

impl World {
    /// The conditions say to programs what the phase says to people. What is being deleted is
    /// `Terminating`, whatever they say.
    pub fn check_conditions(&self) {
        let (Some(phase), None) = (self.status.phase, self.deleted_at) else {
            return;
        };
        let observed = self.status.observed_generation.unwrap_or_default();
        assert_eq!(
            read(&self.status, observed),
            wanted(phase),
            "{phase}: {:#?}\n{}",
            self.status.conditions,
            self.tail()
        );
        // Never two of them at once: readers take the one that they come to first.
        let all = ["Ready", "Reconciling", "Stalled"];
        let holding = self.status.conditions.iter().filter(|condition| {
            condition.status == ConditionStatus::True && all.contains(&condition.type_.as_str())
        });
        assert_eq!(holding.count(), 1, "{phase}: {:#?}", self.status.conditions);
    }
}

/// Every phase that it comes to meanwhile.
fn watch(world: &mut World, seconds: i64, seen: &mut BTreeMap<String, Is>) {
    for _ in 0..seconds {
        world.reconcile();
        if let Some(phase) = world.status.phase
            && world.status.observed_generation == Some(world.generation)
        {
            seen.insert(phase.to_string(), read(&world.status, world.generation));
        }
        world.tick();
    }
}

#[test]
fn a_rollout_is_current_only_when_it_is_healthy() {
    let mut seen = BTreeMap::new();
    let mut world = World::new(routed(json!([{"setWeight": 20}, {"pause": {}}])));
    watch(&mut world, 20, &mut seen);
    world.set_image("r/a:v2");
    watch(&mut world, 40, &mut seen);
    world.command("abort");
    watch(&mut world, 60, &mut seen);
    let mut short = deployed(json!([{"setWeight": 50}]));
    short.short_of("r/a:v1", 1);
    watch(&mut short, 640, &mut seen);
    for (phase, is) in [
        ("Initializing", Is::InProgress),
        ("Progressing", Is::InProgress),
        ("Paused", Is::InProgress),
        ("Aborting", Is::InProgress),
        ("Aborted", Is::Failed),
        ("Degraded", Is::Failed),
        ("Healthy", Is::Current),
    ] {
        assert_eq!(seen.get(phase), Some(&is), "{phase}: {seen:?}");
    }
}

#[test]
fn a_spec_that_was_not_observed_is_in_progress() {
    let mut world = deployed(json!([{"setWeight": 50}]));
    assert_eq!(read(&world.status, world.generation), Is::Current);
    world.generation += 1;
    assert_eq!(read(&world.status, world.generation), Is::InProgress);
}
