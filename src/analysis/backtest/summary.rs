//! What many runs came to: shares with their confidence intervals, and times.

use statrs::distribution::{Beta, ContinuousCDF};

use super::placebo::Outcome;
use crate::api::analysis_status::Verdict;

/// The confidence of an interval.
const CONFIDENCE: f64 = 0.95;

/// So many of so many, with the interval of Clopper and Pearson.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// So many ...
    pub count: usize,
    /// ... of so many.
    pub of: usize,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Share {
    /// The share with its interval; with nothing counted it may be any.
    #[must_use]
    pub fn new(count: usize, of: usize) -> Self {
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let bound = |a: f64, b: f64, p: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(p)).ok();
        let (x, n) = (count as f64, of as f64);
        let lower = if count == 0 {
            None
        } else {
            bound(x, n - x + 1.0, tail)
        };
        let upper = if count >= of {
            None
        } else {
            bound(x + 1.0, n - x, 1.0 - tail)
        };
        Self {
            count,
            of,
            lower: lower.unwrap_or(0.0),
            upper: upper.unwrap_or(1.0),
        }
    }

    /// The share itself; 0 of nothing.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.of == 0 {
            0.0
        } else {
            self.count as f64 / self.of as f64
        }
    }
}

/// What became of runs of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Ended by `Fail`.
    pub aborted: Share,
    /// Ended by `Pass`.
    pub passed: Share,
    /// Ended or stopped without either.
    pub undecided: Share,
    /// The median time to `Pass` of all runs, in seconds; none: fewer than half of them passed.
    pub median_pass: Option<i64>,
    /// The same to `Fail`.
    pub median_abort: Option<i64>,
    /// The metric that aborted, with how often.
    pub aborting: Vec<(String, usize)>,
    /// The reasons of those that came to nothing, with how often.
    pub reasons: Vec<(String, usize)>,
}

/// Sums up.
#[must_use]
pub fn summary(outcomes: &[Outcome]) -> Summary {
    let verdict = |o: &&Outcome| o.decision.as_ref().map(|d| d.verdict);
    let ended = |wanted: Verdict| -> Vec<&Outcome> {
        let all = outcomes.iter();
        all.filter(|o| verdict(o) == Some(wanted)).collect()
    };
    let (aborted, passed) = (ended(Verdict::Fail), ended(Verdict::Pass));
    let undecided = outcomes
        .iter()
        .filter(|o| !matches!(verdict(o), Some(Verdict::Fail | Verdict::Pass)));
    let runs = outcomes.len();
    let metric = |o: &&Outcome| o.decision.as_ref()?.metric.clone();
    Summary {
        median_pass: median(&passed, runs),
        median_abort: median(&aborted, runs),
        aborting: tally(aborted.iter().filter_map(metric)),
        reasons: tally(undecided.clone().map(|o| o.reason.clone())),
        aborted: Share::new(aborted.len(), runs),
        passed: Share::new(passed.len(), runs),
        undecided: Share::new(undecided.count(), runs),
    }
}

/// The median of all runs' times, where those that did not end this way take for ever.
fn median(ended: &[&Outcome], runs: usize) -> Option<i64> {
    let mut times: Vec<i64> = ended
        .iter()
        .filter_map(|o| o.decision.as_ref().map(|d| d.at - o.start))
        .collect();
    times.sort_unstable();
    times.get(runs.checked_sub(1)? / 2).copied()
}

/// What occurs how often, most often first.
fn tally(all: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counted = std::collections::BTreeMap::new();
    for one in all {
        *counted.entry(one).or_insert(0) += 1;
    }
    let mut counted: Vec<(String, usize)> = counted.into_iter().collect();
    counted.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::replay::Decision;
    use crate::api::analysis_status::RunPhase;

    /// By R's binom.test(x, n)$conf.int.
    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        for (x, n, lower, upper) in [
            (0, 200, 0.0, 0.018_275_07),
            (2, 200, 0.001_212_57, 0.035_652_71),
            (10, 20, 0.271_956_9, 0.728_043_1),
            (20, 20, 0.831_566_5, 1.0),
            (0, 0, 0.0, 1.0),
        ] {
            let share = Share::new(x, n);
            let off = (share.lower - lower).abs() + (share.upper - upper).abs();
            assert!(off < 1e-5, "{x} of {n}: {share:?}");
        }
    }

    fn outcome(verdict: Option<Verdict>, after: i64) -> Outcome {
        Outcome {
            start: 100,
            seconds: after,
            reason: "Collecting".into(),
            decision: verdict.map(|verdict| Decision {
                at: 100 + after,
                phase: RunPhase::Successful,
                verdict,
                reason: String::new(),
                message: String::new(),
                metric: Some("errors".into()),
            }),
        }
    }

    #[test]
    fn who_did_not_end_takes_for_ever() {
        let (pass, fail) = (Some(Verdict::Pass), Some(Verdict::Fail));
        let all = [
            outcome(pass, 300),
            outcome(pass, 500),
            outcome(None, 3600),
            outcome(fail, 60),
            outcome(pass, 400),
        ];
        let all = summary(&all);
        assert_eq!(all.median_pass, Some(500), "the third of five");
        assert_eq!(all.median_abort, None);
        assert_eq!((all.aborted.count, all.undecided.count), (1, 1));
        assert_eq!(all.aborting, [("errors".to_owned(), 1)]);
        assert_eq!(all.reasons, [("Collecting".to_owned(), 1)]);
        assert_eq!(summary(&[]).median_pass, None);
    }
}
