//! What is waited for, and which of that time counts as time without progress.

use serde_json::json;

use super::routed;
use super::world::World;
use crate::api::analysis_status::Verdict;
use crate::api::rollout_status::{PauseReason, Phase};
use crate::core::observed::Refusal;

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
