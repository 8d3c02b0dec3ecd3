//! A run, step by step: what to ask, what the answers mean, when to look again.
//!
//! The caller asks and keeps the time. What the run knows is in its status, so it goes on after a
//! restart at any instant; [`Pace`] only keeps it from asking too often and may be lost.

mod size;
mod trouble;
mod verdict;

pub use size::fit;

use std::collections::BTreeMap;

use jiff::Timestamp;

use trouble::{fault, trouble};
use verdict::{COLLECTING, TIME_IS_OVER, too_little_traffic, verdict};

use super::comparison::{self, Finding, Looked, Past};
use super::plan::{Kind, Plan, PlannedMetric, Problem};
use super::series::{Answers, Series};
use super::threshold::{self, Point};
use super::words;
use crate::api::analysis::RunMode;
use crate::api::analysis_status::{
    AnalysisRunStatus, Comparison, MetricStatus, RunPhase, TOO_LITTLE_TRAFFIC, ThresholdStatus,
    Trouble, Verdict,
};

/// Longest message of a run or metric.
const MESSAGE_MAX: usize = 1000;
/// Longest query that is shown.
const QUERY_MAX: usize = 1024;
/// A single failed question is asked again before it is called an error.
const TROUBLE_MIN: i32 = 2;
/// So many times the stable version's past is asked for in vain before it goes on without.
const PAST_TRIES: i32 = 4;
/// A run looks at itself at least this often: a clock that jumped must not stop it.
const LOOK_MAX_S: i64 = 60;

/// A question to the metrics source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The metric, by its place in the plan.
    pub metric: usize,
    /// The time to ask for, in Unix seconds.
    pub at: i64,
    /// How far back, in seconds; 0: an instant query.
    pub reach: i64,
    /// What the stable version did before is asked for, not what both do now.
    pub past: Option<Past>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// For a comparison.
    Samples(Answers),
    /// For the same: the stable version's past, for each selector in the measure's order.
    Past(Vec<Vec<Series>>),
    /// For a threshold.
    Points(Vec<Point>),
}

/// Why nothing came back that can be used. It says nothing about the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In one word.
    pub reason: String,
    /// In one sentence, without anything that the source sent.
    pub message: String,
    /// How long the source asks to be left alone, in seconds.
    pub retry_after: Option<i64>,
}

/// When each metric was last asked for, in Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace(BTreeMap<usize, i64>);

/// The status of a run before it has looked at anything.
#[must_use]
pub fn begin(plan: &Plan) -> AnalysisRunStatus {
    AnalysisRunStatus {
        phase: Some(RunPhase::Pending),
        metrics: plan.metrics.iter().map(metric_status).collect(),
        ..AnalysisRunStatus::default()
    }
}

fn metric_status(metric: &PlannedMetric) -> MetricStatus {
    let queries: Vec<&String> = match &metric.kind {
        Kind::Comparison(compared) => {
            let selectors = compared.measure.selectors().into_iter();
            selectors
                .flat_map(|(_, arms)| [&arms.canary, &arms.stable])
                .collect()
        }
        Kind::Threshold(t) => vec![&t.query],
    };
    MetricStatus {
        name: metric.name.clone(),
        kind: metric.kind.word().to_owned(),
        verdict: Verdict::Inconclusive,
        reason: COLLECTING.into(),
        message: String::new(),
        dry_run: metric.dry_run,
        queries: queries
            .into_iter()
            .map(|q| words::cut(q, QUERY_MAX))
            .collect(),
        trouble: None,
        comparison: matches!(metric.kind, Kind::Comparison(_)).then(Comparison::default),
        threshold: matches!(metric.kind, Kind::Threshold(_)).then(ThresholdStatus::default),
    }
}

/// Takes up a status as it was read from the cluster: what does not belong to the plan begins anew.
#[must_use]
pub fn resume(plan: &Plan, status: Option<AnalysisRunStatus>) -> AnalysisRunStatus {
    let fresh = begin(plan);
    let Some(status) = status.filter(|s| s.phase.is_some()) else {
        return fresh;
    };
    let mut known: BTreeMap<String, MetricStatus> = status
        .metrics
        .into_iter()
        .map(|m| (m.name.clone(), m))
        .collect();
    let fits = |known: &MetricStatus, fresh: &MetricStatus| {
        known.comparison.is_some() == fresh.comparison.is_some()
            && known.threshold.is_some() == fresh.threshold.is_some()
    };
    let metrics = fresh
        .metrics
        .into_iter()
        .map(|fresh| match known.remove(&fresh.name) {
            Some(known) if fits(&known, &fresh) => known,
            _ => fresh,
        })
        .collect();
    AnalysisRunStatus { metrics, ..status }
}

/// The status of a run whose spec cannot be read.
#[must_use]
pub fn invalid(problems: &[Problem], now: Timestamp) -> AnalysisRunStatus {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    AnalysisRunStatus {
        phase: Some(RunPhase::Inconclusive),
        verdict: Some(Verdict::Inconclusive),
        reason: "InvalidSpec".into(),
        message: words::cut(&all.join("; "), MESSAGE_MAX),
        completed_at: Some(whole(now)),
        ..AnalysisRunStatus::default()
    }
}

/// Whether a run is over.
#[must_use]
pub fn is_over(status: &AnalysisRunStatus) -> bool {
    !matches!(
        status.phase,
        None | Some(RunPhase::Pending | RunPhase::Running)
    )
}

/// What is to be asked now.
#[must_use]
pub fn questions(plan: &Plan, status: &AnalysisRunStatus, pace: &Pace, now: i64) -> Vec<Question> {
    let metrics = plan.metrics.iter().zip(&status.metrics).enumerate();
    let due = metrics.filter(|(i, (metric, status))| due(plan, metric, status, pace, *i) <= now);
    due.map(
        |(i, (metric, status))| match (&metric.kind, &status.comparison) {
            (Kind::Comparison(_), Some(ratio)) => {
                let past = match (&metric.kind, &ratio.sampler) {
                    (Kind::Comparison(compared), Some(s)) => comparison::wanted(plan, compared, s),
                    _ => None,
                };
                let (at, reach) = match &past {
                    Some(past) => (past.until, past.reach),
                    None => comparison::question(plan, ratio, now),
                };
                Question {
                    metric: i,
                    at,
                    reach,
                    past,
                }
            }
            _ => Question {
                metric: i,
                at: now,
                reach: 0,
                past: None,
            },
        },
    )
    .collect()
}

fn due(
    plan: &Plan,
    metric: &PlannedMetric,
    status: &MetricStatus,
    pace: &Pace,
    index: usize,
) -> i64 {
    if let Some(trouble) = &status.trouble {
        return trouble.retry_at.as_second();
    }
    match (&metric.kind, &status.comparison, &status.threshold) {
        (Kind::Comparison(_), Some(ratio), _) => {
            comparison::next_question(plan, ratio, pace.0.get(&index).copied())
        }
        (Kind::Threshold(threshold), _, Some(status)) => {
            threshold::next_question(plan, threshold, status)
        }
        _ => i64::MAX,
    }
}

/// Takes an answer in. True: more is to be asked at once, the run is behind; with a fresh [`Pace`],
/// which would make it wait.
pub fn take(
    plan: &Plan,
    status: &mut AnalysisRunStatus,
    pace: &mut Pace,
    question: &Question,
    answer: Result<Answer, Fault>,
    now: Timestamp,
) -> bool {
    let at = now.as_second();
    pace.0.insert(question.metric, at);
    let Some((metric, status)) = plan
        .metrics
        .get(question.metric)
        .zip(status.metrics.get_mut(question.metric))
    else {
        return false;
    };
    let taken = answer.and_then(|answer| match (&metric.kind, answer) {
        (Kind::Comparison(plan_of), Answer::Samples(answers)) => {
            let ratio = status.comparison.get_or_insert_default();
            let looked = comparison::take(plan, plan_of, ratio, &answers)
                .map_err(|e| fault(e.reason(), &e.to_string()))?;
            Ok(match looked {
                Looked::Nothing => false,
                Looked::Windows => answers.at < at,
                Looked::TooShort => true,
            })
        }
        (Kind::Comparison(plan_of), Answer::Past(selected)) => {
            let comparison = status.comparison.get_or_insert_default();
            if let Some((s, past)) = comparison.sampler.as_mut().zip(question.past) {
                comparison::calibrate(plan_of, s, &past, &selected);
            }
            // What is to be judged with it is asked for at once.
            Ok(true)
        }
        (Kind::Threshold(plan_of), Answer::Points(points)) => {
            let threshold = status.threshold.get_or_insert_default();
            let asked = Timestamp::from_second(question.at).unwrap_or(now);
            threshold::take(plan_of, threshold, asked, &points)
                .map_err(|e| fault(e.reason(), &e.to_string()))?;
            Ok(false)
        }
        _ => Err(fault("WrongAnswer", "the source answered another question")),
    });
    match taken {
        Ok(behind) => {
            status.trouble = None;
            behind
        }
        Err(fault) => {
            let before = status.trouble.take();
            let failed = trouble(before, &fault, now);
            if question.past.is_some()
                && failed.count >= PAST_TRIES
                && let Some(s) = status.comparison.as_mut().and_then(|c| c.sampler.as_mut())
            {
                // The past is worth waiting for, but not for ever: the present may still answer.
                let why = format!(
                    "the stable version's past could not be read: {}",
                    fault.message
                );
                comparison::without(s, &words::cut(&why, QUERY_MAX / 2));
                // It is asked at once; until it answers, the source is as silent as before.
                status.trouble = Some(Trouble {
                    retry_at: whole(now),
                    ..failed
                });
                return true;
            }
            status.trouble = Some(failed);
            false
        }
    }
}

/// What all of it means now: verdicts, phase, messages. Before a status is written, [`fit`] makes it
/// small enough.
pub fn conclude(plan: &Plan, status: &mut AnalysisRunStatus, terminate: bool, now: Timestamp) {
    if is_over(status) {
        return;
    }
    let at = now.as_second();
    if at < plan.start && !terminate {
        status.phase = Some(RunPhase::Pending);
        status.verdict = Some(Verdict::Inconclusive);
        status.reason = "Pending".into();
        status.message = "waits for its start".into();
        return;
    }
    status.started_at.get_or_insert(whole(now));
    status.phase = Some(RunPhase::Running);
    let left = plan.begin + plan.max_duration + held(status, at) - at;
    for (metric, status) in plan.metrics.iter().zip(&mut status.metrics) {
        conclude_metric(plan, metric, status, at, left);
    }
    let finding = verdict(plan, status, at);
    hold(status, finding.verdict, now);
    status.verdict = Some(finding.verdict);
    status.reason = finding.reason.to_owned();
    status.message = words::cut(&finding.message, MESSAGE_MAX);
    let over = match (finding.verdict, finding.reason, plan.mode) {
        (Verdict::Fail, ..) => Some(RunPhase::Failed),
        (Verdict::Pass, _, RunMode::Step) => Some(RunPhase::Successful),
        (Verdict::Inconclusive, TIME_IS_OVER, RunMode::Step) => Some(RunPhase::Inconclusive),
        _ => None,
    };
    let over = over.or(terminate.then_some(RunPhase::Terminated));
    if let Some(phase) = over {
        status.phase = Some(phase);
        status.completed_at = Some(whole(now));
    }
}

fn conclude_metric(
    plan: &Plan,
    metric: &PlannedMetric,
    status: &mut MetricStatus,
    at: i64,
    left: i64,
) {
    let mut asked = false;
    let before = status.reason == TOO_LITTLE_TRAFFIC;
    let found = match (&metric.kind, &mut status.comparison, &status.threshold) {
        (Kind::Comparison(plan_of), Some(ratio), _) => {
            asked = ratio.sampler.is_some();
            let (found, forecast) = comparison::find(plan, plan_of, ratio, at);
            ratio.forecast = forecast;
            match too_little_traffic(plan, ratio, left, before) {
                Some(message) if found.reason == COLLECTING => Finding::new(
                    found.verdict,
                    TOO_LITTLE_TRAFFIC,
                    format!("{}; {message}", found.message),
                ),
                _ => found,
            }
        }
        (Kind::Threshold(plan_of), _, Some(threshold)) => {
            asked = threshold.last_at.is_some();
            threshold::find(plan_of, threshold)
        }
        _ => Finding::new(Verdict::Inconclusive, COLLECTING, ""),
    };
    let found = match &status.trouble {
        Some(trouble) if found.verdict != Verdict::Fail => {
            if asked && trouble.count < TROUBLE_MIN {
                // One failed question is no state, but nothing passes on it.
                let message = format!("asks again after {}: {}", trouble.reason, found.message);
                Finding::new(held_back(found.verdict), "AsksAgain", message)
            } else {
                status.reason.clone_from(&trouble.reason);
                status.verdict = Verdict::SourceError;
                status.message = words::cut(
                    &format!(
                        "{}: {} (since {})",
                        trouble.reason, trouble.message, trouble.since
                    ),
                    MESSAGE_MAX,
                );
                return;
            }
        }
        _ => found,
    };
    status.verdict = found.verdict;
    status.reason = found.reason.to_owned();
    status.message = words::cut(&found.message, MESSAGE_MAX);
}

fn held_back(verdict: Verdict) -> Verdict {
    if verdict == Verdict::Pass {
        Verdict::Inconclusive
    } else {
        verdict
    }
}

/// Keeps the time of holds apart, so that a source that is down does not use up `maxDuration`.
fn hold(status: &mut AnalysisRunStatus, verdict: Verdict, now: Timestamp) {
    let holds = matches!(verdict, Verdict::NoData | Verdict::SourceError);
    match (holds, status.held_since) {
        (true, None) => status.held_since = Some(whole(now)),
        (false, Some(since)) => {
            status.held_seconds += (now.as_second() - since.as_second()).max(0);
            status.held_since = None;
        }
        _ => {}
    }
}

/// For how long the run was held in all.
fn held(status: &AnalysisRunStatus, at: i64) -> i64 {
    let present = status
        .held_since
        .map_or(0, |since| (at - since.as_second()).max(0));
    status.held_seconds + present
}

/// When to look again, in Unix seconds.
#[must_use]
pub fn next_look(plan: &Plan, status: &AnalysisRunStatus, pace: &Pace, now: i64) -> i64 {
    let metrics = plan.metrics.iter().zip(&status.metrics).enumerate();
    let asked = metrics.map(|(i, (metric, status))| due(plan, metric, status, pace, i));
    let ends = [
        plan.start,
        plan.begin + plan.min_bake,
        plan.begin + plan.max_duration + held(status, now),
    ];
    let next = asked.chain(ends.into_iter().filter(|end| *end > now)).min();
    next.unwrap_or(i64::MAX).clamp(now + 1, now + LOOK_MAX_S)
}

/// Times in a status are whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
