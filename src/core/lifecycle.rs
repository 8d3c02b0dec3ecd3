//! Which version is which: a first deployment, a new version, the same again, back to stable, one
//! that was rejected before. Keeps the status' record of them, and does nothing to the cluster.

use jiff::SignedDuration;

use super::draft::{Draft, cut};
use super::observed::RevertObserved;
use super::source;
use super::spec::Means;
use crate::api::rollout_status::{
    AbortReason, AbortStatus, CanaryStatus, HISTORY_MAX, HistoryEntry, Outcome, StableStatus,
};

/// Where the Rollout stands between its stable version and the one that the spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    /// There is no stable version yet.
    Initial,
    /// The spec asks for the stable version.
    Settled,
    /// The spec asks for another version, which goes out.
    InProgress,
    /// The spec asks for a version that was given up.
    Aborted,
    /// The spec asks for a version that was rejected before this object knew of it.
    Rejected,
}

/// A version that comes so soon after another began, or was taken back, gets its pods this much later:
/// when the spec is at rest.
const REST: SignedDuration = SignedDuration::from_secs(5);
/// Longest history message.
const HISTORY_MESSAGE_MAX: usize = 256;

/// Brings the record up to date with the spec and says where the Rollout stands.
pub(super) fn update(draft: &mut Draft<'_>, desired: &str) -> Situation {
    if draft.status.stable.is_none() {
        draft.status.stable = infer_stable(draft, desired);
    }
    let Some(stable) = draft.status.stable.clone() else {
        if draft
            .status
            .canary
            .as_ref()
            .is_none_or(|c| c.hash != desired)
        {
            let hurried = is_hurried(draft);
            begin(draft, desired);
            wait_for_rest(draft, hurried);
        }
        return Situation::Initial;
    };
    if stable.hash == desired {
        come_back(draft);
        return Situation::Settled;
    }
    if draft
        .status
        .canary
        .as_ref()
        .is_some_and(|c| c.hash == desired)
    {
        let aborted = draft
            .status
            .abort
            .as_ref()
            .is_some_and(|a| a.hash == desired);
        return if aborted {
            Situation::Aborted
        } else {
            Situation::InProgress
        };
    }
    let hurried = is_hurried(draft);
    if draft.status.canary.is_some() && draft.status.abort.is_none() {
        close(draft, Outcome::Superseded, "another version took its place");
    }
    draft.status.abort = None;
    draft.status.pause = None;
    draft.status.canary = None;
    if rejection(draft, desired).is_some() {
        return Situation::Rejected;
    }
    begin(draft, desired);
    if is_known_good(draft, desired) {
        go_back(draft);
    } else {
        wait_for_rest(draft, hurried);
    }
    Situation::InProgress
}

/// A version that is hurried gets its pods when the spec has been at rest.
fn wait_for_rest(draft: &mut Draft<'_>, hurried: bool) {
    if let Some(canary) = draft.status.canary.as_mut().filter(|_| hurried) {
        canary.begins_at = draft.now.checked_add(REST).ok();
    }
}

/// Whether the version before began, or was taken back, only just now.
fn is_hurried(draft: &Draft<'_>) -> bool {
    let status = &draft.status;
    let began = status.canary.as_ref().and_then(|canary| canary.started_at);
    let last = status.history.first();
    let taken_back = last.filter(|last| last.outcome == Outcome::RolledBack);
    let since = began.max(taken_back.map(|last| last.at));
    since.is_some_and(|since| draft.now.duration_since(since) < REST)
}

/// Whether the version that goes out is to get pods; if not yet, the plan wakes then.
pub(super) fn has_begun(draft: &mut Draft<'_>) -> bool {
    let at = draft.status.canary.as_ref().and_then(|c| c.begins_at);
    at.is_none_or(|at| draft.elapsed(at, SignedDuration::ZERO))
}

/// Whether a version was stable so lately that the rollback window still has it.
fn is_known_good(draft: &Draft<'_>, hash: &str) -> bool {
    let Some(window) = draft.spec.rollback_window else {
        return false;
    };
    let window = usize::try_from(window).unwrap_or(0);
    let good =
        |entry: &&HistoryEntry| matches!(entry.outcome, Outcome::Initial | Outcome::Promoted);
    // The newest of them is stable itself.
    let mut before = draft
        .status
        .history
        .iter()
        .filter(good)
        .skip(1)
        .take(window);
    before.any(|entry| entry.hash == hash)
}

/// What is known to be good needs no steps; its pods are waited for all the same.
fn go_back(draft: &mut Draft<'_>) {
    if let Some(canary) = &mut draft.status.canary {
        canary.full = true;
    }
    draft.event(
        false,
        "RollbackWindow",
        "the version was stable lately: it goes out without steps and analyses",
    );
}

/// A canary that may have all the traffic and that the stable Service names is the stable version:
/// that switch is the point of no return, and the status says it later
/// ([`super::status::handing_over`]).
pub(super) fn hand_over(draft: &mut Draft<'_>) {
    let Means::Routes { stable_service, .. } = &draft.spec.means else {
        return;
    };
    let named = draft.service(stable_service).and_then(|s| s.hash.as_ref());
    let canary = draft.status.canary.as_ref();
    let over = canary.is_some_and(|canary| named == Some(&canary.hash));
    let authorised = draft
        .status
        .traffic
        .as_ref()
        .is_some_and(|t| t.desired == 100);
    if over && authorised && draft.status.stable.is_some() && draft.status.abort.is_none() {
        promote(draft);
    }
}

/// The record that a version was rejected, unless that was lifted.
pub(super) fn rejection<'a>(draft: &Draft<'a>, hash: &str) -> Option<&'a RevertObserved> {
    draft
        .o
        .reverts
        .iter()
        .find(|r| r.hash == hash && !r.released)
}

/// The number of the next attempt at a version. A record that was released counts as well: each
/// attempt that is given up has a record of its own, and what analyses may err is shared by them.
fn next_attempt(draft: &Draft<'_>, hash: &str) -> i32 {
    let canary = draft.status.canary.as_ref().filter(|c| c.hash == hash);
    let records = draft.o.reverts.iter().filter(|r| r.hash == hash);
    let known = records.map(|r| r.attempt).chain(canary.map(|c| c.attempt));
    known.max().unwrap_or(0).saturating_add(1)
}

/// Starts the next attempt at a version.
pub(super) fn begin(draft: &mut Draft<'_>, hash: &str) {
    let attempt = next_attempt(draft, hash);
    let revision = revision(draft, hash);
    draft.status.canary = Some(CanaryStatus {
        revision,
        hash: hash.to_owned(),
        images: draft.spec.images.clone(),
        source: source::of(draft),
        attempt,
        started_at: Some(draft.now),
        step_started_at: Some(draft.now),
        progress_at: Some(draft.now),
        steps_hash: draft.spec.steps_hash(0),
        ..CanaryStatus::default()
    });
    draft.status.abort = None;
    draft.status.pause = None;
}

/// The number of an attempt at a version: one more than any before it. A retry is the same revision
/// again. So is what a ReplicaSet has that was made for this attempt when the status could not be
/// written any more: its number is higher than any that the status and the other ReplicaSets know.
fn revision(draft: &Draft<'_>, hash: &str) -> i64 {
    let status = &draft.status;
    if let Some(canary) = status.canary.as_ref().filter(|c| c.hash == hash) {
        return canary.revision;
    }
    let of_stable = status.stable.iter().map(|s| s.revision);
    let of_canary = status.canary.iter().map(|c| c.revision);
    let of_history = status.history.iter().map(|entry| entry.revision);
    let (own, others): (Vec<_>, Vec<_>) =
        draft.o.replica_sets.iter().partition(|rs| rs.hash == hash);
    let known = of_stable.chain(of_canary).chain(of_history);
    let last = known
        .chain(others.iter().map(|rs| rs.revision))
        .max()
        .unwrap_or(0);
    let own = own.iter().map(|rs| rs.revision).max().unwrap_or(0);
    if own > last { own } else { last + 1 }
}

/// The canary becomes stable.
pub(super) fn promote(draft: &mut Draft<'_>) {
    let Some(canary) = draft.status.canary.take() else {
        return;
    };
    let first = draft.status.stable.is_none();
    let (outcome, words) = if first {
        (Outcome::Initial, "is the first stable version")
    } else {
        (Outcome::Promoted, "is stable")
    };
    remember(draft, &canary, outcome, words);
    draft.status.stable = Some(StableStatus {
        revision: canary.revision,
        hash: canary.hash,
        images: canary.images,
        source: canary.source,
        since: Some(draft.now),
    });
    draft.status.pause = None;
    draft.status.abort = None;
}

/// The canary is given up. Does nothing when it already is, or when there is nothing to go back to.
pub(super) fn abort(
    draft: &mut Draft<'_>,
    reason: AbortReason,
    message: String,
    analysis_run: Option<String>,
    weight: i32,
) {
    let (Some(canary), true) = (draft.status.canary.clone(), draft.status.stable.is_some()) else {
        return;
    };
    if draft.status.abort.is_some() {
        return;
    }
    draft.event(
        true,
        "RolloutAborted",
        format!("revision {} ({}): {message}", canary.revision, canary.hash),
    );
    remember(draft, &canary, Outcome::Aborted, &message);
    draft.status.abort = Some(AbortStatus {
        at: draft.now,
        reason,
        message: cut(message, super::draft::TEXT_MAX),
        hash: canary.hash,
        step: canary.step,
        weight,
        analysis_run,
        revert: None,
    });
    draft.status.pause = None;
    draft.status.held_since = None;
}

/// The spec asks for stable: whatever was in progress or given up is over.
fn come_back(draft: &mut Draft<'_>) {
    if let Some(canary) = &draft.status.canary {
        // The record of a rejection is written before the status says that the version was given up.
        // Who died between the two may find the commit already taken out of Git.
        let (outcome, reason, words) = match rejection(draft, &canary.hash) {
            Some(_) => (
                Outcome::Aborted,
                "RolloutAborted",
                "it was rejected, and the spec went back to the stable version",
            ),
            None => (
                Outcome::RolledBack,
                "RolledBack",
                "the spec went back to the stable version",
            ),
        };
        if draft.status.abort.is_none() {
            close(draft, outcome, words);
            draft.event(outcome == Outcome::Aborted, reason, words);
        }
        draft.status.canary = None;
    }
    draft.status.abort = None;
    draft.status.pause = None;
    // The newest commit that still asks for stable is the best place to go back to in Git.
    let source = source::of(draft);
    if let Some(stable) = &mut draft.status.stable
        && source.is_some()
    {
        stable.source = source;
    }
}

fn close(draft: &mut Draft<'_>, outcome: Outcome, words: &str) {
    if let Some(canary) = draft.status.canary.clone() {
        remember(draft, &canary, outcome, words);
    }
}

fn remember(draft: &mut Draft<'_>, canary: &CanaryStatus, outcome: Outcome, words: &str) {
    draft.status.history.insert(
        0,
        HistoryEntry {
            revision: canary.revision,
            hash: canary.hash.clone(),
            outcome,
            at: draft.now,
            message: cut(words.to_owned(), HISTORY_MESSAGE_MAX),
        },
    );
    draft.status.history.truncate(HISTORY_MAX);
}

/// When the status was lost, the version that users reach is still named by the Service: with it
/// the next rollout goes out in steps, as if nothing had happened.
fn infer_stable(draft: &Draft<'_>, desired: &str) -> Option<StableStatus> {
    let service = match &draft.spec.means {
        Means::Routes { stable_service, .. } => stable_service,
        Means::Active { active_service, .. } => active_service,
        Means::Pods { .. } => return None,
    };
    let hash = draft.service(service)?.hash.clone()?;
    let rs = draft.replica_set(&hash).filter(|rs| rs.available > 0)?;
    // While the first version comes up, the Service is pointed at it just before it becomes stable.
    if hash == desired && draft.status.canary.is_some() {
        return None;
    }
    Some(StableStatus {
        revision: rs.revision,
        hash,
        images: Vec::new(),
        source: None,
        since: Some(draft.now),
    })
}
