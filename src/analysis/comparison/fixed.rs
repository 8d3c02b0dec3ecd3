//! A level that was asked for instead of a version to compare with (statistics, section 2e): the
//! stable version's samples are asked for all the same and shown beside it, but nothing waits for them.

use super::levels::{LevelTests, Levels};
use super::{Alphas, Finding, Judge, UNSAFE_RATE, add};
use crate::analysis::plan::{ComparisonPlan, Plan};
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::api::analysis_status::{Comparison, Counts, Sampler};

/// The tests with the levels that they are held against.
pub(super) struct Fixed<'a> {
    plan: &'a Plan,
    tests: LevelTests,
    levels: Levels,
}

impl<'a> Fixed<'a> {
    /// Against `level`; the tolerances do not apply, the floor does.
    pub fn new(plan: &'a Plan, compared: &ComparisonPlan, level: f64, s: &Sampler) -> Self {
        let alphas = Alphas {
            main: compared.alpha_main(),
            gross: compared.alpha_gross(),
            safe: UNSAFE_RATE,
        };
        let gross = (plan.gross_times * level).max(plan.gross_level);
        Self {
            plan,
            tests: LevelTests::new(plan, compared, s, alphas),
            levels: Levels {
                harm: level.max(compared.floor),
                gross: gross.max(compared.floor).min(GROSS_MAX),
                safe: level,
            },
        }
    }
}

/// More than this share of bad ones is gross, however high the level is.
const GROSS_MAX: f64 = 0.95;

impl Judge for Fixed<'_> {
    fn needs(&self) -> Needs {
        Needs::Canary
    }

    fn begin(&self, status: &mut Comparison, _: &mut Sampler) {
        self.tests.begin(status);
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = w.counts();
        add(&mut status.stable_all, w.ns, w.xs);
        self.tests.short(status, s, &w, to, &self.levels);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        if s.cursor < s.first {
            return;
        }
        let grown = Age::Grown(self.plan.warmup);
        let w = scrapes.window(s.cursor, to, grown);
        self.window(status, s, &w, to);
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = w.counts();
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        self.tests.long(status, s, &w, to, &self.levels);
    }

    fn missing(&self, _: &Plan, _: &Comparison, _: &Sampler) -> Option<Finding> {
        None
    }

    fn counts(&self, status: &Comparison, young: bool) -> Counts {
        if young {
            status.stable_all
        } else {
            status.stable
        }
    }

    fn still_needed(&self, status: &Comparison, _: &Sampler) -> f64 {
        self.tests.still_needed(status, &self.levels)
    }
}
