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

/// The effects to look for, given what is planned: for each step the new version's requests and
/// `kappa`. The smallest one is what the whole plan can just show; `p` is the stable ratio.
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
    let mut grid: Vec<(f64, f64)> = Vec::new();
    for (times, weight) in SHAPE {
        let delta = (high * times).min(DELTA_MAX);
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
