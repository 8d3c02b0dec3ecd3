//! Levels such as memory or the length of a queue (statistics, section 2d): the difference of the two
//! versions' means, window by window, so that what both share cancels out. Values of one pod hang
//! together over time, so their variance comes from the stable pods' past; without it only the means
//! of five minutes are compared.

use super::finding::gap;
use super::{
    Alphas, Finding, Judge, UNSAFE_RATE, add, begun, bets, decides, evidence, limit, log,
    note_window, stakes,
};
use crate::analysis::effects::Grid;
use crate::analysis::gauss::{self, t_log_bf};
use crate::analysis::plan::{ComparisonPlan, Plan, Version};
use crate::analysis::rho::Window;
use crate::analysis::schedule::{Schedule, at_once};
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::analysis::words;
use crate::api::analysis_status::{
    Comparison, Counts, Differences, Effect, Origin, Sampler, Verdict,
};

/// Without the pods' past, means of this long are taken for independent ...
const BLOCK_S: i64 = 300;
/// ... and nothing is said before there are so many.
const BLOCKS_MIN: usize = 6;
/// Most of them that are kept; the oldest go.
const BLOCKS_MAX: usize = 64;
/// The prior of the t test, in standard deviations of a block.
const PRIOR: f64 = 1.0;
/// What must be ruled out before a promotion to a weight, as a multiple of what is tolerated.
const NEXT_WEIGHTS: [(i32, f64); 3] = [(25, 5.0), (50, 3.0), (100, 2.0)];
/// Where nothing is tolerated, this is taken for it when safety is shown.
const TOLERATED_MIN: f64 = 0.05;
/// The interval that is shown is wrong this often ...
const INTERVAL_RATE: f64 = 0.05;
/// ... and narrowest about this many windows.
const INTERVAL_AT: f64 = 20.0;

/// The tests with what they need for this metric.
pub(super) struct Gauge<'a> {
    plan: &'a Plan,
    compared: &'a ComparisonPlan,
    alphas: Alphas,
    stakes: Schedule,
    gross_stakes: Schedule,
    worse: Grid,
    better: Grid,
}

/// What both versions had in a window.
struct Means {
    difference: f64,
    /// Of the difference, for one window.
    variance: Option<f64>,
    /// What pods may differ by, as a logarithm.
    margin: f64,
}

impl<'a> Gauge<'a> {
    pub fn new(plan: &'a Plan, compared: &'a ComparisonPlan, s: &Sampler) -> Self {
        Self {
            plan,
            compared,
            alphas: Alphas {
                main: compared.alpha_main(),
                gross: compared.alpha_gross(),
                safe: UNSAFE_RATE,
            },
            stakes: stakes(plan, s.window_seconds),
            gross_stakes: stakes(plan, s.scrape_seconds),
            worse: Grid::uniform(&gauss::DELTAS),
            better: Grid::uniform(&gauss::DELTAS.map(|delta| -delta)),
        }
    }

    /// What must be ruled out before the next weight, as a logarithm.
    fn limit(&self) -> f64 {
        ruled_out(self.plan.next_weight, self.compared.relative).ln()
    }

    fn means(s: &Sampler, w: &Window) -> Option<Means> {
        if !w.compares() {
            return None;
        }
        let (canary, stable) = (w.xc / w.nc, w.xs / w.ns);
        let difference = if canary > 0.0 && stable > 0.0 {
            (canary / stable).ln()
        } else {
            (canary - stable) / stable.abs()
        };
        let known = s.calibration.as_ref();
        let known = known.filter(|c| c.origin == Origin::Pods && c.variance > 0.0);
        let pods = [s.canary_targets, s.stable_targets].map(|n| n.max(1) as f64);
        let margin = known.map_or(1.0, |c| {
            let count = |n: i64| usize::try_from(n).unwrap_or(0);
            c.margin(count(s.canary_targets), count(s.stable_targets))
        });
        difference.is_finite().then(|| Means {
            difference,
            variance: known.map(|c| c.variance * pods.iter().map(|n| 1.0 / n).sum::<f64>()),
            margin: margin.ln(),
        })
    }
}

/// What must be ruled out before a promotion to `weight`, as a multiple of stable's, where
/// `tolerated` more is no harm.
pub(in crate::analysis) fn ruled_out(weight: i32, tolerated: f64) -> f64 {
    let row = NEXT_WEIGHTS.iter().find(|(up_to, _)| weight <= *up_to);
    let times = row.map_or(2.0, |(_, times)| *times);
    1.0 + times * tolerated.max(TOLERATED_MIN)
}

/// The logarithm of the e-value that the mean of blocks is on the side `side` of `margin`.
fn by_blocks(blocks: &[f64], margin: f64, side: f64) -> f64 {
    let off: Vec<f64> = blocks.iter().map(|d| side * (d - margin)).collect();
    if off.len() < BLOCKS_MIN || off.iter().sum::<f64>() <= 0.0 {
        return 0.0;
    }
    let log = t_log_bf(&off, PRIOR);
    if log.is_finite() { log } else { 0.0 }
}

fn note(all: &mut Differences, means: &Means, to: i64) {
    all.sum += means.difference;
    all.windows += 1;
    all.variance += means.variance.unwrap_or(0.0);
    let block = (to - 1).div_euclid(BLOCK_S);
    if all.block != block {
        if all.block_windows > 0 {
            all.blocks.push(all.block_sum / all.block_windows as f64);
            let old = all.blocks.len().saturating_sub(BLOCKS_MAX);
            all.blocks.drain(..old);
        }
        (all.block, all.block_sum, all.block_windows) = (block, 0.0, 0);
    }
    all.block_sum += means.difference;
    all.block_windows += 1;
}

impl Judge for Gauge<'_> {
    fn needs(&self) -> Needs {
        Needs::Both
    }

    fn begin(&self, status: &mut Comparison, _: &mut Sampler) {
        status.gross.limit = limit(self.alphas.gross);
        status.harm.limit = limit(self.alphas.main);
        status.safe.limit = limit(self.alphas.safe);
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = w.counts();
        add(&mut status.stable_all, w.ns, w.xs);
        if w.ns > 0.0 {
            s.last_stable = to;
        }
        let Some(means) = Self::means(s, &w) else {
            return;
        };
        let Some(variance) = means.variance else {
            return;
        };
        let test = bets(&self.worse, self.alphas.gross);
        begun(&mut s.gross, &test);
        let stake = self.gross_stakes.gamma(s.gross.windows);
        // The variance is that of a window; a scrape's is as many times larger.
        let variance = variance * s.window_seconds as f64 / s.scrape_seconds.max(1) as f64;
        let margin = self.plan.gross_times.ln() + means.margin;
        let e = test.step_gauge(&mut s.gross, stake, means.difference, variance, margin);
        status.gross.log = log(e);
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = &w.counts();
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        let Some(means) = Self::means(s, w) else {
            return;
        };
        let before = status.harm.log;
        let tolerated = self.compared.relative.ln_1p() + means.margin;
        let limited = self.limit() + means.margin;
        note(&mut s.differences, &means, to);
        if let Some(variance) = means.variance {
            let test = bets(&self.worse, self.alphas.main);
            begun(&mut s.harm, &test);
            let stake = self.stakes.gamma(s.harm.windows);
            let d = means.difference;
            let e = test.step_gauge(&mut s.harm, stake, d, variance, tolerated);
            status.harm.log = log(e);
            let test = bets(&self.better, self.alphas.safe);
            begun(&mut s.safe, &test);
            let stake = at_once(s.safe.windows);
            let e = test.step_gauge(&mut s.safe, stake, d, variance, limited);
            status.safe = evidence(e, self.alphas.safe);
        } else {
            s.harm.windows += 1;
            status.harm.log = by_blocks(&s.differences.blocks, tolerated, 1.0);
            status.safe.log = by_blocks(&s.differences.blocks, limited, -1.0);
        }
        note_window(status, w, to, before);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let from = s.cursor;
        let grown = Age::Grown(self.plan.warmup);
        if from >= s.first {
            let w = scrapes.window(from, to, grown);
            self.window(status, s, &w, to);
        }
        let count = |version| {
            let targets = scrapes.targets(version, from, to, grown);
            i64::try_from(targets).unwrap_or(i64::MAX)
        };
        s.canary_targets = count(Version::Canary);
        s.stable_targets = count(Version::Stable).max(1);
    }

    fn effect(&self, status: &Comparison, s: &Sampler) -> Option<Effect> {
        let all = &s.differences;
        let n = all.windows as f64;
        if n <= 0.0 || all.variance <= 0.0 {
            return None;
        }
        // Robbins' normal mixture for a known variance, narrowest after a few windows.
        let v = all.variance;
        let rho = v / n * INTERVAL_AT;
        let log = ((v + rho) / rho).ln() - 2.0 * INTERVAL_RATE.ln();
        let (mean, radius) = (all.sum / n, ((v + rho) * log).sqrt() / n);
        let stable = status.stable.bad / status.stable.requests.max(1.0);
        Some(Effect {
            times: mean.exp(),
            lower: (mean - radius).exp(),
            upper: (mean + radius).exp(),
            points: mean.exp_m1() * stable,
        })
    }

    fn missing(&self, plan: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding> {
        let quiet = gap(plan, s, s.last_stable, status.stable_all.requests)?;
        let message = format!(
            "nothing of the stable version to compare with for {}",
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
        let all = &s.differences;
        if all.windows == 0 || all.variance <= 0.0 {
            return f64::INFINITY;
        }
        let (mean, variance) = (
            all.sum / all.windows as f64,
            all.variance / all.windows as f64,
        );
        let distance = self.limit() - mean;
        if distance <= 0.0 {
            return f64::INFINITY;
        }
        let windows = (status.safe.limit - status.safe.log) * 2.0 * variance / distance.powi(2);
        windows * status.canary.requests / all.windows as f64
    }
}
