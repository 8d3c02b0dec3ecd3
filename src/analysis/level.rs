//! One ratio or rate against a fixed level (statistics, section 2e): the e-process of a one-sided
//! test, with bets that may start late. It serves as the absolute part of the tolerances: harm must
//! exceed a level too, and a version is good enough whose ratio is below one.

use super::rho::Bets;
use crate::api::analysis_status::Masses;

/// No bet on a chance above this.
const CHANCE_MAX: f64 = 0.999;

/// The logarithm of the e-value of `x` bad out of `n`, for a bet on the chance `p0 * e^delta`
/// against the null `p <= p0` (delta above 0) or `p >= p0` (delta below 0).
#[must_use]
pub fn log_increment(n: f64, x: f64, p0: f64, delta: f64) -> f64 {
    let p = (p0 * delta.exp()).min(CHANCE_MAX);
    let bets_the_right_way = (p > p0) == (delta > 0.0);
    if n <= 0.0 || p0 <= 0.0 || p0 >= 1.0 || !bets_the_right_way {
        return 0.0;
    }
    x * (p / p0).ln() + (n - x) * ((-p).ln_1p() - (-p0).ln_1p())
}

/// The same for `x` events in an exposure of `n` that follow Poisson's law with the rate `p0`: any
/// number of them may come, and the rate may be above 1.
#[must_use]
pub fn rate_log_increment(n: f64, x: f64, p0: f64, delta: f64) -> f64 {
    if n <= 0.0 || p0 <= 0.0 {
        return 0.0;
    }
    x * delta - n * p0 * delta.exp_m1()
}

/// How the counts come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Each request is bad or not.
    Bernoulli,
    /// Events in time, as many as there may be.
    Poisson,
}

/// What a ratio or rate is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// The level.
    pub level: f64,
    /// Whose law the counts follow.
    pub law: Law,
    /// By how much the counts vary more than by that law (section 2f); 1: they do not.
    pub phi: f64,
}

impl Bets<'_> {
    /// One window of the process: stakes `gamma`, multiplies each bet, returns the e-value.
    pub fn step_level(&self, state: &mut Masses, gamma: f64, n: f64, x: f64, to: Against) -> f64 {
        self.stake(state, gamma);
        for (mass, delta) in state.bets.iter_mut().zip(self.deltas) {
            let log = match to.law {
                Law::Bernoulli => log_increment(n, x, to.level, *delta),
                Law::Poisson => rate_log_increment(n, x, to.level, *delta),
            };
            *mass *= (log / to.phi).exp();
        }
        let worth = self.worth(state);
        self.cut(state);
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected e-value of `n` requests by enumeration, with the true chance `p`.
    fn expectation(n: u32, p: f64, p0: f64, delta: f64) -> f64 {
        let mut chance = (1.0 - p).powi(n.cast_signed());
        let mut sum = 0.0;
        for x in 0..=n {
            sum += chance * log_increment(f64::from(n), f64::from(x), p0, delta).exp();
            chance *= f64::from(n - x) / f64::from(x + 1) * p / (1.0 - p);
        }
        sum
    }

    #[test]
    fn under_the_null_nothing_is_gained() {
        for n in [1, 5, 40] {
            for p0 in [0.001, 0.01, 0.3, 0.9] {
                for delta in [0.2, 0.5, 1.0, 2.0, 3.0] {
                    for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
                        let worse = expectation(n, p0 * share, p0, delta);
                        assert!(
                            worse <= 1.0 + 1e-9,
                            "p <= {p0}: n {n} delta {delta}: {worse}"
                        );
                        let p = (p0 + (1.0 - p0) * share).min(0.999_999);
                        let better = expectation(n, p, p0, -delta);
                        assert!(
                            better <= 1.0 + 1e-9,
                            "p >= {p0}: n {n} delta -{delta}: {better}"
                        );
                    }
                }
            }
        }
        // The check can fail: against the alternative something is gained.
        assert!(expectation(40, 0.05, 0.01, 1.0) > 1.2);
    }

    #[test]
    fn a_rate_at_its_level_gains_nothing() {
        // The expected e-value of Poisson's law, summed until nothing is left.
        let expected = |n: f64, rate: f64, p0: f64, delta: f64| {
            let mut chance = (-n * rate).exp();
            let mut sum = 0.0;
            for x in 0..300_u32 {
                sum += chance * rate_log_increment(n, f64::from(x), p0, delta).exp();
                chance *= n * rate / f64::from(x + 1);
            }
            sum
        };
        for (n, p0) in [(1.0, 3.0), (40.0, 0.1), (3600.0, 0.001)] {
            for delta in [0.2, 1.0, 2.0] {
                assert!((expected(n, p0, p0, delta) - 1.0).abs() < 1e-6);
                assert!((expected(n, p0, p0, -delta) - 1.0).abs() < 1e-6);
                assert!(expected(n, 0.5 * p0, p0, delta) < 1.0);
                assert!(expected(n, 2.0 * p0, p0, -delta) < 1.0);
                assert!(expected(n, 2.0 * p0, p0, delta) > 1.0, "it can fail");
            }
        }
    }

    #[test]
    fn a_level_that_cannot_be_exceeded_says_nothing() {
        assert_eq!(
            log_increment(100.0, 100.0, 1.0, 1.0).to_bits(),
            0.0_f64.to_bits()
        );
        assert_eq!(
            log_increment(100.0, 100.0, 0.9995, 1.0).to_bits(),
            0.0_f64.to_bits()
        );
        assert_eq!(
            log_increment(0.0, 0.0, 0.1, 1.0).to_bits(),
            0.0_f64.to_bits()
        );
    }
}
