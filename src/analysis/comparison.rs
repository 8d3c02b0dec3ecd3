//! One comparison: samples in, windows through the tests, a verdict out.
//!
//! How the windows are judged is one of the [`Judge`]s: `concurrent` counts while both versions have
//! traffic, `history` where the stable version has none any more, `fixed` against a level that was
//! asked for, `one_look` as Kayenta does.
//!
//! The state is in the status; the same samples lead to the same state, in however many answers
//! they come.

mod calibration;
mod concurrent;
mod finding;
mod fixed;
mod gauge;
mod guard;
mod history;
mod latency;
mod levels;
mod limits;
mod one_look;
mod presence;
mod split;
mod stable;
mod thinning;
mod wording;

pub use calibration::{Past, calibrate, wanted, without};
pub(super) use concurrent::SAFE_COMPARISON_SHARE;
pub use concurrent::asks_for_level;
pub use finding::{Finding, find};
pub(super) use gauge::ruled_out as gauge_ruled_out;
pub(super) use latency::{
    OBJECTIVE_SHARE as LATENCY_OBJECTIVE_SHARE, Stable as StableLatencies,
    ruled_out as slowdown_ruled_out,
};
pub(super) use levels::entropy;
pub use limits::decides;
pub use stable::StableRatio;

use concurrent::Concurrent;
use fixed::Fixed;
use gauge::Gauge;
use history::History;
use latency::Latency;
use limits::{evidence, further, limit, log, nearer_to_zero};
use one_look::OneLook;

use super::effects::Grid;
use super::interval;
use super::level::Law;
use super::native;
use super::plan::{Arms, ComparisonPlan, Measure, Plan, Version};
use super::rho::{Bets, Window};
use super::schedule::Schedule;
use super::scrapes::{Age, Needs, Observed, Scrapes, common_bounds};
use super::series::{Answers, DataError};
use crate::api::analysis::{Reference, RunMode};
use crate::api::analysis_status::{Comparison, Counts, Effect, Masses, Sampler, WindowRecord};

/// A judged window is at least this long: shorter ones cost more in the sums than they gain.
pub const WINDOW_MIN_S: i64 = 15;
/// No answer covers more than this beyond its anchor; a run that is far behind asks several times.
const CHUNK_S: i64 = 600;
/// Where the time between scrapes is not known yet, this is the longest that is reckoned with.
const SCRAPE_UNKNOWN_S: i64 = 60;
/// The gross test's part of a metric's false-abort rate.
const GROSS_SHARE: f64 = 0.1;
/// How often a version that is not good enough may be promoted, for each metric.
pub const UNSAFE_RATE: f64 = 0.05;
/// Windows that are kept for the reader.
const RECORDS_MAX: usize = 12;

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

impl ComparisonPlan {
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

    /// The part of the rate that the main test of harm has; the rest is the gross test's.
    pub(super) fn alpha_main(&self) -> f64 {
        self.alpha * (1.0 - GROSS_SHARE)
    }

    /// 1 where more of it is harm, -1 where less is.
    pub(super) fn worse(&self) -> f64 {
        if self.measure.fewer_is_harm() {
            -1.0
        } else {
            1.0
        }
    }

    /// A multiple of the stable version's on the bad side of it: `times` at least 1.
    pub(super) fn worse_by(&self, times: f64) -> f64 {
        if self.measure.fewer_is_harm() {
            1.0 / times
        } else {
            times
        }
    }

    /// What is still tolerated, as a multiple of the stable version's.
    fn tolerated(&self) -> f64 {
        1.0 + self.worse() * self.relative
    }

    pub(super) fn law(&self) -> Law {
        match self.measure {
            Measure::Ratio { .. } => Law::Bernoulli,
            _ => Law::Poisson,
        }
    }

    fn alpha_gross(&self) -> f64 {
        self.alpha * GROSS_SHARE
    }
}

/// What to ask next: the time and how far back, in Unix seconds and seconds.
#[must_use]
pub fn question(plan: &Plan, status: &Comparison, now: i64) -> (i64, i64) {
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
pub fn next_question(plan: &Plan, status: &Comparison, polled: Option<i64>) -> i64 {
    let s = status.sampler.as_ref().filter(|s| s.scrape_seconds > 0);
    let (over, pause) = match s {
        Some(s) => (
            // The long windows begin earlier where an hour before is read first.
            (s.gross_cursor + s.scrape_seconds).min(s.cursor + s.window_seconds),
            (s.scrape_seconds / 5).clamp(1, 5),
        ),
        None => (plan.start, 2),
    };
    over.max(polled.map_or(i64::MIN, |p| p + pause))
}

/// What came of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// There was no window yet to be looked at.
    Nothing,
    /// There were windows.
    Windows,
    /// There are windows, but the answers do not reach back to them: ask again.
    TooShort,
}

/// Takes the answers in.
///
/// # Errors
/// [`DataError`] where the samples cannot be what a ratio is made of; then nothing has changed.
pub fn take(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &mut Comparison,
    answers: &Answers,
) -> Result<Looked, DataError> {
    let mut s = status.sampler.take().unwrap_or_default();
    let looked = look(plan, compared, status, &mut s, answers);
    status.sampler = Some(s);
    looked
}

fn look(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &mut Comparison,
    s: &mut Sampler,
    answers: &Answers,
) -> Result<Looked, DataError> {
    let buckets = native::largest(answers).max(s.histogram_buckets);
    let objective = compared.measure.objective().map(|o| o.bound);
    let answers = native::classic(answers, &s.bounds, objective)?;
    let answers = answers.as_ref();
    s.histogram_buckets = buckets;
    if matches!(compared.measure, Measure::Histogram { .. }) && s.bounds.is_empty() {
        let needs = judge(plan, compared, s).needs();
        let Some(bounds) = common_bounds(answers, needs)? else {
            s.canary_seen |= answers.selected.iter().any(|arms| !arms.canary.is_empty());
            s.stable_seen |= answers.selected.iter().any(|arms| !arms.stable.is_empty());
            return Ok(Looked::Nothing);
        };
        s.bounds = thinning::of_run(plan, compared, bounds);
    }
    let mut bounds = s.bounds.clone();
    bounds.push(f64::INFINITY);
    let names: Vec<&'static str> = compared
        .measure
        .selectors()
        .into_iter()
        .map(|n| n.0)
        .collect();
    let reading = compared.measure.reading(&bounds);
    let scrapes = Scrapes::new(answers, reading, &names, s.scrape_seconds.max(1))?;
    let present = scrapes.present();
    s.canary_seen |= present.canary;
    s.stable_seen |= present.stable;
    let mut judge = judge(plan, compared, s);
    if s.scrape_seconds == 0 {
        let Some(seconds) = scrapes.interval(judge.needs()) else {
            return Ok(Looked::Nothing);
        };
        grid(plan, s, seconds);
        let targets = scrapes.targets(Version::Stable, i64::MIN / 2000, answers.at, Age::Any);
        s.stable_targets = i64::try_from(targets).unwrap_or(i64::MAX);
        judge = self::judge(plan, compared, s);
        judge.begin(status, s);
        if wanted(plan, compared, s).is_some() {
            // What the stable version did before comes first.
            return Ok(Looked::TooShort);
        }
    }
    let base = s.cursor.min(s.gross_cursor);
    if answers.at - answers.reach + 2 * s.scrape_seconds > base {
        // Asked before the time between scrapes was known.
        return Ok(Looked::TooShort);
    }
    let mut looked = Looked::Nothing;
    // In the order of time, so that the state after a window does not depend on how many of them
    // one answer brought.
    while status.harm_shown_at.is_none() {
        let (short, long) = (
            s.gross_cursor + s.scrape_seconds,
            s.cursor + s.window_seconds,
        );
        if !scrapes.ready(short.min(long), s.scrape_seconds, judge.needs()) {
            break;
        }
        if short <= long {
            let window = scrapes.window(s.gross_cursor, short, Age::Any);
            let counted = judge.counted(s, &window);
            split::note(plan, compared, status, s, &scrapes, short);
            presence::note_targets(s, &scrapes, short);
            note_short(status, s, &counted, short);
            judge.short(status, s, &window, short);
        } else {
            judge.long(status, s, &scrapes, long);
            s.cursor = long;
        }
        looked = Looked::Windows;
    }
    presence::note_ages(s, answers, status.harm_shown_at.is_some());
    status.effect = judge.effect(status, s);
    Ok(looked)
}

/// `at`, or the next moment of the grid of `step`.
fn up(at: i64, step: i64) -> i64 {
    (at + step - 1).div_euclid(step) * step
}

/// The grid of windows, once the time between scrapes is known.
fn grid(plan: &Plan, s: &mut Sampler, seconds: i64) {
    s.scrape_seconds = seconds;
    s.window_seconds = up(WINDOW_MIN_S, seconds);
    s.gross_cursor = up(plan.start, seconds);
    s.cursor = up(plan.start, s.window_seconds);
    s.first = up(plan.start + plan.warmup, s.window_seconds);
}

/// What the new version is held against: the tests, and what there is to say of the reference.
trait Judge {
    /// Which versions' scrapes are waited for.
    fn needs(&self) -> Needs;

    /// What is counted of a window, for people: requests, and those that count against the version.
    fn counted(&self, _: &Sampler, w: &Observed) -> Window {
        w.counts()
    }

    /// The latency in seconds above which requests are counted, where that is what is counted.
    fn bound(&self, _: &Sampler) -> Option<f64> {
        None
    }

    /// Before the first window, when the grid is known.
    fn begin(&self, status: &mut Comparison, s: &mut Sampler);

    /// A short window of the gross test: all pods, young or not.
    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64);

    /// A judged window: the pods that are no longer young.
    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64);

    /// A window of the grid on which versions are judged, or one before the first of them.
    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64);

    /// How many times the reference's ratio, with its interval.
    fn effect(&self, _: &Comparison, _: &Sampler) -> Option<Effect> {
        None
    }

    /// What there is to say before anything can be judged: what is still being read, or why it says nothing.
    fn reading(&self, _: &Sampler) -> Option<Finding> {
        None
    }

    /// What a judge says that gathers no evidence.
    fn found(&self, _: &Comparison, _: &Sampler) -> Option<Finding> {
        None
    }

    /// What is missing on the side of the reference.
    fn missing(&self, plan: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding>;

    /// The reference's counts, beside the canary's with its `young` pods or without.
    fn counts(&self, status: &Comparison, young: bool) -> Counts;

    /// When that was, as it follows "stable" in a sentence.
    fn when(&self) -> &'static str {
        ""
    }

    /// About how many more requests decide; not finite where they do not.
    fn still_needed(&self, status: &Comparison, s: &Sampler) -> f64;
}

/// The one place where one reference is told from the other.
fn judge<'a>(plan: &'a Plan, compared: &'a ComparisonPlan, s: &Sampler) -> Box<dyn Judge + 'a> {
    match (compared.level, plan.reference) {
        (Some(level), _) => Box::new(Fixed::new(plan, compared, level, s)),
        (None, Reference::StableHistory) => Box::new(History::new(plan, compared, s)),
        (None, Reference::Stable) => match compared.measure {
            Measure::Ratio { .. } | Measure::Events { .. } => {
                Box::new(Concurrent::new(plan, compared, s))
            }
            Measure::Histogram { .. } => Box::new(Latency::new(plan, compared, s)),
            Measure::Gauge {
                kayenta: Some(direction),
                ..
            } => Box::new(OneLook::new(plan, compared, direction)),
            Measure::Gauge { .. } => Box::new(Gauge::new(plan, compared, s)),
        },
    }
}

/// The latency in seconds above which requests are counted as slow, where that is what is counted and known.
#[must_use]
pub fn watched(plan: &Plan, compared: &ComparisonPlan, s: &Sampler) -> Option<f64> {
    judge(plan, compared, s).bound(s)
}

/// Judges a window whose numbers are known already, as the loop does with those that it reads from
/// scrapes: for who makes up data, or reads them from somewhere else. `targets` are how many of each
/// version count in it. The grid must be known: `sampler` has its lengths.
pub fn judge_window(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &mut Comparison,
    window: &Observed,
    targets: Arms<i64>,
    to: i64,
) {
    let mut s = status.sampler.take().unwrap_or_default();
    let mut judge = judge(plan, compared, &s);
    if status.harm.limit <= 0.0 {
        judge.begin(status, &mut s);
    }
    judge.window(status, &mut s, window, to);
    s.cursor = to;
    s.last_requests = window.number(Version::Canary, 0);
    (s.canary_targets, s.stable_targets) = (targets.canary, targets.stable);
    status.sampler = Some(s);
}

/// When the tests of a run stake how much, in windows of `window` seconds.
fn stakes(plan: &Plan, window: i64) -> Schedule {
    let steps: Vec<i64> = match plan.mode {
        // A run for a step ends with the step.
        RunMode::Step => vec![plan.max_duration],
        RunMode::Background => plan.steps.iter().map(|p| p.seconds).collect(),
    };
    Schedule::new(steps, window)
}

/// What every short window adds to the record.
fn note_short(status: &mut Comparison, s: &mut Sampler, w: &Window, to: i64) {
    s.gross_cursor = to;
    add(&mut status.canary_all, w.nc, w.xc);
    if w.nc > 0.0 {
        s.last_canary = to;
    }
}

/// Keeps a judged window for the reader, and says when it shows harm.
fn note_window(status: &mut Comparison, w: &Window, to: i64, before: f64) {
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

/// How often each test may be wrong.
#[derive(Debug, Clone, Copy)]
struct Alphas {
    main: f64,
    gross: f64,
    safe: f64,
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

/// The effect from its likelihood, wrong in `rate` of the cases.
fn effect(likelihood: &[f64], stable: &Counts, rate: f64) -> Option<Effect> {
    let found = interval::interval(likelihood, rate)?;
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
