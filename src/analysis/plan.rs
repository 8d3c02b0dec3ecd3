//! The spec of a run, parsed once: defaults applied, percentages and durations resolved, selectors
//! and conditions read, wrong states unrepresentable. All problems are found at once.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub use super::problem::Problem;

use super::condition::Condition;
use super::{percent, promql};
use crate::api::analysis::{
    AnalysisRunSpec, Arm, DEFAULT_ARM_LABEL, Metric, OnInconclusive, PlanStep, Promote, Ratio,
    Reference, RunMode, Threshold, Warmup,
};
use crate::core::duration;

/// Most metrics of a run, as in the schema.
pub const METRICS_MAX: usize = 20;
/// How long a pod is young, where nothing is said (statistics: section 3.8).
pub const WARMUP: &str = "60s";
/// Longest warm-up: every poll reads this far back, and more has no use.
const WARMUP_MAX: SignedDuration = SignedDuration::from_hours(1);
/// What even a young pod may not do, where nothing is said.
pub const GROSS_TIMES: i32 = 5;
/// What even a young pod may not do, where nothing is said.
pub const GROSS_ABSOLUTE: &str = "1%";
/// Shortest time on a step, where nothing is said: a regression that starts late is not promoted.
pub const MIN_BAKE: &str = "5m";
/// Longest wait for evidence, where nothing is said.
pub const MAX_DURATION: &str = "60m";
/// False aborts of a whole rollout, where nothing is said.
pub const FALSE_ABORT_RATE: &str = "1%";
/// The relative tolerance, where nothing is said.
pub const RELATIVE: &str = "10%";
/// The absolute tolerance, where nothing is said.
pub const ABSOLUTE: &str = "0.05%";
/// Share of the false-abort rate, where nothing is said.
const WEIGHT: i32 = 50;
/// Shortest and longest time between two measurements of a threshold.
const INTERVAL: [SignedDuration; 2] = [SignedDuration::from_secs(5), SignedDuration::from_hours(1)];
/// Most false aborts that may be asked for.
const FALSE_ABORT_RATE_MAX: f64 = 0.1;

/// A parsed run.
#[derive(Debug)]
pub struct Plan {
    /// Whether it ends at its first verdict.
    pub mode: RunMode,
    /// From when on the canary's data count, in Unix seconds, rounded up.
    pub start: i64,
    /// What the canary's ratios are held against.
    pub reference: Reference,
    /// From when on the run's own times count: its creation, or the start if that is later. A run
    /// may begin with data that are older than itself; they are evidence, but no waiting.
    pub begin: i64,
    /// How long a target is young, in seconds.
    pub warmup: i64,
    /// So many times stable's ratio is gross harm, if the level below is exceeded too.
    pub gross_times: f64,
    /// This ratio is gross harm, if the ratio above is exceeded too.
    pub gross_level: f64,
    /// Never promotes sooner after the beginning, in seconds.
    pub min_bake: i64,
    /// Inconclusive after so many seconds, holds not counted.
    pub max_duration: i64,
    /// What happens then.
    pub on_inconclusive: OnInconclusive,
    /// What a promotion would authorise, in percent.
    pub next_weight: i32,
    /// What is planned.
    pub steps: Vec<PlanStep>,
    /// In the order of the spec.
    pub metrics: Vec<PlannedMetric>,
}

/// A parsed metric.
#[derive(Debug)]
pub struct PlannedMetric {
    /// Its name.
    pub name: String,
    /// It neither promotes nor aborts.
    pub dry_run: bool,
    /// How it is judged.
    pub kind: Kind,
}

/// How a metric is judged.
#[derive(Debug)]
pub enum Kind {
    /// By comparison of two ratios.
    Ratio(RatioPlan),
    /// By conditions on a number.
    Threshold(ThresholdPlan),
}

/// Something for each of the two versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arms<T> {
    /// The new version's.
    pub canary: T,
    /// The stable version's.
    pub stable: T,
}

/// One of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The new one.
    Canary,
    /// The one that is known.
    Stable,
}

impl<T> Arms<T> {
    /// The one of `version`.
    pub fn of(&self, version: Version) -> &T {
        match version {
            Version::Canary => &self.canary,
            Version::Stable => &self.stable,
        }
    }

    /// The one of `version`, to change.
    pub fn of_mut(&mut self, version: Version) -> &mut T {
        match version {
            Version::Canary => &mut self.canary,
            Version::Stable => &mut self.stable,
        }
    }
}

/// A parsed ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct RatioPlan {
    /// Selectors of all requests.
    pub total: Arms<String>,
    /// Selectors of the bad ones.
    pub bad: Arms<String>,
    /// Harm is more than `1 + relative` times stable's ratio ...
    pub relative: f64,
    /// ... and more than `absolute` above it ...
    pub absolute: f64,
    /// ... and more than this.
    pub floor: f64,
    /// This metric's share of the false-abort rate.
    pub alpha: f64,
}

/// A parsed threshold.
#[derive(Debug)]
pub struct ThresholdPlan {
    /// The query.
    pub query: String,
    /// True is a success.
    pub success: Option<Condition>,
    /// True is a failure.
    pub failure: Option<Condition>,
    /// Seconds between measurements.
    pub interval: i64,
    /// Successes that pass.
    pub count: i32,
    /// More failures than this fail.
    pub failure_limit: i32,
}

/// Parses the spec of a run that was created at `created`.
///
/// # Errors
/// Every [`Problem`] of the spec.
pub fn parse(spec: &AnalysisRunSpec, created: Timestamp) -> Result<Plan, Vec<Problem>> {
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
    let weight = |m: &Metric| f64::from(m.weight.unwrap_or(WEIGHT).max(1));
    let judged = |m: &&Metric| m.ratio.is_some() && !m.dry_run;
    let weights: f64 = spec.metrics.iter().filter(judged).map(weight).sum();
    let metrics: Vec<PlannedMetric> = spec
        .metrics
        .iter()
        .filter_map(|m| p.metric(m, &arms, rate * weight(m) / weights.max(weight(m))))
        .collect();
    p.names(&spec.metrics);
    let gross = spec.warmup.tolerate.clone().unwrap_or_default();
    let has_ratio = metrics.iter().any(|m| matches!(m.kind, Kind::Ratio(_)));
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
        steps: spec.plan.clone(),
        metrics,
    };
    if p.problems.is_empty() {
        Ok(plan)
    } else {
        Err(p.problems)
    }
}

struct Parser {
    problems: Vec<Problem>,
}

impl Parser {
    fn refuse(&mut self, at: &str, value: &str, message: impl std::fmt::Display) {
        self.problems.push(Problem::new(at, value, message));
    }

    fn percent(&mut self, at: &str, value: &str, max: f64) -> f64 {
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

    fn seconds(&mut self, at: &str, value: &str) -> i64 {
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

    fn promote(&mut self, promote: &Promote, has_ratio: bool) -> (i64, i64) {
        let default = if has_ratio { MIN_BAKE } else { "0s" };
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
            } => {
                let label = label.unwrap_or_else(|| DEFAULT_ARM_LABEL.to_owned());
                for (at, hash) in [
                    ("spec.canaryHash", &spec.canary_hash),
                    ("spec.stableHash", &spec.stable_hash),
                ] {
                    if needed && hash.is_empty() {
                        self.refuse(at, hash, format!("is needed for $(arm), the label {label}"));
                    }
                }
                let of = |hash: &str| format!("{label}=\"{}\"", promql::quoted(hash, '"'));
                Arms {
                    canary: of(&spec.canary_hash),
                    stable: of(&spec.stable_hash),
                }
            }
            Arm {
                label: None,
                canary: Some(canary),
                stable: Some(stable),
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
                    "either label, or both canary and stable",
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
        } else if metrics.iter().all(|m| m.dry_run) {
            let message = "at least one metric must not be dryRun, or nothing could ever pass";
            self.refuse("spec.metrics", "", message);
        }
    }

    fn metric(&mut self, m: &Metric, arms: &Arms<String>, alpha: f64) -> Option<PlannedMetric> {
        let at = format!("spec.metrics[{}]", m.name);
        let kind = match (&m.ratio, &m.threshold) {
            (Some(ratio), None) => Kind::Ratio(self.ratio(&at, m, ratio, arms, alpha)),
            (None, Some(threshold)) => {
                if m.tolerate.is_some() || m.never_abort_below.is_some() || m.weight.is_some() {
                    self.refuse(
                        &at,
                        "",
                        "tolerate, neverAbortBelow and weight apply only to a ratio",
                    );
                }
                Kind::Threshold(self.threshold(&at, threshold, arms))
            }
            _ => {
                self.refuse(&at, "", "a metric has exactly one kind: ratio or threshold");
                return None;
            }
        };
        Some(PlannedMetric {
            name: m.name.clone(),
            dry_run: m.dry_run,
            kind,
        })
    }

    fn ratio(
        &mut self,
        at: &str,
        metric: &Metric,
        ratio: &Ratio,
        arms: &Arms<String>,
        alpha: f64,
    ) -> RatioPlan {
        for (field, query) in [("bad", &ratio.bad), ("total", &ratio.total)] {
            let at = format!("{at}.ratio.{field}");
            match promql::selector(query) {
                Err(error) => self.refuse(&at, query, error),
                Ok(_) if !query.contains(promql::ARM) => {
                    let message = "must contain $(arm), or both versions would be the same series";
                    self.refuse(&at, query, message);
                }
                Ok(_) => {}
            }
        }
        if ratio.bad == ratio.total {
            let message = "is the same as total: every request would be bad";
            self.refuse(&format!("{at}.ratio.bad"), &ratio.bad, message);
        }
        let tolerate = metric.tolerate.clone().unwrap_or_default();
        let of = |query: &str| Arms {
            canary: promql::with_arm(query, &arms.canary),
            stable: promql::with_arm(query, &arms.stable),
        };
        let mut percent = |field: &str, value: &Option<String>, default: &str, max: f64| {
            self.percent(
                &format!("{at}.{field}"),
                value.as_deref().unwrap_or(default),
                max,
            )
        };
        RatioPlan {
            total: of(&ratio.total),
            bad: of(&ratio.bad),
            relative: percent("tolerate.relative", &tolerate.relative, RELATIVE, 100.0),
            absolute: percent("tolerate.absolute", &tolerate.absolute, ABSOLUTE, 1.0),
            floor: percent("neverAbortBelow", &metric.never_abort_below, "0%", 1.0),
            alpha,
        }
    }

    fn threshold(&mut self, at: &str, t: &Threshold, arms: &Arms<String>) -> ThresholdPlan {
        let at = format!("{at}.threshold");
        match promql::tokens(&t.query) {
            Err(error) => self.refuse(&format!("{at}.query"), &t.query, error),
            Ok(tokens) if tokens.is_empty() => {
                self.refuse(
                    &format!("{at}.query"),
                    &t.query,
                    "is empty; any PromQL is allowed",
                );
            }
            Ok(_) => {}
        }
        let mut compile = |field: &str, source: &Option<String>| {
            let source = source.as_ref()?;
            Condition::compile(source)
                .map_err(|error| self.refuse(&format!("{at}.{field}"), source, error))
                .ok()
        };
        let success = compile("success", &t.success);
        let failure = compile("failure", &t.failure);
        if t.success.is_none() && t.failure.is_none() {
            let message = "needs at least one of success and failure, or every result would pass";
            self.refuse(&at, "", message);
        }
        let interval = self.seconds(&format!("{at}.interval"), &t.interval);
        if !(INTERVAL[0].as_secs()..=INTERVAL[1].as_secs()).contains(&interval) {
            self.refuse(
                &format!("{at}.interval"),
                &t.interval,
                "5s to 1h is allowed",
            );
        }
        for (field, value, min) in [("count", t.count, 1), ("failureLimit", t.failure_limit, 0)] {
            if !(min..=1000).contains(&value) {
                let message = format!("{min} to 1000 is allowed");
                self.refuse(&format!("{at}.{field}"), &value.to_string(), message);
            }
        }
        ThresholdPlan {
            query: promql::with_arm(&t.query, &arms.canary),
            success,
            failure,
            interval,
            count: t.count,
            failure_limit: t.failure_limit,
        }
    }
}

/// Whether a metric speaks of `$(arm)`.
fn needs_arm(metric: &Metric) -> bool {
    let query = |t: &Threshold| t.query.contains(promql::ARM);
    metric.ratio.is_some() || metric.threshold.as_ref().is_some_and(query)
}
