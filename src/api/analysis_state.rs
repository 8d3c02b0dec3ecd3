//! From where a comparison goes on after a restart at any instant. Serde and schema, no logic. Long lists
//! of numbers are packed: eleven characters for each, to the bit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From where a ratio goes on after a restart. Replaying the same samples from here gives the same
/// verdict to the bit. Times are Unix seconds.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampler {
    /// The new version has been seen in the samples.
    #[serde(skip_serializing_if = "is_default")]
    pub canary_seen: bool,
    /// The stable version has been seen in the samples.
    #[serde(skip_serializing_if = "is_default")]
    pub stable_seen: bool,
    /// Seconds between scrapes, as measured from the first samples; 0: not known yet.
    #[serde(skip_serializing_if = "is_default")]
    pub scrape_seconds: i64,
    /// Length of a judged window.
    #[serde(skip_serializing_if = "is_default")]
    pub window_seconds: i64,
    /// End of the last short window of the gross test; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub gross_cursor: i64,
    /// Start of the first judged window.
    #[serde(skip_serializing_if = "is_default")]
    pub first: i64,
    /// End of the last window that was looked at, judged or before the first.
    #[serde(skip_serializing_if = "is_default")]
    pub cursor: i64,
    /// Requests to the new version before the first judged window.
    #[serde(skip_serializing_if = "is_default")]
    pub lead_canary: f64,
    /// Requests to the stable version before the first judged window.
    #[serde(skip_serializing_if = "is_default")]
    pub lead_stable: f64,
    /// End of the last window with requests to the new version.
    #[serde(skip_serializing_if = "is_default")]
    pub last_canary: i64,
    /// End of the last window with requests to the stable version.
    #[serde(skip_serializing_if = "is_default")]
    pub last_stable: i64,
    /// When the newest sample of the new version was scraped.
    #[serde(skip_serializing_if = "is_default")]
    pub newest_canary: i64,
    /// When the newest sample of either version was scraped.
    #[serde(skip_serializing_if = "is_default")]
    pub newest: i64,
    /// Targets of the new version in the last short windows, young or not.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(range(min = 0))]
    pub seen_targets: i64,
    /// The most that were seen in the last minutes.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(range(min = 0))]
    pub most_targets: i64,
    /// End of the last short window in which so many were seen.
    #[serde(skip_serializing_if = "is_default")]
    pub most_at: i64,
    /// Stable targets when the first samples came.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(range(min = 0))]
    pub stable_targets: i64,
    /// How much stable's pods differ; absent: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Upper bounds of the buckets that a histogram is compared by; the infinite last one is left out.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 64))]
    pub bounds: Vec<f64>,
    /// Buckets of the largest native histogram that was seen; 0: they are classic ones.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(range(min = 0))]
    pub histogram_buckets: i64,
    /// Stable's requests in each bucket before the first judged window: what the bets are made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub reference: Vec<f64>,
    /// The smallest effect that the comparison's test of harm looks for; 0: it looks for `deltas`.
    #[serde(skip_serializing_if = "is_default")]
    pub harm_from: f64,
    /// The effects that the comparison's test of harm looks for, where nothing is known of what is
    /// planned.
    #[serde(with = "super::packed", skip_serializing_if = "is_default")]
    #[schemars(schema_with = "super::packed::schema")]
    pub deltas: Vec<f64>,
    /// Their weights.
    #[serde(with = "super::packed", skip_serializing_if = "is_default")]
    #[schemars(schema_with = "super::packed::schema")]
    pub weights: Vec<f64>,
    /// Requests to the new version in the window before.
    #[serde(skip_serializing_if = "is_default")]
    pub last_requests: f64,
    /// How much the stable version varies while it is compared.
    #[serde(skip_serializing_if = "is_default")]
    pub guard: Guard,
    /// Targets of the new version in the last window.
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub differences: Differences,
    /// The values of a gauge that are looked at once.
    #[serde(skip_serializing_if = "is_default")]
    pub values: Values,
    /// The test of an objective against the stable version.
    #[serde(skip_serializing_if = "is_default")]
    pub objective: Masses,
    /// The test that the objective is met about as often as by stable.
    #[serde(skip_serializing_if = "is_default")]
    pub objective_safe: Masses,
    /// The comparison's test of harm.
    #[serde(skip_serializing_if = "is_default")]
    pub harm: Masses,
    /// The test of harm against the tolerated level.
    #[serde(skip_serializing_if = "is_default")]
    pub harm_level: Masses,
    /// The smallest effect that this test looks for; 0: a few that do not depend on the plan.
    #[serde(skip_serializing_if = "is_default")]
    pub harm_level_from: f64,
    /// The ratio test of gross harm.
    #[serde(skip_serializing_if = "is_default")]
    pub gross: Masses,
    /// The test of gross harm against the tolerated level.
    #[serde(skip_serializing_if = "is_default")]
    pub gross_level: Masses,
    /// The ratio test of safety.
    #[serde(skip_serializing_if = "is_default")]
    pub safe: Masses,
    /// The test of safety against the tolerated level.
    #[serde(skip_serializing_if = "is_default")]
    pub safe_level: Masses,
    /// The test that the new version gets no more than its share of the requests.
    #[serde(skip_serializing_if = "is_default")]
    pub split_more: Masses,
    /// The test that it gets no less.
    #[serde(skip_serializing_if = "is_default")]
    pub split_less: Masses,
    /// How much its share varies from one short window to the next.
    #[serde(skip_serializing_if = "is_default")]
    pub split_guard: Guard,
    /// The log-likelihood of the effect at fixed nodes, from which the interval is made.
    #[serde(with = "super::packed", skip_serializing_if = "is_default")]
    #[schemars(schema_with = "super::packed::schema")]
    pub likelihood: Vec<f64>,
    /// The stable version's last half hour in stretches of five minutes, oldest first.
    #[serde(skip_serializing_if = "is_default")]
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
    /// The stable version's requests in that time.
    #[serde(skip_serializing_if = "is_default")]
    pub requests: f64,
    /// The bad ones among these requests.
    #[serde(skip_serializing_if = "is_default")]
    pub bad: f64,
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
    #[serde(skip_serializing_if = "is_default")]
    pub phi: f64,
    /// What pods persistently differ by, as a standard deviation relative to their rate.
    #[serde(skip_serializing_if = "is_default")]
    pub tau: f64,
    /// A gauge's long-run variance of one pod and window, of its logarithm.
    #[serde(skip_serializing_if = "is_default")]
    pub variance: f64,
    /// A latency's dispersion for each bet and each request of a pod in a window.
    #[serde(with = "super::packed", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::packed::schema")]
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
    #[serde(with = "super::packed")]
    #[schemars(schema_with = "super::packed::schema")]
    pub blocks: Vec<f64>,
}

/// The values of a gauge, a mean over pods and scrapes each, until they are looked at.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Values {
    /// The new version's, oldest first.
    #[schemars(length(max = 120))]
    pub canary: Vec<f64>,
    /// The stable version's.
    #[schemars(length(max = 120))]
    pub stable: Vec<f64>,
    /// The number of the present one since the epoch.
    pub number: i64,
    /// What the new version's scrapes said within it, and how many there were.
    pub canary_sum: [f64; 2],
    /// The stable version's.
    pub stable_sum: [f64; 2],
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
    #[serde(with = "super::packed")]
    #[schemars(schema_with = "super::packed::schema")]
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

/// What has its first value is left out: a status has a largest size.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
