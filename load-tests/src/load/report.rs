//! What became of the requests: by version, by second, and every failure by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{Connection, Outcome};

/// Failures that are written down one by one; further ones are only counted.
const FAILURES_MAX: usize = 10_000;
/// Latencies are kept to three digits, up to ten minutes, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;
/// From here on a status is the server's fault.
const SERVER_ERROR: u16 = 500;

/// What was seen. An answer is `bad` when a version gave it with a status of 500 or more; a request is
/// `lost` when no version answered it, whatever came instead.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When the load began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Requests per second that were meant.
    pub rate: f64,
    /// Requests sent and done with.
    pub requests: u64,
    /// Those that no version answered.
    pub lost: u64,
    /// Those that a version answered with an error.
    pub bad: u64,
    /// Those that the load itself could not send in time: above 0 the machine was too slow, and the
    /// rest says little.
    pub not_sent: u64,
    /// When the first bad answer's request was due, and the last one's.
    pub first_bad: Option<Timestamp>,
    /// When the last bad answer's request was due.
    pub last_bad: Option<Timestamp>,
    /// What each version answered.
    pub versions: BTreeMap<String, Version>,
    /// Time until the answer, of all that were answered.
    pub latency: Latency,
    /// Every failure, in the order in which they were noticed.
    pub failures: Vec<Failure>,
    /// Second by second, by the time at which requests were due.
    pub seconds: Vec<Second>,
}

/// What a version answered.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// How often.
    #[serde(flatten)]
    pub counts: Counts,
    /// How fast.
    pub latency: Latency,
}

/// Answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All of them.
    pub answers: u64,
    /// The bad ones.
    pub bad: u64,
}

/// A request that no version answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it was due.
    pub due: Timestamp,
    /// How long after that it failed, in milliseconds.
    pub after_ms: u64,
    /// Over which connection.
    pub connection: Connection,
    /// The status of what answered instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, in words.
    pub cause: String,
}

/// One second of the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// In Unix seconds.
    pub at: i64,
    /// Requests that were lost.
    pub lost: u64,
    /// Answers by version.
    pub versions: BTreeMap<String, Counts>,
}

/// How long answers took, counted from when they were due.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS);
        Self(histogram.expect("1 to ten minutes with three digits is a histogram"))
    }
}

impl Latency {
    fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us.max(1));
    }

    /// The latency that this share of the answers did not exceed, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quantiles = [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p999", 0.999),
            ("max", 1.0),
        ];
        let ms = quantiles.map(|(name, share)| (name, self.quantile_ms(share)));
        serializer.collect_map(ms)
    }
}

impl Report {
    /// Of a load that has just begun.
    #[must_use]
    pub fn begin(began: Timestamp, rate: f64) -> Self {
        Self {
            began,
            ended: None,
            rate,
            requests: 0,
            lost: 0,
            bad: 0,
            not_sent: 0,
            first_bad: None,
            last_bad: None,
            versions: BTreeMap::new(),
            latency: Latency::default(),
            failures: Vec::new(),
            seconds: Vec::new(),
        }
    }

    pub(super) fn finish(&mut self, ended: Timestamp) {
        self.ended = Some(ended);
    }

    pub(super) fn not_sent(&mut self) {
        self.not_sent += 1;
    }

    pub(super) fn add(
        &mut self,
        due: Timestamp,
        connection: Connection,
        took: Duration,
        outcome: Outcome,
    ) {
        self.requests += 1;
        let (status, cause) = match outcome {
            Outcome::Answered {
                status,
                version: Some(version),
            } => return self.answered(due, took, status, version),
            Outcome::Answered { status, .. } => {
                (Some(status), "an answer that no version gave".to_owned())
            }
            Outcome::Failed { cause } => (None, cause),
        };
        self.lost += 1;
        self.second(due).lost += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(Failure {
                due,
                after_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                connection,
                status,
                cause,
            });
        }
    }

    fn answered(&mut self, due: Timestamp, took: Duration, status: u16, version: String) {
        let is_bad = status >= SERVER_ERROR;
        let count = |counts: &mut Counts| {
            counts.answers += 1;
            counts.bad += u64::from(is_bad);
        };
        self.latency.add(took);
        let of_second = self.second(due).versions.entry(version.clone());
        count(of_second.or_default());
        let of_version = self.versions.entry(version).or_default();
        count(&mut of_version.counts);
        of_version.latency.add(took);
        if is_bad {
            self.bad += 1;
            self.first_bad = Some(self.first_bad.map_or(due, |first| first.min(due)));
            self.last_bad = Some(self.last_bad.map_or(due, |last| last.max(due)));
        }
    }

    /// The second in which a request was due; they are kept in order.
    fn second(&mut self, due: Timestamp) -> &mut Second {
        let at = due.as_second();
        let place = match self.seconds.binary_search_by_key(&at, |second| second.at) {
            Ok(place) => place,
            Err(place) => {
                let second = Second {
                    at,
                    lost: 0,
                    versions: BTreeMap::new(),
                };
                self.seconds.insert(place, second);
                place
            }
        };
        self.seconds
            .get_mut(place)
            .expect("it was found or inserted at this place")
    }

    /// Percent of the answers from one second to before another, in Unix seconds, that a version
    /// gave; `None` where there were none.
    #[must_use]
    pub fn share(&self, version: &str, from: i64, before: i64) -> Option<f64> {
        let seconds = self.seconds.iter();
        let (mut own, mut all) = (0, 0);
        for second in seconds.filter(|second| (from..before).contains(&second.at)) {
            own += second.versions.get(version).map_or(0, |c| c.answers);
            all += second.versions.values().map(|c| c.answers).sum::<u64>();
        }
        (all > 0).then(|| own as f64 * 100.0 / all as f64)
    }
}
