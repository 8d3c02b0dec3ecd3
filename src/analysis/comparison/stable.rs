//! What is known of the stable version's ratio: its last half hour.

use statrs::function::beta::inv_beta_reg;

use crate::api::analysis_status::Stretch;

/// The stable version's ratio is reckoned from so many stretches of five minutes.
const HISTORY_STRETCHES: i64 = 6;
/// Length of a stretch.
const STRETCH_S: i64 = 300;
/// With fewer bad ones than this the stable ratio's upper bound is taken, not its estimate.
const HISTORY_EVENTS_MIN: f64 = 20.0;
/// How sure the upper bound is.
const HISTORY_BOUND: f64 = 0.9;

/// The stable version's ratio, from what was known before the window that is judged with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StableRatio {
    /// Most likely.
    pub estimate: f64,
    /// The estimate, or where there are few bad ones its upper bound, so that a margin made of it
    /// errs on the careful side.
    pub upper: f64,
}

impl StableRatio {
    /// From the half hour before `until`.
    #[must_use]
    pub fn of(history: &[Stretch], until: i64) -> Self {
        let from = until.div_euclid(STRETCH_S) - HISTORY_STRETCHES;
        let recent = history.iter().filter(|s| s.number > from);
        let (n, x) = recent.fold((0.0, 0.0), |(n, x), s| (n + s.requests, x + s.bad));
        let estimate = (x + 0.5) / (n + 1.0);
        let upper = if x >= HISTORY_EVENTS_MIN {
            estimate
        } else if x >= n {
            1.0
        } else {
            inv_beta_reg(x + 1.0, n - x, HISTORY_BOUND)
        };
        Self {
            estimate,
            upper: upper.clamp(1e-6, 1.0),
        }
    }
}

/// Adds a window of the stable version that ended at `end`.
pub(super) fn remember(history: &mut Vec<Stretch>, end: i64, requests: f64, bad: f64) {
    // The window lies in the stretch of its last second.
    let number = (end - 1).div_euclid(STRETCH_S);
    match history.last_mut() {
        Some(last) if last.number == number => {
            last.requests += requests;
            last.bad += bad;
        }
        _ => history.push(Stretch {
            number,
            requests,
            bad,
        }),
    }
    history.retain(|s| s.number > number - HISTORY_STRETCHES - 1);
}
