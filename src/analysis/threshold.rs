//! A threshold: numbers held against conditions, and counted.
//!
//! It passes after so many successes and fails after more failures than its limit, both counted over
//! the whole run. A question that brings no number counts for nothing, in neither direction.

use jiff::Timestamp;

use super::comparison::Finding;
use super::plan::{Plan, ThresholdPlan};
use super::words;
use crate::api::analysis_status::{Measurement, Outcome, ThresholdStatus, Verdict};

/// Measurements that are kept for the reader.
const RECENT_MAX: usize = 10;
/// A value that is older or newer than the question by more than this is no answer to it.
const ODD_SECONDS: i64 = 120;
/// So many questions without a number, before the first one with, are said to be no data.
const SILENT_MIN: i32 = 2;

/// One element of an instant vector, or a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub value: f64,
}

/// Why an answer cannot be used. None of these says anything about the version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Which of them?
    #[error(
        "the query returned {0} series where one number is needed; aggregate it, as in sum(...) or max(...)"
    )]
    ManySeries(usize),
    /// Not of this time.
    #[error("the query returned a value {0} s away from the time that was asked for")]
    OddTime(i64),
    /// The condition cannot be computed.
    #[error("the condition {0}")]
    Condition(#[from] super::condition::ConditionError),
}

impl AnswerError {
    /// The reason in one word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ManySeries(_) => "ManySeries",
            Self::OddTime(_) => "OddTime",
            Self::Condition(_) => "ConditionFails",
        }
    }
}

/// When it is to be asked next, in Unix seconds.
#[must_use]
pub fn next_question(plan: &Plan, threshold: &ThresholdPlan, status: &ThresholdStatus) -> i64 {
    match status.last_at {
        Some(at) => at.as_second() + threshold.interval,
        // Not before the pods are grown, nor from data that are older than the run.
        None => (plan.start + plan.warmup).max(plan.begin),
    }
}

/// Takes the answer to a question that was asked at `at`.
///
/// # Errors
/// [`AnswerError`] where it is no answer; then only the time of the question has changed.
pub fn take(
    threshold: &ThresholdPlan,
    status: &mut ThresholdStatus,
    at: Timestamp,
    points: &[Point],
) -> Result<(), AnswerError> {
    status.needed = threshold.count;
    status.failure_limit = threshold.failure_limit;
    status.last_at = Some(at);
    let point = match points {
        [] => return silent(status, "EmptyResult"),
        [point] => *point,
        many => return Err(AnswerError::ManySeries(many.len())),
    };
    if !point.value.is_finite() {
        return silent(status, "NotANumber");
    }
    let off = (point.at_ms.div_euclid(1000) - at.as_second()).abs();
    if off > ODD_SECONDS {
        return Err(AnswerError::OddTime(off));
    }
    let outcome = outcome(threshold, point.value)?;
    let counter = match outcome {
        Outcome::Success => &mut status.successes,
        Outcome::Failure => &mut status.failures,
        Outcome::Undecided => &mut status.undecided,
    };
    *counter = counter.saturating_add(1);
    status.silence.clear();
    status.recent.push(Measurement {
        at,
        value: point.value,
        outcome,
    });
    let old = status.recent.len().saturating_sub(RECENT_MAX);
    status.recent.drain(..old);
    Ok(())
}

fn silent(status: &mut ThresholdStatus, why: &str) -> Result<(), AnswerError> {
    status.unanswered = status.unanswered.saturating_add(1);
    status.silence = why.to_owned();
    Ok(())
}

/// A failure is what meets `failure`, or what does not meet the only condition `success`.
fn outcome(threshold: &ThresholdPlan, value: f64) -> Result<Outcome, AnswerError> {
    let holds = |condition: &Option<_>| -> Result<Option<bool>, AnswerError> {
        let Some(condition) = condition else {
            return Ok(None);
        };
        let condition: &super::condition::Condition = condition;
        Ok(Some(condition.holds(value)?))
    };
    Ok(
        match (holds(&threshold.success)?, holds(&threshold.failure)?) {
            (_, Some(true)) | (Some(false), None) => Outcome::Failure,
            (Some(true), _) | (None, _) => Outcome::Success,
            (Some(false), Some(false)) => Outcome::Undecided,
        },
    )
}

/// What the measurements mean.
#[must_use]
pub fn find(threshold: &ThresholdPlan, status: &ThresholdStatus) -> Finding {
    let last = status.recent.last();
    let last = last.map_or_else(
        || "nothing measured yet".to_owned(),
        |m| format!("last {}", words::number(m.value)),
    );
    let sofar = format!(
        "{last}; {} of {} successes, {} failures ({} tolerated)",
        status.successes, threshold.count, status.failures, threshold.failure_limit
    );
    if status.failures > threshold.failure_limit {
        return Finding::new(Verdict::Fail, "FailureLimit", sofar);
    }
    // A new version's series may not be there at the first look; that nothing came is said when it
    // stays so.
    let early = status.recent.is_empty() && status.unanswered < SILENT_MIN;
    match status.silence.as_str() {
        "" => {}
        _ if early => {}
        "EmptyResult" => {
            let message = format!("the query returns nothing: does it select anything? {sofar}");
            return Finding::new(Verdict::NoData, "EmptyResult", message);
        }
        _ => {
            let message = format!("the query returns NaN or infinity: {sofar}");
            return Finding::new(Verdict::NoData, "NotANumber", message);
        }
    }
    if status.successes >= threshold.count {
        return Finding::new(Verdict::Pass, "EnoughSuccesses", sofar);
    }
    Finding::new(Verdict::Inconclusive, "Collecting", sofar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::condition::Condition;

    fn threshold(success: Option<&str>, failure: Option<&str>) -> ThresholdPlan {
        let compile = |source: Option<&str>| source.map(|s| Condition::compile(s).unwrap());
        ThresholdPlan {
            query: "x".into(),
            success: compile(success),
            failure: compile(failure),
            interval: 30,
            count: 2,
            failure_limit: 1,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Measures `values` every 30 s; the verdicts in between.
    fn verdicts(threshold: &ThresholdPlan, values: &[f64]) -> Vec<(Verdict, &'static str)> {
        let mut status = ThresholdStatus::default();
        let mut found = Vec::new();
        for (second, value) in (0..).step_by(30).zip(values) {
            let point = Point {
                at_ms: second * 1000,
                value: *value,
            };
            take(threshold, &mut status, at(second), &[point]).unwrap();
            let finding = find(threshold, &status);
            found.push((finding.verdict, finding.reason));
        }
        found
    }

    #[test]
    fn successes_pass_and_failures_fail() {
        use Verdict::{Fail, Inconclusive, NoData, Pass};
        let all = |t: &ThresholdPlan, v: &[f64]| -> Vec<Verdict> {
            verdicts(t, v)
                .into_iter()
                .map(|(verdict, _)| verdict)
                .collect()
        };
        let only_success = threshold(Some("result < 1"), None);
        assert_eq!(
            all(&only_success, &[0.5, 2.0, 0.5]),
            [Inconclusive, Inconclusive, Pass]
        );
        assert_eq!(
            all(&only_success, &[2.0, 0.5, 2.0]),
            [Inconclusive, Inconclusive, Fail]
        );
        let only_failure = threshold(None, Some("result > 1"));
        assert_eq!(all(&only_failure, &[0.5, 0.5]), [Inconclusive, Pass]);
        let both = threshold(Some("result < 1"), Some("result > 2"));
        assert_eq!(
            all(&both, &[1.5, 1.5, 1.5, 0.5, 0.5]),
            [Inconclusive, Inconclusive, Inconclusive, Inconclusive, Pass]
        );
        assert_eq!(all(&both, &[3.0, 3.0]), [Inconclusive, Fail]);
        // What is no number counts for nothing, and holds.
        let nan = [0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5];
        assert_eq!(
            all(&only_failure, &nan),
            [Inconclusive, NoData, NoData, NoData, Pass]
        );
        assert_eq!(
            all(&only_success, &nan),
            [Inconclusive, NoData, NoData, NoData, Pass]
        );
        // More failures than the limit, counted over the whole run.
        let flips = [2.0, 0.5, 2.0, 0.5];
        assert_eq!(all(&only_failure, &flips)[2], Fail);
    }

    #[test]
    fn what_is_no_answer_counts_for_nothing() {
        let t = threshold(Some("result < 1"), None);
        let mut status = ThresholdStatus::default();
        let mut reason = |seconds| {
            take(&t, &mut status, at(seconds), &[]).unwrap();
            find(&t, &status).reason
        };
        // The first look may come before the first series.
        assert_eq!((reason(0), reason(10)), ("Collecting", "EmptyResult"));
        let point = Point {
            at_ms: 0,
            value: 5.0,
        };
        let many = take(&t, &mut status, at(30), &[point, point]).unwrap_err();
        assert!(many.to_string().contains("2 series"), "{many}");
        let old = take(&t, &mut status, at(700), &[point]).unwrap_err();
        assert_eq!(old, AnswerError::OddTime(700));
        assert_eq!((status.failures, status.unanswered), (0, 2));
    }
}
