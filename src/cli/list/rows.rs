//! The lines of `list`. Pure: Rollouts in, lines out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::api::analysis_status::TOO_LITTLE_TRAFFIC;
use crate::api::conditions::ConditionStatus;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::{PauseReason, Phase, RolloutStatus};
use crate::cli::advice;
use crate::cli::args::PhaseWord;
use crate::cli::header;
use crate::cli::layout::columns;
use crate::cli::objects::Counts;
use crate::cli::status;
use crate::cli::style::{Line, Tone};
use crate::cli::tree::View;
use crate::cli::words;

/// Pods of versions, by their Rollout's uid and their hash.
pub type Pods = BTreeMap<(String, String), Counts>;

/// A Rollout as far as it can be read.
#[derive(Debug)]
pub enum Item {
    /// Like any other.
    Read(Box<Rollout>),
    /// This plugin does not know what to make of it.
    Unreadable {
        /// Where it is.
        namespace: String,
        /// What it is called.
        name: String,
        /// Since when it is there.
        created: Option<Timestamp>,
        /// What does not fit.
        problem: String,
    },
}

impl Item {
    /// Reads an object that the API server calls a Rollout. What no row shows is not kept.
    #[must_use]
    pub fn of(object: DynamicObject) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let created = object.creation_timestamp().map(|t| t.0);
        match serde_json::to_value(object).and_then(serde_json::from_value::<Rollout>) {
            Ok(mut rollout) => {
                rollout.metadata.managed_fields = None;
                rollout.metadata.annotations = None;
                rollout.spec.template = Value::Null;
                Self::Read(Box::new(rollout))
            }
            Err(problem) => Self::Unreadable {
                namespace,
                name,
                created,
                problem: problem.to_string(),
            },
        }
    }

    /// The Rollout, if it could be read.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Read(rollout) => Some(rollout),
            Self::Unreadable { .. } => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Read(rollout) => rollout.name_any(),
            Self::Unreadable { name, .. } => name.clone(),
        }
    }

    fn namespace(&self) -> String {
        match self {
            Self::Read(rollout) => rollout.namespace().unwrap_or_default(),
            Self::Unreadable { namespace, .. } => namespace.clone(),
        }
    }

    /// What they are ordered by.
    #[must_use]
    pub fn place(&self) -> (String, String) {
        (self.namespace(), self.name())
    }

    /// The word of its phase.
    #[must_use]
    pub fn phase(&self) -> PhaseWord {
        match self.rollout() {
            Some(rollout) => PhaseWord::of(rollout.status.as_ref().and_then(|s| s.phase)),
            None => PhaseWord::Unreadable,
        }
    }

    /// The versions whose pods are told apart by their ReplicaSets alone.
    pub fn hashes(&self) -> impl Iterator<Item = &str> {
        let status = self.rollout().and_then(|r| r.status.as_ref());
        let canary = status.and_then(|s| s.canary.as_ref());
        let stable = status.and_then(|s| s.stable.as_ref());
        let stable = stable.filter(|_| canary.is_some());
        let canary = canary.map(|c| c.hash.as_str());
        canary.into_iter().chain(stable.map(|s| s.hash.as_str()))
    }

    /// What scripts read of it; `docs/commands.md` has its shape.
    #[must_use]
    pub fn document(&self) -> Value {
        match self {
            Self::Read(rollout) => status::document(rollout),
            Self::Unreadable {
                namespace,
                name,
                problem,
                ..
            } => json!({
                "rollout": name,
                "namespace": namespace,
                "phase": format!("{:?}", PhaseWord::Unreadable),
                "message": problem,
            }),
        }
    }
}

/// The table; no line where there is no Rollout.
#[must_use]
pub fn lines(items: &[Item], pods: Option<&Pods>, view: &View, namespaces: bool) -> Vec<Line> {
    if items.is_empty() {
        return Vec::new();
    }
    let mut head: Vec<&str> = Vec::new();
    if namespaces {
        head.push("NAMESPACE");
    }
    head.extend(["NAME", "PHASE", "STEP", "WEIGHT"]);
    if view.wide {
        head.extend(["STABLE", "CANARY"]);
    }
    head.extend(["AGE", "WAITS FOR"]);
    let head = head.into_iter().map(|word| plain(Tone::Faint, word));
    let mut rows: Vec<Vec<Line>> = vec![head.collect()];
    for item in items {
        let mut row = Vec::new();
        if namespaces {
            row.push(plain(Tone::Plain, item.namespace()));
        }
        row.push(plain(Tone::Plain, item.name()));
        cells(item, pods, view, &mut row);
        rows.push(row);
    }
    columns(rows, view.width)
}

fn plain(tone: Tone, text: impl AsRef<str>) -> Line {
    Line::new().with(tone, text)
}

/// Everything behind the name.
fn cells(item: &Item, pods: Option<&Pods>, view: &View, row: &mut Vec<Line>) {
    let age = |then: Option<Timestamp>| {
        let age = then.map(|then| words::since(then, view.now));
        plain(Tone::Plain, age.unwrap_or_default())
    };
    let rollout: &Rollout = match item {
        Item::Read(rollout) => rollout,
        Item::Unreadable {
            created, problem, ..
        } => {
            let word = format!("⚠ {:?}", PhaseWord::Unreadable);
            row.push(plain(Tone::Bad, word));
            let blank = if view.wide { 4 } else { 2 };
            row.extend(std::iter::repeat_n(Line::new(), blank));
            row.push(age(*created));
            row.push(plain(Tone::Bad, problem));
            return;
        }
    };
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let (word, tone) = header::phase(status.phase);
    row.push(plain(tone, word));
    let step = status.canary.as_ref().and_then(header::place);
    row.push(plain(Tone::Plain, step.unwrap_or_default()));
    row.push(weight(status));
    if view.wide {
        row.extend(both(rollout, status, pods));
    }
    row.push(age(rollout.creation_timestamp().map(|t| t.0)));
    let (text, tone) = waits_for(rollout, status, view.now);
    row.push(plain(tone, text));
}

/// `5 %`, or `5 to 25 %` on its way; blank where stable has everything, or everything there is.
fn weight(status: &RolloutStatus) -> Line {
    let traffic = status.traffic.as_ref();
    let Some(traffic) = traffic.filter(|_| status.stable.is_some()) else {
        return Line::new();
    };
    let (desired, accepted) = (traffic.desired, traffic.accepted);
    if desired != accepted {
        return plain(Tone::Busy, format!("{accepted} to {desired} %"));
    }
    if status.canary.is_none() && accepted == 0 {
        return Line::new();
    }
    plain(Tone::Plain, format!("{accepted} %"))
}

/// Ready and desired pods of the stable version and of the one that goes out or was given up.
fn both(rollout: &Rollout, status: &RolloutStatus, pods: Option<&Pods>) -> [Line; 2] {
    let of = |ready: i32, desired: i32| {
        let tone = if ready < desired {
            Tone::Busy
        } else {
            Tone::Plain
        };
        plain(tone, format!("{ready}/{desired}"))
    };
    let Some(canary) = &status.canary else {
        let stable = status.stable.as_ref();
        let settled = stable.map(|_| of(status.ready_replicas, rollout.spec.replicas));
        return [settled.unwrap_or_default(), Line::new()];
    };
    let uid = rollout.uid().unwrap_or_default();
    let read = |hash: &str| match pods {
        Some(pods) => match pods.get(&(uid.clone(), hash.to_owned())) {
            Some(counts) => of(counts.ready, counts.desired),
            None => plain(Tone::Busy, "none"),
        },
        None => plain(Tone::Warn, "?"),
    };
    let stable = status.stable.as_ref().map(|s| read(&s.hash));
    [stable.unwrap_or_default(), read(&canary.hash)]
}

/// What it waits for or why it was given up, at a glance; blank where all is as it should be.
#[must_use]
pub fn waits_for(rollout: &Rollout, status: &RolloutStatus, now: Timestamp) -> (String, Tone) {
    if rollout.metadata.deletion_timestamp.is_some() {
        return ("it is being deleted".to_owned(), Tone::Busy);
    }
    let Some(phase) = status.phase else {
        let text = "the controller has not looked at it yet";
        return (text.to_owned(), Tone::Warn);
    };
    let (_, tone) = header::phase(Some(phase));
    let mut parts: Vec<String> = Vec::new();
    parts.extend(advice::unseen(rollout));
    match (phase, &status.abort) {
        (Phase::Healthy, _) => {}
        (Phase::Paused, _) => parts.push(paused(rollout, status, now)),
        (_, Some(abort)) => parts.push(header::abort_in_full(abort, now)),
        (_, None) => parts.push(of_the_step(status).to_owned()),
    }
    if foresees_too_little(status) {
        parts.push(TOO_LITTLE_TRAFFIC.to_owned());
    }
    if status.held_since.is_some() && phase != Phase::Paused {
        parts.push("the next rollout will be held".to_owned());
    }
    parts.extend(status.restart_at.map(header::restart));
    parts.retain(|part| !part.is_empty());
    let tone = match phase {
        Phase::Healthy | Phase::Initializing | Phase::Progressing => Tone::Plain,
        _ => tone,
    };
    (parts.join("; "), tone)
}

/// A pause in short; where an analysis makes it wait, with what that found.
fn paused(rollout: &Rollout, status: &RolloutStatus, now: Timestamp) -> String {
    let text = advice::pause(rollout, now).unwrap_or_default();
    let reason = status.pause.as_ref().map(|p| p.reason);
    match reason {
        Some(PauseReason::Step | PauseReason::Manual) => text,
        Some(PauseReason::Inconclusive | PauseReason::NoData | PauseReason::SourceError) => {
            format!("{text}: {}", of_the_step(status))
        }
        None => of_the_step(status).to_owned(),
    }
}

/// The message without the step and the weight at its head, which have columns of their own.
fn of_the_step(status: &RolloutStatus) -> &str {
    let message = status.message.as_str();
    if status.canary.is_some() && message.starts_with("step ") {
        message.split_once(": ").map_or("", |(_, rest)| rest)
    } else {
        message
    }
}

/// Whether an analysis is not expected to come to a verdict within its step.
fn foresees_too_little(status: &RolloutStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|c| c.type_ == TOO_LITTLE_TRAFFIC && c.status == ConditionStatus::True)
}
