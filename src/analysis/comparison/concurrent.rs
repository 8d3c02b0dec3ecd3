//! Both versions have traffic: the comparison in the same minutes (statistics, section 2a).
//!
//! Harm must be shown against the stable version (equation 1 with the relative tolerance) and, where
//! that asks for more, against a level too (section 2e with the absolute tolerance and the floor):
//! the smaller of two e-values is one for "not worse relatively, or not worse absolutely". So an
//! absolute tolerance costs the comparison no power where the stable version has hardly any bad
//! ones.
//!
//! Where the relative tolerance is the wider one, whatever is below the level is tolerated by the
//! comparison as well, and asking for both only costs time: [`Wider`] leaves the level out where
//! there is none, and where the stable version is sure to have so many bad ones. That may change
//! from window to window, and a version that is tolerated is still shown to be harmful with a
//! chance of at most alpha:
//!
//! - Not worse relatively: what decides is never more than the comparison's e-value, in no window.
//! - Not worse absolutely, though worse relatively: then the absolute tolerance is the wider one.
//!   Either it was wrongly taken for sure not to be, which has [`SURE_SHARE`] of alpha, or the
//!   level's own test was wrong, which has the rest.
//!
//! Safety is shown one way or the other; the two ways share the risk of being wrong.

use super::finding::gap;
use super::levels::entropy;
use super::stable::surely_above;
use super::{
    Finding, Judge, Required, StableRatio, UNSAFE_RATE, add, begun, bets, decides, effect,
    evidence, further, guard, limit, log, note_window, stable, stakes, up,
};
use crate::analysis::effects::{self, Grid};
use crate::analysis::interval;
use crate::analysis::level::{Against, Law};
use crate::analysis::plan::{ComparisonPlan, Plan, Version};
use crate::analysis::rho::{Boost, Window};
use crate::analysis::schedule::{Schedule, at_once};
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::analysis::words;
use crate::api::analysis::RunMode;
use crate::api::analysis_status::{Comparison, Counts, Effect, Evidence, Masses, Sampler, Verdict};

/// The part of the risk of a wrong promotion that goes to the comparison with stable; the rest goes
/// to the level.
pub(in crate::analysis) const SAFE_COMPARISON_SHARE: f64 = 0.8;
/// The part of the risk of the test against the level that goes to wrongly leaving it out.
const SURE_SHARE: f64 = 0.2;
/// The interval that is shown is wrong this often.
const INTERVAL_RATE: f64 = 0.05;
/// So many of the stable version's requests for each of the new one's are as good as a known ratio.
const KNOWN_KAPPA: f64 = 1e6;
/// The boost reckons with rare events; above this ratio it is left out.
const BOOST_RATIO_MAX: f64 = 0.1;

/// The tests with what they need for this metric.
pub(super) struct Concurrent<'a> {
    plan: &'a Plan,
    compared: &'a ComparisonPlan,
    required: Required,
    stakes: Schedule,
    gross_stakes: Schedule,
    unknown: Grid,
    safe: Grid,
    level: Grid,
    level_safe: Grid,
}

impl<'a> Concurrent<'a> {
    pub fn new(plan: &'a Plan, compared: &'a ComparisonPlan, s: &Sampler) -> Self {
        let worse = compared.worse();
        Self {
            plan,
            compared,
            required: compared.required(plan.next_weight),
            stakes: stakes(plan, s.window_seconds),
            gross_stakes: stakes(plan, s.scrape_seconds),
            unknown: Grid::uniform(&effects::UNKNOWN_PLAN.map(|delta| worse * delta)),
            safe: Grid::uniform(&effects::SAFE.map(|delta| worse * delta)),
            level: Grid::uniform(&effects::LEVEL),
            level_safe: Grid::uniform(&effects::LEVEL_SAFE),
        }
    }

    /// Whether there are levels beside the comparison: events have none.
    fn has_levels(&self) -> bool {
        has_levels(self.compared)
    }

    /// What the comparison bets on: decided before the first window, and kept.
    fn comparison_bets(&self, s: &mut Sampler) -> Grid {
        if s.deltas.is_empty() && s.harm_from <= 0.0 {
            let p = StableRatio::of(&s.history, s.calibration.as_ref(), s.first).estimate;
            match self.planned(s) {
                Some(plan) if self.compared.worse() > 0.0 => {
                    s.harm_from = effects::smallest(&plan, p, self.compared.alpha_main());
                }
                _ => {
                    s.deltas.clone_from(&self.unknown.deltas);
                    s.weights.clone_from(&self.unknown.weights);
                }
            }
        }
        if s.harm_from > 0.0 {
            effects::from_smallest(s.harm_from)
        } else {
            Grid {
                deltas: s.deltas.clone(),
                weights: s.weights.clone(),
            }
        }
    }

    /// What the test against the level bets on.
    fn level_bets(&self, s: &mut Sampler, level: f64) -> Grid {
        if s.harm_level.bets.is_empty()
            && let Some(plan) = self.planned(s)
        {
            // Next to a level that is as good as known the stable version adds no noise.
            let plan: Vec<(f64, f64)> = plan.iter().map(|(n, _)| (*n, KNOWN_KAPPA)).collect();
            s.harm_level_from = effects::smallest(&plan, level, self.compared.alpha_main());
        }
        if s.harm_level_from > 0.0 {
            effects::from_smallest(s.harm_level_from)
        } else {
            self.level.clone()
        }
    }

    /// How the risk of a wrong promotion is shared between the comparison and the level.
    fn unsafe_rates(&self) -> (f64, f64) {
        if self.has_levels() {
            let comparison = UNSAFE_RATE * SAFE_COMPARISON_SHARE;
            (comparison, UNSAFE_RATE - comparison)
        } else {
            (UNSAFE_RATE, 0.0)
        }
    }

    /// What the new version must be shown to be better than.
    fn safe_ratio(&self, stable: &StableRatio) -> f64 {
        let times = self.required.times;
        if self.has_levels() {
            times.max(1.0 + self.required.points / stable.upper)
        } else {
            self.compared.worse_by(times)
        }
    }

    fn level(level: f64, phi: f64) -> Against {
        Against {
            level,
            law: Law::Bernoulli,
            phi,
        }
    }

    /// The e-value of harm after this window.
    fn harm(
        &self,
        s: &mut Sampler,
        w: &Window,
        stable: &Known,
        noise: &Noise,
        boost: Boost,
    ) -> f64 {
        let grid = self.comparison_bets(s);
        let comparison = bets(&grid, self.compared.alpha_main());
        begun(&mut s.harm, &comparison);
        let stake = self.stakes.gamma(s.harm.windows);
        let margin = if self.compared.worse() > 0.0 {
            noise.margin
        } else {
            1.0 / noise.margin
        };
        let r0 = self.compared.tolerated() * margin;
        let against_stable = comparison.step(&mut s.harm, stake, w, r0, noise.phi, boost);
        let wider = Wider::of(self.compared);
        if wider == Wider::Always {
            return against_stable;
        }
        let level = (stable.ratio.upper + self.compared.absolute).max(self.compared.floor);
        let against = Self::level((level * noise.margin).min(1.0), noise.phi);
        let level = self.level_bets(s, against.level);
        let level = bets(&level, self.compared.alpha_main());
        begun(&mut s.harm_level, &level);
        let stake = self.stakes.gamma(s.harm_level.windows);
        let against_level = level.step_level(&mut s.harm_level, stake, w.nc, w.xc, against);
        let sure = match wider {
            Wider::Above(ratio) => {
                let risk = self.compared.alpha_main() * SURE_SHARE;
                // What was true for hours need not be true now.
                stable.ratio.estimate >= ratio && surely_above(ratio, &stable.all, noise.phi, risk)
            }
            _ => false,
        };
        if sure {
            against_stable
        } else {
            against_stable.min(against_level * (1.0 - SURE_SHARE))
        }
    }

    /// The evidence of safety after this window.
    fn safe(
        &self,
        s: &mut Sampler,
        w: &Window,
        stable: &StableRatio,
        noise: &Noise,
        boost: Boost,
    ) -> Evidence {
        let (risk, level_risk) = self.unsafe_rates();
        let comparison = bets(&self.safe, risk);
        begun(&mut s.safe, &comparison);
        let stake = at_once(s.safe.windows);
        let r0 = self.safe_ratio(stable);
        let against_stable = comparison.step(&mut s.safe, stake, w, r0, noise.phi, boost);
        let against_stable = evidence(against_stable, risk);
        if !self.has_levels() {
            return against_stable;
        }
        let level = bets(&self.level_safe, level_risk);
        begun(&mut s.safe_level, &level);
        let against = Self::level(self.required.level, noise.phi);
        let against_level = level.step_level(&mut s.safe_level, stake, w.nc, w.xc, against);
        further(against_stable, evidence(against_level, level_risk))
    }

    /// The new version's requests in each step of what is planned, with the stable version's for each
    /// of them, as the traffic was before the first judged window. Nothing where there was none.
    fn planned(&self, s: &Sampler) -> Option<Vec<(f64, f64)>> {
        let lead_seconds = (s.first - up(self.plan.start, s.window_seconds)) as f64;
        if s.lead_canary <= 0.0 || s.lead_stable <= 0.0 || lead_seconds <= 0.0 {
            return None;
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
        plan.iter().any(|(n, _)| *n > 0.0).then_some(plan)
    }
}

impl Judge for Concurrent<'_> {
    fn needs(&self) -> Needs {
        Needs::Both
    }

    fn begin(&self, status: &mut Comparison, _: &mut Sampler) {
        status.gross.limit = limit(self.compared.alpha_gross());
        status.harm.limit = limit(self.compared.alpha_main());
        status.safe.limit = limit(self.unsafe_rates().0);
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = &w.counts();
        add(&mut status.stable_all, w.ns, w.xs);
        if w.ns > 0.0 {
            s.last_stable = to;
        }
        let alpha = self.compared.alpha_gross();
        let comparison = bets(&self.unknown, alpha);
        begun(&mut s.gross, &comparison);
        let stake = self.gross_stakes.gamma(s.gross.windows);
        let r0 = self.compared.worse_by(self.plan.gross_times);
        let stable = StableRatio::of(&s.history, s.calibration.as_ref(), to);
        let noise = Noise::known(s, &stable);
        let mut e = comparison.step(&mut s.gross, stake, w, r0, noise.phi, Boost::Off);
        if self.has_levels() {
            let level = bets(&self.level, alpha);
            begun(&mut s.gross_level, &level);
            let against = Self::level(self.plan.gross_level.max(self.compared.floor), noise.phi);
            e = e.min(level.step_level(&mut s.gross_level, stake, w.nc, w.xc, against));
        }
        status.gross.log = log(e);
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = &w.counts();
        let stable = Known::before(s, &status.stable, to - s.window_seconds);
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        let noise = Noise::known(s, &stable.ratio);
        let integers = !self.has_levels() || stable.ratio.estimate <= BOOST_RATIO_MAX;
        let boost = if integers && noise.phi <= 1.0 {
            Boost::On
        } else {
            Boost::Off
        };

        let before = status.harm.log;
        status.harm.log = log(self.harm(s, w, &stable, &noise, boost));
        status.safe = self.safe(s, w, &stable.ratio, &noise, boost);
        interval::add(&mut s.likelihood, w, noise.phi);
        note_window(status, w, to, before);
        guard::note(&mut s.guard, w.ns, w.xs);
        stable::remember(&mut s.history, to, w.ns, w.xs);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let from = s.cursor;
        let grown = scrapes.window(from, to, Age::Grown(self.plan.warmup));
        if from < s.first {
            let all = scrapes.window(from, to, Age::Any).counts();
            s.lead_canary += all.nc;
            s.lead_stable += all.ns;
        } else {
            self.window(status, s, &grown, to);
        }
        let grown = grown.counts();
        if from < s.first {
            stable::remember(&mut s.history, to, grown.ns, grown.xs);
        }
        s.last_requests = grown.nc;
        let count = |version| {
            let targets = scrapes.targets(version, from, to, Age::Grown(self.plan.warmup));
            i64::try_from(targets).unwrap_or(i64::MAX)
        };
        s.canary_targets = count(Version::Canary);
        s.stable_targets = count(Version::Stable).max(1);
    }

    fn effect(&self, status: &Comparison, s: &Sampler) -> Option<Effect> {
        effect(&s.likelihood, &status.stable, INTERVAL_RATE)
    }

    fn missing(&self, plan: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding> {
        let quiet = gap(plan, s, s.last_stable, status.stable_all.requests)?;
        let message = format!(
            "no requests to the stable version to compare with for {}",
            words::seconds(quiet)
        );
        Some(Finding::new(Verdict::NoData, "NoStableTraffic", message))
    }

    fn counts(&self, status: &Comparison, young: bool) -> Counts {
        if young {
            status.stable_all
        } else {
            status.stable
        }
    }

    fn still_needed(&self, status: &Comparison, s: &Sampler) -> f64 {
        let (c, b) = (status.canary, status.stable);
        let w = Window {
            nc: c.requests,
            xc: c.bad,
            ns: b.requests,
            xs: b.bad,
        };
        if !w.compares() {
            return f64::INFINITY;
        }
        let (p, kappa) = (effects::pooled(&w), w.ns / w.nc);
        let tolerated = self.compared.tolerated();
        let harmful = status.effect.filter(|e| {
            if tolerated > 1.0 {
                e.lower > tolerated
            } else {
                e.upper < tolerated
            }
        });
        if let Some(effect) = harmful {
            let growth = effects::growth(p, kappa, effect.times, effect.times, tolerated);
            return (status.harm.limit - status.harm.log) / growth;
        }
        let worth = |grid: &Grid, state: &Masses| log(bets(grid, 1.0).worth(state));
        let (risk, level_risk) = self.unsafe_rates();
        let stable = StableRatio::of(&s.history, s.calibration.as_ref(), s.cursor);
        let r0 = self.safe_ratio(&stable);
        let compared = limit(risk) - worth(&self.safe, &s.safe);
        let compared = compared / effects::growth(p, kappa, 1.0, 1.0, r0);
        let own = (w.xc + 0.5) / (w.nc + 1.0);
        if !self.has_levels() || own >= self.required.level {
            return compared;
        }
        let growth = entropy(Law::Bernoulli, own, self.required.level);
        let left = limit(level_risk) - worth(&self.level_safe, &s.safe_level);
        compared.min(left / growth)
    }
}

/// Where the relative tolerance is the wider one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wider {
    /// Whatever the stable version's ratio is.
    Always,
    /// Where the stable version's ratio is above this.
    Above(f64),
    /// Nowhere.
    Never,
}

impl Wider {
    fn of(compared: &ComparisonPlan) -> Self {
        if !has_levels(compared) || (compared.absolute <= 0.0 && compared.floor <= 0.0) {
            return Self::Always;
        }
        let absolute = if compared.absolute <= 0.0 {
            0.0
        } else {
            compared.absolute / compared.relative
        };
        // Infinite where no relative tolerance is given.
        let ratio = absolute.max(compared.floor / compared.tolerated());
        if ratio < 1.0 {
            Self::Above(ratio)
        } else {
            Self::Never
        }
    }
}

/// Whether there are levels beside the comparison: events have none.
fn has_levels(compared: &ComparisonPlan) -> bool {
    compared.law() == Law::Bernoulli
}

/// Whether harm must be shown against a level, too, where the stable version is known to have this
/// ratio.
#[must_use]
pub fn asks_for_level(compared: &ComparisonPlan, ratio: f64) -> bool {
    match Wider::of(compared) {
        Wider::Always => false,
        Wider::Above(from) => ratio <= from,
        Wider::Never => true,
    }
}

/// What was known of the stable version before the window that is judged with it.
struct Known {
    ratio: StableRatio,
    /// All that it did: in the hours before the run, and in the windows that were judged.
    all: Counts,
}

impl Known {
    /// `judged` is what it did in the judged windows until `until`.
    fn before(s: &Sampler, judged: &Counts, until: i64) -> Self {
        let mut all = *judged;
        if let Some(hours) = &s.calibration {
            add(&mut all, hours.requests, hours.bad);
        }
        Self {
            ratio: StableRatio::of(&s.history, s.calibration.as_ref(), until),
            all,
        }
    }
}

/// What the versions' pods may differ by though nothing changed (section 2f), as it was known before
/// the window that is judged with it.
struct Noise {
    /// By how much the counts vary more than by chance.
    phi: f64,
    /// What pods persistently differ by, as a factor.
    margin: f64,
}

impl Noise {
    fn known(s: &Sampler, stable: &StableRatio) -> Self {
        let seen = guard::phi(&s.guard);
        let Some(calibration) = &s.calibration else {
            return Self {
                phi: seen,
                margin: 1.0,
            };
        };
        let expected = stable.estimate * s.last_requests / s.canary_targets.max(1) as f64;
        let count = |n: i64| usize::try_from(n).unwrap_or(0);
        Self {
            phi: calibration.phi(expected).max(seen),
            margin: calibration.margin(count(s.canary_targets), count(s.stable_targets)),
        }
    }
}
