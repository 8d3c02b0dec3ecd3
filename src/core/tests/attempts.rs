//! A version that is tried again: each attempt that is given up has a record of its own, and one only.

use serde_json::json;

use super::deployed;
use super::world::World;
use crate::api::analysis_status::RunPhase;
use crate::api::revert::revert_name;
use crate::api::rollout_status::Phase;

/// The bad version.
const BAD: &str = "r/a:v2";

fn watched() -> World {
    deployed(json!([
        {"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}, {"setWeight": 50},
    ]))
}

/// What is asked for goes out and fails, as the attempt of this number.
#[track_caller]
fn fails(world: &mut World, attempt: i32) {
    world.run(20);
    let canary = world.status.canary.clone();
    let canary = canary.unwrap_or_else(|| panic!("{}", world.tail()));
    assert_eq!(canary.attempt, attempt, "{}", world.tail());
    world.verdict(RunPhase::Failed);
    world.run(60);
    is_on_record(world, attempt);
}

/// The abort is over, and there is one record of it, which it names.
#[track_caller]
fn is_on_record(world: &World, attempt: i32) {
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
    let name = revert_name("web", &world.hash_of(BAD), attempt);
    let abort = world.status.abort.as_ref().unwrap();
    assert_eq!(abort.revert.as_ref(), Some(&name), "{}", world.tail());
    let record = &world.reverts[&name];
    assert_eq!((record.attempt, record.released), (attempt, false));
    let attempts: Vec<i32> = world.reverts.values().map(|r| r.attempt).collect();
    assert_eq!(attempts, (1..=attempt).collect::<Vec<_>>());
}

/// The change is taken out, and comes again.
fn comes_again(world: &mut World) {
    world.set_image("r/a:v1");
    world.run(5);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world.set_image(BAD);
}

fn release(world: &mut World) {
    for revert in world.reverts.values_mut() {
        revert.released = true;
    }
}

#[test]
fn every_attempt_that_fails_is_on_record() {
    let mut world = watched();
    world.set_image(BAD);
    fails(&mut world, 1);
    for attempt in [2, 3] {
        comes_again(&mut world);
        world.run(30);
        assert_eq!(world.phase(), Phase::Rejected, "{}", world.tail());
        world.command("retry");
        fails(&mut world, attempt);
    }
    let released: Vec<bool> = world.reverts.values().map(|r| r.released).collect();
    assert_eq!(released, [true, true, false]);
}

#[test]
fn a_version_that_was_released_and_fails_again_is_on_record_again() {
    let mut world = watched();
    world.set_image(BAD);
    fails(&mut world, 1);
    release(&mut world);
    comes_again(&mut world);
    fails(&mut world, 2);
    comes_again(&mut world);
    world.run(30);
    assert_eq!(world.phase(), Phase::Rejected, "{}", world.tail());
}

/// What was good for a while may turn out bad when it goes out again.
#[test]
fn a_version_that_was_stable_in_between_is_on_record_again() {
    let mut world = watched();
    world.set_image(BAD);
    fails(&mut world, 1);
    world.command("retry");
    for image in [BAD, "r/a:v1"] {
        world.set_image(image);
        world.run(30);
        world.verdict(RunPhase::Successful);
        world.run(120);
        let stable = world.status.stable.as_ref().unwrap();
        assert_eq!(stable.hash, world.hash_of(image), "{}", world.tail());
    }
    world.set_image(BAD);
    fails(&mut world, 2);
}

/// The controller dies when it has written the record and not yet the status; also one that began by the
/// count of an older version of it, which knew nothing of released records.
#[test]
fn an_abort_whose_status_was_lost_finds_its_own_record() {
    for counted in [2, 1] {
        let mut world = watched();
        world.set_image(BAD);
        fails(&mut world, 1);
        release(&mut world);
        comes_again(&mut world);
        world.run(1);
        world.status.canary.as_mut().unwrap().attempt = counted;
        world.run(20);
        let before = world.status.clone();
        world.verdict(RunPhase::Failed);
        world.reconcile();
        assert_eq!(world.reverts.len(), 2, "{}", world.tail());
        world.status = before;
        world.run(60);
        is_on_record(&world, 2);
    }
}

#[test]
fn a_record_that_a_person_releases_is_not_written_anew() {
    let mut world = watched();
    world.set_image(BAD);
    fails(&mut world, 1);
    let name = world.status.abort.as_ref().unwrap().revert.clone();
    release(&mut world);
    world.run(60);
    let abort = world.status.abort.as_ref().unwrap();
    assert_eq!((world.reverts.len(), &abort.revert), (1, &name));
}
