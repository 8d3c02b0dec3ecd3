//! What was seen of a Rollout over time. The API keeps no curves, so the page notes them while it watches, and
//! takes over what an AnalysisRun's status still has of the windows before. Bounded; no clock of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::analysis::AnalysisRun;
use crate::api::analysis_status::{Comparison, Evidence};
use crate::cli::objects::Objects;

/// Points of a curve. With more, every second one of them goes: the newest moments and the shape stay.
const POINTS_MAX: usize = 512;
/// Metrics whose curves are kept: as many as a run can have.
const METRICS_MAX: usize = 20;
/// Versions whose steps' times are kept.
const STEPS_MAX: usize = 100;

/// A curve: seconds and values, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve<V> {
    points: Vec<(i64, V)>,
}

impl<V: Clone + PartialEq> Curve<V> {
    /// Puts a point at the end, if it says anything new. One that is older than the last is left out.
    pub fn push(&mut self, at: i64, value: V) {
        match self.points.last_mut() {
            Some((_, last)) if *last == value => return,
            Some((then, _)) if *then > at => return,
            Some((then, last)) if *then == at => {
                *last = value;
                return;
            }
            _ => {}
        }
        self.points.push((at, value));
        if self.points.len() > POINTS_MAX {
            let newest = self.points.len() - 1;
            let mut place = 0;
            self.points.retain(|_| {
                let kept = place % 2 == 0 || place == newest;
                place += 1;
                kept
            });
        }
    }

    /// The points.
    #[must_use]
    pub fn points(&self) -> &[(i64, V)] {
        &self.points
    }

    /// When the last point was.
    fn newest(&self) -> Option<i64> {
        self.points.last().map(|(at, _)| *at)
    }
}

/// The weight that is authorised and the one that the data plane is known to have, in percent.
pub type Weight = (i32, i32);

/// Evidence in percent of its limit: of harm and of safety.
pub type Shares = (f64, f64);

/// The curves of one metric of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricPast {
    /// Evidence in percent of its limit.
    pub evidence: Curve<Shares>,
}

/// What was seen of one Rollout.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Since when it is watched.
    since: Option<Timestamp>,
    /// The revision that the curves are about.
    revision: i64,
    weight: Curve<Weight>,
    observed: Curve<f64>,
    metrics: BTreeMap<(String, String), MetricPast>,
    steps: BTreeMap<(i64, i32), Timestamp>,
}

impl Past {
    /// Notes how it is now.
    pub fn note(&mut self, all: &Objects, now: Timestamp) {
        self.since.get_or_insert(now);
        let Some(status) = &all.rollout.status else {
            return;
        };
        if let Some(canary) = &status.canary {
            if canary.revision != self.revision {
                self.revision = canary.revision;
                self.observed = Curve::default();
                self.metrics.clear();
            }
            if let Some(began) = canary.step_started_at {
                let step = (canary.revision, canary.step);
                self.steps.entry(step).or_insert(began);
            }
            while self.steps.len() > STEPS_MAX {
                self.steps.pop_first();
            }
        }
        if let Some(traffic) = &status.traffic {
            let weight = (traffic.desired, traffic.accepted);
            self.weight.push(now.as_second(), weight);
        }
        let mut names = vec![];
        if let Some(canary) = &status.canary {
            names.extend([&canary.analysis_run, &canary.background_run]);
        }
        if let Some(abort) = &status.abort {
            names.push(&abort.analysis_run);
        }
        let names: Vec<&String> = names.into_iter().flatten().collect();
        for run in all.runs.iter().filter(|r| names.contains(&&r.name_any())) {
            self.note_run(run, now);
        }
    }

    fn note_run(&mut self, run: &AnalysisRun, now: Timestamp) {
        let Some(status) = &run.status else { return };
        let mut is_first = true;
        for metric in &status.metrics {
            let Some(comparison) = &metric.comparison else {
                continue;
            };
            let name = (run.name_any(), metric.name.clone());
            if self.metrics.len() < METRICS_MAX || self.metrics.contains_key(&name) {
                let past = self.metrics.entry(name).or_default();
                note_evidence(past, comparison, now);
            }
            // The first one that counts requests tells how they are shared.
            let counted = comparison.windows.iter();
            let mut told = counted
                .filter(|w| w.canary.requests + w.stable.requests > 0.0)
                .peekable();
            if is_first && told.peek().is_some() {
                is_first = false;
                let newest = self.observed.newest();
                for window in told.filter(|w| newest.is_none_or(|newest| w.end > newest)) {
                    let (canary, stable) = (window.canary.requests, window.stable.requests);
                    let share = 100.0 * canary / (canary + stable);
                    self.observed.push(window.end, tenth(share));
                }
            }
        }
    }

    /// Since when it is watched.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The weights over time.
    #[must_use]
    pub fn weight(&self) -> &Curve<Weight> {
        &self.weight
    }

    /// The share of the requests that the new version was seen to have, in percent.
    #[must_use]
    pub fn observed(&self) -> &Curve<f64> {
        &self.observed
    }

    /// The curves of a metric of a run.
    #[must_use]
    pub fn metric(&self, run: &str, metric: &str) -> Option<&MetricPast> {
        self.metrics.get(&(run.to_owned(), metric.to_owned()))
    }

    /// When a step began, if that was seen.
    #[must_use]
    pub fn step(&self, revision: i64, step: i32) -> Option<Timestamp> {
        self.steps.get(&(revision, step)).copied()
    }
}

/// The first time, what the last windows added to the evidence of harm tells where it came from.
fn note_evidence(past: &mut MetricPast, comparison: &Comparison, now: Timestamp) {
    let (harm, safe) = (&comparison.harm, &comparison.safe);
    if past.evidence.points().is_empty() && harm.limit > 0.0 {
        let mut log = harm.log;
        let mut before = Vec::new();
        for window in comparison.windows.iter().rev() {
            let at_that_time = Evidence {
                log,
                limit: harm.limit,
            };
            before.push((window.end, share(&at_that_time)));
            log -= window.log;
        }
        for (at, harm) in before.into_iter().rev() {
            past.evidence.push(at, (harm, f64::NAN));
        }
    }
    past.evidence
        .push(now.as_second(), (share(harm), share(safe)));
}

/// Evidence in percent of its limit; what speaks against it counts as none.
#[must_use]
pub fn share(evidence: &Evidence) -> f64 {
    if evidence.limit > 0.0 && evidence.log.is_finite() {
        tenth((100.0 * evidence.log / evidence.limit).clamp(0.0, 150.0))
    } else if evidence.log == f64::INFINITY {
        150.0
    } else {
        0.0
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
