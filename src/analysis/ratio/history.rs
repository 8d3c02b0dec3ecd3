//! The stable version has no traffic any more: what it did in the hour before is the reference
//! (statistics, sections 2e and 2g).
//!
//! Its requests and bad ones of that hour are counted once, whole, and frozen before the first window
//! of the new version is judged. Bounds of its ratio become fixed levels, and the new version's
//! windows go through one-sample tests against them. What has changed for both versions since then
//! counts for or against the new one; nothing can tell it apart any more.

use super::{
    Finding, Judge, Required, UNSAFE_RATE, add, begun, bets, decides, limit, log, note_window,
    stakes, up,
};
use crate::analysis::effects::{self, Grid};
use crate::analysis::plan::{Plan, RatioPlan};
use crate::analysis::rho::Window;
use crate::analysis::schedule::{Schedule, at_once};
use crate::analysis::series::{Age, Needs, Scrapes};
use crate::analysis::words;
use crate::api::analysis_status::{Counts, RatioStatus, Sampler, Verdict};

/// So far back the stable version is looked at: long enough for a bound that says something, short
/// enough that the time of day is about the same.
const LOOKBACK_S: i64 = 3600;
/// With fewer requests than this in the hour nothing is held against it: without a single bad one it
/// could still be bad once in fifty.
const REQUESTS_MIN: f64 = 300.0;
/// The part of each risk that goes to the bound of the stable ratio; the rest goes to the test
/// against the level that is made of it.
const BOUND_SHARE: f64 = 0.2;
/// Halvings when a bound is looked for: more than a double can tell apart.
const HALVINGS: usize = 60;

/// The tests with what they need for this metric.
pub(super) struct History<'a> {
    plan: &'a Plan,
    ratio: &'a RatioPlan,
    required: Required,
    stakes: Schedule,
    gross_stakes: Schedule,
    level: Grid,
    level_safe: Grid,
    /// Made of the hour when the first window of the new version is judged.
    levels: Option<Option<Levels>>,
}

/// The levels that the new version is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    /// More than this is harm.
    pub harm: f64,
    /// More than this is gross harm.
    pub gross: f64,
    /// Less than this is good enough.
    pub safe: f64,
}

impl Levels {
    /// From the hour before; `None`: there was too little in it.
    ///
    /// Each test may be wrong in two ways: the bound of the stable ratio is, which has
    /// [`BOUND_SHARE`] of its risk, or the test against the level is, which has the rest. By the
    /// union bound both together stay below the risk, whatever the stable ratio is.
    pub fn of(plan: &Plan, ratio: &RatioPlan, required: &Required, hour: &Counts) -> Option<Self> {
        if hour.requests < REQUESTS_MIN {
            return None;
        }
        let upper = |alpha: f64| bound(hour, alpha * BOUND_SHARE, Side::Upper);
        let lower = bound(hour, UNSAFE_RATE * BOUND_SHARE, Side::Lower);
        let stable = upper(ratio.alpha_main());
        let harm = ((1.0 + ratio.relative) * stable).max(stable + ratio.absolute);
        let gross = (plan.gross_times * upper(ratio.alpha_gross())).max(plan.gross_level);
        let safe = (required.times * lower).max(lower + required.points);
        Some(Self {
            harm: harm.max(ratio.floor),
            gross: gross.max(ratio.floor),
            safe: safe.max(required.level),
        })
    }
}

/// Which end of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It is not above.
    Upper,
    /// It is not below.
    Lower,
}

/// The bound of a ratio that is wrong in at most `risk` of the cases: Chernoff's, by the relative
/// entropy. It holds for any counts without a table or a series that must converge, also where the
/// ratio changes within the hour; it is about a fifth wider than the one by Clopper and Pearson.
pub(super) fn bound(counts: &Counts, risk: f64, side: Side) -> f64 {
    let (n, ratio) = (
        counts.requests,
        (counts.bad / counts.requests).clamp(0.0, 1.0),
    );
    let (mut inside, mut outside) = match side {
        Side::Upper => (ratio, 1.0),
        Side::Lower => (ratio, 0.0),
    };
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if n * entropy(ratio, middle) <= limit(risk) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

/// The relative entropy of a chance of `q` to one of `p`.
fn entropy(q: f64, p: f64) -> f64 {
    let part = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
    part(q, p) + part(1.0 - q, 1.0 - p)
}

/// What is left of a risk for the test itself.
fn tested(risk: f64) -> f64 {
    risk * (1.0 - BOUND_SHARE)
}

impl<'a> History<'a> {
    pub fn new(plan: &'a Plan, ratio: &'a RatioPlan, s: &Sampler) -> Self {
        Self {
            plan,
            ratio,
            required: ratio.required(plan.next_weight),
            stakes: stakes(plan, s.window_seconds),
            gross_stakes: stakes(plan, s.scrape_seconds),
            level: Grid::uniform(&effects::LEVEL),
            level_safe: Grid::uniform(&effects::LEVEL_SAFE),
            levels: None,
        }
    }

    fn levels(&self, status: &RatioStatus) -> Option<Levels> {
        let hour = status.baseline.unwrap_or_default();
        Levels::of(self.plan, self.ratio, &self.required, &hour)
    }

    /// The same for a window of the new version: by then the hour is whole.
    fn frozen(&mut self, status: &RatioStatus) -> Option<Levels> {
        if self.levels.is_none() {
            self.levels = Some(self.levels(status));
        }
        self.levels.flatten()
    }

    /// A judged window: the pods that are no longer young.
    pub fn window(&mut self, status: &mut RatioStatus, s: &mut Sampler, w: &Window, to: i64) {
        add(&mut status.canary, w.nc, w.xc);
        let Some(levels) = self.frozen(status) else {
            return;
        };
        let before = status.harm.log;
        let test = bets(&self.level, tested(self.ratio.alpha_main()));
        begun(&mut s.harm_level, &test);
        let stake = self.stakes.gamma(s.harm_level.windows);
        let e = test.step_level(&mut s.harm_level, stake, w.nc, w.xc, levels.harm);
        status.harm.log = log(e);

        let test = bets(&self.level_safe, tested(UNSAFE_RATE));
        begun(&mut s.safe_level, &test);
        let stake = at_once(s.safe_level.windows);
        let e = test.step_level(&mut s.safe_level, stake, w.nc, w.xc, levels.safe);
        status.safe.log = log(e);
        note_window(status, w, to, before);
    }
}

impl Judge for History<'_> {
    fn needs(&self) -> Needs {
        Needs::Canary
    }

    /// The long windows begin with the hour before, the short ones with the new version.
    fn begin(&self, status: &mut RatioStatus, s: &mut Sampler) {
        s.cursor = up(self.plan.start - LOOKBACK_S, s.window_seconds);
        status.baseline = Some(Counts::default());
        status.gross.limit = limit(tested(self.ratio.alpha_gross()));
        status.harm.limit = limit(tested(self.ratio.alpha_main()));
        status.safe.limit = limit(tested(UNSAFE_RATE));
    }

    fn short(&mut self, status: &mut RatioStatus, s: &mut Sampler, w: &Window, to: i64) {
        let Some(levels) = self.frozen(status) else {
            return;
        };
        let test = bets(&self.level, tested(self.ratio.alpha_gross()));
        begun(&mut s.gross_level, &test);
        let stake = self.gross_stakes.gamma(s.gross_level.windows);
        let e = test.step_level(&mut s.gross_level, stake, w.nc, w.xc, levels.gross);
        status.gross.log = log(e);
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    fn long(&mut self, status: &mut RatioStatus, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let grown = scrapes.window(s.cursor, to, Age::Grown(self.plan.warmup));
        if to <= self.plan.start {
            let hour = status.baseline.get_or_insert_default();
            add(hour, grown.ns, grown.xs);
        } else if s.cursor >= s.first {
            // The old version's last requests are no part of the hour before.
            let canary = Window {
                ns: 0.0,
                xs: 0.0,
                ..grown
            };
            self.window(status, s, &canary, to);
        }
    }

    fn reading(&self, s: &Sampler) -> Option<Finding> {
        let reads = s.cursor + s.window_seconds <= self.plan.start;
        reads.then(|| {
            let message = "reads what the stable version did in the hour before";
            Finding::new(Verdict::Inconclusive, "Collecting", message)
        })
    }

    fn missing(&self, _: &Plan, status: &RatioStatus, _: &Sampler) -> Option<Finding> {
        if self.levels(status).is_some() {
            return None;
        }
        let hour = status.baseline.unwrap_or_default();
        let message = format!(
            "{} requests to the stable version in the hour before all of the traffic left it, too \
             few to hold the new one against (at least {}): promote or abort by hand; for the next \
             time give a threshold here, or the ratio to an analysis at a lower weight",
            words::count(hour.requests),
            words::count(REQUESTS_MIN),
        );
        Some(Finding::new(Verdict::NoData, "NoStableHistory", message))
    }

    fn counts(&self, status: &RatioStatus, _: bool) -> Counts {
        status.baseline.unwrap_or_default()
    }

    fn when(&self) -> &'static str {
        " in the hour before"
    }

    fn still_needed(&self, status: &RatioStatus, _: &Sampler) -> f64 {
        let Some(levels) = self.levels(status) else {
            return f64::INFINITY;
        };
        let own = (status.canary.bad + 0.5) / (status.canary.requests + 1.0);
        let (evidence, level) = match own {
            own if own > levels.harm => (status.harm, levels.harm),
            own if own < levels.safe => (status.safe, levels.safe),
            _ => return f64::INFINITY,
        };
        (evidence.limit - evidence.log) / entropy(own, level)
    }
}

#[cfg(test)]
mod tests;
