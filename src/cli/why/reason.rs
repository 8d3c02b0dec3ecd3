//! Why a Rollout is as it is, as sentences: which versions there are, what is waited for, until when, what
//! was found, what became of it in Git. Pure. What `get` says as well is said in the same words.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::analyses;
use crate::api::analysis_status::TOO_LITTLE_TRAFFIC;
use crate::api::conditions::ConditionStatus;
use crate::api::revert::Revert;
use crate::api::rollout::{BASELINE_LABEL, DeadlineAction};
use crate::api::rollout_status::{Outcome, Phase, RolloutStatus};
use crate::cli::advice;
use crate::cli::header;
use crate::cli::objects::{self, Counts, Objects, hash_of};
use crate::cli::reverts;
use crate::cli::style::{Line, Tone};
use crate::cli::words;
use crate::core::naming;

/// What a wait's message says where a change is not yet known to have reached everybody.
const SETTLES: &str = " settles";

/// Why, and what comes next.
#[derive(Debug)]
pub struct Reason {
    /// From what it is about to what was found.
    pub found: Vec<Finding>,
    /// What comes next, and the commands for it.
    pub next: Vec<String>,
}

/// A sentence, with what shows it.
#[derive(Debug)]
pub struct Finding {
    /// What it means.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// Lines below it.
    pub shown: Vec<Line>,
}

/// Everything that there is to say, in its order.
#[must_use]
pub fn of(all: &Objects, now: Timestamp) -> Reason {
    let status = all.rollout.status.as_ref();
    let mut found = Vec::new();
    if let Some((status, phase)) = status.and_then(|s| s.phase.map(|phase| (s, phase))) {
        let mut teller = Teller {
            all,
            status,
            phase,
            now,
            found,
        };
        teller.versions();
        teller.step();
        teller.traffic();
        teller.pods();
        teller.deadline();
        teller.pause();
        teller.analyses();
        teller.rejection();
        teller.git();
        teller.before();
        teller.commands();
        found = teller.found;
    }
    Reason {
        found,
        next: advice::next(all),
    }
}

struct Teller<'o> {
    all: &'o Objects,
    status: &'o RolloutStatus,
    phase: Phase,
    now: Timestamp,
    found: Vec<Finding>,
}

impl Teller<'_> {
    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.found.push(Finding {
            tone,
            text: text.into(),
            shown: Vec::new(),
        });
    }

    /// Which versions it is about, and what became of the one that was given up.
    fn versions(&mut self) {
        let (status, now) = (self.status, self.now);
        let since = |word: &str, then: Option<Timestamp>| {
            let since = then.map(|then| format!("{word} {}", words::since(then, now)));
            since.unwrap_or_default()
        };
        let stable = status.stable.as_ref();
        let text = match (&status.canary, &status.abort, stable) {
            (Some(canary), Some(abort), _) => {
                let step = header::step(&self.all.rollout, status);
                let step = step.map(|step| format!(" at step {step}"));
                let mut text = format!(
                    "{} was given up{}: {}",
                    version(canary.revision, &canary.images),
                    step.unwrap_or_default(),
                    header::abort(abort, now)
                );
                if !status.message.contains(&abort.message) {
                    text.push_str(&format!(": {}", abort.message));
                }
                return self.say(Tone::Bad, text);
            }
            (Some(canary), None, Some(stable)) => format!(
                "{} goes out beside {}{}",
                version(canary.revision, &canary.images),
                version(stable.revision, &stable.images),
                since(", since", canary.started_at)
            ),
            (Some(canary), None, None) => format!(
                "{} is the first version: there is no other to go back to",
                version(canary.revision, &canary.images)
            ),
            (None, _, Some(stable)) => format!(
                "{} is stable{}",
                version(stable.revision, &stable.images),
                since(" for", stable.since)
            ),
            (None, _, None) => return,
        };
        self.say(Tone::Plain, text);
    }

    /// The step that it is at.
    fn step(&mut self) {
        let Some(canary) = self.status.canary.as_ref().filter(|_| !self.is_over()) else {
            return;
        };
        if let Some(at) = canary.begins_at.filter(|at| *at > self.now) {
            let text = format!("it gets its first pods in {}", words::until(at, self.now));
            self.say(Tone::Plain, text);
        }
        let Some(step) = header::step(&self.all.rollout, self.status) else {
            return;
        };
        let since = canary.step_started_at.map(|then| {
            let since = words::since(then, self.now);
            format!(", since {since}")
        });
        let text = format!("it is at step {step}{}", since.unwrap_or_default());
        self.say(Tone::Plain, text);
    }

    /// Whether nothing goes out any more.
    fn is_over(&self) -> bool {
        self.status.abort.is_some() || self.phase == Phase::Rejected
    }

    fn traffic(&mut self) {
        let moves = matches!(
            self.phase,
            Phase::Progressing | Phase::Paused | Phase::Aborting | Phase::Degraded
        );
        let traffic = header::traffic(&self.all.rollout, self.status);
        let Some((text, tone)) = traffic.filter(|_| moves) else {
            return;
        };
        self.say(tone, format!("traffic: {text}"));
        if self.status.message.contains(SETTLES) {
            self.say(
                Tone::Plain,
                "what a Service or a route says counts when its settle delay is over: the \
                 controller's --settle-seconds, 5 s unless it was set",
            );
        }
    }

    /// The pods of the versions in play, where some are missing.
    fn pods(&mut self) {
        let canary = self.status.canary.as_ref();
        let stable = self.status.stable.as_ref();
        let versions = canary.map(|c| (c.revision, &c.hash)).into_iter();
        let versions = versions.chain(stable.map(|s| (s.revision, &s.hash)));
        let mut missing = Vec::new();
        for (revision, hash) in versions {
            let mut sets = self.all.replica_sets.iter();
            let own =
                sets.find(|rs| hash_of(rs) == *hash && !rs.labels().contains_key(BASELINE_LABEL));
            let Some(rs) = own else { continue };
            let counts = Counts::of(rs);
            let failure = objects::failure(rs);
            if counts.available >= counts.desired && failure.is_none() {
                continue;
            }
            let mut text = format!(
                "pods of revision {revision}: {} of {} ready, {} available",
                counts.ready, counts.desired, counts.available
            );
            if let Some(why) = failure.and_then(|f| f.message.as_ref()) {
                text.push_str(&format!("; no more can be created: {why}"));
            }
            let tone = match failure {
                Some(_) => Tone::Bad,
                None => Tone::Busy,
            };
            missing.push((tone, text));
        }
        for (tone, text) in missing {
            self.say(tone, text);
        }
    }

    /// How long it may go on like this where it waits for the cluster.
    fn deadline(&mut self) {
        let spec = &self.all.rollout.spec;
        let seconds = i64::from(spec.progress_deadline_seconds);
        let Some((since, then)) = self.clock() else {
            return;
        };
        let gone = words::since(since, self.now);
        let field = "spec.progressDeadlineSeconds";
        let end = since.checked_add(SignedDuration::from_secs(seconds)).ok();
        let text = match end.filter(|end| *end > self.now) {
            Some(end) => format!(
                "no progress for {gone}; if that goes on, {then} in {} ({field} is {seconds})",
                words::until(end, self.now)
            ),
            None => format!("no progress for {gone}, and {field} is {seconds}: {then}"),
        };
        self.say(Tone::Plain, text);
    }

    /// Since when there was no progress while it was to be expected, and what comes of that. Waiting for
    /// a person, for time or for evidence is no lack of progress.
    fn clock(&self) -> Option<(Timestamp, &'static str)> {
        const DEGRADED: &str = "the phase is Degraded";
        let status = self.status;
        let of = |type_: &str| {
            let mut conditions = status.conditions.iter();
            let condition = conditions.find(|c| c.type_ == type_)?;
            let is_false = condition.status == ConditionStatus::False;
            is_false.then_some(condition.last_transition_time)
        };
        match (self.phase, &status.canary, &status.abort) {
            (Phase::Aborting, _, Some(abort)) => Some((
                of("Stalled").map_or(abort.at, |at| at.max(abort.at)),
                DEGRADED,
            )),
            (Phase::Initializing | Phase::Progressing, Some(canary), None) => {
                let since = canary.progress_at?;
                let aborts = self.all.rollout.spec.progress_deadline_action
                    == DeadlineAction::Abort
                    && self.phase == Phase::Progressing;
                let then = if aborts { "it is aborted" } else { DEGRADED };
                Some((since.max(canary.step_started_at.unwrap_or(since)), then))
            }
            (Phase::Progressing, None, _) => {
                let promoted = status.history.first().map(|last| last.at);
                let since = of("Ready")?;
                Some((since.max(promoted.unwrap_or(since)), DEGRADED))
            }
            _ => None,
        }
    }

    /// A person, time, data or evidence that is waited for.
    fn pause(&mut self) {
        let pause = advice::pause(&self.all.rollout, self.now);
        if let Some(text) = pause.filter(|_| self.phase == Phase::Paused) {
            self.say(Tone::Warn, format!("it waits: {text}"));
        }
        let last = self.status.last_handled_command.as_ref();
        let held = self.status.held_since.is_some() && last.is_some_and(|l| l.command == "pause");
        let command = header::last_command(self.status, self.now);
        if let Some(text) = command.filter(|_| held) {
            self.say(Tone::Plain, format!("it is held by a command: {text}"));
        }
    }

    /// What the analyses that are waited for have found, or the one that failed.
    fn analyses(&mut self) {
        let canary = self.status.canary.as_ref();
        let names = match &self.status.abort {
            Some(abort) => vec![abort.analysis_run.as_ref()],
            None => vec![
                canary.and_then(|c| c.analysis_run.as_ref()),
                canary.and_then(|c| c.background_run.as_ref()),
            ],
        };
        for name in names.into_iter().flatten() {
            let run = self.all.runs.iter().find(|run| run.name_any() == *name);
            match run {
                Some(run) => {
                    let finding = analyses::finding(run, &self.status.message, self.now);
                    self.found.push(finding);
                }
                // What may not be read is noted already.
                None if !self.all.notes.is_empty() => {}
                None => self.say(Tone::Faint, format!("AnalysisRun {name} is not there")),
            }
        }
        let mut conditions = self.status.conditions.iter();
        let foreseen =
            conditions.find(|c| c.type_ == TOO_LITTLE_TRAFFIC && c.status == ConditionStatus::True);
        if let Some(condition) = foreseen {
            let text = condition.message.clone();
            self.say(Tone::Warn, text);
        }
    }

    /// Whose rejection keeps the version that the spec asks for from going out.
    fn rejection(&mut self) {
        let mut conditions = self.status.conditions.iter();
        let serves = conditions.any(|c| c.type_ == "RejectedVersionServing");
        if self.phase != Phase::Rejected && !(self.phase == Phase::Degraded && serves) {
            return;
        }
        let rollout = &self.all.rollout;
        let wanted = match &self.status.workload {
            Some(workload) => workload.hash.clone(),
            None => naming::template_hash(&rollout.spec.template, self.status.collision_count),
        };
        let of_version = self.all.reverts.iter();
        let of_version = of_version.filter(|r| r.spec.bad.hash == wanted && reverts::rejects(r));
        let Some(revert) = of_version.max_by_key(|r| r.spec.attempt) else {
            return;
        };
        let spec = &revert.spec;
        let mut text = format!(
            "{} was rejected {} ago: {}",
            version(spec.bad.revision, &spec.bad.images),
            words::since(spec.aborted_at, self.now),
            spec.reason.as_str()
        );
        if let Some(message) = &spec.message {
            text.push_str(&format!(": {message}"));
        }
        self.say(Tone::Bad, text);
        self.revert(revert);
    }

    /// What became in Git of the version that was given up.
    fn git(&mut self) {
        let abort = self.status.abort.as_ref();
        let Some(name) = abort.and_then(|abort| abort.revert.as_ref()) else {
            return;
        };
        let revert = self.all.reverts.iter().find(|r| r.name_any() == *name);
        match revert {
            Some(revert) => self.revert(revert),
            None if !self.all.notes.is_empty() => {}
            None => self.say(Tone::Warn, format!("Revert {name} is not there")),
        }
    }

    fn revert(&mut self, revert: &Revert) {
        let (_, tone) = reverts::phase(revert);
        self.say(tone, reverts::sentence(revert, self.now));
    }

    /// The version before, where what is settled now is settled because that one was not.
    fn before(&mut self) {
        let last = self.status.history.first();
        let last = last.filter(|last| {
            let failed = !matches!(last.outcome, Outcome::Initial | Outcome::Promoted);
            self.phase == Phase::Healthy && failed
        });
        let Some(last) = last else { return };
        let text = format!("the last outcome: {}", header::outcome(last, self.now));
        self.say(Tone::Plain, text);
        let of_version = self.all.reverts.iter();
        let of_version = of_version.filter(|r| r.spec.bad.hash == last.hash);
        let revert = of_version.max_by_key(|r| r.spec.attempt);
        if let Some(revert) = revert.filter(|_| last.outcome == Outcome::Aborted) {
            self.revert(revert);
        }
    }

    /// What else is going on, and what was asked for in vain.
    fn commands(&mut self) {
        if let Some(at) = self.status.restart_at {
            self.say(Tone::Busy, header::restart(at));
        }
        let last = self.status.last_handled_command.as_ref();
        let refused = last.is_some_and(|last| last.result.starts_with("Refused"));
        let command = header::last_command(self.status, self.now);
        if let Some(text) = command.filter(|_| refused) {
            self.say(Tone::Warn, format!("the last command: {text}"));
        }
    }
}

/// `revision 13 (r.example/checkout:1.5)`
fn version(revision: i64, images: &[String]) -> String {
    if images.is_empty() {
        return format!("revision {revision}");
    }
    format!("revision {revision} ({})", images.join(", "))
}
