//! A run played through time that has passed: the shipped [`run`], asked at the moments at which it
//! would have looked, with what it could have known then. For dry runs and backtests.
//!
//! Whoever plays brings the answers; nothing in here knows where they come from.

use jiff::Timestamp;

use super::plan::Plan;
use super::run::{self, Answer, Fault, Pace, Question};
use crate::api::analysis_status::{
    AnalysisRunStatus, Counts, Effect, Evidence, MetricStatus, RunPhase, Verdict,
};

/// So often a run may ask again without a second going by; more is a source that answers otherwise
/// than it was asked.
const ROUNDS_MAX: u32 = 2_000;

/// What was known of a metric at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// When the last judged window ended, in Unix seconds.
    pub at: i64,
    /// Evidence of harm.
    pub harm: Evidence,
    /// Evidence of safety.
    pub safe: Evidence,
    /// Evidence of gross harm.
    pub gross: Evidence,
    /// The effect.
    pub effect: Option<Effect>,
    /// The new version's counts, its young pods' too.
    pub canary: Counts,
    /// The stable version's.
    pub stable: Counts,
}

/// The first verdict that would have ended the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// When, in Unix seconds.
    pub at: i64,
    /// How the run would have ended.
    pub phase: RunPhase,
    /// Its verdict.
    pub verdict: Verdict,
    /// In one word.
    pub reason: String,
    /// In one sentence.
    pub message: String,
    /// The metric that decided, where one did.
    pub metric: Option<String>,
}

/// Plays one run.
#[derive(Debug)]
pub struct Player<'a> {
    plan: &'a Plan,
    status: AnalysisRunStatus,
    pace: Pace,
    now: i64,
    rounds: u32,
    goes_on: bool,
    decision: Option<Decision>,
    moments: Vec<Vec<Moment>>,
}

impl<'a> Player<'a> {
    /// At the start of the run. One that `goes_on` is looked at after a verdict other than `Fail` as
    /// if there had been none.
    #[must_use]
    pub fn new(plan: &'a Plan, goes_on: bool) -> Self {
        Self {
            plan,
            status: run::begin(plan),
            pace: Pace::default(),
            now: plan.start,
            rounds: 0,
            goes_on,
            decision: None,
            moments: vec![Vec::new(); plan.metrics.len()],
        }
    }

    /// The time that is played, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now
    }

    /// What the run asks now.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        run::questions(self.plan, &self.status, &self.pace, self.now)
    }

    /// Takes the answers, judges, and goes to the moment of the next look, not beyond `until`. False:
    /// there is nothing more to play.
    pub fn take(
        &mut self,
        answers: impl IntoIterator<Item = (Question, Result<Answer, Fault>)>,
        until: i64,
    ) -> bool {
        let now = Timestamp::from_second(self.now).unwrap_or_default();
        let mut behind = false;
        for (question, answer) in answers {
            let (status, pace) = (&mut self.status, &mut self.pace);
            behind |= run::take(self.plan, status, pace, &question, answer, now);
        }
        run::conclude(self.plan, &mut self.status, false, now);
        self.note();
        if run::is_over(&self.status) {
            self.decide();
            if !self.goes_on || self.status.verdict == Some(Verdict::Fail) {
                return false;
            }
            self.status.phase = Some(RunPhase::Running);
            self.status.completed_at = None;
        }
        self.rounds += 1;
        if behind && self.rounds < ROUNDS_MAX {
            self.pace = Pace::default();
            return true;
        }
        if self.now >= until {
            return false;
        }
        self.rounds = 0;
        let next = run::next_look(self.plan, &self.status, &self.pace, self.now);
        self.now = next.max(self.now + 1).min(until);
        true
    }

    fn decide(&mut self) {
        let status = &self.status;
        if self.decision.is_some() {
            return;
        }
        let verdict = status.verdict.unwrap_or(Verdict::Inconclusive);
        let decided = |m: &&MetricStatus| !m.dry_run && m.verdict == verdict;
        self.decision = Some(Decision {
            at: self.now,
            phase: status.phase.unwrap_or(RunPhase::Inconclusive),
            verdict,
            reason: status.reason.clone(),
            message: status.message.clone(),
            metric: status.metrics.iter().find(decided).map(|m| m.name.clone()),
        });
    }

    /// Keeps what a window has changed.
    fn note(&mut self) {
        for (moments, metric) in self.moments.iter_mut().zip(&self.status.metrics) {
            let Some(compared) = &metric.comparison else {
                continue;
            };
            let Some(sampler) = &compared.sampler else {
                continue;
            };
            let at = sampler
                .gross_cursor
                .max(compared.harm_shown_at.unwrap_or(0));
            if sampler.scrape_seconds == 0 || moments.last().is_some_and(|last| last.at >= at) {
                continue;
            }
            moments.push(Moment {
                at,
                harm: compared.harm,
                safe: compared.safe,
                gross: compared.gross,
                effect: compared.effect,
                canary: compared.canary_all,
                stable: compared.stable_all,
            });
        }
    }

    /// The first verdict that would have ended the run, if there was one.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// What the run's status would be.
    #[must_use]
    pub fn status(&self) -> &AnalysisRunStatus {
        &self.status
    }

    /// What was known of each metric, moment by moment, in the order of the plan.
    #[must_use]
    pub fn moments(&self) -> &[Vec<Moment>] {
        &self.moments
    }
}

#[cfg(test)]
mod tests;
