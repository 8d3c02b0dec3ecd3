//! First the record: what stands in no status yet makes nothing stable, and an end that does not come
//! is said.

use serde_json::{Value, json};

use super::world::World;
use super::{by_pods, deployed};
use crate::api::rollout_status::{Phase, SourceStatus};
use crate::core::decide::decide;
use crate::core::plan::Write;

/// A version on its way while there are no pods: nothing is waited for but what the steps say.
fn without_pods(steps: Value) -> World {
    let mut world = deployed(steps);
    world.users_own_pods_died = true;
    world.set_replicas(0);
    world.run(60);
    world.set_image("r/a:v2");
    world.run(30);
    world
}

/// Pipelines write down what they cloned from as they have it.
#[test]
fn a_token_in_a_repositorys_address_gets_into_no_object() {
    let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
    for (key, value) in [
        (
            "repo",
            "https://ci:s3cret@git.example/shop.git?token=s3cret",
        ),
        ("branch", "main"),
        ("path", "deploy"),
    ] {
        let key = format!("tidegate.io/source-{key}");
        world.annotations.insert(key, value.to_owned());
    }
    world.run(5);
    world.set_image("r/a:v2");
    world.run(30);
    let source = |source: &Option<SourceStatus>| source.as_ref().map(|s| s.repo.clone());
    let bare = Some("https://git.example/shop.git".to_owned());
    let (stable, canary) = (&world.status.stable, &world.status.canary);
    assert_eq!(source(&stable.as_ref().unwrap().source), bare);
    assert_eq!(source(&canary.as_ref().unwrap().source), bare);
    world.command("abort");
    let mut reverts = Vec::new();
    for _ in 0..60 {
        reverts.extend(
            world
                .reconcile()
                .writes
                .into_iter()
                .filter_map(|write| match write {
                    Write::CreateRevert { spec, .. } => Some(spec),
                    _ => None,
                }),
        );
        world.tick();
    }
    let [revert] = reverts.as_slice() else {
        panic!("{}", world.tail());
    };
    assert_eq!(revert.source.as_ref().map(|s| s.repo.clone()), bare);
    for object in [json!(revert), json!(world.status)] {
        assert!(!object.to_string().contains("s3cret"), "{object}");
    }
}

fn stable_is(world: &World, image: &str) -> bool {
    let stable = world.status.stable.as_ref();
    stable.is_some_and(|stable| stable.hash == world.hash_of(image))
}

/// One decision could do all of it; a call that fails would then leave a version that is stable and a
/// word that is on no record.
#[test]
fn a_persons_word_is_written_down_before_a_version_is_stable_by_it() {
    let analysis = json!([{"analysis": {"templates": [{"name": "errors"}]}}]);
    for verb in ["promote", "promote-full", "retry"] {
        let mut world = without_pods(analysis.clone());
        if verb == "retry" {
            world.command("abort");
            world.run(30);
            assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
            world.spec["strategy"]["canary"]["steps"] = json!([]);
            world.generation += 1;
            world.run(5);
        }
        world.command(verb);
        let plan = world.reconcile();
        let switches = plan
            .writes
            .iter()
            .any(|write| matches!(write, Write::SwitchService { .. }));
        let handled = world.status.handled_commands.contains_key(verb);
        let said = (handled, switches, stable_is(&world, "r/a:v1"));
        assert_eq!(said, (true, false, true), "{verb}\n{}", world.tail());
        world.run(30);
        assert!(stable_is(&world, "r/a:v2"), "{verb}\n{}", world.tail());
        let last = world.status.last_handled_command.as_ref().unwrap();
        assert_eq!(last.result, "Accepted", "{verb}");
    }
}

/// Whoever asks for nothing and for pods again in the next moment finds everything as it was.
#[test]
fn scaled_to_nothing_nobody_becomes_stable_while_the_old_version_serves() {
    let mut world = deployed(json!([{"setWeight": 25}]));
    world.users_own_pods_died = true;
    world.set_image("r/a:v2");
    world.run(2);
    world.set_replicas(0);
    world.converge();
    let found = (stable_is(&world, "r/a:v1"), world.available("r/a:v1"));
    assert_eq!(found, (true, 4), "{}", world.tail());
    world.set_replicas(4);
    world.run(2);
    assert!(stable_is(&world, "r/a:v1"), "{}", world.tail());
    // When the old pods are gone, so is the traffic, and the stable Service goes over with the record.
    world.set_replicas(0);
    world.run(60);
    assert!(stable_is(&world, "r/a:v2"), "{}", world.tail());
    let named = world.services["stable"].hash.clone();
    assert_eq!(named, Some(world.hash_of("r/a:v2")), "{}", world.tail());
}

/// The pods of a version that was given up stand in for others as long as these do not come up.
#[test]
fn an_abort_that_stable_cannot_take_back_is_degraded_when_its_time_is_over() {
    let mut world = World::new(by_pods(json!([{"setWeight": 50}, {"pause": {}}])));
    world.spec["progressDeadlineSeconds"] = 100.into();
    world.run(20);
    world.set_image("r/a:v2");
    world.run(60);
    world.broken.insert("r/a:v1".into());
    world.run(5);
    world.command("abort");
    world.run(60);
    assert_eq!(world.phase(), Phase::Aborting, "{}", world.tail());
    world.run(60);
    let said = world.status.message.as_str();
    assert_eq!(world.phase(), Phase::Degraded, "{}", world.tail());
    assert!(said.starts_with("stable does not come"), "{said}");
    world.broken.clear();
    world.run(60);
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
    let told = world.events.iter().filter(|e| **e == "Degraded");
    assert_eq!(told.count(), 1, "{:?}", world.events);
}

/// A step asks for more as soon as it begins; until its pods are there, what is written is the same
/// again, and a ReplicaSet that is refused has that decided anew at every look.
#[test]
fn a_step_that_waits_puts_nothing_back_more_often() {
    let mut world = deployed(json!([{"setWeight": 25}]));
    world.weight = 13;
    world.run(5);
    assert_eq!(world.weight, 0, "{}", world.tail());
    world.weight = 63;
    world.set_image("r/a:v2");
    let sets = |world: &World| {
        let plan = decide(&world.observe(), world.now);
        let is_weight = |write: &Write| matches!(write, Write::SetWeight { .. });
        plan.writes.iter().any(is_weight)
    };
    assert!(!sets(&world), "{}", world.tail());
    for _ in 0..10 {
        world.tick();
    }
    assert!(sets(&world), "{}", world.tail());
}
