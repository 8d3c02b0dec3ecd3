//! I10, I12, I18, I22 to I24, I30: what is decided, and what is said of it.

use super::{Decided, EXCUSED, Said, Written, holds};
use crate::api::conditions::ConditionStatus;
use crate::api::rollout_status::{HISTORY_MAX, Phase};
use crate::core::decide::decide;
use crate::core::plan::Write;
use crate::sim::world::World;
use crate::sim::world::objects::Kind;

/// One decision of so many is made twice: it costs as much again.
const REPEATED: u64 = 16;
/// Largest status as JSON.
const STATUS_MAX: usize = 64 << 10;
/// Longest message.
const MESSAGE_MAX: usize = 1024;

/// The version that a write was made on.
fn version(write: &Write) -> Option<&str> {
    match write {
        Write::SetFinalizer { on, .. }
        | Write::RemoveAnnotation { on, .. }
        | Write::ScaleReplicaSet { on, .. }
        | Write::DeleteReplicaSet { on, .. }
        | Write::ScaleWorkload { on, .. }
        | Write::RelabelReplicaSet { on, .. }
        | Write::NotePodsRelabelled { on, .. }
        | Write::SwitchService { on, .. }
        | Write::TerminateAnalysisRun { on, .. }
        | Write::DeleteAnalysisRun { on, .. }
        | Write::ReleaseRevert { on, .. }
        | Write::DeleteRevert { on, .. } => Some(&on.resource_version),
        Write::SetWeight {
            resource_version, ..
        } => Some(resource_version),
        Write::CreateReplicaSet(_)
        | Write::CreateBaseline(_)
        | Write::CreateRoute { .. }
        | Write::CreateAnalysisRun { .. }
        | Write::CreateRevert { .. }
        | Write::RelabelPod { .. }
        | Write::EvictPod { .. } => None,
    }
}

pub(super) fn facts_were_so(_: &World, written: &Written<'_>) -> Result<(), String> {
    let (Some(read), Some(replaced)) = (version(written.write), written.replaced) else {
        return Ok(());
    };
    let there = replaced.meta.version.to_string();
    holds(read == there, || {
        format!(
            "{} was written on version {read} and had {there}",
            written.write
        )
    })
}

pub(super) fn decisions_repeat(world: &World, decided: &Decided<'_>) -> Result<(), String> {
    if !world.counts.decisions.is_multiple_of(REPEATED) {
        return Ok(());
    }
    let again = match world.mutant {
        None => decide(decided.observed, decided.clock),
        // It is not its own judge.
        Some(mutant) if mutant.breaks == "I16" => return Ok(()),
        Some(mutant) => {
            let mut again = decide(&mutant.sees(decided.observed), decided.clock);
            let another = world.counts.decisions + 1;
            mutant.decides(decided.observed, &mut again, decided.clock, another);
            again
        }
    };
    holds(again == *decided.plan, || {
        "the same facts gave two plans".to_owned()
    })
}

pub(super) fn one_loss_at_a_time(_: &World, decided: &Decided<'_>) -> Result<(), String> {
    let losses = decided
        .plan
        .writes
        .iter()
        .filter(|write| write.is_destructive());
    let losses: Vec<String> = losses.map(ToString::to_string).collect();
    holds(losses.len() <= 1, || {
        format!("one plan has {}", losses.join("; "))
    })
}

/// The pod that is evicted is the only one that is missing, whatever the ReplicaSets say.
pub(super) fn evictions_wait_for_the_last(
    world: &World,
    written: &Written<'_>,
) -> Result<(), String> {
    let Write::EvictPod { name, .. } = written.write else {
        return Ok(());
    };
    let rollout = written.rollout();
    // A version that was given up and is kept may never be whole again.
    let abort = written.observed.rollout.status.abort.as_ref();
    let kept = |hash: &str| abort.is_some_and(|abort| abort.hash == hash);
    let all = written.observed.replica_sets.iter();
    // Nor is one that somebody has deleted since it was looked at; and of one that another controller has
    // made smaller since, no more pods are asked for.
    let now = |name: &str| {
        let stored = world.store.get(Kind::ReplicaSet, name)?;
        Some(stored.replica_set()?.desired)
    };
    let desired = all.filter(|rs| !kept(&rs.hash));
    let replica_sets: Vec<_> = desired
        .filter_map(|rs| Some((rs, now(&rs.name)?.min(rs.desired))))
        .collect();
    let desired: i32 = replica_sets.iter().map(|(_, desired)| desired).sum();
    let serving = replica_sets
        .iter()
        .map(|(rs, _)| world.serving_since(rollout, &rs.hash, EXCUSED));
    let serving: i32 = serving.sum();
    holds(serving + 1 >= desired, || {
        format!("{name} is evicted, then {serving} of {desired} pods serve")
    })
}

pub(super) fn statuses_are_small(_: &World, said: &Said<'_>) -> Result<(), String> {
    let status = said.status;
    let bytes = serde_json::to_vec(status).map_or(0, |text| text.len());
    holds(bytes <= STATUS_MAX, || format!("a status of {bytes} bytes"))?;
    let message = status.message.len();
    holds(message <= MESSAGE_MAX, || {
        format!("a message of {message} bytes")
    })?;
    let outcomes = status.history.len();
    holds(outcomes <= HISTORY_MAX, || format!("{outcomes} outcomes"))
}

pub(super) fn scale_selector_stays(_: &World, said: &Said<'_>) -> Result<(), String> {
    let (before, after) = (&said.before.status.selector, &said.status.selector);
    holds(before.is_empty() || before == after, || {
        format!("the selector goes from {before:?} to {after:?}")
    })
}

pub(super) fn generations_only_grow(_: &World, said: &Said<'_>) -> Result<(), String> {
    let (before, after) = (
        said.before.status.observed_generation,
        said.status.observed_generation,
    );
    holds(after.unwrap_or(0) <= said.generation, || {
        format!(
            "a status of generation {after:?}, which is {}",
            said.generation
        )
    })?;
    holds(after >= before, || {
        format!("generation {before:?} was said, now {after:?}")
    })
}

/// What is newly said to be accepted is the only thing that Tidegate's own writes left in use.
pub(super) fn accepted_is_accepted(world: &World, said: &Said<'_>) -> Result<(), String> {
    let (Some(before), Some(after)) = (&said.before.status.traffic, &said.status.traffic) else {
        return Ok(());
    };
    if after.confirmed_at == before.confirmed_at || said.observed.routes.is_empty() {
        return Ok(());
    }
    let since = said
        .observed
        .routes
        .iter()
        .filter_map(|route| match &route.state {
            crate::core::observed::RouteState::Live(live) => live.changed_at,
            _ => None,
        });
    // What somebody else wrote after it was read is not spoken of.
    let read = since.max().unwrap_or(world.now);
    let mut weights = world
        .in_use(&said.observed.rollout.name)
        .filter(|config| config.since <= read)
        .flat_map(|config| config.routes.iter().map(|(_, weight, _)| *weight));
    let other = weights.find(|weight| *weight != after.accepted);
    holds(other.is_none(), || {
        format!(
            "{} % is called accepted while {other:?} % may be in use",
            after.accepted
        )
    })
}

pub(super) fn halts_are_said(_: &World, said: &Said<'_>) -> Result<(), String> {
    let status = said.status;
    let Some(phase) = status.phase else {
        return Err("a status without a phase".to_owned());
    };
    let halted = matches!(
        phase,
        Phase::Paused | Phase::Aborted | Phase::Rejected | Phase::Degraded | Phase::Invalid
    );
    if !halted {
        return Ok(());
    }
    holds(!status.message.is_empty(), || {
        format!("{phase} without a word")
    })?;
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
    let told = ready.is_some_and(|c| {
        c.status == ConditionStatus::False && !c.reason.is_empty() && !c.message.is_empty()
    });
    holds(told, || {
        format!("{phase}, and the condition Ready says {ready:?}")
    })
}
