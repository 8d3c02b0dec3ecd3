//! The next safe write that brings the traffic where it should be.
//!
//! The order is always: pods available, then selector, then weight, then (elsewhere, in `scale`) the
//! old pods go. A Service is pointed elsewhere only while nothing flows through it, or when what it
//! points at serves nobody. Weights rise only onto available pods of the version they are meant for
//! and fall only onto a stable version that can carry them.

use std::cmp::Ordering;

use jiff::SignedDuration;

use super::draft::{Draft, of_service};
use super::observed::{RouteId, RouteObserved, RouteState, ServiceObserved};
use super::plan::Write;
use super::spec::{Means, SideRoute};
use super::targets::Targets;
use super::traffic::{LiveTraffic, pods_for, settled};
use crate::api::rollout_status::RolloutStatus;

/// How long an abort waits for a stable version that is short of pods before it sends it everything
/// all the same: pods that do not come back are no reason to keep users on a version judged bad.
const ABORT_CAPACITY_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// A weight that somebody else changed is put back at once, and then at most this often, so that
/// two writers never fight in a loop.
const REASSERT_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Adds the next writes that bring the traffic towards the targets. Pod counts are moved by
/// `scale` alone.
pub(super) fn traffic(draft: &mut Draft<'_>, live: &LiveTraffic, targets: &Targets) {
    match &draft.spec.means {
        Means::Routes {
            stable_service,
            canary_service,
            ..
        } => {
            shift_routes(draft, live, targets, stable_service, canary_service);
        }
        Means::Active {
            active_service,
            preview_service,
        } => {
            shift_active(
                draft,
                live,
                targets,
                active_service,
                preview_service.as_deref(),
            );
        }
        Means::Pods { .. } => {}
    }
}

fn shift_routes(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    stable_service: &str,
    canary_service: &str,
) {
    let Some(stable) = draft.service(stable_service) else {
        return;
    };
    let canary = draft.service(canary_service);
    let routed_to_canary = live.reaches_canary() || !live.is_confirmed();
    let in_progress = targets.canary.as_deref().filter(|_| !targets.aborted);
    let want = in_progress.unwrap_or(&targets.stable);
    if let Some(canary) = canary
        && canary.hash.as_deref() != Some(want)
        && !routed_to_canary
        && draft.available(want) > 0
    {
        switch(draft, canary, want);
    }
    let want = targets.stable.as_str();
    if stable.hash.as_deref() != Some(want) && may_switch_stable(draft, live, targets, stable) {
        switch(draft, stable, want);
    }
    shift_weights(draft, live, targets, stable, canary);
}

/// The stable Service may be pointed at the stable version when nothing flows through it, when it
/// names no version yet and enough of stable is there for its share (of the first version all of it), or
/// when what it names serves nobody.
fn may_switch_stable(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    stable: &ServiceObserved,
) -> bool {
    let available = draft.available(&targets.stable);
    let whole = available >= draft.spec.replicas.max(1);
    match &stable.hash {
        // Whoever was never pointed at a version reaches all of them: stable alone has to suffice.
        None if draft.o.rollout.status.stable.is_some() => {
            let needed = pods_for(100 - live.weight, draft.spec.replicas).max(1);
            available >= needed
                || (available > 0 && draft.elapsed(targets.since, ABORT_CAPACITY_WAIT))
        }
        None => whole,
        // Scaled to nothing there are no pods to wait for, and the next one must be stable's.
        Some(hash) if draft.serves_nobody(hash) => available > 0 || draft.spec.replicas == 0,
        Some(_) => live.weight == 100 && live.exact && live.is_confirmed() && whole,
    }
}

/// Brings weights and side routes towards the targets, in one write for each route.
fn shift_weights(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    stable: &ServiceObserved,
    canary: Option<&ServiceObserved>,
) {
    // As long as the canary Service names another version, nothing may flow through it: the traffic
    // was authorised for this canary alone.
    let named = canary.filter(|c| c.hash.is_some() && c.hash == targets.canary);
    let none: &[SideRoute] = &[];
    let (goal, side_routes) = match (named, canary) {
        (Some(_), _) => (targets.weight, Some(targets.side_routes.as_slice())),
        // A Service that went missing changes no traffic by itself; an abort does.
        (None, None) if !targets.aborted => return,
        (None, _) => (0, Some(none)),
    };
    let side_routes =
        side_routes.and_then(|goal| next_side_routes(draft, live, targets, (stable, canary), goal));
    let to = match goal.cmp(&live.weight) {
        Ordering::Equal => Some(goal),
        Ordering::Greater => may_rise(draft, targets, named).then_some(goal),
        Ordering::Less if !may_fall(draft, targets, (stable, canary)) => None,
        Ordering::Less => weight_stable_can_take(draft, live, targets, canary, goal)
            .filter(|to| *to < live.weight),
    };
    let to = match to {
        Some(to) => to,
        // The weight waits; the side routes need not.
        None if side_routes.is_some() && live.exact => live.weight,
        None => return,
    };
    let o = draft.o;
    // A route that lags behind the others rises only if all of them might, and never on their way down.
    let may_follow =
        !draft.stands_still() && to <= targets.weight && may_rise(draft, targets, named);
    let needed = |route: &&RouteObserved| {
        let lags = matches!(&route.state, RouteState::Live(was) if was.weight < to);
        needs(route, to, side_routes.as_deref()) && (may_follow || !lags)
    };
    let changes: Vec<&RouteObserved> = o.routes.iter().filter(needed).collect();
    if changes.is_empty() || !may_reassert(draft, live, targets, &changes, to) {
        return;
    }
    let now = draft.now;
    for route in changes {
        match &route.state {
            RouteState::Live(was) => {
                let kept = || was.side_routes.clone().unwrap_or_default();
                draft.write(Write::SetWeight {
                    route: route.id.clone(),
                    resource_version: was.resource_version.clone(),
                    from: was.weight,
                    to,
                    side_routes: side_routes.clone().unwrap_or_else(kept),
                    at: now,
                });
            }
            RouteState::ToCreate => {
                draft.write(Write::CreateRoute {
                    route: route.id.clone(),
                    weight: to,
                    at: now,
                });
            }
            RouteState::Unusable(_) => {}
        }
    }
}

/// Whether more may be sent to the canary: its pods are there, the canary Service selects them, and
/// what allows it stands in the status.
fn may_rise(draft: &mut Draft<'_>, targets: &Targets, named: Option<&ServiceObserved>) -> bool {
    let ready = draft.available(targets.canary.as_deref().unwrap_or_default());
    let enough = ready > 0 && ready >= targets.canary_replicas;
    enough && is_recorded(draft) && named.is_some_and(|canary| settled(draft, canary))
}

/// Whether the stable Service is known to select stable, or neither Service leads to anybody.
fn may_fall(
    draft: &mut Draft<'_>,
    targets: &Targets,
    (stable, canary): (&ServiceObserved, Option<&ServiceObserved>),
) -> bool {
    let Some(named) = &stable.hash else {
        return false;
    };
    let idle = draft.serves_nobody(named) && !canary_serves(draft, targets, canary);
    idle || (*named == targets.stable && settled(draft, stable))
}

/// The side routes that there are to be now, on the way to `goal`; `None`: as there are. New ones
/// come as a weight rises; those that are to go need a stable version that serves somebody.
fn next_side_routes(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    (stable, canary): (&ServiceObserved, Option<&ServiceObserved>),
    goal: &[SideRoute],
) -> Option<Vec<SideRoute>> {
    if live.side_routes.as_deref() == Some(goal) {
        return None;
    }
    let standing = live.side_routes.as_deref().unwrap_or_default();
    let brings_new = goal.iter().any(|side| !standing.contains(side));
    // What is new comes through the canary Service, so it names the canary (see the caller).
    if brings_new && may_rise(draft, targets, canary) {
        return Some(goal.to_vec());
    }
    let only = |keeps: &dyn Fn(&&SideRoute) -> bool| -> Vec<SideRoute> {
        standing.iter().filter(keeps).cloned().collect()
    };
    let kept = only(&|side| goal.contains(side));
    let some_go = live.side_routes.is_none() || kept.len() < standing.len();
    let serves = draft.available(&targets.stable) > 0 || !canary_serves(draft, targets, canary);
    // Where the canary has everything, what goes through a side route goes to it all the same.
    let nothing_moves = live.weight == 100 && live.exact;
    if some_go && (nothing_moves || (serves && may_fall(draft, targets, (stable, canary)))) {
        return Some(kept);
    }
    // Nobody waits for the answer to a copy: a mirror that goes takes nothing from any user.
    let answered = only(&|side| goal.contains(side) || !side.is_mirror());
    (answered.len() < standing.len()).then_some(answered)
}

/// Whether a route does not yet say `to` and these side routes.
fn needs(route: &RouteObserved, to: i32, side_routes: Option<&[SideRoute]>) -> bool {
    match &route.state {
        RouteState::Live(live) => {
            let differ =
                side_routes.is_some_and(|wanted| live.side_routes.as_deref() != Some(wanted));
            live.weight != to || !live.exact || differ
        }
        RouteState::ToCreate => to > 0 || !matches!(route.id, RouteId::NginxIngress(_)),
        RouteState::Unusable(_) => false,
    }
}

/// The smallest canary weight, not under `goal`, whose rest stable can carry now; `None`: none below
/// what it is.
fn weight_stable_can_take(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    canary: Option<&ServiceObserved>,
    goal: i32,
) -> Option<i32> {
    let replicas = draft.spec.replicas;
    let available = draft.available(&targets.stable);
    if available >= pods_for(100 - goal, replicas) {
        return Some(goal);
    }
    let canary_serves = canary_serves(draft, targets, canary);
    if available == 0 {
        // Nobody can serve on stable: moving traffic there loses it, unless the canary serves nobody
        // either.
        return (!canary_serves).then_some(goal);
    }
    // Where stable gave its pods up with its traffic, it is known to be short of them: it has as long
    // as a new version has to bring them up.
    let wait = match draft.spec.capacity.stable_follows_traffic {
        true => draft.spec.progress_deadline.max(ABORT_CAPACITY_WAIT),
        false => ABORT_CAPACITY_WAIT,
    };
    // Only what is to leave the canary for good must leave it at last. A version that goes out or is
    // held was judged by nobody: it keeps what stable cannot carry.
    let goes_out = !targets.aborted
        && targets.canary.is_some()
        && canary.is_some_and(|c| c.hash == targets.canary);
    if !canary_serves || (!goes_out && draft.elapsed(targets.since, wait)) {
        return Some(goal);
    }
    let carried = i32::try_from(i64::from(available) * 100 / i64::from(replicas.max(1))).ok()?;
    Some((100 - carried).clamp(goal, live.weight))
}

/// Whether what the canary Service leads to may serve anybody. Where it cannot be known, that may be
/// any version but stable.
fn canary_serves(draft: &Draft<'_>, targets: &Targets, canary: Option<&ServiceObserved>) -> bool {
    match canary.and_then(|c| c.hash.as_deref()) {
        Some(hash) => !draft.serves_nobody(hash),
        None => {
            let mut others = draft.o.replica_sets.iter();
            others.any(|rs| rs.hash != targets.stable && rs.possibly_serving() > 0)
        }
    }
}

/// A weight that had been confirmed and is another one now was changed by somebody else. It is put
/// back at once, and then at a bounded rate, and said so.
fn may_reassert(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    changes: &[&RouteObserved],
    to: i32,
) -> bool {
    let before = draft.o.rollout.status.traffic.clone().unwrap_or_default();
    let ours = draft.status.traffic.clone().unwrap_or_default();
    let names = targets.side_routes.iter().map(|side| &side.name);
    let confirmed = before.header_routes.iter().chain(&before.mirror_routes);
    let lost_side_routes =
        confirmed.eq(names) && live.side_routes.as_ref() != Some(&targets.side_routes);
    let drifted = before.desired == before.accepted
        && (live.weight != before.accepted || !live.exact || lost_side_routes);
    // A step that waits for its pods asks for more already, and what is written is the same again.
    let same_weight = ours.desired == before.desired || (drifted && to == before.desired);
    let same_goal = before.confirmed_at.is_some() && same_weight;
    if !same_goal || (!drifted && before.reasserted_at.is_none()) {
        return true;
    }
    if before
        .reasserted_at
        .is_some_and(|at| !draft.elapsed(at, REASSERT_INTERVAL))
    {
        return false;
    }
    for route in changes {
        let RouteState::Live(was) = &route.state else {
            continue;
        };
        let writer = was.last_writer.as_deref().unwrap_or("somebody");
        draft.event(
            true,
            "WeightReset",
            format!(
                "{}: {writer} changed the canary's weight from {} to {}, or its header or mirror routes; \
                 put back. Leave the weights out of Git, or let Tidegate own the route \
                 (gatewayAPI.managedRoute)",
                route.id, ours.desired, was.weight
            ),
        );
    }
    let now = draft.now;
    if let Some(traffic) = &mut draft.status.traffic {
        traffic.reasserted_at = Some(now);
    }
    true
}

/// Whether what allows this weight stands in the status already: first the record, then the
/// exposure.
pub(super) fn is_recorded(draft: &Draft<'_>) -> bool {
    let key = |s: &RolloutStatus| {
        s.canary
            .as_ref()
            .map(|c| (c.hash.clone(), c.attempt, c.step, c.full, c.all_traffic_at))
            .map(|canary| (canary, s.held_since))
    };
    key(&draft.o.rollout.status) == key(&draft.status)
}

fn shift_active(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    active_service: &str,
    preview_service: Option<&str>,
) {
    let to_canary = targets.weight == 100 && targets.canary.is_some();
    let want = match &targets.canary {
        Some(canary) if to_canary => canary.as_str(),
        _ => targets.stable.as_str(),
    };
    if let Some(active) = draft.service(active_service)
        && active.hash.as_deref() != Some(want)
    {
        let available = draft.available(want);
        let whole = available >= draft.spec.replicas.max(1);
        let serves_nobody = active
            .hash
            .as_deref()
            .is_some_and(|h| draft.serves_nobody(h))
            && available > 0;
        if to_canary && !is_recorded(draft) {
            return;
        }
        // Back to stable: what is missing there is waited for only so long.
        let overdue = !to_canary
            && live.weight == 100
            && available > 0
            && draft.elapsed(targets.since, ABORT_CAPACITY_WAIT);
        let scaled_to_nothing = !to_canary && draft.spec.replicas == 0;
        if whole || (serves_nobody && !to_canary) || overdue || scaled_to_nothing {
            switch(draft, active, want);
        }
    }
    let want = targets.canary.as_deref().unwrap_or(&targets.stable);
    if let Some(preview) = preview_service.and_then(|name| draft.service(name))
        && preview.hash.as_deref() != Some(want)
        && draft.available(want) > 0
    {
        switch(draft, preview, want);
    }
}

fn switch(draft: &mut Draft<'_>, service: &ServiceObserved, to: &str) {
    let at = draft.now;
    draft.write(Write::SwitchService {
        name: service.name.clone(),
        on: of_service(service),
        from: service.hash.clone(),
        to: Some(to.to_owned()),
        at,
    });
}
