//! The interval of the effect that may be looked at any time (statistics, equation 6).
//!
//! The log-likelihood of the effect is a smooth function; it is kept at Chebyshev nodes, from which
//! its values on the grid of 401 effects follow to seven digits. So a status holds 32 numbers, not
//! 401, and nothing has to be replayed.

use super::rho::Window;

/// Nodes that are kept: the function is analytic in a strip of half-width pi around an interval of
/// half-width 5, so the error falls like 1.8^-n.
const NODES: usize = 32;
/// The effects considered are e^-5 to e^5.
const REACH: f64 = 5.0;
/// Effects on the grid.
const GRID: usize = 401;

/// The effect with its interval, as ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Most likely.
    pub most_likely: f64,
    /// Upper end.
    pub upper: f64,
}

/// Adds what a window says of the effect to `likelihood`, tempered by `phi`.
pub fn add(likelihood: &mut Vec<f64>, w: &Window, phi: f64) {
    likelihood.resize(NODES, 0.0);
    if !w.compares() {
        return;
    }
    let all = w.nc + w.ns;
    for (value, theta) in likelihood.iter_mut().zip(nodes()) {
        // The constant ln(nc + ns) cancels in the interval; leaving it out keeps the sums small.
        let y = w.nc * theta.exp_m1() / all;
        *value += (w.xc * theta - (w.xc + w.xs) * y.ln_1p()) / phi;
    }
}

/// The interval of level 1 - `alpha`; none while nothing was added.
#[must_use]
pub fn interval(likelihood: &[f64], alpha: f64) -> Option<Interval> {
    if likelihood.len() != NODES || likelihood.iter().all(|v| v.abs() <= 0.0) {
        return None;
    }
    let weights = weights();
    let grid: Vec<(f64, f64)> = (0..GRID)
        .map(|i| (grid_point(i), value_at(likelihood, &weights, grid_point(i))))
        .collect();
    let most_likely = grid
        .iter()
        .copied()
        .reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    // ln of the sum of w_i e^L(i), with the normal prior on the grid.
    let prior: f64 = grid.iter().map(|(t, _)| (-t * t / 2.0).exp()).sum();
    let sum: f64 = grid
        .iter()
        .map(|(t, l)| (l - most_likely.1 - t * t / 2.0).exp())
        .sum();
    let mixture = most_likely.1 + (sum / prior).ln();
    let inside = |(_, l): &&(f64, f64)| mixture - l < (1.0 / alpha).ln();
    Some(Interval {
        lower: grid.iter().find(inside)?.0.exp(),
        most_likely: most_likely.0.exp(),
        upper: grid.iter().rev().find(inside)?.0.exp(),
    })
}

fn grid_point(i: usize) -> f64 {
    REACH * (2.0 * i as f64 / (GRID - 1) as f64 - 1.0)
}

/// Chebyshev nodes of the first kind.
fn nodes() -> impl Iterator<Item = f64> {
    (0..NODES).map(|k| REACH * angle(k).cos())
}

fn angle(k: usize) -> f64 {
    (2 * k + 1) as f64 * std::f64::consts::PI / (2 * NODES) as f64
}

/// The nodes with their barycentric weights.
fn weights() -> Vec<(f64, f64)> {
    let sign = |k: usize| if k.is_multiple_of(2) { 1.0 } else { -1.0 };
    nodes()
        .enumerate()
        .map(|(k, node)| (node, sign(k) * angle(k).sin()))
        .collect()
}

/// Barycentric interpolation.
fn value_at(likelihood: &[f64], weights: &[(f64, f64)], theta: f64) -> f64 {
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (value, (node, weight)) in likelihood.iter().zip(weights) {
        let distance = theta - node;
        if distance.abs() < 1e-13 {
            return *value;
        }
        numerator += weight / distance * value;
        denominator += weight / distance;
    }
    numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_hold_the_whole_function() {
        let windows = [
            Window {
                nc: 300.0,
                xc: 7.0,
                ns: 1200.0,
                xs: 20.0,
            },
            Window {
                nc: 20.0,
                xc: 0.0,
                ns: 1900.0,
                xs: 3.0,
            },
            Window {
                nc: 90_000.0,
                xc: 900.0,
                ns: 90_000.0,
                xs: 1100.0,
            },
            Window {
                nc: 1.0,
                xc: 1.0,
                ns: 99_999.0,
                xs: 0.0,
            },
        ];
        let mut likelihood = Vec::new();
        windows.iter().for_each(|w| add(&mut likelihood, w, 1.0));
        for i in 0..GRID {
            let theta = grid_point(i);
            let exact: f64 = windows
                .iter()
                .map(|w| {
                    let m = w.xc + w.xs;
                    w.xc * theta - m * ((w.nc * theta.exp() + w.ns) / (w.nc + w.ns)).ln()
                })
                .sum();
            let ours = value_at(&likelihood, &weights(), theta);
            assert!(
                (ours - exact).abs() < 1e-4,
                "at {theta}: {ours} for {exact}"
            );
        }
    }

    #[test]
    fn no_data_no_interval() {
        assert_eq!(interval(&[], 0.05), None);
        let mut likelihood = Vec::new();
        add(&mut likelihood, &Window::default(), 1.0);
        assert_eq!(interval(&likelihood, 0.05), None);
    }
}
