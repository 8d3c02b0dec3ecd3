//! The Dirichlet-multinomial test of Lindon and Malek (Anytime-Valid Inference for Multinomial
//! Count Data, NeurIPS 2022, arXiv 2011.03567), as in savvi 0.3.1.
//!
//! The shares of the null must stay the same all the time: with a split that changes it does not
//! hold.

use statrs::function::gamma::ln_gamma;

/// After each batch of counts, the logarithm of the Bayes factor against the shares `theta0`, with
/// a Dirichlet prior of concentration `k` times `theta0` (all above 0; the shares sum to 1).
/// Batches have the length of `theta0`. It may be looked at after each.
#[must_use]
pub fn log_bayes_factors(theta0: &[f64], k: f64, batches: &[Vec<f64>]) -> Vec<f64> {
    let prior: Vec<f64> = theta0.iter().map(|t| k * t).collect();
    let concentration: f64 = prior.iter().sum();
    let mut counts = vec![0.0; theta0.len()];
    batches
        .iter()
        .map(|batch| {
            for (count, more) in counts.iter_mut().zip(batch) {
                *count += more;
            }
            let all: f64 = counts.iter().sum();
            let each = counts.iter().zip(&prior).zip(theta0);
            let gained = each
                .filter(|((count, _), _)| **count > 0.0)
                .map(|((n, a), t)| ln_gamma(a + n) - ln_gamma(*a) - n * t.ln());
            gained.sum::<f64>() - (ln_gamma(concentration + all) - ln_gamma(concentration))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two categories, three events: the expectation over all counts is 1.
    #[test]
    fn nothing_is_gained_under_the_null() {
        let (theta, n) = ([0.3, 0.7], 12_u32);
        let mut chance = 0.7_f64.powi(12);
        let mut sum = 0.0;
        for x in 0..=n {
            let batch = vec![f64::from(x), f64::from(n - x)];
            sum += chance * log_bayes_factors(&theta, 10.0, &[batch])[0].exp();
            chance *= f64::from(n - x) / f64::from(x + 1) * 3.0 / 7.0;
        }
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn batches_add_up() {
        let one = log_bayes_factors(&[0.5, 0.5], 4.0, &[vec![3.0, 5.0]]);
        let two = log_bayes_factors(&[0.5, 0.5], 4.0, &[vec![3.0, 0.0], vec![0.0, 5.0]]);
        assert!((one[0] - two[1]).abs() < 1e-12);
        let none = log_bayes_factors(&[0.5, 0.5], 4.0, &[vec![0.0, 0.0]]);
        assert!(none[0].abs() < 1e-12);
        let impossible = log_bayes_factors(&[1.0, 0.0], 4.0, &[vec![0.0, 1.0]]);
        assert!(impossible[0] > 1e9 || impossible[0].is_nan());
    }
}
