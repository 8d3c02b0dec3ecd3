//! What is asked and what comes back: raw samples, series by series, and how one counter's samples
//! are differenced (statistics, section 1). What scrapes add up to is in `scrapes`.

pub use super::labels::Labels;
use super::plan::Arms;

/// A sample of a counter or gauge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was scraped, in Unix milliseconds.
    pub at_ms: i64,
    /// What it said. NaN ends a series (Prometheus' stale marker).
    pub value: f64,
}

/// A series with its samples, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its labels, the name included or not.
    pub labels: Labels,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Its samples that are native histograms; only a selector of buckets may have them. `native`
    /// makes of them what is read of classic ones.
    pub histograms: Vec<Histogram>,
}

/// A native histogram as it was scraped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// When it was scraped, in Unix milliseconds.
    pub at_ms: i64,
    /// How many observations it has in all.
    pub count: f64,
    /// Those of its buckets that have something in them, ascending; none overlaps another.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a native histogram. Which of its ends it has itself is not kept: no observation of
/// time lies on one but by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its lower end, which may be infinite.
    pub lower: f64,
    /// Its upper end, which may be infinite.
    pub upper: f64,
    /// How many observations are in it, and in no other bucket.
    pub count: f64,
}

/// The answers for a comparison, all asked for the same time and reach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// The time that was asked for, in Unix seconds: no sample is newer.
    pub at: i64,
    /// How far back it was asked, in seconds.
    pub reach: i64,
    /// In the order in which the measure names its selectors. They must be asked in that order, so
    /// that every scrape of an earlier one is in the later ones too.
    pub selected: Vec<Arms<Vec<Series>>>,
}

impl Answers {
    /// Every series, of whichever selector and version.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.selected
            .iter()
            .flat_map(|arms| arms.canary.iter().chain(&arms.stable))
    }
}

/// How the samples of a scrape are read. A scrape becomes numbers that add up over targets and time;
/// the first of them is what the others are held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<'a> {
    /// Two counters, the second a part of the first: requests, and the bad ones.
    Part,
    /// Two counters that only come from the same scrapes: requests, and events.
    PerRequest,
    /// One counter: the seconds between scrapes, and events.
    PerSecond,
    /// Cumulative buckets with these upper bounds, ascending, the last infinite: requests, and how
    /// many of them are in each bucket.
    Buckets(&'a [f64]),
    /// A gauge, of all series of a target together: how many scrapes, and the sum of what they said.
    Values,
}

impl Reading<'_> {
    /// How many numbers a scrape becomes.
    #[must_use]
    pub fn numbers(&self) -> usize {
        match self {
            Self::Part | Self::PerRequest | Self::PerSecond | Self::Values => 2,
            Self::Buckets(bounds) => bounds.len() + 1,
        }
    }
}

/// Why answers cannot be used. None of these says anything about the version.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// Not a counter.
    #[error("a series of {0} has the value {1}, which no counter has; select counters")]
    NotACounter(&'static str, f64),
    /// An infinite gauge.
    #[error("a series has the value {0}, which cannot be compared")]
    NotFinite(f64),
    /// A later selector has scrapes that the first does not have.
    #[error(
        "{0} and {1} of target {2:?} were not scraped together: either two replicas of the metrics store answer in turn, or the selectors name metrics of different targets"
    )]
    ScrapesDiffer(&'static str, &'static str, String),
    /// More bad ones than there are.
    #[error(
        "the {arm} version has {bad} bad ones out of {total}: the selector of bad must be a part of the selector of total"
    )]
    BadExceedsTotal {
        /// Which version.
        arm: &'static str,
        /// Bad ones.
        bad: f64,
        /// All.
        total: f64,
    },
    /// No buckets.
    #[error(
        "a series has no readable label le and is no native histogram: select the buckets of a classic one, as in http_request_duration_seconds_bucket, or a native one itself"
    )]
    NoBuckets,
    /// Nothing to compare bucket by bucket.
    #[error(
        "the two versions have {0} bucket bounds in common where at least two and le=\"+Inf\" are needed: give both the same buckets"
    )]
    NoCommonBuckets(usize),
    /// Other buckets than at the beginning.
    #[error(
        "target {0:?} has no bucket that ends at le=\"{1}\", by which the comparison began: its buckets were changed, or are not those of the other targets"
    )]
    BucketsChanged(String, f64),
}

impl DataError {
    /// The reason in one word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotACounter(..) => "NotACounter",
            Self::NotFinite(_) => "NotFinite",
            Self::ScrapesDiffer(..) => "ScrapesDiffer",
            Self::BadExceedsTotal { .. } => "BadExceedsTotal",
            Self::NoBuckets => "NoBuckets",
            Self::NoCommonBuckets(_) => "NoCommonBuckets",
            Self::BucketsChanged(..) => "BucketsChanged",
        }
    }
}

/// Differences one counter: what each sample adds to the one before, and whether the counter began
/// anew there. The first sample adds its whole value where the target `existed_before` (a series of
/// errors is born with its first error), and nothing where its history is unknown.
pub fn increases(
    samples: &[Sample],
    existed_before: bool,
) -> impl Iterator<Item = (i64, f64, bool)> + '_ {
    increases_with(samples, existed_before, |_, _| None)
}

/// The same where it is known of a counter when it began `anew` between the times of two samples,
/// though it may have counted more than before by the second one. Where that was before the second
/// one, it is not said of it: others have said it then.
pub(super) fn increases_with<'a>(
    samples: &'a [Sample],
    existed_before: bool,
    anew: impl Fn(i64, i64) -> Option<i64> + 'a,
) -> impl Iterator<Item = (i64, f64, bool)> + 'a {
    let mut last: Option<Sample> = None;
    samples
        .iter()
        .filter(|s| !s.value.is_nan())
        .map(move |s| match last.replace(*s) {
            None if existed_before => (s.at_ms, s.value, false),
            None => (s.at_ms, 0.0, false),
            Some(before) => match anew(before.at_ms, s.at_ms) {
                Some(then) => (s.at_ms, s.value, then == s.at_ms),
                None if s.value < before.value => (s.at_ms, s.value, true),
                None => (s.at_ms, s.value - before.value, false),
            },
        })
}

/// When a series was first seen, in milliseconds.
pub(super) fn first_of(series: &Series) -> Option<i64> {
    let mut known = series.samples.iter().filter(|s| !s.value.is_nan());
    known.next().map(|s| s.at_ms)
}
