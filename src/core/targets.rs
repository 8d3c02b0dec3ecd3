//! Where a Rollout should be now: which version carries what, on how many pods. Every situation
//! (first deployment, canary, blue/green, abort, going back) is one of these, and the same moves
//! bring the cluster there.

use jiff::Timestamp;

use super::draft::Draft;
use super::spec::{CanaryScale, Means, SideRoute, Spec, Step};
use super::traffic::{LiveTraffic, pods_for};

/// Where a Rollout should be now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Targets {
    /// The version that carries what the canary does not.
    pub stable: String,
    /// The version that is brought out, or taken back.
    pub canary: Option<String>,
    /// Percent of the traffic that the canary may have.
    pub weight: i32,
    /// Which requests the canary may have besides, or copies of.
    pub side_routes: Vec<SideRoute>,
    /// Pods of stable.
    pub stable_replicas: i32,
    /// Pods of the canary.
    pub canary_replicas: i32,
    /// Whether the canary was given up.
    pub aborted: bool,
    /// Since when it is to be so: bounds how long a short-handed stable is waited for.
    pub since: Timestamp,
}

impl Targets {
    /// One version carries everything.
    pub fn only(draft: &Draft<'_>, stable: &str) -> Self {
        Self {
            stable: stable.to_owned(),
            canary: None,
            weight: 0,
            side_routes: Vec::new(),
            stable_replicas: draft.spec.replicas,
            canary_replicas: 0,
            aborted: false,
            since: draft.now,
        }
    }

    /// The canary was given up: everything back to stable.
    pub fn back(draft: &Draft<'_>, stable: &str, canary: &str, since: Timestamp) -> Self {
        Self {
            canary: Some(canary.to_owned()),
            aborted: true,
            since,
            ..Self::only(draft, stable)
        }
    }

    /// The canary is at `step` (from 0; past the last: all traffic).
    pub fn at_step(draft: &Draft<'_>, stable: &str, canary: &str, step: usize) -> Self {
        let weight = match authorised_weight(&draft.spec.steps, step) {
            100 if !all_traffic_granted(draft) => weight_before_all(&draft.spec.steps, step),
            weight => weight,
        };
        let replicas = draft.spec.replicas;
        let (canary_replicas, stable_replicas) = match draft.spec.means {
            Means::Pods { .. } => split_pods(weight, replicas),
            Means::Routes { .. } | Means::Active { .. } => (
                canary_pods(draft.spec, step, weight),
                stable_pods(draft.spec, weight),
            ),
        };
        Self {
            canary: Some(canary.to_owned()),
            weight,
            side_routes: draft.spec.side_routes_at(step),
            stable_replicas,
            canary_replicas,
            since: draft
                .status
                .canary
                .as_ref()
                .and_then(|c| c.started_at)
                .unwrap_or(draft.now),
            ..Self::only(draft, stable)
        }
    }

    /// What still flows to a version between goes by way of stable, which needs its pods for that.
    pub fn by_way_of_stable(&mut self, draft: &Draft<'_>, live: &LiveTraffic) {
        let Means::Routes { canary_service, .. } = &draft.spec.means else {
            return;
        };
        let named = draft.service(canary_service).map(|s| &s.hash);
        if live.reaches_canary() && named.is_some_and(|hash| *hash != self.canary) {
            self.stable_replicas = draft.spec.replicas;
        }
    }

    /// Nothing rises: neither the weight nor, for a version that nothing flows to yet, its pods.
    pub fn hold(&mut self, draft: &Draft<'_>, live: &LiveTraffic) {
        let Some(canary) = &self.canary else { return };
        if matches!(draft.spec.means, Means::Pods { .. }) {
            let now = draft.replica_set(canary).map_or(0, |rs| rs.desired);
            if now < self.canary_replicas {
                self.canary_replicas = now;
                self.stable_replicas = (draft.spec.replicas - now).max(self.stable_replicas);
            }
        } else {
            // What somebody else gave it meanwhile is no weight that it had, and of a route that
            // cannot be read nobody knows that it lost any.
            let had = draft.o.rollout.status.traffic.as_ref();
            let had = had.map_or(live.weight, |traffic| match live.readable {
                true => traffic.desired.min(live.weight),
                false => traffic.desired,
            });
            self.weight = self.weight.min(had);
            let standing = live.side_routes.as_deref().unwrap_or_default();
            self.side_routes.retain(|side| standing.contains(side));
            self.stable_replicas = stable_pods(draft.spec, self.weight);
        }
    }
}

/// Percent that the steps up to and including `step` allow; past the last step: 100.
pub(super) fn authorised_weight(steps: &[Step], step: usize) -> i32 {
    if step >= steps.len() {
        return 100;
    }
    let set = steps.iter().take(step + 1).rev().find_map(|s| match s {
        Step::SetWeight(weight) => Some(*weight),
        _ => None,
    });
    set.unwrap_or(0)
}

/// Whether all of the traffic was authorised, once the steps asked for it.
fn all_traffic_granted(draft: &Draft<'_>) -> bool {
    let canary = draft.status.canary.as_ref();
    canary.is_some_and(|c| c.full || c.all_traffic_at.is_some())
}

/// Percent that the steps up to and including `step` allow before they allow everything.
fn weight_before_all(steps: &[Step], step: usize) -> i32 {
    let mut set = steps.iter().take(step.saturating_add(1)).rev();
    let below = set.find_map(|s| match s {
        Step::SetWeight(weight) if *weight < 100 => Some(*weight),
        _ => None,
    });
    below.unwrap_or(0)
}

/// Pods of the canary with a router: what `setCanaryScale` says, else what the weight needs. Past the
/// last step and with all of the traffic: as many as stable had.
fn canary_pods(spec: &Spec, step: usize, weight: i32) -> i32 {
    let (steps, replicas) = (&spec.steps, spec.replicas);
    if step >= steps.len() && weight == 100 {
        return replicas;
    }
    let scale = steps
        .iter()
        .take(step.saturating_add(1))
        .rev()
        .find_map(|s| match s {
            Step::SetCanaryScale(scale) => Some(scale),
            _ => None,
        });
    match scale {
        Some(CanaryScale::Replicas(n)) => *n,
        Some(CanaryScale::Percent(percent)) => pods_for(*percent, replicas),
        Some(CanaryScale::MatchTraffic) | None => {
            pods_of_share(spec, weight_with_sides(spec, step, weight))
        }
    }
}

/// Percent of all requests that the canary's pods answer: those of the weight and the copies of a
/// mirror route. Requests that come by their headers need a pod at any weight.
fn weight_with_sides(spec: &Spec, step: usize, weight: i32) -> i32 {
    let sides = spec.side_routes_at(step);
    let copies: i32 = sides.iter().map(SideRoute::copies).sum();
    let least = i32::from(!sides.is_empty());
    (weight + copies).clamp(least, 100)
}

/// Pods of stable while the canary has `weight`.
fn stable_pods(spec: &Spec, weight: i32) -> i32 {
    if spec.capacity.stable_follows_traffic {
        pods_of_share(spec, 100 - weight)
    } else {
        spec.replicas
    }
}

/// Pods of a version with this share of the traffic: what it needs, and not fewer than
/// `minPodsPerReplicaSet`.
fn pods_of_share(spec: &Spec, share: i32) -> i32 {
    match pods_for(share, spec.replicas) {
        0 => 0,
        needed => needed.max(spec.capacity.min_pods.min(spec.replicas)),
    }
}

/// Canary and stable pods whose counts come nearest to `weight` without exceeding it, but for the
/// one pod that a weight above 0 needs and the one that a weight under 100 leaves.
pub(super) fn split_pods(weight: i32, replicas: i32) -> (i32, i32) {
    if replicas == 0 || weight == 0 {
        return (0, replicas);
    }
    if weight == 100 {
        return (replicas, 0);
    }
    let product = i64::from(weight) * i64::from(replicas) / 100;
    let canary = i32::try_from(product).unwrap_or(replicas).max(1);
    (canary, (replicas - canary).max(1))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pod_counts_never_exceed_the_weight_but_for_one_pod() {
        for replicas in 0..60 {
            for weight in 0..=100 {
                let (canary, stable) = split_pods(weight, replicas);
                assert!(
                    canary <= 1 || canary * 100 <= weight * replicas,
                    "{weight} {replicas}"
                );
                assert!(canary + stable >= replicas && canary + stable <= replicas + 1);
                assert_eq!(canary == 0, weight == 0 || replicas == 0);
                assert_eq!(stable == 0, weight == 100 || replicas == 0);
            }
        }
        assert_eq!(split_pods(25, 10), (2, 8));
        assert_eq!(split_pods(5, 10), (1, 9));
        assert_eq!(split_pods(50, 1), (1, 1));
        assert_eq!(split_pods(99, i32::MAX).0, 2_126_008_810);
    }

    /// A canary with a router of 10 pods.
    fn spec(canary: &Value) -> Spec {
        let mut rollout = json!({
            "replicas": 10,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"spec": {"containers": [{"image": "r/a:v1"}]}},
            "strategy": {"canary": {
                "stableService": "stable", "canaryService": "canary",
                "trafficRouting": {"nginx": {"ingresses": [{"name": "web"}]}},
            }},
        });
        for (field, value) in canary.as_object().unwrap() {
            rollout["strategy"]["canary"][field] = value.clone();
        }
        crate::core::spec::parse(&serde_json::from_value(rollout).unwrap()).unwrap()
    }

    #[test]
    fn the_weight_is_the_last_one_set_and_all_past_the_end() {
        let three = spec(
            &json!({"steps": [{"setCanaryScale": {"replicas": 3}}, {"setWeight": 5}, {"setWeight": 25}]}),
        );
        let steps = &three.steps;
        let weights: Vec<i32> = (0..4).map(|s| authorised_weight(steps, s)).collect();
        assert_eq!(weights, [0, 5, 25, 100]);
        let pods: Vec<i32> = (0..4)
            .map(|s| canary_pods(&three, s, authorised_weight(steps, s)))
            .collect();
        assert_eq!(pods, [3, 3, 3, 10]);
        assert_eq!(authorised_weight(&[], 0), 100);
        let before: Vec<i32> = [0, 1, 2, 3, usize::MAX]
            .map(|s| weight_before_all(steps, s))
            .into();
        assert_eq!(before, [0, 5, 25, 25, 25]);
        assert_eq!(
            weight_before_all(&[Step::SetWeight(60), Step::SetWeight(100)], 1),
            60
        );
        let by_weight = spec(&json!({"steps": [{"setWeight": 5}, {"setWeight": 25}]}));
        assert_eq!(
            canary_pods(&by_weight, 2, 25),
            3,
            "they wait for the word, too"
        );
    }

    #[test]
    fn pods_beside_each_other() {
        let rows = [
            (
                "full",
                json!({}),
                [(0, 0, 10), (5, 1, 10), (25, 3, 10), (100, 10, 10)],
            ),
            (
                "stable follows its traffic",
                json!({"dynamicStableScale": true}),
                [(0, 0, 10), (5, 1, 10), (25, 3, 8), (100, 10, 0)],
            ),
            (
                "never one alone",
                json!({"dynamicStableScale": true, "minPodsPerReplicaSet": 2}),
                [(0, 0, 10), (5, 2, 10), (95, 10, 2), (100, 10, 0)],
            ),
            (
                "not more than there are",
                json!({"minPodsPerReplicaSet": 50}),
                [(0, 0, 10), (5, 10, 10), (25, 10, 10), (100, 10, 10)],
            ),
        ];
        for (name, canary, expected) in rows {
            let spec = spec(&canary);
            for (weight, of_canary, of_stable) in expected {
                let found = (canary_pods(&spec, 0, weight), stable_pods(&spec, weight));
                assert_eq!(found, (of_canary, of_stable), "{name}, {weight} %");
            }
        }
    }
}
