//! Commands: acted on once, refused with a reason when their moment has gone by.

use serde_json::json;

use super::routed;
use super::world::World;
use crate::api::rollout_status::Phase;
use crate::core::observed::PodObserved;

fn paused() -> World {
    let mut world = World::new(routed(
        json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]),
    ));
    world.run(10);
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!((world.phase(), world.weight), (Phase::Paused, 25));
    world
}

fn result(world: &World) -> String {
    world.status.last_handled_command.clone().unwrap().result
}

#[test]
fn each_command_is_acted_on_once() {
    let mut world = paused();
    world.command("promote");
    world.run(30);
    assert_eq!((world.weight, result(&world).as_str()), (50, "Accepted"));
    world.run(100);
    assert_eq!(
        world.weight, 50,
        "the annotation still stands and is not acted on again"
    );
    // Another command after it does not revive it.
    world.command("pause");
    world.run(5);
    assert_eq!(world.status.canary.as_ref().unwrap().step, 3);
}

#[test]
fn a_command_for_another_moment_is_refused_with_the_reason() {
    for (value, words) in [
        (
            "1/0 2026-01-01T00:00:00Z anna",
            "meant for revision 1; this is revision 2",
        ),
        (
            "2/0 2026-01-01T00:00:00Z anna",
            "meant for step 0; the rollout is at step 1 of 4",
        ),
        ("now", "does not say what it is meant for"),
        ("x/y z", "is not <revision>/<step>"),
    ] {
        let mut world = paused();
        world
            .annotations
            .insert("tidegate.io/promote".into(), value.into());
        world.run(5);
        assert!(
            result(&world).starts_with("Refused: "),
            "{}",
            result(&world)
        );
        assert!(result(&world).contains(words), "{}", result(&world));
        assert_eq!(world.weight, 25);
    }
}

#[test]
fn a_bare_abort_always_works_and_does_not_meet_the_next_rollout() {
    let mut world = paused();
    world
        .annotations
        .insert("tidegate.io/abort".into(), "now".into());
    world.reconcile();
    assert_eq!(world.weight, 0);
    world.run(60);
    assert_eq!(world.phase(), Phase::Aborted);
    assert!(
        world.annotations.is_empty(),
        "taken off once it is acknowledged"
    );
    world.set_image("r/a:v3");
    world.run(20);
    assert_eq!(world.weight, 25);
}

#[test]
fn abort_wins_over_every_other_command() {
    let mut world = paused();
    world.command("promote-full");
    world.command("promote");
    world.command("abort");
    world.run(60);
    assert_eq!((world.phase(), world.weight), (Phase::Aborted, 0));
}

#[test]
fn abort_without_a_rollout_changes_nothing() {
    let mut world = World::new(routed(json!([{"setWeight": 25}])));
    world.run(10);
    world.command("abort");
    world.run(10);
    assert!(result(&world).contains("nothing is changed"));
    assert_eq!(
        (world.phase(), world.available("r/a:v1")),
        (Phase::Healthy, 4)
    );
}

#[test]
fn held_is_held_until_resumed() {
    let mut world = paused();
    world.command("pause");
    world.run(5);
    world.command("promote");
    world.run(700);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Paused, 25),
        "{}",
        world.tail()
    );
    world.command("resume");
    world.run(20);
    assert_eq!(world.weight, 50, "{}", world.tail());
}

#[test]
fn full_promotion_skips_the_steps_but_not_the_order() {
    let mut world = paused();
    world.command("promote-full");
    world.run(90);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Healthy, 0),
        "{}",
        world.tail()
    );
    assert_eq!(
        world.status.stable.as_ref().unwrap().hash,
        world.hash_of("r/a:v2")
    );
}

#[test]
fn restart_replaces_the_old_pods_one_by_one() {
    let mut world = World::new(routed(json!([{"setWeight": 25}])));
    world.run(10);
    let (created, of) = (world.now, world.hash_of("r/a:v1"));
    let pod = |i: i32| PodObserved {
        name: format!("p{i}"),
        uid: format!("p{i}"),
        created,
        terminating: false,
        owner: of.clone(),
        given: None,
        ready: true,
    };
    world.pods = (0..4).map(pod).collect();
    world.run(1);
    world.command("restart");
    world.run(10);
    let evictions = world.log.iter().filter(|l| l.contains("evict"));
    // The next one goes when the last one's successor is there, whatever the ReplicaSet says before.
    let seconds: std::collections::BTreeSet<_> = evictions.map(|l| l.get(..5)).collect();
    assert_eq!(
        (seconds.len(), world.status.restart_at),
        (4, None),
        "{}",
        world.tail()
    );
}

/// An aborted version that is kept to be looked at and never comes up holds nobody up.
#[test]
fn a_restart_does_not_wait_for_a_version_that_was_given_up() {
    let mut strategy = routed(json!([{"setWeight": 50}]));
    strategy["canary"]["keepOnAbort"] = json!(true);
    let mut world = World::new(strategy);
    world.has_pods = true;
    world.run(10);
    world.broken.insert("r/a:v2".into());
    world.set_image("r/a:v2");
    world.run(10);
    world.command("abort");
    world.run(20);
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
    world.command("restart");
    world.run(10);
    let evictions = world.log.iter().filter(|l| l.contains("evict")).count();
    assert_eq!(
        (evictions, world.status.restart_at),
        (4, None),
        "{}",
        world.tail()
    );
}

/// What somebody else gives the canary while a rollout is held is put back to what it had.
#[test]
fn a_hold_keeps_what_there_was_before_somebody_else_came() {
    let mut world = super::deployed(json!([{"setWeight": 20}, {"pause": {}}]));
    world.command("pause");
    world.run(2);
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!((world.phase(), world.weight), (Phase::Paused, 0));
    for _ in 0..3 {
        world.weight = 12;
        world.run(15);
        let traffic = world.status.traffic.clone().unwrap();
        assert_eq!((world.weight, traffic.desired), (0, 0), "{}", world.tail());
    }
}
