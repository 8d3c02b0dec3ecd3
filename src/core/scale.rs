//! How many pods each version has. Pods come first and go last: nothing that traffic may still
//! reach is scaled below what that traffic needs, and what it has left goes after its delay.

use jiff::SignedDuration;
use serde_json::Value;

use super::affinity;
use super::baseline;
use super::draft::{Draft, of_replica_set};
use super::lifecycle;
use super::naming;
use super::observed::ReplicaSetObserved;
use super::plan::{NewReplicaSet, Write};
use super::roles;
use super::shift::is_recorded;
use super::spec::Means;
use super::targets::Targets;
use super::traffic::{LiveTraffic, pods_for};

/// Adds the writes that bring the pods towards the targets.
pub(super) fn scale(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    desired_hash: &str,
) {
    match draft.spec.means {
        Means::Pods {
            max_surge,
            max_unavailable,
        } => {
            rolling(draft, targets, desired_hash, max_surge, max_unavailable);
        }
        Means::Routes { .. } | Means::Active { .. } => {
            beside(draft, live, targets, desired_hash);
            baseline::proceed(draft, live, targets);
        }
    }
}

/// With a router or an active Service: both versions stand beside each other.
fn beside(draft: &mut Draft<'_>, live: &LiveTraffic, targets: &Targets, desired_hash: &str) {
    up(
        draft,
        &targets.stable,
        targets.stable_replicas,
        desired_hash,
    );
    if let Some(canary) = &targets.canary
        && !targets.aborted
    {
        up(draft, canary, targets.canary_replicas, desired_hash);
    }
    let o = draft.o;
    for rs in o.replica_sets.iter().filter(|rs| rs.desired > 0) {
        let (goal, delay) = goal_and_delay(draft, targets, rs);
        let goal = goal.max(pods_coming(draft, targets, &rs.hash));
        if rs.desired <= goal {
            continue;
        }
        if let Some(to) = may_go_down_to(draft, targets, live, rs, goal, delay) {
            set(draft, rs, to);
        }
    }
}

/// Pods of a version that the weights of this very plan will need: what it may have less of by the
/// weights that stand, it keeps for those that come.
pub(super) fn pods_coming(draft: &Draft<'_>, targets: &Targets, hash: &str) -> i32 {
    let share = |to: i32| {
        if hash == targets.stable {
            100 - to
        } else if targets.canary.as_deref() == Some(hash) {
            to
        } else {
            0
        }
    };
    let shares = draft.writes.iter().filter_map(|write| match write {
        Write::SetWeight { to, .. } | Write::CreateRoute { weight: to, .. } => Some(share(*to)),
        _ => None,
    });
    pods_for(shares.max().unwrap_or(0), draft.spec.replicas)
}

/// How many pods a ReplicaSet should have, and how long it keeps them after the traffic has left.
fn goal_and_delay(
    draft: &Draft<'_>,
    targets: &Targets,
    rs: &ReplicaSetObserved,
) -> (i32, SignedDuration) {
    let settle = draft.o.settings.settle;
    let capacity = &draft.spec.capacity;
    if rs.hash == targets.stable {
        (targets.stable_replicas, settle)
    } else if targets.canary.as_deref() == Some(rs.hash.as_str()) {
        match (targets.aborted, capacity.abort_scale_down_delay) {
            (false, _) => (targets.canary_replicas, settle),
            (true, Some(delay)) => (targets.canary_replicas, delay.max(settle)),
            // It stays as it is, as long as the Rollout is there and has pods at all.
            (true, None) if draft.spec.replicas > 0 && draft.o.rollout.deleted_at.is_none() => {
                (rs.desired, settle)
            }
            (true, None) => (0, settle),
        }
    } else if targets.canary.is_some() {
        // A version between: it never became stable, and nobody goes back to it.
        (0, settle)
    } else {
        (0, capacity.scale_down_delay.max(settle))
    }
}

/// How far a ReplicaSet may be scaled down now; `None`: not at all yet.
fn may_go_down_to(
    draft: &mut Draft<'_>,
    targets: &Targets,
    live: &LiveTraffic,
    rs: &ReplicaSetObserved,
    goal: i32,
    delay: SignedDuration,
) -> Option<i32> {
    let floor = pods_for(live.share(&rs.hash), draft.spec.replicas);
    if rs.possibly_serving() == 0 && live.share(&rs.hash) == 0 {
        return Some(goal);
    }
    if !live.is_confirmed() {
        return None;
    }
    if floor == 0 {
        let left = draft
            .status
            .traffic
            .as_ref()
            .and_then(|t| t.confirmed_at)
            .max(live.switched_at);
        if left.is_some_and(|at| !draft.elapsed(at, delay)) {
            return None;
        }
        // What another process authorised before it knew that the version is given up, or that another
        // one goes out, may reach a route a moment later.
        let (abort, canary) = (&draft.status.abort, &draft.status.canary);
        let given_up = abort.as_ref().map(|abort| abort.at);
        let begun = canary.as_ref().and_then(|canary| canary.started_at);
        let decided = given_up.max(begun).filter(|_| rs.hash != targets.stable);
        let settle = draft.o.settings.settle;
        if decided.is_some_and(|at| !draft.elapsed(at, settle)) {
            return None;
        }
    }
    let to = goal.max(floor);
    (to < rs.desired).then_some(to)
}

/// By pod counts: the pods are the traffic. Never more than `replicas + max_surge` pods, never
/// fewer available than `replicas - max_unavailable`.
fn rolling(
    draft: &mut Draft<'_>,
    targets: &Targets,
    desired_hash: &str,
    max_surge: i32,
    max_unavailable: i32,
) {
    let replicas = draft.spec.replicas;
    // A weight between 0 and 100 needs a pod on each side, even of a single replica.
    let both = targets.canary_replicas + targets.stable_replicas;
    let most = (replicas + max_surge).max(both);
    let least = replicas - max_unavailable;
    let o = draft.o;
    let mut total: i32 = o
        .replica_sets
        .iter()
        .map(|rs| rs.desired.max(rs.current))
        .sum();
    let available: i32 = o.replica_sets.iter().map(|rs| o.surely_available(rs)).sum();

    let canary = targets
        .canary
        .as_ref()
        .map(|hash| (hash, targets.canary_replicas));
    for (hash, goal) in std::iter::once((&targets.stable, targets.stable_replicas)).chain(canary) {
        let now = draft.replica_set(hash).map_or(0, |rs| rs.desired);
        let exists = draft.replica_set(hash).is_some();
        // By pod counts more pods are more traffic: first the record, then the exposure.
        let exposes = *hash != targets.stable && draft.status.stable.is_some();
        if exposes && goal > now && !is_recorded(draft) {
            continue;
        }
        let to = goal.min(now + (most - total).max(0));
        if to > now || (!exists && !targets.aborted) {
            up(draft, hash, to, desired_hash);
            total += to - now;
        }
    }

    // What never became available can go at any time; of the rest, as many as may be missing.
    let mut spare = (available - least).max(0);
    let mut going: Vec<(&ReplicaSetObserved, i32)> = o
        .replica_sets
        .iter()
        .filter_map(|rs| {
            let goal = if rs.hash == targets.stable {
                targets.stable_replicas
            } else if targets.canary.as_deref() == Some(rs.hash.as_str()) {
                targets.canary_replicas
            } else {
                0
            };
            (rs.desired > goal).then_some((rs, goal))
        })
        .collect();
    // Versions between go first, so that their share goes to the two that count.
    going.sort_by_key(|(rs, _)| {
        let counts = rs.hash == targets.stable || targets.canary.as_deref() == Some(&rs.hash);
        (counts, rs.name.clone())
    });
    for (rs, goal) in going {
        let idle = (rs.desired - rs.possibly_serving()).max(0);
        let take = (rs.desired - goal).min(idle + spare);
        if take > 0 {
            spare -= (take - idle).max(0);
            set(draft, rs, rs.desired - take);
        }
    }
}

/// Brings a version up to at least `replicas` pods; creates its ReplicaSet if it can.
fn up(draft: &mut Draft<'_>, hash: &str, replicas: i32, desired_hash: &str) {
    let goes_out = draft.status.canary.as_ref().is_some_and(|c| c.hash == hash);
    if goes_out && !lifecycle::has_begun(draft) {
        return;
    }
    if let Some(rs) = draft.replica_set(hash) {
        if rs.desired < replicas {
            set(draft, rs, replicas);
        }
        return;
    }
    // Only the spec's own template is known; another version cannot be made anew.
    if hash != desired_hash {
        return;
    }
    let revision = draft
        .status
        .canary
        .as_ref()
        .map(|c| c.revision)
        .or(draft.status.stable.as_ref().map(|s| s.revision))
        .unwrap_or(1);
    let new = NewReplicaSet {
        name: naming::replica_set(&draft.o.rollout.name, hash),
        hash: hash.to_owned(),
        revision,
        replicas,
        min_ready_seconds: min_ready_seconds(draft),
        template: roles::at_birth(draft, hash, template(draft, hash)),
    };
    draft.write(Write::CreateReplicaSet(Box::new(new)));
}

/// The spec's template, with what keeps a new version's pods off the stable one's nodes.
fn template(draft: &Draft<'_>, hash: &str) -> Value {
    let template = &draft.spec.template;
    match (draft.spec.capacity.anti_affinity, &draft.status.stable) {
        (Some(rule), Some(stable)) if stable.hash != hash => {
            affinity::apart_from(template, rule, &stable.hash)
        }
        _ => template.clone(),
    }
}

/// How long a pod must have been ready before traffic is moved on its account. A pod that crashes again
/// and again is ready for a moment each time, and a gateway learns of a new one as late as of anything
/// else. By pod counts a pod takes traffic as soon as it is ready, whatever anybody waits for.
fn min_ready_seconds(draft: &Draft<'_>) -> i32 {
    let moved = !matches!(draft.spec.means, Means::Pods { .. });
    let settle = i32::try_from(draft.o.settings.settle.as_secs()).unwrap_or(i32::MAX);
    let least = if moved { settle } else { 0 };
    draft.spec.min_ready_seconds.max(least)
}

fn set(draft: &mut Draft<'_>, rs: &ReplicaSetObserved, to: i32) {
    if let Some(who) = &rs.scaled_by {
        draft.event(
            true,
            "SizeReset",
            format!(
                "{who} scaled ReplicaSet {} to {}, and it is scaled to {to}: its size is this Rollout's \
                 affair. Write spec.replicas of the Rollout, and point autoscalers at the Rollout",
                rs.name, rs.desired
            ),
        );
    }
    // A version that goes out anew gets its new revision with its first pods.
    let revision = draft
        .status
        .canary
        .as_ref()
        .filter(|c| c.hash == rs.hash && c.revision > rs.revision)
        .map(|c| c.revision);
    draft.write(Write::ScaleReplicaSet {
        name: rs.name.clone(),
        on: of_replica_set(rs),
        from: rs.desired,
        to,
        revision,
        role: roles::before_first_pods(draft, rs),
    });
}
