//! What is told: one notice for each thing that happened, read off the status of a Rollout or a Revert.
//! Pure: it neither sends nor remembers.

use jiff::Timestamp;
use serde::Serialize;

use crate::api::revert::{Revert, RevertPhase};
use crate::api::rollout_status::{Outcome, PauseReason, PauseStatus, RolloutStatus};
use crate::core::{UNTIL_PROMOTED, naming};

/// Longest diff that is told, in bytes. The whole of it is in the Revert.
pub const DIFF_MAX: usize = 2_000;
/// Longest sentence of a reason, in bytes.
const WHY_MAX: usize = 1_024;
/// Digits of a notice's id.
const ID_DIGITS: usize = 32;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// A new version begins to go out.
    Started,
    /// It is stable.
    Promoted,
    /// It was given up.
    Aborted,
    /// A rollout waits for a person.
    Waits,
    /// A rollout is held because an analysis has no data or no answer.
    Held,
    /// The change in Git is known.
    RevertPlanned,
    /// The remote has accepted the commit.
    RevertPushed,
    /// A pull or merge request waits for a person.
    RevertPullRequestOpen,
    /// The branch holds the stable version's values.
    RevertLanded,
    /// The cluster runs the stable version.
    RevertVerified,
    /// There is nothing to revert any more.
    RevertSuperseded,
    /// It cannot be known what to revert, or the writer may not.
    RevertUnresolvable,
    /// A person has to revert.
    RevertNeedsHuman,
    /// A person closed the request without merging it, or does not want the change taken out.
    RevertDeclined,
    /// The cluster did not follow Git.
    RevertMismatch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Started,
        Self::Promoted,
        Self::Aborted,
        Self::Waits,
        Self::Held,
        Self::RevertPlanned,
        Self::RevertPushed,
        Self::RevertPullRequestOpen,
        Self::RevertLanded,
        Self::RevertVerified,
        Self::RevertSuperseded,
        Self::RevertUnresolvable,
        Self::RevertNeedsHuman,
        Self::RevertDeclined,
        Self::RevertMismatch,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Promoted => "Promoted",
            Self::Aborted => "Aborted",
            Self::Waits => "Waits",
            Self::Held => "Held",
            Self::RevertPlanned => "RevertPlanned",
            Self::RevertPushed => "RevertPushed",
            Self::RevertPullRequestOpen => "RevertPullRequestOpen",
            Self::RevertLanded => "RevertLanded",
            Self::RevertVerified => "RevertVerified",
            Self::RevertSuperseded => "RevertSuperseded",
            Self::RevertUnresolvable => "RevertUnresolvable",
            Self::RevertNeedsHuman => "RevertNeedsHuman",
            Self::RevertDeclined => "RevertDeclined",
            Self::RevertMismatch => "RevertMismatch",
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::Aborted
                | Self::Held
                | Self::RevertUnresolvable
                | Self::RevertNeedsHuman
                | Self::RevertMismatch
        )
    }

    fn of_phase(phase: RevertPhase) -> Option<Self> {
        match phase {
            RevertPhase::Planned => Some(Self::RevertPlanned),
            RevertPhase::Pushed => Some(Self::RevertPushed),
            RevertPhase::PullRequestOpen => Some(Self::RevertPullRequestOpen),
            RevertPhase::Landed => Some(Self::RevertLanded),
            RevertPhase::Verified => Some(Self::RevertVerified),
            RevertPhase::Superseded => Some(Self::RevertSuperseded),
            RevertPhase::Unresolvable => Some(Self::RevertUnresolvable),
            RevertPhase::NeedsHuman => Some(Self::RevertNeedsHuman),
            RevertPhase::Declined => Some(Self::RevertDeclined),
            RevertPhase::Mismatch => Some(Self::RevertMismatch),
            RevertPhase::Pending | RevertPhase::Recorded => None,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The same for the same thing, whoever tells it and however often.
    pub id: String,
    /// What kind of thing.
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// The cluster's name; empty: not known.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The Rollout's name.
    pub rollout: String,
    /// The version's revision number.
    pub revision: i64,
    /// Why, in one word.
    pub reason: String,
    /// What happened, in one line.
    pub title: String,
    /// Why, in one sentence: the evidence.
    pub why: String,
    /// The images of the version's containers.
    pub images: Vec<String>,
    /// The Revert; empty: it is about none.
    pub revert: String,
    /// The Revert's commit; empty: there is none.
    pub commit: String,
    /// The branch that it is on; empty: there is none.
    pub branch: String,
    /// The change as a diff, cut; empty: there is none.
    pub diff: String,
    /// What it is not told twice by within a while: as `id`, without the time.
    #[serde(skip)]
    pub key: String,
}

/// The object that a notice is about.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// The Rollout's name.
    pub rollout: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// What tells one thing from all others.
struct What<'a> {
    kind: Kind,
    at: Timestamp,
    revision: i64,
    reason: String,
    /// Beside kind, revision and reason.
    again: &'a str,
}

fn notice(object: Object<'_>, cluster: &str, what: What<'_>, title: &str, why: &str) -> Notice {
    let What {
        kind,
        at,
        revision,
        reason,
        again,
    } = what;
    let key = format!(
        "{}/{}/{revision}/{reason}/{again}",
        object.uid,
        kind.as_str()
    );
    Notice {
        id: naming::hex(&format!("{key}/{at}"), ID_DIGITS),
        kind,
        at,
        cluster: cluster.to_owned(),
        namespace: object.namespace.to_owned(),
        rollout: object.rollout.to_owned(),
        revision,
        title: format!(
            "{}/{}: revision {revision} {title}",
            object.namespace, object.rollout
        ),
        reason,
        why: cut(why, WHY_MAX),
        images: Vec::new(),
        revert: String::new(),
        commit: String::new(),
        branch: String::new(),
        diff: String::new(),
        key,
    }
}

/// What a Rollout's status says that happened at `since` or later, the oldest first.
#[must_use]
pub fn of_rollout(
    object: Object<'_>,
    cluster: &str,
    status: &RolloutStatus,
    since: Timestamp,
) -> Vec<Notice> {
    let mut found = Vec::new();
    for entry in &status.history {
        if entry.outcome == Outcome::Promoted && entry.at >= since {
            let what = What {
                kind: Kind::Promoted,
                at: entry.at,
                revision: entry.revision,
                reason: "Promoted".to_owned(),
                again: &entry.hash,
            };
            let mut told = notice(object, cluster, what, "is stable", &entry.message);
            let stable = status.stable.as_ref().filter(|s| s.hash == entry.hash);
            told.images = stable.map(|s| s.images.clone()).unwrap_or_default();
            found.push(told);
        }
    }
    if let Some(canary) = &status.canary {
        let again = format!("{}/{}", canary.hash, canary.attempt);
        let mut tell = |kind, at, reason, again: &str, title: &str, why: &str| {
            let what = What {
                kind,
                at,
                revision: canary.revision,
                reason,
                again,
            };
            let mut told = notice(object, cluster, what, title, why);
            told.images.clone_from(&canary.images);
            found.push(told);
        };
        // The first version of all replaces nothing.
        let stable = status.stable.as_ref().filter(|s| s.hash != canary.hash);
        let started = canary.started_at.filter(|_| stable.is_some());
        if let Some(at) = started.filter(|at| *at >= since) {
            let why = format!("{} steps; try {}", canary.steps, canary.attempt);
            tell(
                Kind::Started,
                at,
                "Started".to_owned(),
                &again,
                "begins to go out",
                &why,
            );
        }
        if let Some(pause) = status.pause.as_ref().filter(|p| p.since >= since)
            && let Some(kind) = waits(pause, &status.message)
        {
            let again = format!("{again}/{}", canary.step);
            let title = match kind {
                Kind::Held => "is held: there is nothing to judge by",
                _ => "waits for a person",
            };
            let reason = format!("{:?}", pause.reason);
            tell(kind, pause.since, reason, &again, title, &status.message);
        }
        let abort = status.abort.as_ref().filter(|a| a.hash == canary.hash);
        if let Some(abort) = abort.filter(|a| a.at >= since) {
            let reason = format!("{:?}", abort.reason);
            let title = format!("was given up at {} %", abort.weight);
            tell(
                Kind::Aborted,
                abort.at,
                reason,
                &again,
                &title,
                &abort.message,
            );
        }
    }
    found.sort_by_key(|notice| notice.at);
    found
}

/// What a pause is to people; `None`: it ends by itself, as planned.
fn waits(pause: &PauseStatus, message: &str) -> Option<Kind> {
    match pause.reason {
        // One with a timeout has an end, too, and waits for somebody nevertheless.
        PauseReason::Step if pause.until.is_some() && !message.contains(UNTIL_PROMOTED) => None,
        PauseReason::Step | PauseReason::Manual | PauseReason::Inconclusive => Some(Kind::Waits),
        PauseReason::NoData | PauseReason::SourceError => Some(Kind::Held),
    }
}

/// What a Revert's status says that happened at `since` or later.
#[must_use]
pub fn of_revert(revert: &Revert, cluster: &str, since: Timestamp) -> Option<Notice> {
    let status = revert.status.as_ref()?;
    let kind = Kind::of_phase(status.phase?)?;
    // A condition says when the phase was come to; a plan that waits for nobody has only this one.
    // What was said to a GitOps tool comes later and is not about it.
    let last = status
        .conditions
        .iter()
        .filter(|condition| condition.type_ != "HandedOver")
        .max_by_key(|condition| condition.last_transition_time)?;
    let at = last
        .last_transition_time
        .max(status.pushed_at.unwrap_or(last.last_transition_time));
    if at < since {
        return None;
    }
    let spec = &revert.spec;
    let name = revert.metadata.name.as_deref().unwrap_or_default();
    let object = Object {
        namespace: revert.metadata.namespace.as_deref().unwrap_or_default(),
        rollout: &spec.rollout.name,
        uid: revert.metadata.uid.as_deref().unwrap_or_default(),
    };
    let what = What {
        kind,
        at,
        revision: spec.bad.revision,
        reason: spec.reason.as_str().to_owned(),
        again: name,
    };
    let title = match kind {
        Kind::RevertPlanned => "can be taken out of Git: the change is known",
        Kind::RevertPushed => "is being taken out of Git: the commit is pushed",
        Kind::RevertPullRequestOpen => "waits for a person to merge its revert",
        Kind::RevertLanded => "is out of Git: the branch has the stable values",
        Kind::RevertVerified => "is out of Git, and the cluster has followed",
        Kind::RevertSuperseded => "need not be taken out of Git any more",
        Kind::RevertUnresolvable => "stays in Git: it is not known what to revert, or not allowed",
        Kind::RevertDeclined => "stays in Git: a person declined the revert",
        Kind::RevertNeedsHuman => "stays in Git: a person has to revert it",
        _ => "is out of Git, and the cluster has not followed",
    };
    let why = [spec.message.as_deref(), status.message.as_deref()];
    let why: Vec<&str> = why.into_iter().flatten().collect();
    let cluster = spec.cluster.as_deref().unwrap_or(cluster);
    let mut told = notice(object, cluster, what, title, &why.join("; "));
    told.images.clone_from(&spec.bad.images);
    name.clone_into(&mut told.revert);
    told.commit = status.commit.clone().unwrap_or_default();
    told.branch = status.branch.clone().unwrap_or_default();
    told.diff = cut(status.plan.as_deref().unwrap_or_default(), DIFF_MAX);
    Some(told)
}

/// A made-up one, to try a receiver out.
#[must_use]
pub fn sample(now: Timestamp) -> Notice {
    let object = Object {
        namespace: "example",
        rollout: "web",
        uid: "00000000-0000-0000-0000-000000000000",
    };
    let what = What {
        kind: Kind::RevertVerified,
        at: now,
        revision: 7,
        reason: "AnalysisFailed".to_owned(),
        again: "test",
    };
    let title = "is no real version: this is a test of notifications";
    let why = "errors: 4.1 % of 1,203 requests, of stable 0.2 % of 11,044 (an example)";
    let mut told = notice(object, "", what, title, why);
    told.images = vec!["registry.example/web:1.7.0".to_owned()];
    told.revert = "web-7d9c8b5f6-1".to_owned();
    told.commit = "0123456789abcdef0123456789abcdef01234567".to_owned();
    told.branch = "main".to_owned();
    told.diff =
        "-image: registry.example/web:1.7.0\n+image: registry.example/web:1.6.0\n".to_owned();
    told
}

/// At most so many bytes, cut at a character's border with a mark.
pub(super) fn cut(text: &str, max: usize) -> String {
    const MARK: &str = " …";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(MARK.len()));
    let head = text.get(..end).unwrap_or_default();
    format!("{head}{MARK}")
}

#[cfg(test)]
mod tests;
