//! Regressions that are put into the samples of a version that had none: its errors duplicated by
//! chance, its latencies moved up through the buckets, its gauges scaled.
//!
//! Whatever is made up is what a scrape could have said: counters stay counters, buckets stay
//! cumulative, requests stay as many as they were.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::{Chance, binomial};
use super::recording::{Held, Recording};
use crate::analysis::plan::Measure;
use crate::analysis::series::{Labels, Sample};

/// The first bucket is taken to begin, and the last one to end, so far from its bound in ln(le).
const EDGE: f64 = 2.0;
/// A share of bad ones above this cannot be made larger by a factor that says anything.
const SHARE_MAX: f64 = 0.9;
/// A number that is no nearer to a whole one than this counts no events.
const WHOLE: f64 = 1e-6;

/// Puts a regression by `factor` into the new version's samples of a metric. False: it cannot be that
/// much worse, because nearly all of its requests would be bad.
pub fn inject(
    recording: &mut Recording,
    metric: usize,
    measure: &Measure,
    factor: f64,
    chance: &mut dyn Chance,
) -> bool {
    let Some(held) = recording.metrics.get_mut(metric) else {
        return false;
    };
    let mut selected = held.iter_mut().map(|arms| &mut arms.canary);
    let (first, second) = (selected.next(), selected.next());
    match (measure, first, second) {
        (Measure::Ratio { .. }, Some(total), Some(bad)) => {
            if increase(bad) * factor > increase(total) * SHARE_MAX {
                return false;
            }
            each_counter(bad, |n| times(chance, n, factor));
        }
        (Measure::Events { .. }, Some(counted), None)
        | (Measure::Events { .. }, Some(_), Some(counted)) => {
            let factor = if measure.fewer_is_harm() {
                1.0 / factor
            } else {
                factor
            };
            each_counter(counted, |n| times(chance, n, factor));
        }
        (Measure::Histogram { .. }, Some(buckets), _) => slow(buckets, factor, chance),
        (Measure::Gauge { .. }, Some(gauge), _) => {
            for sample in gauge.0.values_mut().flatten() {
                sample.value *= factor;
            }
        }
        _ => return false,
    }
    true
}

/// `factor` times as many events as `n`, in the mean: each is there once for every whole in the factor,
/// and once more by chance.
fn times(chance: &mut dyn Chance, n: f64, factor: f64) -> f64 {
    if (n - n.round()).abs() > WHOLE {
        return n * factor;
    }
    n * factor.floor() + binomial(chance, n, factor.fract())
}

/// What each sample of a counter adds, the first one its whole value; and whether it began anew there.
fn steps(samples: &[Sample]) -> impl Iterator<Item = (i64, f64, bool)> + '_ {
    let mut before: Option<f64> = None;
    let known = samples.iter().filter(|s| !s.value.is_nan());
    known.map(move |s| match before.replace(s.value) {
        Some(before) if s.value >= before => (s.at_ms, s.value - before, false),
        _ => (s.at_ms, s.value, true),
    })
}

fn increase(held: &Held) -> f64 {
    let all = held.0.values();
    all.map(|samples| steps(samples).skip(1).map(|(_, more, _)| more).sum::<f64>())
        .sum()
}

/// Makes each counter anew from what its samples added, after `change`.
fn each_counter(held: &mut Held, mut change: impl FnMut(f64) -> f64) {
    for samples in held.0.values_mut() {
        let changed: Vec<(i64, f64, bool)> = steps(samples)
            .map(|(at, more, anew)| (at, change(more), anew))
            .collect();
        write(samples, &changed);
    }
}

fn write(samples: &mut [Sample], steps: &[(i64, f64, bool)]) {
    let mut steps = steps.iter();
    let mut sum = 0.0;
    for sample in samples.iter_mut().filter(|s| !s.value.is_nan()) {
        let Some((_, more, anew)) = steps.next() else {
            return;
        };
        sum = if *anew { *more } else { sum + more };
        sample.value = sum;
    }
}

/// Makes every request take `factor` times as long: within its bucket it is taken to lie anywhere, on
/// a logarithmic scale.
fn slow(held: &mut Held, factor: f64, chance: &mut dyn Chance) {
    let mut histograms: BTreeMap<Labels, Vec<(f64, Labels)>> = BTreeMap::new();
    for labels in held.0.keys() {
        let bound = labels.get("le").and_then(bound_of);
        let Some(bound) = bound else { continue };
        histograms
            .entry(labels.without("le"))
            .or_default()
            .push((bound, labels.clone()));
    }
    for mut buckets in histograms.into_values() {
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        if bounds.len() < 2 || bounds.last() != Some(&f64::INFINITY) {
            continue;
        }
        let moved = Moved::new(&bounds, factor);
        let series: Vec<&Vec<Sample>> = buckets
            .iter()
            .filter_map(|(_, labels)| held.0.get(labels))
            .collect();
        let all: Vec<BTreeMap<i64, (f64, bool)>> = series
            .iter()
            .map(|s| {
                steps(s)
                    .map(|(at, more, anew)| (at, (more, anew)))
                    .collect()
            })
            .collect();
        let times: BTreeSet<i64> = all.iter().flat_map(|s| s.keys().copied()).collect();
        let mut written: Vec<Vec<(i64, f64, bool)>> = vec![Vec::new(); bounds.len()];
        for at in times {
            let now: Vec<Option<(f64, bool)>> = all.iter().map(|s| s.get(&at).copied()).collect();
            let cumulative: Vec<f64> = now.iter().map(|s| s.map_or(0.0, |s| s.0)).collect();
            let slower = moved.of(&cumulative, chance);
            for ((into, now), more) in written.iter_mut().zip(&now).zip(slower) {
                into.extend(now.map(|(_, anew)| (at, more, anew)));
            }
        }
        for ((_, labels), steps) in buckets.iter().zip(&written) {
            if let Some(samples) = held.0.get_mut(labels) {
                write(samples, steps);
            }
        }
    }
}

fn bound_of(le: &str) -> Option<f64> {
    let bound: f64 = match le {
        "+Inf" | "Inf" => f64::INFINITY,
        number => number.parse().ok()?,
    };
    (bound > 0.0).then_some(bound)
}

/// Where requests are when they take longer.
struct Moved {
    /// For each bucket and each bound the chance that a request of the one is at or below the other.
    below: Vec<Vec<f64>>,
}

impl Moved {
    fn new(bounds: &[f64], factor: f64) -> Self {
        let logs: Vec<f64> = bounds.iter().map(|b| b.ln()).collect();
        let shift = factor.ln();
        let mut start = logs.first().map_or(0.0, |first| first - EDGE);
        let mut below = Vec::with_capacity(logs.len());
        for end in &logs {
            let end = if end.is_finite() { *end } else { start + EDGE };
            let chance = |bound: &f64| ((bound - start - shift) / (end - start)).clamp(0.0, 1.0);
            below.push(logs.iter().map(chance).collect());
            start = end;
        }
        Self { below }
    }

    /// The cumulative counts of the same requests when they take longer.
    fn of(&self, cumulative: &[f64], chance: &mut dyn Chance) -> Vec<f64> {
        let mut slower = vec![0.0; cumulative.len()];
        let mut before = 0.0;
        for (count, below) in cumulative.iter().zip(&self.below) {
            let mut left = (count - before).max(0.0);
            before = before.max(*count);
            let mut passed = 0.0;
            for (place, upto) in slower.iter_mut().zip(below) {
                if left <= 0.0 {
                    break;
                }
                let here = (upto - passed) / (1.0 - passed).max(f64::MIN_POSITIVE);
                let landed = if (left - left.round()).abs() > WHOLE {
                    left * here.clamp(0.0, 1.0)
                } else {
                    binomial(chance, left, here)
                };
                *place += landed;
                left -= landed;
                passed = *upto;
            }
            // What is beyond all bounds is in the last bucket.
            if let Some(last) = slower.last_mut() {
                *last += left;
            }
        }
        let mut sum = 0.0;
        for place in &mut slower {
            sum += *place;
            *place = sum;
        }
        slower
    }
}

#[cfg(test)]
mod tests;
