//! Native histograms become what is read of classic ones: numbers of observations at or below bounds,
//! in series with the label `le`.
//!
//! An answer shows the buckets that have something in them, and no schema. That is enough: a bound
//! that lies across no bucket has an exact number below it, whatever the schemas are, the zero bucket
//! is one like the others, and negative observations are below every bound. The bounds of a
//! comparison are chosen once, of those across which no bucket of either version lies at any time;
//! what changes later is noticed.

mod bounds;

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::plan::Arms;
use super::series::{Answers, Bucket, DataError, Histogram, Sample, Series};
use super::target::Target;

pub use bounds::BOUNDS_MAX;
use bounds::Layout;

/// Answers in which every histogram is a classic one, at `bounds` (the infinite one left out), or at
/// bounds that all of them have if none are given. `objective` is a latency that should have one.
///
/// A target that has both kinds is read by its native ones: its classic buckets count the same
/// requests. Native ones in which nothing was ever counted have no bounds yet, and are left out
/// until one of them has.
///
/// # Errors
/// [`DataError`] where they cannot be counted at these bounds.
pub fn classic<'a>(
    answers: &'a Answers,
    bounds: &[f64],
    objective: Option<f64>,
) -> Result<Cow<'a, Answers>, DataError> {
    let natives: Vec<&Series> = answers.series().filter(|s| is_native(s)).collect();
    if natives.is_empty() {
        return Ok(Cow::Borrowed(answers));
    }
    natives.iter().try_for_each(|series| counts(series))?;
    let layout = Layout::of(natives.iter().copied());
    let chosen = if bounds.is_empty() {
        layout.choose(objective)?
    } else {
        check(&natives, &layout, bounds)?;
        bounds.to_vec()
    };
    let arms = |arms: &Arms<Vec<Series>>| {
        let one = |all: &[Series]| as_classic(all, &chosen);
        Arms {
            canary: one(&arms.canary),
            stable: one(&arms.stable),
        }
    };
    Ok(Cow::Owned(Answers {
        at: answers.at,
        reach: answers.reach,
        selected: answers.selected.iter().map(arms).collect(),
    }))
}

/// The same for one version's past. Where its buckets were others then, that is left out: it is
/// asked how much pods differ, and less of it does as well.
#[must_use]
pub fn past<'a>(selected: &'a [Vec<Series>], bounds: &[f64]) -> Cow<'a, [Vec<Series>]> {
    if !selected.iter().flatten().any(is_native) {
        return Cow::Borrowed(selected);
    }
    let fits = |h: &Histogram| {
        let across = |b: &Bucket| bounds.iter().any(|bound| bounds::across(b, *bound));
        !h.buckets.iter().any(across)
    };
    let fitting = |all: &Vec<Series>| {
        let mut all = all.clone();
        for series in &mut all {
            series.histograms.retain(fits);
        }
        as_classic(&all, bounds)
    };
    Cow::Owned(selected.iter().map(fitting).collect())
}

/// How many buckets the largest native histogram has; 0: there is none.
#[must_use]
pub fn largest(answers: &Answers) -> i64 {
    let all = answers.series().flat_map(|s| &s.histograms);
    let most = all.map(|h| h.buckets.len()).max().unwrap_or(0);
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn is_native(series: &Series) -> bool {
    !series.histograms.is_empty()
}

/// Whether its numbers can be those of counters.
fn counts(series: &Series) -> Result<(), DataError> {
    let numbers = series
        .histograms
        .iter()
        .flat_map(|h| h.buckets.iter().map(|b| b.count).chain([h.count]));
    let wrong = |value: &f64| value.is_infinite() || *value < 0.0;
    match numbers.into_iter().find(wrong) {
        Some(value) => Err(DataError::NotACounter("buckets", value)),
        None => Ok(()),
    }
}

/// Says which target's buckets a bound lies across.
fn check(natives: &[&Series], layout: &Layout, bounds: &[f64]) -> Result<(), DataError> {
    let Some(bound) = bounds.iter().find(|b| !layout.counts_at(**b)) else {
        return Ok(());
    };
    let across = |s: &&&Series| {
        let mut buckets = s.histograms.iter().flat_map(|h| &h.buckets);
        buckets.any(|b| bounds::across(b, *bound))
    };
    let target = natives.iter().find(across).map(|s| Target::of(&s.labels));
    Err(DataError::BucketsChanged(
        target.unwrap_or_default().to_string(),
        *bound,
    ))
}

/// The series of one version, the native ones as classic ones.
fn as_classic(all: &[Series], bounds: &[f64]) -> Vec<Series> {
    let native = all.iter().filter(|s| is_native(s));
    let native: BTreeSet<Target<'_>> = native.map(|s| Target::of(&s.labels)).collect();
    let mut classic = Vec::new();
    for series in all {
        if !is_native(series) {
            if !native.contains(&Target::of(&series.labels)) {
                classic.push(series.clone());
            }
        } else if !bounds.is_empty() {
            let at = bounds.iter().copied().chain([f64::INFINITY]);
            classic.extend(at.map(|bound| at_most(series, bound)));
        }
    }
    classic
}

/// The classic series of one bound.
fn at_most(series: &Series, bound: f64) -> Series {
    let le = if bound.is_infinite() {
        "+Inf".to_owned()
    } else {
        bound.to_string()
    };
    let labels = series.labels.with("le", &le);
    let sample = |h: &Histogram| Sample {
        at_ms: h.at_ms,
        value: if bound.is_infinite() {
            // An observation that is no number is in no bucket.
            h.count
        } else {
            // A bucket across the bound is one that everybody has: its upper end is the bound then.
            let below = h.buckets.iter().filter(|b| bounds::below(b.lower, bound));
            // Of no bucket the sum would be -0.
            0.0 + below.map(|b| b.count).sum::<f64>()
        },
    };
    Series {
        labels,
        samples: series.histograms.iter().map(sample).collect(),
        ..Series::default()
    }
}

#[cfg(test)]
mod tests;
