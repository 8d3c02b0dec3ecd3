//! I6, I7, I8, I11: what a version goes on by, and what it is given up for.

use super::{Said, holds};
use crate::api::analysis_status::{RunPhase, Verdict};
use crate::api::rollout_status::{AbortReason, CanaryStatus, Outcome, RolloutStatus};
use crate::core::naming;
use crate::core::spec::{Pause, Spec, Step};
use crate::sim::world::World;
use crate::sim::world::objects::{Kind, RunBody};

/// A clock that was set back makes a time that is over a little shorter.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// Whether this status accepts one of these commands that the one before had not handled.
fn accepts(said: &Said<'_>, verbs: &[&str]) -> bool {
    let new = |verb: &&&str| {
        let value = said.status.handled_commands.get(**verb);
        value.is_some() && value != said.before.status.handled_commands.get(**verb)
    };
    let last = said.status.last_handled_command.as_ref();
    let refused =
        |verb: &str| last.is_some_and(|last| last.command == verb && last.result != "Accepted");
    verbs.iter().filter(new).any(|verb| !refused(verb))
}

/// The canary whose way the status before told, if it is the same one still.
fn same_canary<'s>(said: &'s Said<'_>, hash: &str) -> Option<&'s CanaryStatus> {
    let canary = said.before.status.canary.as_ref()?;
    (canary.hash == hash).then_some(canary)
}

fn run<'w>(world: &'w World, name: &str) -> Option<&'w RunBody> {
    world.store.get(Kind::Run, name)?.run()
}

fn step_run(said: &Said<'_>, canary: &CanaryStatus, step: usize) -> String {
    naming::analysis_run(
        &said.observed.rollout.name,
        &canary.hash,
        canary.revision,
        i32::try_from(step).ok(),
        canary.attempt,
    )
}

/// The analysis steps from one place to another that have not succeeded.
fn not_shown(
    world: &World,
    said: &Said<'_>,
    spec: &Spec,
    canary: &CanaryStatus,
    from: usize,
    to: usize,
) -> Option<String> {
    (from..to.min(spec.steps.len())).find_map(|at| {
        let asks = matches!(spec.steps.get(at), Some(Step::Analysis(_)));
        let name = step_run(said, canary, at);
        let shown = run(world, &name).is_some_and(|run| run.phase == RunPhase::Successful);
        (asks && !shown).then_some(name)
    })
}

fn place(canary: &CanaryStatus) -> usize {
    usize::try_from(canary.step).unwrap_or(0)
}

pub(super) fn steps_pass_by_success(world: &World, said: &Said<'_>) -> Result<(), String> {
    let (Ok(spec), Some(canary)) = (&said.observed.rollout.spec, &said.status.canary) else {
        return Ok(());
    };
    if said.status.stable.is_none() || canary.full {
        return Ok(());
    }
    let before = same_canary(said, &canary.hash).filter(|b| b.attempt == canary.attempt);
    let from = before.map_or(0, place);
    if accepts(said, &["promote", "promote-full"]) {
        return Ok(());
    }
    match not_shown(world, said, spec, canary, from, place(canary)) {
        Some(run) => Err(format!(
            "step {} of {} was reached without the success of {run}",
            canary.step, canary.hash
        )),
        None => Ok(()),
    }
}

pub(super) fn stable_went_the_whole_way(world: &World, said: &Said<'_>) -> Result<(), String> {
    let (Some(old), Some(new)) = (&said.before.status.stable, &said.status.stable) else {
        return Ok(());
    };
    let Ok(spec) = &said.observed.rollout.spec else {
        return Ok(());
    };
    if old.hash == new.hash {
        return Ok(());
    }
    // Without pods there is nothing to wait for, so all of the way may be in one status.
    let records = said.observed.reverts.iter();
    let attempts = records.filter(|revert| revert.hash == new.hash);
    let at_once = CanaryStatus {
        hash: new.hash.clone(),
        revision: new.revision,
        attempt: attempts.map(|revert| revert.attempt).max().unwrap_or(0) + 1,
        ..CanaryStatus::default()
    };
    let known = same_canary(said, &new.hash);
    holds(known.is_some() || spec.replicas == 0, || {
        format!("{} is stable and was not on its way", new.hash)
    })?;
    let canary = known.unwrap_or(&at_once);
    let by_hand = canary.full || accepts(said, &["promote", "promote-full"]);
    // Whoever was stable lately goes no way at all.
    let was_stable = said.before.status.history.iter().any(|last| {
        last.hash == new.hash && matches!(last.outcome, Outcome::Initial | Outcome::Promoted)
    });
    let goes_back = known.is_none() && spec.rollback_window.is_some() && was_stable;
    if by_hand || goes_back {
        return Ok(());
    }
    let given_up = said.before.status.abort.as_ref();
    holds(given_up.is_none_or(|abort| abort.hash != new.hash), || {
        format!("{} is stable and was given up", new.hash)
    })?;
    if let Some(run) = not_shown(world, said, spec, canary, place(canary), spec.steps.len()) {
        return Err(format!(
            "{} is stable without the success of {run}",
            new.hash
        ));
    }
    // Its word is asked for at the latest now; a person's promotion of all the traffic was the word.
    let granted = canary.all_traffic_at.is_some();
    let passed = canary.background_run.as_ref().is_some_and(|name| {
        run(world, name).is_some_and(|run| {
            run.phase == RunPhase::Successful || run.verdict == Some(Verdict::Pass)
        })
    });
    holds(spec.background.is_none() || granted || passed, || {
        format!(
            "{} is stable without the word of its background analysis",
            new.hash
        )
    })
}

/// The abort that a status tells for the first time.
fn new_abort<'s>(said: &'s Said<'_>) -> Option<&'s crate::api::rollout_status::AbortStatus> {
    let abort = said.status.abort.as_ref()?;
    let known = said.before.status.abort.as_ref();
    known
        .is_none_or(|before| before.at != abort.at)
        .then_some(abort)
}

pub(super) fn failures_are_failures(world: &World, said: &Said<'_>) -> Result<(), String> {
    let Some(abort) = new_abort(said).filter(|a| a.reason == AbortReason::AnalysisFailed) else {
        return Ok(());
    };
    let name = abort.analysis_run.as_deref().unwrap_or_default();
    let failed = run(world, name).is_some_and(|run| run.phase == RunPhase::Failed);
    holds(failed, || {
        format!("given up for {name:?}, which has not failed")
    })
}

pub(super) fn analyses_are_of_this_version(world: &World, said: &Said<'_>) -> Result<(), String> {
    let Some(canary) = &said.status.canary else {
        return Ok(());
    };
    let abort = said
        .status
        .abort
        .as_ref()
        .and_then(|abort| abort.analysis_run.as_ref());
    let named = [&canary.analysis_run, &canary.background_run];
    for name in named.into_iter().flatten().chain(abort) {
        let Some(run) = run(world, name) else {
            continue;
        };
        let of = (&run.spec.canary_hash, run.spec.attempt);
        holds(of == (&canary.hash, canary.attempt), || {
            format!(
                "{name} is of {of:?}, not {:?}",
                (&canary.hash, canary.attempt)
            )
        })?;
    }
    Ok(())
}

pub(super) fn aborts_have_causes(world: &World, said: &Said<'_>) -> Result<(), String> {
    let Some(abort) = new_abort(said) else {
        return Ok(());
    };
    let (Ok(spec), Some(canary)) = (
        &said.observed.rollout.spec,
        same_canary(said, &abort.hash).or(said.status.canary.as_ref()),
    ) else {
        return Err(format!(
            "{} was given up and was not on its way",
            abort.hash
        ));
    };
    let waited = |since: Option<jiff::Timestamp>, wait: jiff::SignedDuration| {
        since.is_some_and(|since| abort.at.duration_since(since) >= wait)
    };
    let cause = match abort.reason {
        AbortReason::AnalysisFailed => true,
        AbortReason::Manual => accepts(said, &["abort"]),
        // Not counting what it stood still for a person, for evidence, or for something outside.
        AbortReason::ProgressDeadlineExceeded => {
            let stood = world.watcher.stood_until(&said.observed.rollout.name);
            let since = canary.progress_at.max(canary.step_started_at).max(stood);
            waited(since, spec.progress_deadline - SLACK)
        }
        AbortReason::PauseTimeout => match spec.steps.get(place(canary)) {
            Some(Step::Pause(Pause::UntilPromoted(Some((timeout, _))))) => {
                waited(canary.step_started_at, *timeout)
            }
            _ => false,
        },
    };
    holds(cause, || {
        format!(
            "{} was given up: {:?} has no cause",
            abort.hash, abort.reason
        )
    })?;
    holds(world.now >= abort.at || ahead(world), || {
        "an abort of the future".to_owned()
    })
}

/// Whether some controller's clock is ahead.
fn ahead(world: &World) -> bool {
    world.controllers.iter().any(|c| !c.ahead.is_zero())
}

/// Whether a status tells that a version is on its way.
#[must_use]
pub(super) fn on_its_way(status: &RolloutStatus) -> bool {
    status.canary.is_some() && status.abort.is_none()
}
