//! Whether the cluster followed. Where the Rollout asks for the stable version again, or for a newer
//! one, it did: however long that takes is not held against the branch. Pure.

use crate::api::revert::RevertSpec;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

use super::outcome::Outcome;

/// What the Rollout says about a revert that is on the branch.
pub(super) fn verdict(spec: &RevertSpec, rollout: Option<&Rollout>) -> Outcome {
    let name = &spec.rollout.name;
    let waits = |reason, message: String, on_its_way| Outcome::NotVerified {
        reason,
        message,
        on_its_way,
    };
    let not_yet = |reason, message: String| waits(reason, message, false);
    let Some(rollout) = rollout else {
        return not_yet("RolloutGone", format!("there is no Rollout {name:?}"));
    };
    let status = rollout.status.clone().unwrap_or_default();
    if status.observed_generation != rollout.metadata.generation {
        return not_yet(
            "NotObserved",
            format!("Rollout {name:?} was changed a moment ago"),
        );
    }
    let stable = status.stable.unwrap_or_default();
    let bad_is_stable = stable.hash == spec.bad.hash;
    // A template that differs only in what is computed has another hash and the same images.
    let same_images = !stable.images.is_empty() && stable.images == spec.stable.images;
    let is_stable = stable.hash == spec.stable.hash || (same_images && !bad_is_stable);
    if !is_stable && !bad_is_stable && !stable.hash.is_empty() {
        return Outcome::Superseded {
            reason: "MovedOn",
            message: format!(
                "Rollout {name:?} runs another version by now: {}",
                stable.hash
            ),
        };
    }
    let newer = is_stable
        && status
            .canary
            .as_ref()
            .is_some_and(|canary| canary.hash != spec.bad.hash);
    match status.phase {
        Some(Phase::Healthy) if is_stable => Outcome::Verified,
        // A newer one was given up, too: the stable version has all the traffic.
        Some(Phase::Aborted) if newer => Outcome::Verified,
        Some(Phase::Healthy) => not_yet(
            "BadVersionStable",
            format!("the rejected version is the stable one of {name:?}"),
        ),
        phase => {
            let shown = phase.map_or_else(|| "unknown".to_owned(), |phase| phase.to_string());
            let message = format!(
                "the branch is right, and Rollout {name:?} is {shown}: {}",
                status.message
            );
            // Without a canary the spec asks for the stable version, until that is Degraded.
            let goes_back = is_stable && status.canary.is_none();
            let goes_back = goes_back && phase == Some(Phase::Progressing);
            let reason = if newer {
                "AnotherRollout"
            } else {
                "NotHealthy"
            };
            waits(reason, message, newer || goes_back)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec() -> RevertSpec {
        serde_json::from_value(json!({
            "mode": "Push", "attempt": 1, "reason": "Manual", "abortedAt": "2026-01-01T00:00:00Z",
            "rollout": {"name": "checkout", "uid": "u"},
            "stable": {"revision": 1, "hash": "good", "images": ["r/a:v1"]},
            "bad": {"revision": 2, "hash": "bad", "images": ["r/a:v2"]},
        }))
        .unwrap()
    }

    fn with(status: &Value) -> Outcome {
        let rollout: Rollout = serde_json::from_value(json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "checkout", "generation": 2},
            "spec": {"selector": {"matchLabels": {}}, "template": {}, "strategy": {}},
            "status": status,
        }))
        .unwrap();
        verdict(&spec(), Some(&rollout))
    }

    fn look(phase: &str, hash: &str, image: &str, observed: i64) -> &'static str {
        let status = json!({
            "observedGeneration": observed, "phase": phase,
            "stable": {"revision": 1, "hash": hash, "images": [image]},
        });
        with(&status).name()
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

    #[test]
    fn what_comes_after_the_revert_is_waited_for_and_is_no_mismatch() {
        let look = |phase: &str, stable: &str, canary: Option<&str>| {
            let canary = canary.map(|hash| json!({"revision": 3, "hash": hash}));
            let image = if stable == "good" { "r/a:v1" } else { "r/a:v3" };
            let status = json!({
                "observedGeneration": 2, "phase": phase, "canary": canary,
                "stable": {"revision": 1, "hash": stable, "images": [image]},
            });
            let outcome = with(&status);
            let on_its_way = match &outcome {
                Outcome::NotVerified { on_its_way, .. } => Some(*on_its_way),
                _ => None,
            };
            (outcome.name(), on_its_way)
        };
        // The spec still asks for the bad version, or its way back has come to a stop.
        for phase in ["Aborting", "Aborted", "Degraded"] {
            assert_eq!(
                look(phase, "good", Some("bad")),
                ("NotHealthy", Some(false)),
                "{phase}"
            );
        }
        for phase in ["Rejected", "Degraded", "Invalid"] {
            assert_eq!(
                look(phase, "good", None),
                ("NotHealthy", Some(false)),
                "{phase}"
            );
        }
        assert_eq!(
            look("Progressing", "good", None),
            ("NotHealthy", Some(true))
        );
        // A newer one goes out, as slowly as its steps say, and may be given up as well.
        for phase in ["Progressing", "Paused", "Aborting"] {
            assert_eq!(
                look(phase, "good", Some("newer")),
                ("AnotherRollout", Some(true)),
                "{phase}"
            );
        }
        assert_eq!(look("Aborted", "good", Some("newer")), ("Verified", None));
        assert_eq!(look("Paused", "newer", Some("newest")), ("MovedOn", None));
    }
}
