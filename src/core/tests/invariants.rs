//! What must hold after every write and at every second, whatever the planner is made to do
//! (ARCHITECTURE.md, "Invariants").

use jiff::SignedDuration;

use super::world::World;
use crate::api::rollout_status::Phase;
use crate::core::spec::{Means, SideRoute};
use crate::core::targets::authorised_weight;

/// How long the data plane may still use what a Service or route said before.
pub const LAG_S: i64 = 3;

/// What the data plane routes by: percent to the canary Service, and what both Services select.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    weight: i32,
    stable: Option<String>,
    canary: Option<String>,
    /// Whether requests go to the canary Service by their headers.
    by_header: bool,
}

impl Config {
    /// Percent of the traffic that goes to the canary Service, at least.
    fn to_canary(&self) -> i32 {
        self.weight.max(i32::from(self.by_header))
    }
}

impl World {
    /// What traffic goes by now; remembered, because the data plane lags behind.
    fn config(&self) -> Option<Config> {
        let hash = |n: &str| self.services.get(n).and_then(|s| s.hash.clone());
        match self.parsed().means {
            Means::Routes {
                stable_service,
                canary_service,
                ..
            } => Some(Config {
                weight: self.weight,
                stable: hash(&stable_service),
                canary: hash(&canary_service),
                by_header: self.side_routes.iter().any(|side| !side.is_mirror()),
            }),
            Means::Active { active_service, .. } => Some(Config {
                weight: 0,
                stable: hash(&active_service),
                canary: None,
                by_header: false,
            }),
            Means::Pods { .. } => None,
        }
    }

    pub fn note_config(&mut self) {
        let Some(config) = self.config() else { return };
        if self.configs.last().is_none_or(|(_, last)| *last != config) {
            self.configs.push((self.now, config));
        }
    }

    /// I7: a header route comes only if the steps allow it as far as the status says, and onto pods of
    /// the very version that they allow it for.
    pub fn check_new_side_routes(&self, side_routes: &[SideRoute]) {
        let new: Vec<_> = side_routes
            .iter()
            .filter(|h| !self.side_routes.contains(h))
            .collect();
        if new.is_empty() {
            return;
        }
        let canary = self
            .status
            .canary
            .as_ref()
            .filter(|_| self.status.abort.is_none());
        let canary = canary.expect("I7: a header route without a version that goes out");
        let step = if canary.full {
            usize::MAX
        } else {
            canary.step as usize
        };
        let allowed = self.parsed().side_routes_at(step);
        let service = &self.services["canary"];
        let settled = service
            .switched_at
            .is_none_or(|at| self.now.duration_since(at) >= SignedDuration::from_secs(LAG_S));
        assert!(
            new.iter().all(|h| allowed.contains(h))
                && service.hash.as_ref() == Some(&canary.hash)
                && settled
                && self.rs[&canary.hash].available > 0,
            "I7: {new:?} at step {}\n{}",
            canary.step,
            self.tail()
        );
    }

    /// I1, I3, I4, I5: checked after every write and at every tick.
    pub fn check(&self) {
        self.check_conditions();
        let replicas = self.spec["replicas"].as_i64().unwrap() as i32;
        if self.users_own_pods_died || replicas == 0 || self.gone {
            return;
        }
        let stable_hash = self.status.stable.as_ref().map(|s| s.hash.clone());
        // I6: everything flows to a version only once that stands in the status.
        if let (Some(config), Some(canary)) = (self.config(), &self.status.canary)
            && stable_hash.as_ref().is_some_and(|s| *s != canary.hash)
            && self.status.abort.is_none()
        {
            let hash = Some(canary.hash.clone());
            let all = (config.weight == 100 && config.canary == hash) || config.stable == hash;
            assert!(
                !all || canary.all_traffic_at.is_some() || canary.full,
                "I6: all traffic without a word\n{}",
                self.tail()
            );
        }
        // I7: nobody is left on a header route when a rollout is over.
        if matches!(self.status.phase, Some(Phase::Healthy | Phase::Aborted)) {
            assert!(
                self.side_routes.is_empty()
                    || self.status.canary.is_some() && self.status.abort.is_none(),
                "I7: a header route is left\n{}",
                self.tail()
            );
        }
        // Every configuration that the data plane may still use.
        let since = self
            .now
            .checked_sub(SignedDuration::from_secs(LAG_S))
            .unwrap();
        let from = self
            .configs
            .iter()
            .rposition(|(at, _)| *at <= since)
            .unwrap_or(0);
        for (_, config) in self.configs.iter().skip(from) {
            for (hash, share) in [
                (&config.stable, 100 - config.weight),
                (&config.canary, config.to_canary()),
            ] {
                let Some(hash) = hash.as_ref().filter(|_| share > 0) else {
                    continue;
                };
                let available = self.rs.get(hash).map_or(0, |rs| rs.available);
                assert!(
                    available > 0,
                    "I1: {share} % goes to {hash}, which has no pods\n{}",
                    self.tail()
                );
            }
        }
        // A canary Service that was pointed elsewhere, by a weight that may not be gone yet.
        let window = self.configs.get(from..).unwrap_or_default();
        let pointed = window.last().and_then(|(_, c)| c.canary.clone());
        let switched = window.iter().any(|(_, c)| c.canary != pointed);
        let still = window.iter().map(|(_, c)| c.to_canary()).max().unwrap_or(0);
        assert!(
            !switched || still == 0 || pointed.is_none() || pointed == stable_hash,
            "I4: {still} % may still flow to the canary Service, which now selects {pointed:?}\n{}",
            self.tail()
        );
        if let (Some(config), Some(stable)) = (self.config(), stable_hash)
            && let Some(canary) = config.canary.filter(|c| *c != stable)
            && config.weight > 0
        {
            let known = self
                .status
                .canary
                .as_ref()
                .is_some_and(|c| c.hash == canary);
            let authorised = self.status.canary.as_ref().map_or(0, |c| {
                authorised_weight(
                    &self.parsed().steps,
                    if c.full { 999 } else { c.step as usize },
                )
            });
            let aborted_at = self.status.abort.as_ref().map_or(0, |a| a.weight);
            // Steps that ask for less leave what stable cannot carry yet.
            let rises = match self.configs.as_slice() {
                [.., (_, before), (at, _)] => *at == self.now && config.weight > before.weight,
                _ => true,
            };
            assert!(
                !known || !rises || config.weight <= authorised.max(aborted_at),
                "I4: {} % on the canary, {authorised} authorised\n{}",
                config.weight,
                self.tail()
            );
        }
        if let Means::Pods { max_surge, .. } = self.parsed().means
            && self.status.stable.is_some()
        {
            let total: i32 = self.rs.values().map(|rs| rs.desired).sum();
            let settled_before = self.status.phase == Some(Phase::Healthy);
            assert!(
                total <= replicas + max_surge.max(1) || settled_before,
                "I1: {total} pods of {replicas}\n{}",
                self.tail()
            );
        }
    }
}
