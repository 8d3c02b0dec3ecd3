//! What the process says about itself: log lines and Prometheus metrics.
//!
//! Labels are bounded: kinds of calls and errors, and for a limited number of Rollouts their phase,
//! step and weight. Never a message.

mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use super::caches::Key;
use super::error::Error;
use super::lanes::Lane;
use super::object::Kind;
use crate::analysis::run::Fault;
use crate::api::rollout_status::RolloutStatus;
use crate::notify::Counts;
use waits::Waits;

/// Rollouts that get series of their own: three each, a small part of what one Prometheus holds.
/// Those beyond are only counted by phase.
const ROLLOUTS_MAX: usize = 5_000;
/// Upper ends of the histogram of reconcile times, in seconds: a look at the caches takes well under
/// a millisecond, a pass with calls up to a few of their timeouts.
const BUCKETS: [f64; 10] = [0.0005, 0.002, 0.01, 0.05, 0.2, 0.5, 1.0, 5.0, 10.0, 30.0];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Sends log lines to standard error. `RUST_LOG` sets what is said; `info` without it.
///
/// # Errors
/// When a subscriber is set already.
pub fn init(format: LogFormat) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client=warn,kube_runtime=error"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    verb: &'static str,
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: Lane,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    /// `Ok`, or the reason of the fault, of which there are about twenty.
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RolloutLabels {
    namespace: String,
    rollout: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    namespace: String,
    rollout: String,
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseOnly {
    phase: String,
}

impl EncodeLabelValue for Lane {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

/// The Rollouts that were looked at.
#[derive(Debug, Default)]
struct Known {
    phases: BTreeMap<Key, String>,
    with_series: BTreeSet<Key>,
}

/// The process' metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    reconciles: Family<LaneLabels, Counter>,
    reconcile_seconds: Histogram,
    errors: Family<ErrorLabels, Counter>,
    questions: Family<QuestionLabels, Counter>,
    events_lost: Counter,
    notifications: Counts,
    leader: Gauge,
    phases: Family<PhaseOnly, Gauge>,
    phase: Family<PhaseLabels, Gauge>,
    step: Family<RolloutLabels, Gauge>,
    weight: Family<RolloutLabels, Gauge>,
    waits: Waits,
    known: Mutex<Known>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let metrics = Self {
            calls: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(BUCKETS),
            errors: Family::default(),
            questions: Family::default(),
            events_lost: Counter::default(),
            notifications: Counts::default(),
            leader: Gauge::default(),
            phases: Family::default(),
            phase: Family::default(),
            step: Family::default(),
            weight: Family::default(),
            waits: Waits::default(),
            known: Mutex::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "api_calls",
            "Calls to the API server, watches aside",
            m.calls.clone(),
        );
        registry.register(
            "reconciles",
            "Times that a Rollout was looked at",
            m.reconciles.clone(),
        );
        registry.register(
            "reconcile_seconds",
            "How long a look at a Rollout took, its calls included",
            m.reconcile_seconds.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Looks that ended in an error",
            m.errors.clone(),
        );
        registry.register(
            "metrics_questions",
            "Questions to metrics sources, by what came of them",
            m.questions.clone(),
        );
        registry.register(
            "events_lost",
            "Events that could not be published",
            m.events_lost.clone(),
        );
        m.notifications.register(&mut registry);
        m.waits.register(&mut registry);
        registry.register("leader", "1 while this process leads", m.leader.clone());
        registry.register("rollouts", "Rollouts by phase", m.phases.clone());
        registry.register(
            "rollout_phase",
            "1 for the phase that a Rollout is in",
            m.phase.clone(),
        );
        registry.register(
            "rollout_step",
            "The step that a Rollout is at, from 0",
            m.step.clone(),
        );
        registry.register(
            "rollout_weight_percent",
            "Percent of the traffic on the canary, as the data plane is known to have it",
            m.weight.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// All of them in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Counts a question to a metrics source.
    pub fn metrics_question(&self, fault: Option<&Fault>) {
        let result = fault.map_or_else(|| "Ok".to_owned(), |fault| fault.reason.clone());
        self.questions
            .get_or_create(&QuestionLabels { result })
            .inc();
    }

    /// Counts a call to the API server.
    pub fn api_call(&self, verb: &'static str, kind: Kind, error: Option<&Error>) {
        let result = error.map_or("Ok", Error::kind);
        self.calls
            .get_or_create(&CallLabels {
                verb,
                kind: kind.as_str(),
                result,
            })
            .inc();
    }

    /// Counts a look at a Rollout.
    pub fn reconciled(&self, lane: Lane, took: Duration, error: Option<&Error>) {
        self.reconciles.get_or_create(&LaneLabels { lane }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
        if let Some(error) = error {
            self.errors
                .get_or_create(&ErrorLabels {
                    error: error.kind(),
                })
                .inc();
        }
    }

    /// Counts an Event that was not published.
    pub fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// Counts notifications.
    #[must_use]
    pub fn notifications(&self) -> Counts {
        self.notifications.clone()
    }

    /// Says whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Says where a Rollout stands.
    pub fn rollout(&self, key: &Key, status: &RolloutStatus) {
        let Some(phase) = status.phase.map(|p| p.to_string()) else {
            return;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.phases.get(key).cloned();
        if before.as_ref() != Some(&phase) {
            if let Some(before) = before {
                self.leave(key, before);
            }
            self.phases
                .get_or_create(&PhaseOnly {
                    phase: phase.clone(),
                })
                .inc();
            known.phases.insert(key.clone(), phase.clone());
        }
        if !known.with_series.contains(key) {
            if known.with_series.len() >= ROLLOUTS_MAX {
                return;
            }
            known.with_series.insert(key.clone());
        }
        self.phase.get_or_create(&phase_labels(key, phase)).set(1);
        let step = status.canary.as_ref().map_or(0, |c| c.step);
        let weight = status.traffic.as_ref().map_or(0, |t| t.accepted);
        self.step
            .get_or_create(&rollout_labels(key))
            .set(step.into());
        self.weight
            .get_or_create(&rollout_labels(key))
            .set(weight.into());
        self.waits.set(key, status.pause.as_ref().map(|p| p.reason));
    }

    /// Drops the series of a Rollout that is gone.
    pub fn forget(&self, key: &Key) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = known.phases.remove(key) {
            self.leave(key, phase);
            known.with_series.remove(key);
            self.step.remove(&rollout_labels(key));
            self.weight.remove(&rollout_labels(key));
            self.waits.set(key, None);
        }
    }

    fn leave(&self, key: &Key, phase: String) {
        self.phase.remove(&phase_labels(key, phase.clone()));
        self.phases.get_or_create(&PhaseOnly { phase }).dec();
    }
}

fn rollout_labels((namespace, rollout): &Key) -> RolloutLabels {
    RolloutLabels {
        namespace: namespace.clone(),
        rollout: rollout.clone(),
    }
}

fn phase_labels((namespace, rollout): &Key, phase: String) -> PhaseLabels {
    PhaseLabels {
        namespace: namespace.clone(),
        rollout: rollout.clone(),
        phase,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use regex::Regex;

    use super::*;
    use crate::api::rollout_status::{PauseReason, Phase};
    use crate::notify::counts::Became;

    /// What the documentation says of metrics.
    fn chapter() -> &'static str {
        let mut chapters = include_str!("../../docs/operations.md").split("\n## ");
        let metrics = chapters.find(|chapter| chapter.starts_with("Metrics\n"));
        metrics.unwrap()
    }

    /// `name{labels}` of each metric that the documentation names.
    pub(crate) fn documented() -> BTreeSet<String> {
        let rows = chapter().lines();
        let named = rows.filter_map(|row| row.strip_prefix("| `tidegate_")?.split_once('`'));
        named.map(|(name, _)| format!("tidegate_{name}")).collect()
    }

    /// The same of each metric that is exported; a histogram is one.
    pub(crate) fn exported(text: &str) -> BTreeSet<String> {
        let value = Regex::new("=\"[^\"]*\"").unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        series
            .map(|(series, _)| value.replace_all(series, "").into_owned())
            .filter(|series| !series.ends_with("_sum") && !series.ends_with("_bucket{le}"))
            .map(|series| series.trim_end_matches("_count").to_owned())
            .collect()
    }

    fn at(phase: Phase) -> RolloutStatus {
        RolloutStatus {
            phase: Some(phase),
            ..RolloutStatus::default()
        }
    }

    #[test]
    fn the_documented_metrics_are_those_that_are_exported() {
        let metrics = Metrics::default();
        let error = Error::Conflict { what: "x".into() };
        metrics.api_call("get", Kind::Service, None);
        metrics.reconciled(Lane::Normal, Duration::ZERO, Some(&error));
        metrics.metrics_question(None);
        metrics.notifications().count("team", Became::Sent);
        let key = ("shop".to_owned(), "web".to_owned());
        metrics.rollout(&key, &at(Phase::Healthy));
        metrics.waits.set(&key, Some(PauseReason::NoData));
        let exported = exported(&metrics.text());
        // One that nothing was counted in is not exported.
        let registered = format!("{metrics:?}").matches("Descriptor {").count();
        assert_eq!(exported.len(), registered, "{exported:?}");
        let mut documented = documented();
        documented.retain(|metric| !metric.starts_with("tidegate_git_"));
        assert_eq!(exported, documented);
    }

    #[test]
    fn the_values_of_labels_are_documented() {
        let lines = include_str!("error.rs").lines();
        let arms =
            lines.filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
        let errors: Vec<&str> = arms.map(|(_, word)| word.trim_end_matches("\",")).collect();
        let conflict = Error::Conflict { what: "x".into() };
        assert!(errors.contains(&conflict.kind()), "{errors:?}");
        for error in errors {
            assert!(chapter().contains(&format!("\n| `{error}` | ")), "{error}");
        }
        for lane in [Lane::Normal, Lane::Urgent] {
            let word = format!("`{}`", lane.as_str());
            assert!(chapter().contains(&word), "{word}");
        }
    }

    #[test]
    fn a_rollout_beyond_the_limit_is_counted_by_phase_and_has_no_series() {
        let metrics = Metrics::default();
        let key = |i: usize| ("shop".to_owned(), format!("web-{i}"));
        let beyond = key(ROLLOUTS_MAX);
        for i in 0..=ROLLOUTS_MAX {
            metrics.rollout(&key(i), &at(Phase::Healthy));
        }
        metrics.rollout(&beyond, &at(Phase::Degraded));
        let text = metrics.text();
        for line in [
            format!("tidegate_rollouts{{phase=\"Healthy\"}} {ROLLOUTS_MAX}\n"),
            "tidegate_rollouts{phase=\"Degraded\"} 1\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}");
        }
        let series = format!("rollout=\"{}\"", beyond.1);
        assert!(!text.contains(&series));
        // One that goes makes room.
        metrics.forget(&key(0));
        metrics.rollout(&beyond, &at(Phase::Degraded));
        assert!(metrics.text().contains(&series));
        metrics.forget(&beyond);
        let text = metrics.text();
        assert!(!text.contains(&series));
        assert!(text.contains("tidegate_rollouts{phase=\"Degraded\"} 0\n"));
    }

    #[test]
    fn a_rollout_has_one_phase_at_a_time_and_leaves_nothing_behind() {
        let metrics = Metrics::default();
        let key = ("shop".to_owned(), "web".to_owned());
        metrics.rollout(&key, &at(Phase::Progressing));
        metrics.rollout(&key, &at(Phase::Healthy));
        let text = metrics.text();
        assert!(
            text.contains(
                r#"tidegate_rollout_phase{namespace="shop",rollout="web",phase="Healthy"} 1"#
            ),
            "{text}"
        );
        assert!(
            !text.contains(r#"rollout="web",phase="Progressing""#),
            "{text}"
        );
        assert!(
            text.contains(r#"tidegate_rollouts{phase="Progressing"} 0"#),
            "{text}"
        );
        metrics.forget(&key);
        let text = metrics.text();
        assert!(!text.contains("web"), "{text}");
        assert!(
            text.contains(r#"tidegate_rollouts{phase="Healthy"} 0"#),
            "{text}"
        );
    }

    #[test]
    fn calls_are_counted_by_what_became_of_them() {
        let metrics = Metrics::default();
        metrics.api_call("get", Kind::Service, None);
        metrics.api_call(
            "patch",
            Kind::HttpRoute,
            Some(&Error::Conflict { what: "x".into() }),
        );
        let text = metrics.text();
        assert!(
            text.contains(r#"tidegate_api_calls_total{verb="get",kind="Service",result="Ok"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"{verb="patch",kind="HTTPRoute",result="Conflict"} 1"#),
            "{text}"
        );
    }
}
