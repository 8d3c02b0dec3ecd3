//! What is known of each outcome besides what the status says of it. Pure. Nothing is guessed: a time
//! whose beginning nothing in the cluster tells is not known.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;

use crate::api::revert::{Revert, RevertVersion};
use crate::api::rollout::BASELINE_LABEL;
use crate::api::rollout_status::{HISTORY_MAX, HistoryEntry, Outcome, RolloutStatus, SourceStatus};
use crate::cli::objects::{Objects, hash_of};
use crate::cli::reverts;

/// An outcome with what is known of it.
#[derive(Debug)]
pub struct Past<'o> {
    /// As the status has it.
    pub entry: &'o HistoryEntry,
    /// Images of the version; empty: not known.
    pub images: Vec<String>,
    /// Where it came from.
    pub source: Option<SourceStatus>,
    /// How many seconds it took from its beginning, or from the last try of it.
    pub took: Option<i64>,
    /// How many seconds it was stable; of the present one until now.
    pub stable: Option<i64>,
    /// Whether it is stable still.
    pub is_stable: bool,
    /// The name of the Revert that records it.
    pub revert_name: Option<String>,
    /// That Revert, if it can be read.
    pub revert: Option<&'o Revert>,
}

/// Everything that the status remembers, newest first.
#[must_use]
pub fn of(all: &Objects, now: Timestamp) -> Vec<Past<'_>> {
    let Some(status) = &all.rollout.status else {
        return Vec::new();
    };
    let each = status.history.iter().enumerate();
    each.map(|(at, entry)| {
        let revert = (entry.outcome == Outcome::Aborted)
            .then(|| revert_of(all, entry))
            .flatten();
        // The present abort names its Revert also where that cannot be read.
        let abort = status.abort.as_ref();
        let present = abort.filter(|a| a.hash == entry.hash && a.at == entry.at);
        let told = present.and_then(|a| a.revert.clone());
        let stable = stable_until(status, at, now);
        let of_version = status.stable.as_ref().is_some_and(|s| s.hash == entry.hash);
        Past {
            entry,
            images: images(all, entry, revert),
            source: source(all, entry, revert),
            took: began(all, status, at).map(|then| entry.at.duration_since(then).as_secs()),
            stable: stable.map(|end| end.duration_since(entry.at).as_secs().max(0)),
            is_stable: of_version && stable == Some(now),
            revert_name: revert.map(ResourceExt::name_any).or(told),
            revert,
        }
    })
    .collect()
}

/// The Revert of an abort: of this very moment, or the last one before, where the abort was put on record
/// later than it was done.
fn revert_of<'o>(all: &'o Objects, entry: &HistoryEntry) -> Option<&'o Revert> {
    let of_version = all.reverts.iter().filter(|r| {
        let spec = &r.spec;
        spec.bad.hash == entry.hash
            && spec.bad.revision == entry.revision
            && spec.aborted_at <= entry.at
    });
    of_version.max_by_key(|r| (r.spec.aborted_at, r.spec.attempt))
}

/// When a version that became stable no longer was, or now; none: it never was, or nothing tells.
fn stable_until(status: &RolloutStatus, at: usize, now: Timestamp) -> Option<Timestamp> {
    let was_stable = |e: &HistoryEntry| matches!(e.outcome, Outcome::Initial | Outcome::Promoted);
    let entry = status.history.get(at).filter(|e| was_stable(e))?;
    // The list goes from the newest to the oldest, so that the last one of these came next.
    let mut newer = status.history.iter().take(at);
    if let Some(next) = newer.rfind(|e| was_stable(e)) {
        return Some(next.at);
    }
    let stable = status.stable.as_ref()?;
    (stable.hash == entry.hash).then_some(now)
}

/// When the attempt began that ended so: a version begins with its ReplicaSet, and again when its
/// rejection is taken back. A ReplicaSet may be from long before, for a version that comes back; so it
/// counts only where each outcome since it was made is still remembered, and is of another version.
fn began(all: &Objects, status: &RolloutStatus, at: usize) -> Option<Timestamp> {
    let entry = status.history.get(at)?;
    let mut older = status.history.iter().skip(at + 1);
    let before = older.find(|e| e.hash == entry.hash).map(|e| e.at);
    let is_whole = status.history.len() < HISTORY_MAX;
    let oldest = status.history.last().filter(|_| !is_whole).map(|e| e.at);
    let made = replica_set(all, &entry.hash)
        .and_then(ResourceExt::creation_timestamp)
        .map(|t| t.0);
    let of_version = |r: &&Revert| r.spec.bad.hash == entry.hash;
    let released = all.reverts.iter().filter(of_version);
    let tried_again = released.filter_map(reverts::released_at);
    made.into_iter()
        .chain(tried_again)
        .filter(|then| *then <= entry.at)
        .filter(|then| before.is_none_or(|before| before <= *then))
        .filter(|then| oldest.is_none_or(|oldest| oldest < *then))
        .max()
}

fn replica_set<'o>(all: &'o Objects, hash: &str) -> Option<&'o ReplicaSet> {
    let mut sets = all.replica_sets.iter();
    sets.find(|rs| hash_of(rs) == hash && !rs.labels().contains_key(BASELINE_LABEL))
}

/// Every version that a Revert speaks of.
fn named(all: &Objects) -> impl Iterator<Item = (&Revert, &RevertVersion)> {
    all.reverts
        .iter()
        .flat_map(|revert| [(revert, &revert.spec.bad), (revert, &revert.spec.stable)])
}

/// The images of a version, from whoever knows them best.
fn images(all: &Objects, entry: &HistoryEntry, revert: Option<&Revert>) -> Vec<String> {
    let status = all.rollout.status.as_ref();
    let stable = status.and_then(|s| s.stable.as_ref());
    let canary = status.and_then(|s| s.canary.as_ref());
    let present = [
        stable.map(|s| (&s.hash, &s.images)),
        canary.map(|c| (&c.hash, &c.images)),
    ];
    let present = present.into_iter().flatten();
    let present = present.filter(|(hash, _)| **hash == entry.hash);
    let of_reverts = named(all).filter(|(_, version)| version.hash == entry.hash);
    let told = revert
        .map(|r| &r.spec.bad.images)
        .into_iter()
        .chain(present.map(|(_, images)| images))
        .chain(of_reverts.map(|(_, version)| &version.images))
        .find(|images| !images.is_empty());
    match told {
        Some(images) => images.clone(),
        None => replica_set(all, &entry.hash).map_or_else(Vec::new, of_template),
    }
}

fn of_template(rs: &ReplicaSet) -> Vec<String> {
    let template = rs.spec.as_ref().and_then(|s| s.template.as_ref());
    let pod = template.and_then(|t| t.spec.as_ref());
    let containers = pod.into_iter().flat_map(|pod| &pod.containers);
    containers.filter_map(|c| c.image.clone()).collect()
}

/// Where a version came from in Git.
fn source(all: &Objects, entry: &HistoryEntry, revert: Option<&Revert>) -> Option<SourceStatus> {
    let status = all.rollout.status.as_ref();
    let stable = status.and_then(|s| s.stable.as_ref());
    let canary = status.and_then(|s| s.canary.as_ref());
    let stable = stable.filter(|s| s.hash == entry.hash);
    let canary = canary.filter(|c| c.hash == entry.hash);
    let own = revert.and_then(|r| in_git(r, &r.spec.bad));
    let mut of_reverts = named(all).filter(|(_, version)| version.hash == entry.hash);
    own.or_else(|| stable.and_then(|s| s.source.clone()))
        .or_else(|| canary.and_then(|c| c.source.clone()))
        .or_else(|| of_reverts.find_map(|(r, version)| in_git(r, version)))
}

fn in_git(revert: &Revert, version: &RevertVersion) -> Option<SourceStatus> {
    let source = revert.spec.source.as_ref()?;
    Some(SourceStatus {
        repo: source.repo.clone(),
        branch: source.branch.clone(),
        path: source.path.clone(),
        revision: version.source_revision.clone().unwrap_or_default(),
    })
}
