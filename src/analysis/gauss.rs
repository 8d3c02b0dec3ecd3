//! Gauges and means: the e-process of the difference of logarithms, and the t e-process where no
//! pod's history is known (statistics, section 2d).
//!
//! Windows of a gauge are not independent. The process only holds with the long-run variance of
//! [`long_run_variance`], never with the variance of single windows.

use super::rho::Bets;
use crate::api::analysis_status::Masses;

/// Effects that are bet on, as logarithms of ratios.
pub const DELTAS: [f64; 5] = [0.03, 0.07, 0.15, 0.3, 0.7];
/// Block lengths, in windows, over which the long-run variance is looked for.
pub const SCALES: [usize; 4] = [1, 4, 20, 80];

/// The logarithm of the e-value of one window, for a bet on a mean difference of `margin + delta`
/// against at most `margin` (for a `delta` below 0: at least).
///
/// `difference` is ln(mean of the new version) - ln(mean of stable), `variance` its long-run
/// variance per window. 0 where one of them is no number, or the variance is not above 0.
#[must_use]
pub fn log_increment(difference: f64, variance: f64, margin: f64, delta: f64) -> f64 {
    let increment = (delta * (difference - margin) - delta * delta / 2.0) / variance;
    if variance > 0.0 && increment.is_finite() {
        increment
    } else {
        0.0
    }
}

impl Bets<'_> {
    /// One window of the process: stakes `gamma`, multiplies each bet, returns the e-value.
    /// Arguments as for [`log_increment`]; `margin` is ln(1 + tolerance) + ln(pod margin).
    pub fn step_gauge(
        &self,
        state: &mut Masses,
        gamma: f64,
        difference: f64,
        variance: f64,
        margin: f64,
    ) -> f64 {
        self.stake(state, gamma);
        for (mass, delta) in state.bets.iter_mut().zip(self.deltas) {
            *mass *= log_increment(difference, variance, margin, *delta).exp();
        }
        let worth = self.worth(state);
        self.cut(state);
        worth
    }
}

/// The long-run variance of one pod's gauge per window: the largest over the block lengths `scales`
/// of `B` times the mean over blocks of the variance between pods of block means.
///
/// `pods` are the stable pods' histories, ln(value) per window, aligned; what is not finite is
/// missing. Nothing with fewer than two pods or no block with two of them. The variance of the
/// difference of two versions is this times (1/new pods + 1/stable pods).
#[must_use]
pub fn long_run_variance(pods: &[Vec<f64>], scales: &[usize]) -> Option<f64> {
    let windows = pods.iter().map(Vec::len).max().unwrap_or(0);
    let at_scale = |scale: usize| {
        let blocks = windows.checked_div(scale)?;
        let variances: Vec<f64> = (0..blocks)
            .filter_map(|block| {
                let means: Vec<f64> = pods
                    .iter()
                    .filter_map(|pod| {
                        let from = block * scale;
                        mean(pod.get(from..(from + scale).min(pod.len()))?)
                    })
                    .collect();
                variance(&means)
            })
            .collect();
        mean(&variances).map(|v| scale as f64 * v)
    };
    scales
        .iter()
        .filter_map(|scale| at_scale(*scale))
        .reduce(f64::max)
}

/// The mean of what is finite.
fn mean(values: &[f64]) -> Option<f64> {
    let finite = values.iter().filter(|v| v.is_finite());
    let (sum, n) = finite.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    (n > 0.0).then(|| sum / n)
}

/// The unbiased variance of two values or more.
fn variance(values: &[f64]) -> Option<f64> {
    let centre = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

/// The logarithm of the t e-value: mean 0 against a mean that is N(0, 1/`g`) in units of the unknown
/// standard deviation, with the right-Haar prior on the latter (Lindon et al., arXiv 2210.08589;
/// `g` weighs like so many blocks, as in their package avlm).
///
/// `z` are independent blocks in their order, at least two to say anything; `g` is above 0. It may
/// be looked at after every block, and is two-sided: ask for the sign of the mean too.
#[must_use]
pub fn t_log_bf(z: &[f64], g: f64) -> f64 {
    let n = z.len() as f64;
    let sum: f64 = z.iter().sum();
    let squares: f64 = z.iter().map(|v| v * v).sum();
    // The part of the squares that is left if the mean is fitted, drawn to 0 by the prior.
    let left = 1.0 - sum * sum / squares / (g + n);
    let occam = (n / g).ln_1p() / 2.0;
    if squares > 0.0 && left > 0.0 && occam.is_finite() {
        -occam - n / 2.0 * left.ln()
    } else {
        // Nothing but zeros: nothing speaks for a difference.
        -occam.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In closed form: the expectation of e^increment of a normal difference with mean `mu`
        /// is e^(delta (mu - margin)/variance), at most 1 under the null.
        #[test]
        fn under_the_null_nothing_is_gained(
            margin in -0.1..0.3_f64, below in 0.0..1.0_f64, variance in 0.001..0.5_f64,
            delta in 0.03..0.7_f64,
        ) {
            let mu = margin - below;
            // The mean over a normal density on a fine grid, to twelve standard deviations around
            // where the product is largest.
            let sd = variance.sqrt();
            let steps = 4000;
            let (mut expected, mut mass) = (0.0, 0.0);
            for k in -steps..=steps {
                let z = f64::from(k) * 20.0 / f64::from(steps);
                let density = (-z * z / 2.0).exp();
                mass += density;
                let x = mu + sd * z;
                expected += (log_increment(x, variance, margin, delta) - z * z / 2.0).exp();
            }
            let expected = expected / mass;
            prop_assert!(expected <= 1.0 + 1e-6, "{expected}");
        }

        #[test]
        fn the_t_value_knows_no_unit(
            z in prop::collection::vec(-1.0..1.0_f64, 2..20), unit in 0.001..1000.0_f64,
        ) {
            let scaled: Vec<f64> = z.iter().map(|v| v * unit).collect();
            prop_assert!((t_log_bf(&z, 1.0) - t_log_bf(&scaled, 1.0)).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        for (d, v) in [
            (f64::NAN, 1.0),
            (1.0, 0.0),
            (1.0, f64::NAN),
            (f64::INFINITY, 1.0),
        ] {
            assert_eq!(log_increment(d, v, 0.0, 0.1).to_bits(), 0.0_f64.to_bits());
        }
        assert!(t_log_bf(&[], 1.0).abs() < 1e-12);
        assert!(t_log_bf(&[0.3], 1.0).abs() < 1e-12);
        assert!(t_log_bf(&[0.0, 0.0], 1.0) < 0.0);
        assert!(t_log_bf(&[1.0, 1.0, 1.0], 1.0) > 0.0);
    }

    /// The definition, summed over a fine grid of means and of logarithms of deviations.
    #[test]
    fn the_t_value_is_a_ratio_of_mixtures() {
        let (z, g) = ([0.2, 0.5, -0.1, 0.4], 2.0_f64);
        let log_density = |mu: f64, ln_sd: f64| -> f64 {
            let each = z
                .iter()
                .map(|v| -ln_sd - ((v - mu) / ln_sd.exp()).powi(2) / 2.0);
            each.sum()
        };
        let steps = 400;
        let (mut with, mut without) = (0.0, 0.0);
        for a in -steps..=steps {
            let ln_sd = f64::from(a) / f64::from(steps) * 8.0;
            without += log_density(0.0, ln_sd).exp();
            for b in -steps..=steps {
                let d = f64::from(b) / f64::from(steps) * 6.0;
                let prior = (g / std::f64::consts::TAU).sqrt() * (-d * d * g / 2.0).exp();
                let mu = d * ln_sd.exp();
                with += log_density(mu, ln_sd).exp() * prior * 6.0 / f64::from(steps);
            }
        }
        let expected = f64::ln(with / without);
        assert!((t_log_bf(&z, g) - expected).abs() < 1e-6, "{expected}");
    }

    #[test]
    fn slow_noise_shows_in_long_blocks() {
        // Two pods of which one is higher in every other block of four windows.
        let wave = |sign: f64| {
            (0..80)
                .map(|k| if (k / 4) % 2 == 0 { sign } else { -sign })
                .collect::<Vec<f64>>()
        };
        let pods = [wave(0.1), wave(-0.1)];
        // The variance between them is 0.02 at every window; over four windows it is the same.
        let found = long_run_variance(&pods, &SCALES).unwrap();
        assert!((found - 0.08).abs() < 1e-12, "{found}");
        assert_eq!(long_run_variance(&pods[..1], &SCALES), None);
        assert_eq!(long_run_variance(&pods, &[0, 200]), None);
        let missing = [vec![f64::NAN; 8], vec![1.0; 8], vec![2.0; 4]];
        assert_eq!(long_run_variance(&missing, &[1]), Some(0.5));
    }
}
