//! The status of an `AnalysisRun`: the verdict, the evidence behind it, and the state from which
//! the run goes on after a restart at any instant. Serde and schema, no logic.

pub use super::analysis_state::{
    Calibration, Differences, Guard, Masses, Origin, Sampler, Stretch, Values,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason of a run that will not have enough evidence in its time, as it looks now.
pub const TOO_LITTLE_TRAFFIC: &str = "TooLittleTraffic";

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
    /// Its kind, as in the spec: ratio, events, histogram, gauge or threshold.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub kind: String,
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
    /// How the requests were split between the versions, where the route says how they should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitStatus>,
    /// How many times the stable version's ratio, with the 95 % interval that may be looked at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// About how many more requests to the new version decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// What Kayenta's judge found in its one look, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
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

/// How the requests were split, and what that says of the share that the route gives.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitStatus {
    /// Requests to the new version in the last minutes; older ones count for less.
    pub canary: f64,
    /// Requests to the stable version, counted alike.
    pub stable: f64,
    /// Evidence that the new version gets more than its share: holds at the limit.
    pub more: Evidence,
    /// Evidence that it gets less: holds at the limit.
    pub less: Evidence,
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

/// What a judge found that looks only once.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// The end of the last value that it saw, in Unix seconds.
    pub at: i64,
    /// Kayenta's word for it.
    pub classification: Classification,
    /// How many values of the new version it saw.
    #[schemars(range(min = 0))]
    pub canary: i32,
    /// How many of the stable version.
    #[schemars(range(min = 0))]
    pub stable: i32,
    /// The level of the interval of the shift.
    pub confidence: f64,
    /// By how much the new version's values are shifted, and the ends of the interval; absent: they
    /// are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
}

/// By how much one version's values are above the other's.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Shift {
    /// Most likely.
    pub estimate: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// What Kayenta calls a metric.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    /// Not different enough.
    Pass,
    /// Higher than it may be.
    High,
    /// Lower than it may be.
    Low,
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
