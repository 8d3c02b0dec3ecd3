//! I27, I28: how often something is written.

use jiff::SignedDuration;

use super::{REASSERT_INTERVAL, Said, Written, holds};
use crate::core::observed::RouteState;
use crate::core::plan::Write;
use crate::sim::world::World;

/// Most writes to the objects of one Rollout in a minute.
const WRITES_MAX: usize = 100;

/// The time that a look and a call may take: decisions keep the interval, writes may come later.
const JITTER: SignedDuration = SignedDuration::from_secs(1);

/// Whether a write puts back what somebody else changed: what it brings is what was confirmed.
pub(super) fn puts_back(written: &Written<'_>) -> bool {
    let Write::SetWeight {
        route, to, headers, ..
    } = written.write
    else {
        return false;
    };
    let before = written.observed.rollout.status.traffic.as_ref();
    let names = || headers.iter().map(|header| &header.name);
    let confirmed = before.is_some_and(|t| {
        t.desired == *to && t.accepted == *to && t.header_routes.iter().eq(names())
    });
    let foreign = written.observed.routes.iter().any(|observed| {
        observed.id == *route
            && matches!(&observed.state, RouteState::Live(live) if live.last_writer.is_some())
    });
    confirmed && foreign
}

pub(super) fn no_fights(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::SetWeight { route, to, .. } = written.write else {
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
    holds(goal != to || since >= REASSERT_INTERVAL, || {
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
