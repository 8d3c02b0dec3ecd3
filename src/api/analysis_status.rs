//! The status of an `AnalysisRun`: the verdict, the evidence behind it, and the state from which
//! the run goes on after a restart at any instant. Serde and schema, no logic.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run has found so far.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalysisRunStatus {
    /// The generation that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// The present verdict; it may change while the run is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The verdict's reason in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The verdict's reason in one sentence with numbers.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Since when the present hold for want of data lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// How long earlier holds lasted together; held time is not part of `maxDuration`.
    #[serde(skip_serializing_if = "is_zero")]
    pub held_seconds: i64,
    /// What was found for each metric, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub metrics: Vec<MetricStatus>,
}

/// Where a run stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// `startAt` is still to come.
    Pending,
    /// It is looking.
    Running,
    /// It ended with Pass.
    Successful,
    /// It ended with Fail.
    Failed,
    /// It ended without enough evidence for either.
    Inconclusive,
    /// It was ended from outside, which says nothing about the version.
    Terminated,
}

/// What the evidence says. Only `Pass` promotes, only `Fail` aborts, the rest hold.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum Verdict {
    /// Shown to be good enough for the next weight.
    Pass,
    /// Shown to be worse than tolerated.
    Fail,
    /// Not enough evidence for either yet.
    Inconclusive,
    /// The source answers, but there is nothing to judge.
    NoData,
    /// The source does not answer, or not with what can be used.
    SourceError,
}

/// What was found for one metric.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// The metric's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What its evidence says.
    pub verdict: Verdict,
    /// Why, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why, in one sentence with numbers.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// It neither promotes nor aborts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The queries exactly as they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 4096)))]
    pub queries: Vec<String>,
    /// The source's present trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// For a comparison of two versions: counts, evidence, effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// For a threshold: the measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdStatus>,
}

/// A source that does not answer, or not with what can be used.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Which, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Which, in one sentence.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// How many times in a row.
    #[schemars(range(min = 0))]
    pub count: i32,
    /// When it is asked again.
    pub retry_at: Timestamp,
}

/// Counts, evidence and effect of a ratio.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Comparison {
    /// The new version after its warm-up.
    pub canary: Counts,
    /// The stable version in the same time.
    pub stable: Counts,
    /// Evidence of harm: aborts at the limit.
    pub harm: Evidence,
    /// Evidence of safety for the next weight: promotes at the limit.
    pub safe: Evidence,
    /// The new version from the start, warm-up included.
    pub canary_all: Counts,
    /// The stable version from the start, warm-up included.
    pub stable_all: Counts,
    /// The stable version's last hour before all of the traffic left it, where that is the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Counts>,
    /// Evidence of gross harm, from the first scrapes on: aborts at the limit.
    pub gross: Evidence,
    /// How many times the stable version's ratio, with the 95 % interval that may be looked at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// About how many more requests to the new version decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Harm was shown by the window that ended then, in Unix seconds; nothing is judged after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harm_shown_at: Option<i64>,
    /// The last windows, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub windows: Vec<WindowRecord>,
    /// From where the run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
}

/// Requests, and the bad ones among them.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// All.
    pub requests: f64,
    /// The bad ones.
    pub bad: f64,
}

/// Evidence on a natural-log scale: 0 says nothing, the limit decides.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Natural logarithm of the e-value.
    pub log: f64,
    /// Where it decides.
    pub limit: f64,
}

/// The new version's ratio as a multiple of the stable version's.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Effect {
    /// Most likely.
    pub times: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// Most likely difference in percentage points.
    pub points: f64,
}

/// What is still needed at the present rate.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Forecast {
    /// More requests to the new version.
    #[schemars(range(min = 0))]
    pub requests: i64,
    /// Seconds at the present rate.
    #[schemars(range(min = 0))]
    pub seconds: i64,
}

/// One judged window.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowRecord {
    /// Its end, in Unix seconds.
    pub end: i64,
    /// The new version.
    pub canary: Counts,
    /// The stable version.
    pub stable: Counts,
    /// What it added to the logarithm of the evidence of harm.
    pub log: f64,
}

/// From where a ratio goes on after a restart. Replaying the same samples from here gives the same
/// verdict to the bit. Times are Unix seconds.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampler {
    /// The new version has been seen in the samples.
    pub canary_seen: bool,
    /// The stable version has been seen in the samples.
    pub stable_seen: bool,
    /// Seconds between scrapes, as measured from the first samples; 0: not known yet.
    pub scrape_seconds: i64,
    /// Length of a judged window.
    pub window_seconds: i64,
    /// End of the last short window of the gross test; 0: none.
    pub gross_cursor: i64,
    /// Start of the first judged window.
    pub first: i64,
    /// End of the last window that was looked at, judged or before the first.
    pub cursor: i64,
    /// Requests to the new version before the first judged window.
    pub lead_canary: f64,
    /// Requests to the stable version before the first judged window.
    pub lead_stable: f64,
    /// End of the last window with requests to the new version.
    pub last_canary: i64,
    /// End of the last window with requests to the stable version.
    pub last_stable: i64,
    /// Stable targets when the first samples came.
    #[schemars(range(min = 0))]
    pub stable_targets: i64,
    /// How much stable's pods differ; absent: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Upper bounds of the buckets that a histogram is compared by; the infinite last one is left out.
    #[schemars(length(max = 64))]
    pub bounds: Vec<f64>,
    /// Stable's requests in each bucket before the first judged window: what the bets are made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub reference: Vec<f64>,
    /// The effects that the test of harm looks for, with their weights.
    #[schemars(length(max = 16))]
    pub deltas: Vec<f64>,
    /// Their weights.
    #[schemars(length(max = 16))]
    pub weights: Vec<f64>,
    /// Requests to the new version in the window before.
    pub last_requests: f64,
    /// How much the stable version varies while it is compared.
    pub guard: Guard,
    /// Targets of the new version in the last window.
    #[schemars(range(min = 0))]
    pub canary_targets: i64,
    /// The new version's requests in each bucket, where buckets are compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub canary_buckets: Vec<f64>,
    /// The stable version's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub stable_buckets: Vec<f64>,
    /// The differences of a gauge.
    pub differences: Differences,
    /// The test of an objective against the stable version.
    pub objective: Masses,
    /// The comparison's test of harm.
    pub harm: Masses,
    /// The test of harm against the tolerated level.
    pub harm_level: Masses,
    /// The ratio test of gross harm.
    pub gross: Masses,
    /// The test of gross harm against the tolerated level.
    pub gross_level: Masses,
    /// The ratio test of safety.
    pub safe: Masses,
    /// The test of safety against the tolerated level.
    pub safe_level: Masses,
    /// The log-likelihood of the effect at fixed nodes, from which the interval is made.
    #[schemars(length(max = 64))]
    pub likelihood: Vec<f64>,
    /// The stable version's last half hour in stretches of five minutes, oldest first.
    #[schemars(length(max = 8))]
    pub history: Vec<Stretch>,
}

/// How much the stable version's pods differ among themselves, from their last hours.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Calibration {
    /// What it was made of.
    pub origin: Origin,
    /// How many stable targets were told apart.
    #[schemars(range(min = 0))]
    pub targets: i32,
    /// How many seconds of their past are known.
    #[schemars(range(min = 0))]
    pub seconds: i64,
    /// Why it is not made of pods; empty: it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub why: String,
    /// Lengths of the blocks that were looked at, in windows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub blocks: Vec<i64>,
    /// For each length the squared variation between pods beyond chance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub cv2: Vec<f64>,
    /// The dispersion of all of the stable version together, where its pods are not told apart.
    pub phi: f64,
    /// What pods persistently differ by, as a standard deviation relative to their rate.
    pub tau: f64,
    /// A gauge's long-run variance of one pod and window, of its logarithm.
    pub variance: f64,
    /// A latency's dispersion for each bet and each request of a pod in a window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub dispersion: Vec<f64>,
}

/// How much the stable version varies from one window to the next, beyond chance.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Guard {
    /// Requests of the window before.
    pub requests: f64,
    /// Its bad ones.
    pub bad: f64,
    /// Pairs of windows with enough bad ones to say something.
    pub pairs: i64,
    /// The sum of what they differ by, in units of chance: 1 for each pair without dispersion.
    pub squares: f64,
}

/// What a calibration was made of.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Of the stable pods, each for itself.
    Pods,
    /// Of the stable version as a whole.
    Stable,
    /// Of nothing: the tests reckon with independent events.
    #[default]
    None,
}

/// The differences of a gauge between the versions, as logarithms.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Differences {
    /// Their sum.
    pub sum: f64,
    /// How many windows there were.
    pub windows: i64,
    /// The sum of their variances.
    pub variance: f64,
    /// The number of the present five minutes since the epoch.
    pub block: i64,
    /// The sum within them.
    pub block_sum: f64,
    /// How many windows were in them.
    pub block_windows: i64,
    /// Means of five minutes each, oldest first.
    #[schemars(length(max = 64))]
    pub blocks: Vec<f64>,
}

/// The state of one test: what is bet on each effect, and what is not bet yet.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Masses {
    /// Windows that went in.
    pub windows: i64,
    /// What is not bet yet.
    pub cash: f64,
    /// What each effect's bet is worth.
    #[schemars(length(max = 32))]
    pub bets: Vec<f64>,
}

/// Five minutes of the stable version.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Stretch {
    /// Its number since the epoch.
    pub number: i64,
    /// Requests.
    pub requests: f64,
    /// The bad ones.
    pub bad: f64,
}

/// The measurements of a threshold.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ThresholdStatus {
    /// Measurements that met `success`.
    pub successes: i32,
    /// How many are needed.
    pub needed: i32,
    /// Measurements that met `failure`.
    pub failures: i32,
    /// More failures than this fail the metric.
    pub failure_limit: i32,
    /// Measurements that met neither.
    pub undecided: i32,
    /// Asked in vain: no number came back. They count for nothing.
    pub unanswered: i32,
    /// Why the last question brought no number, in one word; empty: it brought one.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub silence: String,
    /// When it was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// The last measurements, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub recent: Vec<Measurement>,
}

/// One measurement of a threshold.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// When.
    pub at: Timestamp,
    /// What the query returned.
    pub value: f64,
    /// Held against the conditions.
    pub outcome: Outcome,
}

/// A measurement held against its conditions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It met `success`.
    Success,
    /// It met `failure`.
    Failure,
    /// It met neither.
    Undecided,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}
