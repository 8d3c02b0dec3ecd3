//! Which buckets two versions' histograms have in common (statistics, sections 1 and 2c).

use std::collections::{BTreeMap, BTreeSet};

use super::Needs;
use crate::analysis::native::BOUNDS_MAX;
use crate::analysis::plan::Version;
use crate::analysis::series::{Answers, DataError, Series};
use crate::analysis::target::Target;

/// The upper bound of a bucket.
pub(super) fn of(series: &Series) -> Result<f64, DataError> {
    let le = series.labels.get("le").ok_or(DataError::NoBuckets)?;
    let bound = if le == "+Inf" {
        Some(f64::INFINITY)
    } else {
        le.parse::<f64>().ok()
    };
    bound.filter(|b| !b.is_nan()).ok_or(DataError::NoBuckets)
}

/// The bounds of each target's buckets, ascending. A router's target has both versions.
type ByTarget<'a> = BTreeMap<Target<'a>, BTreeSet<Bound>>;

fn bounds_by_target<'a>(
    series: impl Iterator<Item = &'a Series>,
) -> Result<ByTarget<'a>, DataError> {
    let mut found = ByTarget::new();
    for one in series {
        let of_target = found.entry(Target::of(&one.labels)).or_default();
        of_target.insert(Bound(of(one)?));
    }
    Ok(found)
}

/// A bound that can be sorted; it is never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The bucket bounds above 0 that all targets of both versions have, ascending, the last infinite, at most
/// [`BOUNDS_MAX`] of them finite; of more, every second one is merged into its neighbour. `None`: there are no series of one version yet.
///
/// # Errors
/// [`DataError`] where there is nothing to compare bucket by bucket.
pub fn common_bounds(answers: &Answers, needs: Needs) -> Result<Option<Vec<f64>>, DataError> {
    let of = |version| bounds_by_target(answers.selected.iter().flat_map(move |a| a.of(version)));
    let (canary, stable) = (of(Version::Canary)?, of(Version::Stable)?);
    if canary.is_empty() || needs == Needs::Both && stable.is_empty() {
        return Ok(None);
    }
    let mut all = canary.into_values().chain(stable.into_values());
    let first = all.next().unwrap_or_default();
    let common = all.fold(first, |common, of| {
        common.intersection(&of).copied().collect()
    });
    // Nothing takes no time or less: what is in such a bucket belongs to the next one. OpenTelemetry's own
    // bounds begin with 0.
    let common = common.into_iter().map(|b| b.0);
    let mut bounds: Vec<f64> = common.filter(|bound| *bound > 0.0).collect();
    if bounds.len() < 2 || bounds.last() != Some(&f64::INFINITY) {
        return Err(DataError::NoCommonBuckets(bounds.len()));
    }
    while bounds.len() > BOUNDS_MAX + 1 {
        let last = bounds.len() - 1;
        let mut index = 0;
        bounds.retain(|_| {
            index += 1;
            index % 2 == 0 || index - 1 == last
        });
    }
    Ok(Some(bounds))
}
