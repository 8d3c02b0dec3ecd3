//! How often the API server may be asked: token buckets on this side, so that a thousand Rollouts
//! that change at once are a queue here and no storm there. Aborts have a bucket of their own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest pause that an API server may ask for: a wrong header must not stop the controller.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// So many calls per second, and so many at once after a quiet time.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled_at: Instant,
    not_before: Instant,
}

impl Bucket {
    /// A full bucket. At least one call per second is allowed.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Self {
        let now = Instant::now();
        let burst = f64::from(burst.max(1));
        let state = State {
            tokens: burst,
            filled_at: now,
            not_before: now,
        };
        Self {
            per_second: per_second.max(1.0),
            burst,
            state: Mutex::new(state),
        }
    }

    /// Waits for its turn. Whoever came first goes first.
    pub async fn acquire(&self) {
        let turn = self.reserve(Instant::now());
        tokio::time::sleep_until(turn).await;
    }

    /// Takes a token, if need be one of the future, and says when it may be used.
    fn reserve(&self, now: Instant) -> Instant {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(state.filled_at).as_secs_f64() * self.per_second;
        state.tokens = (state.tokens + gained).min(self.burst) - 1.0;
        state.filled_at = now;
        let debt = (-state.tokens / self.per_second).max(0.0);
        (now + Duration::from_secs_f64(debt)).max(state.not_before)
    }

    /// Nobody goes before `wait` has passed: the API server asked for it.
    pub fn pause(&self, wait: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_before = state.not_before.max(Instant::now() + wait.min(PAUSE_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(bucket: &Bucket, now: Instant, n: usize) -> Vec<u128> {
        (0..n)
            .map(|_| {
                bucket
                    .reserve(now)
                    .saturating_duration_since(now)
                    .as_millis()
            })
            .collect()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let bucket = Bucket::new(10.0, 3);
        let now = Instant::now();
        assert_eq!(waits(&bucket, now, 6), [0, 0, 0, 100, 200, 300]);
        // After the debt is paid one is free again; a long rest fills no more than the burst.
        assert_eq!(
            waits(&bucket, now + Duration::from_millis(400), 2),
            [0, 100]
        );
        assert_eq!(
            waits(&bucket, now + Duration::from_secs(3600), 4),
            [0, 0, 0, 100]
        );
    }

    #[test]
    fn a_pause_holds_everyone_and_ends() {
        let bucket = Bucket::new(10.0, 3);
        bucket.pause(Duration::from_secs(3600));
        let wait = bucket
            .reserve(Instant::now())
            .saturating_duration_since(Instant::now());
        assert!(wait > PAUSE_MAX / 2 && wait <= PAUSE_MAX, "{wait:?}");
    }
}
