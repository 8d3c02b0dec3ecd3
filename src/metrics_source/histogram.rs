//! Native histograms as the Prometheus HTTP API writes them: `count`, `sum` and `buckets`, each bucket
//! `[boundary rule, lower, upper, count]`. Empty buckets are left out, and the schema is not said.
//!
//! They are read here and nowhere made anything of: that is `analysis::native`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::answer::Number;
use crate::analysis::native::BOUNDS_MAX;
use crate::analysis::series::{Bucket, Histogram};

/// Most buckets of one histogram: OpenTelemetry's have up to 160 on either side of zero, those of a
/// Prometheus client as many as it is told.
pub(super) const BUCKETS_MAX: usize = 1000;
/// The largest boundary rule: 0 to 3 say which of its ends a bucket has itself.
const RULE_MAX: u8 = 3;

/// What stands in the place of native histograms in an answer: themselves, or nothing that is kept.
pub(super) trait Native: for<'de> Deserialize<'de> {
    /// As how many samples they count, and how many buckets the largest of them has.
    fn size(&self) -> (usize, usize);
    /// The histograms, if they are what they should be.
    fn read(self) -> Option<Vec<Histogram>>;
}

/// Where none can be used: that there are some is all that matters.
impl Native for IgnoredAny {
    fn size(&self) -> (usize, usize) {
        (0, 0)
    }

    fn read(self) -> Option<Vec<Histogram>> {
        Some(Vec::new())
    }
}

/// Where they are read.
#[derive(Deserialize)]
pub(super) struct Histograms(Vec<At>);

impl Native for Histograms {
    fn size(&self) -> (usize, usize) {
        let buckets = || self.0.iter().map(|at| at.1.buckets.len());
        // It is kept as its buckets, and then read as a number for each bound that is compared.
        let samples = buckets().map(|n| n.max(BOUNDS_MAX + 1)).sum();
        (samples, buckets().max().unwrap_or(0))
    }

    fn read(self) -> Option<Vec<Histogram>> {
        self.0.into_iter().map(At::read).collect()
    }
}

/// A time in seconds and a histogram.
#[derive(Deserialize)]
struct At(f64, Raw);

/// Its sum is of no use here.
#[derive(Deserialize)]
struct Raw {
    count: Number,
    #[serde(default)]
    buckets: Vec<RawBucket>,
}

/// A bucket, with its boundary rule checked.
struct RawBucket(Bucket);

impl<'de> Deserialize<'de> for RawBucket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (rule, lower, upper, count): (u8, Number, Number, Number) =
            Deserialize::deserialize(deserializer)?;
        if rule > RULE_MAX {
            return Err(serde::de::Error::custom("an unknown boundary rule"));
        }
        Ok(Self(Bucket {
            lower: lower.0,
            upper: upper.0,
            count: count.0,
        }))
    }
}

impl At {
    /// None: its buckets are not in order, or have no ends.
    fn read(self) -> Option<Histogram> {
        let buckets: Vec<Bucket> = self.1.buckets.into_iter().map(|b| b.0).collect();
        let ends = buckets.iter().flat_map(|b| [b.lower, b.upper]);
        ends.clone().is_sorted().then(|| Histogram {
            at_ms: (self.0 * 1000.0).round() as i64,
            count: self.1.count.0,
            buckets,
        })
    }
}
