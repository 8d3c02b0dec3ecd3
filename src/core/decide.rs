//! What Tidegate does with a Rollout, from top to bottom.
//!
//! A pure function of the observed facts and the time: the same input gives the same plan to the
//! byte. It first brings the record up to date (which version is which, what was commanded), then
//! walks the steps as far as the facts allow, then says where everything should be, and last adds
//! the next safe writes that bring it there.

use jiff::Timestamp;

use super::checks;
use super::commands;
use super::deletion;
use super::draft::Draft;
use super::forecast;
use super::judge;
use super::lifecycle::{self, Situation};
use super::naming;
use super::observed::Observed;
use super::plan::{Plan, Write};
use super::reject;
use super::restart;
use super::retention;
use super::roles;
use super::scale;
use super::shared_labels;
use super::shift;
use super::spec::Spec;
use super::status::{self, Standing};
use super::steps::{self, Wait, Walk};
use super::targets::Targets;
use super::traffic::{self, LiveTraffic};
use super::workload;

/// Decides what is to be done now.
#[must_use]
pub fn decide(o: &Observed, now: Timestamp) -> Plan {
    match &o.rollout.spec {
        Ok(spec) => with_spec(o, spec, now),
        // Nothing can be known about the traffic of a spec that cannot be read: nothing is touched.
        Err(problems) => match o.rollout.deleted_at.filter(|_| o.rollout.has_finalizer) {
            Some(since) => deletion::without_spec(o, problems, since, now),
            None => status::invalid(o, problems, now),
        },
    }
}

fn with_spec(o: &Observed, spec: &Spec, now: Timestamp) -> Plan {
    let mut draft = Draft::new(o, spec, now);
    let desired = desired_hash(&mut draft);
    workload::note(&mut draft, &desired);
    lifecycle::hand_over(&mut draft);
    if let Some(since) = o.rollout.deleted_at {
        deletion::proceed(&mut draft, since, &desired);
        return draft.finish();
    }
    // These two change the Rollout itself, so they come alone: what follows is decided on the result.
    if !o.rollout.has_finalizer {
        let on = draft.rollout();
        draft.write(Write::SetFinalizer { on, present: true });
        return draft.finish();
    }
    if let Some(write) = commands::bare_abort_handled(&draft) {
        draft.write(write);
        return draft.finish();
    }

    checks::collect(&mut draft, &desired);
    workload::check(&mut draft, &desired);
    let situation = lifecycle::update(&mut draft, &desired);
    let live = live_traffic(&mut draft, &desired);
    let situation = commands::apply(&mut draft, &desired, situation, live.weight);
    let (situation, standing) = advance(&mut draft, situation, &live, &desired);
    let targets = targets(&mut draft, situation, &live, &desired);
    status::traffic(&mut draft, &live, &targets, &desired);

    if let Some(targets) = &targets {
        shift::traffic(&mut draft, &live, targets);
        scale::scale(&mut draft, &live, targets, &desired);
        workload::give_way(&mut draft, &live, &desired);
    }
    reject::record(&mut draft);
    judge::end_obsolete(&mut draft);
    restart::proceed(&mut draft);
    retention::trim(&mut draft, &desired);
    roles::proceed(&mut draft, &live);
    status::conclude(
        &mut draft,
        situation,
        standing,
        &live,
        targets.as_ref(),
        &desired,
    );
    status::handing_over(&mut draft, &live);
    shared_labels::tell(&mut draft);
    forecast::tell(&mut draft);
    draft.finish()
}

/// The hash of the version that the spec asks for; another one if a foreign ReplicaSet has its name.
fn desired_hash(draft: &mut Draft<'_>) -> String {
    let taken = |hash: &str| {
        let name = naming::replica_set(&draft.o.rollout.name, hash);
        draft.o.foreign_replica_sets.contains(&name)
    };
    if let Some(hash) = workload::recorded_hash(draft.o).filter(|hash| !taken(hash)) {
        return hash.to_owned();
    }
    loop {
        let hash = naming::template_hash(&draft.spec.template, draft.status.collision_count);
        let name = naming::replica_set(&draft.o.rollout.name, &hash);
        if !draft.o.foreign_replica_sets.contains(&name) {
            return hash;
        }
        draft.status.collision_count += 1;
    }
}

/// The traffic between the stable version and the one that goes out or was given up.
fn live_traffic(draft: &mut Draft<'_>, desired: &str) -> LiveTraffic {
    let (stable, canary) = draft.versions(desired);
    traffic::live(draft, canary.as_deref(), &stable)
}

/// Goes on with what is in progress, as far as the facts allow.
fn advance(
    draft: &mut Draft<'_>,
    situation: Situation,
    live: &LiveTraffic,
    desired: &str,
) -> (Situation, Standing) {
    match situation {
        Situation::Initial => first_deployment(draft, live, desired),
        Situation::InProgress => in_progress(draft, live, desired),
        Situation::Settled | Situation::Aborted | Situation::Rejected => {
            (situation, Standing::Plain)
        }
    }
}

/// The first version is stable once it is whole and everything points at it: there is nothing to
/// compare it with and nothing to go back to.
fn first_deployment(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    desired: &str,
) -> (Situation, Standing) {
    let whole =
        draft.replica_set(desired).is_some() && draft.available(desired) >= draft.spec.replicas;
    let pointed = draft.spec.replicas == 0
        || draft.spec.services().iter().all(|(_, name)| {
            draft
                .service(name)
                .is_some_and(|s| s.hash.as_deref() == Some(desired))
        });
    let routed = draft.spec.replicas == 0
        || draft.spec.routes(&draft.o.rollout.name).is_empty()
        || (live.says(0, &[]) && live.is_confirmed());
    if whole && pointed && routed {
        lifecycle::promote(draft);
        return (Situation::Settled, Standing::Plain);
    }
    let standing = match (steps::overdue(draft), &live.unconfirmed) {
        (Some(message), Some(why)) => Standing::Overdue(format!("{message}: {why}")),
        (Some(message), None) => Standing::Overdue(message),
        (None, _) => Standing::Plain,
    };
    (Situation::Initial, standing)
}

fn in_progress(draft: &mut Draft<'_>, live: &LiveTraffic, desired: &str) -> (Situation, Standing) {
    let begun = draft.replica_set(desired).is_some();
    if !begun {
        checks::before_begin(draft);
    }
    let stable = draft
        .status
        .stable
        .as_ref()
        .map_or(desired, |s| s.hash.as_str())
        .to_owned();
    // What stands still is still judged: a failed analysis aborts also what is held or blocked.
    let still = match draft.problems.first() {
        Some(problem) => Some(Standing::Blocked(problem.to_string())),
        None if draft.is_held() => Some(Standing::Held),
        None => None,
    };
    let walk = match still {
        None => steps::walk(draft, live, &stable),
        Some(standing) => match judge::failed(draft) {
            None => return (Situation::InProgress, standing),
            Some(abort) => abort,
        },
    };
    match walk {
        // First the record: of what a person allowed, nobody could tell afterwards by whose word it
        // became stable.
        Walk::Promote if commands::are_new(draft) => {
            let wait = Wait::planned("what was commanded is being written down", None);
            steps::note_wait(draft, &wait);
            (Situation::InProgress, Standing::Waits(wait))
        }
        Walk::Promote => {
            lifecycle::promote(draft);
            (Situation::Settled, Standing::Plain)
        }
        Walk::Abort(reason, message, run) => {
            lifecycle::abort(draft, reason, message, run, live.weight);
            (Situation::Aborted, Standing::Plain)
        }
        Walk::Waits(wait) => {
            steps::note_wait(draft, &wait);
            match draft.problems.first() {
                Some(problem) => {
                    let text = problem.to_string();
                    (Situation::InProgress, Standing::Blocked(text))
                }
                None => (Situation::InProgress, Standing::Waits(wait)),
            }
        }
    }
}

/// Where everything should be. `None`: nothing is touched.
fn targets(
    draft: &mut Draft<'_>,
    situation: Situation,
    live: &LiveTraffic,
    desired: &str,
) -> Option<Targets> {
    let stable = draft
        .status
        .stable
        .as_ref()
        .map_or(desired, |s| s.hash.as_str())
        .to_owned();
    match situation {
        // A deployment that has not begun does not begin while something is wrong.
        Situation::Initial
            if !draft.problems.is_empty() && draft.replica_set(desired).is_none() =>
        {
            None
        }
        Situation::Initial => Some(Targets {
            stable_replicas: workload::room(draft, desired),
            ..Targets::only(draft, &stable)
        }),
        Situation::Rejected => Some(Targets::only(draft, &stable)),
        Situation::Settled => {
            let over = draft
                .status
                .history
                .first()
                .map_or(draft.now, |last| last.at);
            Some(Targets {
                since: over,
                ..Targets::only(draft, &stable)
            })
        }
        Situation::Aborted => {
            let since = draft.status.abort.as_ref().map_or(draft.now, |a| a.at);
            Some(Targets::back(draft, &stable, desired, since))
        }
        Situation::InProgress => {
            let blocked = !draft.problems.is_empty();
            if blocked && draft.replica_set(desired).is_none() {
                return Some(Targets::only(draft, &stable));
            }
            let canary = draft.status.canary.clone()?;
            let at = if canary.full {
                usize::MAX
            } else {
                usize::try_from(canary.step).ok()?
            };
            let mut targets = Targets::at_step(draft, &stable, desired, at);
            if draft.stands_still() {
                targets.hold(draft, live);
            }
            targets.by_way_of_stable(draft, live);
            Some(targets)
        }
    }
}
