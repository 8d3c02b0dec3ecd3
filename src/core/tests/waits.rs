//! What is waited for, and which of that time counts as time without progress.

use serde_json::json;

use super::routed;
use super::world::World;
use crate::api::analysis_status::Verdict;
use crate::api::rollout_status::{PauseReason, Phase};

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
