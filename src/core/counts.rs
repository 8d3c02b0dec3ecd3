//! The pod counts of the status, and which changes of a status are worth a write: a rollout of a
//! hundred pods is not a hundred writes.

use jiff::{SignedDuration, Timestamp};

use super::draft::Draft;
use super::observed::ReplicaSetObserved;
use super::spec::Means;
use crate::api::conditions::Condition;
use crate::api::rollout_status::{Phase, RolloutStatus};

/// Pod counts that are still moving are written at most this often: a rollout of a hundred pods is
/// not a hundred writes, and pods that come up within the usual time are none.
const INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// The pod counts, of the versions that are in play. Counts that are still moving, and words, are
/// written only now and then when they come alone.
pub(super) fn write(draft: &mut Draft<'_>, desired: &str) {
    let o = draft.o;
    let before = &o.rollout.status;
    let by_pods = matches!(draft.spec.means, Means::Pods { .. });
    // Most looks find nothing new at all.
    let same = draft.status == *before;
    if same || substance(&draft.status, by_pods) == substance(before, by_pods) {
        let resting = !matches!(
            draft.status.phase,
            Some(Phase::Progressing | Phase::Initializing | Phase::Aborting)
        );
        let counted = resting && are_final(draft, desired) && !are_written(draft, desired);
        let due = before
            .counted_at
            .is_none_or(|at| draft.elapsed(at, INTERVAL));
        if !counted && !due {
            if !same {
                draft.status = before.clone();
            }
            return;
        }
    }
    let sum = |f: fn(&ReplicaSetObserved) -> i32| in_play(draft, desired).map(f).sum();
    let [replicas, ready, available, updated] = [
        sum(|rs| rs.current),
        sum(|rs| rs.ready),
        sum(|rs| rs.available),
        updated(draft, desired),
    ];
    draft.status.replicas = replicas;
    draft.status.ready_replicas = ready;
    draft.status.available_replicas = available;
    draft.status.updated_replicas = updated;
    let pairs: Vec<String> = draft
        .spec
        .selector
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    draft.status.selector = pairs.join(",");
    if draft.status != *before {
        draft.status.counted_at = Some(draft.now);
    }
}

/// What of a status is worth a write of its own: all but what moves with every pod, and a Revert
/// that asks for nobody, whose own status says where it is.
fn substance(status: &RolloutStatus, by_pods: bool) -> RolloutStatus {
    let mut status = status.clone();
    if let Some(traffic) = status.traffic.as_mut().filter(|_| by_pods) {
        (traffic.accepted, traffic.confirmed_at) = (0, None);
    }
    if let Some(canary) = &mut status.canary {
        canary.best_available = 0;
        // That time begins or ends to count is worth one.
        canary.progress_at = canary.progress_at.map(|_| Timestamp::UNIX_EPOCH);
        canary.available_since = None;
    }
    status
        .conditions
        .retain(|c| c.type_ != "Available" && !is_under_way(c));
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status.message.clear();
    status.counted_at = None;
    (status.replicas, status.ready_replicas) = (0, 0);
    (status.available_replicas, status.updated_replicas) = (0, 0);
    status.selector.clear();
    status
}

/// Whether a condition says of a Revert that it is on its way, or that it is a record alone.
fn is_under_way(condition: &Condition) -> bool {
    condition.type_ == "GitReverted"
        && ["Pending", "Recorded", "Planned", "Pushed"].contains(&condition.reason.as_str())
}

/// The ReplicaSets of the versions that users are meant to reach: stable, and what goes out. The
/// pods of older versions stay only for a delay; that they go is no news of the Rollout.
fn in_play<'a>(
    draft: &Draft<'a>,
    desired: &str,
) -> impl Iterator<Item = &'a ReplicaSetObserved> + use<'a> {
    let (stable, canary) = draft.versions(desired);
    let canary = canary.filter(|_| draft.status.abort.is_none());
    let sets = draft.o.replica_sets.iter();
    sets.filter(move |rs| rs.hash == stable || canary.as_ref() == Some(&rs.hash))
}

/// Pods of the version that the spec asks for, while it is in play.
fn updated(draft: &Draft<'_>, desired: &str) -> i32 {
    in_play(draft, desired)
        .find(|rs| rs.hash == desired)
        .map_or(0, |rs| rs.current)
}

/// Whether the counts of the status are the present ones.
fn are_written(draft: &Draft<'_>, desired: &str) -> bool {
    let before = &draft.o.rollout.status;
    let available: i32 = in_play(draft, desired).map(|rs| rs.available).sum();
    let current: i32 = in_play(draft, desired).map(|rs| rs.current).sum();
    before.available_replicas == available
        && before.replicas == current
        && before.updated_replicas == updated(draft, desired)
        && before.counted_at.is_some()
}

/// Whether every ReplicaSet in play has what it was asked for.
pub(super) fn are_final(draft: &Draft<'_>, desired: &str) -> bool {
    in_play(draft, desired)
        .all(|rs| rs.up_to_date && rs.current == rs.desired && rs.available == rs.desired)
}
