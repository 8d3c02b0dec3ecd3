//! Restart: every pod created before the command is replaced, one after the other, by the eviction
//! API, so that disruption budgets hold.

use super::draft::Draft;
use super::observed::PodObserved;
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
    // A version that was given up may never be whole again: it holds nobody up, and its pods go last.
    // In the plan that gives it up, or takes it up again, it still counts.
    let before = o.rollout.status.abort.as_ref();
    let given_up = draft.status.abort.as_ref().map(|abort| abort.hash.as_str());
    let given_up = given_up.filter(|hash| before.is_some_and(|abort| abort.hash == *hash));
    let (kept, others): (Vec<_>, Vec<_>) = o
        .replica_sets
        .iter()
        .partition(|rs| given_up == Some(rs.hash.as_str()));
    let of_kept = |pod: &PodObserved| kept.iter().any(|rs| rs.uid == pod.owner);
    let whole = others
        .iter()
        .all(|rs| rs.up_to_date && o.surely_available(rs) >= rs.desired);
    old.retain(|p| !p.terminating);
    old.sort_by_key(|p| (of_kept(p), p.created, p.name.clone()));
    if let Some(pod) = old.first().filter(|_| whole) {
        draft.write(Write::EvictPod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        });
    }
}
