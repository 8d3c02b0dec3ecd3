//! The level-based loop: whatever a Revert's status says, the next step follows from it, from the
//! repository and from the Rollout. Nothing is remembered that could not be lost.
//!
//! There is one replica and no leader election: every step may be done twice. The commit is the
//! same when it is made again, a push is a compare-and-swap on the branch, and a status is only
//! written over the one that it was made from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::revert::{DECLINED_ANNOTATION, Revert, RevertPhase, RevertStatus};
use crate::api::rollout::Rollout;
use crate::notify::Notifier;
use crate::retry::Retry;

use super::hand_over::{self, HandOver};
use super::metrics::WriterMetrics;
use super::notices::Notices;
use super::outcome::{Again, LANDED, Outcome, RESOLVED};
use super::repo::GitConfig;
use super::resolve::target;
use super::source::{Allowed, Remote};
use super::status::{self, Deadlines, Step, is_declined, is_released, next_step, verify_delay};
use super::verify::verdict;
use super::work::{Journal, work};

/// How long one call to the API server may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a look is repeated whose result could not be written because the Revert had changed.
const CONFLICT_DELAY: Duration = Duration::from_millis(200);

/// How calls to the API server that fail are repeated.
const CALL_RETRY: Retry =
    Retry::new(Duration::from_secs(1), Duration::from_secs(300), 2.0).jitter(0.2);

/// The writer's name in the fields that it writes.
pub(super) const FIELD_MANAGER: &str = "tidegate-git-writer";

/// Why a look at a Revert did not come to an end. What the repository says is an [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The API server refused or failed.
    #[error("{what}: {source}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("{0}: no answer within {seconds} s", seconds = CALL_TIMEOUT.as_secs())]
    Timeout(&'static str),
}

impl LookError {
    fn is_conflict(&self) -> bool {
        matches!(self, LookError::Call { source, .. }
            if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }
}

/// What the administrator set.
pub(super) struct Settings {
    pub git: GitConfig,
    pub allowed: Vec<Allowed>,
    pub deadlines: Deadlines,
    pub pushes_per_hour: usize,
    /// Where Applications are that name no namespace; nobody is told that a revert has landed
    /// without it.
    pub argo_cd_namespace: Option<String>,
}

/// Repository and branch.
type Branch = (String, String);
/// One look at a branch at a time.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What the loop works with.
pub(super) struct Writer {
    client: Client,
    settings: Settings,
    metrics: Arc<WriterMetrics>,
    notices: Notices,
    notifier: Notifier,
    hand_over: Option<HandOver>,
    reverts: Store<Revert>,
    branches: Mutex<BTreeMap<Branch, Turn>>,
    /// Looks in a row that failed, by Revert. Losing it only makes the next delay shorter.
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Writer {
    /// A writer that sees all Reverts in `reverts`.
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Arc<WriterMetrics>,
        notices: Notices,
        notifier: Notifier,
        reverts: Store<Revert>,
    ) -> Writer {
        let argo_cd = settings.argo_cd_namespace.clone();
        Writer {
            hand_over: argo_cd.map(|namespace| HandOver::new(client.clone(), namespace)),
            client,
            settings,
            metrics,
            notices,
            notifier,
            reverts,
            branches: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// One look at one Revert.
    pub async fn reconcile(&self, revert: &Revert) -> Result<Action, LookError> {
        let now = Timestamp::now();
        self.notifier.revert(revert, now);
        let outcome = match next_step(revert, &self.settings.deadlines, now) {
            Step::Done => {
                self.forget(revert);
                return Ok(Action::await_change());
            }
            Step::Wait(delay) => return Ok(requeue(delay)),
            Step::Record => Outcome::Recorded,
            Step::Release => Outcome::Superseded {
                reason: "Released",
                message: "the version was released before its revert was pushed".to_owned(),
            },
            Step::Decline => declined(),
            Step::GiveUp => gave_up(revert),
            Step::Verify => self.look_at_rollout(revert).await?,
            Step::Work | Step::Confirm => {
                let Some((revert, outcome)) = self.work(revert).await? else {
                    return Ok(Action::requeue(CONFLICT_DELAY));
                };
                return self.conclude(&revert, &outcome).await;
            }
        };
        self.conclude(revert, &outcome).await
    }

    /// Writes the outcome down and says when the next look is due.
    async fn conclude(&self, revert: &Revert, outcome: &Outcome) -> Result<Action, LookError> {
        let written = match self.write(revert, outcome).await {
            Err(error) if error.is_conflict() => return Ok(Action::requeue(CONFLICT_DELAY)),
            written => written?,
        };
        self.forget(revert);
        let now = Timestamp::now();
        if let Outcome::NotVerified { .. } = outcome {
            let conditions = written.status.iter().flat_map(|s| &s.conditions);
            let landed = conditions
                .filter(|c| c.type_ == LANDED)
                .map(|c| c.last_transition_time);
            let ago = landed
                .max()
                .map(|at| now.duration_since(at))
                .unwrap_or_default();
            return Ok(Action::requeue(verify_delay(ago)));
        }
        Ok(match next_step(&written, &self.settings.deadlines, now) {
            Step::Done => Action::await_change(),
            Step::Wait(delay) => requeue(delay),
            // The change of the status brings the next look; this is in case it does not.
            _ => Action::requeue(Duration::from_secs(1)),
        })
    }

    /// How long to wait after a look that failed, longer each time.
    pub fn delay_after_failure(&self, revert: &Revert, error: &LookError) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key(revert)).or_default();
        *count = count.saturating_add(1);
        let delay = CALL_RETRY.after(*count).unwrap_or(CALL_TIMEOUT);
        self.metrics.failed_look();
        tracing::warn!(revert = key(revert), %error, ?delay, "look failed");
        delay
    }

    fn forget(&self, revert: &Revert) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key(revert));
    }

    /// Reads the repository and goes on from there, alone on the branch. Gives back the Revert as
    /// it was last written, for the outcome to be written over; nothing if it changed meanwhile.
    async fn work(&self, revert: &Revert) -> Result<Option<(Revert, Outcome)>, LookError> {
        let namespace = revert.namespace().unwrap_or_default();
        let target = match target(&namespace, &revert.spec, &self.settings.allowed) {
            Ok(target) => target,
            Err(problem) => return Ok(Some((revert.clone(), Outcome::of(&problem)))),
        };
        let lock = self.branch_lock(target.remote.key(), target.branch.name());
        let _alone = lock.lock().await;
        let mut journal = ClusterJournal {
            writer: self,
            revert: revert.clone(),
            error: None,
        };
        let outcome = work(revert, &target, &self.settings.git, &mut journal).await;
        if let Some(error) = journal.error {
            return Err(error);
        }
        if let Some(Outcome::Pushed { .. }) = outcome {
            let ago = Timestamp::now().duration_since(revert.spec.aborted_at);
            self.metrics.pushed(ago.as_secs_f64());
        }
        Ok(outcome.map(|outcome| (journal.revert, outcome)))
    }

    /// One at a time on a branch: two pushes would only race.
    fn branch_lock(&self, repository: &str, branch: &str) -> Arc<tokio::sync::Mutex<()>> {
        let place = (repository.to_owned(), branch.to_owned());
        let mut branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        // A lock that nobody holds is held by the map alone.
        branches.retain(|at, lock| *at == place || Arc::strong_count(lock) > 1);
        Arc::clone(branches.entry(place).or_default())
    }

    async fn look_at_rollout(&self, revert: &Revert) -> Result<Outcome, LookError> {
        let namespace = revert.namespace().unwrap_or_default();
        let rollouts: Api<Rollout> = Api::namespaced(self.client.clone(), &namespace);
        let rollout = call("get Rollout", rollouts.get_opt(&revert.spec.rollout.name)).await?;
        let found = verdict(&revert.spec, rollout.as_ref());
        if let (Some(hand_over), Some(rollout)) = (&self.hand_over, &rollout)
            && hand_over::is_due(revert, &found, Timestamp::now())
            && let Some(asked) = hand_over.ask(revert, rollout).await
            && hand_over::is_news(revert, &asked)
        {
            // The look that its writing brings is at the Rollout again.
            return Ok(asked);
        }
        Ok(found)
    }

    /// Writes the status that follows from the outcome, over the one that it was made from. Writes
    /// nothing when nothing changed.
    async fn write(&self, revert: &Revert, outcome: &Outcome) -> Result<Revert, LookError> {
        let old = revert.status.clone().unwrap_or_default();
        let new = status::after(revert, outcome, &self.settings.deadlines, Timestamp::now());
        if new == old {
            return Ok(revert.clone());
        }
        let namespace = revert.namespace().unwrap_or_default();
        let reverts: Api<Revert> = Api::namespaced(self.client.clone(), &namespace);
        let patch = Patch::Merge(status_patch(revert, &old, &new));
        let params = PatchParams::apply(FIELD_MANAGER);
        let params = PatchParams {
            force: false,
            ..params
        };
        let name = revert.name_any();
        let written = call(
            "patch status of Revert",
            reverts.patch_status(&name, &params, &patch),
        )
        .await?;
        if old.phase != new.phase {
            let phase = new.phase.map(RevertPhase::as_str).unwrap_or_default();
            tracing::info!(
                revert = key(revert),
                from = old.phase.map(RevertPhase::as_str).unwrap_or_default(),
                to = phase,
                reason = outcome.name(),
                message = new.message.as_deref().unwrap_or_default(),
                "revert"
            );
            self.metrics.phase(phase);
        }
        self.notifier.revert(&written, Timestamp::now());
        self.notices.send(&written, &old, outcome).await;
        Ok(written)
    }

    /// The Revert as the API server has it now; nothing if it is not the one that was looked at.
    async fn read_again(&self, revert: &Revert) -> Result<Option<Revert>, LookError> {
        let namespace = revert.namespace().unwrap_or_default();
        let reverts: Api<Revert> = Api::namespaced(self.client.clone(), &namespace);
        let live = call("get Revert", reverts.get_opt(&revert.name_any())).await?;
        Ok(live.filter(|live| live.resource_version() == revert.resource_version()))
    }

    /// Pushes to a repository within the last hour, as the Reverts say.
    fn pushes_in_last_hour(&self, repository: &str) -> usize {
        let since = Timestamp::now() - SignedDuration::from_hours(1);
        let pushed_there = |revert: &Revert| {
            let at = revert.status.as_ref().and_then(|s| s.pushed_at);
            let remote = revert
                .spec
                .source
                .as_ref()
                .and_then(|s| Remote::parse(&s.repo).ok());
            at.is_some_and(|at| at > since) && remote.is_some_and(|r| r.key() == repository)
        };
        self.reverts
            .state()
            .iter()
            .filter(|revert| pushed_there(revert))
            .count()
    }
}

/// The cluster's side of the work on a repository.
struct ClusterJournal<'a> {
    writer: &'a Writer,
    /// As it was last written.
    revert: Revert,
    error: Option<LookError>,
}

impl Journal for ClusterJournal<'_> {
    async fn intend(&mut self, planned: &Outcome, written: bool) -> bool {
        let intended = if written {
            self.writer.read_again(&self.revert).await
        } else {
            self.writer.write(&self.revert, planned).await.map(Some)
        };
        match intended {
            Ok(Some(revert)) => {
                self.revert = revert;
                !is_released(&self.revert) && !is_declined(&self.revert)
            }
            Ok(None) => false,
            Err(error) if error.is_conflict() => false,
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    fn may_push(&mut self, repository: &str) -> bool {
        self.writer.pushes_in_last_hour(repository) < self.writer.settings.pushes_per_hour
    }
}

/// A call to the API server, bounded in time.
async fn call<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, LookError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(LookError::Call {
            what,
            source: Box::new(source),
        }),
        Err(_) => Err(LookError::Timeout(what)),
    }
}

/// The merge patch from one status to another, with the resourceVersion as its precondition.
fn status_patch(revert: &Revert, old: &RevertStatus, new: &RevertStatus) -> Value {
    let json = |status: &RevertStatus| serde_json::to_value(status).unwrap_or_default();
    let mut status = json(new);
    if let (Value::Object(old), Value::Object(new)) = (json(old), &mut status) {
        for field in old.keys() {
            // In a merge patch a field goes away by being null.
            new.entry(field).or_insert(Value::Null);
        }
    }
    json!({
        "metadata": {"resourceVersion": revert.metadata.resource_version},
        "status": status,
    })
}

fn gave_up(revert: &Revert) -> Outcome {
    let last = revert
        .status
        .as_ref()
        .and_then(|s| s.message.clone())
        .unwrap_or_default();
    Outcome::Refused {
        phase: RevertPhase::Unresolvable,
        condition: RESOLVED,
        reason: "TooOld",
        message: format!("given up after the writer's --max-age; what kept it: {last}"),
        again: Again::Never,
    }
}

fn declined() -> Outcome {
    Outcome::Refused {
        phase: RevertPhase::Declined,
        condition: LANDED,
        reason: "Declined",
        message: format!(
            "a person does not want it taken out of Git (annotation {DECLINED_ANNOTATION}); the \
             version stays rejected"
        ),
        again: Again::Never,
    }
}

fn requeue(delay: SignedDuration) -> Action {
    Action::requeue(Duration::try_from(delay).unwrap_or(CONFLICT_DELAY))
}

fn key(revert: &Revert) -> String {
    format!(
        "{}/{}",
        revert.namespace().unwrap_or_default(),
        revert.name_any()
    )
}
