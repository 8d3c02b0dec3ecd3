//! A Rollout in the place of the Deployment that it has its template from.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::World;
use crate::api::rollout_status::Phase;
use crate::core::decide::decide;
use crate::core::observed::WorkloadObserved;
use crate::core::spec::Problem;

fn deployment(replicas: i32) -> WorkloadObserved {
    WorkloadObserved {
        name: "web".into(),
        uid: "d".into(),
        resource_version: "7".into(),
        generation: 1,
        desired: replicas,
        current: replicas,
        available: replicas,
        updated: replicas,
        up_to_date: true,
    }
}

fn by_route() -> Value {
    json!({"canary": {
        "stableService": "stable", "canaryService": "canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
        "steps": [{"setWeight": 25}, {"pause": {}}],
        "scaleDownDelaySeconds": 10, "abortScaleDownDelaySeconds": 0,
    }})
}

/// A Rollout that is to take the place of a Deployment with so many pods.
pub(super) fn in_place_of(strategy: Value, scale_down: &str, replicas: i32) -> World {
    let mut world = World::new(strategy);
    world.spec["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "name": "web", "scaleDown": scale_down});
    world.generation += 1;
    world.workload = Some(deployment(replicas));
    world
}

fn size(world: &World) -> i32 {
    world.workload.as_ref().unwrap().desired
}

fn condition(world: &World) -> (String, String) {
    let mut all = world.status.conditions.iter();
    let found = all
        .find(|condition| condition.type_ == "WorkloadScaledDown")
        .unwrap();
    (format!("{:?}", found.status), found.reason.clone())
}

#[test]
fn on_success_its_pods_go_when_the_traffic_has_left_them() {
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(3);
    assert_eq!((world.available("r/a:v1"), size(&world)), (4, 4));
    assert_eq!(condition(&world), ("False".into(), "GivesWay".into()));
    // Until the Service names the version, it selects the Deployment's pods as well.
    for _ in 0..60 {
        world.run(1);
        let switched = world.services["stable"].switched_at;
        let long_ago = switched.is_some_and(|at| world.now.duration_since(at).as_secs() >= 10);
        assert!(size(&world) == 4 || long_ago, "{}", world.tail());
    }
    assert_eq!((world.phase(), size(&world)), (Phase::Healthy, 0));
    assert_eq!(condition(&world), ("True".into(), "NoPods".into()));
    assert!(world.events.contains(&"WorkloadScaledDown"));
    let settled = world.status_writes;
    world.run(120);
    assert_eq!(world.status_writes, settled, "{}", world.tail());
}

#[test]
fn progressively_both_together_are_never_short_and_never_many() {
    for strategy in [
        by_route(),
        json!({"canary": {}}),
        json!({"blueGreen": {"activeService": "a"}}),
    ] {
        let mut world = in_place_of(strategy, "Progressively", 4);
        let mut sizes = Vec::new();
        for _ in 0..120 {
            world.converge();
            let own = world.available("r/a:v1");
            let asked: i32 = world.rs.values().map(|rs| rs.desired).sum();
            let both = own + world.workload.as_ref().unwrap().available;
            assert!(both >= 4, "{}", world.tail());
            assert!(asked + size(&world) <= 5, "{}", world.tail());
            sizes.push(size(&world));
            world.tick();
        }
        sizes.dedup();
        assert_eq!(sizes, [4, 3, 2, 1, 0], "{}", world.tail());
        assert_eq!(world.phase(), Phase::Healthy);
    }
}

#[test]
fn never_means_never_and_is_said() {
    let mut world = in_place_of(by_route(), "Never", 4);
    world.run(60);
    assert_eq!((world.phase(), size(&world)), (Phase::Healthy, 4));
    assert_eq!(condition(&world), ("False".into(), "LeftAlone".into()));
    world.delete();
    world.run(30);
    assert!(world.gone && size(&world) == 4, "{}", world.tail());
}

#[test]
fn fewer_pods_than_the_deployment_has_are_refused_before_they_take_its_place() {
    let mut world = in_place_of(by_route(), "OnSuccess", 9);
    world.run(10);
    assert_eq!(world.phase(), Phase::Invalid);
    assert_eq!(
        world.status.message,
        "spec.replicas: 4, and Deployment web has 9: as many pods as the Deployment has, whose place \
         they take; or scale the Deployment first"
    );
    assert!(world.rs.is_empty() && size(&world) == 9);
    world.set_replicas(9);
    world.run(60);
    assert_eq!((world.phase(), size(&world)), (Phase::Healthy, 0));
}

#[test]
fn what_somebody_scales_up_again_is_scaled_down_now_and_then() {
    let mut world = in_place_of(json!({"canary": {}}), "OnSuccess", 4);
    world.run(30);
    assert_eq!((world.phase(), size(&world)), (Phase::Healthy, 0));
    let mut downs = 0;
    for _ in 0..90 {
        world.converge();
        if size(&world) == 0 {
            downs += 1;
            let workload = world.workload.as_mut().unwrap();
            (workload.desired, workload.generation) = (4, workload.generation + 1);
        }
        world.tick();
    }
    assert!((3..=4).contains(&downs), "{downs} times");
    assert!(world.events.contains(&"WorkloadScaledUp"));
}

/// What is said was done, also where another write took the plan's one loss.
#[test]
fn each_scaling_is_said_once() {
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(60);
    for image in ["r/a:v2", "r/a:v3"] {
        world.workload.as_mut().unwrap().generation += 1;
        world.set_image(image);
        for second in 0..150 {
            if second == 20 {
                world.command("promote-full");
            }
            world.converge();
            let workload = world.workload.as_mut().unwrap();
            if workload.desired == 0 {
                (workload.desired, workload.generation) = (4, workload.generation + 1);
            }
            world.tick();
        }
    }
    let scaled = world.log.iter().filter(|l| l.contains("scale Deployment"));
    let said = world
        .events
        .iter()
        .filter(|e| e.starts_with("WorkloadScaled"));
    assert_eq!(
        (world.phase(), scaled.count()),
        (Phase::Healthy, said.count())
    );
}

#[test]
fn a_deletion_gives_the_pods_back_before_the_own_ones_go() {
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(60);
    assert_eq!(size(&world), 0);
    world.delete();
    world.converge();
    assert!(!world.gone && size(&world) == 4, "{}", world.tail());
    assert_eq!(world.services["stable"].hash, None);
    let said = &world.status.message;
    assert!(said.starts_with("being deleted: "), "{said}");
    world.run(10);
    assert!(world.gone, "{}", world.tail());

    // One that never gets them back is let go in the end.
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(60);
    world.delete();
    for _ in 0..400 {
        world.converge();
        world.tick();
        world.workload.as_mut().unwrap().available = 0;
        assert!(!world.gone || world.seconds() >= 360, "{}", world.tail());
        if world.gone {
            break;
        }
    }
    assert!(world.gone && world.events.contains(&"DeletionForced"));
}

#[test]
fn a_version_is_what_its_generation_was_when_it_was_written_down() {
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(60);
    let first = world.status.stable.clone().unwrap().hash;
    // A newer API server fills something in: nobody has written anything.
    world.spec["template"]["spec"]["newDefault"] = json!("x");
    world.generation += 1; // so that the test's own cache is read anew
    world.run(10);
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!(world.status.workload.as_ref().unwrap().hash, first);
    // Somebody writes another image.
    world.workload.as_mut().unwrap().generation += 1;
    world.set_image("r/a:v2");
    world.run(10);
    assert_eq!(world.phase(), Phase::Paused, "{}", world.tail());
    assert_ne!(world.status.canary.as_ref().unwrap().hash, first);
}

#[test]
fn who_never_began_gives_nothing_back() {
    let mut world = in_place_of(by_route(), "OnSuccess", 9);
    world.run(10);
    world.workload.as_mut().unwrap().desired = 2;
    world.delete();
    world.run(10);
    assert!(world.gone && size(&world) == 2, "{}", world.tail());
}

/// As when the Deployment and the Rollout's other fields are all wrong at once, and nobody mends them.
#[test]
fn a_deleted_rollout_that_cannot_be_read_is_let_go_in_the_end() {
    let mut world = in_place_of(by_route(), "OnSuccess", 4);
    world.run(60);
    world.delete();
    let mut observed = world.observe();
    observed.rollout.spec = Err(vec![Problem::new("spec.x", "y", "z")]);
    let at = |seconds: i64| {
        let now = world.now.checked_add(SignedDuration::from_secs(seconds));
        decide(&observed, now.unwrap())
    };
    let waits = at(299);
    assert!(
        waits.writes.is_empty() && waits.wake_at.is_some(),
        "{waits:?}"
    );
    assert_eq!(waits.status.unwrap().phase, Some(Phase::Invalid));
    let lets_go = at(300);
    assert_eq!(lets_go.writes[0].to_string(), "remove the finalizer");
    assert_eq!(lets_go.events[0].reason, "DeletionForced");
}
