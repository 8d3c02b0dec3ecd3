//! Runs on all cores. What comes of a run depends on the seed and its number alone, so the tables
//! are the same however many cores there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::random::Random;

/// How a setting is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// How many for each row.
    pub count: u64,
    /// Of everything.
    pub seed: u64,
}

impl Runs {
    /// A part of them: `1/of`, at least `least`, at most all.
    pub fn part(self, of: u64, least: u64) -> Self {
        let count = (self.count / of).max(least).min(self.count);
        Self { count, ..self }
    }

    /// The runs of the row `row`, in their order. `begin` makes what the runs of one thread share.
    pub fn of<S, T: Send>(
        self,
        row: u64,
        begin: impl Fn() -> S + Sync,
        run: impl Fn(&mut S, Random) -> T + Sync,
    ) -> Vec<T> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicU64::new(0);
        let work = || {
            let mut shared = begin();
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return done;
                }
                let random = Random::new(self.seed, row, number);
                done.push((number, run(&mut shared, random)));
            }
        };
        let mut all: Vec<(u64, T)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let results = workers
                .into_iter()
                .map(|w| w.join().expect("no run panics"));
            results.flatten().collect()
        });
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, result)| result).collect()
    }
}
