//! Many rollouts at the same time, on as many threads as one likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// As many as there are processors.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `work` with every number below `count`, so many at a time, and returns what it found, in the
/// order of the numbers.
pub fn in_parallel<T: Send>(
    jobs: usize,
    count: u64,
    work: impl Fn(u64) -> Option<T> + Sync,
) -> Vec<T> {
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    if let Some(one) = work(at) {
                        let mut found = found.lock().unwrap_or_else(|broken| broken.into_inner());
                        found.push((at, one));
                    }
                }
            });
        }
    });
    let mut found = found
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, one)| one).collect()
}
