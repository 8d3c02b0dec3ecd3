//! What is known of the stable version's ratio: its last half hour, and the hours before that were
//! read for the differences between its pods.

use statrs::function::beta::inv_beta_reg;

use super::levels::entropy;
use super::{bets, limit};
use crate::analysis::effects::{self, Grid};
use crate::analysis::level::{self, Law};
use crate::api::analysis_status::{Calibration, Counts, Stretch};

/// The stable version's ratio is reckoned from so many stretches of five minutes.
const HISTORY_STRETCHES: i64 = 6;
/// Length of a stretch.
const STRETCH_S: i64 = 300;
/// With fewer bad ones than this the stable ratio's upper bound is taken, not its estimate.
const HISTORY_EVENTS_MIN: f64 = 20.0;
/// How sure the upper bound is.
const HISTORY_BOUND: f64 = 0.9;
/// The half hour contradicts the hours before where it had no more than this chance after them.
const CONTRADICTION: f64 = 0.01;

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
    /// From the half hour before `until`, and from the hours before it where that has too few bad
    /// ones to say much and does not contradict them: what changed lately counts alone.
    #[must_use]
    pub fn of(history: &[Stretch], before: Option<&Calibration>, until: i64) -> Self {
        let from = until.div_euclid(STRETCH_S) - HISTORY_STRETCHES;
        let recent = history.iter().filter(|s| s.number > from);
        let (mut n, mut x) = recent.fold((0.0, 0.0), |(n, x), s| (n + s.requests, x + s.bad));
        let known = before.filter(|b| b.requests > 0.0 && x < HISTORY_EVENTS_MIN);
        if let Some(before) = known {
            let ratio = (before.bad + 0.5) / (before.requests + 1.0);
            let off = if n > 0.0 {
                n * entropy(Law::Poisson, x / n, ratio)
            } else {
                0.0
            };
            if off <= limit(CONTRADICTION) {
                n += before.requests;
                x += before.bad;
            }
        }
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

/// Whether the stable version's ratio is above `ratio`, wrong with a chance of at most `risk` however
/// often it is asked while `all` grows: the one-sample test of [`level`], whose null is a fixed ratio,
/// with everything bet at once, so that its e-value follows from the sums. `phi` tempers it.
pub(super) fn surely_above(ratio: f64, all: &Counts, phi: f64, risk: f64) -> bool {
    let grid = Grid::uniform(&effects::LEVEL);
    let mut state = bets(&grid, risk).begin();
    state.cash = 0.0;
    for (mass, delta) in state.bets.iter_mut().zip(&grid.deltas) {
        let log = level::log_increment(all.requests, all.bad, ratio, *delta);
        *mass = (log / phi).exp();
    }
    bets(&grid, risk).worth(&state) >= 1.0 / risk
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

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(requests: f64, bad: f64) -> Vec<Stretch> {
        vec![Stretch {
            number: 10,
            requests,
            bad,
        }]
    }

    fn hours(requests: f64, bad: f64) -> Calibration {
        Calibration {
            requests,
            bad,
            ..Calibration::default()
        }
    }

    #[test]
    fn the_hours_before_count_while_nothing_contradicts_them() {
        let of = |recent: &[Stretch], hours: &Calibration| {
            StableRatio::of(recent, Some(hours), 11 * STRETCH_S)
        };
        let close = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
        };
        // Two in the half hour: 0.02 % alone would be as much as 0.053 %.
        let rare = recent(1e4, 2.0);
        let alone = StableRatio::of(&rare, None, 11 * STRETCH_S);
        assert!(alone.upper > 5e-4, "{alone:?}");
        close(of(&rare, &hours(1.2e5, 12.0)).estimate, 14.5 / 1.3e5);
        close(of(&rare, &hours(1.2e6, 240.0)).upper, 2e-4);
        // Twenty of them speak for themselves, and so does a change.
        close(
            of(&recent(1e4, 25.0), &hours(1.2e5, 12.0)).estimate,
            25.5 / 1e4,
        );
        close(
            of(&recent(1e4, 9.0), &hours(1.2e5, 12.0)).estimate,
            9.5 / 1e4,
        );
        close(
            of(&recent(1e4, 2.0), &hours(1.2e5, 1200.0)).estimate,
            2.5 / 1e4,
        );
        // Nothing at all in the half hour, or nothing known before it.
        close(of(&[], &hours(1.2e5, 120.0)).estimate, 1e-3);
        assert_eq!(of(&rare, &hours(0.0, 0.0)), alone);
    }

    /// Of all ways in which a few requests may go, looked at after each of them.
    #[test]
    fn being_sure_is_wrong_no_more_often_than_it_may_be() {
        const RATIO: f64 = 0.1;
        let (risk, mut wrong) = (0.05, 0.0);
        // Chances of each number of bad ones among those that were never sure.
        let mut chances = vec![1.0];
        for n in 1..=200_u32 {
            let mut next = vec![0.0; chances.len() + 1];
            for (x, chance) in chances.iter().enumerate() {
                next[x] += chance * (1.0 - RATIO);
                next[x + 1] += chance * RATIO;
            }
            for (x, chance) in next.iter_mut().enumerate() {
                let all = Counts {
                    requests: f64::from(n),
                    bad: x as f64,
                };
                if surely_above(RATIO, &all, 1.0, risk) {
                    wrong += *chance;
                    *chance = 0.0;
                }
            }
            chances = next;
        }
        assert!(wrong <= risk && wrong > risk / 5.0, "{wrong}");
        let surely = |requests, bad| surely_above(0.005, &Counts { requests, bad }, 1.0, 0.0018);
        assert!(surely(6000.0, 60.0) && !surely(6000.0, 30.0) && !surely(0.0, 0.0));
    }
}
