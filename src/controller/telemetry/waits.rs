//! What Rollouts wait for, as a series for each that does: how long it has been there is what an alert
//! asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Key;
use crate::api::rollout_status::PauseReason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    rollout: String,
    reason: String,
}

/// The series.
#[derive(Debug, Default)]
pub(super) struct Waits {
    series: Family<Labels, Gauge>,
    now: Mutex<BTreeMap<Key, PauseReason>>,
}

impl Waits {
    /// Puts them among the process' metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "rollout_waits",
            "1 for what a Rollout that is paused waits for",
            self.series.clone(),
        );
    }

    /// Says what a Rollout waits for; `None`: nothing, or it is gone.
    pub(super) fn set(&self, key: &Key, reason: Option<PauseReason>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match reason {
            Some(reason) => now.insert(key.clone(), reason),
            None => now.remove(key),
        };
        if let Some(before) = before.filter(|before| Some(*before) != reason) {
            self.series.remove(&labels(key, before));
        }
        if let Some(reason) = reason {
            self.series.get_or_create(&labels(key, reason)).set(1);
        }
    }
}

fn labels((namespace, rollout): &Key, reason: PauseReason) -> Labels {
    Labels {
        namespace: namespace.clone(),
        rollout: rollout.clone(),
        reason: format!("{reason:?}"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn a_rollout_waits_for_one_thing_and_then_for_nothing() {
        let waits = Waits::default();
        let mut registry = Registry::default();
        waits.register(&mut registry);
        let key = ("shop".to_owned(), "web".to_owned());
        for (reason, expected) in [
            (Some(PauseReason::NoData), vec!["NoData"]),
            (Some(PauseReason::NoData), vec!["NoData"]),
            (Some(PauseReason::SourceError), vec!["SourceError"]),
            (None, vec![]),
            (None, vec![]),
        ] {
            waits.set(&key, reason);
            let mut shown = String::new();
            text::encode(&mut shown, &registry).unwrap();
            let series = shown.lines().filter(|line| !line.starts_with('#'));
            let found: Vec<&str> = series
                .map(|line| {
                    line.split("reason=\"")
                        .nth(1)
                        .unwrap()
                        .split('"')
                        .next()
                        .unwrap()
                })
                .collect();
            assert_eq!(found, expected, "{shown}");
        }
    }
}
