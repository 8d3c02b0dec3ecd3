//! Both versions have traffic: the comparison in the same minutes (statistics, section 2a).
//!
//! Harm must be shown twice over, against the stable version (equation 1 with the relative
//! tolerance) and against a level (section 2e with the absolute tolerance and the floor): the
//! smaller of two e-values is one for "not worse relatively, or not worse absolutely". So an
//! absolute tolerance costs the comparison no power where the stable version has hardly any bad
//! ones. Safety is shown one way or the other; the two ways share the risk of being wrong.

use super::finding::gap;
use super::levels::entropy;
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
const SAFE_COMPARISON_SHARE: f64 = 0.8;
/// The interval that is shown is wrong this often.
const INTERVAL_RATE: f64 = 0.05;
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
        self.compared.law() == Law::Bernoulli
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
        stable: &StableRatio,
        noise: &Noise,
        boost: Boost,
    ) -> f64 {
        let grid = Grid {
            deltas: s.deltas.clone(),
            weights: s.weights.clone(),
        };
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
        if !self.has_levels() {
            return against_stable;
        }
        let level = bets(&self.level, self.compared.alpha_main());
        begun(&mut s.harm_level, &level);
        let p0 = (stable.upper + self.compared.absolute).max(self.compared.floor);
        let against = Self::level(p0 * noise.margin, noise.phi);
        let against_level = level.step_level(&mut s.harm_level, stake, w.nc, w.xc, against);
        against_stable.min(against_level)
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
        if plan.iter().all(|(n, _)| *n <= 0.0) || self.compared.worse() < 0.0 {
            return self.unknown.clone();
        }
        let p = StableRatio::of(&s.history, s.first).estimate;
        effects::grid_for(&plan, p, self.compared.alpha_main())
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
        let noise = Noise::known(s, &StableRatio::of(&s.history, to));
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
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        if s.deltas.is_empty() {
            let grid = self.effects(s);
            s.deltas = grid.deltas;
            s.weights = grid.weights;
        }
        let stable = StableRatio::of(&s.history, to - s.window_seconds);
        let noise = Noise::known(s, &stable);
        let integers = !self.has_levels() || stable.estimate <= BOOST_RATIO_MAX;
        let boost = if integers && noise.phi <= 1.0 {
            Boost::On
        } else {
            Boost::Off
        };

        let before = status.harm.log;
        status.harm.log = log(self.harm(s, w, &stable, &noise, boost));
        status.safe = self.safe(s, w, &stable, &noise, boost);
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
        let stable = StableRatio::of(&s.history, s.cursor);
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
