//! Kayenta's judge (spinnaker/kayenta a69573be: `NetflixACAJudge`, `MannWhitneyClassifier`,
//! `WeightedSumScorer`), for teams that migrate.
//!
//! It reproduces the verdicts, misses included, so that nothing changes on the first day. It is
//! made for one look at the end of a step; looked at again and again its level is lost. Metrics
//! should be of the size of 1 to 100: the interval's ends are found to 1e-4 only.

mod score;
mod shift;

pub use score::{Judged, summary};
pub use shift::{Shift, shift};

use super::mann_whitney::Ranks;

/// Which way a metric must not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Up.
    Increase,
    /// Down.
    Decrease,
    /// Neither way.
    Either,
}

/// What missing values stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They are taken out, and a metric without values has no data.
    Remove,
    /// They are 0, and a metric without values passes.
    Replace,
}

/// How large a difference is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The ratio of means, experiment to control.
    MeanRatio,
    /// The part of pairs in which the experiment's value is larger (Vargha and Delaney 2000).
    CommonLanguage,
}

/// From which effect on a difference counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// At most this, downwards.
    pub decrease: f64,
    /// At least this, upwards.
    pub increase: f64,
}

/// How a metric is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judge {
    /// The part of the estimated shift that the interval must exceed.
    pub tolerance: f64,
    /// The interval's level, e.g. 0.98.
    pub confidence: f64,
    /// Which way it must not move.
    pub direction: Direction,
    /// What missing values stand for.
    pub missing: Missing,
    /// How the effect is measured.
    pub effect: Effect,
    /// From which effect on it fails.
    pub fails: Thresholds,
    /// From which effect on it fails the whole canary, if it is critical.
    pub fails_all: Thresholds,
    /// Whether it can fail the whole canary.
    pub critical: bool,
    /// Whether no data is a failure of the metric.
    pub must_have_data: bool,
}

/// What a metric is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classification {
    /// Not different enough.
    Pass,
    /// Higher than it may be.
    High,
    /// Lower than it may be.
    Low,
    /// Without data.
    Nodata,
    /// Without data that it must have.
    NodataFailMetric,
}

/// A metric's classification, and whether it fails the whole canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What it is found to be.
    pub classification: Classification,
    /// Whether it fails the whole canary.
    pub critical: bool,
}

impl Judge {
    /// Compares the experiment with the control. Values that are no numbers are missing.
    #[must_use]
    pub fn classify(&self, experiment: &[f64], control: &[f64]) -> Verdict {
        let (experiment, control) = (self.present(experiment), self.present(control));
        if experiment.is_empty() || control.is_empty() {
            return self.without_data();
        }
        let Some(shift) = shift_of(&experiment, &control, self.confidence) else {
            return Verdict {
                classification: Classification::Pass,
                critical: false,
            };
        };
        let bound = self.tolerance * shift.estimate.abs();
        let effect = self.effect(&experiment, &control);
        let watches = |way| self.direction == way || self.direction == Direction::Either;
        // An effect that cannot be computed is no reason to pass.
        let up = |at: f64| effect.is_none_or(|e| e >= at);
        let down = |at: f64| effect.is_none_or(|e| e <= at);
        let high = watches(Direction::Increase) && shift.lower > bound && up(self.fails.increase);
        let low = watches(Direction::Decrease) && shift.upper < -bound && down(self.fails.decrease);
        let (classification, fails_all) = if high {
            (Classification::High, up(self.fails_all.increase))
        } else if low {
            (Classification::Low, down(self.fails_all.decrease))
        } else {
            (Classification::Pass, false)
        };
        Verdict {
            classification,
            critical: self.critical && fails_all,
        }
    }

    fn present(&self, values: &[f64]) -> Vec<f64> {
        match self.missing {
            Missing::Remove => values.iter().copied().filter(|v| !v.is_nan()).collect(),
            Missing::Replace => {
                let or_zero = |v: &f64| if v.is_nan() { 0.0 } else { *v };
                values.iter().map(or_zero).collect()
            }
        }
    }

    fn without_data(&self) -> Verdict {
        let (classification, critical) = match self.missing {
            Missing::Replace => (Classification::Pass, false),
            Missing::Remove if self.must_have_data && !self.critical => {
                (Classification::NodataFailMetric, false)
            }
            Missing::Remove => (Classification::Nodata, self.critical),
        };
        Verdict {
            classification,
            critical,
        }
    }

    fn effect(&self, experiment: &[f64], control: &[f64]) -> Option<f64> {
        match self.effect {
            Effect::MeanRatio => {
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
                let (above, below) = (mean(experiment), mean(control));
                let ratio = above / below;
                (above.abs() > 0.0 && ratio.is_finite()).then_some(ratio)
            }
            Effect::CommonLanguage => {
                let ranks = Ranks::new(experiment, control)?;
                Some(ranks.u1 / ranks.pairs())
            }
        }
    }
}

/// The shift, or nothing where the samples hold the same values.
fn shift_of(experiment: &[f64], control: &[f64], confidence: f64) -> Option<Shift> {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (first, second) = (sorted(experiment), sorted(control));
    let one_value = |values: &[f64]| match (values.first(), values.last()) {
        (Some(least), Some(most)) if least >= most => Some(*least),
        _ => None,
    };
    if first == second {
        return None;
    }
    if let (Some(a), Some(b)) = (one_value(&first), one_value(&second)) {
        // Kayenta adds noise here, of 1e-5 of the values, so that not all are tied. Then the two
        // are apart, and every bound is their difference but for the noise.
        let apart = a - b;
        return (apart.abs() > 0.0).then_some(Shift {
            lower: apart,
            upper: apart,
            estimate: apart,
        });
    }
    shift(experiment, control, confidence)
}

/// The percentile `p` (0 to 100) as R's type 7 has it: linear between the values, the smallest
/// being 0 % and the largest 100 %. 0 without values, as Kayenta has it.
#[must_use]
pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (p / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = at.floor();
    let value = |k: usize| sorted.get(k.min(last)).copied().unwrap_or(0.0);
    let (lower, upper) = (value(below as usize), value(below as usize + 1));
    lower + (at - below) * (upper - lower)
}

#[cfg(test)]
mod tests;
