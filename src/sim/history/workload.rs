//! Rollouts that take the place of a Deployment.

#![expect(
    clippy::indexing_slicing,
    reason = "objects that are written right here: indexing adds what is missing"
)]

use serde_json::json;

use super::{Happening, History, at};
use crate::sim::random::Random;

/// Now and then a Rollout has its template from a Deployment, which somebody may scale.
pub(super) fn add(random: &mut Random, history: &mut History) {
    if random.below(6) > 0 {
        return;
    }
    let scale_down = ["OnSuccess", "Progressively", "Never"];
    let scale_down = random.one_of(&scale_down).copied().unwrap_or("OnSuccess");
    history.spec["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "name": "web", "scaleDown": scale_down});
    for _ in 0..random.below(3) {
        let scaled = Happening::ScaleDeployment(i32::try_from(random.below(6)).unwrap_or(0));
        history.happenings.push((at(random, 300), scaled));
    }
    history.happenings.sort_by_key(|(at, _)| *at);
}
