//! The plan while it is being made: the observed facts, the status as it will be, and what has been
//! decided so far. Every part of the decision works on one of these.

use jiff::{SignedDuration, Timestamp};

use super::observed::{Observed, ReplicaSetObserved, RunObserved, ServiceObserved};
use super::plan::{Plan, PlannedEvent, Precondition, Write};
use super::spec::{Problem, Spec};
use crate::api::conditions::Condition;
use crate::api::rollout_status::RolloutStatus;

/// Longest note of an Event and message of a condition: the API's own limit for notes.
pub(super) const TEXT_MAX: usize = 1024;

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub o: &'a Observed,
    pub spec: &'a Spec,
    pub now: Timestamp,
    /// The status as it will be.
    pub status: RolloutStatus,
    pub writes: Vec<Write>,
    pub afterwards: Vec<Write>,
    pub events: Vec<PlannedEvent>,
    /// What is wrong outside the spec: nothing new is begun and no weight rises while there is any.
    pub problems: Vec<Problem>,
    wake_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    pub fn new(o: &'a Observed, spec: &'a Spec, now: Timestamp) -> Self {
        Self {
            o,
            spec,
            now,
            status: o.rollout.status.clone(),
            writes: Vec::new(),
            afterwards: Vec::new(),
            events: Vec::new(),
            problems: Vec::new(),
            wake_at: None,
        }
    }

    /// The ReplicaSet of a version.
    pub fn replica_set(&self, hash: &str) -> Option<&'a ReplicaSetObserved> {
        self.o.replica_sets.iter().find(|rs| rs.hash == hash)
    }

    /// Pods of a version that are available for certain; 0 when it has no ReplicaSet.
    pub fn available(&self, hash: &str) -> i32 {
        self.replica_set(hash)
            .map_or(0, |rs| self.o.surely_available(rs))
    }

    /// Whether a version serves nobody for certain.
    pub fn serves_nobody(&self, hash: &str) -> bool {
        self.replica_set(hash)
            .is_none_or(|rs| rs.possibly_serving() == 0)
    }

    /// A Service that exists and can be used.
    pub fn service(&self, name: &str) -> Option<&'a ServiceObserved> {
        self.o
            .services
            .get(name)?
            .as_ref()
            .filter(|s| s.problem.is_none())
    }

    /// The stable version (before there is one: what is desired), and the other one, if there is one
    /// that goes out or was given up.
    pub fn versions(&self, desired: &str) -> (String, Option<String>) {
        let stable = self.status.stable.as_ref();
        let stable = stable.map_or(desired, |s| s.hash.as_str()).to_owned();
        let canary = self.status.canary.as_ref().map(|c| c.hash.clone());
        let canary = canary.filter(|hash| *hash != stable);
        (stable, canary)
    }

    /// Whether it stands still by somebody's word, the spec's or a command's.
    pub fn is_held(&self) -> bool {
        self.spec.paused || self.status.held_since.is_some()
    }

    /// Whether nothing new may come: something is wrong, or it is held.
    pub fn stands_still(&self) -> bool {
        !self.problems.is_empty() || self.is_held()
    }

    /// An AnalysisRun by name.
    pub fn run(&self, name: &str) -> Option<&'a RunObserved> {
        self.o.runs.iter().find(|run| run.name == name)
    }

    /// The Rollout as it was read.
    pub fn rollout(&self) -> Precondition {
        Precondition {
            uid: self.o.rollout.uid.clone(),
            resource_version: self.o.rollout.resource_version.clone(),
        }
    }

    /// Adds a write.
    pub fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Adds an Event.
    pub fn event(&mut self, warning: bool, reason: &'static str, note: impl Into<String>) {
        self.events.push(PlannedEvent {
            warning,
            reason,
            note: cut(note.into(), TEXT_MAX),
        });
    }

    /// Says a condition of this type in an Event, if it begins with this status.
    pub fn tell_of_condition(&mut self, type_: &'static str) {
        let find = |all: &[Condition]| {
            let found = all.iter().find(|condition| condition.type_ == type_);
            found.map(|condition| condition.message.clone())
        };
        let before = find(&self.o.rollout.status.conditions);
        if let (None, Some(message)) = (before, find(&self.status.conditions)) {
            self.event(true, type_, message);
        }
    }

    /// Whether `since + wait` has come; if not, the plan wakes then.
    pub fn elapsed(&mut self, since: Timestamp, wait: SignedDuration) -> bool {
        let due = since.checked_add(wait).unwrap_or(Timestamp::MAX);
        if self.now >= due {
            return true;
        }
        self.wake(due);
        false
    }

    /// Looks again at `at`, or earlier.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The plan: at most one destructive write, and the status only if it says something new.
    pub fn finish(mut self) -> Plan {
        let mut destroyed = false;
        self.writes
            .retain(|w| !(w.is_destructive() && std::mem::replace(&mut destroyed, true)));
        let status = (self.status != self.o.rollout.status).then_some(self.status);
        Plan {
            writes: self.writes,
            status,
            afterwards: self.afterwards,
            events: self.events,
            wake_at: self.wake_at,
        }
    }
}

/// The precondition of a write to a ReplicaSet.
pub(super) fn of_replica_set(rs: &ReplicaSetObserved) -> Precondition {
    Precondition {
        uid: rs.uid.clone(),
        resource_version: rs.resource_version.clone(),
    }
}

/// The precondition of a write to a Service.
pub(super) fn of_service(service: &ServiceObserved) -> Precondition {
    Precondition {
        uid: service.uid.clone(),
        resource_version: service.resource_version.clone(),
    }
}

/// `text`, cut to `max` bytes at a character's border.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
