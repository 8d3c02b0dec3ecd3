//! One look at a repository for one Revert: plan, commit, push, and read again when somebody else
//! was faster; where the branch is not the writer's to push to, a pull request (`propose`). Knows the
//! repository and the Revert, not the cluster; what has to be written down
//! before the push is handed to the caller.

use crate::api::revert::{PLAN_BYTES_MAX, Revert, RevertMode, RevertPhase};
use crate::retry::Retry;

use super::announce::announce;
use super::answers::{Oid, Push};
use super::forge::Forge;
use super::outcome::{Again, LANDED, Outcome, RESOLVED};
use super::propose;
use super::redact::cut;
use super::repo::{GitConfig, Repo};
use super::resolve::{Resolved, Target, resolve};
use super::revert::Decision;

/// How a lost race is answered: other automation pushes in bursts, so not all at once, and not for
/// ever, because the lock on the branch is held meanwhile.
const RACE_RETRY: Retry = Retry::new(
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(30),
    1.5,
)
.jitter(0.5)
.tries(10);

/// What the work needs from the cluster's side.
pub(super) trait Journal {
    /// Writes the plan down, unless that was done before, and makes sure that the Revert is still
    /// what it was. `false` when it changed meanwhile or was released: then nothing is pushed.
    fn intend(&mut self, planned: &Outcome, written: bool) -> impl Future<Output = bool> + Send;

    /// Asks for one of the pushes that this repository may have per hour.
    fn may_push(&mut self, repository: &str) -> bool;
}

/// Carries a Revert as far as the repository allows. `None` when the Revert changed meanwhile.
pub(super) async fn work(
    revert: &Revert,
    target: &Target,
    config: &GitConfig,
    journal: &mut impl Journal,
) -> Option<Outcome> {
    let repo = match Repo::open(&target.remote, config).await {
        Ok(repo) => repo,
        Err(error) => return Some(Outcome::of_git(&error, RESOLVED)),
    };
    if let Some(landed) = confirm(revert, target, &repo).await {
        return Some(landed);
    }
    if let Some(known) = revert.status.as_ref().and_then(|s| s.pull_request.as_ref()) {
        return propose::follow(revert, known, target, config, &repo, journal).await;
    }
    let mut delays = RACE_RETRY.delays();
    let mut first = true;
    loop {
        match attempt(revert, target, config, &repo, journal, first).await {
            Attempt::Ended(outcome) => return Some(outcome),
            Attempt::Stopped => return None,
            Attempt::Race(message) => match delays.next() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => {
                    return Some(Outcome::Failed {
                        condition: LANDED,
                        reason: "Race",
                        message,
                    });
                }
            },
        }
        first = false;
    }
}

/// After a push: the branch is read again, because the answer to a push may be lost or wrong.
async fn confirm(revert: &Revert, target: &Target, repo: &Repo) -> Option<Outcome> {
    let status = revert.status.as_ref()?;
    let commit = status
        .commit
        .as_ref()
        .filter(|_| status.phase == Some(RevertPhase::Pushed))?;
    match repo.fetch_tip(&target.branch).await {
        Ok(tip) if tip.as_str() == commit => Some(Outcome::Landed {
            commit: Some(commit.clone()),
            id: None,
            branch: target.branch.to_string(),
        }),
        // Others have pushed on top of it, or taken it away: plan anew and see.
        Ok(_) => None,
        Err(error) => Some(Outcome::of_git(&error, LANDED)),
    }
}

pub(super) enum Attempt {
    Ended(Outcome),
    /// Somebody else pushed between our reading and our pushing.
    Race(String),
    /// The Revert is not what it was.
    Stopped,
}

async fn attempt(
    revert: &Revert,
    target: &Target,
    config: &GitConfig,
    repo: &Repo,
    journal: &mut impl Journal,
    first: bool,
) -> Attempt {
    let resolved = match resolve(repo, target, &revert.spec).await {
        Ok(resolved) => resolved,
        Err(problem) => return Attempt::Ended(Outcome::of(&problem)),
    };
    let found = match resolved.find_commit(repo).await {
        Ok(found) => found,
        Err(error) => return Attempt::Ended(Outcome::of_git(&error, RESOLVED)),
    };
    let ended = match &resolved.decision {
        Decision::Superseded { leaves } => changed_since(leaves),
        Decision::AlreadyReverted => already_reverted(revert, target, &resolved, found),
        Decision::Apply => match found {
            Some(commit) => taken_back(commit.as_str()),
            None => {
                return apply(revert, target, config, repo, journal, &resolved, first).await;
            }
        },
    };
    if revert.spec.mode == RevertMode::PullRequest {
        // One may have been opened before the status that names it was lost.
        propose::withdraw_forgotten(revert, target, config, &resolved).await;
    }
    Attempt::Ended(ended)
}

pub(super) fn changed_since(leaves: &[String]) -> Outcome {
    Outcome::Superseded {
        reason: "ChangedSince",
        message: format!("the branch has moved on: {}", leaves.join("; ")),
    }
}

/// "No rollback of a rollback": whoever put it back did so on purpose.
pub(super) fn taken_back(by: &str) -> Outcome {
    Outcome::Superseded {
        reason: "TakenBack",
        message: format!(
            "commit {by} took the version out and somebody has put it back since; it is not \
             reverted a second time"
        ),
    }
}

pub(super) fn already_reverted(
    revert: &Revert,
    target: &Target,
    resolved: &Resolved,
    found: Option<Oid>,
) -> Outcome {
    // Of a branch that was set back there is nothing to be told but that.
    let has_leaves = !resolved.plan.leaves.is_empty();
    let before = revert.status.as_ref().and_then(|s| s.commit.clone());
    Outcome::Landed {
        commit: found
            .map(|oid| oid.to_string())
            .or(before.filter(|_| has_leaves)),
        id: has_leaves.then(|| resolved.id.clone()),
        branch: target.branch.to_string(),
    }
}

async fn apply(
    revert: &Revert,
    target: &Target,
    config: &GitConfig,
    repo: &Repo,
    journal: &mut impl Journal,
    resolved: &Resolved,
    first: bool,
) -> Attempt {
    let namespace = revert.metadata.namespace.as_deref().unwrap_or_default();
    let made = resolved
        .make_commit(repo, namespace, &revert.spec, &config.identity)
        .await;
    let (commit, diff) = match made {
        Ok(made) => made,
        Err(error) => return Attempt::Ended(Outcome::of_git(&error, RESOLVED)),
    };
    let planned = Outcome::Planned {
        id: resolved.id.clone(),
        branch: target.branch.to_string(),
        diff: with_unmatched(diff, &resolved.plan.unmatched),
    };
    if revert.spec.mode == RevertMode::DryRun {
        return Attempt::Ended(planned);
    }
    // Once is enough: after a lost race the plan is the same but for the lines around it.
    if first && !journal.intend(&planned, is_written(revert, &planned)).await {
        return Attempt::Stopped;
    }
    if !journal.may_push(target.remote.key()) {
        let message = "this repository had as many reverts in the last hour as the writer's \
                       --pushes-per-hour allows";
        return Attempt::Ended(Outcome::Failed {
            condition: LANDED,
            reason: "RateLimited",
            message: message.to_owned(),
        });
    }
    let proposal = propose::Proposal {
        revert,
        target,
        config,
        repo,
        resolved,
    };
    if revert.spec.mode == RevertMode::PullRequest {
        return proposal.open(&commit, planned).await;
    }
    match repo.push(&commit, &resolved.tip, &target.branch).await {
        Ok(pushed @ (Push::Pushed | Push::UpToDate)) => {
            if pushed == Push::Pushed {
                let forge = Forge::of(&target.remote, config.credentials.as_ref());
                if let Ok(Some(forge)) = forge {
                    announce(&forge, revert, resolved, &format!("commit {commit}")).await;
                }
            }
            Attempt::Ended(Outcome::Pushed {
                commit: commit.to_string(),
            })
        }
        Ok(Push::Race(message)) => Attempt::Race(format!("the branch keeps moving: {message}")),
        Ok(Push::Protected(_)) if has_forge(target, config) => {
            proposal.open(&commit, planned).await
        }
        Ok(Push::Protected(message)) => Attempt::Ended(Outcome::Refused {
            phase: RevertPhase::NeedsHuman,
            condition: LANDED,
            reason: "ProtectedBranch",
            message: format!(
                "the server does not let the writer change the branch; apply status.plan by hand \
                 (git apply --unidiff-zero), let the writer's user push, or say in its credential \
                 which forge this is, for a pull request: {message}"
            ),
            again: Again::Seldom,
        }),
        // The commit may be on the branch or not: the next look tells.
        Err(error) => Attempt::Ended(Outcome::of_git(&error, LANDED)),
    }
}

/// Whether a pull request could be opened.
fn has_forge(target: &Target, config: &GitConfig) -> bool {
    matches!(
        Forge::of(&target.remote, config.credentials.as_ref()),
        Ok(Some(_))
    )
}

/// The diff, with the template's changes that are not in it named below.
pub(super) fn with_unmatched(diff: String, unmatched: &[String]) -> String {
    if unmatched.is_empty() {
        return diff;
    }
    let mut names = unmatched.join(", ");
    cut(&mut names, 512);
    let mut diff = diff;
    let note = format!("\nNot in these files, so computed elsewhere: {names}\n");
    cut(&mut diff, PLAN_BYTES_MAX - note.len());
    diff + &note
}

/// Whether the plan stands in the status; also of one that waits for a person.
fn is_written(revert: &Revert, planned: &Outcome) -> bool {
    let (Some(status), Outcome::Planned { id, .. }) = (&revert.status, planned) else {
        return false;
    };
    let planned = [RevertPhase::Planned, RevertPhase::NeedsHuman];
    status.phase.is_some_and(|phase| planned.contains(&phase))
        && status.revert_id.as_ref() == Some(id)
}
