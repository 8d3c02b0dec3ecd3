//! I1: whoever may be sent a request has pods for it.

use jiff::SignedDuration;

use super::{ABORT_CAPACITY_WAIT, EXCUSED, Written, holds, pods_needed};
use crate::core::naming;
use crate::core::observed::ReplicaSetObserved;
use crate::core::plan::Write;
use crate::core::spec::{CanaryScale, Means, Step};
use crate::sim::world::World;

/// A controller's clock is put ahead by no more than this at a time.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// A ReplicaSet keeps what the largest share needs that may still come its way.
pub(super) fn pods_stay_that_traffic_needs(
    world: &World,
    written: &Written<'_>,
) -> Result<(), String> {
    let (name, after) = match written.write {
        Write::ScaleReplicaSet { name, to, .. } => (name, *to),
        Write::DeleteReplicaSet { name, .. } => (name, 0),
        _ => return Ok(()),
    };
    let Some(rs) = written.replaced.and_then(|stored| stored.replica_set()) else {
        return Ok(());
    };
    let (hash, before) = (&rs.hash, rs.desired);
    let Some(spec) = written.spec().filter(|_| after < before) else {
        return Ok(());
    };
    if let Means::Pods {
        max_unavailable, ..
    } = spec.means
    {
        return enough_serve(
            written,
            spec.replicas - max_unavailable,
            hash,
            before,
            after,
        );
    }
    let share = world.largest_share(written.rollout(), hash, written.read_since);
    let needed = pods_needed(share, spec.replicas);
    if rs.is_baseline {
        // Whoever is on top may go, as long as there are enough below.
        let own = world.serving_since(written.rollout(), hash, EXCUSED);
        return holds(rs.ready == 0 || own >= needed, || {
            format!(
                "{name} goes from {before} to {after} pods while {share} % may flow to {own} others"
            )
        });
    }
    // Of those that serve nobody, nobody is missing any.
    let serves = world.serving(written.rollout(), hash) > 0;
    holds(!serves || after >= needed.min(before), || {
        format!("{name} goes from {before} to {after} pods while {share} % may flow to it")
    })
}

/// By pod counts, no more serving pods go than may be missing.
fn enough_serve(
    written: &Written<'_>,
    least: i32,
    hash: &str,
    before: i32,
    after: i32,
) -> Result<(), String> {
    // As their ReplicaSets said: that a pod died or came up since then nobody could know.
    let all = written.observed.replica_sets.iter();
    let all: i32 = all.map(ReplicaSetObserved::surely_available).sum();
    let own = written
        .observed
        .replica_sets
        .iter()
        .find(|rs| rs.hash == hash);
    let idle = own.map_or(0, |rs| before - rs.possibly_serving()).max(0);
    let lost = (before - after - idle).max(0);
    holds(lost == 0 || all - lost >= least, || {
        format!("{lost} of {all} serving pods go, {least} are the least")
    })
}

/// Traffic goes where pods are: enough of them, or, on the way back to a stable version that is short
/// of pods, as many as there are.
pub(super) fn traffic_goes_to_pods(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Some(spec) = written.spec().filter(|spec| spec.replicas > 0) else {
        return Ok(());
    };
    let (stable_service, canary_service) = match &spec.means {
        Means::Routes {
            stable_service,
            canary_service,
            ..
        } => (stable_service, canary_service),
        Means::Active { active_service, .. } => (active_service, active_service),
        Means::Pods { .. } => return Ok(()),
    };
    let selected = |service: &str| {
        let stored = world
            .store
            .get(crate::sim::world::objects::Kind::Service, service)?;
        stored.service()?.hash.clone()
    };
    let (hash, share) = match written.write {
        Write::SetWeight { from, to, .. } if to > from => (selected(canary_service), *to),
        Write::SetWeight { from, to, .. } if to < from => (selected(stable_service), 100 - *to),
        Write::CreateRoute { weight, .. } if *weight > 0 => (selected(canary_service), *weight),
        Write::SwitchService { name, to, .. } if name == stable_service => {
            let weights = world.in_use(written.rollout()).flat_map(|c| &c.routes);
            let least = weights.map(|(_, weight, _)| *weight).min().unwrap_or(0);
            (to.clone(), 100 - least)
        }
        _ => return Ok(()),
    };
    let Some(hash) = hash.filter(|_| share > 0) else {
        return Ok(());
    };
    let rollout = written.rollout();
    // Whatever it says, that version has as much already.
    if world.largest_share(rollout, &hash, written.read_since) >= share {
        return Ok(());
    }
    let serving = world.serving_since(rollout, &hash, EXCUSED);
    let rs = written
        .observed
        .replica_sets
        .iter()
        .find(|rs| rs.hash == hash);
    // It was deleted between the look and this write; another one of its name has no pods yet.
    let there = world.store.get(
        crate::sim::world::objects::Kind::ReplicaSet,
        &naming::replica_set(rollout, &hash),
    );
    if rs.is_some_and(|rs| there.is_none_or(|there| there.meta.uid != rs.uid)) {
        return Ok(());
    }
    // A user may ask for fewer pods than the weight would have.
    let asked = rs.map_or(0, |rs| rs.desired).min(asked_for(written, &hash));
    if serving >= pods_needed(share, spec.replicas).min(asked.max(1)) {
        return Ok(());
    }
    let others = written
        .observed
        .replica_sets
        .iter()
        .filter(|rs| rs.hash != hash);
    let reached = |hash: &str| world.largest_share(rollout, hash, written.read_since) > 0;
    let others = others.filter(|rs| reached(&rs.hash));
    // A pod that came up after it was looked at nobody could know of.
    let serve = |rs: &ReplicaSetObserved| {
        let known = rs.possibly_serving();
        world.serving(rollout, &rs.hash).min(known)
    };
    let elsewhere: i32 = others.map(serve).sum();
    // Nobody is worse off where nobody served.
    if elsewhere == 0 {
        return Ok(());
    }
    let status = &written.observed.rollout.status;
    let since = match (&status.abort, written.observed.rollout.deleted_at) {
        (Some(abort), _) => Some(abort.at),
        (None, Some(deleted)) => Some(deleted),
        (None, None) => status.history.first().map(|last| last.at),
    };
    let back = status
        .stable
        .as_ref()
        .is_some_and(|stable| stable.hash == hash);
    // By a clock that may have been put ahead meanwhile.
    let least = ABORT_CAPACITY_WAIT - CLOCK_STEP;
    let waited = since.is_some_and(|at| world.now.duration_since(at) >= least);
    if back && serving > 0 && waited {
        return Ok(());
    }
    // As much as it can carry.
    let carried = serving * 100 / spec.replicas.max(1);
    holds(back && share <= carried.max(1), || {
        format!("{share} % may go to {hash}, of which {serving} pods serve")
    })
}

/// Pods that the steps ask for by number up to the one on record; without a number as many as there may
/// be.
fn asked_for(written: &Written<'_>, hash: &str) -> i32 {
    let status = &written.observed.rollout.status;
    let canary = status.canary.as_ref().filter(|canary| canary.hash == hash);
    let (Some(spec), Some(canary)) = (written.spec(), canary) else {
        return i32::MAX;
    };
    let at = usize::try_from(canary.step).unwrap_or(0);
    let done = spec.steps.iter().take(at + 1).rev();
    let scale = done.filter_map(|step| match step {
        Step::SetCanaryScale(scale) => Some(scale),
        _ => None,
    });
    match scale.into_iter().next() {
        Some(CanaryScale::Replicas(pods)) => *pods,
        Some(CanaryScale::Percent(percent)) => pods_needed(*percent, spec.replicas),
        Some(CanaryScale::MatchTraffic) | None => i32::MAX,
    }
}
