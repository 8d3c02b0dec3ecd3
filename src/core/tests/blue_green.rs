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

/// After the switch the active Service's series are the new version's, whatever its matchers are
/// called: a comparison that cannot tell the versions apart is refused before anything begins.
#[test]
fn a_comparison_after_the_switch_must_tell_the_versions_apart() {
    let ratio = json!({"name": "errors", "ratio": {
        "bad": "http_requests_total{code=~\"5..\",$(arm)}", "total": "http_requests_total{$(arm)}"}});
    let by = |canary: &str, stable: &str| json!({"arm": {"canary": canary, "stable": stable}, "metrics": [ratio]});
    let services = by(
        "service=\"$(canaryService)\"",
        "service=\"$(stableService)\"",
    );
    let mut dry = services.clone();
    dry["metrics"][0]["dryRun"] = true.into();
    dry["metrics"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "level", "threshold": {"query": "x", "success": "result < 1.0"}}));
    let rows = [
        ("the pods' label", json!({"metrics": [ratio]}), false),
        (
            "a label",
            json!({"arm": {"label": "version"}, "metrics": [ratio]}),
            false,
        ),
        (
            "the hashes",
            by(
                "backend=\"web-$(canaryHash)\"",
                "backend=\"web-$(stableHash)\"",
            ),
            false,
        ),
        ("the Services", services, true),
        (
            "only one hash",
            by("pod=~\"web-$(canaryHash).*\"", "service=\"web\""),
            true,
        ),
        ("a dry run", dry, false),
    ];
    for (what, template, refused) in rows {
        let analysis = json!({"templates": [{"name": "level"}, {"name": "own"}]});
        let mut world = World::new(json!({"blueGreen": {
            "activeService": "active", "previewService": "preview",
            "postPromotionAnalysis": analysis}}));
        world.template(
            "level",
            json!({"metrics": [{"name": "lag", "threshold": {
            "query": "max(lag_seconds)", "success": "result < 5.0"}}]}),
        );
        world.template("own", template);
        world.run(10);
        world.set_image("r/a:v2");
        world.run(60);
        assert_eq!(
            world.phase() == Phase::Invalid,
            refused,
            "{what}: {}",
            world.tail()
        );
        if !refused {
            assert_eq!(world.runs.len(), 1, "{what}: {}", world.tail());
            continue;
        }
        for says in [
            "blueGreen.postPromotionAnalysis.templates",
            "metric errors is a ratio and arm.canary is ",
            "arm.label",
            "threshold",
        ] {
            assert!(
                world.status.message.contains(says),
                "{what}: {}",
                world.status.message
            );
        }
        assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v1")));
        assert_eq!(world.available("r/a:v2"), 0);
    }
}

/// Nobody is served, and no pods come that could be waited for: the next ones must be stable's.
#[test]
fn scaled_to_nothing_an_abort_still_goes_back() {
    let analysis = json!({"templates": [{"name": "level"}]});
    let mut world = deployed(json!({"postPromotionAnalysis": analysis}));
    world.set_image("r/a:v2");
    world.run(100);
    assert_eq!(world.services["active"].hash, Some(world.hash_of("r/a:v2")));
    world.set_replicas(0);
    world.run(10);
    world.verdict(RunPhase::Failed);
    world.run(60);
    assert_eq!(
        (world.services["active"].hash.clone(), world.phase()),
        (Some(world.hash_of("r/a:v1")), Phase::Aborted),
        "{}",
        world.tail()
    );
}
