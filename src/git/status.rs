//! What a Revert's status becomes: from where it stands, what was found and the time. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::{Condition, ConditionStatus};
use crate::api::revert::{
    DECLINED_ANNOTATION, PLAN_BYTES_MAX, RELEASED_ANNOTATION, RETRY_ANNOTATION, RETRY_CHARS_MAX,
    Revert, RevertMode, RevertPhase, RevertStatus,
};
use crate::retry::Retry;

use super::outcome::{Again, HANDED_OVER, LANDED, Outcome, RESOLVED, VERIFIED};
use super::redact::cut;

/// Longest message of a condition and of the status, in bytes; the schema allows a little more.
const MESSAGE_BYTES_MAX: usize = 1000;

/// How soon something is looked at again that a person has to mend outside of Git: the allow-list,
/// the credentials.
const RECHECK: SignedDuration = SignedDuration::from_mins(10);

/// How soon, where the person has to mend it in the repository: what comes of that is a record, and
/// each look asks the server for history.
const RECHECK_SELDOM: SignedDuration = SignedDuration::from_hours(1);

/// How often a server that fails is tried again. A revert is urgent at first; after some minutes
/// somebody else knows.
pub(super) const SERVER_RETRY: Retry = Retry::new(
    std::time::Duration::from_secs(2),
    std::time::Duration::from_secs(600),
    2.0,
);

/// How often a pull request is looked at: no sooner and no later, and in between after a part of the
/// time that it has been waited for. People who look within minutes are answered soon.
const POLL_MIN: SignedDuration = SignedDuration::from_secs(30);
const POLL_MAX: SignedDuration = SignedDuration::from_hours(1);
const POLL_PART: i32 = 20;

/// How often the cluster is looked at after the branch was put right: often while it is about to
/// follow, rarely later.
const VERIFY_RETRY: Retry = Retry::new(
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(30),
    1.3,
);

/// Times that bound a revert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// A Revert that could not be carried out is given up when it is this old.
    pub max_age: SignedDuration,
    /// The cluster has this long to follow after the branch was put right.
    pub verify: SignedDuration,
}

/// What is to be done with a Revert now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, ever.
    Done,
    /// Nothing yet.
    Wait(SignedDuration),
    /// It is only a record.
    Record,
    /// The version was released; nothing is pushed any more.
    Release,
    /// A person does not want it; nothing is pushed any more.
    Decline,
    /// It is too old to be carried out.
    GiveUp,
    /// Read the repository, plan, and push if that is the mode.
    Work,
    /// Read the branch again after a push.
    Confirm,
    /// Look at the Rollout.
    Verify,
}

/// Decides what is to be done with a Revert, from the Revert alone.
pub(super) fn next_step(revert: &Revert, deadlines: &Deadlines, now: Timestamp) -> Step {
    let status = revert.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or(RevertPhase::Pending);
    let mode = revert.spec.mode;
    let nothing_pushed = matches!(
        phase,
        RevertPhase::Pending
            | RevertPhase::Planned
            | RevertPhase::Unresolvable
            | RevertPhase::NeedsHuman
    );
    // An open request is closed first, which is work.
    let requested = status.pull_request.is_some();
    let called_off = is_released(revert) || is_declined(revert);
    if nothing_pushed
        && mode != RevertMode::Off
        && !requested
        && is_declined(revert)
        && !is_released(revert)
    {
        return Step::Decline;
    }
    // Who asks for a try gets it, once: neither the delay nor the age stands against it.
    let asked = retry_asked(revert).is_some();
    let wait = status
        .next_retry_at
        .filter(|_| !asked)
        .map(|at| at.duration_since(now))
        .filter(SignedDuration::is_positive);
    let too_old = !asked && now.duration_since(revert.spec.aborted_at) > deadlines.max_age;
    let no_more_tries = !asked && status.next_retry_at.is_none();
    match phase {
        RevertPhase::Verified
        | RevertPhase::Superseded
        | RevertPhase::Declined
        | RevertPhase::Recorded => Step::Done,
        RevertPhase::Unresolvable | RevertPhase::NeedsHuman if no_more_tries => Step::Done,
        // Nobody has mended it; what is in the way is told better by the status as it is.
        RevertPhase::NeedsHuman if too_old => Step::Done,
        RevertPhase::Planned if mode == RevertMode::DryRun && !asked => Step::Done,
        RevertPhase::Pending
        | RevertPhase::Planned
        | RevertPhase::Unresolvable
        | RevertPhase::NeedsHuman => {
            if mode == RevertMode::Off {
                Step::Record
            } else if is_released(revert) && !requested {
                Step::Release
            } else if too_old {
                Step::GiveUp
            } else {
                wait.map_or(Step::Work, Step::Wait)
            }
        }
        RevertPhase::Pushed => wait.map_or(Step::Confirm, Step::Wait),
        // It is closed at once, unless that has just failed.
        RevertPhase::PullRequestOpen if called_off && status.attempts.is_none() => Step::Work,
        // However old: it is a person's to decide.
        RevertPhase::PullRequestOpen => wait.map_or(Step::Work, Step::Wait),
        // A cluster that follows late is still told from one that never does.
        RevertPhase::Mismatch if too_old => Step::Done,
        RevertPhase::Landed | RevertPhase::Mismatch => wait.map_or(Step::Verify, Step::Wait),
    }
}

/// Whether the rejection was taken back.
pub(super) fn is_released(revert: &Revert) -> bool {
    annotation(revert, RELEASED_ANNOTATION).is_some()
}

/// Whether a person said that the change is not to be taken out of Git.
pub(super) fn is_declined(revert: &Revert) -> bool {
    annotation(revert, DECLINED_ANNOTATION).is_some()
}

/// The request to try now, unless it was acted on.
fn retry_asked(revert: &Revert) -> Option<String> {
    let status = revert.status.as_ref();
    let handled = status.and_then(|s| s.handled_retry.as_ref());
    retry_value(revert).filter(|value| Some(value) != handled)
}

/// The last request to try now, as the status can hold it.
fn retry_value(revert: &Revert) -> Option<String> {
    let value = annotation(revert, RETRY_ANNOTATION)?;
    Some(value.chars().take(RETRY_CHARS_MAX).collect())
}

fn annotation<'r>(revert: &'r Revert, key: &str) -> Option<&'r String> {
    revert.metadata.annotations.as_ref()?.get(key)
}

/// The status after an outcome.
pub(super) fn after(
    revert: &Revert,
    outcome: &Outcome,
    deadlines: &Deadlines,
    now: Timestamp,
) -> RevertStatus {
    let mut status = revert.status.clone().unwrap_or_default();
    let old = status.clone();
    let generation = revert.metadata.generation;
    if let Outcome::Landed { .. } = outcome {
        // What was said after an earlier landing is not about this one.
        status.conditions.retain(|c| c.type_ != HANDED_OVER);
    }
    let mut set = |type_: &str, value: ConditionStatus, reason: &str, message: &str| {
        set_condition(
            &mut status.conditions,
            type_,
            value,
            reason,
            message,
            generation,
            now,
        );
    };
    let (phase, message) = match outcome {
        Outcome::Recorded => (
            RevertPhase::Recorded,
            "mode Off: the version is on record as rejected".to_owned(),
        ),
        Outcome::Planned { .. } => {
            let message = "the change is found; see status.plan";
            set(RESOLVED, ConditionStatus::True, "ChangeFound", message);
            (RevertPhase::Planned, message.to_owned())
        }
        Outcome::Pushed { commit } => {
            let message = format!("commit {commit} was accepted by the remote");
            set(LANDED, ConditionStatus::Unknown, "Pushed", &message);
            (RevertPhase::Pushed, message)
        }
        Outcome::Landed { commit, branch, .. } => {
            let (reason, message) = match commit {
                Some(commit) => ("Reverted", format!("commit {commit} is on branch {branch}")),
                None => (
                    "AlreadyReverted",
                    format!("branch {branch} holds the stable version's values already"),
                ),
            };
            set(
                RESOLVED,
                ConditionStatus::True,
                "ChangeFound",
                "the change is found",
            );
            set(LANDED, ConditionStatus::True, reason, &message);
            let waiting = "the cluster has not followed yet";
            set(VERIFIED, ConditionStatus::Unknown, "Waiting", waiting);
            (RevertPhase::Landed, format!("{message}; {waiting}"))
        }
        Outcome::Proposed { request, .. } => {
            let message = format!(
                "pull request {} waits to be merged: {}",
                request.number, request.url
            );
            let found = "the change is found; see status.plan";
            set(RESOLVED, ConditionStatus::True, "ChangeFound", found);
            set(
                LANDED,
                ConditionStatus::Unknown,
                "PullRequestOpen",
                &message,
            );
            (RevertPhase::PullRequestOpen, message)
        }
        Outcome::Declined { message } => {
            set(LANDED, ConditionStatus::False, "Declined", message);
            (RevertPhase::Declined, message.clone())
        }
        Outcome::Superseded { reason, message } => {
            set(LANDED, ConditionStatus::False, reason, message);
            (RevertPhase::Superseded, message.clone())
        }
        Outcome::Refused {
            phase,
            condition,
            reason,
            message,
            ..
        } => {
            set(condition, ConditionStatus::False, reason, message);
            (*phase, message.clone())
        }
        Outcome::Failed {
            condition,
            reason,
            message,
        } => {
            set(condition, ConditionStatus::Unknown, reason, message);
            (while_tried(&old), message.clone())
        }
        Outcome::Limited { message, .. } => {
            set(LANDED, ConditionStatus::Unknown, "RateLimited", message);
            (while_tried(&old), message.clone())
        }
        Outcome::HandedOver {
            value,
            reason,
            message,
        } => {
            set(HANDED_OVER, *value, reason, message);
            let message = format!("the branch is right; {message}");
            (RevertPhase::Landed, message)
        }
        Outcome::Verified => {
            let message = "the cluster runs the stable version";
            set(
                VERIFIED,
                ConditionStatus::True,
                "StableVersionHealthy",
                message,
            );
            (RevertPhase::Verified, message.to_owned())
        }
        Outcome::NotVerified {
            reason,
            message,
            on_its_way,
        } => {
            let landed = old.conditions.iter().find(|c| c.type_ == LANDED);
            let since = landed.map_or(revert.spec.aborted_at, |c| c.last_transition_time);
            let late = !on_its_way && now.duration_since(since) > deadlines.verify;
            let value = if late {
                ConditionStatus::False
            } else {
                ConditionStatus::Unknown
            };
            set(VERIFIED, value, reason, message);
            let phase = if late {
                RevertPhase::Mismatch
            } else {
                RevertPhase::Landed
            };
            // What the cluster waits for may be a person.
            let by_hand = old.conditions.iter().find(|c| c.type_ == HANDED_OVER);
            let by_hand = by_hand.filter(|c| c.status == ConditionStatus::False);
            let message = match by_hand {
                Some(condition) => format!("{message}; {}", condition.message),
                None => message.clone(),
            };
            (phase, message)
        }
    };
    status.phase = Some(phase);
    let mut message = message;
    cut(&mut message, MESSAGE_BYTES_MAX);
    status.message = Some(message);
    status.observed_generation = generation;
    if let Some(value) = retry_value(revert) {
        status.handled_retry = Some(value);
    }
    record_facts(&mut status, outcome, now);
    schedule(&mut status, &old, outcome, revert.spec.aborted_at, now);
    status
}

/// The phase of what is tried again.
fn while_tried(old: &RevertStatus) -> RevertPhase {
    match old.phase {
        // Somebody mended what kept it from being tried; now it is tried.
        None | Some(RevertPhase::Unresolvable) => RevertPhase::Pending,
        Some(phase) => phase,
    }
}

/// Commit, identity, branch, plan and time, as far as the outcome says them.
fn record_facts(status: &mut RevertStatus, outcome: &Outcome, now: Timestamp) {
    match outcome {
        Outcome::Planned { id, branch, diff } => {
            let mut diff = diff.clone();
            cut(&mut diff, PLAN_BYTES_MAX);
            status.plan = Some(diff);
            status.revert_id = Some(id.clone());
            status.branch = Some(branch.clone());
        }
        Outcome::Proposed {
            request,
            id,
            branch,
            diff,
            pushed,
        } => {
            let mut diff = diff.clone();
            cut(&mut diff, PLAN_BYTES_MAX);
            status.plan = Some(diff);
            status.revert_id = Some(id.clone());
            status.branch = Some(branch.clone());
            status.pull_request = Some(request.clone());
            if *pushed {
                status.pushed_at = Some(now);
            }
        }
        Outcome::Pushed { commit } => {
            status.commit = Some(commit.clone());
            status.pushed_at = Some(now);
        }
        Outcome::Landed { commit, id, branch } => {
            if commit.is_some() {
                status.commit.clone_from(commit);
            }
            if id.is_some() {
                status.revert_id.clone_from(id);
            }
            status.branch = Some(branch.clone());
        }
        _ => {}
    }
}

/// When it is looked at again, and how often it failed.
fn schedule(
    status: &mut RevertStatus,
    old: &RevertStatus,
    outcome: &Outcome,
    aborted_at: Timestamp,
    now: Timestamp,
) {
    let failures = old.attempts.unwrap_or(0);
    let delay = |retry: &Retry, count: i32| {
        let delay = retry
            .after(u32::try_from(count).unwrap_or(1))
            .unwrap_or_default();
        SignedDuration::try_from(delay).unwrap_or(RECHECK)
    };
    status.next_retry_at = match outcome {
        Outcome::Failed { .. } => {
            status.attempts = Some(failures.saturating_add(1).min(1_000_000));
            Some(now + delay(&SERVER_RETRY, failures + 1))
        }
        Outcome::Limited { wait, .. } => {
            status.attempts = Some(failures.saturating_add(1).min(1_000_000));
            Some(now + *wait)
        }
        Outcome::Proposed { .. } => {
            let waited = now.duration_since(aborted_at);
            Some(now + (waited / POLL_PART).clamp(POLL_MIN, POLL_MAX))
        }
        Outcome::Refused { again, .. } => match again {
            Again::Never => None,
            Again::Soon => Some(now + RECHECK),
            Again::Seldom => Some(now + RECHECK_SELDOM),
        },
        // How long it has been waiting says how soon the next look is worth while; the count of
        // looks would have to be written down each time.
        Outcome::NotVerified { .. } | Outcome::Landed { .. } => None,
        _ => None,
    };
    if matches!(
        outcome,
        Outcome::Planned { .. }
            | Outcome::Pushed { .. }
            | Outcome::Proposed { .. }
            | Outcome::Landed { .. }
    ) {
        status.attempts = None;
    }
}

/// How soon the cluster is looked at again after the branch was put right `ago`.
pub(super) fn verify_delay(ago: SignedDuration) -> std::time::Duration {
    let mut waited = std::time::Duration::ZERO;
    let ago = std::time::Duration::try_from(ago).unwrap_or_default();
    for delay in VERIFY_RETRY.delays() {
        waited += delay;
        if waited > ago || delay >= std::time::Duration::from_secs(30) {
            return delay;
        }
    }
    std::time::Duration::from_secs(30)
}

/// Sets a condition; the time moves only with its value.
fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    value: ConditionStatus,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut message = message.to_owned();
    cut(&mut message, MESSAGE_BYTES_MAX);
    let before = conditions.iter().position(|c| c.type_ == type_);
    let since = before
        .and_then(|at| conditions.get(at))
        .filter(|c| c.status == value)
        .map_or(now, |c| c.last_transition_time);
    let condition = Condition {
        type_: type_.to_owned(),
        status: value,
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: generation,
    };
    match before.and_then(|at| conditions.get_mut(at)) {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests;
