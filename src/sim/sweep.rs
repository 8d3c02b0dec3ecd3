//! The crash sweep: in every rollout that goes as planned, the controller dies before and after every
//! single call that it makes, comes back, and must come to the same end by way of the same objects:
//! what it had begun is finished, and nothing is done twice.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::json;

use super::golden::{self, Golden};
use super::jobs::in_parallel;
use super::play::to_the_end;
use super::simulate::Output;
use super::world::World;
use super::world::objects::{Body, Stored};
use crate::api::rollout_status::HistoryEntry;

/// In so many rollouts, those with the most calls, every pair of crashes can be tried as well.
const PAIRS_OF: usize = 5;

/// Differences that are told.
const TOLD_MAX: usize = 3;

/// A rollout as it goes when nothing dies.
pub struct Undisturbed<'a> {
    golden: &'a Golden,
    /// Moments before and after its calls.
    pub points: u64,
    end: Vec<String>,
    broken: Option<String>,
}

/// What came of the crashes in one rollout.
#[derive(Clone, Debug)]
pub struct Swept {
    /// The rollout.
    pub name: &'static str,
    /// Crashes that were tried.
    pub single: u64,
    /// Pairs of crashes that were tried.
    pub pairs: u64,
    /// Crashes that changed the end, and how, the first few.
    pub differing: Vec<(Vec<u64>, String)>,
    /// How many there are.
    pub failed: u64,
}

impl<'a> Undisturbed<'a> {
    /// Plays a rollout without a crash.
    #[must_use]
    pub fn play(golden: &'a Golden) -> Self {
        let world = to_the_end(&golden.history, None, false, &[]);
        Self {
            golden,
            points: world.counts.crash_points,
            end: end(&world),
            broken: world.broken.map(|broken| broken.to_string()),
        }
    }

    /// Crashes everywhere in it, and in pairs.
    #[must_use]
    pub fn sweep(&self, pairs: bool, jobs: usize) -> Swept {
        let mut crashes: Vec<Vec<u64>> = (0..self.points).map(|at| vec![at]).collect();
        let single = crashes.len() as u64;
        if pairs {
            // The second one is counted from the restart.
            let then = |at| (0..self.points - at).map(move |then| vec![at, then]);
            crashes.extend((0..self.points).flat_map(then));
        }
        // What does not go as planned by itself is told, and not disturbed.
        let mut differing: Vec<_> = self
            .broken
            .iter()
            .map(|b| (Vec::new(), b.clone()))
            .collect();
        if differing.is_empty() {
            differing = in_parallel(jobs, crashes.len() as u64, |at| {
                let crashes = crashes.get(usize::try_from(at).ok()?)?;
                let world = to_the_end(&self.golden.history, None, false, crashes);
                let difference = match &world.broken {
                    Some(broken) => Some(broken.to_string()),
                    None => difference(&self.end, &end(&world)),
                };
                difference.map(|difference| (crashes.clone(), difference))
            });
        }
        let failed = differing.len() as u64;
        differing.truncate(TOLD_MAX);
        Swept {
            name: self.golden.name,
            single,
            pairs: crashes.len() as u64 - single,
            differing,
            failed,
        }
    }
}

/// The first line that one has and the other has not.
fn difference(expected: &[String], found: &[String]) -> Option<String> {
    let missing = expected.iter().find(|line| !found.contains(line));
    let added = found.iter().find(|line| !expected.contains(line));
    if missing.is_none() && added.is_none() {
        return None;
    }
    let or_nothing = |line: Option<&String>| line.map_or("nothing", String::as_str).to_owned();
    Some(format!(
        "expected {:?}, found {:?}",
        or_nothing(missing),
        or_nothing(added)
    ))
}

/// What a cluster is in the end, without times: every object, and how often each was made and removed.
fn end(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = world.store.objects().values().map(|o| line(o)).collect();
    let mut changes = BTreeMap::<_, (u32, u32)>::new();
    let mut there = std::collections::BTreeSet::new();
    for change in world.store.log() {
        let counts = changes.entry(&change.key).or_default();
        if change.now.is_none() {
            counts.1 += 1;
            there.remove(&change.key);
        } else if there.insert(&change.key) {
            counts.0 += 1;
        }
    }
    lines.extend(changes.into_iter().map(|((kind, name), (made, removed))| {
        format!("{kind:?} {name}: made {made} times, removed {removed} times")
    }));
    for (revert, commits) in &world.git.reverts {
        lines.push(format!("{revert}: {commits} commits"));
    }
    lines
}

fn line(stored: &Stored) -> String {
    let name = &stored.meta.name;
    match &stored.body {
        Body::Rollout(rollout) => {
            let status = &rollout.status;
            let entry = |entry: &HistoryEntry| {
                format!("{} {} {:?}", entry.revision, entry.hash, entry.outcome)
            };
            let history: Vec<String> = status.history.iter().map(entry).collect();
            format!(
                "Rollout {name}: {:?}, stable {:?}, canary {:?}, given up {:?}, traffic {:?}, {} of {} \
                 pods, finalizer {}, {history:?}",
                status.phase,
                status.stable.as_ref().map(|s| (&s.hash, s.revision)),
                status
                    .canary
                    .as_ref()
                    .map(|c| (&c.hash, c.revision, c.step, c.attempt)),
                status
                    .abort
                    .as_ref()
                    .map(|a| (&a.hash, a.reason, &a.revert)),
                status
                    .traffic
                    .as_ref()
                    .map(|t| (t.desired, t.accepted, &t.header_routes)),
                status.available_replicas,
                status.replicas,
                rollout.finalizer,
            )
        }
        Body::ReplicaSet(rs) => format!(
            "ReplicaSet {name}: revision {}, {} of {} pods, pods given {:?}, {}",
            rs.revision, rs.available, rs.desired, rs.pods_given, rs.template
        ),
        Body::Service(service) => {
            format!(
                "Service {name}: {:?} of {:?}",
                service.hash, service.managed_by
            )
        }
        Body::Route(route) => format!("{name}: {} %, {:?}", route.weight, route.side_routes),
        Body::Run(run) => format!("AnalysisRun {name}: {:?} {:?}", run.phase, run.verdict),
        Body::Revert(revert) => {
            format!(
                "Revert {name}: {:?}, released {}",
                revert.phase, revert.released
            )
        }
        Body::Template(_) => format!("AnalysisTemplate {name}"),
        Body::Deployment(deployment) => format!(
            "Deployment {name}: {} of {} pods",
            deployment.available, deployment.desired
        ),
    }
}

/// Sweeps all of them and says what came of it. The exit code says whether every end was the same.
pub fn run(output: Output, in_pairs: bool, jobs: usize) -> ExitCode {
    let goldens = golden::all();
    let undisturbed: Vec<Undisturbed<'_>> = goldens.iter().map(Undisturbed::play).collect();
    let mut by_length: Vec<usize> = (0..undisturbed.len()).collect();
    by_length.sort_by_key(|i| undisturbed.get(*i).map(|one| std::cmp::Reverse(one.points)));
    by_length.truncate(if in_pairs { PAIRS_OF } else { 0 });
    let mut all = Vec::new();
    for (i, one) in undisturbed.iter().enumerate() {
        let swept = one.sweep(by_length.contains(&i), jobs);
        if output == Output::Text {
            anstream::println!(
                "{:36} {:>4} moments, {:>6} pairs: {} came to another end",
                swept.name,
                swept.single,
                swept.pairs,
                swept.failed
            );
            for (crashes, difference) in &swept.differing {
                anstream::println!("    crashes at {crashes:?}: {difference}");
            }
        }
        all.push(swept);
    }
    let sum = |of: fn(&Swept) -> u64| all.iter().map(of).sum::<u64>();
    let failed = sum(|swept| swept.failed);
    match output {
        Output::Text => anstream::println!(
            "{} rollouts, {} crashes and {} pairs of crashes: {failed} came to another end",
            all.len(),
            sum(|swept| swept.single),
            sum(|swept| swept.pairs)
        ),
        Output::Json => {
            let rows = all.iter().map(|swept| {
                json!({"rollout": swept.name, "crashes": swept.single, "pairs": swept.pairs,
                    "differing": swept.failed,
                    "differences": swept.differing.iter().map(|(at, text)| json!({"at": at, "text": text})).collect::<Vec<_>>()})
            });
            let summary = json!({"rollouts": rows.collect::<Vec<_>>(), "crashes": sum(|s| s.single),
                "pairs": sum(|s| s.pairs), "differing": failed});
            anstream::println!("{summary:#}");
        }
    }
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
