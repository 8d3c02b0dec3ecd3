//! Between the switch of the stable Service and the status that says so: the new version is stable,
//! whatever happens then.

use jiff::SignedDuration;
use serde_json::json;

use super::deployed;
use super::world::World;
use crate::api::rollout_status::{Outcome, Phase};

/// v2 has all the traffic, and the stable Service has just been pointed at it.
fn handing_over() -> World {
    let mut world = deployed(json!([{"setWeight": 25}]));
    world.set_image("r/a:v2");
    let new = Some(world.hash_of("r/a:v2"));
    for _ in 0..60 {
        world.reconcile();
        if world.services["stable"].hash == new {
            break;
        }
        world.tick();
    }
    let canary = world.status.canary.as_ref().map(|c| c.hash.clone());
    assert_eq!((canary, world.weight), (new, 100), "{}", world.tail());
    world
}

fn stable(world: &World) -> String {
    world.status.stable.clone().unwrap().hash
}

#[test]
fn one_status_says_all_of_it() {
    let mut world = handing_over();
    let before = world.status_writes;
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!((stable(&world), world.weight), (world.hash_of("r/a:v2"), 0));
    assert_eq!(world.status_writes, before + 1, "{}", world.tail());
    let counts = (world.status.replicas, world.status.available_replicas);
    assert_eq!(counts, (4, 4), "the old version's pods are not counted");
    let traffic = world.status.traffic.clone().unwrap();
    assert_eq!((traffic.desired, traffic.accepted), (0, 0));
}

#[test]
fn it_is_too_late_to_abort() {
    let mut world = handing_over();
    world.command("abort");
    world.reconcile();
    let answer = world.status.last_handled_command.clone().unwrap();
    assert!(answer.result.starts_with("Refused"), "{answer:?}");
    world.run(60);
    assert_eq!((world.phase(), world.weight), (Phase::Healthy, 0));
    assert_eq!(stable(&world), world.hash_of("r/a:v2"));
}

#[test]
fn what_is_asked_for_then_starts_from_the_new_version() {
    for next in ["r/a:v3", "r/a:v1"] {
        let mut world = handing_over();
        world.set_image(next);
        world.run(4);
        assert_eq!(stable(&world), world.hash_of("r/a:v2"), "{next}");
        assert_eq!(world.status.history[0].outcome, Outcome::Promoted);
        assert_eq!(world.services["stable"].hash, Some(stable(&world)));
        world.run(90);
        assert_eq!(stable(&world), world.hash_of(next), "{}", world.tail());
    }
}

#[test]
fn a_deletion_keeps_the_new_version() {
    let mut world = handing_over();
    world.deleted_at = Some(world.now);
    world.run(60);
    assert!(world.gone, "{}", world.tail());
    let served = (world.available("r/a:v1"), world.available("r/a:v2"));
    assert_eq!((served, world.weight), ((0, 4), 0));
}

#[test]
fn one_that_takes_long_is_said() {
    let mut world = handing_over();
    while world.weight > 0 {
        world.tick();
        world.reconcile();
    }
    world.route_accepted_at = world.now + SignedDuration::from_hours(1);
    world.run(5);
    assert!(world.status.canary.is_some(), "{}", world.tail());
    world.run(30);
    assert_eq!(world.phase(), Phase::Progressing);
    let said = "the routes go over to the stable Service";
    assert_eq!(world.status.message, said, "{}", world.tail());
    assert_eq!(stable(&world), world.hash_of("r/a:v2"));
}
