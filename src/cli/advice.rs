//! What a Rollout waits for, and what a person can do next. Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::objects::Objects;
use super::words;
use crate::api::revert::{Revert, RevertPhase};
use crate::api::rollout::{Pause, Rollout, TimeoutAction};
use crate::api::rollout_status::{PauseReason, PauseStatus, Phase, RolloutStatus};

/// What the pause is, since when, until when.
#[must_use]
pub fn pause(rollout: &Rollout, now: Timestamp) -> Option<String> {
    let status = rollout.status.as_ref()?;
    let pause = status.pause.as_ref()?;
    let since = words::since(pause.since, now);
    let end = match (pause.until, on_timeout(rollout, status, pause)) {
        (None, _) if pause.reason == PauseReason::Step => ", until it is promoted".to_owned(),
        (None, _) => String::new(),
        (Some(until), None) => format!(", goes on in {}", words::until(until, now)),
        (Some(until), Some(TimeoutAction::Abort)) => {
            format!(
                ", aborts in {} unless it is promoted",
                words::until(until, now)
            )
        }
        (Some(until), Some(TimeoutAction::Promote)) => {
            format!(
                ", goes on in {} or when it is promoted",
                words::until(until, now)
            )
        }
    };
    Some(format!("{:?} for {since}{end}", pause.reason))
}

/// What happens at the end of a pause that waits for a promotion.
fn on_timeout(
    rollout: &Rollout,
    status: &RolloutStatus,
    pause: &PauseStatus,
) -> Option<TimeoutAction> {
    if pause.reason != PauseReason::Step {
        return None;
    }
    let step = pause_step(rollout, status)?;
    step.timeout
        .as_ref()
        .map(|_| step.on_timeout.unwrap_or_default())
}

fn pause_step<'r>(rollout: &'r Rollout, status: &RolloutStatus) -> Option<&'r Pause> {
    let at = usize::try_from(status.canary.as_ref()?.step).ok()?;
    rollout
        .spec
        .strategy
        .canary
        .as_ref()?
        .steps
        .get(at)?
        .pause
        .as_ref()
}

/// What comes next, and the commands for it: one sentence each.
#[must_use]
pub fn next(all: &Objects) -> Vec<String> {
    let rollout = &all.rollout;
    let command = |verb: &str| command(rollout, verb);
    let mut out = Vec::new();
    if rollout.metadata.deletion_timestamp.is_some() {
        out.push("it is being deleted: routes go back to stable first".to_owned());
        return out;
    }
    let Some(status) = rollout.status.as_ref().filter(|s| s.phase.is_some()) else {
        out.push(
            "the controller has not looked at it yet; if that stays so, see whether it runs: \
             kubectl get pods -A -l app.kubernetes.io/name=tidegate"
                .to_owned(),
        );
        return out;
    };
    if let Some(unseen) = unseen(rollout) {
        out.push(unseen);
    }
    let abort = command("abort");
    match status.phase {
        Some(Phase::Initializing) => {
            out.push("stable once its pods are available; there are no steps yet".to_owned());
        }
        Some(Phase::Progressing) if status.canary.is_some() => {
            out.push(format!("goes on by itself; {abort} gives the version up"));
        }
        Some(Phase::Paused) => paused(rollout, status, &mut out),
        Some(Phase::Aborting) => out.push("traffic goes back to stable by itself".to_owned()),
        Some(Phase::Aborted) => aborted(all, status, &mut out),
        Some(Phase::Rejected) => out.push(format!(
            "bring another version, or release this one: {}",
            command("retry")
        )),
        Some(Phase::Invalid) => {
            out.push("put right what the message names; nothing is changed until then".to_owned());
        }
        Some(Phase::Degraded) if status.abort.is_some() => out.push(
            "traffic goes back as stable's pods become available; bring another version if they do not"
                .to_owned(),
        ),
        Some(Phase::Degraded) if status.canary.is_some() && status.stable.is_some() => {
            out.push(format!("{abort} goes back to the stable version"));
        }
        Some(Phase::Degraded | Phase::Progressing | Phase::Healthy) | None => {}
    }
    if status.held_since.is_some() && status.phase != Some(Phase::Paused) {
        out.push(format!(
            "the next rollout will be held; {} ends that",
            command("resume")
        ));
    }
    out
}

fn paused(rollout: &Rollout, status: &RolloutStatus, out: &mut Vec<String>) {
    let (promote, abort) = (command(rollout, "promote"), command(rollout, "abort"));
    let reason = status.pause.as_ref().map(|p| p.reason);
    let text = match reason {
        Some(PauseReason::Manual) if status.held_since.is_some() => {
            format!("{} goes on", command(rollout, "resume"))
        }
        Some(PauseReason::Manual) => {
            "spec.paused is true: set it to false where the manifest comes from".to_owned()
        }
        Some(PauseReason::Inconclusive) => format!(
            "the evidence decides neither way: {promote} goes on regardless, {abort} gives up"
        ),
        Some(PauseReason::NoData) => format!(
            "goes on by itself when there is data: see that the pods get traffic and that the \
             query finds their series; {abort} gives up"
        ),
        Some(PauseReason::SourceError) => {
            format!("goes on by itself when the metrics endpoint answers; {abort} gives up")
        }
        Some(PauseReason::Step) | None => format!("{promote} goes on now, {abort} gives up"),
    };
    out.push(text);
}

fn aborted(all: &Objects, status: &RolloutStatus, out: &mut Vec<String>) {
    let name = status.abort.as_ref().and_then(|a| a.revert.as_deref());
    let revert = name.and_then(|name| all.reverts.iter().find(|r| r.name_any() == name));
    let retry = command(&all.rollout, "retry");
    let text = match revert.and_then(git) {
        Some(Git::Busy) => {
            format!("the change is being taken out of Git; {retry} tries the version again")
        }
        Some(Git::Done) => {
            "the change is out of Git; the Rollout is Healthy once the cluster follows".to_owned()
        }
        Some(Git::Person) => "see the Revert's message: Git needs a person".to_owned(),
        None => {
            format!("take the change back where the manifest comes from, or try again: {retry}")
        }
    };
    out.push(text);
}

/// How far Git is, as far as the person at the keyboard is concerned.
enum Git {
    Busy,
    Done,
    Person,
}

fn git(revert: &Revert) -> Option<Git> {
    match revert.status.as_ref().and_then(|s| s.phase) {
        Some(RevertPhase::Recorded | RevertPhase::Superseded | RevertPhase::Declined) => None,
        Some(RevertPhase::Planned)
            if revert.spec.mode == crate::api::revert::RevertMode::DryRun =>
        {
            None
        }
        Some(RevertPhase::PullRequestOpen) => Some(Git::Person),
        None | Some(RevertPhase::Pending | RevertPhase::Planned | RevertPhase::Pushed) => {
            Some(Git::Busy)
        }
        Some(RevertPhase::Landed | RevertPhase::Verified) => Some(Git::Done),
        Some(RevertPhase::Unresolvable | RevertPhase::NeedsHuman | RevertPhase::Mismatch) => {
            Some(Git::Person)
        }
    }
}

/// Says so when the status does not speak of the spec as it is now.
#[must_use]
pub fn unseen(rollout: &Rollout) -> Option<String> {
    let generation = rollout.metadata.generation?;
    let seen = rollout.status.as_ref()?.observed_generation.unwrap_or(0);
    (seen < generation).then(|| {
        format!("the controller has not seen the latest change yet (generation {generation}; it has seen {seen})")
    })
}

/// A command line that can be copied.
#[must_use]
pub fn command(rollout: &Rollout, verb: &str) -> String {
    let namespace = rollout.namespace().unwrap_or_default();
    format!(
        "`kubectl tidegate {verb} {} -n {namespace}`",
        rollout.name_any()
    )
}
