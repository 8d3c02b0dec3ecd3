//! What is kept of the past, and the next thing that goes. Never stable's or the canary's
//! ReplicaSet, never the record of a version that the spec still asks for.

use super::draft::{Draft, of_replica_set};
use super::observed::RunPhase;
use super::plan::{Precondition, Write};
use crate::api::rollout_status::RolloutStatus;

/// AnalysisRuns kept per Rollout: enough for the steps of one rollout and the last of the one before.
const RUNS_KEPT: usize = 20;
/// Reverts kept per Rollout.
const REVERTS_KEPT: usize = 10;

/// Adds at most one deletion of each kind.
pub(super) fn trim(draft: &mut Draft<'_>, desired: &str) {
    let o = draft.o;
    let named = |status: &RolloutStatus, hash: &str| {
        status.stable.as_ref().is_some_and(|s| s.hash == hash)
            || status.canary.as_ref().is_some_and(|c| c.hash == hash)
    };
    // First the record: what the status still names may be gone back to until it says otherwise.
    let before = &o.rollout.status;
    let in_use = |hash: &str| hash == desired || named(&draft.status, hash) || named(before, hash);
    let mut old: Vec<_> = o
        .replica_sets
        .iter()
        .filter(|rs| rs.desired == 0 && rs.current == 0 && rs.up_to_date && !in_use(&rs.hash))
        .collect();
    old.sort_by_key(|rs| (std::cmp::Reverse(rs.revision), rs.name.clone()));
    let kept = usize::try_from(draft.spec.revision_history_limit).unwrap_or(0);
    let mut writes = Vec::new();
    if let Some(rs) = old.get(kept..).and_then(<[_]>::last) {
        writes.push(Write::DeleteReplicaSet {
            name: rs.name.clone(),
            on: of_replica_set(rs),
        });
    }
    let mut runs: Vec<_> = o
        .runs
        .iter()
        .filter(|run| !matches!(run.phase, RunPhase::Pending | RunPhase::Running))
        .filter(|run| !in_use(&run.hash))
        .collect();
    runs.sort_by_key(|run| (std::cmp::Reverse(run.created), run.name.clone()));
    if let Some(run) = runs.get(RUNS_KEPT..).and_then(<[_]>::last) {
        let on = Precondition {
            uid: run.uid.clone(),
            resource_version: run.resource_version.clone(),
        };
        writes.push(Write::DeleteAnalysisRun {
            name: run.name.clone(),
            on,
        });
    }
    let mut records: Vec<_> = o
        .reverts
        .iter()
        .filter(|r| r.finished && r.hash != desired)
        .collect();
    records.sort_by_key(|r| (std::cmp::Reverse(r.created), r.name.clone()));
    if let Some(record) = records.get(REVERTS_KEPT..).and_then(<[_]>::last) {
        let on = Precondition {
            uid: record.uid.clone(),
            resource_version: record.resource_version.clone(),
        };
        writes.push(Write::DeleteRevert {
            name: record.name.clone(),
            on,
        });
    }
    draft.writes.extend(writes);
}
