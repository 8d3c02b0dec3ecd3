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
    ///
    /// What is expected then is made of straight pieces in the factor `b`: each outcome adds
    /// `cash + b * value` until that is 1/alpha, and 1/alpha from there on. With the best outcomes
    /// taken for settled one after the other, the first `b` that settles no further one is the
    /// factor, exactly.
    fn boost(&self, state: &Masses, w: &Window, r0: f64) -> f64 {
        let m = (w.xc + w.xs).round();
        let (worth, end) = (self.worth(state), 1.0 / self.alpha);
        if !w.compares() || m <= 0.0 || m > BOOST_EVENTS_MAX || worth >= end {
            return 1.0;
        }
        let mut outcomes = self.outcomes(state, w, r0, m);
        outcomes.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
        let all: f64 = outcomes.iter().map(|o| o.chance).sum();
        let mut settled = (1.0 - all).max(0.0);
        // What the bets are expected to be worth in the outcomes up to each: added up from the
        // smallest, as what is left of a large sum would be rounding.
        let mut open = 0.0;
        for outcome in &mut outcomes {
            open += outcome.chance * outcome.value;
            outcome.up_to = open;
        }
        let (bets, room) = (worth - state.cash, end - state.cash);
        let mut factor = 1.0;
        for best in outcomes.iter().rev() {
            if best.up_to <= 0.0 {
                return 1.0;
            }
            factor = (bets - settled * room) / best.up_to;
            if factor * best.value <= room {
                break;
            }
            settled += best.chance;
        }
        if factor > BOOST_MAX {
            1.0
        } else {
            factor.max(1.0)
        }
    }

    /// For every number of the new version's events, out of `m`: its chance under the null, and
    /// what the bets would be worth after it.
    fn outcomes(&self, state: &Masses, w: &Window, r0: f64, m: f64) -> Vec<Outcome> {
        let chance = w.nc * r0 / (w.nc * r0 + w.ns);
        let Binomial { mut all, mode } = binomial(m, chance);
        let Some(middle) = all.get(mode).map(|o| o.events) else {
            return all;
        };
        let likely = Window {
            xc: middle,
            xs: m - middle,
            ..*w
        };
        let (below, above) = all.split_at_mut(mode);
        for ((mass, weight), delta) in state.bets.iter().zip(self.weights).zip(self.deltas) {
            // One event more multiplies a bet by its effect: one exponential for each bet instead
            // of one for each outcome. What is 0 at the mode is nothing within its reach.
            let (up, down) = (delta.exp(), (-delta).exp());
            let mut value = weight * mass * log_increment(&likely, r0, *delta).exp();
            if value <= 0.0 {
                continue;
            }
            let mut lower = value * down;
            for outcome in above.iter_mut() {
                outcome.value += value;
                value *= up;
            }
            for outcome in below.iter_mut().rev() {
                outcome.value += lower;
                lower *= down;
            }
        }
        all
    }
}

/// One number of events that the new version may have had.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    events: f64,
    chance: f64,
    /// What the bets are worth after it.
    value: f64,
    /// What they are expected to be worth in it and in all that are worth less.
    up_to: f64,
}

/// Whether mass that would overshoot is handed back. Only valid for integer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boost {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The binomial distribution around its mode, ascending.
struct Binomial {
    all: Vec<Outcome>,
    /// The place of the likeliest.
    mode: usize,
}

fn binomial(m: f64, p: f64) -> Binomial {
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
    let outcome = |events, chance| Outcome {
        events,
        chance,
        value: 0.0,
        up_to: 0.0,
    };
    let mut all = Vec::with_capacity((last - first) as usize + 1);
    let (mut x, mut chance) = (mode, top);
    while x > first {
        chance *= x / ((m - x + 1.0) * odds);
        x -= 1.0;
        all.push(outcome(x, chance));
    }
    all.reverse();
    let place = all.len();
    all.push(outcome(mode, top));
    (x, chance) = (mode, top);
    while x < last {
        chance *= (m - x) * odds / (x + 1.0);
        x += 1.0;
        all.push(outcome(x, chance));
    }
    Binomial { all, mode: place }
}

#[cfg(test)]
mod tests;
