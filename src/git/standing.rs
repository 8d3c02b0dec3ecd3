//! How many Reverts of the last day stand in which phase, and how long the oldest has waited for its push:
//! counted from what the watch has brought, each time that somebody asks for the metrics.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::api::revert::{Revert, RevertMode, RevertPhase};

use super::status::is_released;

/// Older ones are history: a record stays, and what a person was to do with it is done, or nobody will.
const COUNTED: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct Standing {
    phases: Family<PhaseLabel, Gauge>,
    oldest: Gauge,
    reverts: OnceLock<Store<Revert>>,
}

impl Standing {
    /// Puts them among the process' metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "reverts_standing",
            "Reverts of the last day by the phase that they stand in",
            self.phases.clone(),
        );
        registry.register(
            "oldest_waiting_seconds",
            "Time since the abort of the oldest revert that is to be pushed and is not",
            self.oldest.clone(),
        );
    }

    /// Counts these from now on.
    pub fn follow(&self, reverts: Store<Revert>) {
        // Set once, at the start.
        let _ = self.reverts.set(reverts);
    }

    /// Counts anew.
    pub fn refresh(&self, now: Timestamp) {
        let reverts = self.reverts.get().map(Store::state).unwrap_or_default();
        self.count(reverts.iter().map(|revert| &**revert), now);
    }

    /// Counts these.
    pub fn count<'a>(&self, reverts: impl Iterator<Item = &'a Revert>, now: Timestamp) {
        let mut phases: BTreeMap<&'static str, i64> = BTreeMap::new();
        let mut oldest = SignedDuration::ZERO;
        for revert in reverts {
            let age = now.duration_since(revert.spec.aborted_at);
            if age >= COUNTED || is_released(revert) {
                continue;
            }
            let phase = revert.status.as_ref().and_then(|status| status.phase);
            let phase = phase.unwrap_or(RevertPhase::Pending);
            *phases.entry(phase.as_str()).or_default() += 1;
            let waits = matches!(phase, RevertPhase::Pending | RevertPhase::Planned);
            if waits && revert.spec.mode == RevertMode::Push {
                oldest = oldest.max(age);
            }
        }
        self.phases.clear();
        for (phase, count) in phases {
            self.phases.get_or_create(&PhaseLabel { phase }).set(count);
        }
        self.oldest.set(oldest.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use serde_json::json;

    use super::*;

    fn revert(mode: &str, phase: Option<&str>, hours_ago: i64, released: bool) -> Revert {
        let at = now() - SignedDuration::from_hours(hours_ago);
        let mut revert = json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Revert",
            "metadata": {"name": "web-bad-1", "namespace": "shop"},
            "spec": {
                "mode": mode, "rollout": {"name": "web", "uid": "u1"},
                "stable": {"revision": 1, "hash": "good"}, "bad": {"revision": 2, "hash": "bad"},
                "attempt": 1, "reason": "Manual", "abortedAt": at,
            },
        });
        if let Some(phase) = phase {
            revert["status"] = json!({"phase": phase});
        }
        if released {
            revert["metadata"]["annotations"] = json!({"tidegate.io/released": format!("{at} me")});
        }
        serde_json::from_value(revert).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn what_stands_is_counted_and_what_is_over_is_not() {
        let standing = Standing::default();
        let mut registry = Registry::default();
        standing.register(&mut registry);
        let shown = |reverts: &[Revert]| {
            standing.count(reverts.iter(), now());
            let mut text = String::new();
            text::encode(&mut text, &registry).unwrap();
            text
        };
        let text = shown(&[
            revert("Push", Some("NeedsHuman"), 1, false),
            revert("Push", Some("NeedsHuman"), 23, false),
            revert("Push", Some("NeedsHuman"), 24, false),
            revert("Push", Some("NeedsHuman"), 1, true),
            revert("Push", None, 2, false),
            revert("Push", Some("Planned"), 3, false),
            // It waits for nobody.
            revert("DryRun", Some("Planned"), 9, false),
            revert("Push", Some("Verified"), 9, false),
        ]);
        for line in [
            r#"reverts_standing{phase="NeedsHuman"} 2"#,
            r#"reverts_standing{phase="Pending"} 1"#,
            r#"reverts_standing{phase="Planned"} 2"#,
            r#"reverts_standing{phase="Verified"} 1"#,
            "oldest_waiting_seconds 10800",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let text = shown(&[]);
        assert!(
            !text.contains("phase=") && text.contains("oldest_waiting_seconds 0"),
            "{text}"
        );
    }
}
