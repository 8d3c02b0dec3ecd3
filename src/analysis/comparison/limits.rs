//! Evidence held against the limit where it decides, both as natural logarithms.

use crate::api::analysis_status::Evidence;

/// Rounding of the last digits must not keep a test from deciding that was boosted to the limit.
const ROUNDING: f64 = 1e-9;

/// Where a test of this level decides, as a logarithm.
pub(super) fn limit(alpha: f64) -> f64 {
    (1.0 / alpha).ln()
}

/// The smallest normal number stands for less: a logarithm in a status must be a number.
pub(super) fn log(e: f64) -> f64 {
    e.max(f64::MIN_POSITIVE).ln()
}

pub(super) fn evidence(e: f64, alpha: f64) -> Evidence {
    Evidence {
        log: log(e),
        limit: limit(alpha),
    }
}

/// The one that is nearer to its limit.
pub(super) fn further(a: Evidence, b: Evidence) -> Evidence {
    if b.log - b.limit > a.log - a.limit {
        b
    } else {
        a
    }
}

/// The one that is further from its limit: both are needed.
pub(super) fn nearer_to_zero(a: Evidence, b: Evidence) -> Evidence {
    if b.log - b.limit > a.log - a.limit {
        a
    } else {
        b
    }
}

/// Whether evidence has reached its limit.
#[must_use]
pub fn decides(evidence: &Evidence) -> bool {
    evidence.limit > 0.0 && evidence.log >= evidence.limit - ROUNDING
}
