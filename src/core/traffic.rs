//! Where the traffic is, and the next safe write that brings it where it should be.
//!
//! The order is always: pods available, then selector, then weight, then (elsewhere, in `scale`) the
//! old pods go. A Service is pointed elsewhere only while nothing flows through it, or when what it
//! points at serves nobody. Weights rise only onto available pods of the version they are meant for
//! and fall only onto a stable version that can carry them.

use jiff::{SignedDuration, Timestamp};

use super::draft::{Draft, of_service};
use super::observed::{RouteId, RouteObserved, RouteState, ServiceObserved};
use super::plan::Write;
use super::spec::Means;
use super::targets::Targets;
use crate::api::rollout_status::RolloutStatus;

/// How long an abort waits for a stable version that is short of pods before it sends it everything
/// all the same: pods that do not come back are no reason to keep users on a version judged bad.
pub(super) const ABORT_CAPACITY_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// A weight that somebody else changed is put back at once, and then at most this often, so that
/// two writers never fight in a loop.
pub(super) const REASSERT_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// What the data plane does now, as far as the API says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LiveTraffic {
    /// Percent on the canary's side; the largest of all routes.
    pub weight: i32,
    /// Whether every route says exactly that.
    pub exact: bool,
    /// Why the data plane may not have it yet; `None`: it has.
    pub unconfirmed: Option<String>,
    /// Which versions are selected, with their percent. `None`: a selector without a version.
    shares: Vec<(Option<String>, i32)>,
    /// When a selector was last changed.
    pub switched_at: Option<Timestamp>,
}

impl LiveTraffic {
    /// Whether the data plane is known to have it.
    pub fn is_confirmed(&self) -> bool {
        self.unconfirmed.is_none()
    }

    /// Percent of the traffic that may reach this version.
    pub fn share(&self, hash: &str) -> i32 {
        self.shares
            .iter()
            .filter(|(selected, _)| selected.as_deref().is_none_or(|s| s == hash))
            .map(|(_, share)| *share)
            .sum::<i32>()
            .min(100)
    }
}

/// Pods that `percent` of the traffic needs out of `replicas`: rounded up, at least one if any.
pub(super) fn pods_for(percent: i32, replicas: i32) -> i32 {
    let product = i64::from(percent) * i64::from(replicas);
    i32::try_from((product + 99) / 100).unwrap_or(replicas)
}

/// Reads the traffic off the routes, the active Service or the pods.
pub(super) fn live(draft: &mut Draft<'_>, canary: Option<&str>, stable: &str) -> LiveTraffic {
    match &draft.spec.means {
        Means::Routes {
            stable_service,
            canary_service,
            ..
        } => live_routes(draft, stable_service, canary_service),
        Means::Active { active_service, .. } => live_active(draft, active_service, canary),
        Means::Pods { .. } => live_pods(draft, canary, stable),
    }
}

fn live_routes(draft: &mut Draft<'_>, stable: &str, canary: &str) -> LiveTraffic {
    let mut weight = 0;
    let mut exact = true;
    let mut unconfirmed = None;
    let mut weights = Vec::new();
    let o = draft.o;
    for route in &o.routes {
        match &route.state {
            RouteState::Live(live) => {
                weight = weight.max(live.weight);
                weights.push(live.weight);
                exact &= live.exact;
                if let Some(reason) = &live.pending {
                    unconfirmed = Some(format!("{} is not accepted yet: {reason}", route.id));
                } else if let Some(at) = live.changed_at
                    && !draft.elapsed(at, o.settings.settle)
                {
                    unconfirmed = Some(format!("{} settles", route.id));
                }
            }
            // Without a canary Ingress, ingress-nginx sends nothing to the canary.
            RouteState::ToCreate if matches!(route.id, RouteId::NginxIngress(_)) => weights.push(0),
            RouteState::ToCreate => unconfirmed = Some(format!("{} does not exist yet", route.id)),
            RouteState::Unusable(problem) => unconfirmed = Some(problem.to_string()),
        }
    }
    exact &= weights.iter().all(|w| *w == weight);
    let mut shares = Vec::new();
    let mut switched_at = None;
    for (name, share) in [(stable, 100 - weight), (canary, weight)] {
        let Some(service) = draft.service(name) else {
            if share > 0 {
                unconfirmed = Some(format!("Service {name} is missing or cannot be used"));
            }
            continue;
        };
        switched_at = switched_at.max(service.switched_at);
        // Nobody is reached through a Service without a share, whatever it selects.
        if share > 0 && !settled(draft, service) {
            unconfirmed = Some(format!("Service {name} settles after its selector changed"));
        }
        shares.push((service.hash.clone(), share));
    }
    // A selector without a version carries nothing when its share is nothing.
    shares.retain(|(_, share)| *share > 0);
    LiveTraffic {
        weight,
        exact,
        unconfirmed,
        shares,
        switched_at,
    }
}

fn live_active(draft: &mut Draft<'_>, active: &str, canary: Option<&str>) -> LiveTraffic {
    let Some(service) = draft.service(active) else {
        return LiveTraffic {
            weight: 0,
            exact: true,
            unconfirmed: Some(format!("Service {active} is missing or cannot be used")),
            shares: vec![(None, 100)],
            switched_at: None,
        };
    };
    let weight = if canary.is_some() && service.hash.as_deref() == canary {
        100
    } else {
        0
    };
    let unconfirmed = (!settled(draft, service))
        .then(|| format!("Service {active} settles after its selector changed"));
    LiveTraffic {
        weight,
        exact: true,
        unconfirmed,
        shares: vec![(service.hash.clone(), 100)],
        switched_at: service.switched_at,
    }
}

/// By pod counts: one Service reaches every available pod alike.
fn live_pods(draft: &Draft<'_>, canary: Option<&str>, stable: &str) -> LiveTraffic {
    let of = |hash: Option<&str>| i64::from(hash.map_or(0, |h| draft.available(h)));
    let total: i64 = draft
        .o
        .replica_sets
        .iter()
        .map(|rs| i64::from(rs.available))
        .sum();
    let percent = |n: i64| {
        if total == 0 {
            0
        } else {
            i32::try_from((n * 100 + total - 1) / total).unwrap_or(100)
        }
    };
    LiveTraffic {
        weight: percent(of(canary)),
        exact: true,
        unconfirmed: None,
        shares: vec![
            (Some(stable.to_owned()), percent(of(Some(stable)))),
            (
                Some(canary.unwrap_or_default().to_owned()),
                percent(of(canary)),
            ),
        ],
        switched_at: None,
    }
}

fn settled(draft: &mut Draft<'_>, service: &ServiceObserved) -> bool {
    let settle = draft.o.settings.settle;
    service
        .switched_at
        .is_none_or(|at| draft.elapsed(at, settle))
}

/// Adds the next writes that bring the traffic towards the targets. Pod counts are moved by
/// `scale` alone.
pub(super) fn shift(draft: &mut Draft<'_>, live: &LiveTraffic, targets: &Targets) {
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
    let routed_to_canary = live.weight > 0 || !live.is_confirmed();
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
/// names no version yet and the whole of it is there, or when what it names serves nobody.
fn may_switch_stable(
    draft: &Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    stable: &ServiceObserved,
) -> bool {
    let available = draft.available(&targets.stable);
    let whole = available >= draft.spec.replicas.max(1);
    match &stable.hash {
        None => whole,
        Some(hash) if draft.serves_nobody(hash) => available > 0,
        Some(_) => live.weight == 100 && live.exact && live.is_confirmed() && whole,
    }
}

fn shift_weights(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Targets,
    stable: &ServiceObserved,
    canary: Option<&ServiceObserved>,
) {
    // As long as the canary Service names another version, nothing may flow through it: the weight
    // was authorised for this canary alone.
    let named = canary.filter(|c| c.hash.is_some() && c.hash == targets.canary);
    let goal = match (named, canary) {
        (Some(_), _) => targets.weight,
        // A Service that went missing changes no traffic by itself; an abort does.
        (None, None) if !targets.aborted => live.weight,
        (None, _) => 0,
    };
    let to = if goal > live.weight {
        let ready = draft.available(targets.canary.as_deref().unwrap_or_default());
        let enough = ready > 0 && ready >= targets.canary_replicas;
        let settled = named.is_some_and(|canary| settled(draft, canary));
        if !enough || !is_recorded(draft) || !settled {
            return;
        }
        goal
    } else if goal < live.weight {
        if stable.hash.as_deref() != Some(targets.stable.as_str()) || !settled(draft, stable) {
            return;
        }
        match weight_stable_can_take(draft, live, targets, canary, goal) {
            Some(to) if to < live.weight => to,
            _ => return,
        }
    } else {
        goal
    };
    let o = draft.o;
    let changes: Vec<&RouteObserved> = o.routes.iter().filter(|r| needs(r, to)).collect();
    if changes.is_empty() || !may_reassert(draft, live, &changes) {
        return;
    }
    let now = draft.now;
    for route in changes {
        match &route.state {
            RouteState::Live(was) => draft.write(Write::SetWeight {
                route: route.id.clone(),
                resource_version: was.resource_version.clone(),
                from: was.weight,
                to,
                at: now,
            }),
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

/// Whether a route does not yet say `to`.
fn needs(route: &RouteObserved, to: i32) -> bool {
    match &route.state {
        RouteState::Live(live) => live.weight != to || !live.exact,
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
    let named = canary.and_then(|c| c.hash.as_deref());
    let canary_serves = named
        .or(targets.canary.as_deref())
        .is_some_and(|h| !draft.serves_nobody(h));
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
    if !canary_serves || draft.elapsed(targets.since, wait) {
        return Some(goal);
    }
    let carried = i32::try_from(i64::from(available) * 100 / i64::from(replicas.max(1))).ok()?;
    Some((100 - carried).clamp(goal, live.weight))
}

/// A weight that had been confirmed and is another one now was changed by somebody else. It is put
/// back at once, and then at a bounded rate, and said so.
fn may_reassert(draft: &mut Draft<'_>, live: &LiveTraffic, changes: &[&RouteObserved]) -> bool {
    let before = draft.o.rollout.status.traffic.clone().unwrap_or_default();
    let ours = draft.status.traffic.clone().unwrap_or_default();
    let same_goal = before.confirmed_at.is_some() && ours.desired == before.desired;
    let drifted =
        before.desired == before.accepted && (live.weight != before.accepted || !live.exact);
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
                "{}: {writer} changed the canary's weight from {} to {}; put back. Leave the \
                 weights out of Git, or let Tidegate own the route (gatewayAPI.managedRoute)",
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
fn is_recorded(draft: &Draft<'_>) -> bool {
    let key = |s: &RolloutStatus| {
        s.canary
            .as_ref()
            .map(|c| (c.hash.clone(), c.attempt, c.step, c.full, c.all_traffic_at))
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
        if whole || (serves_nobody && !to_canary) || overdue {
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
