//! From a Revert and a repository to a plan: which commits hold the stable and the bad version,
//! which files differ between them, and what stands at the branch's tip.
//!
//! The commits in the Revert are claims that somebody's pipeline made. They have to be in the
//! branch's history, and the values in the files decide: a commit that is off by one does no harm,
//! and without a claim the stable version is looked for by its values.

use crate::api::revert::{RevertSpec, RevertVersion};

use super::answers::{GitError, Oid};
use super::message::{self, Context, id_line, revert_id};
use super::repo::{ChangedFile, Identity, Repo};
use super::revert::{Decision, Plan, Refusal, Versions, Which, decide, plan_revert};
use super::scope::Workload;
use super::source::{Allowed, Branch, Remote, RepoPath, SourceError};

/// How many commits that touched the path are looked at when the stable version's commit is not
/// known: more would be a search through history that nobody follows.
const CANDIDATES_MAX: usize = 12;

/// Where a revert goes, checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub remote: Remote,
    pub branch: Branch,
    pub path: RepoPath,
}

/// Why a revert is not carried out now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "the Rollout does not say where its manifests come from; set the annotations tidegate.io/source-repo, -branch and -path on it"
    )]
    SourceUnknown,
    #[error("spec.source: {0}")]
    Source(#[from] SourceError),
    #[error(
        "the writer's --allow-repository does not permit branch {branch:?} of {repo} for namespace {namespace:?}"
    )]
    NotAllowed {
        namespace: String,
        repo: String,
        branch: String,
    },
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A revert worked out against one tip of the branch.
#[derive(Debug)]
pub(super) struct Resolved {
    pub tip: Oid,
    pub plan: Plan,
    pub decision: Decision,
    pub id: String,
    files: Vec<ChangedFile>,
    /// The bad version's commit, where it was claimed and is in the history.
    bad: Option<Oid>,
}

/// Checks where a revert is to go, against what is allowed.
pub(super) fn target(
    namespace: &str,
    spec: &RevertSpec,
    allowed: &[Allowed],
) -> Result<Target, Problem> {
    let source = spec.source.as_ref().ok_or(Problem::SourceUnknown)?;
    let remote = Remote::parse(&source.repo)?;
    let branch = Branch::parse(&source.branch)?;
    let path = RepoPath::parse(&source.path)?;
    if !allowed
        .iter()
        .any(|entry| entry.permits(namespace, &remote, &branch))
    {
        return Err(Problem::NotAllowed {
            namespace: namespace.to_owned(),
            repo: remote.url().to_owned(),
            branch: branch.name().to_owned(),
        });
    }
    Ok(Target {
        remote,
        branch,
        path,
    })
}

/// Fetches what is needed and plans.
pub(super) async fn resolve(
    repo: &Repo,
    target: &Target,
    spec: &RevertSpec,
) -> Result<Resolved, Problem> {
    let tip = repo.fetch_tip(&target.branch).await?;
    let mut lost = None;
    let mut claimed = [claim(&spec.stable), claim(&spec.bad)];
    for commit in &mut claimed {
        let Some(oid) = commit else { continue };
        match repo.find_in_history(&target.branch, &tip, &[&*oid]).await {
            Ok(()) => {}
            Err(error @ GitError::NotInHistory(_)) => {
                lost.get_or_insert(error);
                *commit = None;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let [good, bad] = claimed;
    let mut last: Option<Problem> = lost.map(Problem::Git);
    // The tip second: a commit that was claimed for the bad version may be one too early.
    let bads: Vec<&Oid> = bad
        .iter()
        .chain((bad.as_ref() != Some(&tip)).then_some(&tip))
        .collect();
    let mut found = None;
    if let Some(good) = &good {
        found = search(
            repo,
            target,
            spec,
            &bads,
            &tip,
            Goods::Claimed(good),
            &mut last,
        )
        .await?;
    }
    if found.is_none() {
        found = search(repo, target, spec, &bads, &tip, Goods::Search, &mut last).await?;
    }
    let Some((plan, files)) = found else {
        return Err(last.unwrap_or_else(|| {
            let paths: Vec<&str> = spec.changes.iter().map(|c| c.path.as_str()).collect();
            Problem::Refused(Refusal::NothingToRevert {
                changes: paths.join(", "),
            })
        }));
    };
    let id = revert_id(&target.remote, &target.branch, &plan.leaves, spec.attempt);
    let decision = decide(&plan);
    Ok(Resolved {
        tip,
        plan,
        decision,
        id,
        files,
        bad,
    })
}

/// Where the stable version's commit is to be found.
#[derive(Clone, Copy)]
enum Goods<'a> {
    Claimed(&'a Oid),
    /// Among those that touched the path before the bad version.
    Search,
}

/// The first pair of commits between which the workload's change is found. Notes the first reason
/// why a pair did not do.
async fn search(
    repo: &Repo,
    target: &Target,
    spec: &RevertSpec,
    bads: &[&Oid],
    tip: &Oid,
    goods: Goods<'_>,
    last: &mut Option<Problem>,
) -> Result<Option<(Plan, Vec<ChangedFile>)>, Problem> {
    for bad in bads.iter().copied() {
        let (candidates, overrides) = match goods {
            Goods::Claimed(good) => (vec![good.clone()], true),
            Goods::Search => {
                let path = &target.path;
                (
                    repo.touching(&target.branch, bad, path, CANDIDATES_MAX)
                        .await?,
                    false,
                )
            }
        };
        for good in candidates.iter().filter(|commit| *commit != bad) {
            let attempt = Attempt {
                good,
                bad,
                tip,
                overrides,
            };
            match plan_between(repo, target, spec, &attempt).await {
                Ok(found) => return Ok(Some(found)),
                // Other commits may hold what this pair does not; anything else is an answer.
                Err(
                    problem @ Problem::Refused(
                        Refusal::NothingToRevert { .. } | Refusal::ImageNotFound { .. },
                    ),
                ) => {
                    last.get_or_insert(problem);
                }
                Err(problem) => return Err(problem),
            }
        }
    }
    Ok(None)
}

fn claim(version: &RevertVersion) -> Option<Oid> {
    version
        .source_revision
        .as_deref()
        .and_then(|text| Oid::parse(&text.to_ascii_lowercase()))
}

struct Attempt<'a> {
    good: &'a Oid,
    bad: &'a Oid,
    tip: &'a Oid,
    overrides: bool,
}

async fn plan_between(
    repo: &Repo,
    target: &Target,
    spec: &RevertSpec,
    attempt: &Attempt<'_>,
) -> Result<(Plan, Vec<ChangedFile>), Problem> {
    let files = repo
        .changed_files(attempt.good, attempt.bad, attempt.tip, &target.path)
        .await?;
    let files: Vec<ChangedFile> = files
        .into_iter()
        .filter(|f| f.path == target.path.as_str() || is_yaml(&f.path))
        .collect();
    let contents: Vec<&Oid> = files
        .iter()
        .flat_map(|f| [&f.good, &f.bad, &f.tip])
        .flatten()
        .collect();
    if !contents.is_empty() {
        repo.prefetch(&contents).await?;
    }
    let mut read = Vec::new();
    for file in &files {
        let mut versions = [None, None, None];
        for (bytes, oid) in versions.iter_mut().zip([&file.good, &file.bad, &file.tip]) {
            if let Some(oid) = oid {
                *bytes = Some(repo.read(oid).await?);
            }
        }
        read.push(versions);
    }
    let versions: Vec<Versions<'_>> = files
        .iter()
        .zip(&read)
        .map(|(file, [good, bad, tip])| Versions {
            path: &file.path,
            good: good.as_deref(),
            bad: bad.as_deref(),
            tip: tip.as_deref(),
        })
        .collect();
    let workload = Workload {
        name: &spec.rollout.name,
        changes: &spec.changes,
        overrides: attempt.overrides,
    };
    let plan = plan_revert(&versions, &Which::Workload(workload))?;
    Ok((plan, files))
}

/// Files of a folder that may hold leaves. A file that the source names itself is always read.
fn is_yaml(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| name.ends_with(end))
        || name == "kustomization"
}

impl Resolved {
    /// The commit on the branch that has this revert's identity, if there is one since the bad
    /// version came.
    pub async fn find_commit(&self, repo: &Repo) -> Result<Option<Oid>, GitError> {
        repo.find_by_line(&self.tip, self.bad.as_ref(), &id_line(&self.id))
            .await
    }

    /// Makes the commit, in the private folder alone, and says what it changes.
    pub async fn make_commit(
        &self,
        repo: &Repo,
        namespace: &str,
        spec: &RevertSpec,
        identity: &Identity,
    ) -> Result<(Oid, String), GitError> {
        let contents: Vec<(&ChangedFile, &str)> = self
            .plan
            .files
            .iter()
            .filter_map(|new| {
                let file = self.files.iter().find(|f| f.path == new.path)?;
                Some((file, new.text.as_str()))
            })
            .collect();
        let leaves: Vec<_> = self
            .plan
            .leaves
            .iter()
            .filter(|leaf| leaf.tip == super::revert::AtTip::Bad)
            .cloned()
            .collect();
        let text = message::compose(&Context {
            namespace,
            spec,
            leaves: &leaves,
            id: &self.id,
            reverts: self.bad.as_ref(),
            identity,
        });
        let commit = repo
            .commit(&self.tip, &contents, &text, spec.aborted_at)
            .await?;
        let diff = repo.diff(&self.tip, &commit).await?;
        Ok((commit, diff))
    }
}
