//! Which Revert is meant: one by its name, or the newest one of a Rollout; and why a Rollout has none.

use kube::ResourceExt;
use kube::api::ListParams;

use crate::api::revert::Revert;
use crate::api::rollout::{GitRevertMode, Rollout};
use crate::cli::args::{NameOf, OfRevert};
use crate::cli::client::Session;
use crate::cli::error::CliError;
use crate::cli::objects::{REVERTS, rollout_selector};

/// The Revert that was asked for.
///
/// # Errors
/// Among others: there is none, why, and how one comes to be.
pub(super) async fn revert(session: &Session, of: &OfRevert) -> Result<Revert, CliError> {
    let of = of.name().map_err(CliError::Usage)?;
    if let NameOf::Revert(name) | NameOf::Either(name) = of {
        let asked = session.asked("get", REVERTS);
        if let Some(revert) = session.ask(&asked, session.reverts().get_opt(name)).await? {
            return Ok(revert);
        }
    }
    let rollout = match of {
        NameOf::Revert(name) => {
            return Err(CliError::Missing(format!(
                "there is no Revert {name:?} in namespace {} ({}). `kubectl get reverts.tidegate.io -n {}` lists those that there are",
                session.namespace, session.context, session.namespace
            )));
        }
        NameOf::Rollout(name) | NameOf::Either(name) => name,
    };
    if let Some(newest) = of_rollout(session, rollout).await?.into_iter().next() {
        return Ok(newest);
    }
    let rollout = Box::pin(session.rollout(rollout)).await?;
    Err(CliError::Refused(none(&rollout)))
}

/// The Reverts of a Rollout's name, newest first.
pub(super) async fn of_rollout(session: &Session, name: &str) -> Result<Vec<Revert>, CliError> {
    let params = ListParams::default().labels(&rollout_selector(name));
    let asked = session.asked("list", REVERTS);
    let list = session.ask(&asked, session.reverts().list(&params)).await?;
    let mut all = list.items;
    all.retain(|revert| revert.spec.rollout.name == name);
    all.sort_by_key(|revert| std::cmp::Reverse((revert.spec.aborted_at, revert.spec.attempt)));
    Ok(all)
}

/// Why a Rollout has no Revert, and how one comes to be.
pub(super) fn none(rollout: &Rollout) -> String {
    let name = rollout.name_any();
    let aborted = rollout.status.as_ref().and_then(|s| s.abort.as_ref());
    let why = match aborted {
        Some(abort) => format!(
            "version {} was aborted at {}, and its Revert is written when the traffic is on its way back: look again in a moment",
            abort.hash, abort.at
        ),
        None => "no version of it was aborted, as far as anything in the cluster still tells, so there is nothing to take out of Git".to_owned(),
    };
    let git = rollout.spec.git_revert.as_ref();
    let on: Vec<String> = git
        .map(|git| git.on.iter().map(|cause| format!("{cause:?}")).collect())
        .unwrap_or_default();
    let on = on.join(", ");
    let comes = match git.map_or(GitRevertMode::Off, |git| git.mode) {
        GitRevertMode::Off => "spec.gitRevert.mode is Off: an abort makes a record and no plan. With DryRun it makes a plan and pushes nothing".to_owned(),
        GitRevertMode::DryRun => format!("spec.gitRevert.mode is DryRun: an abort ({on}) makes a plan and pushes nothing"),
        GitRevertMode::PullRequest => format!("spec.gitRevert.mode is PullRequest: an abort ({on}) makes a plan and opens a pull request with it. With DryRun it pushes nothing"),
        GitRevertMode::Push => format!("spec.gitRevert.mode is Push: an abort ({on}) makes a plan and pushes it. With DryRun it pushes nothing"),
    };
    format!(
        "Rollout {name} has no Revert: {why}. {comes}. `tidegate revert-file` tries on one file what would come of it"
    )
}
