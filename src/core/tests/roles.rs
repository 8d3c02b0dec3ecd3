//! Labels and annotations that follow the role of a version.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::routed;
use super::world::World;
use crate::api::rollout::PodMetadata;
use crate::api::rollout_status::Phase;
use crate::core::roles::{GIVEN, mark};

/// A canary and a blue/green that wait for a person.
fn strategies() -> [Value; 2] {
    [
        routed(json!([{"setWeight": 25}, {"pause": {}}])),
        json!({"blueGreen": {"activeService": "active", "autoPromotion": {"enabled": false}}}),
    ]
}

/// A first version of 4 pods, with metadata for both roles.
fn deployed(mut strategy: Value) -> World {
    let (kind, [stable, canary]) = match strategy.get("canary") {
        Some(_) => ("canary", ["stableMetadata", "canaryMetadata"]),
        None => ("blueGreen", ["activeMetadata", "previewMetadata"]),
    };
    strategy[kind][stable] = json!({"labels": {"role": "stable"}});
    strategy[kind][canary] = json!({"labels": {"role": "canary"}, "annotations": {"look": "here"}});
    let mut world = World::new(strategy);
    world.has_pods = true;
    world.run(10);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

/// The role that each pod of a version has by its labels, and how many have it.
fn pods(world: &World, image: &str) -> BTreeMap<String, usize> {
    let hash = world.hash_of(image);
    let mut found = BTreeMap::new();
    for pod in world.pods.iter().filter(|p| p.owner == hash) {
        let given = pod.given.as_deref().unwrap_or("{}");
        let given: PodMetadata = serde_json::from_str(given).unwrap();
        let role = given.labels.get("role").cloned().unwrap_or_default();
        assert_eq!(given.annotations.contains_key("look"), role == "canary");
        *found.entry(role).or_default() += 1;
    }
    found
}

fn all(role: &str, pods: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(role.to_owned(), pods)])
}

fn relabelled(world: &World, what: &str) -> usize {
    let has = |line: &&String| line.contains(&format!("relabel {what}"));
    world.log.iter().filter(has).count()
}

#[test]
fn a_version_takes_the_role_of_the_one_before() {
    for strategy in strategies() {
        let mut world = deployed(strategy.clone());
        assert_eq!(pods(&world, "r/a:v1"), all("stable", 4));
        world.set_image("r/a:v2");
        world.run(20);
        let going_out = world.available("r/a:v2") as usize;
        assert!(going_out > 0, "{}", world.tail());
        assert_eq!(
            pods(&world, "r/a:v2"),
            all("canary", going_out),
            "{strategy}"
        );
        assert_eq!(pods(&world, "r/a:v1"), all("stable", 4));
        assert_eq!(relabelled(&world, ""), 0, "they are born with it");
        let hash = world.hash_of("r/a:v2");
        world.command("promote");
        world.run(25);
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
        assert_eq!(pods(&world, "r/a:v2"), all("stable", 4), "{}", world.tail());
        assert_eq!(pods(&world, "r/a:v1"), all("", 4), "{}", world.tail());
        world.run(60);
        // One write for each ReplicaSet's template, and one for each pod; not one more later.
        assert_eq!(relabelled(&world, "ReplicaSet"), 2, "{}", world.tail());
        assert_eq!(relabelled(&world, "Pod"), 8, "{}", world.tail());
        assert_eq!(world.status.stable.unwrap().hash, hash, "no version by it");
        assert_eq!(world.rs.len(), 2);
    }
}

/// An earlier version that goes out again has the pods of now in the role of now.
#[test]
fn an_earlier_version_that_goes_out_again_has_the_role_of_now() {
    let mut world = deployed(routed(json!([{"setWeight": 25}, {"pause": {}}])));
    world.set_image("r/a:v2");
    world.run(20);
    world.command("promote");
    world.run(90);
    assert_eq!(
        (world.phase(), world.available("r/a:v1")),
        (Phase::Healthy, 0)
    );
    let before = relabelled(&world, "");
    world.set_image("r/a:v1");
    world.run(20);
    assert_eq!(pods(&world, "r/a:v1"), all("canary", 1), "{}", world.tail());
    assert_eq!(
        relabelled(&world, ""),
        before,
        "it comes with the first pods"
    );
}

#[test]
fn an_aborted_version_keeps_its_role_while_it_has_pods() {
    let mut world = deployed(routed(json!([{"setWeight": 25}, {"pause": {}}])));
    world.set_image("r/a:v2");
    world.run(20);
    world.command("abort");
    world.run(20);
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
    assert_eq!(pods(&world, "r/a:v2"), all("canary", 1));
    assert_eq!(pods(&world, "r/a:v1"), all("stable", 4));
    world.run(60);
    assert_eq!(relabelled(&world, ""), 0, "{}", world.tail());
}

/// Another role's labels in the spec are no new version, and reach the pods that run.
#[test]
fn an_edit_reaches_the_pods_that_run() {
    let mut world = deployed(routed(json!([{"setWeight": 25}, {"pause": {}}])));
    for (edited, role) in [
        (json!({"labels": {"role": "production"}}), "production"),
        (Value::Null, ""),
    ] {
        world.spec["strategy"]["canary"]["stableMetadata"] = edited;
        world.generation += 1;
        world.run(20);
        assert_eq!(pods(&world, "r/a:v1"), all(role, 4), "{}", world.tail());
        assert_eq!((world.phase(), world.rs.len()), (Phase::Healthy, 1));
    }
    let template = &world.rs.values().next().unwrap().template;
    assert_eq!(template["metadata"]["annotations"].get(GIVEN), None);
    assert_eq!(mark(template), None);
}

/// Pods that cannot be changed are asked once, and nothing waits for them.
#[test]
fn pods_that_refuse_stop_nothing() {
    let mut world = deployed(routed(json!([{"setWeight": 25}, {"pause": {}}])));
    world.pods_are_fixed = true;
    for image in ["r/a:v2", "r/a:v3"] {
        world.set_image(image);
        world.run(20);
        world.command("promote");
        world.run(90);
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    }
    assert_eq!(pods(&world, "r/a:v3"), all("canary", 4));
    let writes = world.log.len();
    world.run(100);
    assert_eq!(world.log.len(), writes, "{}", world.tail());
}
