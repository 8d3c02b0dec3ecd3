//! What is seen of the demo at one moment: what the live view draws and the plain lines tell.
//!
//! Reads the API server's objects, the data plane's counts and the branch; decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::gitops::Branch;
use super::traffic::Totals;
use super::world::{NAMESPACE, ROLLOUT, World};
use crate::api::analysis_status::{AnalysisRunStatus, Evidence, Verdict};
use crate::api::revert::{RevertPhase, RevertStatus};
use crate::api::rollout::HASH_LABEL;
use crate::api::rollout_status::RolloutStatus;

/// Rates are told over this long.
const RATE_OVER: Duration = Duration::from_secs(2);

/// One moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Seconds since the demo began.
    pub seconds: f64,
    /// What is going on in the story.
    pub title: String,
    /// The Rollout's status; none before it is applied.
    pub rollout: Option<RolloutStatus>,
    /// The image that the Rollout's spec asks for.
    pub wanted: String,
    /// Generation of the Rollout's spec.
    pub generation: i64,
    /// The versions that have or had pods, oldest revision first.
    pub versions: Vec<VersionSeen>,
    /// The analysis that looks, or the last one that did.
    pub analysis: Option<AnalysisSeen>,
    /// The newest Revert.
    pub revert: Option<RevertSeen>,
    /// Events of the namespace, oldest first: reason and message.
    pub events: Vec<(String, String)>,
    /// What the GitOps loop knows.
    pub branch: Branch,
    /// Everything served so far.
    pub totals: Totals,
}

/// A version with pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VersionSeen {
    /// The hash of its template.
    pub hash: String,
    /// Its image's tag.
    pub tag: String,
    /// Ready pods and pods asked for.
    pub pods: (i64, i64),
    /// Requests and errors for each second.
    pub rates: (f64, f64),
}

/// An AnalysisRun.
#[derive(Debug, Clone, Default)]
pub struct AnalysisSeen {
    /// Its name.
    pub name: String,
    /// Its verdict.
    pub verdict: Option<Verdict>,
    /// Its reason with numbers.
    pub message: String,
    /// The strongest evidence of harm: the main test's or the gross one's.
    pub harm: Evidence,
    /// The weakest evidence of safety.
    pub safe: Evidence,
}

/// A Revert.
#[derive(Debug, Clone)]
pub struct RevertSeen {
    /// Its name.
    pub name: String,
    /// The hash of the rejected version.
    pub bad: String,
    /// Where it stands.
    pub phase: RevertPhase,
    /// What happened last.
    pub message: String,
    /// Its commit.
    pub commit: Option<String>,
}

/// Remembers the counts of the last seconds, for the rates.
#[derive(Debug, Default)]
pub struct Rates {
    before: Vec<(Instant, Totals)>,
}

impl Rates {
    /// Requests and errors for each second of every version, by hash.
    fn update(&mut self, now: Instant, totals: &Totals) -> BTreeMap<String, (f64, f64)> {
        self.before.push((now, totals.clone()));
        let recent = |(at, _): &(Instant, Totals)| now.duration_since(*at) <= RATE_OVER;
        if let Some(first) = self.before.iter().position(recent) {
            self.before.drain(..first);
        }
        let Some((at, old)) = self.before.first() else {
            return BTreeMap::new();
        };
        let seconds = now.duration_since(*at).as_secs_f64();
        let each = totals.versions.iter().map(|(hash, version)| {
            let old = old.versions.get(hash).cloned().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let rate = |new: u64, old: u64| {
                if seconds > 0.0 {
                    (new - old) as f64 / seconds
                } else {
                    0.0
                }
            };
            let rates = (
                rate(version.requests, old.requests),
                rate(version.bad, old.bad),
            );
            (hash.clone(), rates)
        });
        each.collect()
    }
}

impl Snapshot {
    /// Looks at everything.
    #[must_use]
    pub fn take(world: &World, rates: &mut Rates) -> Self {
        let totals = world.plane.totals();
        let now = Instant::now();
        let rates = rates.update(now, &totals);
        let store = world.api.store();
        let rollout = store.get("rollouts.tidegate.io", NAMESPACE, ROLLOUT);
        let rollout = rollout.unwrap_or_default();
        let status: Option<RolloutStatus> = part(&rollout, "/status");
        let mut sets = store.list("replicasets.apps", NAMESPACE);
        sets.sort_by_key(|set| {
            let revision = set.pointer("/metadata/annotations/tidegate.io~1revision");
            let revision = revision.and_then(Value::as_str).unwrap_or_default();
            revision.parse::<i64>().unwrap_or(0)
        });
        let versions = sets.iter().map(|set| {
            let hash = text(set, &format!("/metadata/labels/{HASH_LABEL}"));
            VersionSeen {
                tag: tag(&text(set, "/spec/template/spec/containers/0/image")).to_owned(),
                pods: (
                    number(set, "/status/readyReplicas"),
                    number(set, "/spec/replicas"),
                ),
                rates: rates.get(&hash).copied().unwrap_or_default(),
                hash,
            }
        });
        let mut events = store.list("events", NAMESPACE);
        events.extend(store.list("events.events.k8s.io", NAMESPACE));
        events.sort_by_key(number_of_version);
        let event = |event: &Value| {
            let message = [text(event, "/note"), text(event, "/message")].concat();
            (text(event, "/reason"), message)
        };
        Self {
            seconds: now.duration_since(world.begun).as_secs_f64(),
            title: world.title(),
            wanted: text(&rollout, "/spec/template/spec/containers/0/image"),
            generation: number(&rollout, "/metadata/generation"),
            analysis: analysis(&store.list("analysisruns.tidegate.io", NAMESPACE)),
            revert: revert(&store.list("reverts.tidegate.io", NAMESPACE)),
            versions: versions.collect(),
            events: events.iter().map(event).collect(),
            branch: world.branch.borrow().clone(),
            rollout: status,
            totals,
        }
    }

    /// The Rollout's phase as a word.
    #[must_use]
    pub fn phase(&self) -> String {
        let phase = self.rollout.as_ref().and_then(|status| status.phase);
        phase.map_or_else(|| "-".to_owned(), |phase| phase.to_string())
    }

    /// The canary's weight, as accepted by the data plane.
    #[must_use]
    pub fn weight(&self) -> i32 {
        let traffic = self.rollout.as_ref().and_then(|s| s.traffic.as_ref());
        traffic.map_or(0, |traffic| traffic.accepted)
    }
}

/// The tag of an image.
#[must_use]
pub fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

fn analysis(runs: &[Value]) -> Option<AnalysisSeen> {
    let newest = runs.iter().max_by_key(|run| uid_order(run))?;
    let status: AnalysisRunStatus = part(newest, "/status").unwrap_or_default();
    let ratios = || {
        let judged = status.metrics.iter().filter(|m| !m.dry_run);
        judged.filter_map(|metric| metric.comparison.as_ref())
    };
    let share = |e: &Evidence| if e.limit > 0.0 { e.log / e.limit } else { 0.0 };
    let harm = ratios()
        .flat_map(|ratio| [ratio.harm, ratio.gross])
        .max_by(|a, b| share(a).total_cmp(&share(b)));
    let safe = ratios()
        .map(|ratio| ratio.safe)
        .min_by(|a, b| share(a).total_cmp(&share(b)));
    Some(AnalysisSeen {
        name: text(newest, "/metadata/name"),
        verdict: status.verdict,
        harm: harm.unwrap_or_default(),
        safe: safe.unwrap_or_default(),
        message: status.message,
    })
}

fn revert(reverts: &[Value]) -> Option<RevertSeen> {
    let newest = reverts.iter().max_by_key(|revert| uid_order(revert))?;
    let status: RevertStatus = part(newest, "/status").unwrap_or_default();
    Some(RevertSeen {
        name: text(newest, "/metadata/name"),
        bad: text(newest, "/spec/bad/hash"),
        phase: status.phase.unwrap_or(RevertPhase::Pending),
        message: status.message.unwrap_or_default(),
        commit: status.commit,
    })
}

/// By creation; objects of the same second by name.
fn uid_order(object: &Value) -> (String, String) {
    (
        text(object, "/metadata/creationTimestamp"),
        text(object, "/metadata/name"),
    )
}

fn number_of_version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or(0)
}

fn part<T: DeserializeOwned>(object: &Value, pointer: &str) -> Option<T> {
    let part = object.pointer(pointer)?.clone();
    serde_json::from_value(part).ok()
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}
