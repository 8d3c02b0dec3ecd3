//! Waiting for a condition, with a deadline, and what is left to say when the wait was in vain.
//! Nothing here sleeps and hopes.

use std::any::Any;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest that anything in these tests may take. Far above what it takes on a busy machine:
/// it ends a test that hangs, it is no measure of speed.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at. Most looks are a request to the API server, and several tests
/// wait at the same time.
const PERIOD: Duration = Duration::from_millis(200);

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

/// What a panic said: a table of scenarios shows it in the line of the one that failed.
#[must_use]
pub fn said(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "panicked".to_owned(), |text| (*text).to_owned()),
    }
}
