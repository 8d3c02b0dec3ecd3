//! Exact tests of counts, for one look: binomial, Fisher's, and of two Poisson rates.
//!
//! Whoever looks at them again and again finds something. In a rollout only e-values may be.

use statrs::function::beta::checked_beta_reg;

use super::Alternative;

/// Two outcomes are equally likely if they differ by less than this part; their chances come from
/// long products.
const SAME: f64 = 1e-7;
/// More outcomes than this are not enumerated.
const OUTCOMES_MAX: f64 = 1e7;

/// The p-value of `x` successes out of `n`, whole numbers, against the chance `p`; two-sided it is
/// the chance of all that is at most as likely (as scipy's `binomtest`). Nothing where they cannot
/// be such numbers.
#[must_use]
pub fn binomial_test(x: f64, n: f64, p: f64, alternative: Alternative) -> Option<f64> {
    let possible = x >= 0.0 && x <= n && n.is_finite() && (0.0..=1.0).contains(&p);
    if !possible {
        return None;
    }
    match alternative {
        Alternative::Greater => at_least(x, n, p),
        // At most x successes are at least n - x failures.
        Alternative::Less => at_least(n - x, n, 1.0 - p),
        Alternative::TwoSided => {
            let odds = p / (1.0 - p);
            let ratio = |k: f64| (n - k) / (k + 1.0) * odds;
            if p <= 0.0 || p >= 1.0 {
                let sure = if p <= 0.0 { 0.0 } else { n };
                return Some(if (x - sure).abs() < 0.5 { 1.0 } else { 0.0 });
            }
            at_most_as_likely(&chances(0.0, n, ratio), x)
        }
    }
}

/// The chance of at least `x` successes out of `n`.
fn at_least(x: f64, n: f64, p: f64) -> Option<f64> {
    if x <= 0.0 {
        return Some(1.0);
    }
    checked_beta_reg(x, n - x + 1.0, p).ok()
}

/// Fisher's exact test of the table `[[a, b], [c, d]]` of whole numbers: the p-value of "the first
/// column is more (less) likely in the first row"; two-sided, of all tables that are at most as
/// likely. 1 where a row or a column is empty, nothing where a number is negative.
#[must_use]
pub fn fisher_exact(table: [[f64; 2]; 2], alternative: Alternative) -> Option<f64> {
    let [[a, b], [c, d]] = table;
    if ![a, b, c, d].iter().all(|n| *n >= 0.0 && n.is_finite()) {
        return None;
    }
    let (first, chances) = noncentral_hypergeometric(a + b, c + d, a + c, 1.0);
    let at = (a - first).max(0.0) as usize;
    let p = match alternative {
        Alternative::Less => chances.iter().take(at + 1).sum(),
        Alternative::Greater => chances.iter().skip(at).rev().sum(),
        Alternative::TwoSided => at_most_as_likely(&chances, at as f64)?,
    };
    (!chances.is_empty()).then(|| f64::min(p, 1.0))
}

/// The p-value of `xc` events in the exposure `nc` against `xs` in `ns`: given their sum, they are
/// binomial if the rates are the same. Nothing without exposure.
#[must_use]
pub fn poisson_conditional(
    xc: f64,
    nc: f64,
    xs: f64,
    ns: f64,
    alternative: Alternative,
) -> Option<f64> {
    binomial_test(xc, xc + xs, nc / (nc + ns), alternative)
}

/// Fisher's noncentral hypergeometric distribution: of `total` successes among `na` and `nb`
/// trials, the chances of those among the first, when their odds are `odds` times those among the
/// second (above 0). Whole numbers. The smallest count, and the chances from there; none where there
/// are no such numbers, or more than ten million counts.
#[must_use]
pub fn noncentral_hypergeometric(na: f64, nb: f64, total: f64, odds: f64) -> (f64, Vec<f64>) {
    let first = (total - nb).max(0.0);
    let last = na.min(total);
    let ratio = |k: f64| (na - k) * (total - k) / ((k + 1.0) * (nb - total + k + 1.0)) * odds;
    (first, chances(first, last, ratio))
}

/// The chances of `first` to `last`, given how many times more likely each is than the one before,
/// which must fall. They are computed from the most likely one, and their sum is 1: no error of a
/// large factorial is left.
fn chances(first: f64, last: f64, ratio: impl Fn(f64) -> f64) -> Vec<f64> {
    let possible = last >= first && last - first < OUTCOMES_MAX;
    if !possible {
        return Vec::new();
    }
    // The most likely: the first that is not less likely than the next.
    let (mut mode, mut end) = (first, last);
    while mode < end {
        let middle = (f64::midpoint(mode, end)).floor();
        if ratio(middle) > 1.0 {
            mode = middle + 1.0;
        } else {
            end = middle;
        }
    }
    let mut found = Vec::new();
    let (mut k, mut chance) = (mode, 1.0);
    while k > first {
        k -= 1.0;
        chance /= ratio(k);
        found.push(chance);
    }
    found.reverse();
    (k, chance) = (mode, 1.0);
    found.push(chance);
    while k < last {
        chance *= ratio(k);
        k += 1.0;
        found.push(chance);
    }
    let all: f64 = found.iter().sum();
    found.iter().map(|c| c / all).collect()
}

/// The chance of all that is at most as likely as the outcome `at`.
fn at_most_as_likely(chances: &[f64], at: f64) -> Option<f64> {
    let limit = chances.get(at as usize)? * (1.0 + SAME);
    let rare: f64 = chances.iter().filter(|c| **c <= limit).sum();
    Some(rare.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Alternative::{Greater, Less, TwoSided};

    fn choose(n: u32, k: u32) -> f64 {
        (0..k)
            .map(|i| f64::from(n - i) / f64::from(i + 1))
            .product()
    }

    #[test]
    fn tails_are_those_of_enumeration() {
        let (n, p) = (17_u32, 0.3_f64);
        let chance =
            |k: u32| choose(n, k) * p.powi(k.cast_signed()) * (1.0 - p).powi((n - k).cast_signed());
        for x in 0..=n {
            let lower: f64 = (0..=x).map(chance).sum();
            let upper: f64 = (x..=n).map(chance).sum();
            let both: f64 = (0..=n)
                .map(chance)
                .filter(|c| *c <= chance(x) * 1.000_000_1)
                .sum();
            for (alternative, expected) in [(Less, lower), (Greater, upper), (TwoSided, both)] {
                let found = binomial_test(x.into(), n.into(), p, alternative).unwrap();
                assert!((found - expected).abs() < 1e-12, "{x} {alternative:?}");
            }
        }
    }

    #[test]
    fn tables_are_those_of_enumeration() {
        let (a, b, c, d) = (3_u32, 5_u32, 8_u32, 2_u32);
        let all = choose(18, 11);
        let chance = |k: u32| choose(8, k) * choose(10, 11 - k) / all;
        let table = [[a, b], [c, d]].map(|row| row.map(f64::from));
        let upper: f64 = (a..=8).map(chance).sum();
        assert!((fisher_exact(table, Greater).unwrap() - upper).abs() < 1e-12);
        let lower: f64 = (1..=a).map(chance).sum();
        assert!((fisher_exact(table, Less).unwrap() - lower).abs() < 1e-12);
    }

    #[test]
    fn edges() {
        assert_eq!(binomial_test(0.0, 0.0, 0.5, TwoSided), Some(1.0));
        assert_eq!(binomial_test(0.0, 5.0, 0.0, TwoSided), Some(1.0));
        assert_eq!(binomial_test(1.0, 5.0, 0.0, TwoSided), Some(0.0));
        assert_eq!(binomial_test(5.0, 5.0, 1.0, Greater), Some(1.0));
        assert_eq!(binomial_test(6.0, 5.0, 0.5, Greater), None);
        assert_eq!(binomial_test(1.0, 5.0, f64::NAN, Less), None);
        assert_eq!(fisher_exact([[0.0, 0.0], [3.0, 4.0]], TwoSided), Some(1.0));
        assert_eq!(fisher_exact([[-1.0, 0.0], [3.0, 4.0]], TwoSided), None);
        assert_eq!(poisson_conditional(1.0, 0.0, 1.0, 0.0, Greater), None);
        assert_eq!(
            poisson_conditional(0.0, 10.0, 0.0, 10.0, Greater),
            Some(1.0)
        );
        assert_eq!(binomial_test(5.0, 1e12, 1e-12, TwoSided), None);
        assert_eq!(fisher_exact([[1e12; 2]; 2], Less), None);
        assert!(noncentral_hypergeometric(1.0, 1.0, 3.0, 1.0).1.is_empty());
        let (first, chances) = noncentral_hypergeometric(3.0, 2.0, 4.0, 1.0);
        assert!((first - 2.0).abs() < 1e-12 && chances.len() == 2);
        // Large tables neither overflow nor lose their digits.
        let large = fisher_exact([[600.0, 99_400.0], [500.0, 99_500.0]], TwoSided).unwrap();
        assert!((large - 0.002_5).abs() < 0.000_5, "{large}");
    }
}
