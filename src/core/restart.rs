//! Restart: every pod created before the command is replaced, one after the other, by the eviction
//! API, so that disruption budgets hold.

use super::draft::Draft;
use super::plan::Write;

/// Adds the next eviction, or ends the restart when no old pod is left.
pub(super) fn proceed(draft: &mut Draft<'_>) {
    let Some(since) = draft.status.restart_at else {
        return;
    };
    let o = draft.o;
    // The command is accepted in this very plan: the pods are read from the next time on.
    if o.rollout.status.restart_at != Some(since) {
        return;
    }
    let mut old: Vec<_> = o.pods.iter().filter(|p| p.created < since).collect();
    if old.is_empty() {
        draft.status.restart_at = None;
        draft.event(
            false,
            "RolloutRestarted",
            "every pod from before the restart was replaced",
        );
        return;
    }
    // A ReplicaSet's status may not know yet of the pod that was evicted last; the pod itself does.
    let serving = o.pods.iter().filter(|pod| pod.ready && !pod.terminating);
    let desired: i32 = o.replica_sets.iter().map(|rs| rs.desired).sum();
    let whole = i32::try_from(serving.count()).unwrap_or(i32::MAX) >= desired
        && o.replica_sets
            .iter()
            .all(|rs| rs.available >= rs.desired && rs.up_to_date);
    old.retain(|p| !p.terminating);
    old.sort_by_key(|p| (p.created, p.name.clone()));
    if let Some(pod) = old.first().filter(|_| whole) {
        draft.write(Write::EvictPod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        });
    }
}
