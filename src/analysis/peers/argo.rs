//! When Argo Rollouts calls a metric failed (argoproj/argo-rollouts 9f8d111, analysis/analysis.go).
//!
//! Failures are counted over the whole run, not in a row; only errors are counted in a row.

/// What one measurement gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measurement {
    /// The success condition held.
    Successful,
    /// The failure condition held, or the success condition did not.
    Failed,
    /// Neither held.
    Inconclusive,
    /// Nothing was measured.
    Error,
}

/// What a metric tolerates; each limit may be reached and not exceeded, -1 is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failed measurements.
    pub failure: i64,
    /// Inconclusive measurements.
    pub inconclusive: i64,
    /// Errors in a row.
    pub consecutive_error: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failure: 0,
            inconclusive: 0,
            consecutive_error: 4,
        }
    }
}

/// How a metric ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Too many failures: the rollout is aborted.
    Failed,
    /// Too many inconclusive measurements: the rollout waits for somebody.
    Inconclusive,
    /// Too many errors in a row: the rollout is aborted.
    Error,
}

/// The measurement (from 0) with which the metric ends before its time, and how; nothing if it
/// does not.
#[must_use]
pub fn ends(measurements: &[Measurement], limits: Limits) -> Option<(usize, Verdict)> {
    let (mut failed, mut inconclusive, mut errors) = (0, 0, 0);
    let exceeds = |count: i64, limit: i64| limit >= 0 && count > limit;
    measurements.iter().enumerate().find_map(|(k, measured)| {
        errors = if *measured == Measurement::Error {
            errors + 1
        } else {
            0
        };
        failed += i64::from(*measured == Measurement::Failed);
        inconclusive += i64::from(*measured == Measurement::Inconclusive);
        let verdict = if exceeds(failed, limits.failure) {
            Verdict::Failed
        } else if exceeds(inconclusive, limits.inconclusive) {
            Verdict::Inconclusive
        } else if exceeds(errors, limits.consecutive_error) {
            Verdict::Error
        } else {
            return None;
        };
        Some((k, verdict))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Measurement::{Error, Failed, Inconclusive, Successful};

    #[test]
    fn failures_add_up_and_errors_must_follow_each_other() {
        let default = Limits::default();
        assert_eq!(
            ends(&[Successful, Failed], default),
            Some((1, Verdict::Failed))
        );
        assert_eq!(
            ends(&[Inconclusive], default),
            Some((0, Verdict::Inconclusive))
        );
        assert_eq!(ends(&[Error; 4], default), None);
        assert_eq!(ends(&[Error; 5], default), Some((4, Verdict::Error)));
        let broken = [Error, Error, Error, Error, Successful, Error];
        assert_eq!(ends(&broken, default), None);
        let endless = Limits {
            failure: -1,
            ..default
        };
        assert_eq!(ends(&[Failed; 9], endless), None);
    }
}
