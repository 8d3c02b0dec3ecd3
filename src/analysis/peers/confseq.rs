//! Confidence sequences of Howard, Ramdas, McAuliffe and Sekhon (Annals of Statistics 2021, arXiv
//! 1810.08240), with the parameters of their package confseq 70b1ef3.
//!
//! `s` is a sum of centred observations, `v` its intrinsic time (for a variance of 1, their
//! number). The mixtures are tuned to be tight at `v_opt` for level `alpha_opt`.

use statrs::function::beta::{checked_beta_reg, ln_beta};

use super::mann_whitney::above;

/// Halvings when a bound is looked for.
const HALVINGS: usize = 200;
/// Doublings when an upper limit of a bound is looked for.
const DOUBLINGS: usize = 1000;

/// One side or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Upwards only.
    One,
    /// Both ways.
    Two,
}

/// What a mixture is tuned for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuned {
    /// The intrinsic time at which it is tight; above 0.
    pub v_opt: f64,
    /// The level for which it is; between 0 and 1 (one-sided: 1/2).
    pub alpha_opt: f64,
    /// One side or both.
    pub sides: Sides,
}

impl Tuned {
    /// The mixture's precision.
    fn rho(&self) -> f64 {
        let alpha = match self.sides {
            Sides::One => 2.0 * self.alpha_opt,
            Sides::Two => self.alpha_opt,
        };
        let needed = 2.0 * (1.0 / alpha).ln();
        self.v_opt / (needed + needed.ln_1p())
    }

    /// The logarithm of the normal mixture at `s` and `v`.
    #[must_use]
    pub fn normal_log_mixture(&self, s: f64, v: f64) -> f64 {
        let rho = self.rho();
        let two_sided = (rho / (v + rho)).ln() / 2.0 + s * s / (2.0 * (v + rho));
        match self.sides {
            Sides::Two => two_sided,
            // Half of the normal distribution, which has then twice the density.
            Sides::One => two_sided + (2.0 * above(-s / (v + rho).sqrt())).ln(),
        }
    }

    /// What `s` does not exceed at any `v` but with chance `alpha`: the bound of the normal
    /// mixture.
    #[must_use]
    pub fn normal_mixture_bound(&self, v: f64, alpha: f64) -> f64 {
        let threshold = (1.0 / alpha).ln();
        let rho = self.rho();
        match self.sides {
            Sides::Two => ((v + rho) * ((v / rho).ln_1p() + 2.0 * threshold)).sqrt(),
            Sides::One => {
                let exceeds = |s: f64| self.normal_log_mixture(s, v) > threshold;
                let limit = doubled(v.max(1.0), exceeds);
                crossing(0.0, limit, exceeds)
            }
        }
    }

    /// The logarithm of the beta-binomial mixture, for observations between `-g` and `h`, both
    /// above 0. Nothing where `s` and `v` cannot be of such observations.
    #[must_use]
    pub fn beta_binomial_log_mixture(&self, s: f64, v: f64, g: f64, h: f64) -> Option<f64> {
        let r = (self.rho() - g * h).max(1e-3 * g * h);
        let all = g + h;
        let upto = match self.sides {
            Sides::One => h / all,
            Sides::Two => 1.0,
        };
        let normaliser = ln_incomplete_beta(r / (g * all), r / (h * all), upto)?;
        let (a, b) = ((r + v - g * s) / (g * all), (r + v + h * s) / (h * all));
        Some(
            v / (g * h) * all.ln()
                - (v + h * s) / (h * all) * g.ln()
                - (v - g * s) / (g * all) * h.ln()
                + ln_incomplete_beta(a, b, upto)?
                - normaliser,
        )
    }
}

/// The confidence interval, at any time, of the chance of success after `successes` out of
/// `trials`, tuned for `t_opt` trials at level `alpha_opt`. Everything is possible before the
/// first trial.
#[must_use]
pub fn bernoulli_interval(
    successes: f64,
    trials: f64,
    alpha: f64,
    t_opt: f64,
    alpha_opt: f64,
) -> (f64, f64) {
    if trials.is_nan() || trials <= 0.0 {
        return (0.0, 1.0);
    }
    let mean = (successes / trials).clamp(0.0, 1.0);
    let threshold = (1.0 / alpha).ln();
    let excluded = |p: f64| {
        let variance = p * (1.0 - p);
        let tuned = Tuned {
            v_opt: variance * t_opt,
            alpha_opt,
            sides: Sides::Two,
        };
        let (s, v) = ((mean - p) * trials, variance * trials);
        tuned
            .beta_binomial_log_mixture(s, v, p, 1.0 - p)
            .is_some_and(|log| log > threshold)
    };
    let lower = if mean > 0.0 {
        crossing(mean, 0.0, excluded)
    } else {
        0.0
    };
    let upper = if mean < 1.0 {
        crossing(mean, 1.0, excluded)
    } else {
        1.0
    };
    (lower, upper)
}

/// The polynomial stitched bound for sums with scale `c` (0: no heavier than normal), from the
/// intrinsic time `v_min` on; `s` above 1 and `eta` above 1 shape it (1.4 and 2 in the paper).
#[must_use]
pub fn poly_stitching_bound(v: f64, alpha: f64, v_min: f64, c: f64, s: f64, eta: f64) -> f64 {
    let k1 = (eta.powf(0.25) + eta.powf(-0.25)) / std::f64::consts::SQRT_2;
    let k2 = f64::midpoint(eta.sqrt(), 1.0);
    let v = v.max(v_min);
    let epochs = (zeta(s) / eta.ln().powf(s)).ln();
    let ell = s * (eta * v / v_min).ln().ln() + epochs + (1.0 / alpha).ln();
    let linear = k2 * c * ell;
    (k1 * k1 * v * ell + linear * linear).sqrt() + linear
}

/// Riemann's zeta function above 1, by Euler and Maclaurin's formula.
fn zeta(s: f64) -> f64 {
    const TERMS: u32 = 20;
    /// Even Bernoulli numbers divided by factorials: `B_2k / (2k)!`.
    const CORRECTIONS: [f64; 6] = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30_240.0,
        -1.0 / 1_209_600.0,
        1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0,
    ];
    let n = f64::from(TERMS);
    let direct: f64 = (1..TERMS).map(|k| f64::from(k).powf(-s)).sum();
    let mut sum = direct + n.powf(1.0 - s) / (s - 1.0) + n.powf(-s) / 2.0;
    let mut term = s * n.powf(-s - 1.0);
    let mut next = s;
    for correction in CORRECTIONS {
        sum += correction * term;
        term *= (next + 1.0) * (next + 2.0) / (n * n);
        next += 2.0;
    }
    sum
}

/// The logarithm of the incomplete beta function, not regularised.
fn ln_incomplete_beta(a: f64, b: f64, x: f64) -> Option<f64> {
    /// Below this the regularised one is too near to nothing to be told from it.
    const TINY: f64 = 1e-290;
    const TERMS_MAX: u32 = 100_000;
    let fits = a > 0.0 && b > 0.0 && (a + b).is_finite();
    if !fits {
        return None;
    }
    if x >= 1.0 {
        return Some(ln_beta(a, b));
    }
    let part = checked_beta_reg(a, b, x).ok()?;
    if part > TINY {
        return Some(part.ln() + ln_beta(a, b));
    }
    // x^a (1-x)^b / a times a series of positive terms.
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 0..TERMS_MAX {
        term *= x * (a + b + f64::from(k)) / (a + 1.0 + f64::from(k));
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    Some(a * x.ln() + b * (-x).ln_1p() - a.ln() + f64::ln(sum))
}

/// Doubles from `start` until `exceeds`.
fn doubled(start: f64, exceeds: impl Fn(f64) -> bool) -> f64 {
    let mut limit = start;
    for _ in 0..DOUBLINGS {
        if exceeds(limit) {
            break;
        }
        limit *= 2.0;
    }
    limit
}

/// Where `beyond` becomes true on the way from `inside` to `outside`; `outside` where it does not.
fn crossing(inside: f64, outside: f64, beyond: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if beyond(middle) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    f64::midpoint(inside, outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(sides: Sides) -> Tuned {
        Tuned {
            v_opt: 100.0,
            alpha_opt: 0.05,
            sides,
        }
    }

    #[test]
    fn at_its_bound_a_mixture_is_worth_one_over_alpha() {
        for sides in [Sides::One, Sides::Two] {
            for v in [0.1, 1.0, 100.0, 1e4] {
                let bound = tuned(sides).normal_mixture_bound(v, 0.01);
                let worth = tuned(sides).normal_log_mixture(bound, v);
                assert!((worth - 100.0_f64.ln()).abs() < 1e-9, "{sides:?} {v}");
            }
        }
    }

    /// The expectation of the beta-binomial mixture after fair flips (g = h = 1/2, v = n/4) by
    /// enumeration: a martingale for two sides, a supermartingale for one.
    #[test]
    fn a_mixture_gains_nothing_from_what_is_fair() {
        for (sides, exactly) in [(Sides::One, false), (Sides::Two, true)] {
            for n in [1_u32, 5, 30] {
                let mut chance = 0.5_f64.powi(n.cast_signed());
                let mut sum = 0.0;
                for x in 0..=n {
                    let s = f64::from(x) - f64::from(n) / 2.0;
                    let v = f64::from(n) / 4.0;
                    let log = tuned(sides).beta_binomial_log_mixture(s, v, 0.5, 0.5);
                    sum += chance * log.unwrap().exp();
                    chance *= f64::from(n - x) / f64::from(x + 1);
                }
                assert!(
                    sum <= 1.0 + 1e-9 && (!exactly || sum > 1.0 - 1e-9),
                    "{sides:?} {sum}"
                );
            }
        }
    }

    #[test]
    fn zeta_is_known_at_two_and_four() {
        let pi = std::f64::consts::PI;
        assert!((zeta(2.0) - pi.powi(2) / 6.0).abs() < 1e-13);
        assert!((zeta(4.0) - pi.powi(4) / 90.0).abs() < 1e-13);
        assert!((zeta(1.4) - 3.105_547_277_740_4).abs() < 1e-6);
    }

    #[test]
    fn far_tails_have_a_logarithm() {
        // I_x(a, 1) = x^a, and the beta function is 1/a.
        let far = ln_incomplete_beta(5000.0, 1.0, 0.5).unwrap();
        assert!((far - (5000.0 * 0.5_f64.ln() - 5000.0_f64.ln())).abs() < 1e-6);
        assert_eq!(ln_incomplete_beta(-1.0, 1.0, 0.5), None);
    }

    #[test]
    fn intervals_hold_the_mean_and_shrink() {
        let mut width = 1.0;
        for n in [10.0, 100.0, 1000.0, 1e5] {
            let (lower, upper) = bernoulli_interval(0.3 * n, n, 0.05, 100.0, 0.05);
            assert!(lower < 0.3 && 0.3 < upper && upper - lower < width);
            width = upper - lower;
        }
        assert_eq!(bernoulli_interval(0.0, 0.0, 0.05, 100.0, 0.05), (0.0, 1.0));
        let (_, upper) = bernoulli_interval(50.0, 50.0, 0.05, 50.0, 0.05);
        assert!((upper - 1.0).abs() < 1e-12);
    }
}
