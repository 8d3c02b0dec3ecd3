//! The control group: fresh pods of the stable version beside a canary, so that what is only young is
//! not taken for bad.
//!
//! They come with the canary's first pods, take their part of the stable version's traffic through its
//! Service, and go as soon as nobody needs them: when the canary has all of the traffic, is stable or
//! is given up. They are more than what the stable version needs, so nothing counts on them and nothing
//! waits for them; and they have a ReplicaSet of their own, so that the stable one's never knows.

use serde_json::Value;

use super::draft::{Draft, of_replica_set};
use super::lifecycle;
use super::naming;
use super::observed::ReplicaSetObserved;
use super::plan::{NewReplicaSet, Write};
use super::scale::pods_coming;
use super::targets::Targets;
use super::traffic::{LiveTraffic, pods_for};

/// Adds the writes that bring the control group where it should be.
pub(super) fn proceed(draft: &mut Draft<'_>, live: &LiveTraffic, targets: &Targets) {
    let wanted = wanted(draft, targets);
    let o = draft.o;
    for rs in &o.baselines {
        let goal = if rs.hash == targets.stable { wanted } else { 0 };
        if rs.desired > goal && may_go(draft, live, targets, rs) {
            draft.write(scaled(rs, goal));
        } else if goal == 0 && is_empty(rs) {
            draft.write(Write::DeleteReplicaSet {
                name: rs.name.clone(),
                on: of_replica_set(rs),
            });
        }
    }
    // Nothing new comes while something is wrong or held.
    if wanted == 0 || draft.stands_still() {
        return;
    }
    match o.baselines.iter().find(|rs| rs.hash == targets.stable) {
        Some(rs) if rs.desired < wanted => draft.afterwards.push(scaled(rs, wanted)),
        Some(_) => {}
        None => {
            let Some(stable) = draft.replica_set(&targets.stable) else {
                return;
            };
            let new = NewReplicaSet {
                name: naming::baseline(&o.rollout.name, &targets.stable),
                hash: targets.stable.clone(),
                revision: stable.revision,
                replicas: wanted,
                min_ready_seconds: draft.spec.min_ready_seconds,
                template: Value::clone(&stable.template),
            };
            draft.afterwards.push(Write::CreateBaseline(Box::new(new)));
        }
    }
}

/// Pods of the control group beside the canary; 0: there is nothing to compare.
fn wanted(draft: &mut Draft<'_>, targets: &Targets) -> i32 {
    let replicas = draft.spec.capacity.baseline;
    let goes_out = targets.canary.as_deref().filter(|_| !targets.aborted);
    let Some(canary) = goes_out.filter(|_| replicas > 0 && targets.weight < 100) else {
        return 0;
    };
    let has_pods = draft.replica_set(canary).is_some_and(|rs| rs.desired > 0);
    if has_pods && lifecycle::has_begun(draft) {
        replicas
    } else {
        0
    }
}

/// Whether the stable version's own pods carry what may still flow to it.
fn may_go(
    draft: &Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    rs: &ReplicaSetObserved,
) -> bool {
    let needed = pods_for(live.share(&rs.hash), draft.spec.replicas);
    let needed = needed.max(pods_coming(draft, targets, &rs.hash));
    rs.possibly_serving() == 0 || (live.is_confirmed() && draft.available(&rs.hash) >= needed)
}

fn is_empty(rs: &ReplicaSetObserved) -> bool {
    rs.desired == 0 && rs.current == 0 && rs.up_to_date
}

fn scaled(rs: &ReplicaSetObserved, to: i32) -> Write {
    Write::ScaleReplicaSet {
        name: rs.name.clone(),
        on: of_replica_set(rs),
        from: rs.desired,
        to,
        revision: None,
        role: None,
    }
}
