//! When a test stakes how much: most of it at the start, the rest later, so that a regression that
//! starts late is not measured against what was won and lost before it (statistics, section 2a step
//! 2, and the sums over start times of Shin, Ramdas and Rinaldo, arXiv 2203.03532).

/// Staked on the first window. A bet loses little while nothing is wrong, if what it looks for is
/// small, and one that looks for much needs little: with half instead, a small regression that
/// starts late is found a little more often and all that are there from the start later.
const START: f64 = 0.7;
/// Staked where later steps begin, if there are any; they are taken from the spread.
const STEPS: f64 = 0.2;
/// A later start every so many windows.
const EVERY: i64 = 4;
/// This part of the spread is kept for the time after the plan: a rollout that is paused for a
/// night must still notice what happens in it.
const KEPT: f64 = 0.1;

/// What is known of the windows to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Windows that are planned.
    horizon: i64,
    /// Indices of the windows with which later steps begin.
    steps: Vec<i64>,
}

impl Schedule {
    /// For steps of so many seconds each, in windows of `window` seconds. Without steps an hour is
    /// assumed.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = i64>, window: i64) -> Self {
        const UNKNOWN_SECONDS: i64 = 3600;
        let window = window.max(1);
        let mut ends = Vec::new();
        let mut total = 0_i64;
        for seconds in steps.into_iter().filter(|s| *s > 0) {
            total = total.saturating_add(seconds);
            ends.push(total / window);
        }
        if total == 0 {
            total = UNKNOWN_SECONDS;
        }
        ends.pop();
        let horizon = (total / window).max(1);
        ends.retain(|k| *k > 0 && *k < horizon);
        ends.dedup();
        Self {
            horizon,
            steps: ends,
        }
    }

    /// What is staked on the window with index `k`, from 0. The sum over all windows is at most 1.
    #[must_use]
    pub fn gamma(&self, k: i64) -> f64 {
        let for_steps = if self.steps.is_empty() { 0.0 } else { STEPS };
        let spread = 1.0 - START - for_steps;
        let later = (self.horizon - 1) / EVERY;
        let kept = if later > 0 { spread * KEPT } else { spread };
        let mut gamma = if k == 0 { START } else { 0.0 };
        if self.steps.contains(&k) {
            gamma += for_steps / self.steps.len() as f64;
        }
        if k > 0 && k < self.horizon && k % EVERY == 0 {
            gamma += (spread - kept) / later as f64;
        }
        // After the plan the stakes become smaller without ever ending: 1/2, 1/6, 1/12, ... of
        // what was kept, so that a start after n more of them costs only ln(n^2).
        let after = k - self.horizon;
        if after >= 0 && after % EVERY == 0 {
            let n = (after / EVERY) as f64;
            gamma += kept / ((n + 1.0) * (n + 2.0));
        }
        gamma
    }
}

/// Everything on the first window: for the test of safety.
#[must_use]
pub fn at_once(k: i64) -> f64 {
    if k == 0 { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(schedule: &Schedule, windows: i64) -> f64 {
        (0..windows).map(|k| schedule.gamma(k)).sum()
    }

    #[test]
    fn all_is_staked_and_no_more() {
        let cases: [(&[i64], i64); 7] = [
            (&[], 15),
            (&[600], 15),
            (&[600, 600, 600], 15),
            (&[15], 15),
            (&[1], 15),
            (&[300, 0, 2_592_000], 5),
            (&[7, 7, 7, 7], 15),
        ];
        for (steps, window) in cases {
            let schedule = Schedule::new(steps.iter().copied(), window);
            let planned = sum(&schedule, schedule.horizon);
            assert!(planned <= 1.0 + 1e-12, "{steps:?}: {planned}");
            let total = sum(&schedule, schedule.horizon + 40_000);
            assert!(total <= 1.0 + 1e-12 && total > 0.999, "{steps:?}: {total}");
            assert!(schedule.gamma(0) >= START);
        }
    }

    #[test]
    fn later_steps_and_the_time_after_the_plan_have_their_stakes() {
        let schedule = Schedule::new([300, 300, 300], 15);
        assert_eq!(schedule.steps, [20, 40]);
        assert!(schedule.gamma(20) > STEPS / 2.0 && schedule.gamma(21).abs() < 1e-12);
        assert!(schedule.gamma(schedule.horizon + 400) > 0.0);
    }
}
