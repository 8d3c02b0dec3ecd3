//! From a Revert and a repository to a plan: which commits hold the stable and the bad version,
//! which files differ between them, and what stands at the branch's tip.
//!
//! The commits in the Revert are claims that somebody's pipeline made. They have to be in the
//! branch's history, and the values in the files decide: a commit that is off by one does no harm,
//! and without a claim both versions are looked for by their values.

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

/// How many of them may have brought the bad version, where the tip does not hold it any more: it was
/// there when the rollout was aborted, so few have come since.
const PAST_MAX: usize = 5;

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
    let bad_is_lost = bad.is_none() && claim(&spec.bad).is_some();
    let mut search = Search {
        repo,
        target,
        spec,
        tip: &tip,
        why: lost.map(Problem::Git),
    };
    // The tip second: a commit that was claimed for the bad version may be one too early.
    let bads: Vec<&Oid> = bad
        .iter()
        .chain((bad.as_ref() != Some(&tip)).then_some(&tip))
        .collect();
    let mut found = None;
    if let Some(good) = &good {
        found = search.by_claim(good, &bads).await?;
        if found.is_none() && bad_is_lost && search.holds(good).await? {
            // The branch was set back to before the bad version.
            found = Some(Found::default());
        }
    }
    if found.is_none() {
        found = search.by_values(&bads).await?;
    }
    if found.is_none() && bad.is_none() {
        found = search.in_the_past(good.as_ref()).await?;
    }
    let Some((plan, files)) = found else {
        return Err(search.why.unwrap_or_else(|| {
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

fn claim(version: &RevertVersion) -> Option<Oid> {
    version
        .source_revision
        .as_deref()
        .and_then(|text| Oid::parse(&text.to_ascii_lowercase()))
}

/// A plan, and the files that it is about.
type Found = (Plan, Vec<ChangedFile>);

/// Two commits between which the workload's change may be.
struct Pair<'a> {
    good: &'a Oid,
    bad: &'a Oid,
    /// Whether `good` was claimed to hold the stable version.
    claimed: bool,
}

/// The search for two commits between which the workload's change is found.
struct Search<'a> {
    repo: &'a Repo,
    target: &'a Target,
    spec: &'a RevertSpec,
    tip: &'a Oid,
    /// Why it was not found so far: the first reason.
    why: Option<Problem>,
}

impl Search<'_> {
    /// From the commit that is claimed to hold the stable version.
    async fn by_claim(&mut self, good: &Oid, bads: &[&Oid]) -> Result<Option<Found>, Problem> {
        for bad in bads.iter().copied() {
            let pair = Pair {
                good,
                bad,
                claimed: true,
            };
            if let Some(found) = self.between(&pair, When::Now).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// From one of the commits that touched the path before the bad version.
    async fn by_values(&mut self, bads: &[&Oid]) -> Result<Option<Found>, Problem> {
        for bad in bads.iter().copied() {
            let goods = self.touching(bad, None).await?;
            for good in &goods {
                let pair = Pair {
                    good,
                    bad,
                    claimed: false,
                };
                if let Some(found) = self.between(&pair, When::Now).await? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// For a bad version whose commit is not known and that the tip does not hold any more: it was
    /// reverted, by us before a crash or by hand, or something newer has taken its place.
    async fn in_the_past(&mut self, good: Option<&Oid>) -> Result<Option<Found>, Problem> {
        let since = match good {
            Some(good) => self.touching(self.tip, Some(good)).await?,
            None => Vec::new(),
        };
        let all = self.touching(self.tip, None).await?;
        let mut pairs = Vec::new();
        // The first of them holds what the tip holds.
        if let Some(good) = good {
            pairs.extend(since.iter().skip(1).take(PAST_MAX).map(|bad| Pair {
                good,
                bad,
                claimed: true,
            }));
        }
        for (at, bad) in all.iter().enumerate().skip(1).take(PAST_MAX) {
            pairs.extend(all.iter().skip(at + 1).map(|good| Pair {
                good,
                bad,
                claimed: false,
            }));
        }
        for pair in &pairs {
            if let Some(found) = self.between(pair, When::Past).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn touching(&self, from: &Oid, since: Option<&Oid>) -> Result<Vec<Oid>, GitError> {
        let (branch, path) = (&self.target.branch, &self.target.path);
        let touching = self
            .repo
            .touching(branch, from, since, path, CANDIDATES_MAX);
        touching.await
    }

    /// Whether the tip holds at the path what `commit` holds there.
    async fn holds(&self, commit: &Oid) -> Result<bool, GitError> {
        let path = &self.target.path;
        match self
            .repo
            .changed_files(commit, self.tip, self.tip, path)
            .await
        {
            Ok(changed) => Ok(changed.is_empty()),
            // What is not there, or is no file, is another problem's to tell.
            Err(GitError::NoSuchPath(_) | GitError::NotAFile(..) | GitError::TooManyFiles(_)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What is found between two commits. `None`: other commits may hold what these do not; why
    /// these did not do is noted.
    async fn between(&mut self, pair: &Pair<'_>, when: When) -> Result<Option<Found>, Problem> {
        if pair.good == pair.bad {
            return Ok(None);
        }
        match self.plan_between(pair).await {
            Ok(found) => Ok(Some(found)),
            Err(problem) if may_be_elsewhere(&problem, when) => {
                self.note(problem);
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Keeps the first reason, or one that tells more than that nothing was found.
    fn note(&mut self, problem: Problem) {
        let tells_more = matches!(problem, Problem::Refused(Refusal::NotNamed { .. }))
            && matches!(
                self.why,
                Some(Problem::Refused(Refusal::NothingToRevert { .. }))
            );
        if self.why.is_none() || tells_more {
            self.why = Some(problem);
        }
    }

    async fn plan_between(&self, pair: &Pair<'_>) -> Result<Found, Problem> {
        let (repo, target, spec) = (self.repo, self.target, self.spec);
        let files = repo
            .changed_files(pair.good, pair.bad, self.tip, &target.path)
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
            source_path: target.path.as_str(),
            changes: &spec.changes,
            overrides: pair.claimed,
        };
        let plan = plan_revert(&versions, &Which::Workload(workload))?;
        Ok((plan, files))
    }
}

/// What a pair of commits is looked at for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// The tip may still hold the bad version: what is in the way is an answer.
    Now,
    /// The tip does not: only what was found is one.
    Past,
}

/// Whether other commits may hold what these do not.
fn may_be_elsewhere(problem: &Problem, when: When) -> bool {
    let past = when == When::Past;
    match problem {
        Problem::Refused(refusal) => match refusal {
            Refusal::NothingToRevert { .. }
            | Refusal::ImageNotFound { .. }
            | Refusal::NotNamed { .. } => true,
            Refusal::Ambiguous { .. } | Refusal::Unusable { .. } => past,
            Refusal::ImageHalfMoved { .. } | Refusal::NotExact { .. } => false,
        },
        Problem::Git(
            GitError::NoSuchPath(_) | GitError::NotAFile(..) | GitError::TooManyFiles(_),
        ) => past,
        _ => false,
    }
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

    /// The commit that brought the bad version, where it was claimed and is in the history.
    pub fn offending(&self) -> Option<&Oid> {
        self.bad.as_ref()
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
