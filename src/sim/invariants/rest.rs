//! What must have come true when everything had time to end, and what the checks remember.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::evidence::on_its_way;
use super::{Written, commands, holds, rollouts};
use crate::api::rollout_status::Phase;
use crate::core::plan::Write;
use crate::core::spec::Means;
use crate::sim::world::World;
use crate::sim::world::objects::{Kind, ReplicaSetBody, RolloutBody, Stored};

/// After so long the finalizer goes all the same.
pub(super) const DELETION_LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// A weight and the names of side routes, and the generation that they were decided for: who asks for
/// something else fights nobody.
pub(super) type Goal = (i32, Vec<String>, i64);

/// What the checks remember.
#[derive(Debug, Default)]
pub struct Watcher {
    /// When a route was last put back, and to what, as far as a status says so.
    pub(super) put_back: BTreeMap<(String, String), (Timestamp, Goal)>,
    /// What the next status will say of this: since when its facts were read, when it was written and
    /// to what. A process that dies before that status leaves nobody who knows.
    putting_back: BTreeMap<(String, String), (Timestamp, Timestamp, Goal)>,
    /// Until when a Rollout was last said to stand still; as long as it does: the end of time.
    stood: BTreeMap<String, Timestamp>,
    /// When the objects of a Rollout were written.
    writes: BTreeMap<String, VecDeque<Timestamp>>,
}

impl Watcher {
    pub(super) fn note_write(&mut self, now: Timestamp, written: &Written<'_>) {
        let rollout = written.rollout().to_owned();
        if let Write::SetWeight {
            route,
            to,
            side_routes,
            ..
        } = written.write
            && commands::puts_back(written)
        {
            let names = side_routes.iter().map(|side| side.name.clone()).collect();
            let goal = (*to, names, written.observed.rollout.generation);
            let put_back = (written.read_since, now, goal);
            self.putting_back
                .insert((rollout.clone(), route.to_string()), put_back);
        }
        // As many as there are pods, once for each change of roles.
        if !matches!(written.write, Write::RelabelPod { .. }) {
            self.note(&rollout, now);
        }
    }

    /// A status was written that came of facts read then.
    pub(super) fn note_put_back(&mut self, rollout: &str, read_since: Timestamp) {
        let said = self.putting_back.extract_if(.., |(of, _), (read, ..)| {
            of == rollout && *read == read_since
        });
        self.put_back
            .extend(said.map(|(key, (_, at, to))| (key, (at, to))));
    }

    /// A status was written that came of facts read then: the Rollout stands still, or goes on.
    pub(super) fn note_status(&mut self, rollout: &str, read_since: Timestamp, stands: bool) {
        match self.stood.get(rollout) {
            _ if stands => {
                self.stood.insert(rollout.to_owned(), Timestamp::MAX);
            }
            Some(until) if *until == Timestamp::MAX => {
                self.stood.insert(rollout.to_owned(), read_since);
            }
            _ => {}
        }
    }

    pub(super) fn stood_until(&self, rollout: &str) -> Option<Timestamp> {
        self.stood.get(rollout).copied()
    }

    /// An object or the status of a Rollout was written.
    pub(super) fn note(&mut self, rollout: &str, now: Timestamp) {
        let writes = self.writes.entry(rollout.to_owned()).or_default();
        writes.push_back(now);
        while writes
            .front()
            .is_some_and(|first| now.duration_since(*first).as_secs() >= 60)
        {
            writes.pop_front();
        }
    }

    pub(super) fn writes_of_last_minute(&self, rollout: &str, now: Timestamp) -> usize {
        let writes = self.writes.get(rollout).into_iter().flatten();
        writes
            .filter(|at| now.duration_since(**at).as_secs() < 60)
            .count()
    }
}

pub(super) fn given_up_versions_have_no_traffic(world: &World) -> Result<(), String> {
    for (stored, rollout) in rollouts(world) {
        let Some(abort) = &rollout.status.abort else {
            continue;
        };
        let share = world.largest_share(&stored.meta.name, &abort.hash, world.now);
        let answers = answers_for_stable(world, stored, rollout, &abort.hash);
        holds(share == 0 || answers, || {
            format!("{share} % may flow to {}", abort.hash)
        })?;
    }
    Ok(())
}

/// Whether requests that a version answers would find nobody on the stable version: then its traffic
/// stays with it until stable has pods. Users get answers of a version that was given up, or errors
/// of one that is not there.
fn answers_for_stable(world: &World, stored: &Stored, rollout: &RolloutBody, hash: &str) -> bool {
    let name = &stored.meta.name;
    let stable = rollout.status.stable.as_ref();
    let reached = world.largest_share(name, hash, world.now) > 0;
    reached
        && world.serving(name, hash) > 0
        && stable.is_some_and(|stable| world.serving(name, &stable.hash) == 0)
}

pub(super) fn none_means_none(world: &World) -> Result<(), String> {
    for (stored, rollout) in rollouts(world) {
        let none = rollout
            .parsed
            .as_ref()
            .as_ref()
            .is_ok_and(|spec| spec.replicas == 0);
        if !none || on_its_way(&rollout.status) {
            continue;
        }
        for rs in world.store.list(Kind::ReplicaSet) {
            let of_it = rs.meta.rollout.as_deref() == Some(&stored.meta.name);
            let pods = rs.replica_set().map_or(0, |rs| rs.desired);
            holds(!of_it || pods == 0, || {
                format!("{} has {pods} pods", rs.meta.name)
            })?;
        }
    }
    Ok(())
}

pub(super) fn every_rollout_ends(world: &World) -> Result<(), String> {
    for (stored, rollout) in rollouts(world) {
        let phase = rollout.status.phase;
        let ended = matches!(
            phase,
            Some(
                Phase::Healthy
                    | Phase::Aborted
                    | Phase::Rejected
                    | Phase::Paused
                    | Phase::Degraded
                    | Phase::Invalid
            )
        );
        holds(ended, || {
            format!(
                "{} is {phase:?}: {}",
                stored.meta.name, rollout.status.message
            )
        })?;
        let observed = rollout.status.observed_generation;
        holds(observed == Some(stored.meta.generation), || {
            format!(
                "{} is at generation {}, {observed:?} is said",
                stored.meta.name, stored.meta.generation
            )
        })?;
    }
    Ok(())
}

pub(super) fn no_version_is_left_over(world: &World) -> Result<(), String> {
    for (stored, rollout) in rollouts(world) {
        let status = &rollout.status;
        if status.phase == Some(Phase::Invalid) {
            continue;
        }
        let stable = status.stable.as_ref().map(|stable| &stable.hash);
        let canary = status.canary.as_ref().filter(|_| on_its_way(status));
        let canary = canary.map(|canary| &canary.hash);
        let given_up = status.abort.as_ref().map(|abort| &abort.hash);
        let spec = rollout.parsed.as_ref().as_ref();
        let keeps = spec.is_ok_and(|spec| spec.capacity.abort_scale_down_delay.is_none());
        // By pod counts a version stays as long as its pods stand in for others that do not come up.
        let serving = |rs: &ReplicaSetBody| rs.available.min(rs.desired);
        let stands_in = spec.is_ok_and(|spec| match spec.means {
            Means::Pods {
                max_unavailable, ..
            } => {
                let all = world.store.list(Kind::ReplicaSet);
                let own = all.filter(|rs| rs.meta.owner.as_deref() == Some(&stored.meta.uid));
                let serve: i32 = own.filter_map(|rs| rs.replica_set().map(serving)).sum();
                serve <= spec.replicas - max_unavailable
            }
            _ => false,
        });
        for rs in world.store.list(Kind::ReplicaSet) {
            let of_it = rs.meta.owner.as_deref() == Some(&stored.meta.uid);
            let Some(body) = rs.replica_set().filter(|_| of_it) else {
                continue;
            };
            let kept = keeps && given_up == Some(&body.hash);
            let wanted = kept
                || [stable, canary].contains(&Some(&body.hash))
                || (stands_in && serving(body) > 0)
                || answers_for_stable(world, stored, rollout, &body.hash);
            holds(wanted || body.desired == 0, || {
                format!("{} has {} pods and is nobody's", rs.meta.name, body.desired)
            })?;
        }
    }
    Ok(())
}

pub(super) fn caches_have_everything(world: &World) -> Result<(), String> {
    for (at, controller) in world.controllers.iter().enumerate() {
        let behind = controller.behind(world.store.objects());
        holds(behind.is_none(), || {
            format!("controller {at} does not know of {behind:?}")
        })?;
    }
    Ok(())
}

pub(super) fn routes_are_given_back(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::SetFinalizer { present: false, .. } = written.write else {
        return Ok(());
    };
    let Some(spec) = written.spec() else {
        return Ok(());
    };
    let deleted = written.observed.rollout.deleted_at;
    if deleted.is_some_and(|at| world.now.duration_since(at) >= DELETION_LIMIT) {
        return Ok(());
    }
    // Services that another Rollout uses, and the routes to them, are that one's.
    let owner = |name: &str| {
        let stored = world.store.get(Kind::Service, name);
        stored.and_then(|stored| stored.service()?.managed_by.clone())
    };
    let anothers = |name: &str| owner(name).is_some_and(|owner| owner != written.rollout());
    if spec.services().iter().any(|(_, name)| anothers(name)) {
        return Ok(());
    }
    let read = &written.observed.routes;
    let weight = read.iter().find_map(|route| match &route.state {
        crate::core::observed::RouteState::Live(live)
            if live.weight > 0 || live.side_routes != Some(Vec::new()) =>
        {
            Some(live.weight)
        }
        _ => None,
    });
    holds(weight.is_none(), || {
        format!("{weight:?} %, or what side routes lead to it, is left to the canary Service")
    })?;
    if matches!(spec.means, Means::Pods { .. }) {
        return Ok(());
    }
    // One that could not be used when it was read had nothing to give back.
    let read = &written.observed.services;
    let usable = |name: &str| {
        let service = read.get(name).and_then(Option::as_ref);
        service.is_some_and(|service| service.problem.is_none())
    };
    let services = spec.services().into_iter().map(|(_, name)| name);
    for name in services.filter(|name| usable(name)) {
        let service = world
            .store
            .get(Kind::Service, name)
            .and_then(|s| s.service());
        let ours = service
            .filter(|s| s.problem.is_none() && s.managed_by.as_deref() == Some(written.rollout()));
        let hash = ours.and_then(|service| service.hash.as_ref());
        holds(hash.is_none(), || {
            format!("Service {name} is left to version {hash:?}")
        })?;
    }
    Ok(())
}

pub(super) fn one_record_and_one_commit(world: &World) -> Result<(), String> {
    for (revert, commits) in &world.git.reverts {
        holds(*commits <= 1, || format!("{commits} commits for {revert}"))?;
    }
    let mut known = std::collections::BTreeSet::new();
    for stored in world.store.list(Kind::Revert) {
        let Some(revert) = stored.revert() else {
            continue;
        };
        let of = (
            &revert.spec.rollout.uid,
            &revert.spec.bad.hash,
            revert.spec.bad.revision,
            revert.spec.attempt,
        );
        holds(known.insert(of), || {
            format!("{} is on record twice", stored.meta.name)
        })?;
    }
    Ok(())
}
