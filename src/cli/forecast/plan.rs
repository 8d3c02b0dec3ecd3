//! The stretches of a Rollout's steps in which an analysis looks at a template's metrics. Pure.

use crate::analysis::forecast::Stretch;
use crate::core::spec::{CanaryScale, Means, Pause, Spec, Step};

/// A stretch with its place in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `2/6 analysis`.
    pub step: String,
    /// What there is to reckon with.
    pub stretch: Stretch,
}

/// The stretches. `bounds` are those of the template's analyses: minBake and maxDuration in seconds.
#[must_use]
pub fn stretches(spec: &Spec, template: &str, bounds: (i64, i64)) -> Vec<Planned> {
    let named = |request: &crate::core::spec::AnalysisRequest| {
        request.templates.iter().any(|t| t.name == template)
    };
    let background = spec.background.as_ref().filter(|(_, r)| named(r));
    let (mut weight, mut scale) = (0, &CanaryScale::MatchTraffic);
    let mut found = Vec::new();
    for (i, step) in spec.steps.iter().enumerate() {
        let watched = background.is_some_and(|(from, _)| i64::from(*from) <= i as i64);
        let (what, seconds, bounds) = match step {
            Step::SetWeight(to) => {
                weight = *to;
                continue;
            }
            Step::SetCanaryScale(to) => {
                scale = to;
                continue;
            }
            Step::Analysis(request) if named(request) => {
                let most = request.max_duration.as_deref();
                let most = most.and_then(|text| crate::core::duration::parse(text).ok());
                (
                    "analysis",
                    None,
                    (bounds.0, most.map_or(bounds.1, |d| d.as_secs())),
                )
            }
            Step::Pause(Pause::For(time)) if watched => ("pause", Some(time.as_secs()), bounds),
            _ => continue,
        };
        if !(1..100).contains(&weight) {
            continue;
        }
        let next = spec.steps.iter().skip(i + 1).find_map(|step| match step {
            Step::SetWeight(next) => Some(*next),
            _ => None,
        });
        let (canary_pods, stable_pods) = pods(spec, scale, weight);
        found.push(Planned {
            step: format!("{}/{} {what}", i + 1, spec.steps.len()),
            stretch: Stretch {
                weight,
                seconds,
                bounds,
                next_weight: next.unwrap_or(100),
                canary_pods,
                stable_pods,
            },
        });
    }
    found
}

/// How many pods the versions have at a weight.
fn pods(spec: &Spec, scale: &CanaryScale, weight: i32) -> (usize, usize) {
    let count = |n: i32| usize::try_from(n.max(1)).unwrap_or(1);
    let replicas = spec.replicas.max(1);
    if matches!(spec.means, Means::Pods { .. }) {
        let canary = (replicas * weight / 100).max(1);
        return (count(canary), count(replicas - canary));
    }
    let percent = |share: i32| (replicas * share + 99) / 100;
    let canary = match scale {
        CanaryScale::Replicas(n) => *n,
        CanaryScale::Percent(share) => percent(*share),
        CanaryScale::MatchTraffic => percent(weight),
    };
    let least = spec.capacity.min_pods.min(replicas);
    (count(canary.max(least)), count(replicas))
}
