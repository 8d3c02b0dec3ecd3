//! E-values for two proportions in blocks: of Turner, Ly and Grünwald (Generic E-variables for exact
//! sequential k-sample tests, arXiv 2106.02693) and of the log odds, as in safestats.
//!
//! The null is "no difference in each block"; there is no tolerance in it.

use super::classical::noncentral_hypergeometric;

/// A block of trials in two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Successes in group a.
    pub ya: f64,
    /// Successes in group b.
    pub yb: f64,
    /// Trials in group a.
    pub na: f64,
    /// Trials in group b.
    pub nb: f64,
}

/// After each block the e-value of bets on the proportions learnt so far, against their pooled
/// mean. The priors of both groups are Beta distributions: `[a1, a2, b1, b2]`, all above 0.
#[must_use]
pub fn beta_e_values(blocks: &[Block], prior: [f64; 4]) -> Vec<f64> {
    let [a1, a2, b1, b2] = prior;
    let mut seen = Block {
        ya: 0.0,
        yb: 0.0,
        na: 0.0,
        nb: 0.0,
    };
    let mut log_e = 0.0;
    blocks
        .iter()
        .map(|block| {
            let a = (a1 + seen.ya) / (a1 + a2 + seen.na);
            let b = (b1 + seen.yb) / (b1 + b2 + seen.nb);
            let trials = block.na + block.nb;
            if trials > 0.0 {
                let null = (block.na * a + block.nb * b) / trials;
                log_e += log_ratio(block.ya, block.na, a, null);
                log_e += log_ratio(block.yb, block.nb, b, null);
            }
            seen = Block {
                ya: seen.ya + block.ya,
                yb: seen.yb + block.yb,
                na: seen.na + block.na,
                nb: seen.nb + block.nb,
            };
            log_e.exp()
        })
        .collect()
}

/// The logarithm of the likelihood of `y` successes out of `n` with chance `p`, to that with `null`.
fn log_ratio(y: f64, n: f64, p: f64, null: f64) -> f64 {
    let part = |count: f64, p: f64, null: f64| {
        if count > 0.0 {
            count * (p / null).ln()
        } else {
            0.0
        }
    };
    part(y, p, null) + part(n - y, 1.0 - p, 1.0 - null)
}

/// After each block the e-value of a normal mixture over log odds ratios, on the points of `grid`,
/// given each block's successes of both groups (Fisher's noncentral hypergeometric distribution).
#[must_use]
pub fn log_odds_e_values(blocks: &[Block], mean: f64, sd: f64, grid: &[f64]) -> Vec<f64> {
    let density = |z: f64| (-((z - mean) / sd).powi(2) / 2.0).exp();
    let all: f64 = grid.iter().map(|z| density(*z)).sum();
    let weights: Vec<f64> = grid.iter().map(|z| density(*z) / all).collect();
    let mut logs = vec![0.0; grid.len()];
    blocks
        .iter()
        .map(|block| {
            let chance = |odds: f64| {
                let (first, chances) =
                    noncentral_hypergeometric(block.na, block.nb, block.ya + block.yb, odds);
                let at = (block.ya - first).max(0.0) as usize;
                chances.get(at).copied().unwrap_or(0.0)
            };
            let null = chance(1.0);
            for (log, z) in logs.iter_mut().zip(grid) {
                *log += (chance(z.exp()) / null).ln();
            }
            let each = weights.iter().zip(&logs);
            each.map(|(w, log)| w * log.exp()).sum()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ya: f64, yb: f64) -> Block {
        Block {
            ya,
            yb,
            na: 1.0,
            nb: 1.0,
        }
    }

    /// After one block that was seen, all outcomes of blocks of 2 and 3: at most 1, for any chance.
    #[test]
    fn nothing_is_gained_under_the_null() {
        let choose = |n: u32, k: u32| {
            (0..k)
                .map(|i| f64::from(n - i) / f64::from(i + 1))
                .product::<f64>()
        };
        for p in [0.01, 0.2, 0.5, 0.9] {
            let mut sum = 0.0;
            for ya in 0..=2_u32 {
                for yb in 0..=3_u32 {
                    let chance = choose(2, ya)
                        * choose(3, yb)
                        * f64::powi(p, (ya + yb).cast_signed())
                        * (1.0_f64 - p).powi((5 - ya - yb).cast_signed());
                    let (ya, yb) = (f64::from(ya), f64::from(yb));
                    let block = Block {
                        ya,
                        yb,
                        na: 2.0,
                        nb: 3.0,
                    };
                    let e = beta_e_values(&[pair(1.0, 0.0), block], [0.18; 4]);
                    sum += chance * e[1] / e[0];
                }
            }
            assert!(sum <= 1.0 + 1e-9, "{p}: {sum}");
        }
    }

    #[test]
    fn the_mixture_of_log_odds_agrees_with_safestats() {
        let grid: Vec<f64> = (0..161).map(|k| f64::from(k) * 0.1 - 8.0).collect();
        let found = log_odds_e_values(&[pair(1.0, 0.0); 5], 0.0, 1.0, &grid);
        let expected = [
            1.0,
            1.173_516_143_432,
            1.520_548_430_297,
            2.105_509_009_062,
            3.057_222_176_663,
        ];
        for (ours, theirs) in found.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-10, "{found:?}");
        }
    }

    #[test]
    fn empty_blocks_say_nothing() {
        let empty = Block {
            ya: 0.0,
            yb: 0.0,
            na: 0.0,
            nb: 0.0,
        };
        assert_eq!(beta_e_values(&[empty], [1.0; 4]), [1.0]);
        assert!((log_odds_e_values(&[empty], 0.0, 1.0, &[-1.0, 1.0])[0] - 1.0).abs() < 1e-12);
    }
}
