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

/// What came of the crashes in one rollout.
#[derive(Clone, Debug)]
pub struct Swept {
    /// The rollout.
    pub name: &'static str,
    /// Moments before and after its calls.
    pub points: u64,
    /// Crashes that were tried.
    pub single: u64,
    /// Pairs of crashes that were tried.
    pub pairs: u64,
    /// Crashes that changed the end, and how, the first few.
    pub differing: Vec<(Vec<u64>, String)>,
    /// How many there are.
    pub failed: u64,
}

/// Differences that are told.
const TOLD_MAX: usize = 3;

/// Crashes everywhere in one rollout, and in pairs.
#[must_use]
pub fn sweep(golden: &Golden, pairs: bool, jobs: usize) -> Swept {
    let undisturbed = to_the_end(&golden.history, None, false, &[]);
    let points = undisturbed.counts.crash_points;
    let expected = end(&undisturbed);
    let mut crashes: Vec<Vec<u64>> = (0..points).map(|at| vec![at]).collect();
    let single = crashes.len() as u64;
    if pairs {
        // The second one is counted from the restart.
        let both = (0..points).flat_map(|at| (0..points - at).map(move |then| vec![at, then]));
        crashes.extend(both);
    }
    let mut swept = Swept {
        name: golden.name,
        points,
        single,
        pairs: crashes.len() as u64 - single,
        differing: Vec::new(),
        failed: 0,
    };
    if let Some(broken) = &undisturbed.broken {
        swept.failed = 1;
        swept.differing.push((Vec::new(), broken.to_string()));
        return swept;
    }
    let found = in_parallel(jobs, crashes.len() as u64, |at| {
        let crashes = crashes.get(usize::try_from(at).ok()?)?;
        let world = to_the_end(&golden.history, None, false, crashes);
        let difference = match &world.broken {
            Some(broken) => Some(broken.to_string()),
            None => difference(&expected, &end(&world)),
        };
        difference.map(|difference| (crashes.clone(), difference))
    });
    swept.failed = found.len() as u64;
    swept.differing = found;
    swept.differing.truncate(TOLD_MAX);
    swept
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
        Body::Route(route) => format!("{name}: {} %, {:?}", route.weight, route.headers),
        Body::Run(run) => format!("AnalysisRun {name}: {:?} {:?}", run.phase, run.verdict),
        Body::Revert(revert) => {
            format!(
                "Revert {name}: {:?}, released {}",
                revert.phase, revert.released
            )
        }
        Body::Template(_) => format!("AnalysisTemplate {name}"),
    }
}

/// Sweeps all of them and says what came of it. The exit code says whether every end was the same.
pub fn run(output: Output, in_pairs: bool, jobs: usize) -> ExitCode {
    let goldens = golden::all();
    let mut points: Vec<u64> = goldens
        .iter()
        .map(|golden| {
            to_the_end(&golden.history, None, false, &[])
                .counts
                .crash_points
        })
        .collect();
    points.sort_unstable_by(|a, b| b.cmp(a));
    let longest = points.get(PAIRS_OF - 1).copied().unwrap_or(0);
    let mut pairs_left = PAIRS_OF;
    let mut all = Vec::new();
    for golden in &goldens {
        let calls = to_the_end(&golden.history, None, false, &[])
            .counts
            .crash_points;
        let pairs = in_pairs && calls >= longest && pairs_left > 0;
        pairs_left -= usize::from(pairs);
        let swept = sweep(golden, pairs, jobs);
        if output == Output::Text {
            anstream::println!(
                "{:30} {:>4} moments, {:>6} pairs: {} came to another end",
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
