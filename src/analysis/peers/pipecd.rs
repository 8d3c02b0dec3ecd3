//! The Mann-Whitney test of PipeCD (pipe-cd/pipecd 7e228592, plugin analysis, package mannwhitney).
//!
//! It is exact where samples are small, with ties too. PipeCD asks it again and again at 5 %.

use super::mann_whitney::{Ranks, above, with_ties, without_ties};

/// The largest sample for which it is exact.
const EXACT_MAX: usize = 50;
/// The same where values are tied.
const TIED_EXACT_MAX: usize = 25;

/// The statistic and its p-values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Pairs in which the first sample's value is larger, ties counting half.
    pub u1: f64,
    /// The p-value of "the first sample is smaller".
    pub less: f64,
    /// Of "they differ". Where values are tied, exactly: twice the lower tail of the smaller U,
    /// though the distribution is then not symmetric.
    pub two_sided: f64,
    /// Of "the first sample is larger".
    pub greater: f64,
}

/// The test. Nothing if a sample is empty, all values are the same, or one is no number.
#[must_use]
pub fn test(first: &[f64], second: &[f64]) -> Option<Outcome> {
    let ranks = Ranks::new(first, second)?;
    if ranks.ties.len() < 2 {
        return None;
    }
    let limit = if ranks.tied() {
        TIED_EXACT_MAX
    } else {
        EXACT_MAX
    };
    let (less, two_sided, greater) = if ranks.n1 <= limit && ranks.n2 <= limit {
        exact(&ranks)
    } else {
        asymptotic(&ranks)
    };
    Some(Outcome {
        u1: ranks.u1,
        less,
        two_sided,
        greater,
    })
}

fn exact(ranks: &Ranks) -> (f64, f64, f64) {
    // Halves of U, so that ties have cells too.
    let (chances, per_cell) = if ranks.tied() {
        (with_ties(ranks.n1, &ranks.ties), 2.0)
    } else {
        (without_ties(ranks.n1, ranks.n2), 1.0)
    };
    // Whichever tail is smaller is summed.
    let upto = |u: f64| {
        let cells = ((u * per_cell).floor() + 1.0).max(0.0) as usize;
        let below: f64 = chances.iter().take(cells).sum();
        let rest: f64 = chances.iter().skip(cells).rev().sum();
        if below <= rest { below } else { 1.0 - rest }
    };
    let from = |u: f64| {
        let cells = ((u * per_cell).floor() + 1.0).max(0.0) as usize;
        let rest: f64 = chances.iter().skip(cells).rev().sum();
        rest.min(1.0)
    };
    let u2 = ranks.pairs() - ranks.u1;
    let two_sided = if (ranks.u1 - u2).abs() < 0.25 {
        1.0
    } else {
        2.0 * upto(ranks.u1.min(u2))
    };
    (upto(ranks.u1), two_sided, from(ranks.u1 - 1.0))
}

fn asymptotic(ranks: &Ranks) -> (f64, f64, f64) {
    let off = ranks.u1 - ranks.pairs() / 2.0;
    let deviation = ranks.deviation();
    // By half a pair towards the middle; from the middle itself, nowhere.
    let toward = if off > 0.0 { off - 0.5 } else { off + 0.5 };
    let z = if off.abs() > 0.0 {
        toward / deviation
    } else {
        0.0
    };
    let two_sided = 2.0 * above(z).min(above(-z));
    let less = above(-(off + 0.5) / deviation);
    let greater = above((off - 0.5) / deviation);
    (less, two_sided, greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(x1: &[f64], x2: &[f64], expected: [f64; 4]) {
        let found = test(x1, x2).unwrap();
        let found = [found.u1, found.less, found.two_sided, found.greater];
        for (ours, theirs) in found.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-9, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn it_agrees_with_its_published_cases() {
        let (one, three) = ([2.0, 1.0, 3.0, 5.0], [0.0, 4.0, 6.0, 7.0]);
        let (two, ones) = ([12.0, 11.0, 13.0, 15.0], [1.0; 5]);
        check(&two, &one, [16.0, 1.0, 1.0 / 35.0, 1.0 / 70.0]);
        check(&one, &three, [5.0, 17.0 / 70.0, 34.0 / 70.0, 58.0 / 70.0]);
        check(&one, &one, [8.0, 44.0 / 70.0, 1.0, 44.0 / 70.0]);
        check(
            &one,
            &[2.0; 4],
            [10.0, 60.0 / 70.0, 50.0 / 70.0, 25.0 / 70.0],
        );
        check(&one, &ones, [17.5, 1.0, 0.0, 6.0 / 126.0]);
        let even: Vec<f64> = (0..500).map(|k| f64::from(k) * 2.0).collect();
        check(&even, &even, [125_000.0, 0.500_043_680, 1.0, 0.500_043_680]);
    }

    #[test]
    fn nothing_to_compare() {
        assert_eq!(test(&[], &[1.0]), None);
        assert_eq!(test(&[2.0, 2.0], &[2.0]), None);
        assert_eq!(test(&[2.0; 60], &[2.0; 60]), None);
        assert_eq!(test(&[f64::NAN], &[2.0]), None);
    }
}
