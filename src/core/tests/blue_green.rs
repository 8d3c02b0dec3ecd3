//! Blue/green: the same walk with one Service's selector as the means.

use serde_json::{Value, json};

use super::world::World;
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::Phase;

fn deployed(extra: Value) -> World {
    let mut bg = json!({"activeService": "active", "previewService": "preview"});
    bg.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    let mut world = World::new(json!({"blueGreen": bg}));
    world.run(10);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

#[test]
fn the_switch_is_one_write_and_the_old_version_stays_for_its_delay() {
    let mut world = deployed(json!({}));
    world.set_image("r/a:v2");
    world.run(10);
    let switches = world
        .log
        .iter()
        .filter(|l| l.contains("switch Service active"))
        .count();
    assert_eq!(
        switches,
        2,
        "the first deployment's and this one's:\n{}",
        world.tail()
    );
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v2")));
    assert_eq!(world.available("r/a:v1"), 4, "the old version is whole");
    world.run(40);
    assert_eq!(
        (world.phase(), world.available("r/a:v1")),
        (Phase::Healthy, 0)
    );
}

#[test]
fn the_preview_is_judged_before_the_switch() {
    let analysis = json!({"templates": [{"name": "errors"}]});
    let mut world = deployed(json!({"previewReplicaCount": 1, "prePromotionAnalysis": analysis}));
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(world.available("r/a:v2"), 1);
    assert_eq!(
        world.services["preview"].hash,
        Some(world.hash_of("r/a:v2"))
    );
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v1")));
    world.verdict(RunPhase::Successful);
    world.run(20);
    assert_eq!(
        world.services["active"].hash,
        Some(world.hash_of("r/a:v2")),
        "{}",
        world.tail()
    );

    world.set_image("r/a:v3");
    world.run(40);
    world.verdict(RunPhase::Failed);
    world.run(60);
    assert_eq!(world.phase(), Phase::Aborted);
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v2")));
    assert_eq!(world.available("r/a:v3"), 0);
}

#[test]
fn a_failure_after_the_switch_switches_back() {
    let analysis = json!({"templates": [{"name": "level"}]});
    let mut world = deployed(json!({"postPromotionAnalysis": analysis}));
    world.set_image("r/a:v2");
    world.run(100);
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v2")));
    assert_eq!(
        world.available("r/a:v1"),
        4,
        "at full size until it is judged"
    );
    world.verdict(RunPhase::Failed);
    world.reconcile();
    assert_eq!(
        world.services["active"].hash,
        Some(world.hash_of("r/a:v1")),
        "{}",
        world.tail()
    );
    world.run(60);
    assert_eq!(
        (world.phase(), world.available("r/a:v2")),
        (Phase::Aborted, 0)
    );
}

#[test]
fn without_auto_promotion_a_person_switches() {
    let mut world = deployed(json!({"autoPromotion": {"enabled": false}}));
    world.set_image("r/a:v2");
    world.run(1_000);
    assert_eq!(world.phase(), Phase::Paused);
    world.command("promote");
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy);

    let mut world = deployed(json!({"autoPromotion": {"enabled": true, "afterSeconds": 100}}));
    world.set_image("r/a:v2");
    world.run(90);
    assert_eq!(world.phase(), Phase::Paused);
    world.run(60);
    assert_eq!(
        world.status.stable.as_ref().unwrap().hash,
        world.hash_of("r/a:v2")
    );
}

#[test]
fn a_new_version_after_the_switch_goes_back_to_stable_first() {
    let analysis = json!({"templates": [{"name": "level"}]});
    let mut world = deployed(json!({"postPromotionAnalysis": analysis}));
    world.set_image("r/a:v2");
    world.run(60);
    world.set_image("r/a:v3");
    world.reconcile();
    assert_eq!(
        world.services["active"].hash,
        Some(world.hash_of("r/a:v1")),
        "{}",
        world.tail()
    );
    world.run(20);
    assert_eq!(
        world.services["active"].hash,
        Some(world.hash_of("r/a:v3")),
        "{}",
        world.tail()
    );
}

/// After the switch there is no stable version to compare with: a comparison would be held for ever,
/// so it is refused before anything begins.
#[test]
fn a_comparison_after_the_switch_is_refused_before_anything_begins() {
    let analysis = json!({"templates": [{"name": "level"}, {"name": "errors"}]});
    let mut world = deployed(json!({"postPromotionAnalysis": analysis}));
    world.set_image("r/a:v2");
    world.run(60);
    assert_eq!(world.phase(), Phase::Invalid, "{}", world.tail());
    for says in [
        "blueGreen.postPromotionAnalysis",
        "metric errors",
        "threshold",
    ] {
        assert!(
            world.status.message.contains(says),
            "{}",
            world.status.message
        );
    }
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v1")));
    assert_eq!(world.available("r/a:v2"), 0);
}
