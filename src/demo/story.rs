//! The story: a first version, a good one that is promoted, a bad one that is aborted and taken out
//! of Git. What a developer would do is done here; everything else is waited for and checked.
//!
//! Nothing is taken on trust: a scenario fails, with the reason, when anything of it did not happen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::gitops::image_at;
use super::repository::ROLLOUT_FILE;
use super::snapshot::{Rates, RevertSeen, Snapshot, tag};
use super::world::World;
use crate::api::revert::RevertPhase;
use crate::api::rollout_status::{AbortReason, Phase, RolloutStatus};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// How a scenario went.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// `promote` or `abort`.
    pub name: &'static str,
    /// The Rollout's phase at the end.
    pub phase: String,
    /// How long it took.
    pub seconds: f64,
    /// Requests answered with an error meanwhile, by whatever version.
    pub bad_requests: u64,
    /// All requests meanwhile.
    pub requests: u64,
    /// The change that was taken out of Git.
    pub revert: Option<RevertOutcome>,
}

/// What became of a Revert.
#[derive(Debug, Clone, Serialize)]
pub struct RevertOutcome {
    /// Its phase at the end.
    pub phase: String,
    /// Its commit on the branch.
    pub commit: String,
}

/// Brings out the first version, for which there is nothing to compare with.
///
/// # Errors
/// What did not happen.
pub async fn first(world: &World) -> Result<()> {
    world.tell("version v1 is deployed for the first time");
    until(world, "v1 is the stable version", |seen| stands(seen, "v1")).await?;
    Ok(())
}

/// A good version: canary at 20 %, then 50 %, then everywhere, each time on evidence.
///
/// # Errors
/// What did not happen.
pub async fn promote(world: &World) -> Result<Outcome> {
    let scenario = Scenario::begin(world, "promote");
    world.tell("Dana commits checkout v2, a good version");
    world
        .repository
        .change(ROLLOUT_FILE, "checkout v2: faster payment page", |text| {
            text.replace("checkout:v1", "checkout:v2")
        })
        .await?;
    let mut weights = Vec::new();
    let seen = until(world, "v2 is the stable version", |seen| {
        let weight = seen.weight();
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
        not_aborted(seen)?;
        stands(seen, "v2")
    })
    .await?;
    for step in [20, 50] {
        if !weights.contains(&step) {
            bail!("v2 was promoted without ever having {step} % of the traffic: {weights:?}");
        }
    }
    world.tell("v2 was good: it was promoted");
    Ok(scenario.end(&seen, None))
}

/// A bad version: stopped at its first step, and its change leaves Git while another one in the
/// same commit stays.
///
/// # Errors
/// What did not happen.
pub async fn abort(world: &World) -> Result<Outcome> {
    let scenario = Scenario::begin(world, "abort");
    let good = world.repository.tip().await?;
    world.tell("Dana commits checkout v3, a bad version, and one pod more in the same commit");
    let bad = world
        .repository
        .change(
            ROLLOUT_FILE,
            "checkout v3: new discounts, and a sixth pod for the sale",
            |text| {
                text.replace("checkout:v2", "checkout:v3")
                    .replace("replicas: 5", "replicas: 6  # until the sale is over")
            },
        )
        .await?;

    let aborted = until(world, "v3 is aborted", |seen| {
        let Some(status) = &seen.rollout else {
            return Ok(None);
        };
        let promoted = status.stable.as_ref().is_some_and(|s| is(&s.images, "v3"));
        if promoted {
            bail!("v3, which fails one request in twelve, was promoted");
        }
        Ok(status.abort.clone())
    })
    .await?;
    let aborted = aborted.1;
    if aborted.reason != AbortReason::AnalysisFailed {
        bail!(
            "v3 was aborted for {:?}: {}",
            aborted.reason,
            aborted.message
        );
    }
    world.tell("v3 was aborted: its change is taken out of Git");

    let (_, revert) = until(world, "the Revert is Verified", |seen| {
        let Some(revert) = seen.revert.as_ref().filter(|r| r.bad == aborted.hash) else {
            return Ok(None);
        };
        verified(revert)
    })
    .await?;
    let commit = revert
        .commit
        .clone()
        .context("the Revert names no commit")?;
    check_git(world, &good, &bad, &commit).await?;

    let tip = commit.clone();
    let seen = until(world, "the cluster is in step with Git again", |seen| {
        let in_step = seen.branch.applied.as_ref() == Some(&tip) && seen.weight() == 0;
        Ok(stands(seen, "v2")?.filter(|()| in_step))
    })
    .await?;
    world.tell("v3 was bad: users are on v2, Git says v2 again, and the sixth pod stayed");
    let revert = RevertOutcome {
        phase: revert.phase.as_str().to_owned(),
        commit,
    };
    Ok(scenario.end(&seen, Some(revert)))
}

/// What the branch must look like after the revert: the image line is as it was, and nothing else.
async fn check_git(world: &World, good: &str, bad: &str, commit: &str) -> Result<()> {
    let repository = &world.repository;
    let tip = repository.tip().await?;
    if tip != commit {
        bail!("the branch's tip is {tip}, the Revert's commit is {commit}");
    }
    let parent = repository.parent(commit).await?;
    if parent != bad {
        bail!("the revert {commit} stands on {parent}, not on the bad commit {bad}");
    }
    let (wanted, found) = (
        image_at(repository, good).await?,
        image_at(repository, commit).await?,
    );
    if wanted != found {
        bail!("after the revert the branch asks for {found}, not for {wanted}");
    }
    let lines = repository.changed_lines(bad, commit).await?;
    let expected = [
        format!("--- a/{ROLLOUT_FILE}"),
        format!("+++ b/{ROLLOUT_FILE}"),
        format!("-          image: {}", image_at(repository, bad).await?),
        format!("+          image: {wanted}"),
    ];
    if lines != expected {
        bail!("the revert changed other lines than the image's: {lines:?}");
    }
    Ok(())
}

/// Whether a version is stable and everything is at rest.
fn stands(seen: &Snapshot, version: &str) -> Result<Option<()>> {
    let Some(status) = &seen.rollout else {
        return Ok(None);
    };
    if let Some(phase @ (Phase::Invalid | Phase::Degraded)) = status.phase {
        bail!("the Rollout is {phase}: {}", status.message);
    }
    let current = status.observed_generation == Some(seen.generation);
    let stable = status
        .stable
        .as_ref()
        .is_some_and(|s| is(&s.images, version));
    let rest = status.phase == Some(Phase::Healthy) && status.canary.is_none();
    Ok((current && stable && rest && tag(&seen.wanted) == version).then_some(()))
}

fn not_aborted(seen: &Snapshot) -> Result<()> {
    let abort = |status: &RolloutStatus| status.abort.clone();
    match seen.rollout.as_ref().and_then(abort) {
        Some(abort) => bail!("a good version was aborted: {}", abort.message),
        None => Ok(()),
    }
}

fn verified(revert: &RevertSeen) -> Result<Option<RevertSeen>> {
    match revert.phase {
        RevertPhase::Verified => Ok(Some(revert.clone())),
        RevertPhase::Pending | RevertPhase::Planned | RevertPhase::Pushed | RevertPhase::Landed => {
            Ok(None)
        }
        other => bail!(
            "the Revert {} ended as {}: {}",
            revert.name,
            other.as_str(),
            revert.message
        ),
    }
}

fn is(images: &[String], version: &str) -> bool {
    images.first().is_some_and(|image| tag(image) == version)
}

/// Looks until `found` says that it is there.
async fn until<T>(
    world: &World,
    what: &str,
    mut found: impl FnMut(&Snapshot) -> Result<Option<T>>,
) -> Result<(Snapshot, T)> {
    let mut rates = Rates::default();
    loop {
        if let Some(broken) = world.broken() {
            bail!("while waiting until {what}: {broken}");
        }
        let seen = Snapshot::take(world, &mut rates);
        if let Some(found) = found(&seen).with_context(|| format!("while waiting until {what}"))? {
            return Ok((seen, found));
        }
        world.waits_for(what);
        tokio::time::sleep(LOOK).await;
    }
}

struct Scenario {
    name: &'static str,
    begun: Instant,
    requests: u64,
    bad: u64,
}

impl Scenario {
    fn begin(world: &World, name: &'static str) -> Self {
        let totals = world.plane.totals();
        Self {
            name,
            begun: Instant::now(),
            requests: totals.requests,
            bad: totals.bad,
        }
    }

    fn end(self, (seen, ()): &(Snapshot, ()), revert: Option<RevertOutcome>) -> Outcome {
        let seconds = self.begun.elapsed().as_secs_f64();
        Outcome {
            name: self.name,
            phase: seen.phase(),
            seconds: (seconds * 10.0).round() / 10.0,
            bad_requests: seen.totals.bad - self.bad,
            requests: seen.totals.requests - self.requests,
            revert,
        }
    }
}
