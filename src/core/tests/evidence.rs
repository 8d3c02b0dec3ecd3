//! What an analysis is told of the traffic, what it is refused for before anything begins, what is
//! foreseen of it, and the analysis as a bake when all of the traffic is on the new version.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::World;
use super::{by_pods, deployed, routed};
use crate::api::analysis::Reference;
use crate::api::analysis_status::{RunPhase, TOO_LITTLE_TRAFFIC, Verdict};
use crate::api::rollout_status::{PauseReason, Phase};

fn errors() -> Value {
    json!({"analysis": {"templates": [{"name": "errors"}]}})
}

/// Its second version is at an analysis.
fn analysed(strategy: Value, template: Option<Value>) -> World {
    let mut world = World::new(strategy);
    if let Some(template) = template {
        world.template("errors", template);
    }
    world.run(10);
    world.set_image("r/a:v2");
    world.run(90);
    assert_eq!(world.run_specs.len(), 1, "{}", world.tail());
    world
}

/// The weight and since when it is known to stand, where requests can be held against it.
#[test]
fn a_step_knows_what_the_route_gives_the_new_version() {
    let ratio = json!({"name": "errors", "ratio": {
        "bad": "requests_total{code=~\"5..\",$(arm)}", "total": "requests_total{$(arm)}"}});
    let by = |canary: &str, stable: &str| {
        Some(json!({"arm": {"canary": canary, "stable": stable}, "metrics": [ratio]}))
    };
    let by_service = || {
        by(
            "backend=\"$(canaryService)\"",
            "backend=\"$(stableService)\"",
        )
    };
    let steps = || json!([{"setWeight": 20}, errors()]);
    let mut with_group = routed(steps());
    with_group["canary"]["baseline"] = json!({"replicas": 1});
    let mut background = routed(json!([{"setWeight": 20}, {"pause": {}}]));
    background["canary"]["analysis"] = errors()["analysis"].clone();
    let header =
        json!({"setHeaderRoute": {"name": "beta", "match": [{"header": "x-beta", "exact": "1"}]}});
    let mirror = json!({"setMirrorRoute": {"name": "shadow", "percent": 20}});
    let rows = [
        ("a weight", routed(steps()), None, Some(20)),
        (
            "a later weight",
            routed(json!([{"setWeight": 5}, {"setWeight": 40}, errors()])),
            None,
            Some(40),
        ),
        (
            "by pods' names",
            routed(steps()),
            Some(json!({"arm": {"pods": true}, "metrics": [ratio]})),
            Some(20),
        ),
        (
            "by the router's Services",
            routed(steps()),
            by_service(),
            Some(20),
        ),
        (
            "by the hashes",
            routed(steps()),
            by("v=\"$(canaryHash)\"", "v=\"$(stableHash)\""),
            Some(20),
        ),
        (
            "by who knows what",
            routed(steps()),
            by("track=\"new\"", "track=\"old\""),
            None,
        ),
        (
            "no weight yet",
            routed(json!([{"setCanaryScale": {"replicas": 1}}, errors()])),
            None,
            None,
        ),
        (
            "all of the traffic",
            routed(json!([{"setWeight": 50}, {"setWeight": 100}, errors()])),
            None,
            None,
        ),
        (
            "a header route besides",
            routed(json!([{"setWeight": 20}, header, errors()])),
            None,
            None,
        ),
        (
            "a mirror route besides",
            routed(json!([{"setWeight": 20}, mirror, errors()])),
            None,
            None,
        ),
        ("a control group", with_group, None, None),
        ("the background", background, None, None),
        (
            "by pod counts",
            by_pods(json!([{"setWeight": 50}, errors()])),
            None,
            None,
        ),
        (
            "blue/green",
            json!({"blueGreen": {"activeService": "active", "previewService": "preview",
                "prePromotionAnalysis": errors()["analysis"]}}),
            None,
            None,
        ),
    ];
    for (what, strategy, template, weight) in rows {
        let world = analysed(strategy, template);
        let run = world.run_specs.values().next().unwrap();
        assert_eq!(run.split.map(|split| split.weight), weight, "{what}");
        let Some(split) = run.split else { continue };
        let traffic = world.status.traffic.clone().unwrap();
        assert_eq!(Some(split.since), traffic.confirmed_at, "{what}");
    }
}

/// Whatever is in the way of a verdict holds by name and promotes nothing, however long it takes.
#[test]
fn a_hold_has_its_sentence_and_no_deadline() {
    let mut world = deployed(json!([{"setWeight": 20}, errors(), {"setWeight": 50}]));
    world.set_image("r/a:v2");
    world.run(30);
    for run in world.runs.values_mut() {
        "SplitMismatch".clone_into(&mut run.reason);
        "errors: 20 % of the requests were to go to the new version".clone_into(&mut run.message);
    }
    world.background(Verdict::NoData);
    world.run(700);
    assert_eq!(
        (world.phase(), world.weight),
        (Phase::Paused, 20),
        "{}",
        world.tail()
    );
    let pause = world.status.pause.as_ref().map(|pause| pause.reason);
    assert_eq!(pause, Some(PauseReason::NoData));
    assert!(
        world
            .status
            .message
            .contains("nothing that it could judge: errors: 20 % of"),
        "{}",
        world.status.message
    );
    assert!(world.status.abort.is_none());
}

/// A verdict is not enough: the next weight, and the promotion, wait for pods.
#[test]
fn a_pass_raises_nothing_onto_pods_that_are_not_there() {
    for steps in [
        json!([{"setWeight": 20}, errors(), {"setWeight": 50}]),
        json!([{"setWeight": 20}, errors()]),
    ] {
        let mut world = deployed(steps);
        world.set_image("r/a:v2");
        world.run(30);
        world.broken.insert("r/a:v2".into());
        world.run(3);
        world.verdict(RunPhase::Successful);
        world.run(60);
        assert!(world.weight <= 20, "{}", world.tail());
        world.run(700);
        assert_eq!(
            (world.phase(), world.weight),
            (Phase::Aborted, 0),
            "{}",
            world.tail()
        );
    }
}

fn foreseen(world: &World) -> Option<(String, Timestamp)> {
    let mut all = world.status.conditions.iter();
    let found = all.find(|condition| condition.type_ == TOO_LITTLE_TRAFFIC)?;
    Some((found.message.clone(), found.last_transition_time))
}

#[test]
fn that_the_traffic_will_not_suffice_is_said_once_and_stops_nothing() {
    let mut world = deployed(json!([{"setWeight": 20}, errors()]));
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!(foreseen(&world), None);
    let said = |world: &mut World, reason: &str, message: &str| {
        for run in world.runs.values_mut() {
            reason.clone_into(&mut run.reason);
            message.clone_into(&mut run.message);
        }
        world.run(1);
    };
    said(&mut world, TOO_LITTLE_TRAFFIC, "errors: will not decide");
    let (message, since) = foreseen(&world).unwrap();
    assert!(
        message.contains("errors: will not decide. Give it a larger weight"),
        "{message}"
    );
    let writes = world.status_writes;
    for minute in 0..5 {
        said(
            &mut world,
            TOO_LITTLE_TRAFFIC,
            &format!("errors: {minute} min are left"),
        );
        world.run(4);
    }
    assert_eq!(
        world.status_writes,
        writes,
        "figures alone cost nothing:\n{}",
        world.tail()
    );
    assert_eq!(foreseen(&world).unwrap().1, since);
    let events = world
        .events
        .iter()
        .filter(|reason| **reason == TOO_LITTLE_TRAFFIC);
    assert_eq!(events.count(), 1);
    assert_eq!((world.phase(), world.weight), (Phase::Progressing, 20));
    said(&mut world, "Collecting", "errors: needs about 10 more");
    assert_eq!(foreseen(&world), None);
    said(&mut world, TOO_LITTLE_TRAFFIC, "errors: will not decide");
    world.verdict(RunPhase::Successful);
    world.run(60);
    assert_eq!(
        (world.phase(), foreseen(&world)),
        (Phase::Healthy, None),
        "{}",
        world.tail()
    );
}

/// Before its pods come, a version is refused whose analyses could never come to a verdict.
#[test]
fn what_could_never_be_decided_is_refused_before_anything_begins() {
    let lag = |interval: &str, count: i32| {
        json!({"name": "lag", "threshold": {"query": "max(lag_seconds)", "success": "result < 5.0",
            "interval": interval, "count": count}})
    };
    let ratio = json!({"name": "errors", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}});
    let short = json!({"minBake": "0s", "maxDuration": "70s"});
    let dry = |mut metric: Value| {
        metric["dryRun"] = true.into();
        metric
    };
    let analysis = |more: &str| {
        let mut analysis = errors();
        if !more.is_empty() {
            analysis["analysis"]["maxDuration"] = more.into();
        }
        analysis
    };
    let at_once = |max: &str| json!([{"setWeight": 20}, analysis(max)]);
    let at = "spec.strategy.canary.steps[1].analysis: spec.promote.maxDuration: ";
    let rows = [
        (
            "enough",
            json!({"metrics": [lag("10m", 6)]}),
            at_once(""),
            None,
        ),
        (
            "an hour for ten hours",
            json!({"metrics": [lag("1h", 11)]}),
            at_once(""),
            Some("60m: metric lag cannot be decided before 10 h 1 min"),
        ),
        (
            "the step gives it the time",
            json!({"metrics": [lag("1h", 11)]}),
            at_once("12h"),
            None,
        ),
        (
            "the step takes the time",
            json!({"metrics": [lag("10m", 6)]}),
            at_once("20m"),
            Some("20m: metric lag cannot be decided before 51 min"),
        ),
        (
            "shorter than its bake",
            json!({"metrics": [ratio]}),
            at_once("4m"),
            Some("not less than minBake (5m)"),
        ),
        (
            "a window after the warm-up",
            json!({"metrics": [ratio], "promote": short}),
            at_once(""),
            Some("metric errors cannot be decided before 75 s"),
        ),
        (
            "what was measured before counts",
            json!({"metrics": [ratio], "promote": short}),
            json!([{"setWeight": 20}, {"pause": {"duration": "10m"}}, analysis("")]),
            None,
        ),
        (
            "nothing decides",
            json!({"metrics": [dry(lag("30s", 1)), dry(ratio)]}),
            at_once(""),
            Some("at least one metric must not be dryRun"),
        ),
    ];
    for (what, template, steps, refused) in rows {
        let mut world = World::new(routed(steps));
        world.template("errors", template);
        world.run(10);
        world.set_image("r/a:v2");
        world.run(20);
        let message = &world.status.message;
        let Some(says) = refused else {
            assert_ne!(world.phase(), Phase::Invalid, "{what}: {message}");
            continue;
        };
        assert_eq!(world.phase(), Phase::Invalid, "{what}: {}", world.tail());
        assert!(message.contains(says), "{what}: {message}");
        assert!(
            says.contains("dryRun") || message.contains(at),
            "{what}: {message}"
        );
        assert_eq!((world.weight, world.available("r/a:v2")), (0, 0), "{what}");
    }
}

#[test]
fn a_background_in_which_nothing_decides_is_refused_too() {
    let mut strategy = routed(json!([{"setWeight": 20}, {"pause": {}}]));
    strategy["canary"]["analysis"] = errors()["analysis"].clone();
    let mut world = World::new(strategy);
    let lag = json!({"name": "lag", "dryRun": true, "threshold": {"query": "x", "success": "result < 1.0"}});
    world.template("errors", json!({"metrics": [lag]}));
    world.run(10);
    world.set_image("r/a:v2");
    world.run(20);
    let message = &world.status.message;
    assert!(
        message.contains("canary.analysis: ") && message.contains("dryRun"),
        "{message}"
    );
    assert_eq!((world.phase(), world.weight), (Phase::Invalid, 0));
}

/// When all of the traffic is on the new version the stable one keeps its pods until the analysis has
/// passed, and gets everything back when it fails: with a router and by pod counts.
#[test]
fn an_analysis_of_all_of_the_traffic_can_still_go_back() {
    let steps = || json!([{"setWeight": 50}, {"setWeight": 100}, errors()]);
    let mut lean = routed(steps());
    lean["canary"]["dynamicStableScale"] = true.into();
    // The pods that stable has while the new version is judged.
    let rows = [
        ("with a router", routed(steps()), 4),
        ("by pod counts", by_pods(steps()), 0),
        ("where stable's pods go with its traffic", lean, 0),
    ];
    for (what, strategy, kept) in rows {
        for passes in [false, true] {
            let mut world = analysed(strategy.clone(), None);
            let run = world.run_specs.values().next().unwrap();
            assert_eq!(run.reference, Reference::StableHistory, "{what}");
            let promote = (
                run.promote.min_bake.as_deref(),
                run.promote.max_duration.as_deref(),
            );
            assert_eq!(
                promote,
                (Some("5m"), Some("60m")),
                "{what}: unless the template says more"
            );
            assert_eq!(world.available("r/a:v2"), 4, "{what}: {}", world.tail());
            // It takes as long as it takes: no deadline runs.
            world.run(if passes { 30 } else { 700 });
            assert_eq!(world.available("r/a:v1"), kept, "{what}: {}", world.tail());
            let stable = world
                .status
                .stable
                .as_ref()
                .map(|stable| stable.hash.clone());
            assert_eq!(stable, Some(world.hash_of("r/a:v1")), "{what}");
            if passes {
                world.verdict(RunPhase::Successful);
                world.run(90);
                assert_eq!(world.phase(), Phase::Healthy, "{what}: {}", world.tail());
                assert_eq!(
                    (world.available("r/a:v1"), world.available("r/a:v2")),
                    (0, 4),
                    "{what}"
                );
            } else {
                world.verdict(RunPhase::Failed);
                world.run(120);
                assert_eq!(
                    (world.phase(), world.weight),
                    (Phase::Aborted, 0),
                    "{what}: {}",
                    world.tail()
                );
                assert_eq!(
                    (world.available("r/a:v1"), world.available("r/a:v2")),
                    (4, 0),
                    "{what}"
                );
            }
        }
    }
}
