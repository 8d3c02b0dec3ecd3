//! The spec of a run, parsed once: defaults applied, percentages and durations resolved, selectors
//! and conditions read, wrong states unrepresentable. All problems are found at once.

mod in_time;
mod metric;
mod parse;

pub use parse::{parse, read};

pub use super::problem::Problem;

use super::condition::Condition;
use super::series::Reading;
use crate::api::analysis::{OnInconclusive, PlanStep, Reference, RunMode};
use crate::api::metric::{Direction, Harm, TimeUnit};

/// Most metrics of a run, as in the schema.
pub const METRICS_MAX: usize = 20;
/// How long a pod is young, where nothing is said (statistics: section 3.8).
pub const WARMUP: &str = "60s";
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
/// How much slower is still all right, where nothing is said.
pub const SLOWER: &str = "5%";

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
    /// How the requests are to be split between the versions, where that is known.
    pub split: Option<SplitPlan>,
    /// What is planned.
    pub steps: Vec<PlanStep>,
    /// In the order of the spec.
    pub metrics: Vec<PlannedMetric>,
}

/// How a route splits the requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitPlan {
    /// The new version's share.
    pub share: f64,
    /// Since when, in Unix seconds, rounded up.
    pub since: i64,
    /// Whether a run is held while they are split otherwise.
    pub holds: bool,
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
    /// By evidence.
    Comparison(ComparisonPlan),
    /// By conditions on a number.
    Threshold(ThresholdPlan),
}

impl Kind {
    /// The word for it, as in the resource.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Threshold(_) => "threshold",
            Self::Comparison(compared) => match compared.measure {
                Measure::Ratio { .. } => "ratio",
                Measure::Events { .. } => "events",
                Measure::Histogram { .. } => "histogram",
                Measure::Gauge { .. } => "gauge",
            },
        }
    }
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

/// What is compared between the two versions, or held against a fixed level.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonPlan {
    /// What is measured.
    pub measure: Measure,
    /// Harm is more than `1 + relative` times stable's; of events that must not become fewer, less
    /// than `1 - relative` times.
    pub relative: f64,
    /// A ratio's harm is also more than `absolute` above stable's ...
    pub absolute: f64,
    /// ... and more than this.
    pub floor: f64,
    /// A ratio that is held against this level has no use for the stable version.
    pub level: Option<f64>,
    /// This metric's share of the false-abort rate.
    pub alpha: f64,
}

/// What is measured. Selectors have their matchers of the version filled in.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// Bad ones out of all.
    Ratio {
        /// Selectors of all requests.
        total: Arms<String>,
        /// Selectors of the bad ones.
        bad: Arms<String>,
    },
    /// Events for each request or each second of a pod.
    Events {
        /// Selectors of the counter.
        count: Arms<String>,
        /// Selectors of the requests; none: the time that pods were scraped in.
        requests: Option<Arms<String>>,
        /// Which difference is harm.
        harm: Harm,
    },
    /// Latencies by buckets.
    Histogram {
        /// Selectors of the buckets.
        buckets: Arms<String>,
        /// What is met beside the comparison.
        objective: Option<ObjectivePlan>,
        /// What the bounds are numbers of.
        unit: TimeUnit,
    },
    /// A level, as the mean over pods.
    Gauge {
        /// Selectors of the series.
        query: Arms<String>,
        /// Which way Kayenta's judge is to look, once; none: evidence is gathered.
        kayenta: Option<Direction>,
    },
}

/// A parsed objective: at most `share` of the requests take longer than `bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectivePlan {
    /// Share of the requests that may take longer.
    pub share: f64,
    /// In the histogram's unit.
    pub bound: f64,
}

impl Measure {
    /// The selectors with their names, in the order in which they are asked: a scrape that comes in
    /// between two questions is then in the later one alone, where it is noticed.
    #[must_use]
    pub fn selectors(&self) -> Vec<(&'static str, &Arms<String>)> {
        match self {
            Self::Ratio { total, bad } => vec![("total", total), ("bad", bad)],
            Self::Events {
                count,
                requests: Some(requests),
                ..
            } => vec![("requests", requests), ("count", count)],
            Self::Events { count, .. } => vec![("count", count)],
            Self::Histogram { buckets, .. } => vec![("buckets", buckets)],
            Self::Gauge { query, .. } => vec![("query", query)],
        }
    }

    /// A bound of the histogram in seconds.
    #[must_use]
    pub fn seconds(&self, bound: f64) -> f64 {
        match self {
            Self::Histogram { unit, .. } => bound / unit.per_second(),
            _ => bound,
        }
    }

    /// How the samples are read; `bounds` are the histogram's, once they are known.
    #[must_use]
    pub fn reading<'a>(&self, bounds: &'a [f64]) -> Reading<'a> {
        match self {
            Self::Ratio { .. } => Reading::Part,
            Self::Events {
                requests: Some(_), ..
            } => Reading::PerRequest,
            Self::Events { .. } => Reading::PerSecond,
            Self::Histogram { .. } => Reading::Buckets(bounds),
            Self::Gauge { .. } => Reading::Values,
        }
    }

    /// What is met beside the comparison.
    #[must_use]
    pub fn objective(&self) -> Option<ObjectivePlan> {
        match self {
            Self::Histogram { objective, .. } => *objective,
            _ => None,
        }
    }

    /// Whether it is looked at once, and not by evidence that is gathered.
    #[must_use]
    pub fn is_looked_at_once(&self) -> bool {
        matches!(
            self,
            Self::Gauge {
                kayenta: Some(_),
                ..
            }
        )
    }

    /// Whether the first number of a scrape is requests, of which a route gives a share to each
    /// version: scrapes and the time of pods are none.
    #[must_use]
    pub fn counts_requests(&self) -> bool {
        match self {
            Self::Ratio { .. } | Self::Histogram { .. } => true,
            Self::Events { requests, .. } => requests.is_some(),
            Self::Gauge { .. } => false,
        }
    }

    /// Whether fewer are the harm.
    #[must_use]
    pub fn fewer_is_harm(&self) -> bool {
        matches!(
            self,
            Self::Events {
                harm: Harm::Fewer,
                ..
            }
        )
    }
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
