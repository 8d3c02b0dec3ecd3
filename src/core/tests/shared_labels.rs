//! A Deployment beside the Rollout whose pods have the same labels: the way from the one to the other
//! stays open, and it is said.

use serde_json::{Value, json};

use super::world::World;
use super::{by_pods, routed};
use crate::api::rollout_status::Phase;

fn beside(strategy: Value, names: &[&str]) -> World {
    let mut world = World::new(strategy);
    world.labels_shared_with = names.iter().map(|name| (*name).to_owned()).collect();
    world
}

/// Reason and message of the condition.
fn said(world: &World) -> Option<(String, String)> {
    let mut all = world.status.conditions.iter();
    let found = all.find(|condition| condition.type_ == "LabelsShared")?;
    Some((found.reason.clone(), found.message.clone()))
}

#[test]
fn it_is_said_by_name_and_stops_nothing() {
    let steps = || json!([{"setWeight": 50}]);
    let blue_green = json!({"blueGreen": {"activeService": "a"}});
    // By pod counts its pods have a part of the traffic, too.
    for (strategy, by_count) in [
        (routed(steps()), false),
        (blue_green, false),
        (by_pods(steps()), true),
    ] {
        let mut world = beside(strategy, &["old"]);
        world.run(60);
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
        let (reason, message) = said(&world).unwrap();
        assert_eq!(reason, "Deployment");
        assert!(
            message.starts_with("Deployment old has pods with labels")
                && message.contains("Scale to 0"),
            "{message}"
        );
        assert_eq!(
            message.contains("less of the traffic"),
            by_count,
            "{message}"
        );
        world.set_image("r/a:v2");
        world.run(120);
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
        assert_eq!(world.available("r/a:v2"), 4, "{}", world.tail());
        let told = world.events.iter().filter(|e| **e == "LabelsShared");
        assert_eq!(told.count(), 1, "{:?}", world.events);
        // At rest it costs nothing more.
        let settled = world.status_writes;
        world.run(120);
        assert_eq!(world.status_writes, settled, "{}", world.tail());
        // It was scaled down: nothing is left to say.
        world.labels_shared_with.clear();
        world.run(5);
        assert_eq!((world.phase(), said(&world)), (Phase::Healthy, None));
    }
}

#[test]
fn of_many_a_few_are_named() {
    let mut world = beside(routed(json!([])), &["a", "b", "c", "d", "e"]);
    world.run(60);
    let (_, message) = said(&world).unwrap();
    assert!(
        message.starts_with("Deployments a, b, c and 2 more have pods"),
        "{message}"
    );
}
