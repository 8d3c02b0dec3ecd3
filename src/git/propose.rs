//! The way to the branch that leads over people: the commit on a branch of its own, a pull request for
//! it, and what becomes of that. Each turn reads the branch, the commit's own branch and the forge anew,
//! so that one who stopped in the middle goes on with what is there.
//!
//! Must not open twice what somebody has closed, and must not touch a branch on which somebody else
//! has gone on.

use crate::api::revert::{DECLINED_ANNOTATION, PullRequest, Revert, RevertPhase};

use super::announce::{announce, note};
use super::answers::{GitError, Oid, Push};
use super::forge::{Draft, Forge, ForgeError, Request, State};
use super::message::id_line;
use super::outcome::{Again, LANDED, Outcome};
use super::redact::cut;
use super::repo::{GitConfig, Repo};
use super::resolve::{Problem, Resolved, Target, resolve};
use super::revert::Decision;
use super::source::Branch;
use super::work::{self, Attempt, Journal};

/// Longest part of a request's branch that names the Rollout.
const NAME_CHARS_MAX: usize = 150;

/// Longest address of a request's page, as in the schema.
const URL_BYTES_MAX: usize = 2048;

/// How often a merged request is looked for on the branch that it was merged into: what a forge says of
/// a request and of a branch need not come at the same moment.
const LOOKS_AFTER_MERGE: i32 = 3;

/// The condition's reason meanwhile.
const NOT_ON_BRANCH: &str = "NotOnBranch";

/// Why a turn ends before its end.
enum Stop {
    Forge(ForgeError),
    Git(GitError),
    Race(String),
    Ended(Box<Outcome>),
}

impl From<ForgeError> for Stop {
    fn from(error: ForgeError) -> Stop {
        Stop::Forge(error)
    }
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Stop {
        Stop::Git(error)
    }
}

impl Stop {
    fn ended(outcome: Outcome) -> Stop {
        Stop::Ended(Box::new(outcome))
    }

    fn attempt(self) -> Attempt {
        match self {
            Stop::Forge(error) => Attempt::Ended(Outcome::of_forge(&error)),
            Stop::Git(error) => Attempt::Ended(Outcome::of_git(&error, LANDED)),
            Stop::Race(message) => Attempt::Race(message),
            Stop::Ended(outcome) => Attempt::Ended(*outcome),
        }
    }
}

/// What a request is opened from.
pub(super) struct Proposal<'a> {
    pub revert: &'a Revert,
    pub target: &'a Target,
    pub config: &'a GitConfig,
    pub repo: &'a Repo,
    pub resolved: &'a Resolved,
}

impl Proposal<'_> {
    /// Pushes the commit to a branch of its own and opens a request for it, as far as that was not done
    /// before.
    pub async fn open(&self, commit: &Oid, planned: Outcome) -> Attempt {
        match self.try_open(commit, planned).await {
            Ok(outcome) => Attempt::Ended(outcome),
            Err(stop) => stop.attempt(),
        }
    }

    async fn try_open(&self, commit: &Oid, planned: Outcome) -> Result<Outcome, Stop> {
        let forge = forge(self.target, self.config)?;
        let head = head_branch(self.revert, &self.resolved.id)?;
        let base = self.target.branch.name();
        let before = forge.find(head.name(), base).await?;
        if let Some(request) = &before {
            self.must_be_open(request)?;
        }
        // Somebody may have gone on with an open one.
        let pushed = match &before {
            Some(_) => false,
            None => put(self.repo, &head, commit, &self.resolved.id).await?,
        };
        let request = match before {
            Some(request) => request,
            None => self.create(&forge, &head, commit).await?,
        };
        Ok(proposed(
            planned,
            PullRequest {
                number: request.number,
                url: shown_url(&request.url),
                branch: head.name().to_owned(),
            },
            pushed,
        ))
    }

    async fn create(&self, forge: &Forge, head: &Branch, commit: &Oid) -> Result<Request, Stop> {
        let message = self.repo.message(commit).await?;
        let (title, text) = message.split_once('\n').unwrap_or((message.as_str(), ""));
        // As it stands: nobody's name in it calls somebody, nothing in it is markup.
        let body = format!("```text\n{}\n```\n", text.trim().replace("```", "'''"));
        let labels = self.config.requests.labels.as_slice();
        let draft = Draft {
            head: head.name(),
            base: self.target.branch.name(),
            title,
            body: &body,
            labels,
        };
        let (request, is_new) = forge.open(&draft).await?;
        self.must_be_open(&request)?;
        if is_new {
            note("the labels", forge.label(&request, labels).await);
            if self.config.requests.auto_merge {
                note("auto-merge", forge.merge_later(&request).await);
            }
            announce(forge, self.revert, self.resolved, &request.url).await;
        }
        Ok(request)
    }

    /// A request that is there and that somebody has decided about.
    fn must_be_open(&self, request: &Request) -> Result<(), Stop> {
        match &request.state {
            State::Open => Ok(()),
            State::Closed => Err(Stop::ended(declined(request))),
            State::Merged(commit) => Err(Stop::ended(merged_without_effect(
                self.revert,
                request,
                commit.as_deref(),
            ))),
        }
    }
}

/// What becomes of a request that was opened before. `None` when the Revert changed meanwhile.
pub(super) async fn follow(
    revert: &Revert,
    known: &PullRequest,
    target: &Target,
    config: &GitConfig,
    repo: &Repo,
    journal: &mut impl Journal,
) -> Option<Outcome> {
    let turn = try_follow(revert, known, target, config, repo, journal);
    match turn.await {
        Ok(outcome) => outcome,
        Err(stop) => match stop.attempt() {
            Attempt::Ended(outcome) => Some(outcome),
            // Somebody pushed to the request's branch: the next look tells what it is now.
            Attempt::Race(message) => Some(Outcome::Failed {
                condition: LANDED,
                reason: "Race",
                message,
            }),
            Attempt::Stopped => None,
        },
    }
}

async fn try_follow(
    revert: &Revert,
    known: &PullRequest,
    target: &Target,
    config: &GitConfig,
    repo: &Repo,
    journal: &mut impl Journal,
) -> Result<Option<Outcome>, Stop> {
    let forge = forge(target, config)?;
    // Before the branch, so that what was merged by then is on it.
    let request = forge.get(known.number).await?;
    if super::status::is_released(revert) && !matches!(request.state, State::Merged(_)) {
        let why = "the version was released before this was merged";
        withdraw(&forge, &request, why).await?;
        return Ok(Some(Outcome::Superseded {
            reason: "Released",
            message: why.to_owned(),
        }));
    }
    if super::status::is_declined(revert) && !matches!(request.state, State::Merged(_)) {
        let message = format!(
            "a person does not want it taken out of Git (annotation {DECLINED_ANNOTATION}); the \
             version stays rejected"
        );
        withdraw(&forge, &request, &message).await?;
        return Ok(Some(Outcome::Declined { message }));
    }
    let resolved = match resolve(repo, target, &revert.spec).await {
        Ok(resolved) => resolved,
        Err(problem) => return Err(Stop::ended(Outcome::of(&problem))),
    };
    let found = resolved.find_commit(repo).await?;
    let outcome = match &resolved.decision {
        Decision::Superseded { leaves } => {
            withdraw(&forge, &request, "superseded: the branch has moved on").await?;
            work::changed_since(leaves)
        }
        Decision::AlreadyReverted => {
            let why = "superseded: the branch holds the stable version's values already";
            withdraw(&forge, &request, why).await?;
            let merged = match &request.state {
                State::Merged(commit) => commit.as_deref().and_then(Oid::parse),
                State::Open | State::Closed => None,
            };
            work::already_reverted(revert, target, &resolved, found.or(merged))
        }
        Decision::Apply => match (&request.state, found) {
            (_, Some(commit)) => {
                let why = "superseded: somebody has put the version back on purpose";
                withdraw(&forge, &request, why).await?;
                work::taken_back(commit.as_str())
            }
            (State::Merged(commit), None) => {
                merged_without_effect(revert, &request, commit.as_deref())
            }
            (State::Closed, None) => declined(&request),
            (State::Open, None) => {
                let proposal = Proposal {
                    revert,
                    target,
                    config,
                    repo,
                    resolved: &resolved,
                };
                return keep(&proposal, known, journal).await;
            }
        },
    };
    Ok(Some(outcome))
}

/// An open request: its branch is made anew where the branch that it goes to has changed in the same
/// files, unless somebody else has gone on with it.
async fn keep(
    proposal: &Proposal<'_>,
    known: &PullRequest,
    journal: &mut impl Journal,
) -> Result<Option<Outcome>, Stop> {
    let Proposal {
        revert,
        target,
        config,
        repo,
        resolved,
    } = proposal;
    let namespace = revert.metadata.namespace.as_deref().unwrap_or_default();
    let (commit, diff) = resolved
        .make_commit(repo, namespace, &revert.spec, &config.identity)
        .await?;
    let planned = Outcome::Planned {
        id: resolved.id.clone(),
        branch: target.branch.to_string(),
        diff: work::with_unmatched(diff, &resolved.plan.unmatched),
    };
    let mut pushed = false;
    if !is_in_status(revert, &planned) {
        if !journal.intend(&planned, true).await {
            return Ok(None);
        }
        let head = branch(&known.branch)?;
        pushed = put(repo, &head, &commit, &resolved.id).await?;
    }
    Ok(Some(proposed(planned, known.clone(), pushed)))
}

/// Whether the plan is that of the status: the same change to the same files. The names of the files'
/// contents are in it, so another change to one of them shows.
fn is_in_status(revert: &Revert, planned: &Outcome) -> bool {
    let before = revert.status.as_ref().and_then(|s| s.plan.as_ref());
    let Outcome::Planned { diff, .. } = planned else {
        return true;
    };
    let mut diff = diff.clone();
    cut(&mut diff, crate::api::revert::PLAN_BYTES_MAX);
    before == Some(&diff)
}

/// Closes a request that nothing in the cluster tells of, where nothing is left for it to do.
pub(super) async fn withdraw_forgotten(
    revert: &Revert,
    target: &Target,
    config: &GitConfig,
    resolved: &Resolved,
) {
    let Ok(Some(forge)) = Forge::of(&target.remote, config.credentials.as_ref()) else {
        return;
    };
    let Ok(head) = head_branch(revert, &resolved.id) else {
        return;
    };
    if let Ok(Some(request)) = forge.find(head.name(), target.branch.name()).await {
        let why = "superseded: the branch has moved on";
        note("the old request", withdraw(&forge, &request, why).await);
    }
}

/// Closes a request, if it is open, and says why.
async fn withdraw(forge: &Forge, request: &Request, why: &str) -> Result<(), ForgeError> {
    if request.state == State::Open {
        forge.close(request.number).await?;
        let words = format!("Closed by Tidegate: {why}.");
        note("the comment", forge.comment(request.number, &words).await);
    }
    Ok(())
}

/// Puts the commit on the request's branch, and says whether that took a push. What is there and not
/// of our making stays.
async fn put(repo: &Repo, head: &Branch, commit: &Oid, id: &str) -> Result<bool, Stop> {
    let before = match repo.head(head, &id_line(id)).await? {
        Some((oid, _)) if oid == *commit => return Ok(false),
        Some((_, false)) => return Ok(false),
        Some((oid, true)) => Some(oid),
        None => None,
    };
    match repo.push_over(commit, before.as_ref(), head).await? {
        Push::Pushed => Ok(true),
        Push::UpToDate => Ok(false),
        Push::Race(message) => Err(Stop::Race(format!("branch {head}: {message}"))),
        Push::Protected(message) => Err(Stop::ended(Outcome::Refused {
            phase: RevertPhase::NeedsHuman,
            condition: LANDED,
            reason: "ProtectedBranch",
            message: format!(
                "the server does not let the writer push branch {head} for a pull request either; \
                 apply status.plan by hand (git apply --unidiff-zero), or let its user push \
                 branches rollout-revert/*: {message}"
            ),
            again: Again::Seldom,
        })),
    }
}

fn forge(target: &Target, config: &GitConfig) -> Result<Forge, Stop> {
    let found = Forge::of(&target.remote, config.credentials.as_ref())?;
    found.ok_or_else(|| {
        Stop::ended(Outcome::Refused {
            phase: RevertPhase::NeedsHuman,
            condition: LANDED,
            reason: "NoForge",
            message: format!(
                "no pull request can be opened for {}: the writer's credential for it needs a \
                 token, and a file forge that says GitHub, GitLab, Gitea or Forgejo; until then \
                 status.plan can be applied by hand (git apply --unidiff-zero)",
                target.remote
            ),
            again: Again::Soon,
        })
    })
}

fn proposed(planned: Outcome, request: PullRequest, pushed: bool) -> Outcome {
    match planned {
        Outcome::Planned { id, branch, diff } => Outcome::Proposed {
            request,
            id,
            branch,
            diff,
            pushed,
        },
        other => other,
    }
}

fn declined(request: &Request) -> Outcome {
    Outcome::Declined {
        message: format!(
            "pull request {} was closed and not merged, so the branch keeps the rejected version; \
             it is not opened again: {}",
            request.number,
            shown_url(&request.url)
        ),
    }
}

/// A request that was merged, while the branch asks for the bad version: at first the branch may be
/// behind, then somebody has put the version back.
fn merged_without_effect(revert: &Revert, request: &Request, commit: Option<&str>) -> Outcome {
    let status = revert.status.as_ref();
    let looks = status.and_then(|s| s.attempts).unwrap_or(0);
    let landed = status.and_then(|s| s.conditions.iter().find(|c| c.type_ == LANDED));
    if landed.is_some_and(|c| c.reason == NOT_ON_BRANCH) && looks >= LOOKS_AFTER_MERGE {
        let by = format!("of pull request {}", request.number);
        return work::taken_back(commit.unwrap_or(&by));
    }
    Outcome::Failed {
        condition: LANDED,
        reason: NOT_ON_BRANCH,
        message: format!(
            "pull request {} is merged, and the branch still asks for the rejected version",
            request.number
        ),
    }
}

/// The branch of a revert's request: the same for the same change, another one for another attempt.
fn head_branch(revert: &Revert, id: &str) -> Result<Branch, Stop> {
    let namespace = revert.metadata.namespace.as_deref().unwrap_or_default();
    let name = format!("{namespace}-{}", revert.spec.rollout.name);
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    let digits = id.rsplit(':').next().unwrap_or(id);
    let mark: String = digits.chars().take(8).collect();
    branch(&format!("rollout-revert/{name}-{mark}"))
}

fn branch(name: &str) -> Result<Branch, Stop> {
    Branch::parse(name).map_err(|error| Stop::ended(Outcome::of(&Problem::Source(error))))
}

fn shown_url(url: &str) -> String {
    if url.len() <= URL_BYTES_MAX && url.starts_with("http") {
        url.to_owned()
    } else {
        String::new()
    }
}
