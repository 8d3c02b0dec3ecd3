//! The comparison of two ratios: the rho e-process (statistics, equations 1 to 4).
//!
//! The null is "the new version's ratio is at most `r0` times the stable version's". Under it the
//! expected e-value is at most 1 for any split of the traffic, any drift that both versions share,
//! and at every look, so it may be looked at after every scrape. Valid by the argument of Turner,
//! Ly and Grünwald (arXiv 2106.02693) with a margin; for Poisson counts it is the conditional test
//! of Lindon and Malek (arXiv 2011.03567).

use statrs::function::factorial::ln_binomial;

use crate::api::analysis_status::Masses;

/// Above this many events in a window boosting costs more than it gains.
const BOOST_EVENTS_MAX: f64 = 5e4;
/// The binomial is summed over so many standard deviations around its mode; what is left out
/// counts as if it decided, which errs on the safe side.
const SPREAD: f64 = 10.0;
/// Halvings when the boost is looked for: more than a double can tell apart.
const HALVINGS: usize = 60;
/// No boost beyond this: the mixture is then so small that a boost is only rounding.
const BOOST_MAX: f64 = 1e12;

/// What both versions did in one window: requests (or exposure) and bad ones (or events).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// The new version's requests.
    pub nc: f64,
    /// The new version's bad ones.
    pub xc: f64,
    /// The stable version's requests.
    pub ns: f64,
    /// The stable version's bad ones.
    pub xs: f64,
}

impl Window {
    /// Whether there is something to compare.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.nc > 0.0 && self.ns > 0.0
    }
}

/// Equation 1: the logarithm of the e-value of one window, for a bet on the ratio `r0 * e^delta`
/// against `r0`. 0 where there is nothing to compare.
#[must_use]
pub fn log_increment(w: &Window, r0: f64, delta: f64) -> f64 {
    if !w.compares() {
        return 0.0;
    }
    // ln((nc r + ns) / (nc r0 + ns)) as ln(1 + y), exact for small effects and large counts.
    let y = w.nc * r0 * delta.exp_m1() / (w.nc * r0 + w.ns);
    w.xc * delta - (w.xc + w.xs) * y.ln_1p()
}

/// A mixture of bets: what it looks for, and where it decides.
#[derive(Debug, Clone, Copy)]
pub struct Bets<'a> {
    /// Logarithms of the effects, relative to the null.
    pub deltas: &'a [f64],
    /// Their weights; they sum to 1.
    pub weights: &'a [f64],
    /// It decides at 1/alpha.
    pub alpha: f64,
}

impl Bets<'_> {
    /// The state before the first window.
    #[must_use]
    pub fn begin(&self) -> Masses {
        Masses {
            windows: 0,
            cash: 1.0,
            bets: vec![0.0; self.deltas.len()],
        }
    }

    /// Takes the mass `gamma` for bets that start with the window to come.
    pub(super) fn stake(&self, state: &mut Masses, gamma: f64) {
        state.windows += 1;
        let gamma = gamma.min(state.cash).max(0.0);
        state.cash -= gamma;
        for mass in &mut state.bets {
            *mass += gamma;
        }
    }

    /// What the mixture is worth.
    #[must_use]
    pub fn worth(&self, state: &Masses) -> f64 {
        let bets: f64 = self
            .weights
            .iter()
            .zip(&state.bets)
            .map(|(w, m)| w * m)
            .sum();
        state.cash + bets
    }

    /// Bets beyond what decides are cut: nothing can overflow, and evidence that turned stays
    /// within reach.
    pub(super) fn cut(&self, state: &mut Masses) {
        for (mass, weight) in state.bets.iter_mut().zip(self.weights) {
            *mass = mass.min(1.0 / (self.alpha * weight));
        }
    }

    /// One window of the process: stakes `gamma`, multiplies each bet by its e-value, tempered by
    /// `phi` (1: independent events), and returns the mixture's e-value. With `boost`, mass that
    /// would overshoot 1/alpha is handed back beforehand (Fischer and Ramdas, arXiv 2410.16076),
    /// and the e-value is cut at 1/alpha.
    pub fn step(
        &self,
        state: &mut Masses,
        gamma: f64,
        window: &Window,
        r0: f64,
        phi: f64,
        boost: Boost,
    ) -> f64 {
        self.stake(state, gamma);
        let factor = match boost {
            Boost::On => self.boost(state, window, r0),
            Boost::Off => 1.0,
        };
        for (mass, delta) in state.bets.iter_mut().zip(self.deltas) {
            *mass *= factor * (log_increment(window, r0, *delta) / phi).exp();
        }
        let worth = self.worth(state);
        self.cut(state);
        match boost {
            Boost::On => worth.min(1.0 / self.alpha),
            Boost::Off => worth,
        }
    }

    /// Equation 4: the largest factor by which the bets may be multiplied, given that at 1/alpha
    /// the test is over anyway.
    fn boost(&self, state: &Masses, w: &Window, r0: f64) -> f64 {
        let m = (w.xc + w.xs).round();
        let worth = self.worth(state);
        let end = 1.0 / self.alpha;
        if !w.compares() || m <= 0.0 || m > BOOST_EVENTS_MAX || worth >= end {
            return 1.0;
        }
        let chance = w.nc * r0 / (w.nc * r0 + w.ns);
        // For every possible number of the new version's events: its chance, and what the bets
        // would be worth.
        let outcomes: Vec<(f64, f64)> = binomial(m, chance)
            .into_iter()
            .map(|(x, p)| {
                let outcome = Window {
                    xc: x,
                    xs: m - x,
                    ..*w
                };
                let bets = state.bets.iter().zip(self.weights).zip(self.deltas);
                let value = bets
                    .map(|((mass, weight), d)| {
                        weight * mass * log_increment(&outcome, r0, *d).exp()
                    })
                    .sum();
                (p, value)
            })
            .collect();
        let left_out = (1.0 - outcomes.iter().map(|(p, _)| p).sum::<f64>()).max(0.0);
        let expected = |b: f64| {
            let sum: f64 = outcomes
                .iter()
                .map(|(p, v)| p * end.min(state.cash + b * v))
                .sum();
            sum + left_out * end
        };
        let (mut low, mut high) = (1.0, 2.0);
        while expected(high) <= worth {
            low = high;
            high *= 2.0;
            if high > BOOST_MAX {
                return 1.0;
            }
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if expected(middle) <= worth {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Whether mass that would overshoot is handed back. Only valid for integer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boost {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The binomial distribution around its mode: `(x, chance)`, ascending.
fn binomial(m: f64, p: f64) -> Vec<(f64, f64)> {
    let mode = ((m + 1.0) * p).floor().min(m);
    let reach = (SPREAD * (m * p * (1.0 - p)).sqrt()).ceil() + 1.0;
    let (first, last) = ((mode - reach).max(0.0), (mode + reach).min(m));
    let top = (ln_binomial(m as u64, mode as u64)
        + if mode > 0.0 { mode * p.ln() } else { 0.0 }
        + if mode < m {
            (m - mode) * (-p).ln_1p()
        } else {
            0.0
        })
    .exp();
    let odds = p / (1.0 - p);
    let mut found = Vec::new();
    let (mut x, mut chance) = (mode, top);
    while x > first {
        chance *= x / ((m - x + 1.0) * odds);
        x -= 1.0;
        found.push((x, chance));
    }
    found.reverse();
    found.push((mode, top));
    (x, chance) = (mode, top);
    while x < last {
        chance *= (m - x) * odds / (x + 1.0);
        x += 1.0;
        found.push((x, chance));
    }
    found
}

#[cfg(test)]
mod tests;
