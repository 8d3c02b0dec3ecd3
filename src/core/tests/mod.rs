//! The planner at its boundary: situations in, plans out, carried out in a small cluster that holds
//! it to its invariants at every write.

#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({..}) reads better than &json!({..})"
)]

mod analysis;
mod attempts;
mod baseline;
mod blue_green;
mod canary;
mod capacity;
mod commands;
mod evidence;
mod golden;
mod hand_over;
mod invariants;
mod kstatus;
mod pods;
mod random;
mod records;
mod refusals;
mod roles;
mod shared_labels;
mod side_routes;
mod sizes;
mod waits;
mod workload;
mod world;

use serde_json::{Value, json};

/// What somebody does to a world.
type Act = fn(&mut world::World);

/// A canary with a user's HTTPRoute and these steps.
fn routed(steps: Value) -> Value {
    json!({"canary": {
        "stableService": "stable", "canaryService": "canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
        "steps": steps,
    }})
}

/// A canary by pod counts.
fn by_pods(steps: Value) -> Value {
    json!({"canary": {"steps": steps}})
}

/// A canary with a router that has its first version.
fn deployed(steps: Value) -> world::World {
    let mut world = world::World::new(routed(steps));
    world.run(10);
    assert_eq!(
        world.phase(),
        crate::api::rollout_status::Phase::Healthy,
        "{}",
        world.tail()
    );
    world
}
