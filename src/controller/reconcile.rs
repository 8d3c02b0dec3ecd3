//! One look at one Rollout: observe → decide → execute.
//!
//! First from the caches, which costs nothing. If that plan holds nothing to write, the next look is
//! when the plan says. If it holds anything at all, the Rollout is observed again with live reads
//! and decided again, and only that second plan is carried out: nothing is ever written on what a
//! cache says, and a Rollout at rest costs no reads.
//!
//! A conflict means that somebody else was faster; the answer is to look again soon, and it never
//! becomes a phase. Every other failure is waited out, longer each time, for this Rollout alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::caches::Key;
use super::context::Context;
use super::error::Error;
use super::execute::{Afterwards, Executor};
use super::lanes::Lane;
use super::observe::{Snapshot, observe};
use super::reader::{CachedReader, LiveReader};
use crate::api::rollout_status::{Phase, RolloutStatus};
use crate::core::decide::decide;
use crate::core::failures::{AFTER_WRITE, Cause, WHILE_HELD};
use crate::core::observed::{Observed, Refusal};
use crate::core::plan::{Plan, PlannedEvent, Write};
use crate::notify;
use crate::retry::Retry;

/// When nothing asks for a look: objects that vanish while a watch is down make no event.
const RESYNC: Duration = Duration::from_secs(300);
/// While somebody else works on the Rollout.
const WHILE_CLAIMED: Duration = Duration::from_millis(50);
/// Shortest wait for a moment that the plan names, against a clock that stands still.
const WAKE_MIN: Duration = Duration::from_millis(10);
/// From this failure in a row on an Event says so; before that it is noise.
const FAILURES_SAID: u32 = 3;

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    /// Nothing is to be done before this moment, if any.
    At(Option<Timestamp>),
    /// Again after this time.
    After(Duration),
    /// Nothing, until something changes.
    OnChange,
}

/// Looks at a Rollout in a lane, and says when to look again; `None`: when something changes.
pub async fn reconcile(ctx: &Context, key: &Key, lane: Lane) -> Option<Duration> {
    let started = Instant::now();
    let looked = look(ctx, key, lane).await;
    ctx.metrics
        .reconciled(lane, started.elapsed(), looked.as_ref().err());
    match looked {
        Ok(Next::OnChange) => None,
        Ok(Next::After(wait)) => Some(wait),
        Ok(Next::At(at)) => {
            let until = at.map_or(RESYNC, |at| until(at, (ctx.clock)()).max(WAKE_MIN));
            Some(until.min(spread(RESYNC)))
        }
        Err(error) => Some(failed(ctx, key, lane, &error)),
    }
}

async fn look(ctx: &Context, key: &Key, lane: Lane) -> Result<Next, Error> {
    if let Some(next) = look_at_caches(ctx, key, lane).await? {
        return Ok(next);
    }
    // From here on it takes calls, and a place among those who wait for them.
    let _slot = ctx.slots.take(lane).await;
    let Some(claim) = ctx.claims.claim(key, lane) else {
        return Ok(Next::After(WHILE_CLAIMED));
    };
    tokio::select! {
        // On the heap: most looks never come here.
        next = Box::pin(act(ctx, key, lane)) => {
            let next = next?;
            ctx.failures.went_well(key);
            Ok(next)
        }
        // The other lane may have come on what the caches said before, and leave what is no abort:
        // this one looks again, or nobody would until the next change.
        () = claim.taken_away() => Ok(Next::After(WHILE_CLAIMED)),
    }
}

/// What follows from the caches alone; `None`: there may be something to do.
async fn look_at_caches(ctx: &Context, key: &Key, lane: Lane) -> Result<Option<Next>, Error> {
    let (namespace, name) = key;
    let cached = CachedReader(&ctx.caches);
    let Some(mut snapshot) = observe(&cached, namespace, name, ctx.settings).await? else {
        ctx.forget(key);
        return Ok(Some(Next::OnChange));
    };
    let refusal = remember_refusal(ctx, key, &mut snapshot);
    let observed = &snapshot.observed;
    let plan = decide_safely(observed, (ctx.clock)())?;
    show(ctx, key, &snapshot, &observed.rollout.status);
    match (lane, is_urgent(observed, &plan)) {
        (Lane::Normal, true) => {
            // The other lane ends only with the process.
            let _ = ctx.hand_over.send(key.clone());
            return Ok(Some(Next::At(None)));
        }
        (Lane::Urgent, false) => {
            let next = plan.wake_at.map_or(Next::OnChange, |at| Next::At(Some(at)));
            return Ok(Some(next));
        }
        _ => {}
    }
    // The caches know no pods, so a restart is always followed live.
    if plan.is_settled() && observed.rollout.status.restart_at.is_none() {
        ctx.failures.went_well(key);
        return Ok(Some(refusal.map_or(Next::At(plan.wake_at), Next::After)));
    }
    if refusal.is_some() {
        // It is to be said; what was refused is not tried again yet.
        return Ok(None);
    }
    let version = &observed.rollout.resource_version;
    Ok(ctx.failures.backing_off(key, version).map(Next::After))
}

/// Observes and decides on live reads, and carries that out.
async fn act(ctx: &Context, key: &Key, lane: Lane) -> Result<Next, Error> {
    let (namespace, name) = key;
    let calls = ctx.calls(lane);
    let live = LiveReader {
        calls,
        caches: &ctx.caches,
        cluster_wide: ctx.cluster_wide,
    };
    let Some(mut snapshot) = observe(&live, namespace, name, ctx.settings).await? else {
        return Ok(Next::OnChange);
    };
    let refusal = remember_refusal(ctx, key, &mut snapshot);
    let now = (ctx.clock)();
    let plan = decide_safely(&snapshot.observed, now)?;
    if plan.is_settled() {
        return Ok(refusal.map_or(Next::At(plan.wake_at), Next::After));
    }
    let executor = Executor {
        calls,
        snapshot: &snapshot,
        cluster_name: ctx.cluster_name.as_deref(),
    };
    executor.execute(&plan).await?;
    if let Some(status) = &plan.status {
        say_change(&snapshot, status);
        show(ctx, key, &snapshot, status);
    }
    for event in &plan.events {
        ctx.events.send(snapshot.owner(), event, now);
    }
    let afterwards = executor.execute_afterwards(&plan).await;
    for event in not_done(&afterwards) {
        ctx.events.send(snapshot.owner(), &event, now);
    }
    Ok(Next::After(duration(match afterwards.unfinished {
        true => WHILE_HELD,
        false => AFTER_WRITE,
    })))
}

/// Shows where a Rollout stands to those who speak of it outside. Nobody waits for them.
fn show(ctx: &Context, key: &Key, snapshot: &Snapshot, status: &RolloutStatus) {
    ctx.metrics.rollout(key, status);
    let owner = snapshot.owner();
    let object = notify::Object {
        namespace: owner.namespace,
        rollout: owner.name,
        uid: owner.uid,
    };
    ctx.notifier.rollout(object, status, (ctx.clock)());
}

/// Adds to the facts what the API server refused only just now; returns how long that counts.
fn remember_refusal(ctx: &Context, key: &Key, snapshot: &mut Snapshot) -> Option<Duration> {
    let (refusal, left) = ctx.failures.refusal(key)?;
    snapshot.observed.refused = Some(refusal);
    Some(left)
}

/// Says what of the rest was refused: pods that keep the labels and annotations of another role, and a
/// control group.
fn not_done(afterwards: &Afterwards) -> impl Iterator<Item = PlannedEvent> {
    let event = |reason, mut note: String| {
        note.truncate(note.floor_char_boundary(NOTE_MAX));
        PlannedEvent {
            warning: true,
            reason,
            note,
        }
    };
    let pods = afterwards.why.as_ref().map(|why| {
        let note = format!(
            "{} pods keep the labels and annotations of their earlier role until they are replaced: \
             {why}",
            afterwards.refused
        );
        event("PodsNotRelabelled", note)
    });
    let baseline = afterwards.no_baseline.as_ref().map(|why| {
        let note = format!("the baseline cannot be created, and nothing waits for it: {why}");
        event("NoBaseline", note)
    });
    pods.into_iter().chain(baseline)
}

/// Decides; a panic is kept to this Rollout.
fn decide_safely(observed: &Observed, now: Timestamp) -> Result<Plan, Error> {
    catch_unwind(AssertUnwindSafe(|| decide(observed, now))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Error::Panicked {
            reason: text.unwrap_or("without a message").to_owned(),
        }
    })
}

/// Whether a version is given up: from the decision on until the traffic is back and the record of
/// it is written.
fn is_urgent(observed: &Observed, plan: &Plan) -> bool {
    let before = &observed.rollout.status;
    let after = plan.status.as_ref().unwrap_or(before);
    let aborting = Some(Phase::Aborting);
    before.phase == aborting
        || after.phase == aborting
        || (after.abort.is_some() && before.abort != after.abort)
        || plan
            .writes
            .iter()
            .any(|write| matches!(write, Write::CreateRevert { .. }))
}

/// Notes a failure and says when to look again.
fn failed(ctx: &Context, key: &Key, lane: Lane, error: &Error) -> Duration {
    let cached = ctx.caches.get(super::object::Kind::Rollout, &key.0, &key.1);
    let version = cached.as_ref().map_or("", |o| o.resource_version());
    let urgent = lane == Lane::Urgent;
    let follows = ctx.failures.note(key, version, cause(error), urgent);
    let (count, wait) = (follows.count, follows.look_after);
    match error {
        Error::Conflict { .. } | Error::Held { .. } => {
            tracing::debug!(error = %error.chain(), count, "again later");
        }
        _ => {
            let again_in = duration(follows.try_after);
            tracing::warn!(error = %error.chain(), count, ?again_in, "failed");
        }
    }
    let worth_saying = match error {
        // The Rollout itself says what is refused.
        Error::Conflict { .. } | Error::Busy { .. } | Error::Refused { .. } => false,
        Error::NotPossible { .. } | Error::Unreadable { .. } | Error::Panicked { .. } => count == 1,
        _ => count == FAILURES_SAID || (count > FAILURES_SAID && count.is_power_of_two()),
    };
    if let (true, Some(rollout)) = (worth_saying, cached) {
        let owner = crate::traffic::Owner {
            namespace: &key.0,
            name: &key.1,
            uid: rollout.uid(),
        };
        let mut note = format!("{} ({count} times in a row)", error.chain());
        note.truncate(note.floor_char_boundary(NOTE_MAX));
        let event = PlannedEvent {
            warning: true,
            reason: "ReconcileError",
            note,
        };
        ctx.events.send(owner, &event, (ctx.clock)());
    }
    duration(wait)
}

/// A failure, as far as it is waited out in a way of its own.
fn cause(error: &Error) -> Cause {
    match error {
        Error::Conflict { .. } => Cause::Conflict,
        Error::Busy { retry_after, .. } => {
            Cause::Busy((*retry_after).try_into().unwrap_or(SignedDuration::MAX))
        }
        Error::Held { .. } => Cause::Held,
        Error::Refused {
            replica_set,
            reason,
        } => Cause::Refused(Refusal {
            replica_set: replica_set.clone(),
            why: reason.clone(),
        }),
        _ => Cause::Other,
    }
}

fn duration(wait: SignedDuration) -> Duration {
    wait.try_into().unwrap_or_default()
}

/// Longest note of an Event, as the API has it.
const NOTE_MAX: usize = 1024;

/// One line per change of state.
fn say_change(snapshot: &Snapshot, after: &RolloutStatus) {
    let before = &snapshot.observed.rollout.status;
    let place = |s: &RolloutStatus| {
        let step = s
            .canary
            .as_ref()
            .map(|c| c.step_text.clone())
            .unwrap_or_default();
        (s.phase, step, s.traffic.as_ref().map_or(0, |t| t.accepted))
    };
    let ((from, ..), (to, step, weight)) = (place(before), place(after));
    if place(before) != place(after) {
        let word = |phase: Option<Phase>| phase.map_or("New".to_owned(), |p| p.to_string());
        tracing::info!(
            generation = snapshot.observed.rollout.generation,
            from = word(from),
            to = word(to),
            step,
            weight,
            message = after.message,
        );
    }
}

/// A time a little under `wait`, so that those who began together do not stay together.
fn spread(wait: Duration) -> Duration {
    Retry::new(wait, wait, 1.0)
        .jitter(0.1)
        .after(1)
        .unwrap_or(wait)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_never_negative_and_resyncs_are_spread() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            until(at("2026-01-01T00:00:05Z"), now),
            Duration::from_secs(5)
        );
        assert_eq!(until(at("2025-12-31T00:00:00Z"), now), Duration::ZERO);
        let waits: Vec<Duration> = (0..50).map(|_| spread(RESYNC)).collect();
        assert!(waits.iter().all(|w| *w <= RESYNC && *w >= RESYNC * 9 / 10));
        assert!(waits.iter().any(|w| *w != waits[0]));
    }
}
