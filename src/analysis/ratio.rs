//! One ratio: samples in, windows through the tests, a verdict out.
//!
//! Harm must be shown twice over, against the stable version (equation 1 with the relative
//! tolerance) and against a level (section 2e with the absolute tolerance and the floor): the
//! smaller of two e-values is one for "not worse relatively, or not worse absolutely". So an
//! absolute tolerance costs the comparison no power where the stable version has hardly any bad
//! ones. Safety is shown one way or the other; the two ways share the risk of being wrong.
//!
//! The state is in the status; the same samples lead to the same state, in however many answers
//! they come.

mod finding;
mod stable;

pub use finding::{Finding, find};
pub use stable::StableRatio;

use super::effects::{self, Grid};
use super::interval;
use super::plan::{Plan, RatioPlan};
use super::rho::{Bets, Boost, Window};
use super::schedule::{Schedule, at_once};
use super::series::{Age, Answers, DataError, Scrapes};
use crate::api::analysis::RunMode;
use crate::api::analysis_status::{
    Counts, Effect, Evidence, Masses, RatioStatus, Sampler, WindowRecord,
};

/// A judged window is at least this long: shorter ones cost more in the sums than they gain.
const WINDOW_MIN_S: i64 = 15;
/// No answer covers more than this beyond its anchor; a run that is far behind asks several times.
const CHUNK_S: i64 = 600;
/// Where the time between scrapes is not known yet, this is the longest that is reckoned with.
const SCRAPE_UNKNOWN_S: i64 = 60;
/// The gross test's part of a metric's false-abort rate.
const GROSS_SHARE: f64 = 0.1;
/// How often a version that is not good enough may be promoted, for each metric.
pub const UNSAFE_RATE: f64 = 0.05;
/// The part of it that goes to the comparison with stable; the rest goes to the level.
const SAFE_COMPARISON_SHARE: f64 = 0.8;
/// The interval that is shown is wrong this often.
const INTERVAL_RATE: f64 = 0.05;
/// The boost reckons with rare events; above this ratio it is left out.
const BOOST_RATIO_MAX: f64 = 0.1;
/// Windows that are kept for the reader.
const RECORDS_MAX: usize = 12;
/// Rounding of the last digits must not keep a test from deciding that was boosted to the limit.
const ROUNDING: f64 = 1e-9;

/// Which ratio, multiple and level are asked of a version before it gets more traffic, by the
/// weight that a promotion authorises (section 2g: the more traffic, the more must be shown). The
/// levels keep the harm to all requests below about a tenth of a percentage point.
const NEXT_WEIGHTS: [(i32, f64, f64); 4] = [
    (5, 10.0, 0.01),
    (25, 3.0, 0.004),
    (50, 2.0, 0.002),
    (100, 1.5, 0.001),
];

/// What must be shown for the next weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Required {
    /// Fewer than so many times the stable version's bad ones ...
    pub times: f64,
    /// ... or fewer than this above it.
    pub points: f64,
    /// Or a ratio below this, whatever the stable version's.
    pub level: f64,
}

impl RatioPlan {
    /// What must be shown before a promotion to `next_weight`.
    #[must_use]
    pub fn required(&self, next_weight: i32) -> Required {
        let row = NEXT_WEIGHTS
            .iter()
            .find(|(up_to, ..)| next_weight <= *up_to);
        let (_, times, points) = row.copied().unwrap_or((100, 1.5, 0.001));
        let points = points.max(self.absolute);
        Required {
            times: times.max(1.0 + self.relative),
            points,
            level: points.max(self.floor),
        }
    }

    fn alpha_main(&self) -> f64 {
        self.alpha * (1.0 - GROSS_SHARE)
    }

    fn alpha_gross(&self) -> f64 {
        self.alpha * GROSS_SHARE
    }
}

/// What to ask next: the time and how far back, in Unix seconds and seconds.
#[must_use]
pub fn question(plan: &Plan, status: &RatioStatus, now: i64) -> (i64, i64) {
    let sampler = status.sampler.as_ref().filter(|s| s.scrape_seconds > 0);
    let Some(s) = sampler else {
        let since = (now - plan.start).clamp(0, CHUNK_S);
        return (now, since + plan.warmup + 3 * SCRAPE_UNKNOWN_S);
    };
    let base = s.cursor.min(s.gross_cursor);
    let at = now.min(base + CHUNK_S);
    (at, at - base + plan.warmup + 3 * s.scrape_seconds)
}

/// When it is worth asking again, in Unix seconds: when the next short window is over, or a little
/// after the last time, `polled`.
#[must_use]
pub fn next_question(plan: &Plan, status: &RatioStatus, polled: Option<i64>) -> i64 {
    let s = status.sampler.as_ref().filter(|s| s.scrape_seconds > 0);
    let (over, pause) = match s {
        Some(s) => (
            s.gross_cursor + s.scrape_seconds,
            (s.scrape_seconds / 5).clamp(1, 5),
        ),
        None => (plan.start, 2),
    };
    over.max(polled.map_or(i64::MIN, |p| p + pause))
}

/// Takes the answers in. True: there were windows to be looked at.
///
/// # Errors
/// [`DataError`] where the samples cannot be what a ratio is made of; then nothing has changed.
pub fn take(
    plan: &Plan,
    ratio: &RatioPlan,
    status: &mut RatioStatus,
    answers: &Answers,
) -> Result<bool, DataError> {
    let mut s = status.sampler.take().unwrap_or_default();
    let looked = look(plan, ratio, status, &mut s, answers);
    status.sampler = Some(s);
    looked
}

fn look(
    plan: &Plan,
    ratio: &RatioPlan,
    status: &mut RatioStatus,
    s: &mut Sampler,
    answers: &Answers,
) -> Result<bool, DataError> {
    let scrapes = Scrapes::new(answers, s.scrape_seconds.max(1))?;
    let present = scrapes.present();
    s.canary_seen |= present.canary;
    s.stable_seen |= present.stable;
    if s.scrape_seconds == 0 {
        let Some(seconds) = scrapes.interval() else {
            return Ok(false);
        };
        begin(plan, ratio, status, s, seconds);
    }
    let base = s.cursor.min(s.gross_cursor);
    if answers.at - answers.reach + 2 * s.scrape_seconds > base {
        // Asked before the time between scrapes was known: it does not reach back far enough.
        return Ok(true);
    }
    let judge = Judge::new(plan, ratio, s);
    let mut looked = false;
    // In the order of time, so that the state after a window does not depend on how many of them
    // one answer brought.
    while status.harm_shown_at.is_none() {
        let (short, long) = (
            s.gross_cursor + s.scrape_seconds,
            s.cursor + s.window_seconds,
        );
        if !scrapes.ready(short.min(long), s.scrape_seconds) {
            break;
        }
        if short <= long {
            let window = scrapes.window(s.gross_cursor, short, Age::Any);
            judge.gross(status, s, &window, short);
        } else {
            judge.long(status, s, &scrapes, long);
        }
        looked = true;
    }
    status.effect = effect(&s.likelihood, &status.stable);
    Ok(looked)
}

/// `at`, or the next moment of the grid of `step`.
fn up(at: i64, step: i64) -> i64 {
    (at + step - 1).div_euclid(step) * step
}

/// The grid of windows, once the time between scrapes is known.
fn begin(plan: &Plan, ratio: &RatioPlan, status: &mut RatioStatus, s: &mut Sampler, seconds: i64) {
    s.scrape_seconds = seconds;
    s.window_seconds = up(WINDOW_MIN_S, seconds);
    s.gross_cursor = up(plan.start, seconds);
    s.cursor = up(plan.start, s.window_seconds);
    s.first = up(plan.start + plan.warmup, s.window_seconds);
    status.gross.limit = (1.0 / ratio.alpha_gross()).ln();
    status.harm.limit = (1.0 / ratio.alpha_main()).ln();
    status.safe.limit = (1.0 / (UNSAFE_RATE * SAFE_COMPARISON_SHARE)).ln();
}

/// The tests with what they need for this metric.
struct Judge<'a> {
    plan: &'a Plan,
    ratio: &'a RatioPlan,
    required: Required,
    stakes: Schedule,
    gross_stakes: Schedule,
    unknown: Grid,
    safe: Grid,
    level: Grid,
    level_safe: Grid,
}

impl<'a> Judge<'a> {
    fn new(plan: &'a Plan, ratio: &'a RatioPlan, s: &Sampler) -> Self {
        let steps: Vec<i64> = match plan.mode {
            // A run for a step ends with the step.
            RunMode::Step => vec![plan.max_duration],
            RunMode::Background => plan.steps.iter().map(|p| p.seconds).collect(),
        };
        Self {
            plan,
            ratio,
            required: ratio.required(plan.next_weight),
            stakes: Schedule::new(steps.iter().copied(), s.window_seconds),
            gross_stakes: Schedule::new(steps, s.scrape_seconds),
            unknown: Grid::uniform(&effects::UNKNOWN_PLAN),
            safe: Grid::uniform(&effects::SAFE),
            level: Grid::uniform(&effects::LEVEL),
            level_safe: Grid::uniform(&effects::LEVEL_SAFE),
        }
    }

    /// A short window of the gross test: all pods, young or not.
    fn gross(&self, status: &mut RatioStatus, s: &mut Sampler, w: &Window, to: i64) {
        s.gross_cursor = to;
        add(&mut status.canary_all, w.nc, w.xc);
        add(&mut status.stable_all, w.ns, w.xs);
        if w.nc > 0.0 {
            s.last_canary = to;
        }
        if w.ns > 0.0 {
            s.last_stable = to;
        }
        let alpha = self.ratio.alpha_gross();
        let comparison = bets(&self.unknown, alpha);
        let level = bets(&self.level, alpha);
        begun(&mut s.gross, &comparison);
        begun(&mut s.gross_level, &level);
        let stake = self.gross_stakes.gamma(s.gross.windows);
        let against_stable = comparison.step(
            &mut s.gross,
            stake,
            w,
            self.plan.gross_times,
            1.0,
            Boost::Off,
        );
        let p0 = self.plan.gross_level.max(self.ratio.floor);
        let against_level = level.step_level(&mut s.gross_level, stake, w.nc, w.xc, p0);
        status.gross.log = log(against_stable.min(against_level));
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    /// A window of the grid on which versions are judged, or one before the first of them.
    fn long(&self, status: &mut RatioStatus, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let from = s.cursor;
        let grown = scrapes.window(from, to, Age::Grown(self.plan.warmup));
        if from < s.first {
            let all = scrapes.window(from, to, Age::Any);
            s.lead_canary += all.nc;
            s.lead_stable += all.ns;
        } else {
            self.window(status, s, &grown, to);
        }
        stable::remember(&mut s.history, to, grown.ns, grown.xs);
        s.cursor = to;
    }

    /// A judged window: the pods that are no longer young.
    fn window(&self, status: &mut RatioStatus, s: &mut Sampler, w: &Window, to: i64) {
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        if s.deltas.is_empty() {
            let grid = self.effects(s);
            s.deltas = grid.deltas;
            s.weights = grid.weights;
        }
        let stable = StableRatio::of(&s.history, to - s.window_seconds);
        let boost = if stable.estimate <= BOOST_RATIO_MAX {
            Boost::On
        } else {
            Boost::Off
        };

        let before = status.harm.log;
        let grid = Grid {
            deltas: s.deltas.clone(),
            weights: s.weights.clone(),
        };
        let comparison = bets(&grid, self.ratio.alpha_main());
        let level = bets(&self.level, self.ratio.alpha_main());
        begun(&mut s.harm, &comparison);
        begun(&mut s.harm_level, &level);
        let stake = self.stakes.gamma(s.harm.windows);
        let r0 = 1.0 + self.ratio.relative;
        let against_stable = comparison.step(&mut s.harm, stake, w, r0, 1.0, boost);
        let p0 = (stable.upper + self.ratio.absolute).max(self.ratio.floor);
        let against_level = level.step_level(&mut s.harm_level, stake, w.nc, w.xc, p0);
        status.harm.log = log(against_stable.min(against_level));

        let comparison = bets(&self.safe, UNSAFE_RATE * SAFE_COMPARISON_SHARE);
        let level = bets(
            &self.level_safe,
            UNSAFE_RATE * (1.0 - SAFE_COMPARISON_SHARE),
        );
        begun(&mut s.safe, &comparison);
        begun(&mut s.safe_level, &level);
        let stake = at_once(s.safe.windows);
        let r0 = self
            .required
            .times
            .max(1.0 + self.required.points / stable.upper);
        let against_stable = comparison.step(&mut s.safe, stake, w, r0, 1.0, boost);
        let against_level =
            level.step_level(&mut s.safe_level, stake, w.nc, w.xc, self.required.level);
        status.safe = further(
            evidence(against_stable, comparison.alpha),
            evidence(against_level, level.alpha),
        );

        interval::add(&mut s.likelihood, w, 1.0);
        status.windows.push(WindowRecord {
            end: to,
            canary: Counts {
                requests: w.nc,
                bad: w.xc,
            },
            stable: Counts {
                requests: w.ns,
                bad: w.xs,
            },
            log: status.harm.log - before,
        });
        let old = status.windows.len().saturating_sub(RECORDS_MAX);
        status.windows.drain(..old);
        if decides(&status.harm) {
            status.harm_shown_at = Some(to);
        }
    }

    /// What the test of harm looks for, from what came before the first judged window.
    fn effects(&self, s: &Sampler) -> Grid {
        let lead_seconds = (s.first - up(self.plan.start, s.window_seconds)) as f64;
        if s.lead_canary <= 0.0 || s.lead_stable <= 0.0 || lead_seconds <= 0.0 {
            return self.unknown.clone();
        }
        let plan: Vec<(f64, f64)> = match self.plan.mode {
            RunMode::Step => {
                let seconds = (3 * self.plan.min_bake)
                    .max(600)
                    .min(self.plan.max_duration) as f64;
                vec![(
                    s.lead_canary / lead_seconds * seconds,
                    s.lead_stable / s.lead_canary,
                )]
            }
            RunMode::Background => {
                let rate = (s.lead_canary + s.lead_stable) / lead_seconds;
                let steps = self
                    .plan
                    .steps
                    .iter()
                    .filter(|p| (1..100).contains(&p.weight));
                steps
                    .map(|p| {
                        let share = f64::from(p.weight) / 100.0;
                        (rate * share * p.seconds as f64, (1.0 - share) / share)
                    })
                    .collect()
            }
        };
        if plan.iter().all(|(n, _)| *n <= 0.0) {
            return self.unknown.clone();
        }
        let p = StableRatio::of(&s.history, s.first).estimate;
        effects::grid_for(&plan, p, self.ratio.alpha_main())
    }
}

fn bets(grid: &Grid, alpha: f64) -> Bets<'_> {
    Bets {
        deltas: &grid.deltas,
        weights: &grid.weights,
        alpha,
    }
}

fn begun(state: &mut Masses, bets: &Bets<'_>) {
    if state.bets.len() != bets.deltas.len() {
        *state = bets.begin();
    }
}

fn add(counts: &mut Counts, requests: f64, bad: f64) {
    counts.requests += requests;
    counts.bad += bad;
}

/// The smallest normal number stands for less: a logarithm in a status must be a number.
fn log(e: f64) -> f64 {
    e.max(f64::MIN_POSITIVE).ln()
}

fn evidence(e: f64, alpha: f64) -> Evidence {
    Evidence {
        log: log(e),
        limit: (1.0 / alpha).ln(),
    }
}

/// The one that is nearer to its limit.
fn further(a: Evidence, b: Evidence) -> Evidence {
    if b.log - b.limit > a.log - a.limit {
        b
    } else {
        a
    }
}

/// Whether evidence has reached its limit.
#[must_use]
pub fn decides(evidence: &Evidence) -> bool {
    evidence.limit > 0.0 && evidence.log >= evidence.limit - ROUNDING
}

fn effect(likelihood: &[f64], stable: &Counts) -> Option<Effect> {
    let found = interval::interval(likelihood, INTERVAL_RATE)?;
    let ratio = stable.bad / stable.requests.max(1.0);
    Some(Effect {
        times: found.most_likely,
        lower: found.lower,
        upper: found.upper,
        points: (found.most_likely - 1.0) * ratio * 100.0,
    })
}

#[cfg(test)]
mod tests;
