//! What the Git writer counts.

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::revert::Revert;
use crate::notify::Counts;

use super::standing::Standing;

/// Upper ends of the histogram from abort to push, in seconds: seconds when all is well, up to the
/// hours of an outage of the Git server.
const BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

/// The counters.
#[derive(Debug)]
pub(super) struct WriterMetrics {
    registry: Registry,
    phases: Family<PhaseLabel, Counter>,
    failed_looks: Counter,
    abort_to_push: Histogram,
    notifications: Counts,
    standing: Standing,
}

impl Default for WriterMetrics {
    fn default() -> WriterMetrics {
        let mut registry = Registry::with_prefix("tidegate_git");
        let phases = Family::<PhaseLabel, Counter>::default();
        registry.register("reverts", "Reverts that came into a phase", phases.clone());
        let failed_looks = Counter::default();
        registry.register(
            "failed_looks",
            "Looks at a Revert that the API server did not let come to an end",
            failed_looks.clone(),
        );
        let abort_to_push = Histogram::new(BUCKETS);
        registry.register(
            "abort_to_push_seconds",
            "Time from the abort to the accepted push",
            abort_to_push.clone(),
        );
        let notifications = Counts::default();
        notifications.register(&mut registry);
        let standing = Standing::default();
        standing.register(&mut registry);
        WriterMetrics {
            registry,
            phases,
            failed_looks,
            abort_to_push,
            notifications,
            standing,
        }
    }
}

impl WriterMetrics {
    /// A Revert came into a phase.
    pub fn phase(&self, phase: &'static str) {
        self.phases.get_or_create(&PhaseLabel { phase }).inc();
    }

    /// A look did not come to an end.
    pub fn failed_look(&self) {
        self.failed_looks.inc();
    }

    /// A push was accepted so long after the abort.
    pub fn pushed(&self, seconds_after_abort: f64) {
        self.abort_to_push.observe(seconds_after_abort.max(0.0));
    }

    /// Counts what stands among these from now on.
    pub fn follow(&self, reverts: Store<Revert>) {
        self.standing.follow(reverts);
    }

    /// Counts notifications.
    pub fn notifications(&self) -> Counts {
        self.notifications.clone()
    }

    /// All of them in the OpenMetrics text format.
    pub fn text(&self) -> String {
        self.standing.refresh(Timestamp::now());
        self.encoded()
    }

    fn encoded(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            // Writing into a String does not fail; an empty page would say that nothing happened.
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::telemetry::tests::{documented, exported};
    use crate::notify::counts::Became;

    #[test]
    fn the_documented_metrics_are_those_that_are_exported() {
        let metrics = WriterMetrics::default();
        metrics.phase("Pushed");
        metrics.failed_look();
        metrics.pushed(1.0);
        metrics.notifications().count("team", Became::Sent);
        let revert: Revert = serde_json::from_value(serde_json::json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Revert", "metadata": {},
            "spec": {
                "mode": "Push", "rollout": {"name": "web", "uid": "u1"},
                "stable": {"revision": 1, "hash": "good"}, "bad": {"revision": 2, "hash": "bad"},
                "attempt": 1, "reason": "Manual", "abortedAt": Timestamp::now(),
            },
        }))
        .unwrap();
        let reverts = [revert];
        metrics.standing.count(reverts.iter(), Timestamp::now());
        let exported = exported(&metrics.encoded());
        // One that nothing was counted in is not exported.
        let registered = format!("{metrics:?}").matches("Descriptor {").count();
        assert_eq!(exported.len(), registered, "{exported:?}");
        let mut documented = documented();
        documented.retain(|metric| metric.starts_with("tidegate_git_"));
        assert_eq!(exported, documented);
    }
}
