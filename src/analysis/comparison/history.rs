//! The stable version has no traffic any more: what it did in the hour before is the reference
//! (statistics, sections 2e and 2g).
//!
//! Its requests and bad ones of that hour are counted once, whole, and frozen before the first window
//! of the new version is judged. Bounds of its ratio become fixed levels, and the new version's
//! windows go through one-sample tests against them. What has changed for both versions since then
//! counts for or against the new one; nothing can tell it apart any more.

use super::levels::{LevelTests, Levels, entropy};
use super::{Alphas, Finding, Judge, UNSAFE_RATE, add, latency, limit, up};
use crate::analysis::level::Law;
use crate::analysis::plan::{ComparisonPlan, Measure, Plan, Version};
use crate::analysis::rho::Window;
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::analysis::words;
use crate::api::analysis_status::{Comparison, Counts, Sampler, Verdict};

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
    compared: &'a ComparisonPlan,
    tests: LevelTests,
    /// Made of the hour when the first window of the new version is judged.
    levels: Option<Option<Levels>>,
}

/// Multiples of the stable version's ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Times {
    tolerated: f64,
    gross: f64,
    safe: f64,
}

impl Times {
    /// `bound` is the bucket bound above which requests count, where buckets are compared.
    pub fn of(plan: &Plan, compared: &ComparisonPlan, s: &Sampler, bound: Option<usize>) -> Self {
        if let Some(bound) = bound {
            let stable = latency::Stable::of(&s.reference, &s.bounds);
            let tolerated = 1.0 + compared.relative;
            let limit = latency::ruled_out(plan.next_weight, tolerated);
            return Self {
                tolerated: stable.times(bound, tolerated),
                gross: stable.times(bound, latency::GROSS_SLOWER),
                safe: stable.times(bound, limit),
            };
        }
        Self {
            tolerated: compared.tolerated(),
            gross: compared.worse_by(plan.gross_times),
            safe: compared.worse_by(compared.required(plan.next_weight).times),
        }
    }
}

impl Levels {
    /// From the hour before; `None`: there was too little in it.
    ///
    /// Each test may be wrong in two ways: the bound of the stable ratio is, which has
    /// [`BOUND_SHARE`] of its risk, or the test against the level is, which has the rest. By the
    /// union bound both together stay below the risk, whatever the stable ratio is.
    pub fn of(
        compared: &ComparisonPlan,
        times: &Times,
        plan: &Plan,
        hour: &Counts,
    ) -> Option<Self> {
        if hour.requests < REQUESTS_MIN {
            return None;
        }
        let law = compared.law();
        let (beyond, before) = if compared.worse() > 0.0 {
            (Side::Upper, Side::Lower)
        } else {
            (Side::Lower, Side::Upper)
        };
        let beyond = |alpha: f64| bound(law, hour, alpha * BOUND_SHARE, beyond);
        let before = bound(law, hour, UNSAFE_RATE * BOUND_SHARE, before);
        let stable = beyond(compared.alpha_main());
        let levels = Self {
            harm: times.tolerated * stable,
            gross: times.gross * beyond(compared.alpha_gross()),
            safe: times.safe * before,
        };
        if !matches!(compared.measure, Measure::Ratio { .. }) {
            return Some(levels);
        }
        let required = compared.required(plan.next_weight);
        let harm = levels.harm.max(stable + compared.absolute);
        let safe = levels.safe.max(before + required.points);
        Some(Self {
            harm: harm.max(compared.floor),
            gross: levels.gross.max(plan.gross_level).max(compared.floor),
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

/// The bound of a ratio or rate that is wrong in at most `risk` of the cases: Chernoff's, by the relative
/// entropy. It holds for any counts without a table or a series that must converge, also where the
/// ratio changes within the hour; it is about a fifth wider than the one by Clopper and Pearson.
pub(super) fn bound(law: Law, counts: &Counts, risk: f64, side: Side) -> f64 {
    let n = counts.requests;
    let top = match law {
        Law::Bernoulli => 1.0,
        // No rate beyond this has so few events.
        Law::Poisson => 2.0 * (counts.bad + 2.0 * limit(risk)) / n,
    };
    let ratio = (counts.bad / n).clamp(0.0, top);
    let (mut inside, mut outside) = match side {
        Side::Upper => (ratio, top),
        Side::Lower => (ratio, 0.0),
    };
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if n * entropy(law, ratio, middle) <= limit(risk) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

/// What is left of a risk for the test itself.
fn tested(risk: f64) -> f64 {
    risk * (1.0 - BOUND_SHARE)
}

impl<'a> History<'a> {
    pub fn new(plan: &'a Plan, compared: &'a ComparisonPlan, s: &Sampler) -> Self {
        let alphas = Alphas {
            main: tested(compared.alpha_main()),
            gross: tested(compared.alpha_gross()),
            safe: tested(UNSAFE_RATE),
        };
        Self {
            plan,
            compared,
            tests: LevelTests::new(plan, compared, s, alphas),
            levels: None,
        }
    }

    fn levels(&self, status: &Comparison, s: &Sampler) -> Option<Levels> {
        let hour = status.baseline.unwrap_or_default();
        let times = Times::of(self.plan, self.compared, s, self.watched(s));
        Levels::of(self.compared, &times, self.plan, &hour)
    }

    /// The bucket bound above which requests count, where buckets are compared.
    fn watched(&self, s: &Sampler) -> Option<usize> {
        let Measure::Histogram { objective, .. } = &self.compared.measure else {
            return None;
        };
        latency::Stable::of(&s.reference, &s.bounds).watched(*objective)
    }

    /// The same for a window of the new version: by then the hour is whole.
    fn frozen(&mut self, status: &Comparison, s: &Sampler) -> Option<Levels> {
        if self.levels.is_none() {
            self.levels = Some(self.levels(status, s));
        }
        self.levels.flatten()
    }
}

impl Judge for History<'_> {
    fn needs(&self) -> Needs {
        Needs::Canary
    }

    fn counted(&self, s: &Sampler, w: &Observed) -> Window {
        match (&self.compared.measure, self.watched(s)) {
            (Measure::Histogram { .. }, bound) => latency::slower(w, bound.unwrap_or(usize::MAX)),
            _ => w.counts(),
        }
    }

    fn bound(&self, s: &Sampler) -> Option<f64> {
        let bound = s.bounds.get(self.watched(s)?)?;
        Some(self.compared.measure.seconds(*bound))
    }

    /// The long windows begin with the hour before, the short ones with the new version.
    fn begin(&self, status: &mut Comparison, s: &mut Sampler) {
        s.cursor = up(self.plan.start - LOOKBACK_S, s.window_seconds);
        status.baseline = Some(Counts::default());
        self.tests.begin(status);
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let Some(levels) = self.frozen(status, s) else {
            return;
        };
        let w = self.counted(s, w);
        self.tests.short(status, s, &w, to, &levels);
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        // The old version's last requests are no part of the hour before.
        let w = &Window {
            ns: 0.0,
            xs: 0.0,
            ..self.counted(s, w)
        };
        add(&mut status.canary, w.nc, w.xc);
        let Some(levels) = self.frozen(status, s) else {
            return;
        };
        self.tests.long(status, s, w, to, &levels);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let grown = scrapes.window(s.cursor, to, Age::Grown(self.plan.warmup));
        if to <= self.plan.start && matches!(self.compared.measure, Measure::Histogram { .. }) {
            latency::sum(&mut s.reference, &latency::buckets(&grown, Version::Stable));
            let requests = s.reference.iter().sum();
            let stable = latency::Stable::of(&s.reference, &s.bounds);
            let slow = self.watched(s).map_or(0.0, |bound| stable.above(bound));
            status.baseline = Some(Counts {
                requests,
                bad: slow * requests,
            });
            return;
        }
        if to <= self.plan.start {
            let grown = self.counted(s, &grown);
            let hour = status.baseline.get_or_insert_default();
            add(hour, grown.ns, grown.xs);
        } else if s.cursor >= s.first {
            self.window(status, s, &grown, to);
        }
    }

    fn reading(&self, s: &Sampler) -> Option<Finding> {
        let reads = s.cursor + s.window_seconds <= self.plan.start;
        reads.then(|| {
            let message = "reads what the stable version did in the hour before";
            Finding::new(Verdict::Inconclusive, "Collecting", message)
        })
    }

    fn missing(&self, _: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding> {
        if self.levels(status, s).is_some() {
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

    fn counts(&self, status: &Comparison, _: bool) -> Counts {
        status.baseline.unwrap_or_default()
    }

    fn when(&self) -> &'static str {
        " in the hour before"
    }

    fn still_needed(&self, status: &Comparison, s: &Sampler) -> f64 {
        let Some(levels) = self.levels(status, s) else {
            return f64::INFINITY;
        };
        self.tests.still_needed(status, &levels)
    }
}

#[cfg(test)]
mod tests;
