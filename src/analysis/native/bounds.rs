//! Which bounds a set of native histograms can be counted at, and which of them a comparison takes.
//!
//! The ends of exponential buckets are powers of 2 to the 2^-schema, so that those of a coarser schema
//! are among those of a finer one, and a client that has too many buckets takes the next coarser. Custom
//! buckets, schema -53, have any ends; those without an observation cannot be seen.

use std::collections::BTreeSet;

use crate::analysis::series::{Bucket, DataError, Series};

/// Most bounds that are compared by, the infinite one not counted.
pub const BOUNDS_MAX: usize = 48;
/// The schemas of exponential buckets.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// Fewer buckets than this are not taken for exponential ones: two may look so by chance.
const EXPONENTIAL_MIN: usize = 3;
/// So many times the highest bucket's end there are bounds, for a version that gets slower.
const ABOVE: f64 = 16.0;
/// Ends that differ by no more than this are the same: two schemas' tables differ in the last digit.
const SAME: f64 = 1e-9;
/// How far a number may be from a whole one that it should be.
const WHOLE: f64 = 1e-6;

/// Whether `a` is less than `b`, and not but for its last digits.
pub(super) fn below(a: f64, b: f64) -> bool {
    let both_finite = a.is_finite() && b.is_finite();
    a < b && (!both_finite || b - a > SAME * a.abs().max(b.abs()))
}

/// Whether a bound lies within a bucket and not at one of its ends.
pub(super) fn across(bucket: &Bucket, bound: f64) -> bool {
    below(bucket.lower, bound) && below(bound, bucket.upper)
}

/// Every bucket that any of the histograms has something in.
pub(super) struct Layout(Vec<Bucket>);

impl Layout {
    pub fn of<'a>(series: impl Iterator<Item = &'a Series>) -> Self {
        let buckets = series.flat_map(|s| s.histograms.iter().flat_map(|h| &h.buckets));
        let filled = buckets.filter(|b| b.count > 0.0);
        let ends: BTreeSet<[u64; 2]> = filled.map(|b| [b.lower, b.upper].map(sortable)).collect();
        let bucket = |[lower, upper]: [u64; 2]| Bucket {
            lower: f64::from_bits(lower),
            upper: f64::from_bits(upper),
            count: 0.0,
        };
        Self(ends.into_iter().map(bucket).collect())
    }

    /// Whether what is at or below a bound is known of every histogram: nobody's bucket lies across
    /// it, or the one that does is everybody's; then the bound is as good as its upper end.
    pub fn counts_at(&self, bound: f64) -> bool {
        let mut all = self.0.iter().filter(|b| across(b, bound));
        let Some(first) = all.next() else {
            return true;
        };
        let apart = |b: &&Bucket| {
            *b == first || !below(b.lower, first.upper) || !below(first.lower, b.upper)
        };
        self.0.iter().all(|b| apart(&b))
    }

    /// Bounds that all histograms can be counted at, ascending. Nothing: nothing was ever counted.
    ///
    /// # Errors
    /// [`DataError::NoCommonBuckets`] where there are buckets and no such bound.
    pub fn choose(&self, objective: Option<f64>) -> Result<Vec<f64>, DataError> {
        let usable = |bound: &f64| !self.0.iter().any(|b| across(b, *bound));
        let ends = self.0.iter().filter(|b| !is_zero(b));
        let ends = ends.flat_map(|b| [b.lower, b.upper]);
        let mut ends: Vec<f64> = ends.filter(|end| *end > 0.0 && end.is_finite()).collect();
        ends.sort_by(f64::total_cmp);
        let mut bounds = match (self.schema(), ends.first(), ends.last()) {
            (Some(schema), Some(lowest), Some(highest)) => {
                exponential(schema, *lowest, *highest, objective)
            }
            _ => {
                // As long as nothing was ever that slow there is no other bound for it.
                let met = |o: &f64| ends.iter().all(|end| below(*end, *o));
                let objective = objective.filter(|o| !ends.is_empty() && met(o));
                ends.iter().copied().chain(objective).collect()
            }
        };
        bounds.retain(usable);
        bounds.dedup_by(|b, a| !below(*a, *b));
        if bounds.is_empty() && !ends.is_empty() {
            // There is the infinite one, as always.
            return Err(DataError::NoCommonBuckets(1));
        }
        Ok(bounds)
    }

    /// The coarsest schema of the buckets; nothing: they are not all exponential.
    fn schema(&self) -> Option<i32> {
        let positive = self.0.iter().filter(|b| b.upper > 0.0 && !is_zero(b));
        let schemas: Option<Vec<i32>> = positive.map(schema_of).collect();
        let schemas = schemas.filter(|all| all.len() >= EXPONENTIAL_MIN)?;
        schemas.into_iter().min()
    }
}

/// Bounds of exponential buckets from the lowest to well above the highest end.
///
/// They are a step coarser than the buckets, if those are finer than powers of two: a client that
/// takes the next coarser schema in the middle of a comparison does not end it.
fn exponential(schema: i32, lowest: f64, highest: f64, objective: Option<f64>) -> Vec<f64> {
    let mut schema = if schema > 0 { schema - 1 } else { schema };
    loop {
        let grid = f64::from(schema).exp2();
        let first = (lowest.log2() * grid - WHOLE).ceil();
        let index = |bound: f64| (bound.log2() * grid - WHOLE).ceil();
        let last = index(highest);
        let mut bounds = Vec::new();
        let mut k = first;
        while k <= last && bounds.len() <= BOUNDS_MAX {
            bounds.push((k / grid).exp2());
            k += 1.0;
        }
        if let Some(objective) = objective.filter(|o| *o > highest) {
            bounds.push((index(objective) / grid).exp2());
        }
        let above = [2.0, 4.0, 8.0, ABOVE];
        // Powers of two, or the ends of a schema that is coarser than that.
        let octave = |times: f64| {
            let coarse = grid.min(1.0);
            (((highest * times).log2() * coarse).floor() / coarse).exp2()
        };
        let beyond = above.iter().map(|times| octave(*times));
        bounds.extend(beyond.filter(|b| below(highest, *b)));
        bounds.sort_by(f64::total_cmp);
        if bounds.len() <= BOUNDS_MAX || schema <= *SCHEMAS.start() {
            return bounds;
        }
        schema -= 1;
    }
}

/// Whether it is the bucket around zero.
fn is_zero(bucket: &Bucket) -> bool {
    bucket.lower <= 0.0 && bucket.lower.is_finite() && bucket.upper >= 0.0
}

/// The schema of a bucket with positive ends, if it is an exponential one.
fn schema_of(bucket: &Bucket) -> Option<i32> {
    let octaves = (bucket.upper / bucket.lower).log2();
    let schema = -octaves.log2();
    let whole = schema.round();
    let index = bucket.upper.log2() * whole.exp2();
    let fits = bucket.lower > 0.0
        && bucket.upper.is_finite()
        && (schema - whole).abs() < WHOLE
        && (index - index.round()).abs() < WHOLE;
    let schema = whole as i32;
    (fits && SCHEMAS.contains(&schema)).then_some(schema)
}

fn sortable(end: f64) -> u64 {
    // Only told apart, not ordered.
    if end == 0.0 { 0 } else { end.to_bits() }
}
