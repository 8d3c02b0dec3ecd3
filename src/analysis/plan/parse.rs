//! The spec of a run as a whole: matchers, rates, times. Its metrics are parsed in `metric`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Arms, GROSS_ABSOLUTE, GROSS_TIMES, Kind, MAX_DURATION, METRICS_MAX, MIN_BAKE, Plan,
    PlannedMetric, Problem, SplitPlan, WARMUP, in_time,
};
use crate::analysis::{percent, promql};
use crate::api::analysis::{
    AnalysisRunSpec, Arm, DEFAULT_ARM_LABEL, OnSplitMismatch, Promote, Warmup,
};
use crate::api::metric::Metric;
use crate::core::duration;

/// Longest warm-up: every poll reads this far back, and more has no use.
const WARMUP_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Most false aborts that may be asked for.
const FALSE_ABORT_RATE_MAX: f64 = 0.1;

/// Parses the spec of a run that was created at `created`.
///
/// # Errors
/// Every [`Problem`] of the spec; if there is none besides, that it could not decide in its time.
pub fn parse(spec: &AnalysisRunSpec, created: Timestamp) -> Result<Plan, Vec<Problem>> {
    let plan = read(spec, created)?;
    let late = in_time::problems(spec, &plan);
    if late.is_empty() { Ok(plan) } else { Err(late) }
}

/// The same for who does not know yet how long the run may take: its times are not held against one
/// another.
///
/// # Errors
/// Every other [`Problem`] of the spec.
pub fn read(spec: &AnalysisRunSpec, created: Timestamp) -> Result<Plan, Vec<Problem>> {
    let mut p = Parser {
        problems: Vec::new(),
    };
    let arms = p.arms(spec);
    let rate = p.percent(
        "spec.falseAbortRate",
        &spec.false_abort_rate,
        FALSE_ABORT_RATE_MAX,
    );
    if rate <= 0.0 {
        p.refuse(
            "spec.falseAbortRate",
            &spec.false_abort_rate,
            "must be more than 0%",
        );
    }
    let weight = |m: &Metric| f64::from(m.weight.unwrap_or_else(|| share_of(m)).max(1));
    let judged = |m: &&Metric| m.compares() && !m.dry_run;
    let weights: f64 = spec.metrics.iter().filter(judged).map(weight).sum();
    let metrics: Vec<PlannedMetric> = spec
        .metrics
        .iter()
        .filter_map(|m| p.metric(m, &arms, rate * weight(m) / weights.max(weight(m))))
        .collect();
    p.names(&spec.metrics);
    let gross = spec.warmup.tolerate.clone().unwrap_or_default();
    let has_ratio = metrics
        .iter()
        .any(|m| matches!(m.kind, Kind::Comparison(_)));
    let (min_bake, max_duration) = p.promote(&spec.promote, has_ratio);
    let up = |t: Timestamp| t.as_second() + i64::from(t.subsec_nanosecond() > 0);
    let start = up(spec.start_at.unwrap_or(created));
    let plan = Plan {
        mode: spec.mode,
        start,
        reference: spec.reference,
        begin: start.max(up(created)),
        warmup: p.warmup(&spec.warmup),
        gross_times: f64::from(gross.times.unwrap_or(GROSS_TIMES).max(1)),
        gross_level: p.percent(
            "spec.warmup.tolerate.absolute",
            gross.absolute.as_deref().unwrap_or(GROSS_ABSOLUTE),
            1.0,
        ),
        min_bake,
        max_duration,
        on_inconclusive: spec.promote.on_inconclusive.unwrap_or_default(),
        next_weight: spec.next_weight,
        split: spec.split.map(|split| SplitPlan {
            share: f64::from(split.weight.clamp(1, 99)) / 100.0,
            since: up(split.since),
            holds: spec.promote.on_split_mismatch.unwrap_or_default() == OnSplitMismatch::Hold,
        }),
        steps: spec.plan.clone(),
        metrics,
    };
    if p.problems.is_empty() {
        Ok(plan)
    } else {
        Err(p.problems)
    }
}

/// Collects what is wrong.
pub(super) struct Parser {
    problems: Vec<Problem>,
}

impl Parser {
    pub fn refuse(&mut self, at: &str, value: &str, message: impl std::fmt::Display) {
        self.problems.push(Problem::new(at, value, message));
    }

    pub fn percent(&mut self, at: &str, value: &str, max: f64) -> f64 {
        match percent::parse(value) {
            Ok(fraction) if fraction <= max => return fraction,
            Ok(_) => {
                self.refuse(
                    at,
                    value,
                    format!("at most {} is allowed", percent::format(max)),
                );
            }
            Err(error) => self.refuse(at, value, error),
        }
        max
    }

    pub fn seconds(&mut self, at: &str, value: &str) -> i64 {
        match duration::parse(value) {
            Ok(duration) => duration.as_secs(),
            Err(error) => {
                self.refuse(at, value, error);
                0
            }
        }
    }

    fn warmup(&mut self, warmup: &Warmup) -> i64 {
        let text = warmup.duration.as_deref().unwrap_or(WARMUP);
        let seconds = self.seconds("spec.warmup.duration", text);
        if seconds > WARMUP_MAX.as_secs() {
            self.refuse("spec.warmup.duration", text, "at most 1h is allowed");
        }
        seconds
    }

    fn promote(&mut self, promote: &Promote, compares: bool) -> (i64, i64) {
        let default = if compares { MIN_BAKE } else { "0s" };
        let bake = promote.min_bake.as_deref().unwrap_or(default);
        let max = promote.max_duration.as_deref().unwrap_or(MAX_DURATION);
        let min_bake = self.seconds("spec.promote.minBake", bake);
        let max_duration = self.seconds("spec.promote.maxDuration", max);
        if max_duration < min_bake || max_duration == 0 {
            let message = format!("must be more than 0s and not less than minBake ({bake})");
            self.refuse("spec.promote.maxDuration", max, message);
        }
        (min_bake, max_duration)
    }

    /// The matchers of the two versions.
    fn arms(&mut self, spec: &AnalysisRunSpec) -> Arms<String> {
        let arm = spec.arm.clone().unwrap_or_default();
        let needed = spec.metrics.iter().any(needs_arm);
        match arm {
            Arm {
                label,
                canary: None,
                stable: None,
                pods,
            } if !pods || label.is_none() => {
                let label = label.unwrap_or_else(|| DEFAULT_ARM_LABEL.to_owned());
                let label = if pods { "pod".to_owned() } else { label };
                for (at, hash) in [
                    ("spec.canaryHash", &spec.canary_hash),
                    ("spec.stableHash", &spec.stable_hash),
                ] {
                    if needed && hash.is_empty() {
                        self.refuse(at, hash, format!("is needed for $(arm), the label {label}"));
                    }
                }
                let of = |hash: &str| {
                    let hash = promql::quoted(hash, '"');
                    if pods {
                        // A rollout's runs name the ReplicaSets; this is for runs of their own.
                        format!("pod=~\".+-{hash}-[a-z0-9]{{5}}\"")
                    } else {
                        format!("{label}=\"{hash}\"")
                    }
                };
                Arms {
                    canary: of(&spec.canary_hash),
                    stable: of(&spec.stable_hash),
                }
            }
            Arm {
                label: None,
                canary: Some(canary),
                stable: Some(stable),
                pods: false,
            } => {
                for (at, text) in [("spec.arm.canary", &canary), ("spec.arm.stable", &stable)] {
                    if let Err(error) = promql::matchers(text) {
                        self.refuse(at, text, error);
                    }
                }
                if canary == stable {
                    let message =
                        "is the same as arm.canary: a version would be compared with itself";
                    self.refuse("spec.arm.stable", &stable, message);
                }
                let bare = |text: String| text.trim().trim_end_matches(',').to_owned();
                Arms {
                    canary: bare(canary),
                    stable: bare(stable),
                }
            }
            other => {
                let value = format!("{other:?}");
                self.refuse(
                    "spec.arm",
                    &value,
                    "either label, or pods, or both canary and stable",
                );
                Arms::default()
            }
        }
    }

    fn names(&mut self, metrics: &[Metric]) {
        let mut seen = BTreeMap::new();
        for metric in metrics {
            if seen.insert(metric.name.as_str(), ()).is_some() {
                let at = format!("spec.metrics[{}].name", metric.name);
                self.refuse(
                    &at,
                    &metric.name,
                    "occurs twice; every metric needs a name of its own",
                );
            }
        }
        if metrics.len() > METRICS_MAX || metrics.is_empty() {
            let value = format!("{} metrics", metrics.len());
            self.refuse(
                "spec.metrics",
                &value,
                format!("1 to {METRICS_MAX} are allowed"),
            );
        } else if metrics.iter().filter(|m| m.histogram.is_some()).count() > HISTOGRAMS_MAX {
            let message = format!(
                "at most {HISTOGRAMS_MAX} histograms are allowed: what is known of them has to fit into the run's status"
            );
            self.refuse("spec.metrics", "", message);
        } else if metrics.iter().all(|m| m.dry_run) {
            let message = "at least one metric must not be dryRun, or nothing could ever pass";
            self.refuse("spec.metrics", "", message);
        }
    }
}

/// Whether a metric speaks of `$(arm)`.
fn needs_arm(metric: &Metric) -> bool {
    let queries = metric.queries();
    queries.iter().any(|(_, query)| query.contains(promql::ARM))
}

/// Most histograms of a run: their state has to fit into its status.
const HISTOGRAMS_MAX: usize = 8;

/// The share of a metric of its kind, where nothing is said: half for errors, the rest for latencies
/// and levels (statistics, section 2h).
fn share_of(metric: &Metric) -> i32 {
    match metric.kind() {
        "histogram" => 30,
        "gauge" => 20,
        _ => 50,
    }
}
