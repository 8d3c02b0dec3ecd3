//! The Mann-Whitney U test (Mann and Whitney 1947), exact and by the normal approximation.
//!
//! For samples that are independent, looked at once. Points of a metric over time are neither:
//! statistics, section 3, has what that costs.

use statrs::function::erf::erfc;

use super::{Alternative, Method};

/// Both samples up to this size make the exact distribution worth its price.
const EXACT_MAX: usize = 8;

/// The statistic with what its distribution depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// Size of the first sample.
    pub n1: usize,
    /// Size of the second.
    pub n2: usize,
    /// Pairs in which the first sample's value is larger, ties counting half.
    pub u1: f64,
    /// How many values there are of each, ascending.
    pub ties: Vec<usize>,
}

impl Ranks {
    /// Ranks two samples; nothing if one is empty or has a value that is no number.
    #[must_use]
    pub fn new(first: &[f64], second: &[f64]) -> Option<Self> {
        let label = |values: &[f64], of_first| {
            let labelled = values.iter().map(move |v| (*v, of_first));
            labelled.collect::<Vec<_>>()
        };
        let mut all = label(first, true);
        all.extend(label(second, false));
        if first.is_empty() || second.is_empty() || all.iter().any(|(v, _)| v.is_nan()) {
            return None;
        }
        all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (mut ranks, mut before, mut ties) = (0.0, 0, Vec::new());
        // Equality as of numbers: 0 and -0 are the same value.
        #[allow(clippy::float_cmp)]
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            let of_first = same.iter().filter(|(_, first)| *first).count();
            let mean_rank = before as f64 + (same.len() + 1) as f64 / 2.0;
            ranks += mean_rank * of_first as f64;
            before += same.len();
            ties.push(same.len());
        }
        let n1 = first.len();
        Some(Self {
            n1,
            n2: second.len(),
            u1: ranks - (n1 * (n1 + 1)) as f64 / 2.0,
            ties,
        })
    }

    /// Whether any value occurs more than once.
    #[must_use]
    pub fn tied(&self) -> bool {
        self.ties.iter().any(|t| *t > 1)
    }

    /// The number of pairs.
    #[must_use]
    pub fn pairs(&self) -> f64 {
        (self.n1 * self.n2) as f64
    }

    /// The standard deviation of `u1` under the null, corrected for ties.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        let n = (self.n1 + self.n2) as f64;
        let cube = |t: &usize| (*t as f64).powi(3) - *t as f64;
        let tied: f64 = self.ties.iter().map(cube).sum();
        (self.pairs() / 12.0 * ((n + 1.0) - tied / (n * (n - 1.0))))
            .max(0.0)
            .sqrt()
    }
}

/// The test as scipy's `mannwhitneyu` has it: `u1` and the p-value, of "the first sample is ...
/// than the second". `continuity` is for the asymptotic method only; the exact one does not know
/// ties. Nothing if a sample is empty or holds what is no number.
#[must_use]
pub fn mann_whitney_u(
    first: &[f64],
    second: &[f64],
    alternative: Alternative,
    method: Method,
    continuity: bool,
) -> Option<(f64, f64)> {
    let ranks = Ranks::new(first, second)?;
    let u2 = ranks.pairs() - ranks.u1;
    let (u, sides) = match alternative {
        Alternative::Greater => (ranks.u1, 1.0),
        Alternative::Less => (u2, 1.0),
        Alternative::TwoSided => (ranks.u1.max(u2), 2.0),
    };
    let exact = match method {
        Method::Exact => true,
        Method::Asymptotic => false,
        Method::Auto => (ranks.n1 <= EXACT_MAX || ranks.n2 <= EXACT_MAX) && !ranks.tied(),
    };
    let upper = if exact {
        let distribution = without_ties(ranks.n1, ranks.n2);
        // The tail from u on; by symmetry it is the one up to the others.
        let others = (ranks.pairs() - u.floor()) as usize;
        distribution.iter().take(others + 1).sum()
    } else {
        let correction = if continuity { 0.5 } else { 0.0 };
        let off = u - ranks.pairs() / 2.0 - correction;
        let deviation = ranks.deviation();
        if deviation > 0.0 {
            above(off / deviation)
        } else {
            1.0
        }
    };
    Some((ranks.u1, (sides * upper).clamp(0.0, 1.0)))
}

/// The standard normal distribution above `z`.
#[must_use]
pub fn above(z: f64) -> f64 {
    erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// The chances of U = 0, 1, ... n1 n2 under the null where no values are tied, by the recursion of
/// Mann and Whitney. Nothing is subtracted in it, so that the smallest chances are exact too.
#[must_use]
pub fn without_ties(n1: usize, n2: usize) -> Vec<f64> {
    let (small, large) = (n1.min(n2), n1.max(n2));
    // row[i]: the distribution for i values of one sample and j of the other.
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; small + 1];
    for j in 1..=large {
        let mut previous = vec![1.0];
        let mut next = vec![previous.clone()];
        for (i, above) in row.iter().enumerate().skip(1) {
            // The largest value is one of the i, and above all j; or it is one of the j.
            let (is_first, is_second) = (i as f64 / (i + j) as f64, j as f64 / (i + j) as f64);
            let mut chances = vec![0.0; i * j + 1];
            for (cell, chance) in chances.iter_mut().skip(j).zip(&previous) {
                *cell += is_first * chance;
            }
            for (cell, chance) in chances.iter_mut().zip(above) {
                *cell += is_second * chance;
            }
            next.push(chances.clone());
            previous = chances;
        }
        row = next;
    }
    row.pop().unwrap_or_default()
}

/// The chances of 2U = 0, 1, ... 2 n1 n2 under the null, given which values are tied (`ties`: how
/// many there are of each, ascending), of all ways to choose the first sample's `n1` among them.
#[must_use]
pub fn with_ties(n1: usize, ties: &[usize]) -> Vec<f64> {
    let n2 = ties.iter().sum::<usize>().saturating_sub(n1);
    let cells = 2 * n1 * n2 + 1;
    // ways[i]: chances of i of the first sample among the values so far, by 2U; not normalised.
    let mut ways: Vec<Vec<f64>> = vec![Vec::new(); n1 + 1];
    if let Some(none) = ways.first_mut() {
        *none = vec![0.0; cells];
        if let Some(zero) = none.first_mut() {
            *zero = 1.0;
        }
    }
    let mut before = 0;
    for group in ties {
        let mut next: Vec<Vec<f64>> = vec![Vec::new(); n1 + 1];
        for (i, chances) in ways.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            let of_second = before - i;
            let mut choose = 1.0;
            for taken in 0..=(*group).min(n1 - i) {
                // Each of those taken exceeds all of the second sample before it, and ties with
                // the rest of its group.
                let gained = taken * (2 * of_second + (group - taken));
                if let Some(into) = next.get_mut(i + taken) {
                    into.resize(cells, 0.0);
                    for (cell, chance) in into.iter_mut().skip(gained).zip(chances) {
                        *cell += choose * chance;
                    }
                }
                choose *= (group - taken) as f64 / (taken + 1) as f64;
            }
        }
        ways = next;
        before += group;
    }
    let chances = ways.pop().unwrap_or_default();
    let all: f64 = chances.iter().sum();
    chances.iter().map(|c| c / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The distribution of 2U by choosing the first sample in all ways.
    fn chosen(values: &[f64], n1: usize) -> Vec<f64> {
        let mut counts = vec![0.0; 2 * n1 * (values.len() - n1) + 1];
        for set in 0_u32..1 << values.len() {
            if set.count_ones() as usize == n1 {
                let part = |of_first: bool| {
                    let all = values.iter().enumerate();
                    let of = all.filter(|(k, _)| (set >> k & 1 == 1) == of_first);
                    of.map(|(_, v)| *v).collect::<Vec<_>>()
                };
                let u = Ranks::new(&part(true), &part(false)).unwrap().u1;
                counts[(2.0 * u) as usize] += 1.0;
            }
        }
        let all: f64 = counts.iter().sum();
        counts.iter().map(|c| c / all).collect()
    }

    proptest! {
        #[test]
        fn the_distributions_are_those_of_all_choices(
            values in prop::collection::vec(0..5_u8, 2..9), n1 in 1..8_usize,
        ) {
            prop_assume!(n1 < values.len());
            let mut sorted: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            sorted.sort_by(f64::total_cmp);
            let ranks = Ranks::new(&sorted[..n1], &sorted[n1..]).unwrap();
            for (ours, counted) in with_ties(n1, &ranks.ties).iter().zip(chosen(&sorted, n1)) {
                prop_assert!((ours - counted).abs() < 1e-12);
            }
            let distinct: Vec<f64> = (0..values.len()).map(|k| k as f64).collect();
            let counted = chosen(&distinct, n1);
            for (u, ours) in without_ties(n1, values.len() - n1).iter().enumerate() {
                prop_assert!((ours - counted[2 * u]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_method_is_chosen_by_size_and_ties() {
        let p = |x: &[f64], y: &[f64], method| {
            let two = Alternative::TwoSided;
            mann_whitney_u(x, y, two, method, true).unwrap().1
        };
        let few = [1.0, 2.0, 3.5];
        let many: Vec<f64> = (0..20).map(|k| f64::from(k) + 0.25).collect();
        let same = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(same(
            p(&few, &many, Method::Auto),
            p(&few, &many, Method::Exact)
        ));
        let tied = [1.25, 2.0, 3.5];
        assert!(same(
            p(&tied, &many, Method::Auto),
            p(&tied, &many, Method::Asymptotic)
        ));
        let half = &many[..9];
        assert!(same(
            p(half, &many[9..], Method::Auto),
            p(half, &many[9..], Method::Asymptotic)
        ));
    }

    #[test]
    fn no_samples_no_test_and_one_value_no_difference() {
        let test = |x: &[f64], y: &[f64], method| {
            mann_whitney_u(x, y, Alternative::Greater, method, false)
        };
        assert_eq!(test(&[], &[1.0], Method::Exact), None);
        assert_eq!(test(&[1.0], &[f64::NAN], Method::Auto), None);
        assert_eq!(
            test(&[1.0, 1.0], &[1.0], Method::Asymptotic),
            Some((1.0, 1.0))
        );
    }
}
