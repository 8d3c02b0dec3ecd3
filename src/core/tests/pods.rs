//! Canary by pod counts.

use serde_json::json;

use super::by_pods;
use super::world::World;
use crate::api::rollout_status::Phase;

#[test]
fn a_version_goes_out_by_pod_counts() {
    let mut world = World::new(by_pods(
        json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]),
    ));
    world.run(5);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    let before = world.log.len() + world.events.len();
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(
        (world.available("r/a:v2"), world.available("r/a:v1")),
        (1, 3),
        "{}",
        world.tail()
    );
    assert_eq!(world.phase(), Phase::Paused);
    world.command("promote");
    world.run(20);
    assert_eq!(
        (world.available("r/a:v2"), world.available("r/a:v1")),
        (2, 2)
    );
    world.command("promote");
    world.run(30);
    assert_eq!(
        (world.available("r/a:v2"), world.available("r/a:v1")),
        (4, 0)
    );
    assert_eq!(world.phase(), Phase::Healthy);
    let writes = world.log.len() + world.events.len() - before;
    assert!(writes <= 8 + 4 * 3, "{writes} writes:\n{}", world.tail());
}

#[test]
fn available_pods_never_fall_below_the_floor() {
    for (surge, unavailable) in [("25%", "0%"), ("0%", "25%"), ("100%", "0%")] {
        let mut strategy = by_pods(json!([{"setWeight": 50}]));
        strategy["canary"]["maxSurge"] = surge.into();
        strategy["canary"]["maxUnavailable"] = unavailable.into();
        let mut world = World::new(strategy);
        world.run(5);
        world.set_image("r/a:v2");
        let floor = 4 - i32::from(unavailable == "25%");
        for _ in 0..60 {
            world.run(1);
            let serving: i32 = world.rs.values().map(|rs| rs.available).sum();
            assert!(
                serving >= floor,
                "{serving} under {surge}/{unavailable}\n{}",
                world.tail()
            );
        }
        assert_eq!(
            world.available("r/a:v2"),
            4,
            "{surge}/{unavailable}\n{}",
            world.tail()
        );
    }
}

#[test]
fn an_abort_brings_stable_back_before_the_canary_goes() {
    let mut world = World::new(by_pods(json!([{"setWeight": 50}, {"pause": {}}])));
    world.run(5);
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(
        (world.available("r/a:v2"), world.available("r/a:v1")),
        (2, 2)
    );
    world.command("abort");
    for _ in 0..20 {
        world.run(1);
        let serving: i32 = world.rs.values().map(|rs| rs.available).sum();
        assert!(serving >= 4, "{}", world.tail());
    }
    assert_eq!(
        (world.available("r/a:v2"), world.available("r/a:v1")),
        (0, 4)
    );
    assert_eq!(world.phase(), Phase::Aborted);
}

#[test]
fn pods_that_crash_do_not_stop_a_new_version() {
    let mut world = World::new(by_pods(json!([{"setWeight": 50}, {"pause": {}}])));
    world.run(5);
    world.broken.insert("r/a:v2".into());
    world.set_image("r/a:v2");
    world.run(20);
    world.set_image("r/a:v3");
    world.run(20);
    assert_eq!(
        (world.available("r/a:v3"), world.available("r/a:v1")),
        (2, 2),
        "{}",
        world.tail()
    );
    let broken = world.hash_of("r/a:v2");
    assert_eq!(world.rs[&broken].desired, 0);
}
