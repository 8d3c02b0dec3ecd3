//! One version alone, held against levels: the tests that the hour before and a fixed objective
//! share (statistics, section 2e).

use super::{Alphas, begun, bets, decides, log, note_window, stakes};
use crate::analysis::effects::{self, Grid};
use crate::analysis::level::{Against, Law};
use crate::analysis::plan::{ComparisonPlan, Plan};
use crate::analysis::rho::Window;
use crate::analysis::schedule::{Schedule, at_once};
use crate::api::analysis_status::{Comparison, Sampler};

/// The levels that the new version is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    /// Beyond this is harm.
    pub harm: f64,
    /// Beyond this is gross harm.
    pub gross: f64,
    /// On the good side of this is good enough.
    pub safe: f64,
}

/// The tests against levels, with how often each may be wrong.
pub(super) struct LevelTests {
    alphas: Alphas,
    law: Law,
    stakes: Schedule,
    gross_stakes: Schedule,
    worse: Grid,
    better: Grid,
}

impl LevelTests {
    pub fn new(plan: &Plan, compared: &ComparisonPlan, s: &Sampler, alphas: Alphas) -> Self {
        let worse = compared.worse();
        Self {
            alphas,
            law: compared.law(),
            stakes: stakes(plan, s.window_seconds),
            gross_stakes: stakes(plan, s.scrape_seconds),
            worse: Grid::uniform(&effects::LEVEL.map(|delta| worse * delta)),
            better: Grid::uniform(&effects::LEVEL.map(|delta| -worse * delta)),
        }
    }

    /// Says where the tests decide.
    pub fn begin(&self, status: &mut Comparison) {
        status.gross.limit = super::limit(self.alphas.gross);
        status.harm.limit = super::limit(self.alphas.main);
        status.safe.limit = super::limit(self.alphas.safe);
    }

    fn against(&self, level: f64) -> Against {
        Against {
            level,
            law: self.law,
            phi: 1.0,
        }
    }

    /// A judged window.
    pub fn long(
        &self,
        status: &mut Comparison,
        s: &mut Sampler,
        w: &Window,
        to: i64,
        levels: &Levels,
    ) {
        let before = status.harm.log;
        let test = bets(&self.worse, self.alphas.main);
        begun(&mut s.harm_level, &test);
        let stake = self.stakes.gamma(s.harm_level.windows);
        let against = self.against(levels.harm);
        let e = test.step_level(&mut s.harm_level, stake, w.nc, w.xc, against);
        status.harm.log = log(e);

        let test = bets(&self.better, self.alphas.safe);
        begun(&mut s.safe_level, &test);
        let stake = at_once(s.safe_level.windows);
        let against = self.against(levels.safe);
        let e = test.step_level(&mut s.safe_level, stake, w.nc, w.xc, against);
        status.safe.log = log(e);
        note_window(status, w, to, before);
    }

    /// A short window of the gross test.
    pub fn short(
        &self,
        status: &mut Comparison,
        s: &mut Sampler,
        w: &Window,
        to: i64,
        levels: &Levels,
    ) {
        let test = bets(&self.worse, self.alphas.gross);
        begun(&mut s.gross_level, &test);
        let stake = self.gross_stakes.gamma(s.gross_level.windows);
        let against = self.against(levels.gross);
        let e = test.step_level(&mut s.gross_level, stake, w.nc, w.xc, against);
        status.gross.log = log(e);
        if decides(&status.gross) {
            status.harm_shown_at = Some(to);
        }
    }

    /// About how many more requests, or seconds, decide at what was seen so far.
    pub fn still_needed(&self, status: &Comparison, levels: &Levels) -> f64 {
        let own = (status.canary.bad + 0.5) / (status.canary.requests + 1.0);
        let beyond = |level: f64| match self.worse.deltas.first() {
            Some(delta) if *delta < 0.0 => own < level,
            _ => own > level,
        };
        let (evidence, level) = match own {
            _ if beyond(levels.harm) => (status.harm, levels.harm),
            _ if !beyond(levels.safe) => (status.safe, levels.safe),
            _ => return f64::INFINITY,
        };
        (evidence.limit - evidence.log) / entropy(self.law, own, level)
    }
}

/// The relative entropy of a chance or rate of `q` to one of `p`, for each request or unit of
/// exposure.
pub(in crate::analysis) fn entropy(law: Law, q: f64, p: f64) -> f64 {
    let part = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
    match law {
        Law::Bernoulli => part(q, p) + part(1.0 - q, 1.0 - p),
        Law::Poisson => part(q, p) + p - q,
    }
}
