//! The one backoff policy: how long to wait after the first, second, … failure.
//!
//! A [`Retry`] says delays and nothing else; who waits, and on what clock, is the caller's affair.
//! Without jitter it is a pure function of its numbers. The `backoff` crate behind it is named in
//! this file alone, so that another one can take its place.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};

/// Delays that grow by a factor up to a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    initial: Duration,
    max: Duration,
    multiplier: f64,
    jitter: f64,
    tries: Option<u32>,
}

impl Retry {
    /// Waits `initial` after the first failure and `multiplier` times longer after each further
    /// one, at most `max`; without jitter and without an end. A multiplier below 1 counts as 1.
    pub const fn new(initial: Duration, max: Duration, multiplier: f64) -> Retry {
        Retry {
            initial,
            max,
            multiplier: multiplier.max(1.0),
            jitter: 0.0,
            tries: None,
        }
    }

    /// Spreads each delay over ±`share` (0 to 1) of itself, so that those who failed together do
    /// not come back together. The limit still holds.
    pub const fn jitter(mut self, share: f64) -> Retry {
        self.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Ends after `tries` tries, that is after `tries - 1` delays.
    pub const fn tries(mut self, tries: u32) -> Retry {
        self.tries = Some(tries);
        self
    }

    /// The delays one after the other.
    pub fn delays(&self) -> Delays {
        let policy = ExponentialBackoff {
            current_interval: self.initial.min(self.max),
            initial_interval: self.initial.min(self.max),
            randomization_factor: self.jitter,
            multiplier: self.multiplier,
            max_interval: self.max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Delays {
            policy,
            max: self.max,
            left: self.tries.map(|t| t.saturating_sub(1)),
        }
    }

    /// The delay after the `failures`-th failure in a row, counted from 1; 0 waits like 1.
    /// `None` when there are to be no more tries.
    pub fn after(&self, failures: u32) -> Option<Duration> {
        if self.tries.is_some_and(|tries| failures >= tries.max(1)) {
            return None;
        }
        // Past this many doublings every policy has long reached its limit.
        let index = failures.clamp(1, 64) - 1;
        Retry {
            tries: None,
            ..*self
        }
        .delays()
        .nth(index as usize)
    }
}

/// The delays of a [`Retry`].
#[derive(Debug)]
pub struct Delays {
    policy: ExponentialBackoff,
    max: Duration,
    left: Option<u32>,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        let delay = self.policy.next_backoff()?.min(self.max);
        // Whole milliseconds: the crate adds a random part of a nanosecond even without jitter.
        Some(Duration::from_millis(
            delay.as_millis().try_into().unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(retry: Retry, n: usize) -> Vec<u128> {
        retry.delays().take(n).map(|d| d.as_millis()).collect()
    }

    #[test]
    fn delays_grow_to_the_limit_and_are_the_same_every_time() {
        let retry = Retry::new(SECOND, 10 * SECOND, 2.0);
        assert_eq!(millis(retry, 6), [1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(millis(retry, 6), millis(retry, 6));
        assert_eq!(retry.after(0), Some(SECOND));
        assert_eq!(retry.after(3), Some(4 * SECOND));
        assert_eq!(retry.after(u32::MAX), Some(10 * SECOND));
    }

    #[test]
    fn tries_end() {
        let retry = Retry::new(SECOND, 10 * SECOND, 1.0).tries(3);
        assert_eq!(millis(retry, 9), [1000, 1000]);
        assert_eq!(retry.after(2), Some(SECOND));
        assert_eq!(retry.after(3), None);
        assert_eq!(millis(retry.tries(0), 9), Vec::<u128>::new());
        assert_eq!(retry.tries(0).after(1), None);
    }

    #[test]
    fn jitter_spreads_but_keeps_to_the_limit() {
        let retry = Retry::new(10 * SECOND, 12 * SECOND, 1.0).jitter(0.5);
        let seen: Vec<Duration> = retry.delays().take(200).collect();
        assert!(seen.iter().all(|d| (5 * SECOND..=12 * SECOND).contains(d)));
        assert!(seen.iter().any(|d| *d < 9 * SECOND) && seen.iter().any(|d| *d > 11 * SECOND));
    }

    #[test]
    fn an_initial_delay_over_the_limit_and_a_shrinking_factor_do_no_harm() {
        assert_eq!(millis(Retry::new(9 * SECOND, SECOND, 0.1), 2), [1000, 1000]);
    }
}
