//! What analyses do to a rollout: verdicts, holds, and what cannot be judged.

use serde_json::{Value, json};

use super::deployed;
use super::world::World;
use super::{by_pods, routed};
use crate::api::analysis::Reference;
use crate::api::analysis_status::{RunPhase, Verdict};
use crate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase};
use crate::core::observed::RUN_MAX_DURATION;

#[test]
fn a_rejected_version_was_given_up_even_if_the_status_never_said_so() {
    let mut world =
        deployed(json!([{"setWeight": 25}, {"analysis": {"templates": [{"name": "errors"}]}}]));
    world.set_image("r/a:v2");
    world.run(20);
    let before = world.status.clone();
    world.verdict(RunPhase::Failed);
    world.reconcile();
    assert_eq!(world.reverts.len(), 1);
    // The controller died before it could write the status, and the commit is out of Git already.
    world.status = before;
    world.set_image("r/a:v1");
    world.run(30);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    assert_eq!(world.status.history[0].outcome, Outcome::Aborted);
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

/// With all of the traffic on the new version there is nothing left to compare, so the word is asked
/// for before: at an explicit step and at the end, with a router and by pods.
#[test]
fn the_background_analysis_must_pass_before_it_has_all_of_the_traffic() {
    for by_count in [false, true] {
        let way = if by_count { by_pods } else { routed };
        let share = |world: &World| match by_count {
            true => 25 * world.available("r/a:v2"),
            false => world.weight,
        };
        for steps in [
            json!([{"setWeight": 50}]),
            json!([{"setCanaryScale": {"percent": 100}}, {"setWeight": 50}, {"setWeight": 100}]),
        ] {
            let mut strategy = way(steps);
            strategy["canary"]["analysis"] = json!({"templates": [{"name": "errors"}]});
            let mut world = World::new(strategy);
            world.run(10);
            world.set_image("r/a:v2");
            world.run(60);
            assert_eq!(share(&world), 50, "{}", world.tail());
            assert_eq!(world.phase(), Phase::Progressing, "{}", world.tail());
            // What says nothing raises nothing.
            world.background(Verdict::NoData);
            world.run(60);
            assert_eq!((share(&world), world.phase()), (50, Phase::Paused));
            // It passes for a moment: that is enough, and the status says so first.
            world.background(Verdict::Pass);
            world.reconcile();
            let granted = world.status.canary.clone().unwrap().all_traffic_at;
            assert_eq!(granted, Some(world.now));
            assert_eq!(share(&world), 50, "the record goes before the exposure");
            world.background(Verdict::NoData);
            world.run(90);
            assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());

            world.set_image("r/a:v3");
            world.run(60);
            world.verdict(RunPhase::Failed);
            world.run(60);
            assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
        }
    }
}

#[test]
fn a_wait_for_a_background_analysis_without_evidence_has_a_name() {
    let mut strategy = routed(json!([{"setWeight": 50}]));
    strategy["canary"]["analysis"] = json!({"templates": [{"name": "errors"}]});
    let mut world = World::new(strategy);
    world.run(10);
    world.set_image("r/a:v2");
    world.run(60);
    world.background(Verdict::Inconclusive);
    world.run(60);
    assert_eq!(world.phase(), Phase::Progressing, "{}", world.tail());
    world.run(RUN_MAX_DURATION.as_secs());
    let reason = world.status.pause.as_ref().map(|pause| pause.reason);
    assert_eq!(reason, Some(PauseReason::Inconclusive), "{}", world.tail());
    // It looks on, and what it says then counts.
    world.background(Verdict::Pass);
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
}

/// A version that waits with all of the traffic, after the background analysis gave its word.
fn granted_all() -> World {
    let mut strategy = routed(json!([{"setWeight": 50}, {"setWeight": 100}, {"pause": {}}]));
    strategy["canary"]["analysis"] = json!({"templates": [{"name": "level"}]});
    let mut world = World::new(strategy);
    world.run(10);
    world.set_image("r/a:v2");
    world.run(30);
    world.background(Verdict::Pass);
    world.run(30);
    assert_eq!(world.weight, 100, "{}", world.tail());
    world
}

/// A failure aborts also after the word was given, until the version is stable.
#[test]
fn a_background_analysis_that_fails_late_takes_everything_back() {
    let mut world = granted_all();
    world.verdict(RunPhase::Failed);
    world.run(60);
    assert_eq!((world.weight, world.phase()), (0, Phase::Aborted));
}

/// Not even an edit that takes the rest of the steps away leads past its word; a person does.
#[test]
fn nothing_but_a_person_goes_past_the_background_analysis() {
    let waits = || {
        let mut strategy = routed(json!([{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}]));
        strategy["canary"]["analysis"] = json!({"templates": [{"name": "errors"}]});
        let mut world = World::new(strategy);
        world.run(10);
        world.set_image("r/a:v2");
        world.run(30);
        assert_eq!(world.weight, 50);
        world
    };
    for left in [1, 2] {
        let mut world = waits();
        let steps = world.spec.pointer_mut("/strategy/canary/steps").unwrap();
        let steps = steps.as_array_mut().unwrap();
        steps.truncate(left);
        if left == 2 {
            steps[1] = json!({"setWeight": 100});
        }
        world.generation += 1;
        world.run(60);
        assert_eq!(world.weight, 50, "{left} left: {}", world.tail());
        world.background(Verdict::Pass);
        world.run(90);
        assert_eq!(
            world.phase(),
            Phase::Healthy,
            "{left} left: {}",
            world.tail()
        );
    }
    let mut world = waits();
    world.command("promote");
    world.run(30);
    assert_eq!(world.weight, 50, "the pause is over:\n{}", world.tail());
    world.command("promote");
    world.run(3);
    assert_eq!(world.weight, 100, "the word is given:\n{}", world.tail());
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());

    let mut world = waits();
    world.command("promote-full");
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
}

/// An edit that asks for less takes the word back with the weight: before all of the traffic goes there
/// again, it is asked anew.
#[test]
fn an_edit_that_asks_for_less_takes_the_word_back() {
    let mut world = granted_all();
    world.background(Verdict::NoData);
    let steps = world.spec.pointer_mut("/strategy/canary/steps").unwrap();
    *steps = json!([{"setWeight": 50}, {"setWeight": 60}, {"pause": {}}, {"setWeight": 100}, {"pause": {}}]);
    world.generation += 1;
    world.run(30);
    assert_eq!(world.weight, 60, "{}", world.tail());
    world.command("promote");
    world.run(30);
    assert_eq!(world.weight, 60, "its word is open:\n{}", world.tail());
    world.background(Verdict::Pass);
    world.run(30);
    assert_eq!(world.weight, 100, "{}", world.tail());
}

/// Where it never sees both versions at work, its word can only come afterwards.
#[test]
fn a_background_analysis_of_all_of_the_traffic_speaks_at_the_end() {
    let rows = [
        (json!([]), 0),
        (json!([{"setWeight": 100}]), 0),
        (json!([{"setWeight": 50}, {"setWeight": 100}]), 1),
    ];
    for (steps, starting_step) in rows {
        let mut strategy = routed(steps);
        strategy["canary"]["analysis"] =
            json!({"templates": [{"name": "level"}], "startingStep": starting_step});
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
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    }
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

/// Where an analysis looks, and what its ratios are held against: the stable version beside it, or
/// what that did before it lost its traffic. Then the data count from the moment at which all of the
/// traffic was there.
#[test]
fn what_a_comparison_is_held_against() {
    let errors = json!({"analysis": {"templates": [{"name": "errors"}]}});
    let rows = [
        (
            "before 100",
            routed(json!([{"setWeight": 50}, errors, {"setWeight": 100}])),
            Reference::Stable,
        ),
        (
            "at 100",
            routed(json!([{"setWeight": 50}, {"setWeight": 100}, errors])),
            Reference::StableHistory,
        ),
        (
            "some time after",
            routed(json!([{"setWeight": 100}, {"pause": {"duration": "40s"}}, errors])),
            Reference::StableHistory,
        ),
        (
            "by pods",
            by_pods(json!([{"setWeight": 100}, errors])),
            Reference::StableHistory,
        ),
        (
            "before the switch",
            json!({"blueGreen": {"activeService": "active", "previewService": "preview",
                "prePromotionAnalysis": errors["analysis"]}}),
            Reference::Stable,
        ),
        (
            "after the switch",
            json!({"blueGreen": {"activeService": "active", "previewService": "preview",
                "postPromotionAnalysis": errors["analysis"]}}),
            Reference::StableHistory,
        ),
    ];
    for (what, strategy, reference) in rows {
        let mut world = World::new(strategy);
        world.run(10);
        world.set_image("r/a:v2");
        world.run(90);
        let run = world.run_specs.values().next().unwrap();
        assert_eq!(run.reference, reference, "{what}");
        let status = &world.status;
        let since = match reference {
            Reference::Stable => status.canary.as_ref().unwrap().available_since,
            Reference::StableHistory => status.traffic.as_ref().unwrap().confirmed_at,
        };
        assert_eq!(run.start_at, since, "{what}: {}", world.tail());
        assert!(since.is_some(), "{what}");
        world.verdict(RunPhase::Successful);
        world.run(90);
        assert_eq!(world.phase(), Phase::Healthy, "{what}: {}", world.tail());
    }
}

/// In the background of a wait at 100 % nothing would be compared any more.
#[test]
fn a_comparison_in_the_background_of_everything_is_refused_before_anything_begins() {
    let errors = json!({"templates": [{"name": "errors"}]});
    let level = json!({"templates": [{"name": "level"}]});
    let full = |step: Value| json!([{"setWeight": 50}, {"setWeight": 100}, step]);
    let rows = [
        ("a pause at 100", full(json!({"pause": {}})), &errors, true),
        (
            "an analysis at 100",
            full(json!({"analysis": level})),
            &errors,
            true,
        ),
        ("a threshold", full(json!({"pause": {}})), &level, false),
        (
            "no wait at 100",
            json!([{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}]),
            &errors,
            false,
        ),
        (
            "nothing but 100",
            json!([{"setWeight": 100}]),
            &errors,
            true,
        ),
        ("no steps", json!([]), &errors, true),
    ];
    for (what, steps, background, refused) in rows {
        let mut strategy = routed(steps);
        strategy["canary"]["analysis"] = background.clone();
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
        assert!(
            !refused || world.status.message.contains("analysis step there"),
            "{what}: {}",
            world.status.message
        );
    }
}
