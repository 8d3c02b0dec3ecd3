//! What is waited for, and which of that time counts as time without progress.

use serde_json::json;

use super::world::World;
use super::{deployed, routed};
use crate::api::analysis_status::Verdict;
use crate::api::conditions::ConditionStatus;
use crate::api::rollout_status::{PauseReason, Phase};
use crate::core::decide::decide;
use crate::core::observed::Refusal;
use crate::core::spec::Problem;

/// A canary whose background analysis is to say something before all of the traffic goes over.
fn watched(steps: serde_json::Value) -> World {
    let mut strategy = routed(steps);
    strategy["canary"]["analysis"] = json!({"templates": [{"name": "level"}]});
    let mut world = World::new(strategy);
    world.run(10);
    world
}

/// Hours of evidence, then a weight that somebody else writes: what comes of that has its own time.
#[test]
fn waiting_for_evidence_is_no_lack_of_progress() {
    let mut world = watched(json!([{"setWeight": 50}]));
    world.set_image("r/a:v2");
    world.run(30);
    world.background(Verdict::Inconclusive);
    world.run(10);
    assert_eq!(world.weight, 50, "{}", world.tail());
    for reset in [0, 70] {
        world.run(3_000);
        world.weight = reset;
        world.run(20);
        let is = (world.weight, world.status.abort.is_some());
        assert_eq!(is, (50, false), "{}", world.tail());
    }
    world.background(Verdict::Pass);
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
}

/// Steps that nobody could look at would all go by, and the first pods would get what the last one says.
#[test]
fn without_pods_a_rollout_waits_where_evidence_is_asked_for() {
    let mut world = watched(json!([{"setWeight": 20}, {"setWeight": 60}]));
    world.set_replicas(0);
    world.run(30);
    world.set_image("r/a:v2");
    world.run(60);
    let step = |world: &World| world.status.canary.as_ref().map(|c| c.step);
    let pause = world.status.pause.as_ref().map(|pause| pause.reason);
    assert_eq!(
        (step(&world), pause, world.phase()),
        (Some(0), Some(PauseReason::NoData), Phase::Paused),
        "{}",
        world.tail()
    );
    // While its first pods come up nobody is served.
    world.users_own_pods_died = true;
    world.set_replicas(4);
    world.run(60);
    world.background(Verdict::Pass);
    assert_eq!(
        (step(&world), world.weight),
        (Some(2), 60),
        "{}",
        world.tail()
    );
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
}

/// What only the API server can judge is asked for once, said, and asked for again when that was a while ago.
#[test]
fn a_version_that_is_refused_is_said_and_not_asked_for() {
    let mut world = World::new(routed(json!([{"setWeight": 20}, {"pause": {}}])));
    world.run(10);
    world.set_image("r/a:v2");
    let refusal = Refusal {
        replica_set: format!("web-{}", world.hash_of("r/a:v2")),
        why: "spec.template.spec.containers[0].resources: asdf".into(),
    };
    world.refused = Some(refusal.clone());
    world.run(1_000);
    assert_eq!(world.phase(), Phase::Invalid, "{}", world.tail());
    assert_eq!(
        world.status.message,
        format!(
            "spec.template: the API server refuses ReplicaSet {}: {}: what it takes: mend the template, \
             or what refuses it; it is tried again by itself",
            refusal.replica_set, refusal.why
        )
    );
    assert_eq!((world.rs.len(), world.weight), (1, 0), "{}", world.tail());
    assert!(world.status.abort.is_none() && world.events.contains(&"Blocked"));
    // Another version is no concern of it.
    world.set_image("r/a:v3");
    world.run(30);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Paused, 20),
        "{}",
        world.tail()
    );
    // Nor is the same once it was taken.
    world.refused = None;
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Paused, 20),
        "{}",
        world.tail()
    );
}

/// Nothing is lost by a spec that cannot be read, and nobody is told of a pause that it does not have.
#[test]
fn a_pause_is_not_said_of_a_spec_that_cannot_be_read_and_ends_in_its_time() {
    let mut world = deployed(json!([
        {"setWeight": 25}, {"pause": {"duration": "60s"}}, {"setWeight": 50}, {"pause": {}},
    ]));
    world.set_image("r/a:v2");
    world.run(30);
    let paused = (world.phase(), world.status.pause.is_some());
    assert_eq!(paused, (Phase::Paused, true), "{}", world.tail());
    let mut unread = world.observe();
    let allowed = "exactly one of canary and blueGreen";
    unread.rollout.spec = Err(vec![Problem::new("spec.strategy", "both", allowed)]);
    let status = decide(&unread, world.now).status.unwrap();
    assert_eq!((status.phase, &status.pause), (Some(Phase::Invalid), &None));
    let condition = status.conditions.iter().find(|c| c.type_ == "Paused");
    assert_eq!(condition.unwrap().status, ConditionStatus::False);
    assert_eq!(status.canary, world.status.canary);
    world.status = status;
    for _ in 0..60 {
        world.tick();
    }
    world.run(20);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Paused, 50),
        "{}",
        world.tail()
    );
}
