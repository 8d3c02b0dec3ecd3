//! What requests may go by. Gateways and nodes learn of a change at a time of their own within the
//! lag, each of routes, Services and endpoints on its own; so nobody asks here what they do, only
//! what any of them may still be doing.

use jiff::{SignedDuration, Timestamp};

use super::objects::{Key, Kind};
use super::{OURSELVES, World};
use crate::core::spec::{Means, Spec};

/// The longest time that the data plane goes by what was said before. Tidegate's settle delay is
/// what an administrator found to be enough for it, so it is longer.
pub const LAG: SignedDuration = SignedDuration::from_millis(4_000);

/// How many past settings are remembered.
const CONFIGS_KEPT: usize = 64;

/// What traffic goes by at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Since when.
    pub since: Timestamp,
    /// Whether Tidegate said so.
    pub ours: bool,
    /// The weight of each route, and the generation that says so.
    pub routes: Vec<(String, i32, i64)>,
    /// Whether any of them sends requests to the canary Service by header.
    pub by_header: bool,
    /// The version that the stable (or the active) Service selects.
    pub stable: Option<String>,
    /// The version that the canary Service selects.
    pub canary: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl Config {
    /// Percent of a route's weight that may reach the canary Service. How many requests have the
    /// headers is not known; some do.
    pub fn of_canary(&self, weight: i32) -> i32 {
        weight.max(i32::from(self.by_header))
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (&self.routes, &self.stable, &self.canary) == (&other.routes, &other.stable, &other.canary)
    }
}

/// What the traffic of a Rollout went by, newest last.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    configs: Vec<Config>,
}

impl World {
    /// Writes down what the traffic of each Rollout goes by now.
    pub(super) fn note_traffic(&mut self) {
        let rollouts: Vec<String> = self
            .store
            .list(Kind::Rollout)
            .map(|stored| stored.meta.name.clone())
            .collect();
        for name in rollouts {
            let Some(config) = self.spec(&name).and_then(|spec| self.config(&name, spec)) else {
                continue;
            };
            let traffic = self.traffic.entry(name).or_default();
            match traffic.configs.last_mut() {
                Some(last) if last.says_the_same(&config) => continue,
                Some(last) => last.until = Some(config.since),
                None => {}
            }
            traffic.configs.push(config);
            if traffic.configs.len() > CONFIGS_KEPT {
                traffic.configs.remove(0);
            }
        }
    }

    fn config(&self, name: &str, spec: &Spec) -> Option<Config> {
        let selects = |service: &str| {
            let stored = self.store.get(Kind::Service, service)?;
            stored.service()?.hash.clone()
        };
        let (stable, canary) = match &spec.means {
            Means::Routes {
                stable_service,
                canary_service,
                ..
            } => (selects(stable_service), selects(canary_service)),
            Means::Active { active_service, .. } => (selects(active_service), None),
            Means::Pods { .. } => return None,
        };
        let (mut ours, mut by_header) = (true, false);
        let mut routes = Vec::new();
        for id in spec.routes(name) {
            let key = id.to_string();
            if let Some(stored) = self.store.get(Kind::Route, &key)
                && let Some(route) = stored.route()
            {
                ours &= route.writer == OURSELVES;
                by_header |= route.side_routes.iter().any(|side| !side.is_mirror());
                routes.push((key, route.weight, stored.meta.generation));
            }
        }
        Some(Config {
            since: self.now,
            ours,
            routes,
            by_header,
            stable,
            canary,
            until: None,
        })
    }

    /// What the traffic of a Rollout may go by now: the newest, and what was so less than the lag ago
    /// or is so until a gateway has accepted what came after it.
    pub fn in_use(&self, rollout: &str) -> impl Iterator<Item = &Config> {
        let configs = self.traffic.get(rollout).map(|t| t.configs.as_slice());
        let pending = self.oldest_pending(rollout);
        configs.unwrap_or_default().iter().filter(move |config| {
            config.until.is_none_or(|until| {
                self.now.duration_since(until) < self.lag
                    || pending.is_some_and(|since| until >= since)
            })
        })
    }

    /// Since when a route of a Rollout says what its gateway has not accepted.
    fn oldest_pending(&self, rollout: &str) -> Option<Timestamp> {
        let spec = self.spec(rollout)?;
        let pending = spec.routes(rollout).into_iter().filter_map(|id| {
            let stored = self.store.get(Kind::Route, &id.to_string())?;
            let route = stored.route()?;
            (route.accepted < stored.meta.generation).then_some(route.changed_at?)
        });
        pending.min()
    }

    /// The largest share of the traffic, in percent, that may reach a version now. `known` leaves out
    /// what others than Tidegate said since then.
    #[must_use]
    pub fn largest_share(&self, rollout: &str, hash: &str, known: Timestamp) -> i32 {
        let known: Vec<&Config> = self
            .in_use(rollout)
            .filter(|config| config.ours || config.since < known)
            .collect();
        let by_stable = known.iter().any(|c| c.stable.as_deref() == Some(hash));
        let by_canary = known.iter().any(|c| c.canary.as_deref() == Some(hash));
        let mut weights = known
            .iter()
            .flat_map(|c| c.routes.iter().map(|(_, w, _)| (*w, c.of_canary(*w))));
        let without_routes = if by_stable { 100 } else { 0 };
        let share = |(weight, of_canary): (i32, i32)| {
            let of_stable = if by_stable { 100 - weight } else { 0 };
            let of_canary = if by_canary { of_canary } else { 0 };
            (of_stable + of_canary).min(100)
        };
        match weights.next() {
            None => without_routes,
            Some(first) => weights.map(share).fold(share(first), i32::max),
        }
    }

    /// A gateway accepts what a route says now.
    pub(super) fn accept(&mut self, key: &Key) {
        if self.weather.has(&super::Fault::Gateway) {
            let wait = self.some_time(500, 2_000);
            self.after(wait, super::Event::Accept(key.clone()));
            return;
        }
        let Some(stored) = self.store.get(Kind::Route, &key.1) else {
            return;
        };
        let generation = stored.meta.generation;
        if stored
            .route()
            .is_none_or(|route| route.accepted >= generation)
        {
            return;
        }
        let _ = self
            .store
            .update(Kind::Route, &key.1, None, false, |stored| {
                if let Some(route) = stored.route_mut() {
                    route.accepted = generation;
                }
            });
    }

    /// Somebody else than Tidegate gives a route another weight.
    pub fn reset_weight(&mut self, key: &str, weight: i32, writer: &str) {
        let now = self.now;
        let _ = self.store.update(Kind::Route, key, None, true, |stored| {
            if let Some(route) = stored.route_mut() {
                route.weight = weight;
                // The list of rules is one value to whoever applies the route.
                route.side_routes.clear();
                route.changed_at = Some(now);
                writer.clone_into(&mut route.writer);
            }
        });
        self.reset_whole(key, weight);
    }
}
