//! Waiting for a condition, with a deadline. Nothing here sleeps and hopes.

use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest that anything in these tests may take. Far above what it takes on a busy machine:
/// it ends a test that hangs, it is no measure of speed.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// Waits until the condition gives a value.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "after {DEADLINE:?} still not true: {what}"
        );
        sleep(PERIOD).await;
    }
}

/// Waits until the condition holds; `Err` is what is seen instead, and is shown at the deadline.
pub async fn until_ok<T, E: Debug>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => {
                panic!("after {DEADLINE:?} still not true: {what}; seen: {seen:?}")
            }
            Err(_) => sleep(PERIOD).await,
        }
    }
}
