//! The interval and the estimate of the shift between two samples, by inverting the rank test (R's
//! `wilcox.test`, asymptotic, with correction for continuity).
//!
//! The rank statistic is a step function; where its root is found depends on the root finder. So
//! the finder here takes the same steps as Kayenta's, which are those of Brent's method in R.

use statrs::distribution::{ContinuousCDF, Normal};

use super::super::mann_whitney::Ranks;

/// The root is found to this.
const ACCURACY: f64 = 1e-4;
/// Steps of the root finder.
const STEPS_MAX: usize = 1000;

/// How far the experiment is from the control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// The estimate of Hodges and Lehmann, nearly.
    pub estimate: f64,
}

/// The shift with its interval of level `confidence`. Nothing if a sample is empty or holds what is
/// no number, or if all values of both are the same.
#[must_use]
pub fn shift(experiment: &[f64], control: &[f64], confidence: f64) -> Option<Shift> {
    let least = |values: &[f64]| values.iter().copied().reduce(f64::min);
    let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
    let from = least(experiment)? - most(control)?;
    let to = most(experiment)? - least(control)?;
    let at = |mu: f64| score(experiment, control, mu);
    let (first, last) = (at(from)?, at(to)?);
    let tail = (1.0 - confidence) / 2.0;
    let z = Normal::standard().inverse_cdf(tail.clamp(0.0, 1.0));
    let end = |z: f64| {
        if first - z <= 0.0 {
            Some(from)
        } else if last - z >= 0.0 {
            Some(to)
        } else {
            root(from, to, |mu| at(mu).map(|v| v - z))
        }
    };
    Some(Shift {
        lower: end(-z)?,
        upper: end(z)?,
        estimate: root(from, to, at)?,
    })
}

/// The rank statistic after the experiment was moved down by `mu`, in standard deviations.
fn score(experiment: &[f64], control: &[f64], mu: f64) -> Option<f64> {
    let moved: Vec<f64> = experiment.iter().map(|v| v - mu).collect();
    let ranks = Ranks::new(&moved, control)?;
    let off = ranks.u1 - ranks.pairs() / 2.0;
    let corrected = if off.abs() > 0.0 {
        off - off.signum() / 2.0
    } else {
        off
    };
    let deviation = ranks.deviation();
    (deviation > 0.0).then(|| corrected / deviation)
}

/// Brent's method (Algorithms for Minimization without Derivatives, 1973, chapter 4), with its
/// order of steps. Between the ends the function need not change its sign.
fn root(from: f64, to: f64, f: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    let (mut a, mut b) = (from, to);
    let (mut fa, mut fb) = (f(a)?, f(b)?);
    if fa.abs() <= 0.0 {
        return Some(a);
    }
    let (mut c, mut fc) = (a, fa);
    for _ in 0..=STEPS_MAX {
        let last_step = b - a;
        if fc.abs() < fb.abs() {
            // The better of the two becomes b.
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let least_step = 2.0 * f64::EPSILON * b.abs() + ACCURACY / 2.0;
        let half = (c - b) / 2.0;
        if half.abs() <= least_step || fb.abs() <= 0.0 {
            return Some(b);
        }
        let mut step = half;
        if last_step.abs() >= least_step && fa.abs() > fb.abs() {
            let across = c - b;
            let (mut p, mut q);
            // Whether there are only two points is asked of the points, not of the values.
            if (a - c).abs() <= 0.0 {
                let t = fb / fa;
                p = across * t;
                q = 1.0 - t;
            } else {
                let (u, t, s) = (fa / fc, fb / fc, fb / fa);
                p = s * (across * u * (u - t) - (b - a) * (t - 1.0));
                q = (u - 1.0) * (t - 1.0) * (s - 1.0);
            }
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            let inside = p < 0.75 * across * q - (least_step * q).abs() / 2.0;
            if inside && p < (last_step * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < least_step {
            step = if step > 0.0 { least_step } else { -least_step };
        }
        (a, fa) = (b, fb);
        b += step;
        fb = f(b)?;
        if (fb > 0.0 && fc > 0.0) || (fb < 0.0 && fc < 0.0) {
            (c, fc) = (a, fa);
        }
    }
    Some(b)
}
