//! Side routes: requests that go to the new version by their headers, and copies of requests.

use serde_json::{Value, json};

use super::world::World;
use super::{Act, deployed};
use crate::api::rollout_status::Phase;

fn set(name: &str) -> Value {
    let header = format!("x-{name}");
    json!({"setHeaderRoute": {"name": name, "match": [{"header": header, "exact": "1"}]}})
}

fn removed(name: &str) -> Value {
    json!({"setHeaderRoute": {"name": name}})
}

/// The header routes that stand.
fn standing(world: &World) -> Vec<&str> {
    world.side_routes.iter().map(|h| h.name.as_str()).collect()
}

/// Goes out with these steps, as far as the first pause.
fn going_out(steps: Value) -> World {
    let mut world = deployed(steps);
    world.set_image("r/a:v2");
    world.run(30);
    assert_eq!(world.phase(), Phase::Paused, "{}", world.tail());
    world
}

#[test]
fn header_routes_come_and_go_with_their_steps() {
    let pause = json!({"pause": {}});
    let mut world = going_out(json!([
        set("beta"), pause, {"setWeight": 20}, set("inside"), pause, removed("beta"), pause
    ]));
    // Without a weight, on one pod.
    assert_eq!((standing(&world), world.weight), (vec!["beta"], 0));
    assert_eq!(world.available("r/a:v2"), 1);
    let traffic = world.status.traffic.clone().unwrap();
    assert_eq!(traffic.header_routes, ["beta"]);
    for (names, weight) in [(vec!["beta", "inside"], 20), (vec!["inside"], 20)] {
        world.command("promote");
        world.run(30);
        assert_eq!(
            (standing(&world), world.weight),
            (names, weight),
            "{}",
            world.tail()
        );
    }
    // The last one goes at the end.
    world.command("promote");
    world.run(90);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    assert_eq!((standing(&world), world.weight), (vec![], 0));
    assert_eq!(world.status.traffic.unwrap().header_routes, [""; 0]);
}

fn copied(percent: i32) -> Value {
    json!({"setMirrorRoute": {"name": "shadow", "percent": percent}})
}

/// Copies come onto pods for their share, change with the steps and end with them.
#[test]
fn copies_come_and_go_with_their_steps() {
    let pause = json!({"pause": {}});
    let gone = json!({"setMirrorRoute": {"name": "shadow"}});
    let mut world = going_out(json!([
        copied(20), pause, copied(100), pause, gone, {"setWeight": 20}, pause
    ]));
    let of = |world: &World| {
        let copies = world.side_routes.iter().map(|side| side.copies());
        (
            copies.collect::<Vec<_>>(),
            world.weight,
            world.available("r/a:v2"),
        )
    };
    let replicas = world.spec["replicas"].as_i64().unwrap();
    let pods_for = |percent: i64| i32::try_from((percent * replicas + 99) / 100).unwrap();
    assert_eq!(of(&world), (vec![20], 0, pods_for(20)), "{}", world.tail());
    let traffic = world.status.traffic.clone().unwrap();
    assert_eq!(traffic.mirror_routes, ["shadow"]);
    assert_eq!(traffic.header_routes, [""; 0]);
    for expected in [(vec![100], 0, pods_for(100)), (vec![], 20, pods_for(20))] {
        world.command("promote");
        world.run(60);
        assert_eq!(of(&world), expected, "{}", world.tail());
    }
    let traffic = world.status.traffic.clone().unwrap();
    assert_eq!(traffic.mirror_routes, [""; 0]);
}

/// Whatever ends the authority takes the route away, in one write, and the pods after it.
#[test]
fn a_header_route_goes_before_its_pods() {
    let ways: [(&str, Act); 5] = [
        ("aborted", |world| world.command("abort")),
        ("superseded", |world| world.set_image("r/a:v3")),
        ("back to stable", |world| world.set_image("r/a:v1")),
        ("deleted", |world| world.delete()),
        ("the steps are edited", |world| {
            world.spec["strategy"]["canary"]["steps"][0] = json!({"setWeight": 0});
            world.generation += 1;
        }),
    ];
    for (name, end) in ways {
        let mut world = going_out(json!([set("beta"), copied(10), {"pause": {}}]));
        assert_eq!(
            (standing(&world), world.weight),
            (vec!["beta", "shadow"], 0),
            "{name}"
        );
        end(&mut world);
        world.reconcile();
        world.reconcile();
        assert_eq!(standing(&world), [""; 0], "{name}\n{}", world.tail());
        assert_eq!(world.available("r/a:v2"), 1, "{name}\n{}", world.tail());
        world.run(60);
        let left = i32::from(name == "the steps are edited");
        assert!(
            world.available("r/a:v2") <= left,
            "{name}\n{}",
            world.tail()
        );
    }
}

/// Users who come by a header would find nobody on a stable version without pods; copies are nobody's.
#[test]
fn copies_end_also_where_stable_serves_nobody() {
    let mut world = going_out(json!([set("beta"), copied(10), {"pause": {}}]));
    world.short_of("r/a:v1", 0);
    world.run(5);
    world.command("abort");
    world.run(60);
    assert_eq!(standing(&world), ["beta"], "{}", world.tail());
    world.few.clear();
    world.run(60);
    assert_eq!(standing(&world), [""; 0], "{}", world.tail());
}

/// A held rollout gets no new one; the one that stands stays.
#[test]
fn nothing_new_comes_while_a_rollout_is_held() {
    let mut world = going_out(json!([set("beta"), {"pause": {}}, set("inside"), {"pause": {}}]));
    world.command("promote");
    world.command("pause");
    world.run(30);
    assert_eq!(standing(&world), ["beta"], "{}", world.tail());
    world.command("resume");
    world.run(30);
    assert_eq!(standing(&world), ["beta", "inside"], "{}", world.tail());
}

/// Somebody who takes the rule away is answered at once, and then at most every ten seconds.
#[test]
fn a_header_route_that_somebody_takes_away_is_put_back() {
    let mut world = going_out(json!([set("beta"), {"pause": {}}]));
    let writes = |world: &World| {
        let has = |line: &&String| line.contains("by header");
        world.log.iter().filter(has).count()
    };
    let before = writes(&world);
    for _ in 0..30 {
        world.side_routes.clear();
        world.run(1);
    }
    assert_eq!(standing(&world), ["beta"], "{}", world.tail());
    let again = writes(&world) - before;
    assert!((2..=4).contains(&again), "{again}\n{}", world.tail());
    assert!(world.events.contains(&"WeightReset"), "{:?}", world.events);
}

#[test]
fn a_canary_without_pods_gets_no_header_route() {
    let mut world = deployed(json!([set("beta"), {"pause": {}}]));
    world.broken.insert("r/a:v2".into());
    world.set_image("r/a:v2");
    world.run(100);
    assert_eq!(
        (standing(&world), world.phase()),
        (vec![], Phase::Progressing)
    );
    world.run(600);
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.tail());
}
