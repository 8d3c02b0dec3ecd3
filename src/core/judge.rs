//! Analyses as the planner sees them: which run is asked for, and what its verdict means. Only
//! `Successful` lets a step pass and only `Failed` aborts; everything else holds, by name.

use super::draft::Draft;
use super::naming;
use super::observed::{RunObserved, RunPhase, RunVerdict};
use super::plan::{Precondition, Write};
use super::run_spec;
use super::spec::{AnalysisRequest, Spec};
use super::steps::{Outcome, Wait, Walk};
use super::targets::authorised_weight;
use crate::api::analysis::RunMode;
use crate::api::rollout_status::{AbortReason, PauseReason};

/// The analysis of a step.
pub(super) fn step(draft: &mut Draft<'_>, request: &AnalysisRequest, at: usize) -> Outcome {
    let Some(canary) = draft.status.canary.clone() else {
        return Outcome::Done;
    };
    let name = naming::analysis_run(
        &draft.o.rollout.name,
        &canary.hash,
        canary.revision,
        Some(canary.step),
        canary.attempt,
    );
    let Some(run) = draft.run(&name) else {
        return match run_spec::build(draft, request, Some(at), RunMode::Step) {
            Ok(spec) => {
                draft.write(Write::CreateAnalysisRun {
                    name: name.clone(),
                    spec: Box::new(spec),
                });
                if let Some(canary) = &mut draft.status.canary {
                    canary.analysis_run = Some(name.clone());
                }
                Outcome::Waits(gathers(&name))
            }
            Err(problems) => {
                let text = problems
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                draft.problems.extend(problems);
                Outcome::Waits(Wait::planned(
                    format!("the analysis cannot begin: {text}"),
                    None,
                ))
            }
        };
    };
    if let Some(canary) = &mut draft.status.canary {
        canary.analysis_run = Some(name);
    }
    match run.phase {
        RunPhase::Successful => Outcome::Done,
        RunPhase::Failed => Outcome::Abort(
            AbortReason::AnalysisFailed,
            failure(run),
            Some(run.name.clone()),
        ),
        RunPhase::Inconclusive | RunPhase::Terminated => Outcome::Waits(inconclusive(run)),
        RunPhase::Pending | RunPhase::Running => Outcome::Waits(running(run)),
    }
}

/// Keeps the background analysis going, and says when it failed.
pub(super) fn background(draft: &mut Draft<'_>) -> Option<Walk> {
    let spec = draft.spec;
    let (starting_step, request) = spec.background.as_ref()?;
    let canary = draft.status.canary.clone()?;
    if canary.step < *starting_step || canary.full {
        return None;
    }
    let name = naming::analysis_run(
        &draft.o.rollout.name,
        &canary.hash,
        canary.revision,
        None,
        canary.attempt,
    );
    match draft.run(&name) {
        // There is nothing to look at before the first pod is there.
        None if draft.available(&canary.hash) == 0 => None,
        None => {
            match run_spec::build(draft, request, None, RunMode::Background) {
                Ok(run) => {
                    let spec = Box::new(run);
                    draft.write(Write::CreateAnalysisRun {
                        name: name.clone(),
                        spec,
                    });
                    if let Some(canary) = &mut draft.status.canary {
                        canary.background_run = Some(name);
                    }
                }
                Err(problems) => draft.problems.extend(problems),
            }
            None
        }
        Some(run) if run.phase == RunPhase::Failed => Some(Walk::Abort(
            AbortReason::AnalysisFailed,
            failure(run),
            Some(run.name.clone()),
        )),
        Some(_) => {
            if let Some(canary) = &mut draft.status.canary {
                canary.background_run = Some(name);
            }
            None
        }
    }
}

/// Whether an analysis of the present rollout failed: that aborts also what is held or blocked.
pub(super) fn failed(draft: &Draft<'_>) -> Option<Walk> {
    let canary = draft.status.canary.as_ref()?;
    [&canary.analysis_run, &canary.background_run]
        .into_iter()
        .flatten()
        .filter_map(|name| draft.run(name))
        .find(|run| run.phase == RunPhase::Failed)
        .map(|run| {
            Walk::Abort(
                AbortReason::AnalysisFailed,
                failure(run),
                Some(run.name.clone()),
            )
        })
}

/// Whether the background analysis is there while both versions have traffic. Then its word is asked
/// for before one of them has everything; else it could only be given afterwards.
pub(super) fn speaks_before_all(spec: &Spec) -> bool {
    let Some((starting_step, _)) = &spec.background else {
        return false;
    };
    let from = usize::try_from(*starting_step).unwrap_or(0);
    (from..spec.steps.len()).any(|at| (1..100).contains(&authorised_weight(&spec.steps, at)))
}

/// What the background analysis still withholds its word for; `None`: it passed, or there is none.
pub(super) fn background_passed(draft: &mut Draft<'_>) -> Option<Wait> {
    draft.spec.background.as_ref()?;
    let canary = draft.status.canary.as_ref()?;
    let (hash, asked_at) = (canary.hash.clone(), canary.step_started_at);
    let name = canary.background_run.clone();
    let Some(run) = name.and_then(|name| draft.run(&name)) else {
        return Some(match draft.available(&hash) {
            0 => no_pods(),
            _ => Wait::planned("the background analysis begins", None),
        });
    };
    match run.phase {
        RunPhase::Successful => None,
        RunPhase::Running if run.verdict == Some(RunVerdict::Pass) => None,
        RunPhase::Inconclusive | RunPhase::Terminated => Some(inconclusive(run)),
        // It watches on, and may still say so; but a wait without an end has a name.
        RunPhase::Pending | RunPhase::Running
            if asked_at.is_some_and(|at| draft.elapsed(at, run.max_duration)) =>
        {
            Some(unclear(run))
        }
        RunPhase::Pending | RunPhase::Running | RunPhase::Failed => Some(running(run)),
    }
}

/// Why a rollout without any pods does not go on where its background analysis is to look: else all of
/// its steps would go by at once, and the first pods would get what the last step says.
pub(super) fn waits_for_pods(draft: &Draft<'_>) -> Option<Wait> {
    let (starting_step, _) = draft.spec.background.as_ref()?;
    let canary = draft.status.canary.as_ref()?;
    let asked_for = canary.step >= *starting_step && !canary.full;
    (asked_for && draft.spec.replicas == 0).then(no_pods)
}

fn no_pods() -> Wait {
    Wait::planned(
        "the background analysis has no pods to look at: kubectl tidegate promote goes on",
        Some((PauseReason::NoData, None)),
    )
}

/// Ends the runs that nobody waits for any longer: of another version or attempt, or of a step that
/// has gone by.
pub(super) fn end_obsolete(draft: &mut Draft<'_>) {
    let wanted: Vec<String> = draft
        .status
        .canary
        .iter()
        .filter(|_| draft.status.abort.is_none())
        .flat_map(|c| [c.analysis_run.clone(), c.background_run.clone()])
        .flatten()
        .collect();
    let o = draft.o;
    for run in &o.runs {
        let over = !matches!(run.phase, RunPhase::Pending | RunPhase::Running);
        if over || run.terminate || wanted.contains(&run.name) {
            continue;
        }
        draft.write(Write::TerminateAnalysisRun {
            name: run.name.clone(),
            on: Precondition {
                uid: run.uid.clone(),
                resource_version: run.resource_version.clone(),
            },
        });
    }
}

fn failure(run: &RunObserved) -> String {
    format!("analysis {} failed: {}", run.name, run.message)
}

fn inconclusive(run: &RunObserved) -> Wait {
    Wait::planned(
        format!(
            "analysis {} ended without enough evidence: kubectl tidegate promote goes on, abort \
             gives up",
            run.name
        ),
        Some((PauseReason::Inconclusive, None)),
    )
}

/// A run in the background whose word is waited for beyond its time.
fn unclear(run: &RunObserved) -> Wait {
    match run.verdict {
        Some(RunVerdict::NoData | RunVerdict::SourceError) => running(run),
        _ => Wait::planned(
            format!(
                "analysis {} has not enough evidence after {} s and looks on: kubectl tidegate \
                 promote goes on, abort gives up",
                run.name,
                run.max_duration.as_secs()
            ),
            Some((PauseReason::Inconclusive, None)),
        ),
    }
}

fn running(run: &RunObserved) -> Wait {
    match run.verdict {
        Some(RunVerdict::NoData) => Wait::planned(
            format!(
                "analysis {} has nothing that it could judge: {}",
                run.name, run.message
            ),
            Some((PauseReason::NoData, None)),
        ),
        Some(RunVerdict::SourceError) => Wait::planned(
            format!(
                "analysis {} gets no answer that can be used: {}",
                run.name, run.message
            ),
            Some((PauseReason::SourceError, None)),
        ),
        _ => gathers(&run.name),
    }
}

/// The same words from the moment that a run is asked for: that it was found is no news.
fn gathers(run: &str) -> Wait {
    Wait::planned(format!("analysis {run} gathers evidence"), None)
}
