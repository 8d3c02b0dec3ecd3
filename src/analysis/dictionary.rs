//! What a latency test bets on: slowdowns of everything, and of the slowest requests only
//! (statistics, section 2c).
//!
//! Any reference makes a valid test; one that does not look like the stable version's histogram
//! only costs power. It must therefore come from before the window that it is used on.

use super::buckets::{log_increment, scale_rho, scaled};
use super::rho::Bets;
use crate::api::analysis_status::Masses;

/// Slowdowns of every request, with their weights: small ones need every bit of it, large ones are
/// found in a window or two anyway.
const SCALES: [(f64, f64); 5] = [
    (1.07, 0.18),
    (1.15, 0.15),
    (1.3, 0.12),
    (1.7, 0.09),
    (3.0, 0.06),
];
/// What is left for slowdowns of the slowest requests only, shared by them.
const TAILS: f64 = 0.4;
/// Speeds that the test of safety bets on.
const SAFE_SCALES: [f64; 2] = [1.0, 0.95];
/// Exceedances of the boundaries that the tail family looks at.
const EXCEEDANCES: [f64; 3] = [0.1, 0.01, 0.001];
/// What is exceeded so rarely counts as never.
const NEVER: f64 = 1e-5;
/// How many times more requests above a boundary.
const TIMES: [f64; 3] = [1.5, 3.0, 10.0];
/// The same where the boundary is hardly ever exceeded.
const TIMES_RARE: f64 = 100.0;
/// Below this exceedance a boundary is hardly ever exceeded.
const RARE: f64 = 0.001;
/// No bet on more than this share above a boundary.
const SHARE_MAX: f64 = 0.6;
/// Points at which the slowdowns up to the tolerated one are looked at.
const TOLERATED: u32 = 16;

/// One bet.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Density ratios of the new version's buckets to the stable version's that are bet on.
    pub rho: Vec<f64>,
    /// Those that are tolerated; where they are the same, there is no bet.
    pub rho0: Vec<f64>,
    /// The weight.
    pub weight: f64,
}

/// Bets on bucket counts: at most 21 of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    /// The bets; their weights sum to 1.
    pub elements: Vec<Element>,
}

/// The dictionary of a test for harm.
///
/// `reference` are the stable version's bucket counts (or shares) of the past, not cumulative;
/// `bounds` the finite upper bounds, positive and ascending, one fewer. `tolerance` is the slowdown
/// that is tolerated, as a factor: 1.05 for 5 %; 1 or less for none. Nothing if the reference is
/// empty or does not fit the bounds.
///
/// Without a tolerance nothing is gained from any version that is not stochastically slower,
/// whatever the stable distribution. With one, slowdowns up to it give each bucket a smallest and a
/// largest ratio, 1 among them, and bets are only made beyond those: nothing is gained where the new
/// version's share of each bucket is within them, again whatever the stable distribution (see
/// [`log_increment`]). One null for all buckets, `scale_rho(tolerance)`, would not do: a version
/// that is as fast as the other then gains in its fast buckets.
#[must_use]
pub fn dictionary(reference: &[f64], bounds: &[f64], tolerance: f64) -> Option<Dictionary> {
    let shares = shares(reference, bounds)?;
    let tolerated = tolerated(&shares, bounds, tolerance);
    let scales = SCALES.map(|(slower, weight)| (scale_rho(&shares, bounds, slower), weight));
    let tails = tails(&shares);
    let whole = if tails.is_empty() { 1.0 - TAILS } else { 1.0 };
    let tail_weight = TAILS / tails.len().max(1) as f64;
    let elements = scales
        .into_iter()
        .map(|(rho, weight)| (rho, weight / whole))
        .chain(tails.into_iter().map(|rho| (rho, tail_weight)))
        .map(|(rho, weight)| beyond(&rho, &tolerated, weight))
        .collect();
    Some(Dictionary { elements })
}

/// The dictionary of a test for safety: the null is "at least `limit` times as slow" (1.3 for
/// 30 %), the bets are "as fast" and "a little faster" (statistics, section 2g).
///
/// Arguments as for [`dictionary`]; nothing if `limit` is not above 1. In this direction the proof
/// needs ratios of the null that are 1 in the mean over the stable distribution. They are over the
/// reference, so take a fresh one: a reference that is off by a part d of the requests can gain up
/// to d for each request to the new version.
#[must_use]
pub fn safe_dictionary(reference: &[f64], bounds: &[f64], limit: f64) -> Option<Dictionary> {
    let shares = shares(reference, bounds)?;
    if limit.is_nan() || limit <= 1.0 {
        return None;
    }
    let rho0 = at_least(&shares, bounds, limit);
    let weight = 1.0 / SAFE_SCALES.len() as f64;
    let elements = SAFE_SCALES
        .iter()
        .map(|s| Element {
            rho: if *s < 1.0 {
                scale_rho(&shares, bounds, *s)
            } else {
                vec![1.0; shares.len()]
            },
            rho0: rho0.clone(),
            weight,
        })
        .collect();
    Some(Dictionary { elements })
}

impl Dictionary {
    /// The state before the first window.
    #[must_use]
    pub fn begin(&self) -> Masses {
        Masses {
            windows: 0,
            cash: 1.0,
            bets: vec![0.0; self.elements.len()],
        }
    }

    /// One window of the process: stakes `gamma`, multiplies each bet by its e-value, and returns
    /// the mixture's, which decides at 1/`alpha`. `phi` has one entry for each element (1:
    /// independent requests); where it is shorter, 1 is taken. `canary` and `stable` are bucket
    /// counts of the window, of the dictionary's length.
    pub fn step(
        &self,
        state: &mut Masses,
        gamma: f64,
        canary: &[f64],
        stable: &[f64],
        phi: &[f64],
        alpha: f64,
    ) -> f64 {
        let weights: Vec<f64> = self.elements.iter().map(|e| e.weight).collect();
        let bets = Bets {
            deltas: &[],
            weights: &weights,
            alpha,
        };
        bets.stake(state, gamma);
        let phi = phi.iter().copied().chain(std::iter::repeat(1.0));
        for ((mass, element), phi) in state.bets.iter_mut().zip(&self.elements).zip(phi) {
            let increment = log_increment(canary, stable, &element.rho, &element.rho0);
            *mass *= (increment / phi.max(1.0)).exp();
        }
        let worth = bets.worth(state);
        bets.cut(state);
        worth
    }
}

/// The reference as shares; nothing if it is none.
fn shares(reference: &[f64], bounds: &[f64]) -> Option<Vec<f64>> {
    let sum: f64 = reference.iter().sum();
    let ascending = bounds.first().is_some_and(|first| *first > 0.0)
        && bounds.is_sorted_by(|a, b| a < b)
        && bounds.iter().all(|b| b.is_finite());
    let fits = reference.len() == bounds.len() + 1 && reference.iter().all(|n| *n >= 0.0);
    (ascending && fits && sum > 0.0 && sum.is_finite())
        .then(|| reference.iter().map(|n| n / sum).collect())
}

/// The smallest and the largest ratio of each bucket over all slowdowns up to the tolerated one,
/// none among them.
fn tolerated(shares: &[f64], bounds: &[f64], tolerance: f64) -> Vec<(f64, f64)> {
    let mut found = vec![(1.0_f64, 1.0_f64); shares.len()];
    if tolerance.is_nan() || tolerance <= 1.0 {
        return found;
    }
    let step = tolerance.ln() / f64::from(TOLERATED);
    for k in 1..=TOLERATED {
        let then = scaled(shares, bounds, (step * f64::from(k)).exp());
        for ((low, high), (then, now)) in found.iter_mut().zip(then.into_iter().zip(shares)) {
            // What was never seen and comes with a tolerated slowdown may come in any number.
            let ratio = if then > 0.0 || *now > 0.0 {
                then / now
            } else {
                1.0
            };
            *low = low.min(ratio);
            *high = high.max(ratio);
        }
    }
    found
}

/// A bet on what is beyond the tolerated ratios. The part by which it is beyond never falls with
/// the latency, so that nothing is gained from a version that is faster, whichever way.
fn beyond(rho: &[f64], tolerated: &[(f64, f64)], weight: f64) -> Element {
    let mut ratios: Vec<(f64, f64)> = rho
        .iter()
        .zip(tolerated)
        .map(|(rho, (low, high))| (*rho, rho.clamp(*low, *high)))
        .collect();
    let mut least = 1.0_f64;
    for ((rho, rho0), (_, high)) in ratios.iter_mut().zip(tolerated) {
        if *rho >= *rho0 && *rho < *rho0 * least && high.is_finite() {
            (*rho, *rho0) = (high * least, *high);
        }
        least = least.max(*rho / *rho0);
    }
    let mut most = 1.0_f64;
    for ((rho, rho0), (low, _)) in ratios.iter_mut().zip(tolerated).rev() {
        if *rho <= *rho0 && *rho > *rho0 * most && *low > 0.0 {
            (*rho, *rho0) = (low * most, *low);
        }
        most = most.min(*rho / *rho0);
    }
    let (rho, rho0) = ratios.into_iter().unzip();
    Element { rho, rho0, weight }
}

/// Density ratios, rising and 1 in the mean over `shares`, of a histogram that is nowhere slower
/// than the one with `limit` times the latencies. So whatever is slower than that is slower than
/// this too.
fn at_least(shares: &[f64], bounds: &[f64], limit: f64) -> Vec<f64> {
    let then = scaled(shares, bounds, limit);
    let rising = scale_rho(shares, bounds, limit);
    let mean: f64 = rising.iter().zip(shares).map(|(r, q)| r * q).sum();
    let rho0: Vec<f64> = rising.iter().map(|r| r / mean).collect();
    // Making the ratios rise may have made it slower than it should be: then towards 1, until it
    // is not. The sums are what is above each bound, from the top.
    let (mut slow, mut slower, mut plain) = (0.0, 0.0, 0.0);
    let mut part = 1.0_f64;
    for ((then, rho0), share) in then.iter().zip(&rho0).zip(shares).skip(1).rev() {
        slow += then;
        slower += rho0 * share;
        plain += share;
        if slower > slow && slower > plain {
            part = part.min(((slow - plain) / (slower - plain)).max(0.0));
        }
    }
    rho0.iter().map(|r| 1.0 + part * (r - 1.0)).collect()
}

/// The tail family: r times as many requests above a boundary.
fn tails(shares: &[f64]) -> Vec<Vec<f64>> {
    // What is above each finite bound, summed from the top: small shares stay exact.
    let mut above = Vec::new();
    let mut sum = 0.0;
    for share in shares.iter().skip(1).rev() {
        sum += share;
        above.push(sum);
    }
    above.reverse();
    let mut boundaries: Vec<usize> = Vec::new();
    for target in EXCEEDANCES {
        let distance = |p: &f64| (p.max(f64::MIN_POSITIVE) / target).ln().abs();
        let closest = above
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
        boundaries.extend(closest.map(|(k, _)| k));
    }
    // The lowest boundary that is never exceeded catches the most of what never was.
    let never = above.iter().position(|p| *p <= NEVER);
    boundaries.extend(never.or(above.len().checked_sub(1)));
    boundaries.sort_unstable();
    boundaries.dedup();
    let mut found = Vec::new();
    for (boundary, p) in boundaries
        .into_iter()
        .filter_map(|k| Some((k, *above.get(k)?)))
    {
        let rare = (p < RARE).then_some(TIMES_RARE);
        for times in TIMES.into_iter().chain(rare) {
            if times * p < SHARE_MAX {
                let below = (1.0 - times * p) / (1.0 - p);
                let rho = |k: usize| if k > boundary { times } else { below };
                found.push((0..shares.len()).map(rho).collect());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
