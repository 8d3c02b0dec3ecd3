//! I27, I28: how often something is written.

use jiff::SignedDuration;

use super::{REASSERT_INTERVAL, Said, Written, holds};
use crate::api::rollout_status::TrafficStatus;
use crate::core::observed::{LiveRoute, RouteState};
use crate::core::plan::Write;
use crate::core::spec::SideRoute;
use crate::sim::world::World;

/// Most writes to the objects of one Rollout in a minute.
const WRITES_MAX: usize = 100;

/// The time that a look and a call may take: decisions keep the interval, writes may come later.
const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// Whether a write puts back what somebody else changed: the route is no longer as it was confirmed,
/// and what the write brings was confirmed.
pub(super) fn puts_back(written: &Written<'_>) -> bool {
    let Write::SetWeight {
        route,
        to,
        side_routes,
        ..
    } = written.write
    else {
        return false;
    };
    let Some(confirmed) = &written.observed.rollout.status.traffic else {
        return false;
    };
    let was_confirmed = |side: &SideRoute| names(confirmed).any(|name| *name == side.name);
    let brings = confirmed.desired == *to
        && confirmed.accepted == *to
        && side_routes.iter().all(was_confirmed);
    let foreign = written.observed.routes.iter().any(|observed| {
        observed.id == *route
            && matches!(&observed.state, RouteState::Live(live)
                if live.last_writer.is_some() && !as_confirmed(live, confirmed))
    });
    brings && foreign
}

/// Whether a route says what the status says that it said.
fn as_confirmed(live: &LiveRoute, confirmed: &TrafficStatus) -> bool {
    let sides = live.side_routes.iter().flatten().map(|side| &side.name);
    live.exact
        && live.weight == confirmed.accepted
        && live.side_routes.is_some()
        && sides.eq(names(confirmed))
}

/// The side routes that were confirmed.
fn names(confirmed: &TrafficStatus) -> impl Iterator<Item = &String> {
    let headers = confirmed.header_routes.iter();
    headers.chain(&confirmed.mirror_routes)
}

pub(super) fn no_fights(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::SetWeight {
        route,
        to,
        side_routes,
        ..
    } = written.write
    else {
        return Ok(());
    };
    if !puts_back(written) {
        return Ok(());
    }
    let key = (written.rollout().to_owned(), route.to_string());
    let Some((last, goal)) = world.watcher.put_back.get(&key) else {
        return Ok(());
    };
    let since = world.now.duration_since(*last) + JITTER;
    let names = side_routes.iter().map(|side| &side.name);
    let generation = written.observed.rollout.generation;
    let same = goal.0 == *to && goal.1.iter().eq(names) && goal.2 == generation;
    holds(!same || since >= REASSERT_INTERVAL, || {
        format!("{route} was put back to {to} % {since:#} ago already")
    })
}

pub(super) fn writes_are_bounded(world: &World, written: &Written<'_>) -> Result<(), String> {
    let count = world
        .watcher
        .writes_of_last_minute(written.rollout(), world.now);
    holds(count <= WRITES_MAX, || {
        format!("{count} writes in a minute")
    })
}

pub(super) fn statuses_are_bounded(world: &World, said: &Said<'_>) -> Result<(), String> {
    let count = world
        .watcher
        .writes_of_last_minute(&said.observed.rollout.name, world.now);
    holds(count <= WRITES_MAX, || {
        format!("{count} writes in a minute")
    })
}
