//! Whether the cluster followed. Pure.

use crate::api::revert::RevertSpec;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

use super::outcome::Outcome;

/// What the Rollout says about a revert that is on the branch.
pub(super) fn verdict(spec: &RevertSpec, rollout: Option<&Rollout>) -> Outcome {
    let not_yet = |reason, message: String| Outcome::NotVerified { reason, message };
    let name = &spec.rollout.name;
    let Some(rollout) = rollout else {
        return not_yet("RolloutGone", format!("there is no Rollout {name:?}"));
    };
    let status = rollout.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or_else(|| "unknown".to_owned(), |p| p.to_string());
    if status.observed_generation != rollout.metadata.generation {
        return not_yet(
            "NotObserved",
            format!("Rollout {name:?} was changed a moment ago"),
        );
    }
    let stable = status.stable.unwrap_or_default();
    if status.phase != Some(Phase::Healthy) {
        return not_yet(
            "NotHealthy",
            format!(
                "the branch is right, and Rollout {name:?} is {phase}: {}",
                status.message
            ),
        );
    }
    // A template that differs only in what is computed has another hash and the same images.
    let same_images = !stable.images.is_empty() && stable.images == spec.stable.images;
    if stable.hash == spec.stable.hash || (same_images && stable.hash != spec.bad.hash) {
        Outcome::Verified
    } else if stable.hash == spec.bad.hash {
        not_yet(
            "BadVersionStable",
            format!("the rejected version is the stable one of {name:?}"),
        )
    } else {
        Outcome::Superseded {
            reason: "MovedOn",
            message: format!(
                "Rollout {name:?} runs another version by now: {}",
                stable.hash
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> RevertSpec {
        serde_json::from_value(json!({
            "mode": "Push", "attempt": 1, "reason": "Manual", "abortedAt": "2026-01-01T00:00:00Z",
            "rollout": {"name": "checkout", "uid": "u"},
            "stable": {"revision": 1, "hash": "good", "images": ["r/a:v1"]},
            "bad": {"revision": 2, "hash": "bad", "images": ["r/a:v2"]},
        }))
        .unwrap()
    }

    fn look(phase: &str, hash: &str, image: &str, observed: i64) -> &'static str {
        let rollout: Rollout = serde_json::from_value(json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "checkout", "generation": 2},
            "spec": {"selector": {"matchLabels": {}}, "template": {}, "strategy": {}},
            "status": {
                "observedGeneration": observed, "phase": phase,
                "stable": {"revision": 1, "hash": hash, "images": [image]},
            },
        }))
        .unwrap();
        verdict(&spec(), Some(&rollout)).name()
    }

    #[test]
    fn only_a_healthy_stable_version_that_was_observed_verifies() {
        assert_eq!(look("Healthy", "good", "r/a:v1", 2), "Verified");
        assert_eq!(look("Healthy", "good", "r/a:v1", 1), "NotObserved");
        assert_eq!(look("Aborted", "good", "r/a:v1", 2), "NotHealthy");
        assert_eq!(look("Healthy", "other", "r/a:v1", 2), "Verified");
        assert_eq!(look("Healthy", "bad", "r/a:v2", 2), "BadVersionStable");
        assert_eq!(look("Healthy", "bad", "r/a:v1", 2), "BadVersionStable");
        assert_eq!(look("Healthy", "newer", "r/a:v3", 2), "MovedOn");
        assert_eq!(verdict(&spec(), None).name(), "RolloutGone");
    }
}
