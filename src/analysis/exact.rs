//! The exact conditional test with looks that are planned (statistics, section 2a, engine `exact`).
//!
//! Given each window's events of both versions, the new version's are binomial at the null's edge,
//! so their sum is enough even when the split changes. Only for steps driven by time: the level
//! does not hold where what is seen decides when to look.

use statrs::function::factorial::ln_binomial;

/// What is rarer than this in a window is left out, and counted as if it decided.
const LEFT_OUT: f64 = 1e-18;

/// How much of `alpha` may be spent at the fraction `t` (0 to 1) of the planned time: the spending
/// function of Lan and `DeMets` (1983) that resembles Pocock's bounds.
#[must_use]
pub fn spent(alpha: f64, t: f64) -> f64 {
    alpha * (t.clamp(0.0, 1.0) * (std::f64::consts::E - 1.0)).ln_1p()
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Events of both versions since the last look; a whole number.
    pub events: f64,
    /// The chance that such an event is the new version's at the null's edge:
    /// `nc r0 / (nc r0 + ns)`.
    pub chance: f64,
    /// What may be spent up to and with this look; it does not fall.
    pub spent: f64,
}

/// For each look the smallest sum of the new version's events, since the start, that decides. What
/// a look cannot spend is carried on. Bounds may be larger than what is possible so far: then that
/// look cannot decide.
#[must_use]
pub fn bounds(looks: &[Look]) -> Vec<u64> {
    // Chances of each sum, given that nothing was decided so far.
    let mut sums = vec![1.0];
    let mut used = 0.0;
    looks
        .iter()
        .map(|look| {
            let counts = binomial(look.events.max(0.0).round(), look.chance.clamp(0.0, 1.0));
            sums = convolve(&sums, &counts);
            let mut tail = 0.0;
            let mut bound = sums.len();
            while let Some(chance) = bound.checked_sub(1).and_then(|s| sums.get(s)) {
                if tail + chance > look.spent - used {
                    break;
                }
                tail += chance;
                bound -= 1;
            }
            used += tail;
            sums.truncate(bound);
            bound as u64
        })
        .collect()
}

/// The binomial distribution: its first count, and the chances from there. What is left out at the
/// top is added to the largest count, which errs on the safe side.
fn binomial(n: f64, p: f64) -> (usize, Vec<f64>) {
    if n < 1.0 || p <= 0.0 {
        return (0, vec![1.0]);
    }
    if p >= 1.0 {
        return (n as usize, vec![1.0]);
    }
    let chance = |x: f64| {
        let ln = ln_binomial(n as u64, x as u64) + x * p.ln() + (n - x) * (-p).ln_1p();
        ln.exp()
    };
    let mode = ((n + 1.0) * p).floor().min(n);
    let odds = p / (1.0 - p);
    let (mut x, mut value) = (mode, chance(mode));
    let mut below = Vec::new();
    while x >= 1.0 && value > LEFT_OUT {
        value *= x / ((n - x + 1.0) * odds);
        x -= 1.0;
        below.push(value);
    }
    let first = x as usize;
    let mut found: Vec<f64> = below.into_iter().rev().collect();
    (x, value) = (mode, chance(mode));
    found.push(value);
    while x < n && value > LEFT_OUT {
        value *= (n - x) * odds / (x + 1.0);
        x += 1.0;
        found.push(value);
    }
    let left_out = 1.0 - found.iter().sum::<f64>();
    if x < n
        && left_out > 0.0
        && let Some(last) = found.last_mut()
    {
        *last += left_out;
    }
    (first, found)
}

/// The chances of the sum of two counts.
fn convolve(sums: &[f64], (first, counts): &(usize, Vec<f64>)) -> Vec<f64> {
    let mut found = vec![0.0; (sums.len() + first + counts.len()).saturating_sub(1)];
    for (s, chance) in sums.iter().enumerate().filter(|(_, c)| **c > 0.0) {
        for (cell, count) in found.iter_mut().skip(s + first).zip(counts) {
            *cell += chance * count;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The chance to decide under the null, by walking through every course of events.
    fn level(looks: &[Look], bounds: &[u64], so_far: u64) -> f64 {
        let Some((look, rest)) = looks.split_first() else {
            return 0.0;
        };
        let n = look.events as u32;
        let choose = |x: u32| {
            (0..x)
                .map(|i| f64::from(n - i) / f64::from(i + 1))
                .product::<f64>()
        };
        (0..=n)
            .map(|x| {
                let p = look.chance;
                let chance =
                    choose(x) * p.powi(x.cast_signed()) * (1.0 - p).powi((n - x).cast_signed());
                let sum = so_far + u64::from(x);
                if sum >= bounds[0] {
                    chance
                } else {
                    chance * level(rest, &bounds[1..], sum)
                }
            })
            .sum()
    }

    proptest! {
        #[test]
        fn the_level_holds_and_is_used(
            events in prop::collection::vec((0..7_u32, 0.05..0.6_f64), 1..6), alpha in 0.005..0.2_f64,
        ) {
            let n = events.len() as f64;
            let looks: Vec<Look> = events.iter().enumerate().map(|(k, (m, chance))| Look {
                events: f64::from(*m), chance: *chance, spent: spent(alpha, (k + 1) as f64 / n),
            }).collect();
            let found = bounds(&looks);
            let exact = level(&looks, &found, 0);
            prop_assert!(exact <= alpha + 1e-12, "{exact} of {alpha}");
            // One event less at the last look would spend too much.
            let mut lower = found;
            let last = lower.len() - 1;
            prop_assume!(lower[last] > 0);
            lower[last] -= 1;
            prop_assert!(level(&looks, &lower, 0) > alpha - 1e-12);
        }
    }

    #[test]
    fn the_whole_is_spent_at_the_end() {
        assert!((spent(0.01, 1.0) - 0.01).abs() < 1e-15);
        assert!(spent(0.01, 0.0).abs() < 1e-15 && spent(0.01, 2.0) <= 0.01 + 1e-15);
    }

    #[test]
    fn large_counts_and_bad_ones() {
        let look = |events, chance, spent| Look {
            events,
            chance,
            spent,
        };
        // 40000 events at 20 %: 8000 with a standard deviation of 80; 1 % is 2.33 of them.
        let found = bounds(&[look(40_000.0, 0.2, 0.01)]);
        assert!((8184..8192).contains(&found[0]), "{found:?}");
        assert_eq!(bounds(&[look(-3.0, 0.2, 0.01)]), [1]);
        assert_eq!(
            bounds(&[look(3.0, 1.0, 0.01), look(2.0, 0.0, 0.02)]),
            [4, 4]
        );
        assert_eq!(bounds(&[look(3.0, f64::NAN, 0.01)]).len(), 1);
        assert!(bounds(&[]).is_empty());
    }
}
