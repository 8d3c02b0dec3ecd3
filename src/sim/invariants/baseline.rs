//! I13, I21: a control group is more of the stable version, and only beside a canary.

use super::{Written, holds};
use crate::core::naming;
use crate::core::plan::Write;
use crate::sim::world::World;
use crate::sim::world::objects::Kind;

/// It is made of the stable version's own ReplicaSet, and only while another version goes out.
pub(super) fn is_more_of_stable(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::CreateBaseline(new) = written.write else {
        return Ok(());
    };
    let (name, hash) = (&new.name, &new.hash);
    // It comes after the status of its plan, which may be the first that says so.
    let stored = world.store.get(Kind::Rollout, written.rollout());
    let Some(status) = stored.and_then(|stored| Some(&stored.rollout()?.status)) else {
        return Ok(());
    };
    let stable = status.stable.as_ref().map(|stable| &stable.hash);
    holds(stable == Some(hash), || {
        format!("{name} is of {hash}, and {stable:?} is stable")
    })?;
    holds(status.canary.is_some(), || {
        format!("{name} is made, and no other version goes out")
    })?;
    let own = naming::replica_set(written.rollout(), hash);
    let own = world.store.get(Kind::ReplicaSet, &own);
    let own = own.and_then(|stored| stored.replica_set());
    holds(own.is_some_and(|own| *own.template == new.template), || {
        format!("{name} has another template than its version")
    })?;
    let asked = written.spec().map_or(0, |spec| spec.capacity.baseline);
    holds(new.replicas <= asked, || {
        format!("{name} has {} pods, {asked} were asked for", new.replicas)
    })
}

/// At the end there is none but beside a version that is on its way.
pub(super) fn none_is_left_over(world: &World) -> Result<(), String> {
    for stored in world.store.list(Kind::Rollout) {
        let Some(status) = stored.rollout().map(|rollout| &rollout.status) else {
            continue;
        };
        let on_its_way = status.canary.is_some() && status.abort.is_none();
        // Where stable is short of pods, these are what serves.
        let own = status.stable.as_ref();
        let own = own.map_or(0, |own| world.serving(&stored.meta.name, &own.hash));
        let replicas = stored.rollout().and_then(|body| {
            let spec = body.parsed.as_ref().as_ref().ok()?;
            Some(spec.replicas)
        });
        if replicas.is_some_and(|replicas| own < replicas) {
            continue;
        }
        for rs in world.store.list(Kind::ReplicaSet) {
            let of_it = rs.meta.owner.as_deref() == Some(&stored.meta.uid);
            let is_baseline = rs.replica_set().is_some_and(|rs| rs.is_baseline);
            holds(!(of_it && is_baseline) || on_its_way, || {
                format!("{} is there, and nothing goes out", rs.meta.name)
            })?;
        }
    }
    Ok(())
}
