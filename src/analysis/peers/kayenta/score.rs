//! The score of a canary from its metrics (`WeightedSumScorer`).

use std::collections::{BTreeMap, BTreeSet};

use super::Classification;

/// From this part of metrics without data on, in percent, there is no score.
const NODATA_MAX: f64 = 50.0;

/// A metric that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it was found to be.
    pub classification: Classification,
    /// The groups that it belongs to.
    pub groups: Vec<String>,
    /// Whether it fails the whole canary.
    pub critical: bool,
}

/// The score, from 0 to 100 in steps of 0.01. `weights` of groups are in percent; groups without
/// one share what is left. A group without data scores 100; a critical metric that did not pass, or
/// half of the metrics without data, makes the whole score 0, as do no metrics at all.
#[must_use]
pub fn summary(metrics: &[Judged], weights: &BTreeMap<String, f64>) -> f64 {
    let failed = |m: &Judged| m.critical && m.classification != Classification::Pass;
    let without = |m: &&Judged| m.classification == Classification::Nodata;
    let nodata = metrics.iter().filter(without).count() as f64 / metrics.len() as f64 * 100.0;
    if metrics.is_empty() || metrics.iter().any(failed) || nodata >= NODATA_MAX {
        return 0.0;
    }
    let names: BTreeSet<&String> = metrics.iter().flat_map(|m| &m.groups).collect();
    let unweighted = names.iter().filter(|g| !weights.contains_key(**g)).count();
    let left = (100.0 - weights.values().sum::<f64>()) / unweighted.max(1) as f64;
    let total: f64 = names
        .iter()
        .map(|name| {
            let weight = weights.get(*name).copied().unwrap_or(left);
            group(metrics.iter().filter(|m| m.groups.contains(name))) * weight / 100.0
        })
        .sum();
    (total * 100.0).round() / 100.0
}

/// A group's score: the part of its metrics with data that passed.
fn group<'a>(metrics: impl Iterator<Item = &'a Judged>) -> f64 {
    let (mut passed, mut all) = (0.0, 0.0);
    for metric in metrics.filter(|m| m.classification != Classification::Nodata) {
        all += 1.0;
        if metric.classification == Classification::Pass {
            passed += 1.0;
        }
    }
    if all > 0.0 {
        passed / all * 100.0
    } else {
        100.0
    }
}
