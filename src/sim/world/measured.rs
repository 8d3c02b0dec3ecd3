//! AnalysisRuns of versions of which somebody said what their targets count: the samples are made here,
//! and everything else is the shipped analysis: what is asked and when, what the answers mean, and what
//! is not judged yet because a scrape is missing.

use jiff::{SignedDuration, Timestamp};

use super::objects::{Kind, RunBody, Stored};
use super::workload::image;
use super::{Event, Fault, World};
use crate::analysis::plan::{self, Arms, Kind as MetricKind, Plan};
use crate::analysis::run::{self, Answer, Pace, Question};
use crate::analysis::series::{Answers, Sample, Series};
use crate::api::analysis_status::AnalysisRunStatus;

/// From scrape to scrape of a target.
const SCRAPE_S: i64 = 15;
/// Scrapes of different targets come at different seconds.
const APART_S: i64 = 4;
/// A run looks at itself at least this often, so that it soon sees that it was told to end.
const LOOK_MAX: SignedDuration = SignedDuration::from_secs(5);
/// Questions that are asked one after the other of a run that is behind.
const CATCH_UP_MAX: usize = 50;

/// An endpoint that counts the requests of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Requests a second.
    pub requests: i64,
    /// Those of them that are bad.
    pub bad: i64,
    /// A sample is found so long after it was scraped.
    pub late: SignedDuration,
}

/// What a run knows beyond what the Rollout's controller looks at.
#[derive(Debug)]
pub(super) struct Measured {
    status: AnalysisRunStatus,
    pace: Pace,
}

impl World {
    /// Whether somebody said what the targets of the version count that a run judges.
    pub(super) fn is_measured(&self, run: &RunBody) -> bool {
        !self.targets(&run.spec.canary_hash).1.is_empty()
    }

    /// Since when a version is there, and its targets.
    fn targets(&self, hash: &str) -> (Timestamp, &[Target]) {
        let mut all = self.store.list(Kind::ReplicaSet);
        let found = all.find_map(|stored| {
            let body = stored.replica_set().filter(|body| body.hash == hash)?;
            let behaviour = self.behaviours.get(image(&body.template))?;
            Some((stored.meta.created, behaviour.targets.as_slice()))
        });
        found.unwrap_or((self.now, &[]))
    }

    /// A run asks what is due, and judges.
    pub(super) fn measure(&mut self, name: &str, stored: &Stored, run: &RunBody) {
        let now = self.now;
        let (status, next) = match plan::parse(&run.spec, stored.meta.created) {
            Ok(plan) => self.judge(name, &plan, run),
            Err(problems) => (run::invalid(&problems, now), now),
        };
        let phase = status.phase.unwrap_or(run.phase);
        if (phase, status.verdict) != (run.phase, run.verdict) {
            let said = status.message.clone();
            self.trace.say(now, || format!("{name}: {phase:?}: {said}"));
            let _ = self.store.update(Kind::Run, name, None, false, |stored| {
                if let Some(run) = stored.run_mut() {
                    run.phase = phase;
                    run.verdict = status.verdict;
                    run.message.clone_from(&status.message);
                }
            });
        }
        if !run::is_over(&status) {
            let wait = next.duration_since(now).min(LOOK_MAX) + self.weather.slow_metrics();
            self.after(wait, Event::Analysis(name.to_owned()));
        }
    }

    fn judge(&mut self, name: &str, plan: &Plan, run: &RunBody) -> (AnalysisRunStatus, Timestamp) {
        let (now, second) = (self.now, self.now.as_second());
        let begun = || Measured {
            status: run::begin(plan),
            pace: Pace::default(),
        };
        let Measured {
            mut status,
            mut pace,
        } = self.measured.remove(name).unwrap_or_else(begun);
        for _ in 0..CATCH_UP_MAX {
            if run.terminate {
                break;
            }
            let mut behind = false;
            for question in run::questions(plan, &status, &pace, second) {
                let answer = self.answer(plan, run, &question);
                behind |= run::take(plan, &mut status, &mut pace, &question, answer, now);
            }
            if !behind {
                break;
            }
            pace = Pace::default();
        }
        run::conclude(plan, &mut status, run.terminate, now);
        run::fit(&mut status);
        let next = run::next_look(plan, &status, &pace, second);
        let known = Measured {
            status: status.clone(),
            pace,
        };
        self.measured.insert(name.to_owned(), known);
        (status, Timestamp::from_second(next).unwrap_or(now))
    }

    /// What the metrics source answers.
    fn answer(
        &self,
        plan: &Plan,
        run: &RunBody,
        question: &Question,
    ) -> Result<Answer, run::Fault> {
        if self.weather.has(&Fault::Metrics) {
            return Err(run::Fault {
                reason: "Unreachable".to_owned(),
                message: "HTTP 503".to_owned(),
                retry_after: None,
            });
        }
        let metric = plan.metrics.get(question.metric);
        if !metric.is_some_and(|metric| matches!(metric.kind, MetricKind::Comparison(_))) {
            // Nobody said what else there is to be measured.
            return Ok(Answer::Points(Vec::new()));
        }
        if question.past.is_some() {
            // No target is older than its version's rollout.
            return Ok(Answer::Past(vec![Vec::new(), Vec::new()]));
        }
        let both = |bad: bool| Arms {
            canary: self.series(&run.spec.canary_hash, bad, question),
            stable: self.series(&run.spec.stable_hash, bad, question),
        };
        Ok(Answer::Samples(Answers {
            at: question.at,
            reach: question.reach,
            selected: vec![both(false), both(true)],
        }))
    }

    /// What can be found by now of what a version's targets counted.
    fn series(&self, hash: &str, bad: bool, question: &Question) -> Vec<Series> {
        let (since, targets) = self.targets(hash);
        let since = since.as_second();
        let of_target = |(apart, target): (i64, &Target)| {
            let found = self.now.as_second() - target.late.as_secs();
            let newest = question.at.min(found);
            let oldest = since.max(question.at - question.reach) + 1;
            let rate = if bad { target.bad } else { target.requests };
            let scraped = (oldest..=newest)
                .filter(|second| (second + apart * APART_S).rem_euclid(SCRAPE_S) == 0);
            let samples = scraped.map(|second| Sample {
                at_ms: second * 1000,
                value: (rate * (second - since)) as f64,
            });
            let instance = format!("{hash}-{apart}");
            Series {
                labels: [("instance".to_owned(), instance)].into(),
                samples: samples.collect(),
                ..Series::default()
            }
        };
        (0..).zip(targets).map(of_target).collect()
    }
}
