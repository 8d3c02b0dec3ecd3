//! What is seen of a Rollout in the simulated cluster, in a scenario's terms: versions by their names,
//! Services by what they are for.

use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::RolloutStatus;
use crate::core::observed::RouteId;
use crate::core::spec::Means;
use crate::sim::world::World;
use crate::sim::world::deployment::own_pods;
use crate::sim::world::objects::{Kind, RolloutBody, Stored};

/// Repository of the images that versions have.
const REPOSITORY: &str = "r/a";

/// The image of a version.
pub(super) fn image(version: &str) -> String {
    format!("{REPOSITORY}:{version}")
}

/// The version of an image.
fn version_of(image: &str) -> String {
    image
        .rsplit_once(':')
        .map_or(image, |(_, tag)| tag)
        .to_owned()
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A look at the cluster.
pub(super) struct Sight<'w>(pub &'w World);

impl<'w> Sight<'w> {
    pub fn body(&self, rollout: &str) -> Option<&'w RolloutBody> {
        self.0.store.get(Kind::Rollout, rollout)?.rollout()
    }

    pub fn status(&self, rollout: &str) -> Option<&'w RolloutStatus> {
        self.body(rollout).map(|body| &body.status)
    }

    pub fn is_up_to_date(&self, rollout: &str) -> bool {
        let stored = self.0.store.get(Kind::Rollout, rollout);
        stored.is_some_and(|stored| {
            let said = stored.rollout().and_then(|b| b.status.observed_generation);
            said == Some(stored.meta.generation)
        })
    }

    /// The name of a version of which hash and images are known.
    fn name(&self, hash: &str, images: &[String]) -> String {
        let known = self.0.journal.as_ref().and_then(|j| j.version(hash));
        match (images.last(), known) {
            (Some(image), _) => version_of(image),
            (None, Some(known)) => known.to_owned(),
            (None, None) => hash.to_owned(),
        }
    }

    pub fn stable(&self, rollout: &str) -> Option<String> {
        let stable = self.status(rollout)?.stable.as_ref()?;
        Some(self.name(&stable.hash, &stable.images))
    }

    pub fn canary(&self, rollout: &str) -> Option<String> {
        let canary = self.status(rollout)?.canary.as_ref()?;
        Some(self.name(&canary.hash, &canary.images))
    }

    pub fn asked_for(&self, rollout: &str) -> Option<String> {
        let template = self.body(rollout)?.raw.get("template")?;
        image_of(template).map(version_of)
    }

    pub fn in_git(&self, rollout: &str) -> Option<String> {
        let template = self.0.git.spec(rollout)?.get("template")?;
        image_of(template).map(version_of)
    }

    pub fn replicas(&self, rollout: &str) -> Option<i64> {
        self.body(rollout)?.raw.get("replicas")?.as_i64()
    }

    /// The version that a Service selects, named by what it is for or by its name.
    pub fn selected(&self, rollout: &str, service: &str) -> Option<String> {
        let name = service_name(self.0, rollout, service);
        let stored = self.0.store.get(Kind::Service, &name)?;
        let hash = stored.service()?.hash.as_ref()?;
        Some(self.name(hash, &[]))
    }

    fn sets(&self, rollout: &str) -> impl Iterator<Item = &'w Stored> {
        let uid = self
            .0
            .store
            .get(Kind::Rollout, rollout)
            .map(|stored| stored.meta.uid.clone());
        let rollout = rollout.to_owned();
        let all = self.0.store.list(Kind::ReplicaSet);
        all.map(|stored| &**stored).filter(move |stored| {
            stored.meta.owner.is_some()
                && (stored.meta.owner == uid || uid.is_none())
                && stored.meta.rollout.as_deref() == Some(&rollout)
        })
    }

    fn of_version(&self, rollout: &str, version: &str) -> impl Iterator<Item = &'w Stored> {
        let image = image(version);
        self.sets(rollout).filter(move |stored| {
            let template = stored.replica_set().map(|body| &body.template);
            template.and_then(|t| image_of(t)) == Some(&image)
        })
    }

    pub fn pods(&self, rollout: &str, version: &str) -> i64 {
        let of = self.of_version(rollout, version);
        of.filter_map(|stored| Some(i64::from(stored.replica_set()?.desired)))
            .sum()
    }

    pub fn ready(&self, rollout: &str, version: &str) -> i64 {
        let of = self.of_version(rollout, version);
        of.filter_map(|stored| {
            let hash = &stored.replica_set()?.hash;
            Some(i64::from(self.0.serving(rollout, hash)))
        })
        .sum()
    }

    /// Pods that a Rollout's Deployment is asked for, and those that serve. It is there when the Rollout
    /// is gone, so it is found by its name.
    pub fn deployment(&self, rollout: &str) -> (Option<i64>, i64) {
        let stored = self.0.store.get(Kind::Deployment, rollout);
        let asked = stored.and_then(|stored| Some(i64::from(stored.deployment()?.desired)));
        let pods = self.0.pods.get(&own_pods(rollout));
        let pods = pods.map(Vec::as_slice).unwrap_or_default();
        let serve = pods.iter().filter(|pod| pod.ready && !pod.terminating);
        (asked, count(serve.count()))
    }

    /// Pods that there are, and those of them that serve.
    pub fn all_pods(&self, rollout: &str) -> (i64, i64) {
        let mut all = (0, 0);
        for stored in self.sets(rollout) {
            let pods = self.0.pods.get(&stored.meta.name);
            let pods = pods.map(Vec::as_slice).unwrap_or_default();
            let there = pods.iter().filter(|pod| !pod.terminating);
            all.0 += count(there.clone().count());
            all.1 += count(there.filter(|pod| pod.ready).count());
        }
        all
    }

    /// The largest share of the traffic that may reach a version now: by what routes, Services and
    /// gateways may still go by, or by pod counts.
    pub fn share(&self, rollout: &str, version: &str) -> i64 {
        let by_pods = self
            .0
            .spec(rollout)
            .is_some_and(|spec| matches!(spec.means, Means::Pods { .. }));
        if by_pods {
            let (own, all) = (self.ready(rollout, version), self.all_pods(rollout).1);
            return if all == 0 {
                0
            } else {
                (own * 100 + all - 1) / all
            };
        }
        let shares = self.of_version(rollout, version).filter_map(|stored| {
            let hash = &stored.replica_set()?.hash;
            Some(self.0.largest_share(rollout, hash, self.0.now))
        });
        shares.max().map_or(0, i64::from)
    }

    pub fn route_weights(&self, rollout: &str) -> Vec<(String, i32)> {
        let routes = self.0.spec(rollout).map(|spec| spec.routes(rollout));
        let read = |id: RouteId| {
            // Without a canary Ingress nothing is sent to the canary.
            let stored = self.0.store.get(Kind::Route, &id.to_string());
            let weight = stored.and_then(|stored| Some(stored.route()?.weight));
            (id.to_string(), weight.unwrap_or(0))
        };
        routes.unwrap_or_default().into_iter().map(read).collect()
    }

    pub fn replica_sets(&self, rollout: &str) -> i64 {
        count(self.sets(rollout).count())
    }

    pub fn analyses(&self, rollout: &str, running: bool) -> i64 {
        let all = self.0.store.list(Kind::Run);
        let of_it = all.filter(|stored| stored.meta.rollout.as_deref() == Some(rollout));
        let counted = of_it.filter(|stored| {
            let under_way = stored
                .run()
                .is_some_and(|run| matches!(run.phase, RunPhase::Pending | RunPhase::Running));
            !running || under_way
        });
        count(counted.count())
    }

    /// The questions of all AnalysisRuns of a Rollout.
    pub fn questions(&self, rollout: &str) -> Vec<String> {
        let all = self.0.store.list(Kind::Run);
        let of_it = all.filter(|stored| stored.meta.rollout.as_deref() == Some(rollout));
        let metrics = of_it
            .filter_map(|stored| stored.run())
            .flat_map(|run| &run.spec.metrics);
        let questions = metrics.flat_map(|metric| metric.queries());
        questions.map(|(_, query)| query.clone()).collect()
    }

    pub fn reverts(&self, rollout: &str) -> i64 {
        let all = self.0.store.list(Kind::Revert);
        count(
            all.filter(|stored| stored.meta.rollout.as_deref() == Some(rollout))
                .count(),
        )
    }

    /// Commits that took a version of this Rollout out.
    pub fn commits(&self, rollout: &str) -> i64 {
        let of_it = |name: &String| {
            let stored = self.0.store.get(Kind::Revert, name);
            stored.is_none_or(|stored| stored.meta.rollout.as_deref() == Some(rollout))
        };
        let all = self.0.git.reverts.iter().filter(|(name, _)| of_it(name));
        all.map(|(_, commits)| i64::from(*commits)).sum()
    }

    pub fn told(&self, rollout: &str, reason: &str) -> i64 {
        let journal = self.0.journal.as_ref();
        let told = journal.map_or(0, |journal| journal.told(rollout, reason));
        i64::try_from(told).unwrap_or(i64::MAX)
    }

    /// Writes with these words; `any`: all of them.
    pub fn writes(&self, rollout: &str, words: &str) -> i64 {
        let all = self.0.journal.as_ref().map(|j| j.writes());
        let all = all.unwrap_or_default().iter();
        let counted = all.filter(|entry| {
            entry.rollout == rollout && (words == "any" || entry.words.contains(words))
        });
        count(counted.count())
    }

    /// What was written for a Rollout just now.
    pub fn made(&self, rollout: &str) -> Vec<&'w str> {
        let fresh = self.0.journal.as_ref().map(|j| j.fresh());
        let fresh = fresh.unwrap_or_default().iter();
        fresh
            .filter(|entry| entry.rollout == rollout)
            .map(|entry| entry.words.as_str())
            .collect()
    }

    pub fn calls(&self) -> i64 {
        i64::try_from(self.0.counts.calls).unwrap_or(i64::MAX)
    }

    /// Bytes of the status, and of the longest message in it.
    pub fn bytes(&self, rollout: &str) -> (i64, i64) {
        let Some(status) = self.status(rollout) else {
            return (0, 0);
        };
        let all = serde_json::to_vec(status).map_or(0, |text| text.len());
        let conditions = status.conditions.iter().map(|c| c.message.len());
        let outcomes = status.history.iter().map(|entry| entry.message.len());
        let message = conditions.chain(outcomes).chain([status.message.len()]);
        (count(all), count(message.max().unwrap_or(0)))
    }

    /// Characters of the longest name of what Tidegate made for a Rollout.
    pub fn longest_name(&self, rollout: &str) -> i64 {
        let kinds = [Kind::ReplicaSet, Kind::Run, Kind::Revert];
        let all = kinds.into_iter().flat_map(|kind| self.0.store.list(kind));
        let of_it = all.filter(|stored| stored.meta.rollout.as_deref() == Some(rollout));
        count(
            of_it
                .map(|stored| stored.meta.name.len())
                .max()
                .unwrap_or(0),
        )
    }
}

/// The image of a template's first container.
fn image_of(template: &serde_json::Value) -> Option<&str> {
    template.pointer("/spec/containers/0/image")?.as_str()
}

/// The name of a Service that is named by what it is for (`stable`, `canary`, `active`, `preview`).
pub(super) fn service_name(world: &World, rollout: &str, service: &str) -> String {
    let field = format!("{service}Service");
    let services = world.spec(rollout).map(|spec| spec.services());
    let named = services.unwrap_or_default().into_iter();
    let mut named = named.filter(|(path, _)| path.ends_with(&field));
    match named.next() {
        Some((_, name)) => name.to_owned(),
        None => service.to_owned(),
    }
}
