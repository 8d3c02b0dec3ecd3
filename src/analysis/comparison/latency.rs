//! Latencies by buckets while both versions have traffic (statistics, section 2c).
//!
//! Harm is what the dictionary of slowdowns finds in the whole distribution. Gross harm, safety and
//! the effect that is shown look at one bucket bound each, chosen from the stable version's past: how
//! many requests take longer than it. So what they promise does not rest on how the distribution
//! goes on between two bounds.

mod past;

pub(super) use past::calibrate;

use super::finding::gap;
use super::{
    Alphas, Finding, Judge, UNSAFE_RATE, add, begun, bets, decides, effect, evidence, further,
    limit, log, nearer_to_zero, note_window, stakes,
};
use crate::analysis::buckets::scale_rho;
use crate::analysis::dictionary::{Dictionary, dictionary};
use crate::analysis::effects::{self, Grid};
use crate::analysis::interval;
use crate::analysis::level::{Against, Law};
use crate::analysis::plan::{ComparisonPlan, Measure, ObjectivePlan, Plan, Version};
use crate::analysis::rho::{Boost, Window};
use crate::analysis::schedule::{Schedule, at_once};
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::analysis::words;
use crate::api::analysis_status::{Comparison, Counts, Effect, Evidence, Sampler, Verdict};

/// With fewer requests than this nothing is known of the stable version's latencies.
const REFERENCE_MIN: f64 = 200.0;
/// So many times as slow is gross.
pub(super) const GROSS_SLOWER: f64 = 3.0;
/// The part of the evidence that an objective has.
pub(in crate::analysis) const OBJECTIVE_SHARE: f64 = 1.0 / 3.0;
/// The objective's tolerance beside stable: it is missed more often than this many times stable.
const OBJECTIVE_TIMES: f64 = 1.1;
/// What must be ruled out of an objective that stable does not meet either.
const OBJECTIVE_RULED_OUT: f64 = 1.5;
/// A bound that so many of stable's requests exceed says most about slow ones.
const WATCHED: f64 = 0.01;
/// What must be ruled out before a promotion to a weight: so much slower (section 2g).
const NEXT_WEIGHTS: [(i32, f64); 3] = [(25, 1.3), (50, 1.2), (100, 1.1)];
/// The interval that is shown is wrong this often.
const INTERVAL_RATE: f64 = 0.05;

/// The tests with what they need for this metric.
pub(super) struct Latency<'a> {
    plan: &'a Plan,
    measure: &'a Measure,
    objective: Option<ObjectivePlan>,
    /// So much slower is tolerated, as a factor.
    tolerated: f64,
    alphas: Alphas,
    stakes: Schedule,
    gross_stakes: Schedule,
    unknown: Grid,
    safe: Grid,
    level: Grid,
    level_safe: Grid,
    known: Option<Known>,
}

/// What follows from the stable version's latencies before the first judged window.
struct Known {
    dictionary: Dictionary,
    /// The bucket above which requests are slow, for people and for gross harm.
    watched: usize,
    /// How many times as many are above it when all of them take three times as long.
    gross_times: f64,
    /// The same for the bound that shows safety best.
    safe_at: usize,
    safe_times: f64,
}

impl<'a> Latency<'a> {
    pub fn new(plan: &'a Plan, compared: &'a ComparisonPlan, s: &Sampler) -> Self {
        let objective = match &compared.measure {
            Measure::Histogram { objective, .. } => *objective,
            _ => None,
        };
        let mut latency = Self {
            plan,
            measure: &compared.measure,
            objective,
            tolerated: 1.0 + compared.relative,
            alphas: Alphas {
                main: compared.alpha_main(),
                gross: compared.alpha_gross(),
                safe: UNSAFE_RATE,
            },
            stakes: stakes(plan, s.window_seconds),
            gross_stakes: stakes(plan, s.scrape_seconds),
            unknown: Grid::uniform(&effects::UNKNOWN_PLAN),
            safe: Grid::uniform(&effects::SAFE),
            level: Grid::uniform(&effects::LEVEL),
            level_safe: Grid::uniform(&effects::LEVEL_SAFE),
            known: None,
        };
        latency.know(s);
        latency
    }

    fn limit(&self) -> f64 {
        ruled_out(self.plan.next_weight, self.tolerated)
    }

    /// Makes everything that follows from the reference, once there is enough of it.
    fn know(&mut self, s: &Sampler) {
        let requests: f64 = s.reference.iter().sum();
        if requests < REFERENCE_MIN || s.reference.len() != s.bounds.len() + 1 {
            return;
        }
        let margin = s.calibration.as_ref().map_or(1.0, |c| {
            let stable = usize::try_from(s.stable_targets).unwrap_or(0);
            c.margin(1, stable)
        });
        let Some(dictionary) = dictionary(&s.reference, &s.bounds, self.tolerated * margin) else {
            return;
        };
        let stable = Stable::of(&s.reference, &s.bounds);
        let (watched, safe_at) = (stable.watched(self.objective), stable.safest(self.limit()));
        if let Some((watched, safe_at)) = watched.zip(safe_at) {
            self.known = Some(Known {
                dictionary,
                watched,
                gross_times: stable.times(watched, GROSS_SLOWER),
                safe_at,
                safe_times: stable.times(safe_at, self.limit()),
            });
        }
    }

    /// By how much the new version's counts vary more than by chance, in the worst of the bets.
    fn phis(s: &Sampler) -> Vec<f64> {
        let Some(calibration) = &s.calibration else {
            return Vec::new();
        };
        let each = s.last_requests / s.canary_targets.max(1) as f64;
        let of = |d: &f64| 1.0 + d * each;
        let mut phis: Vec<f64> = calibration.dispersion.iter().map(of).collect();
        phis.iter_mut()
            .filter(|phi| **phi < 1.1)
            .for_each(|phi| *phi = 1.0);
        phis
    }

    /// Why the stable version's latencies say nothing, though there are enough of them.
    fn undivided(&self, s: &Sampler) -> Option<String> {
        let requests: f64 = s.reference.iter().sum();
        if self.known.is_some() || s.cursor < s.first || requests < REFERENCE_MIN {
            return None;
        }
        let fullest = s.reference.iter().enumerate();
        let (at, _) = fullest.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let bound = |at: usize| {
            let bound = s.bounds.get(at)?;
            Some(words::latency(self.measure.seconds(*bound)))
        };
        let (lower, upper) = (at.checked_sub(1).and_then(bound), bound(at));
        let between = match (lower, upper) {
            (Some(lower), Some(upper)) => format!("between {lower} and {upper}"),
            (None, Some(upper)) => format!("up to {upper}"),
            (Some(lower), None) => format!("longer than {lower}"),
            (None, None) => return None,
        };
        Some(format!(
            "nearly all of the stable version's requests are in one bucket, {between}: no difference shows \
             in it; give the histogram bounds that divide them, or make the metric a dryRun"
        ))
    }

    /// The objective with the bound that it is held against.
    fn objective_at(&self, s: &Sampler) -> Option<(ObjectivePlan, usize)> {
        let objective = self.objective?;
        Some((objective, bound_of(&s.bounds, &objective)?))
    }

    /// The evidence that an objective is met: by itself, or about as often as stable meets it.
    fn met(&self, s: &mut Sampler, w: &Window, share: f64, phi: f64) -> Evidence {
        let (risk, level_risk) = (self.alphas.safe * 0.8, self.alphas.safe * 0.2);
        let comparison = bets(&self.safe, risk);
        begun(&mut s.objective_safe, &comparison);
        let all = at_once(s.objective_safe.windows);
        let r0 = OBJECTIVE_RULED_OUT;
        let relative = comparison.step(&mut s.objective_safe, all, w, r0, phi, Boost::Off);
        let level = bets(&self.level_safe, level_risk);
        begun(&mut s.safe_level, &level);
        let against = Against {
            level: share,
            law: Law::Bernoulli,
            phi,
        };
        let own = level.step_level(&mut s.safe_level, all, w.nc, w.xc, against);
        further(evidence(relative, risk), evidence(own, level_risk))
    }

    /// The e-value of an objective that is missed, more often than it allows and than stable does.
    fn missed(&self, s: &mut Sampler, w: &Window, stake: f64, share: f64, phi: f64) -> f64 {
        let comparison = bets(&self.unknown, self.alphas.main);
        begun(&mut s.objective, &comparison);
        let r0 = OBJECTIVE_TIMES;
        let relative = comparison.step(&mut s.objective, stake, w, r0, phi, Boost::Off);
        let level = bets(&self.level, self.alphas.main);
        begun(&mut s.harm_level, &level);
        let against = Against {
            level: share,
            law: Law::Bernoulli,
            phi,
        };
        relative.min(level.step_level(&mut s.harm_level, stake, w.nc, w.xc, against))
    }
}

impl Judge for Latency<'_> {
    fn needs(&self) -> Needs {
        Needs::Both
    }

    fn begin(&self, status: &mut Comparison, _: &mut Sampler) {
        status.gross.limit = limit(self.alphas.gross);
        status.harm.limit = limit(self.alphas.main);
        status.safe.limit = limit(self.alphas.safe);
    }

    fn counted(&self, _: &Sampler, w: &Observed) -> Window {
        let at = self.known.as_ref().map_or(usize::MAX, |k| k.watched);
        slower(w, at)
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let counted = self.counted(s, w);
        add(&mut status.stable_all, counted.ns, counted.xs);
        if counted.ns > 0.0 {
            s.last_stable = to;
        }
        let Some(known) = &self.known else { return };
        let test = bets(&self.unknown, self.alphas.gross);
        begun(&mut s.gross, &test);
        let stake = self.gross_stakes.gamma(s.gross.windows);
        let e = test.step(
            &mut s.gross,
            stake,
            &counted,
            known.gross_times,
            1.0,
            Boost::Off,
        );
        status.gross.log = log(e);
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let Some(known) = &self.known else { return };
        let phis = Self::phis(s);
        let phi = phis.iter().copied().fold(1.0, f64::max);
        let before = status.harm.log;
        let (canary, stable) = (buckets(w, Version::Canary), buckets(w, Version::Stable));
        if s.harm.bets.len() != known.dictionary.elements.len() {
            s.harm = known.dictionary.begin();
        }
        let (stake, alpha) = (self.stakes.gamma(s.harm.windows), self.alphas.main);
        let mut e = known
            .dictionary
            .step(&mut s.harm, stake, &canary, &stable, &phis, alpha);
        let comparison = bets(&self.safe, self.alphas.safe);
        begun(&mut s.safe, &comparison);
        let at_safe = slower(w, known.safe_at);
        let (all, r0) = (at_once(s.safe.windows), known.safe_times);
        let safe = comparison.step(&mut s.safe, all, &at_safe, r0, phi, Boost::Off);
        status.safe = evidence(safe, self.alphas.safe);
        if let Some((objective, at)) = self.objective_at(s) {
            let at = slower(w, at);
            let missed = self.missed(s, &at, stake, objective.share, phi);
            e = (1.0 - OBJECTIVE_SHARE) * e + OBJECTIVE_SHARE * missed;
            let met = self.met(s, &at, objective.share, phi);
            status.safe = nearer_to_zero(status.safe, met);
        }
        status.harm.log = log(e);

        let watched = slower(w, known.watched);
        add(&mut status.canary, watched.nc, watched.xc);
        add(&mut status.stable, watched.ns, watched.xs);
        sum(&mut s.canary_buckets, &canary);
        sum(&mut s.stable_buckets, &stable);
        interval::add(&mut s.likelihood, &watched, phi);
        note_window(status, &watched, to, before);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let from = s.cursor;
        let grown = scrapes.window(from, to, Age::Grown(self.plan.warmup));
        if from >= s.first && self.known.is_some() {
            self.window(status, s, &grown, to);
        } else {
            // Until enough is known of stable's latencies its windows are the reference.
            let all = scrapes.window(from, to, Age::Any);
            sum(&mut s.reference, &buckets(&all, Version::Stable));
            self.know(s);
        }
        s.last_requests = grown.number(Version::Canary, 0);
        let canary = scrapes.targets(Version::Canary, from, to, Age::Any);
        s.canary_targets = i64::try_from(canary).unwrap_or(i64::MAX);
    }

    fn effect(&self, status: &Comparison, s: &Sampler) -> Option<Effect> {
        effect(&s.likelihood, &status.stable, INTERVAL_RATE)
    }

    fn reading(&self, s: &Sampler) -> Option<Finding> {
        if let Some(message) = self.undivided(s) {
            return Some(Finding::new(Verdict::NoData, "OneBucket", message));
        }
        (self.known.is_none() && s.cursor >= s.first).then(|| {
            let message = "learns how long the stable version's requests take";
            Finding::new(Verdict::Inconclusive, "Collecting", message)
        })
    }

    fn missing(&self, plan: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding> {
        if let Some(objective) = self.objective.filter(|_| self.objective_at(s).is_none()) {
            let message = format!(
                "no bucket bound at or above the objective of {}: the largest is {}; give the \
                 histogram such a bucket, or the objective a bound that it has",
                words::latency(self.measure.seconds(objective.bound)),
                words::latency(
                    self.measure
                        .seconds(s.bounds.last().copied().unwrap_or(0.0))
                ),
            );
            return Some(Finding::new(
                Verdict::NoData,
                "NoBucketForObjective",
                message,
            ));
        }
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

    fn bound(&self, s: &Sampler) -> Option<f64> {
        let known = self.known.as_ref()?;
        let bound = s.bounds.get(known.watched)?;
        Some(self.measure.seconds(*bound))
    }

    fn still_needed(&self, status: &Comparison, s: &Sampler) -> f64 {
        let (Some(known), true) = (&self.known, status.canary.requests > 0.0) else {
            return f64::INFINITY;
        };
        let above = |buckets: &[f64]| -> f64 { buckets.iter().skip(known.safe_at + 1).sum() };
        let p = above(&s.stable_buckets).max(0.5) / status.stable.requests.max(1.0);
        let kappa = status.stable.requests / status.canary.requests;
        let left = status.safe.limit - status.safe.log;
        left / effects::growth(p, kappa, 1.0, 1.0, known.safe_times)
    }
}

/// What must be ruled out before a promotion to `weight`, as a slowdown, where one by the factor
/// `tolerated` is none.
pub(in crate::analysis) fn ruled_out(weight: i32, tolerated: f64) -> f64 {
    let row = NEXT_WEIGHTS.iter().find(|(up_to, _)| weight <= *up_to);
    let limit = row.map_or(1.1, |(_, limit)| *limit);
    // Something must lie between what is tolerated and what is ruled out.
    limit.max(1.0 + 2.0 * (tolerated - 1.0))
}

/// The bucket bound that an objective is held against: the smallest that is not below it.
fn bound_of(bounds: &[f64], objective: &ObjectivePlan) -> Option<usize> {
    bounds.iter().position(|b| *b >= objective.bound)
}

/// The stable version's latencies.
pub(in crate::analysis) struct Stable<'a> {
    /// The share of its requests in each bucket.
    pub shares: Vec<f64>,
    bounds: &'a [f64],
}

impl<'a> Stable<'a> {
    /// From its requests in each bucket.
    pub fn of(buckets: &[f64], bounds: &'a [f64]) -> Self {
        let requests: f64 = buckets.iter().sum();
        Self {
            shares: buckets.iter().map(|n| n / requests.max(1.0)).collect(),
            bounds,
        }
    }

    /// The share of its requests above a bound.
    pub fn above(&self, bound: usize) -> f64 {
        self.shares.iter().skip(bound + 1).sum()
    }

    /// Bounds that say something: not all requests are on one side.
    fn usable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.bounds.len()).filter(|b| (1e-9..0.9).contains(&self.above(*b)))
    }

    /// How many times as many are above a bound when all of them take `slower` times as long.
    pub fn times(&self, bound: usize, slower: f64) -> f64 {
        let rho = scale_rho(&self.shares, self.bounds, slower);
        let then = self.shares.iter().zip(rho).skip(bound + 1);
        let then: f64 = then.map(|(q, rho)| q * rho).sum();
        (then / self.above(bound)).clamp(1.0, 0.95 / self.above(bound))
    }

    /// The bound above which requests are slow: the objective's, or the one that about one in a
    /// hundred exceeds.
    pub fn watched(&self, objective: Option<ObjectivePlan>) -> Option<usize> {
        let near = |b: &usize| (self.above(*b) / WATCHED).ln().abs();
        let asked_for = objective.and_then(|o| bound_of(self.bounds, &o));
        asked_for
            .filter(|b| self.usable().any(|usable| usable == *b))
            .or_else(|| self.usable().min_by(|a, b| near(a).total_cmp(&near(b))))
    }

    /// The bound at which it is soonest shown that a version is not `limit` times as slow.
    pub fn safest(&self, limit: f64) -> Option<usize> {
        let growth = |b: &usize| {
            let times = self.times(*b, limit);
            effects::growth(self.above(*b), 1.0, 1.0, 1.0, times)
        };
        self.usable().max_by(|a, b| growth(a).total_cmp(&growth(b)))
    }
}

/// A version's requests in each bucket, never negative: a histogram that was read between two of its
/// buckets may be short of one.
pub(super) fn buckets(w: &Observed, version: Version) -> Vec<f64> {
    let numbers = w.0.of(version).iter().skip(1);
    numbers.map(|n| n.max(0.0)).collect()
}

/// Requests, and those in a bucket above `bound`.
pub(super) fn slower(w: &Observed, bound: usize) -> Window {
    let of = |version| {
        let above = buckets(w, version)
            .into_iter()
            .skip(bound.saturating_add(1));
        let all = w.number(version, 0);
        (all, above.sum::<f64>().min(all))
    };
    let ((nc, xc), (ns, xs)) = (of(Version::Canary), of(Version::Stable));
    Window { nc, xc, ns, xs }
}

pub(super) fn sum(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(more.len().max(sums.len()), 0.0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
