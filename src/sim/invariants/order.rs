//! I2 to I5: in which order things change, and how far a version may go.

use super::{Written, authorised, holds};
use crate::core::commands::annotation;
use crate::core::naming;
use crate::core::plan::Write;
use crate::core::spec::{Means, SideRoute};
use crate::sim::world::World;

/// The weight of a route before and after a write.
fn weights(write: &Write) -> Option<(i32, i32)> {
    match write {
        Write::SetWeight { from, to, .. } => Some((*from, *to)),
        Write::CreateRoute { weight, .. } => Some((0, *weight)),
        _ => None,
    }
}

/// The header routes that a write brings to a route.
fn new_side_routes<'a>(written: &Written<'a>) -> Vec<&'a SideRoute> {
    let Write::SetWeight { side_routes, .. } = written.write else {
        return Vec::new();
    };
    let before = written
        .replaced
        .and_then(|stored| Some(&stored.route()?.side_routes));
    let is_new = |header: &&SideRoute| before.is_none_or(|before| !before.contains(header));
    side_routes.iter().filter(is_new).collect()
}

pub(super) fn weights_are_percentages(_: &World, written: &Written<'_>) -> Result<(), String> {
    match weights(written.write) {
        Some((_, to)) => holds((0..=100).contains(&to), || format!("a weight of {to}")),
        None => Ok(()),
    }
}

/// A canary Service may be pointed at another version only when no weight may still be in use; a
/// stable or active one when what it named has nothing any more, or what it will name is the same.
pub(super) fn services_are_switched_without_traffic(
    world: &World,
    written: &Written<'_>,
) -> Result<(), String> {
    let Write::SwitchService { name, from, to, .. } = written.write else {
        return Ok(());
    };
    let Some(spec) = written.spec() else {
        return Ok(());
    };
    let Means::Routes { canary_service, .. } = &spec.means else {
        return Ok(());
    };
    let stable = written.observed.rollout.status.stable.as_ref();
    let to_stable = to.is_some() && stable.map(|s| &s.hash) == to.as_ref();
    if name != canary_service || from.is_none() || to_stable || spec.replicas == 0 {
        return Ok(());
    }
    // Given back when nobody but stable has pods, it leads to stable.
    let others = written.observed.replica_sets.iter();
    let others = others.filter(|rs| stable.is_none_or(|stable| stable.hash != rs.hash));
    let serves = |hash: &str| world.serving(written.rollout(), hash) > 0;
    if to.is_none() && others.map(|rs| rs.hash.as_str()).all(|hash| !serves(hash)) {
        return Ok(());
    }
    let known =
        |config: &&crate::sim::world::Config| config.ours || config.since < written.read_since;
    let weight = world
        .in_use(written.rollout())
        .filter(known)
        .flat_map(|config| {
            config
                .routes
                .iter()
                .map(|(_, weight, _)| config.of_canary(*weight))
        })
        .max();
    holds(weight.unwrap_or(0) == 0, || {
        format!("{name} goes from {from:?} to {to:?} while {weight:?} % may flow through it")
    })
}

/// A weight rises only when nobody can take the canary Service for that of another version.
pub(super) fn weights_rise_after_selectors(
    world: &World,
    written: &Written<'_>,
) -> Result<(), String> {
    let Some((from, to)) = weights(written.write) else {
        return Ok(());
    };
    if to <= from && new_side_routes(written).is_empty() {
        return Ok(());
    }
    let mut selected: Vec<_> = world
        .in_use(written.rollout())
        .map(|config| config.canary.clone())
        .collect();
    selected.dedup();
    holds(selected.len() <= 1, || {
        format!("the weight rises to {to} while the canary Service may select {selected:?}")
    })
}

/// More traffic, or more pods where they are the traffic, only as far as the record allows.
pub(super) fn exposure_is_authorised(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Some(spec) = written.spec().filter(|spec| spec.replicas > 0) else {
        return Ok(());
    };
    let status = &written.observed.rollout.status;
    let Some(canary) = status.canary.as_ref().filter(|_| status.stable.is_some()) else {
        return Ok(());
    };
    let step = match canary.full {
        true => usize::MAX,
        false => usize::try_from(canary.step).unwrap_or(0),
    };
    let allowed = authorised(&spec.steps, step);
    let side_routes = new_side_routes(written);
    match (weights(written.write), written.write) {
        (Some((from, to)), _) if to > from || !side_routes.is_empty() => {
            let service = match &spec.means {
                Means::Routes { canary_service, .. } => canary_service,
                _ => return Ok(()),
            };
            let stored = world
                .store
                .get(crate::sim::world::objects::Kind::Service, service);
            let named = stored.and_then(|s| s.service()?.hash.clone());
            holds(named.as_ref() == Some(&canary.hash), || {
                format!(
                    "the weight rises to {to} for {named:?}, not {}",
                    canary.hash
                )
            })?;
            holds(to <= allowed.max(from), || {
                format!("the weight rises to {to}, {allowed} is on record")
            })?;
            let on_record = spec.side_routes_at(step);
            holds(
                side_routes.iter().all(|side| on_record.contains(side)),
                || format!("{side_routes:?} lead to the canary and are not on record"),
            )?;
            let held = spec.paused || status.held_since.is_some();
            holds(!held, || {
                format!("the weight rises to {to} while it is held")
            })
        }
        (_, Write::ScaleReplicaSet { name, to, from, .. })
            if matches!(spec.means, Means::Pods { .. })
                && to > from
                && *name == naming::replica_set(written.rollout(), &canary.hash) =>
        {
            let most = (i64::from(allowed) * i64::from(spec.replicas) / 100).max(1);
            holds(allowed > 0 && i64::from(*to) <= most, || {
                format!(
                    "{name} gets {to} pods of {}, {allowed} % is on record",
                    spec.replicas
                )
            })
        }
        (_, Write::SwitchService { name, to, .. }) => match &spec.means {
            Means::Active { active_service, .. } if name == active_service => {
                let everything = canary.full || canary.all_traffic_at.is_some();
                let goes_out = to.as_ref() == Some(&canary.hash);
                holds(!goes_out || everything, || {
                    format!("{name} is switched to {to:?} and nothing on record says so")
                })
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Of a version that was given up, nothing rises.
pub(super) fn given_up_is_given_up(world: &World, written: &Written<'_>) -> Result<(), String> {
    let stored = world
        .store
        .get(crate::sim::world::objects::Kind::Rollout, written.rollout());
    let Some(status) = stored.and_then(|s| Some(&s.rollout()?.status)) else {
        return Ok(());
    };
    let Some(abort) = &status.abort else {
        return Ok(());
    };
    // A person asks for it again; that stands on the object until it is in the status.
    let retry = annotation("retry");
    let asked = written.observed.rollout.annotations.get(&retry);
    if asked.is_some() && asked != status.handled_commands.get("retry") {
        return Ok(());
    }
    let given_up = naming::replica_set(written.rollout(), &abort.hash);
    // A second leader, whose time is over, may have read the Rollout before that was on record. The
    // pods that it asks for go with the first leader's next look; traffic it must not send them.
    let known = written.observed.rollout.status.abort.as_ref();
    let known = known.is_some_and(|known| known.hash == abort.hash);
    match written.write {
        Write::SetWeight { from, to, .. } => {
            holds(to <= from && new_side_routes(written).is_empty(), || {
                format!(
                    "the weight rises from {from} to {to}, or side routes lead to it, after the abort"
                )
            })
        }
        Write::ScaleReplicaSet { name, from, to, .. } if *name == given_up && known => {
            holds(to <= from, || {
                format!("{name} goes from {from} to {to} pods after the abort")
            })
        }
        Write::CreateReplicaSet(new) => holds(new.name != given_up || !known, || {
            format!("{} is made after the abort", new.name)
        }),
        _ => Ok(()),
    }
}
