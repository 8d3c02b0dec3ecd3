//! The probability that a release is bad, for people (statistics, section 5).
//!
//! It decides nothing: it rests on a share of bad releases that is only estimated.

/// The share of bad releases where nothing is known of a service.
const SHARE: f64 = 0.05;
/// Releases that this share counts for.
const WEIGHT: f64 = 20.0;

/// The probability that the release is worse than tolerated, from the e-value `e` of a mixture
/// (neither boosted nor started late) and the share `prior` of bad releases among the service's
/// past ones. Both are cut to their range, so the result is always from 0 to 1.
#[must_use]
pub fn bad(e: f64, prior: f64) -> f64 {
    let prior = prior.clamp(0.0, 1.0);
    let odds = prior * e.max(0.0);
    if odds.is_infinite() {
        return 1.0;
    }
    let all = 1.0 - prior + odds;
    // Nothing is left only where a release that is surely bad shows an e-value of 0.
    if all > 0.0 { odds / all } else { prior }
}

/// The share of bad releases among `past` ones of which `bad` were rolled back, drawn towards 5 %
/// as by Beta(1, 19).
#[must_use]
pub fn prior(bad: usize, past: usize) -> f64 {
    (bad as f64 + SHARE * WEIGHT) / (past.max(bad) as f64 + WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_a_probability() {
        for e in [
            0.0,
            1e-300,
            0.5,
            1.0,
            40.0,
            1e300,
            f64::INFINITY,
            -1.0,
            f64::NAN,
        ] {
            for prior in [0.0, 0.05, 0.5, 1.0, 2.0] {
                let p = bad(e, prior);
                assert!((0.0..=1.0).contains(&p), "{e} {prior}: {p}");
            }
        }
        assert!(
            (bad(1.0, 0.05) - 0.05).abs() < 1e-12,
            "nothing seen, nothing learnt"
        );
        assert!((prior(0, 0) - 0.05).abs() < 1e-12);
        assert!((prior(10, 80) - 0.11).abs() < 1e-12);
    }
}
