//! Rollouts that never were: some stable pods are taken for a new version, at times that chance
//! chooses, and the shipped run judges them. Whatever it aborts of these, it aborts falsely.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::chance::{Chance, below, some_of};
use super::injection::inject;
use super::recording::Recording;
use crate::analysis::plan::{self, Arms, Kind, Measure, Plan, Problem};
use crate::analysis::replay::{Decision, Player};
use crate::analysis::run::Fault;
use crate::api::analysis::{AnalysisRunSpec, Arm, RunMode};

/// So far before a run's start the pods' past is of use to it, in seconds: the six hours that a run
/// asks for, and the longest warm-up with what a question reaches beyond it.
pub const LEAD_S: i64 = 6 * 3600 + 3600 + 600;
/// So many times a moment is looked for at which there are enough pods, for each run.
const TRIES: usize = 20;
/// Beside the pods that are taken for the new version there must be so many.
const REST_MIN: usize = 2;

/// Which pods are taken for the new version, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The start of the run, in Unix seconds.
    pub start: i64,
    /// The targets, for each metric.
    pub canary: Vec<BTreeSet<String>>,
}

/// Why no pods can be taken for a new version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsuited {
    /// Too few.
    #[error(
        "{found} scraped targets of the stable version are told apart (by the labels job, instance, namespace and pod), and at least {needed} are needed: {pods} that stand for a new version, and {REST_MIN} others to compare with"
    )]
    TooFew {
        /// The most that were found at any moment.
        found: usize,
        /// How many it takes.
        needed: usize,
        /// How many of them stand for the new version.
        pods: usize,
    },
    /// Nothing is compared.
    #[error(
        "the template compares nothing: its metrics are thresholds, which are not held against other pods"
    )]
    NothingCompared,
}

/// What is drawn, and from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The first start, in Unix seconds.
    pub from: i64,
    /// The last one.
    pub to: i64,
    /// How many pods stand for the new version.
    pub pods: usize,
    /// How many runs.
    pub runs: usize,
}

/// Chooses moments and pods. Metrics of the same targets get the same pods.
///
/// # Errors
/// [`Unsuited`] where no moment has enough pods.
pub fn choose(
    recording: &Recording,
    plan: &Plan,
    draw: Draw,
    chance: &mut dyn Chance,
) -> Result<Vec<Choice>, Unsuited> {
    let compared: Vec<usize> = plan
        .metrics
        .iter()
        .enumerate()
        .filter(|(_, m)| matches!(m.kind, Kind::Comparison(_)))
        .map(|(i, _)| i)
        .collect();
    if compared.is_empty() {
        return Err(Unsuited::NothingCompared);
    }
    let needed = draw.pods + REST_MIN;
    let mut found = 0;
    let mut choices = Vec::with_capacity(draw.runs);
    for _ in 0..draw.runs.saturating_mul(TRIES) {
        if choices.len() >= draw.runs {
            break;
        }
        let width = usize::try_from(draw.to - draw.from + 1).unwrap_or(1);
        let start = draw.from + i64::try_from(below(chance, width)).unwrap_or(0);
        let mut canary = vec![BTreeSet::new(); plan.metrics.len()];
        let mut chosen: BTreeSet<String> = BTreeSet::new();
        let mut enough = true;
        for metric in &compared {
            let targets = recording.targets(*metric, start);
            found = found.max(targets.len());
            enough &= targets.len() >= needed;
            let same = !chosen.is_empty() && chosen.is_subset(&targets);
            if !same {
                let places = some_of(chance, targets.len(), draw.pods);
                let names = places.iter().filter_map(|i| targets.iter().nth(*i));
                chosen = names.cloned().collect();
            }
            if let Some(canary) = canary.get_mut(*metric) {
                canary.clone_from(&chosen);
            }
        }
        if enough {
            choices.push(Choice { start, canary });
        }
    }
    if choices.is_empty() {
        let pods = draw.pods;
        return Err(Unsuited::TooFew {
            found,
            needed,
            pods,
        });
    }
    Ok(choices)
}

/// A regression that is put into one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// The metric, by its place in the plan.
    pub metric: usize,
    /// So many times as many, or as slow.
    pub factor: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its start, in Unix seconds.
    pub start: i64,
    /// How long it was played, in seconds.
    pub seconds: i64,
    /// Its verdict; none: the run would still be looking.
    pub decision: Option<Decision>,
    /// The reason of the last look, in one word.
    pub reason: String,
}

/// The spec of a placebo's run: what is compared, step by step as in a rollout.
#[must_use]
pub fn spec(of: &AnalysisRunSpec) -> AnalysisRunSpec {
    let mut spec = of.clone();
    spec.metrics.retain(crate::api::metric::Metric::compares);
    spec.mode = RunMode::Step;
    spec.arm = Some(Arm {
        // The samples are told apart by their targets, so any matchers will do that differ.
        canary: Some("version=\"placebo\"".into()),
        stable: Some("version=\"stable\"".into()),
        ..Arm::default()
    });
    spec
}

/// The same measure with the stable version's selectors on both sides.
#[must_use]
pub fn of_stable(measure: &Measure) -> Measure {
    let alike = |arms: &Arms<String>| Arms {
        canary: arms.stable.clone(),
        stable: arms.stable.clone(),
    };
    match measure {
        Measure::Ratio { total, bad } => Measure::Ratio {
            total: alike(total),
            bad: alike(bad),
        },
        Measure::Events {
            count,
            requests,
            harm,
        } => Measure::Events {
            count: alike(count),
            requests: requests.as_ref().map(alike),
            harm: *harm,
        },
        Measure::Histogram {
            buckets,
            objective,
            unit,
        } => Measure::Histogram {
            buckets: alike(buckets),
            objective: *objective,
            unit: *unit,
        },
        Measure::Gauge { query, kayenta } => Measure::Gauge {
            query: alike(query),
            kayenta: *kayenta,
        },
    }
}

/// Plays one placebo, with or without a regression in it. None: the regression cannot be put in.
///
/// # Errors
/// What is wrong with the spec.
pub fn play(
    spec: &AnalysisRunSpec,
    choice: &Choice,
    horizon: i64,
    recording: &Recording,
    regression: Option<Regression>,
    chance: &mut dyn Chance,
) -> Result<Option<Outcome>, Vec<Problem>> {
    let start = Timestamp::from_second(choice.start).unwrap_or_default();
    let spec = AnalysisRunSpec {
        start_at: Some(start),
        ..spec.clone()
    };
    let plan = plan::parse(&spec, start)?;
    let until = choice.start + horizon;
    let mut divided = recording.divided(choice.start - LEAD_S, until, &choice.canary);
    if let Some(regression) = regression {
        let Some(Kind::Comparison(compared)) = plan.metrics.get(regression.metric).map(|m| &m.kind)
        else {
            return Ok(None);
        };
        let (metric, factor) = (regression.metric, regression.factor);
        if !inject(&mut divided, metric, &compared.measure, factor, chance) {
            return Ok(None);
        }
    }
    let mut player = Player::new(&plan, false);
    loop {
        let questions = player.questions();
        let answers = questions.into_iter().map(|question| {
            let answer = divided.answer(&plan, &question).ok_or_else(|| Fault {
                reason: "WrongAnswer".to_owned(),
                message: "no samples answer this".to_owned(),
                retry_after: None,
            });
            (question, answer)
        });
        let answers: Vec<_> = answers.collect();
        if !player.take(answers, until) {
            break;
        }
    }
    Ok(Some(Outcome {
        start: choice.start,
        seconds: player.now() - choice.start,
        decision: player.decision().cloned(),
        reason: player.status().reason.clone(),
    }))
}

#[cfg(test)]
mod tests;
