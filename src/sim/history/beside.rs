//! What a canary may have beside its weight, each now and then: copies of requests, a control group.

use serde_json::{Value, json};

use super::History;
use crate::sim::random::Random;

/// Adds it to a history whose Rollout has a router for it.
pub(super) fn add(random: &mut Random, history: &mut History) {
    let (copied, grouped) = (random.below(6) == 0, random.below(4) == 0);
    let Some(canary) = history.spec.pointer_mut("/strategy/canary") else {
        return;
    };
    if grouped && canary.get("trafficRouting").is_some() {
        canary["baseline"] = json!({"replicas": random.between(1, 3)});
    }
    let by_gateway = canary.pointer("/trafficRouting/gatewayAPI").is_some();
    let steps = canary.get_mut("steps").and_then(Value::as_array_mut);
    let Some(steps) = steps.filter(|_| copied && by_gateway) else {
        return;
    };
    let mut place = |from: usize, steps: &Vec<Value>| {
        let more = random.below((steps.len() - from) as u64 + 1);
        from + usize::try_from(more).unwrap_or(0)
    };
    let at = place(0, steps);
    let later = place(at, steps);
    let percent = random.between(1, 100);
    steps.insert(later, json!({"setMirrorRoute": {"name": "shadow"}}));
    steps.insert(
        at,
        json!({"setMirrorRoute": {"name": "shadow", "percent": percent}}),
    );
}
