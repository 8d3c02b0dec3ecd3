//! Canary with a router.

use serde_json::json;

use super::by_pods;
use super::deployed;
use super::invariants::LAG_S;
use super::routed;
use super::world::World;
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase};
use crate::core::plan::Write;

#[test]
fn the_first_deployment_has_no_steps() {
    let mut world = World::new(routed(json!([{"setWeight": 5}, {"pause": {}}])));
    world.run(1);
    assert_eq!(world.phase(), Phase::Initializing);
    world.run(10);
    let stable = world.status.stable.clone().unwrap();
    assert_eq!((stable.hash, stable.revision), (world.hash_of("r/a:v1"), 1));
    assert_eq!(world.services["stable"].hash, Some(world.hash_of("r/a:v1")));
    assert_eq!((world.phase(), world.weight), (Phase::Healthy, 0));
    let writes = world.log.len();
    world.run(600);
    assert_eq!(
        world.log.len(),
        writes,
        "a settled Rollout writes nothing:\n{}",
        world.tail()
    );
}

#[test]
fn pods_that_are_ready_for_a_moment_get_no_traffic() {
    let asked = |strategy: serde_json::Value, asked: i32| {
        let mut world = World::new(strategy);
        world.spec["minReadySeconds"] = asked.into();
        world.generation += 1;
        world.reconcile();
        let plan = world.reconcile();
        let made = plan.writes.iter().find_map(|write| match write {
            Write::CreateReplicaSet(new) => Some(new.min_ready_seconds),
            _ => None,
        });
        made.unwrap_or_else(|| panic!("{:?}", plan.writes))
    };
    let settle = i32::try_from(LAG_S).unwrap();
    assert_eq!(asked(routed(json!([])), 0), settle);
    assert_eq!(asked(routed(json!([])), 30), 30);
    assert_eq!(
        asked(json!({"blueGreen": {"activeService": "active"}}), 0),
        settle
    );
    assert_eq!(
        asked(by_pods(json!([])), 0),
        0,
        "a ready pod has traffic at once"
    );
}

#[test]
fn a_good_version_goes_out_step_by_step() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"pause": {"duration": "60s"}}, {"setWeight": 50}]));
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(
        (world.weight, world.available("r/a:v2")),
        (25, 1),
        "{}",
        world.tail()
    );
    assert_eq!(world.phase(), Phase::Paused);
    let pause = world.status.pause.clone().unwrap();
    assert_eq!(pause.reason, PauseReason::Step);
    assert_eq!(
        pause.until.unwrap().duration_since(pause.since).as_secs(),
        60
    );
    world.run(70);
    assert_eq!(
        world.status.stable.as_ref().unwrap().hash,
        world.hash_of("r/a:v2")
    );
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    assert_eq!(
        (
            world.weight,
            world.available("r/a:v1"),
            world.available("r/a:v2")
        ),
        (0, 0, 4)
    );
    assert_eq!(world.status.history[0].outcome, Outcome::Promoted);
}

/// What a rollout may write, status and Events included: so much, and so much more for each weight.
/// What gathers the evidence and what takes a change out of Git is not the rollout's.
const WRITES: usize = 8;
const WRITES_PER_WEIGHT: usize = 4;

#[test]
fn a_rollout_writes_little() {
    let pause = json!({"pause": {"duration": "30s"}});
    let judged = json!({"analysis": {"templates": [{"name": "errors"}]}});
    let steps = [
        (
            2,
            json!([{"setWeight": 20}, pause, {"setWeight": 50}, pause]),
        ),
        (
            2,
            json!([{"setWeight": 20}, judged, {"setWeight": 50}, pause]),
        ),
        (2, json!([{"setWeight": 20}, pause, {"setWeight": 100}])),
        (
            2,
            json!([{"setWeight": 20}, pause, {"setWeight": 100}, pause]),
        ),
        (
            3,
            json!([{"setWeight": 5}, pause, {"setWeight": 25}, pause, {"setWeight": 50}, judged]),
        ),
        (1, json!([{"setWeight": 20}, pause])),
        (0, json!([])),
    ];
    let promoted = steps.map(|(weights, steps)| (weights, steps, Phase::Healthy));
    let aborted = [
        (
            1,
            json!([{"setWeight": 20}, judged, {"setWeight": 50}]),
            Phase::Aborted,
        ),
        (
            2,
            json!([{"setWeight": 20}, pause, {"setWeight": 50}, judged]),
            Phase::Aborted,
        ),
    ];
    for (weights, steps, end) in promoted.into_iter().chain(aborted) {
        let mut world = deployed(steps.clone());
        world.set_replicas(10);
        world.run(60);
        let before = (world.log.len(), world.events.len());
        world.set_image("r/a:v2");
        for _ in 0..6 {
            world.run(30);
            world.verdict(if end == Phase::Healthy {
                RunPhase::Successful
            } else {
                RunPhase::Failed
            });
        }
        world.run(60);
        assert_eq!(world.phase(), end, "{steps}:\n{}", world.tail());
        let written = world.log[before.0..].iter();
        let counted = written.filter(|l| !l.contains("AnalysisRun") && !l.contains("Revert"));
        let writes = counted.count() + world.events.len() - before.1;
        let allowed = WRITES + WRITES_PER_WEIGHT * weights;
        assert!(
            writes <= allowed,
            "{writes} of {allowed}, {steps}:\n{}",
            world.tail()
        );
    }
}

#[test]
fn a_version_that_never_comes_up_is_aborted_at_its_deadline() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.broken.insert("r/a:v2".into());
    world.set_image("r/a:v2");
    world.run(500);
    assert_eq!((world.phase(), world.weight), (Phase::Progressing, 0));
    world.run(120);
    assert_eq!(world.phase(), Phase::Aborted);
    assert_eq!(
        world.status.abort.as_ref().unwrap().reason,
        AbortReason::ProgressDeadlineExceeded
    );
}

#[test]
fn a_pause_is_no_lack_of_progress() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(5_000);
    assert_eq!(world.phase(), Phase::Paused);
    world.command("promote");
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
}

#[test]
fn a_pause_that_nobody_ends_ends_as_it_says() {
    for (action, phase) in [("Abort", Phase::Aborted), ("Promote", Phase::Healthy)] {
        let mut world =
            deployed(json!([{"setWeight": 25}, {"pause": {"timeout": "1h", "onTimeout": action}}]));
        world.set_image("r/a:v2");
        world.run(3_500);
        assert_eq!(world.phase(), Phase::Paused);
        world.run(300);
        assert_eq!(world.phase(), phase, "{}", world.tail());
    }
}

#[test]
fn a_new_version_in_the_middle_starts_at_step_zero() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(20);
    world.command("promote");
    world.run(20);
    assert_eq!(world.weight, 75);
    world.set_image("r/a:v3");
    world.reconcile();
    assert_eq!(
        world.weight,
        0,
        "traffic to stable first:\n{}",
        world.tail()
    );
    world.run(30);
    assert_eq!(
        (world.weight, world.available("r/a:v2")),
        (25, 0),
        "{}",
        world.tail()
    );
    assert_eq!(world.services["canary"].hash, Some(world.hash_of("r/a:v3")));
    assert_eq!(world.status.history[0].outcome, Outcome::Superseded);
}

#[test]
fn going_back_to_stable_ends_at_once() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(20);
    world.set_image("r/a:v1");
    world.run(3);
    assert_eq!((world.phase(), world.weight), (Phase::Healthy, 0));
    assert_eq!(world.status.history[0].outcome, Outcome::RolledBack);
    world.run(60);
    assert_eq!(world.available("r/a:v2"), 0);
}

#[test]
fn a_number_is_given_once() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    let before = world.status.clone();
    world.set_image("r/a:v2");
    world.run(20);
    let revision = |world: &World| world.status.canary.as_ref().map(|canary| canary.revision);
    assert_eq!(revision(&world), Some(2));
    // The controller died when it had made the ReplicaSet, before it could write the status.
    world.status = before;
    world.run(2);
    assert_eq!(revision(&world), Some(2), "{}", world.tail());
    // Given up, and its ReplicaSet is gone: the next one is another.
    world.set_image("r/a:v1");
    world.run(60);
    let given_up = world.hash_of("r/a:v2");
    world.rs.retain(|_, rs| rs.hash != given_up);
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(revision(&world), Some(3), "{}", world.tail());
}

#[test]
fn edited_steps_keep_their_place_if_what_was_done_stands() {
    let steps =
        |last: i32| json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": last}, {"pause": {}}]);
    let mut world = deployed(steps(50));
    world.set_image("r/a:v2");
    world.run(20);
    world.spec["strategy"]["canary"]["steps"] = steps(60);
    world.generation += 1;
    world.run(5);
    assert_eq!(world.status.canary.as_ref().unwrap().step, 1);
    world.command("promote");
    world.run(20);
    assert_eq!(world.weight, 60);
    world.spec["strategy"]["canary"]["steps"] = json!([{"setWeight": 10}, {"pause": {}}]);
    world.generation += 1;
    world.run(10);
    assert_eq!(
        (world.weight, world.status.canary.as_ref().unwrap().step),
        (10, 1),
        "{}",
        world.tail()
    );
}

#[test]
fn a_weight_that_somebody_changes_is_put_back_at_a_bounded_rate() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(20);
    let writes = world.log.iter().filter(|l| l.contains("weight")).count();
    for _ in 0..30 {
        world.weight = 0;
        world.run(1);
    }
    let again = world
        .log
        .iter()
        .filter(|l| l.contains("weight HTTPRoute"))
        .count()
        - writes;
    assert!((2..=5).contains(&again), "{again}:\n{}", world.tail());
    assert!(world.events.contains(&"WeightReset"));
    world.run(20);
    assert_eq!(world.weight, 25);
}

#[test]
fn a_missing_route_or_template_changes_no_traffic() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}]));
    let key = world.templates.keys().next().unwrap().clone();
    let template = world.templates.insert(key.clone(), None);
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!((world.phase(), world.weight), (Phase::Invalid, 0));
    assert!(
        world
            .status
            .message
            .contains("AnalysisTemplate errors does not exist")
    );
    assert!(!world.rs.contains_key(&world.hash_of("r/a:v2")));
    world.templates.insert(key, template.unwrap());
    world.run(20);
    assert_eq!(world.weight, 25, "{}", world.tail());

    let service = world.services.remove("canary").unwrap();
    world.run(20);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Invalid, 25),
        "keeps what it has"
    );
    world.services.insert("canary".into(), service);
    world.run(20);
    assert_eq!(world.phase(), Phase::Progressing);
}

#[test]
fn deletion_gives_the_routes_back_and_then_lets_go() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(20);
    world.deleted_at = Some(world.now);
    world.run(60);
    assert!(world.gone, "{}", world.tail());
    assert_eq!(world.weight, 0);
    assert!(world.services.values().all(|s| s.hash.is_none()));
    assert_eq!(world.available("r/a:v2"), 0);
    assert_eq!(world.available("r/a:v1"), 4, "stable serves to the end");
}

#[test]
fn set_canary_scale_is_apart_from_the_weight() {
    let mut world = deployed(
        json!([{"setCanaryScale": {"replicas": 3}}, {"pause": {}}, {"setWeight": 25}, {"pause": {}},
               {"setCanaryScale": {"matchTraffic": true}}, {"pause": {}}]),
    );
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!((world.available("r/a:v2"), world.weight), (3, 0));
    world.command("promote");
    world.run(20);
    assert_eq!((world.available("r/a:v2"), world.weight), (3, 25));
    world.command("promote");
    world.run(20);
    assert_eq!(
        (world.available("r/a:v2"), world.weight),
        (1, 25),
        "{}",
        world.tail()
    );
}

#[test]
fn a_lost_status_is_taken_from_the_services() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    world.set_image("r/a:v2");
    world.run(20);
    world.status = Default::default();
    world.run(20);
    assert_eq!(
        world.status.stable.as_ref().unwrap().hash,
        world.hash_of("r/a:v1"),
        "{}",
        world.tail()
    );
    assert_eq!(world.weight, 25);
}

/// Back within the window: without steps, but not without pods. What was aborted is not known to be good.
#[test]
fn a_version_that_was_stable_lately_goes_back_without_steps() {
    let steps = json!([{"setWeight": 25}, {"pause": {}}]);
    let there_and_back = |window: i64, way: &[&str]| {
        let mut world = World::new(routed(steps.clone()));
        if window > 0 {
            world.spec["rollbackWindow"] = json!({ "revisions": window });
        }
        world.run(10);
        for image in way {
            world.set_image(image);
            world.run(20);
            world.command("promote");
            world.run(60);
            assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
        }
        world.set_image("r/a:v1");
        world.run(90);
        world
    };
    let two = ["r/a:v2"];
    let three = ["r/a:v2", "r/a:v3"];
    let four = ["r/a:v2", "r/a:v3", "r/a:v4"];
    for (window, way, at_once) in [
        (0, &two[..], false),
        (1, &two[..], true),
        (1, &three[..], false),
        (2, &three[..], true),
        (2, &four[..], false),
    ] {
        let world = there_and_back(window, way);
        let phase = if at_once {
            Phase::Healthy
        } else {
            Phase::Paused
        };
        assert_eq!(world.phase(), phase, "{window} {way:?}\n{}", world.tail());
    }

    let mut world = there_and_back(3, &two);
    world.set_image("r/a:v3");
    world.run(20);
    world.command("abort");
    world.run(60);
    world.set_image("r/a:v2");
    world.run(60);
    assert_eq!(
        world.phase(),
        Phase::Healthy,
        "v2 was stable before v1\n{}",
        world.tail()
    );
    world.set_image("r/a:v3");
    world.run(60);
    assert_ne!(
        world.phase(),
        Phase::Healthy,
        "v3 was never stable\n{}",
        world.tail()
    );
}

#[test]
fn a_stable_version_short_of_pods_is_degraded_when_its_time_is_over() {
    let mut world = deployed(json!([{"setWeight": 50}]));
    world.short_of("r/a:v1", 1);
    world.run(599);
    assert_eq!(world.phase(), Phase::Progressing, "{}", world.tail());
    world.run(10);
    assert_eq!(world.phase(), Phase::Degraded, "{}", world.tail());
    world.short_of("r/a:v1", 4);
    world.run(2);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    // The next time has a time of its own.
    world.short_of("r/a:v1", 1);
    world.run(10);
    assert_eq!(world.phase(), Phase::Progressing, "{}", world.tail());
}
