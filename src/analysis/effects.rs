//! Which effects a test looks for, how fast evidence grows, and what that means in requests and
//! seconds (statistics, sections 2a step 1 and 5, equation 5).

use super::rho::Window;

/// Effects to look for where nothing is known of what is planned.
pub const UNKNOWN_PLAN: [f64; 6] = [0.15, 0.35, 0.7, 1.3, 2.3, 4.0];
/// Effects that the test of safety bets on.
pub const SAFE: [f64; 5] = [-0.15, -0.35, -0.7, -1.3, -2.3];
/// Effects that the one-sample tests bet on, upwards or downwards.
pub const LEVEL: [f64; 5] = [0.2, 0.5, 1.0, 2.0, 3.0];
/// The same downwards.
pub const LEVEL_SAFE: [f64; 5] = [-0.2, -0.5, -1.0, -2.0, -3.0];
/// The largest effect of a grid.
const DELTA_MAX: f64 = 6.0;
/// The smallest: what is less than a thousandth more is no regression.
const DELTA_MIN: f64 = 1e-3;
/// From here on one effect stands for all larger ones: they are found in a window or two.
const DELTA_LARGE: f64 = 4.0;
/// Each effect of a grid is so many times the one before.
const APART: f64 = 1.6;
/// At most so many effects.
const GRID_MAX: usize = 16;
/// The smallest ratio that is reckoned with.
const RATIO_MIN: f64 = 1e-5;

/// Effects with their weights, which sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Logarithms of the effects.
    pub deltas: Vec<f64>,
    /// Their weights.
    pub weights: Vec<f64>,
}

impl Grid {
    /// The same weight for each.
    #[must_use]
    pub fn uniform(deltas: &[f64]) -> Self {
        let weight = 1.0 / deltas.len().max(1) as f64;
        Self {
            deltas: deltas.to_vec(),
            weights: vec![weight; deltas.len()],
        }
    }
}

/// Equation 5: expected growth of the logarithm of the evidence per request to the new version,
/// when its ratio is `r` times the stable version's `p`, the bet is on `rho` against `r0`, and
/// stable gets `kappa` times the new version's requests.
#[must_use]
pub fn growth(p: f64, kappa: f64, r: f64, rho: f64, r0: f64) -> f64 {
    p * (r * (rho / r0).ln() - (r + kappa) * ((rho + kappa) / (r0 + kappa)).ln())
}

/// The smallest effect that what is planned can just show: for each step the new version's requests
/// and `kappa`; `p` is the stable ratio. At most 6.
#[must_use]
pub fn smallest(plan: &[(f64, f64)], p: f64, alpha: f64) -> f64 {
    let p = p.max(RATIO_MIN);
    let needed = (1.0 / alpha).ln() + 2.0_f64.ln();
    let shown = |delta: f64| -> f64 {
        let r = delta.exp();
        plan.iter()
            .map(|(n, kappa)| n * growth(p, *kappa, r, r, 1.0))
            .sum()
    };
    let (mut low, mut high) = (0.0, DELTA_MAX);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if shown(middle) < needed {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The effects that a test of harm looks for, given what is planned (as for [`grid_for`]).
#[must_use]
pub fn looked_for(plan: &[(f64, f64)], p: f64, alpha: f64) -> Grid {
    from_smallest(smallest(plan, p, alpha))
}

/// Effects from the smallest on, each [`APART`] times the one before, until all that there may be
/// lie between two of them or near the last.
///
/// A bet on an effect that is off by a quarter still grows nine tenths as fast as the right one, so
/// no effect is found much later than one that was bet on. The smaller, the heavier: they take the
/// longest, while large ones are found in a few windows, of which one more costs them most of what
/// weights could.
#[must_use]
pub fn from_smallest(smallest: f64) -> Grid {
    let smallest = smallest.clamp(DELTA_MIN, DELTA_MAX);
    let steps = GRID_MAX as f64 - 1.0;
    let apart = APART.max((DELTA_MAX / smallest).powf(1.0 / steps));
    let mut deltas = vec![smallest];
    while let Some(last) = deltas.last()
        && *last < DELTA_LARGE
        && deltas.len() < GRID_MAX
    {
        deltas.push((last * apart).min(DELTA_MAX));
    }
    let weights: Vec<f64> = (0..deltas.len()).map(|k| 1.0 / (k as f64 + 2.0)).collect();
    let sum: f64 = weights.iter().sum();
    Grid {
        deltas,
        weights: weights.iter().map(|w| w / sum).collect(),
    }
}

/// The effects of the prototype that the reference values are from, five around the smallest and
/// two large ones: for each step of the plan the new version's requests and `kappa`. The smallest
/// one is what the whole plan can just show; `p` is the stable ratio. No test bets on them any more:
/// where the smallest is small nothing lies between its sixfold and ten times the ratio.
#[must_use]
pub fn grid_for(plan: &[(f64, f64)], p: f64, alpha: f64) -> Grid {
    const SHAPE: [(f64, f64); 5] = [
        (1.0, 0.24),
        (1.5, 0.2),
        (2.2, 0.16),
        (3.5, 0.12),
        (6.0, 0.1),
    ];
    const EXTRA: [(f64, f64); 2] = [(2.3, 0.1), (4.0, 0.08)];
    let smallest = smallest(plan, p, alpha);
    let mut grid: Vec<(f64, f64)> = Vec::new();
    for (times, weight) in SHAPE {
        let delta = (smallest * times).min(DELTA_MAX);
        match grid.last_mut() {
            Some((last, merged)) if delta - *last < 1e-9 => *merged += weight,
            _ => grid.push((delta, weight)),
        }
    }
    for (delta, weight) in EXTRA {
        let beyond = grid.last().is_some_and(|(last, _)| delta > 1.3 * last);
        match grid.first_mut() {
            Some((_, first)) if !beyond => *first += weight,
            _ => grid.push((delta, weight)),
        }
    }
    let sum: f64 = grid.iter().map(|(_, w)| w).sum();
    Grid {
        deltas: grid.iter().map(|(d, _)| *d).collect(),
        weights: grid.iter().map(|(_, w)| w / sum).collect(),
    }
}

/// Requests to the new version until a test of level `alpha` can show `r` against `r0`: Wald's
/// bound for independent events, reached in half of the cases; in 80 % it takes 1.75 times as many.
#[must_use]
pub fn wald_requests(alpha: f64, p: f64, kappa: f64, r: f64, r0: f64) -> f64 {
    (1.0 / alpha).ln() / growth(p, kappa, r, r, r0)
}

/// The smallest ratio above 1 that `requests` to the new version show within `mult` times Wald's
/// bound.
#[must_use]
pub fn smallest_shown(alpha: f64, p: f64, kappa: f64, requests: f64, mult: f64) -> f64 {
    let (mut low, mut high) = (1.0_f64, 1e6_f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if mult * wald_requests(alpha, p, kappa, middle, 1.0) > requests {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The pooled ratio of a window, never zero.
#[must_use]
pub fn pooled(w: &Window) -> f64 {
    ((w.xc + w.xs + 0.5) / (w.nc + w.ns + 1.0)).max(RATIO_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_reach_from_the_smallest_to_all_there_are() {
        for smallest in [0.0, 1e-5, 0.02, 0.3, 1.0, 3.9, 4.0, 5.5, 60.0] {
            let grid = from_smallest(smallest);
            assert!(grid.deltas.len() <= GRID_MAX && grid.deltas.len() == grid.weights.len());
            let sum: f64 = grid.weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{smallest}: {sum}");
            let first = smallest.clamp(DELTA_MIN, DELTA_MAX);
            assert!((grid.deltas[0] - first).abs() < 1e-12);
            assert!(*grid.deltas.last().unwrap() >= DELTA_LARGE, "{grid:?}");
            for pair in grid.deltas.windows(2) {
                let apart = pair[1] / pair[0];
                assert!((1.0..1.8).contains(&apart), "{smallest}: {pair:?}");
            }
        }
    }

    #[test]
    fn what_the_plan_can_just_show_is_the_smallest() {
        let hour = [(36_000.0, 9.0)];
        let grid = looked_for(&hour, 0.01, 0.009);
        let requests = wald_requests(0.009 / 2.0, 0.01, 9.0, grid.deltas[0].exp(), 1.0);
        assert!((requests / 36_000.0 - 1.0).abs() < 1e-6, "{requests}");
        assert_eq!(
            grid.deltas[0].to_bits(),
            grid_for(&hour, 0.01, 0.009).deltas[0].to_bits()
        );
    }
}
