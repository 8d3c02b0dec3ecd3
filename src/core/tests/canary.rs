//! Canary with a router.

use serde_json::{Value, json};

use super::routed;
use super::world::World;
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase};

fn deployed(steps: serde_json::Value) -> World {
    let mut world = World::new(routed(steps));
    world.run(10);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

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
fn a_good_version_goes_out_step_by_step() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"pause": {"duration": "60s"}}, {"setWeight": 50}]));
    let before = (world.log.len(), world.events.len());
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
    let writes = world.log.len() - before.0 + world.events.len() - before.1;
    assert!(writes <= 8 + 4 * 3, "{writes} writes:\n{}", world.tail());
}

#[test]
fn a_failed_analysis_aborts_and_is_recorded() {
    let mut world = deployed(
        json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}, {"setWeight": 50}]),
    );
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(world.weight, 25);
    assert_eq!(world.runs.len(), 1, "{}", world.tail());
    world.verdict(RunPhase::Failed);
    world.reconcile();
    assert_eq!(world.weight, 0, "one reconcile:\n{}", world.tail());
    assert_eq!(
        world.status.abort.as_ref().unwrap().reason,
        AbortReason::AnalysisFailed
    );
    assert_eq!(world.reverts.len(), 1);
    world.run(60);
    assert_eq!(
        (world.phase(), world.available("r/a:v2")),
        (Phase::Aborted, 0)
    );
    let writes = world.log.len();
    world.run(600);
    assert_eq!(
        world.log.len(),
        writes,
        "an aborted Rollout is a fixpoint:\n{}",
        world.tail()
    );

    // The steps are edited: an abort stays an abort.
    world.spec["strategy"]["canary"]["steps"] = json!([{"setWeight": 1}]);
    world.generation += 1;
    world.run(30);
    assert_eq!((world.phase(), world.weight), (Phase::Aborted, 0));

    // The change goes out of Git: healthy at once.
    world.set_image("r/a:v1");
    world.run(2);
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!(world.status.abort, None);

    // A bot brings it back: rejected, no canary, no traffic.
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!((world.phase(), world.weight), (Phase::Rejected, 0));
    assert_eq!(world.available("r/a:v2"), 0);

    // Somebody wants it all the same.
    world.spec["strategy"]["canary"]["steps"] =
        json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}]);
    world.generation += 1;
    world.command("retry");
    world.run(20);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Progressing, 25),
        "{}",
        world.tail()
    );
    assert_eq!(world.status.canary.as_ref().unwrap().attempt, 2);
    assert_eq!(world.runs.len(), 2);
}

#[test]
fn evidence_that_is_gathered_and_a_revert_under_way_cost_no_writes() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}]));
    world.set_image("r/a:v2");
    while world.runs.is_empty() {
        world.run(1);
    }
    let writes = world.status_writes;
    world.run(60);
    assert_eq!(world.status_writes, writes, "{}", world.tail());

    world.verdict(RunPhase::Failed);
    world.reconcile();
    let writes = world.status_writes;
    let revert = |world: &mut World, phase: &str| {
        let revert = world.reverts.values_mut().next().unwrap();
        revert.phase = Some(phase.to_owned());
        world.run(1);
    };
    for phase in ["Pending", "Planned", "Pushed"] {
        revert(&mut world, phase);
    }
    // The route is back; nothing else is new.
    assert_eq!(world.status_writes, writes + 1, "{}", world.tail());
    let reason = |world: &World| {
        let mut conditions = world.status.conditions.iter();
        let found = conditions.find(|condition| condition.type_ == "GitReverted");
        found.map(|condition| condition.reason.clone()).unwrap()
    };
    revert(&mut world, "Landed");
    assert_eq!(reason(&world), "Landed");
    assert_eq!(world.status_writes, writes + 2, "{}", world.tail());
    revert(&mut world, "NeedsHuman");
    assert_eq!(reason(&world), "NeedsHuman");
}

#[test]
fn what_is_not_a_verdict_holds_the_step() {
    for phase in [RunPhase::Inconclusive, RunPhase::Terminated] {
        let mut world = deployed(
            json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}},
                   {"setWeight": 50}, {"pause": {}}]),
        );
        world.set_image("r/a:v2");
        world.run(20);
        world.verdict(phase);
        world.run(700);
        assert_eq!(
            (world.phase(), world.weight),
            (Phase::Paused, 25),
            "{}",
            world.tail()
        );
        world.command("promote");
        world.run(10);
        assert_eq!(world.weight, 50);
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
fn the_background_analysis_must_pass_before_the_end() {
    let mut strategy = routed(json!([{"setWeight": 50}]));
    strategy["canary"]["analysis"] = json!({"templates": [{"name": "errors"}]});
    let mut world = World::new(strategy);
    world.run(10);
    world.set_image("r/a:v2");
    world.run(60);
    assert_eq!(
        (world.weight, world.phase()),
        (100, Phase::Progressing),
        "{}",
        world.tail()
    );
    world.verdict(RunPhase::Successful);
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy);

    world.set_image("r/a:v3");
    world.run(60);
    world.verdict(RunPhase::Failed);
    world.reconcile();
    assert_eq!(
        (world.weight, world.phase()),
        (0, Phase::Aborting),
        "{}",
        world.tail()
    );
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
fn a_failed_analysis_aborts_what_is_held_or_blocked() {
    let steps = || json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}]);
    for blocked in [true, false] {
        let mut world = deployed(steps());
        world.set_image("r/a:v2");
        world.run(20);
        if blocked {
            world.services.remove("canary");
        } else {
            world.command("pause");
        }
        world.run(3);
        world.verdict(RunPhase::Failed);
        world.run(3);
        assert_eq!(world.weight, 0, "{}", world.tail());
        assert!(world.status.abort.is_some());
    }
    // A run is frozen: its template may go.
    let mut world = deployed(steps());
    world.set_image("r/a:v2");
    world.run(20);
    world.templates.values_mut().for_each(|t| *t = None);
    world.verdict(RunPhase::Successful);
    world.run(60);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
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

/// Where it looks, and whether there is a stable version to compare with.
#[test]
fn a_comparison_at_a_hundred_percent_is_refused_before_anything_begins() {
    let errors = json!({"templates": [{"name": "errors"}]});
    let level = json!({"templates": [{"name": "level"}]});
    let full = |step: Value| json!([{"setWeight": 50}, {"setWeight": 100}, step]);
    let rows = [
        (
            "a step at 100",
            full(json!({"analysis": errors})),
            Value::Null,
            true,
        ),
        (
            "a threshold at 100",
            full(json!({"analysis": level})),
            Value::Null,
            false,
        ),
        (
            "background, a pause at 100",
            full(json!({"pause": {}})),
            errors.clone(),
            true,
        ),
        (
            "background, no wait at 100",
            json!([{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}]),
            errors.clone(),
            false,
        ),
        (
            "a step before 100",
            json!([{"setWeight": 50}, {"analysis": errors}, {"setWeight": 100}]),
            Value::Null,
            false,
        ),
    ];
    for (what, steps, background, refused) in rows {
        let mut strategy = routed(steps);
        if !background.is_null() {
            strategy["canary"]["analysis"] = background;
        }
        let mut world = World::new(strategy);
        world.run(10);
        assert_eq!(world.phase(), Phase::Healthy, "{what}: {}", world.tail());
        world.set_image("r/a:v2");
        world.run(20);
        assert_eq!(
            world.phase() == Phase::Invalid,
            refused,
            "{what}: {}",
            world.tail()
        );
        assert_eq!(world.weight == 0, refused, "{what}");
    }
}
