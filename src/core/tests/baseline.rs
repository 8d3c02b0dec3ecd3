//! A control group: fresh pods of the stable version beside a canary.

use serde_json::{Value, json};

use super::world::World;
use super::{Act, deployed};
use crate::api::rollout_status::Phase;
use crate::core::plan::Write;

/// A canary with a control group of two, as far as its first pause.
fn going_out(steps: Value) -> World {
    let mut world = deployed(steps);
    world.spec["strategy"]["canary"]["baseline"] = json!({"replicas": 2});
    world.generation += 1;
    world.run(5);
    assert!(world.baselines.is_empty(), "{}", world.tail());
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!(world.phase(), Phase::Paused, "{}", world.tail());
    world
}

/// Sizes of the control groups, with the version that each is of.
fn groups(world: &World) -> Vec<(bool, i32)> {
    let stable = world.hash_of("r/a:v1");
    let all = world.baselines.values();
    all.map(|rs| (rs.hash == stable, rs.desired)).collect()
}

#[test]
fn it_comes_with_the_canarys_pods_and_is_of_the_stable_version() {
    let world = going_out(json!([{"setWeight": 20}, {"pause": {}}]));
    assert_eq!(groups(&world), [(true, 2)], "{}", world.tail());
    let made = world
        .log
        .iter()
        .position(|line| line.contains("create baseline"));
    let begun = world
        .log
        .iter()
        .rposition(|line| line.contains("create ReplicaSet"));
    assert!(begun < made, "{}", world.tail());
    assert_eq!(world.available("r/a:v1"), 4, "on top of stable's own");
}

/// Whatever ends the comparison takes it away, in the end without a trace.
#[test]
fn it_goes_when_there_is_nothing_to_compare() {
    let ways: [(&str, Act, Phase); 4] = [
        ("promoted", |w| w.command("promote-full"), Phase::Healthy),
        ("aborted", |w| w.command("abort"), Phase::Aborted),
        ("back to stable", |w| w.set_image("r/a:v1"), Phase::Healthy),
        (
            "no longer asked for",
            |w| {
                let canary = w.spec["strategy"]["canary"].as_object_mut().unwrap();
                canary.remove("baseline");
                w.generation += 1;
            },
            Phase::Paused,
        ),
    ];
    for (name, end, phase) in ways {
        let mut world = going_out(json!([{"setWeight": 20}, {"pause": {}}]));
        end(&mut world);
        world.run(120);
        assert_eq!(groups(&world), [], "{name}\n{}", world.tail());
        assert_eq!(world.phase(), phase, "{name}\n{}", world.tail());
    }
    let mut world = going_out(json!([{"setWeight": 20}, {"pause": {}}]));
    world.set_image("r/a:v3");
    world.run(60);
    assert_eq!(groups(&world), [(true, 2)], "the next one is compared, too");
}

/// While stable's own pods do not suffice, the others stay.
#[test]
fn it_stays_where_stable_is_short() {
    let mut world = going_out(json!([{"setWeight": 20}, {"pause": {}}]));
    world.few.insert("r/a:v1".into(), 3);
    world.run(5);
    world.command("abort");
    world.run(30);
    assert_eq!(groups(&world), [(true, 2)], "{}", world.tail());
    world.few.clear();
    world.run(30);
    assert_eq!(groups(&world), [], "{}", world.tail());
}

/// Nothing new comes while a rollout is held, and all of the traffic leaves nothing to compare.
#[test]
fn it_waits_and_ends_with_the_steps() {
    let steps = json!([{"setCanaryScale": {"replicas": 1}}, {"pause": {}}, {"setWeight": 100}, {"pause": {}}]);
    let mut world = going_out(steps);
    assert_eq!(groups(&world), [(true, 2)]);
    world.command("promote");
    world.run(120);
    assert_eq!(world.weight, 100, "{}", world.tail());
    assert_eq!(groups(&world), [], "{}", world.tail());

    let mut held = deployed(json!([{"setWeight": 20}, {"pause": {}}]));
    held.spec["strategy"]["canary"]["baseline"] = json!({"replicas": 2});
    held.spec["paused"] = json!(true);
    held.set_image("r/a:v2");
    held.run(30);
    assert_eq!(groups(&held), [], "{}", held.tail());
}

/// It comes after the status: whoever refuses it stops nothing.
#[test]
fn nothing_waits_for_it() {
    let mut world = deployed(json!([{"setWeight": 20}, {"pause": {}}]));
    world.spec["strategy"]["canary"]["baseline"] = json!({"replicas": 2});
    world.set_image("r/a:v2");
    for _ in 0..60 {
        let plan = crate::core::decide::decide(&world.observe(), world.now);
        let made = |write: &Write| matches!(write, Write::CreateBaseline(_));
        assert!(!plan.writes.iter().any(made), "{:?}", plan.writes);
        world.run(1);
        world.baselines.clear();
    }
    assert_eq!(world.phase(), Phase::Paused, "{}", world.tail());
}

/// By the names of the pods that their ReplicaSets make.
#[test]
fn versions_can_be_told_apart_by_their_pods_names() {
    let errors = json!({"analysis": {"templates": [{"name": "errors"}]}});
    let mut world = deployed(json!([{"setWeight": 50}, errors]));
    let template = world.templates.values_mut().flatten();
    for template in template {
        template.arm = Some(crate::api::analysis::Arm {
            pods: true,
            ..crate::api::analysis::Arm::default()
        });
    }
    world.set_image("r/a:v2");
    world.run(60);
    let run = world.run_specs.values().next().unwrap();
    let arm = run.arm.clone().unwrap();
    let pods = |hash: &str| Some(format!("pod=~\"web-{hash}-[a-z0-9]{{5}}\""));
    let expected = (pods(&run.canary_hash), pods(&run.stable_hash), false);
    assert_eq!((arm.canary, arm.stable, arm.pods), expected);
}

/// A ratio is held against the control group, where the versions are told apart by their pods and both
/// have traffic.
#[test]
fn a_comparison_is_with_the_control_group() {
    let errors = json!({"analysis": {"templates": [{"name": "errors"}]}});
    let own = "rollouts_pod_template_hash=\"S\",pod=~\"web-S-baseline-[^-]+\"";
    // Where it is asked, whether there is a group, the stable version's matchers.
    let rows = [
        (json!([{"setWeight": 50}, errors]), true, Some(own)),
        (json!([{"setWeight": 50}, errors]), false, None),
        (json!([{"setWeight": 100}, errors]), true, None),
    ];
    for (steps, grouped, expected) in rows {
        let mut world = deployed(steps.clone());
        if grouped {
            world.spec["strategy"]["canary"]["baseline"] = json!({"replicas": 1});
        }
        world.set_image("r/a:v2");
        world.run(60);
        let run = world.run_specs.values().next().unwrap();
        let arm = run.arm.clone().unwrap();
        let found = arm.stable.map(|text| text.replace(&run.stable_hash, "S"));
        assert_eq!(found.as_deref(), expected, "{steps}");
        let plan = crate::analysis::plan::parse(run, world.now);
        assert!(plan.is_ok(), "{steps}: {plan:?}");
    }
}
