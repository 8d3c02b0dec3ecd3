//! How much the stable version varies while it is compared: what its past did not show is noticed
//! here, window by window, and the larger of the two tempers the tests (statistics, section 2f).
//!
//! Drift that both versions share counts too, so it errs on the careful side; what is within chance
//! counts for nothing, or a healthy service would pay for it.

use crate::api::analysis_status::Guard;

/// A pair of windows with fewer bad ones says nothing.
const EVENTS_MIN: f64 = 8.0;
/// So many pairs are needed.
const PAIRS_MIN: i64 = 20;
/// So many standard deviations are within chance.
const CHANCE: f64 = 3.0;

/// Takes a window of the stable version in, of `requests` with `bad` ones.
pub(super) fn note(guard: &mut Guard, requests: f64, bad: f64) {
    let (n, x) = (guard.requests + requests, guard.bad + bad);
    if guard.requests > 0.0 && requests > 0.0 && x >= EVENTS_MIN {
        // Given what both had together, by how much the second differs from its part.
        let share = requests / n;
        let off = bad - x * share;
        guard.pairs += 1;
        guard.squares += off * off / (x * share * (1.0 - share));
    }
    (guard.requests, guard.bad) = (requests, bad);
}

/// The dispersion that was seen; 1 while it is within chance.
pub(super) fn phi(guard: &Guard) -> f64 {
    let n = guard.pairs as f64;
    if guard.pairs < PAIRS_MIN {
        return 1.0;
    }
    let seen = guard.squares / n;
    if seen > 1.0 + CHANCE * (2.0 / n).sqrt() {
        seen
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bad: impl Fn(u32) -> f64) -> f64 {
        let mut guard = Guard::default();
        for k in 0..100 {
            note(&mut guard, 1000.0, bad(k));
        }
        phi(&guard)
    }

    #[test]
    fn what_is_within_chance_counts_for_nothing() {
        // Two values half a standard deviation of Poisson's law from their mean.
        let chance = |k: u32| if k.is_multiple_of(2) { 27.0 } else { 22.0 };
        assert_eq!(after(chance).to_bits(), 1.0_f64.to_bits());
        assert_eq!(after(|_| 25.0).to_bits(), 1.0_f64.to_bits());
        let bursts = after(|k| if k.is_multiple_of(2) { 60.0 } else { 5.0 });
        assert!(bursts > 20.0, "{bursts}");
        let rare = after(|k| if k.is_multiple_of(2) { 3.0 } else { 0.0 });
        assert_eq!(rare.to_bits(), 1.0_f64.to_bits());
    }
}
