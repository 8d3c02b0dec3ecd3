//! How many pods the versions have beside each other: never fewer than their traffic needs.

use serde_json::{Value, json};

use super::world::World;
use super::{Act, routed};
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::Phase;
use crate::core::decide::decide;
use crate::core::plan::Write;
use crate::core::spec::Problem;
use crate::core::traffic::pods_for;

fn rollout(steps: Value, more: Value) -> World {
    let mut strategy = routed(steps);
    for (field, value) in more.as_object().unwrap() {
        strategy["canary"][field] = value.clone();
    }
    let mut world = World::new(strategy);
    world.set_replicas(10);
    world.run(10);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

/// Runs, and holds at every second that both versions can carry what they have.
fn run(world: &mut World, seconds: i64) {
    for _ in 0..seconds {
        world.run(1);
        let needs = |image: &str, share: i32| {
            let (found, needed) = (world.available(image), pods_for(share, 10));
            assert!(
                found >= needed,
                "{found} of {needed} pods of {image} for {share} %\n{}",
                world.tail()
            );
        };
        needs("r/a:v1", 100 - world.weight);
        needs("r/a:v2", world.weight);
    }
}

#[test]
fn stable_gives_its_pods_up_after_its_traffic() {
    let steps = json!([{"setWeight": 30}, {"pause": {}}, {"setWeight": 80}, {"pause": {}}]);
    let mut world = rollout(steps, json!({"dynamicStableScale": true}));
    world.set_image("r/a:v2");
    run(&mut world, 30);
    assert_eq!(
        (world.available("r/a:v1"), world.available("r/a:v2")),
        (7, 3)
    );
    world.command("promote");
    run(&mut world, 30);
    assert_eq!(
        (world.available("r/a:v1"), world.available("r/a:v2")),
        (2, 8)
    );
    world.command("promote");
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    assert_eq!(
        (world.available("r/a:v1"), world.available("r/a:v2")),
        (0, 10)
    );
}

/// Every way back waits for stable's pods, and takes what it can have meanwhile.
#[test]
fn the_traffic_goes_back_as_stable_gets_its_pods_back() {
    let steps = || json!([{"setWeight": 80}, {"pause": {}}]);
    let ways: [(&str, Act); 3] = [
        ("aborted", |world| world.command("abort")),
        ("back to stable", |world| world.set_image("r/a:v1")),
        ("deleted", |world| world.delete()),
    ];
    for (name, back) in ways {
        let mut world = rollout(steps(), json!({"dynamicStableScale": true}));
        world.set_image("r/a:v2");
        run(&mut world, 30);
        assert_eq!((world.weight, world.available("r/a:v1")), (80, 2), "{name}");
        back(&mut world);
        run(&mut world, 60);
        assert_eq!(
            (world.weight, world.available("r/a:v1")),
            (0, 10),
            "{name}\n{}",
            world.tail()
        );
    }
}

#[test]
fn stable_that_does_not_come_back_keeps_what_it_can_carry() {
    let mut world = rollout(
        json!([{"setWeight": 80}, {"pause": {}}]),
        json!({"dynamicStableScale": true}),
    );
    world.set_image("r/a:v2");
    world.run(30);
    world.short_of("r/a:v1", 5);
    world.command("abort");
    world.run(200);
    assert_eq!(world.weight, 50, "half of it has pods\n{}", world.tail());
    world.run(500);
    assert_eq!(
        world.weight,
        0,
        "a bad version is not kept for ever\n{}",
        world.tail()
    );
}

#[test]
fn an_aborted_version_stays_to_be_looked_at_until_the_next() {
    let steps = json!([{"setWeight": 30}, {"analysis": {"templates": [{"name": "errors"}]}}]);
    let mut world = rollout(steps, json!({"keepOnAbort": true}));
    world.set_image("r/a:v2");
    world.run(20);
    world.verdict(RunPhase::Failed);
    world.run(300);
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
    assert_eq!((world.weight, world.available("r/a:v2")), (0, 3));
    world.set_image("r/a:v3");
    world.run(20);
    assert_eq!(world.available("r/a:v2"), 0, "{}", world.tail());
    world.verdict(RunPhase::Failed);
    world.run(20);
    world.set_image("r/a:v1");
    world.run(60);
    assert_eq!(
        (world.phase(), world.available("r/a:v3")),
        (Phase::Healthy, 0)
    );
}

#[test]
fn a_new_version_keeps_off_the_nodes_of_the_stable_one() {
    let apart =
        json!({"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 3}}});
    let mut world = rollout(json!([{"setWeight": 30}, {"pause": {}}]), apart);
    let rule = |world: &World, image: &str| {
        let set = world
            .rs
            .values()
            .find(|rs| rs.template["spec"]["containers"][0]["image"] == image);
        let rules =
            "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution";
        set.unwrap().template.pointer(rules).cloned()
    };
    assert_eq!(rule(&world, "r/a:v1"), None, "there is nothing to keep off");
    let stable = world.status.stable.clone().unwrap().hash;
    world.set_image("r/a:v2");
    world.run(20);
    let found = rule(&world, "r/a:v2").unwrap();
    let labels = &found[0]["podAffinityTerm"]["labelSelector"]["matchLabels"];
    assert_eq!(found[0]["weight"], 3);
    assert_eq!(labels["rollouts-pod-template-hash"], stable);
    // It is no part of the version: nothing starts anew when it is stable.
    world.command("promote");
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    assert_eq!(world.rs.len(), 2);
}

/// Past a weight that is not written yet to a step with fewer pods: they stay for the weight that comes.
#[test]
fn pods_stay_for_a_weight_of_the_same_plan() {
    let steps = json!([{"setWeight": 50}, {"setCanaryScale": {"replicas": 1}}, {"pause": {}}]);
    let mut world = rollout(steps, json!({}));
    world.set_image("r/a:v2");
    for _ in 0..60 {
        if world.available("r/a:v2") > 0 {
            break;
        }
        world.run(1);
    }
    assert_eq!(world.weight, 0, "{}", world.tail());
    let before = world.available("r/a:v2");
    assert!(before > 1, "{}", world.tail());
    world.command("promote");
    world.run(60);
    assert_eq!(world.weight, 50, "{}", world.tail());
    assert_eq!(world.available("r/a:v2"), before, "{}", world.tail());
}

/// What is kept to be looked at is not kept from a Rollout's end.
#[test]
fn a_deletion_does_not_wait_for_what_is_kept() {
    for aborted in [false, true] {
        let steps = json!([{"setWeight": 50}, {"pause": {}}]);
        let mut world = rollout(steps, json!({"keepOnAbort": true}));
        world.set_image("r/a:v2");
        world.run(60);
        if aborted {
            world.command("abort");
            world.run(60);
        }
        world.delete();
        world.run(120);
        assert!(world.gone, "aborted: {aborted}\n{}", world.tail());
        let left: Vec<_> = world
            .services
            .values()
            .filter_map(|s| s.hash.clone())
            .collect();
        assert!(left.is_empty(), "aborted: {aborted}\n{}", world.tail());
    }
}

/// What the status still calls stable is not deleted in the plan that calls another one so: whoever comes
/// between the two could not go back.
#[test]
fn what_was_stable_is_kept_until_the_status_says_otherwise() {
    let mut world = World::new(super::by_pods(json!([])));
    world.spec["revisionHistoryLimit"] = json!(0);
    world.run(10);
    world.set_image("r/a:v2");
    let old = world.hash_of("r/a:v1");
    for _ in 0..600 {
        let plan = decide(&world.observe(), world.now);
        let named = world.status.stable.as_ref().is_some_and(|s| s.hash == old);
        let deletes = |write: &Write| matches!(write, Write::DeleteReplicaSet { name, .. } if name.ends_with(&old));
        assert!(
            !(named && plan.writes.iter().any(deletes)),
            "{}",
            world.tail()
        );
        if world.reconcile().is_settled() {
            world.tick();
        }
    }
    assert!(!world.rs.contains_key(&old), "{}", world.tail());
}

/// A route that cannot be read for a while, a person who holds the rollout and a user who wants more
/// pods than there is room for: what was authorised stays, and stable gets what it can carry.
#[test]
fn a_held_version_keeps_its_weight_while_its_route_cannot_be_read() {
    let mut world = rollout(json!([{"setWeight": 40}, {"pause": {}}]), json!({}));
    world.set_image("r/a:v2");
    run(&mut world, 30);
    assert_eq!(world.weight, 40, "{}", world.tail());
    world.route_problem = Some(Problem::new(
        "spec.strategy.canary.trafficRouting",
        "no rule has both Services",
        "a rule with both",
    ));
    world.run(10);
    world.command("pause");
    world.run(10);
    let desired = |world: &World| world.status.traffic.as_ref().map(|t| t.desired);
    assert_eq!(desired(&world), Some(40), "{}", world.tail());
    world.route_problem = None;
    world.run(30);
    assert_eq!(
        (world.weight, desired(&world)),
        (40, Some(40)),
        "{}",
        world.tail()
    );
}

/// Steps that are edited while they are walked: no clock sends users to pods that are not there.
#[test]
fn a_weight_that_falls_waits_for_stable_as_long_as_it_takes() {
    let steps = |weight: i32| json!([{"setWeight": weight}, {"pause": {}}]);
    let mut world = rollout(steps(80), json!({"dynamicStableScale": true}));
    world.set_image("r/a:v2");
    world.run(30);
    world.short_of("r/a:v1", 5);
    world.spec["progressDeadlineAction"] = json!("Report");
    world.spec["strategy"]["canary"]["steps"] = steps(10);
    world.generation += 1;
    world.run(1_500);
    assert_eq!(world.weight, 50, "half of it has pods\n{}", world.tail());
    world.few.clear();
    world.run(60);
    assert_eq!(world.weight, 10, "{}", world.tail());
}
