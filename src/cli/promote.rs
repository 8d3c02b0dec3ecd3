//! `promote`: end the present step, or (`--full`) skip all that is left.

use kube::ResourceExt;

use super::args::{Output, Promote};
use super::client::Session;
use super::command::{self, Check, Verb};
use super::error::{CliError, Exit};
use super::objects::RUNS;
use super::terminal::Terminal;
use crate::api::analysis::AnalysisRun;
use crate::api::analysis_status::Verdict;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::{PauseReason, Phase};

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Promote,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let verb = if args.full {
        Verb::PromoteFull
    } else {
        Verb::Promote
    };
    let name = args.target.name().map_err(CliError::Usage)?;
    let rollout = session.rollout(name).await?;
    let check = check(&rollout, verb)?;
    if args.full {
        for run in named_runs(session, &rollout).await? {
            not_failed(&rollout, &run)?;
        }
    }
    command::give(session, terminal, &rollout, verb, check, args.wait, output).await
}

/// Whether there is something to promote.
fn check(rollout: &Rollout, verb: Verb) -> Result<Check, CliError> {
    let refused = |why: &str| Err(command::refused(rollout, verb, why));
    let status = command::status_for(rollout, verb)?;
    command::seen(rollout, verb)?;
    let name = rollout.name_any();
    match status.phase {
        Some(Phase::Healthy) => {
            let stable = status.stable.as_ref().map_or(0, |s| s.revision);
            return refused(&format!(
                "there is nothing to promote: revision {stable} is stable and is what the spec asks for"
            ));
        }
        Some(Phase::Initializing) => {
            return refused(
                "the first deployment has no steps; it is stable once its pods are available",
            );
        }
        Some(Phase::Degraded) if status.abort.is_none() => {}
        Some(Phase::Aborting | Phase::Aborted | Phase::Degraded) => {
            let revision = status.canary.as_ref().map_or(0, |c| c.revision);
            let why = status.abort.as_ref().map_or("", |a| a.message.as_str());
            return refused(&format!(
                "revision {revision} was aborted ({why}); `kubectl tidegate retry {name}` tries it again from its first step"
            ));
        }
        Some(Phase::Rejected) => {
            return refused(&format!(
                "the version is on record as rejected; `kubectl tidegate retry {name}` releases it"
            ));
        }
        Some(Phase::Invalid) => {
            return refused(&format!(
                "the Rollout cannot be carried out as it is: {}",
                status.message
            ));
        }
        Some(Phase::Progressing | Phase::Paused) | None => {}
    }
    let Some(canary) = &status.canary else {
        return refused("there is nothing to promote: no rollout is in progress");
    };
    let inconclusive = status
        .pause
        .as_ref()
        .is_some_and(|p| p.reason == PauseReason::Inconclusive);
    if verb == Verb::Promote && canary.step >= canary.steps && !inconclusive {
        return refused("all steps are done; the rollout ends by itself");
    }
    if verb == Verb::PromoteFull && canary.full {
        return Ok(Check::AlreadySo(format!(
            "revision {} is being promoted in full already",
            canary.revision
        )));
    }
    Ok(Check::Go)
}

/// The AnalysisRuns that the status names.
async fn named_runs(session: &Session, rollout: &Rollout) -> Result<Vec<AnalysisRun>, CliError> {
    let canary = rollout.status.as_ref().and_then(|s| s.canary.as_ref());
    let names = canary.map(|c| [&c.analysis_run, &c.background_run]);
    let mut runs = Vec::new();
    for name in names.into_iter().flatten().flatten() {
        let asked = session.asked("get", RUNS);
        runs.extend(session.ask(&asked, session.runs().get_opt(name)).await?);
    }
    Ok(runs)
}

/// A version that has just been shown to be bad is not promoted past the proof: the controller is
/// about to abort it, and whoever disagrees says so by `retry`.
fn not_failed(rollout: &Rollout, run: &AnalysisRun) -> Result<(), CliError> {
    match run
        .status
        .as_ref()
        .filter(|s| s.verdict == Some(Verdict::Fail))
    {
        Some(status) => Err(command::refused(
            rollout,
            Verb::PromoteFull,
            &format!(
                "AnalysisRun {} has failed ({}), so the version is being aborted; `kubectl tidegate retry {}` tries it again",
                run.name_any(),
                status.message,
                rollout.name_any()
            ),
        )),
        None => Ok(()),
    }
}
