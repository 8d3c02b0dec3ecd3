//! Where the traffic is, as far as the API says it: read off the routes, the active Service or the
//! pods.

use jiff::Timestamp;

use super::draft::Draft;
use super::observed::{RouteId, RouteObserved, RouteState, ServiceObserved};
use super::spec::{Means, SideRoute};

/// What the data plane does now, as far as the API says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LiveTraffic {
    /// Percent on the canary's side; the largest of all routes.
    pub weight: i32,
    /// Whether anything says what the weight is: without it, 0 is no measurement.
    pub readable: bool,
    /// Whether every route says exactly that.
    pub exact: bool,
    /// The side routes that every route has; `None`: they differ, or are not as they should be.
    pub side_routes: Option<Vec<SideRoute>>,
    /// Whether any route sends requests, or copies of them, to the canary beside its weight.
    any_side_routes: bool,
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

    /// Whether any request is sent to the canary's side.
    pub fn reaches_canary(&self) -> bool {
        self.weight > 0 || self.any_side_routes
    }

    /// Whether every route says exactly this.
    pub fn says(&self, weight: i32, side_routes: &[SideRoute]) -> bool {
        self.weight == weight && self.exact && self.side_routes.as_deref() == Some(side_routes)
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
    let mut side_routes: Vec<Option<Vec<SideRoute>>> = Vec::new();
    let o = draft.o;
    for route in &o.routes {
        match &route.state {
            RouteState::Live(live) => {
                weight = weight.max(live.weight);
                weights.push(live.weight);
                exact &= live.exact;
                side_routes.push(live.side_routes.clone());
                if let Some(reason) = &live.pending {
                    unconfirmed = Some(format!("{} is not accepted yet: {reason}", route.id));
                } else if let Some(at) = live.changed_at
                    && !draft.elapsed(at, o.settings.settle)
                {
                    unconfirmed = Some(format!("{} settles", route.id));
                }
            }
            // Without a canary Ingress, ingress-nginx sends nothing to the canary.
            RouteState::ToCreate => {
                side_routes.push(Some(Vec::new()));
                if matches!(route.id, RouteId::NginxIngress(_)) {
                    weights.push(0);
                } else {
                    unconfirmed = Some(format!("{} does not exist yet", route.id));
                }
            }
            RouteState::Unusable(problem) => unconfirmed = Some(problem.to_string()),
        }
    }
    exact &= weights.iter().all(|w| *w == weight);
    let unusable = |route: &RouteObserved| matches!(route.state, RouteState::Unusable(_));
    let readable = o.routes.is_empty() || !o.routes.iter().all(unusable);
    let any_side_routes = side_routes.iter().any(|h| *h != Some(Vec::new()));
    let side_routes = match side_routes.split_first() {
        Some((first, rest)) if rest.iter().all(|h| h == first) => first.clone(),
        Some(_) => None,
        None => Some(Vec::new()),
    };
    // How many requests take a side route is not known; some do.
    let of_canary = weight.max(i32::from(any_side_routes));
    // Where routes differ, some of the traffic has another share.
    let of_stable = if exact { 100 - weight } else { 100 };
    let mut shares = Vec::new();
    let mut switched_at = None;
    for (name, share) in [(stable, of_stable), (canary, of_canary)] {
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
        readable,
        exact,
        side_routes,
        any_side_routes,
        unconfirmed,
        shares,
        switched_at,
    }
}

fn live_active(draft: &mut Draft<'_>, active: &str, canary: Option<&str>) -> LiveTraffic {
    let Some(service) = draft.service(active) else {
        return LiveTraffic {
            weight: 0,
            readable: false,
            exact: true,
            side_routes: Some(Vec::new()),
            any_side_routes: false,
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
        readable: true,
        exact: true,
        side_routes: Some(Vec::new()),
        any_side_routes: false,
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
        readable: true,
        exact: true,
        side_routes: Some(Vec::new()),
        any_side_routes: false,
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

/// Whether the data plane is known to have what a Service says.
pub(super) fn settled(draft: &mut Draft<'_>, service: &ServiceObserved) -> bool {
    let settle = draft.o.settings.settle;
    service
        .switched_at
        .is_none_or(|at| draft.elapsed(at, settle))
}
