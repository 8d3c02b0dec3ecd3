//! I1, I21, I25: the pods of a Deployment that a Rollout has its template from.

use jiff::SignedDuration;

use super::rest::DELETION_LIMIT;
use super::{Written, holds, rollouts};
use crate::api::rollout::WorkloadScaleDown;
use crate::api::rollout_status::Phase;
use crate::core::observed::ReplicaSetObserved;
use crate::core::plan::Write;
use crate::sim::world::World;
use crate::sim::world::objects::{DeploymentBody, Kind};

/// A controller's clock may be ahead.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// The Deployment of a Rollout, if its size is Tidegate's business.
fn governed<'w>(
    world: &'w World,
    spec: &crate::core::spec::Spec,
) -> Option<(&'w DeploymentBody, WorkloadScaleDown)> {
    let workload = spec.workload.as_ref()?;
    let stored = world.store.get(Kind::Deployment, &workload.name)?;
    let governed = workload.scale_down != WorkloadScaleDown::Never;
    governed.then_some((stored.deployment()?, workload.scale_down))
}

/// What goes of a Deployment is there as a Rollout's, and in the same plan nobody else goes.
pub(super) fn pods_give_way_to_pods(_: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::ScaleWorkload { from, to, .. } = written.write else {
        return Ok(());
    };
    let (Some(spec), Some(seen)) = (written.spec(), &written.observed.workload) else {
        return Err("a Deployment is scaled that nobody has seen".to_owned());
    };
    let never = spec
        .workload
        .as_ref()
        .is_none_or(|workload| workload.scale_down == WorkloadScaleDown::Never);
    holds(!never, || {
        "a Deployment is scaled that is to be left alone".to_owned()
    })?;
    // As their ReplicaSets said: that a pod died since then nobody could know.
    let own = written.observed.replica_sets.iter();
    let own: i32 = own.map(ReplicaSetObserved::surely_available).sum();
    let served = (own + seen.available).min(spec.replicas);
    holds(
        to >= from || own + seen.available.min(*to) >= served,
        || {
            format!(
                "the Deployment goes from {from} to {to} pods with {} of them and {own} others available",
                seen.available
            )
        },
    )
}

/// Whoever is let go has given its place back.
pub(super) fn pods_come_back(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::SetFinalizer { present: false, .. } = written.write else {
        return Ok(());
    };
    let Some(spec) = written.spec() else {
        return Ok(());
    };
    let deleted = written.observed.rollout.deleted_at;
    let overdue = deleted.is_some_and(|at| world.now.duration_since(at) >= DELETION_LIMIT - SLACK);
    // Who never began has taken nobody's place.
    let status = &written.observed.rollout.status;
    let began = status.stable.is_some() || !written.observed.replica_sets.is_empty();
    let (Some((body, _)), true) = (governed(world, spec), began && !overdue) else {
        return Ok(());
    };
    // As it was read: that it was scaled since then nobody could know.
    let read = written.observed.workload.as_ref();
    let back = read.is_none_or(|seen| seen.desired.min(seen.available) >= spec.replicas);
    holds(back, || {
        format!(
            "the Rollout is let go with {} of {} pods of its Deployment",
            body.available, spec.replicas
        )
    })
}

/// Who is healthy has its place for itself.
pub(super) fn none_are_left_over(world: &World) -> Result<(), String> {
    for (stored, rollout) in rollouts(world) {
        let Ok(spec) = rollout.parsed.as_ref() else {
            continue;
        };
        let Some((body, _)) = governed(world, spec) else {
            continue;
        };
        let healthy = rollout.status.phase == Some(Phase::Healthy);
        holds(!healthy || body.desired == 0, || {
            format!(
                "{} is Healthy, and its Deployment has {} pods",
                stored.meta.name, body.desired
            )
        })?;
    }
    Ok(())
}
