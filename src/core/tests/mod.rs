//! The planner at its boundary: situations in, plans out, carried out in a small cluster that holds
//! it to its invariants at every write.

#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({..}) reads better than &json!({..})"
)]

mod blue_green;
mod canary;
mod commands;
mod pods;
mod random;
mod world;

use serde_json::{Value, json};

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
