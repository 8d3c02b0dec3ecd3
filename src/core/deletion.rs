//! A Rollout that is being deleted: the routes are given back to stable, the Services select all of
//! the workload's pods again, a Deployment whose place was taken has its pods back, then Tidegate lets
//! go. Bounded in time, also where the spec cannot be read: it never holds a namespace.

use jiff::{SignedDuration, Timestamp};

use super::counts;
use super::draft::{Draft, TEXT_MAX, cut, of_service};
use super::observed::Observed;
use super::plan::{Plan, PlannedEvent, Precondition, Write};
use super::scale;
use super::shift;
use super::spec::{Means, Problem};
use super::status;
use super::targets::Targets;
use super::traffic;
use super::workload;
use crate::api::rollout_status::Phase;

/// After this time the finalizer goes even if something could not be given back: a missing route or
/// right must not keep a namespace for ever.
const LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// Adds the next writes of the deletion.
pub(super) fn proceed(draft: &mut Draft<'_>, since: Timestamp, desired: &str) {
    if !draft.o.rollout.has_finalizer {
        return;
    }
    let (stable, canary) = draft.versions(desired);
    let live = traffic::live(draft, canary.as_deref(), &stable);
    let targets = match &canary {
        Some(canary) => Targets::back(draft, &stable, canary, since),
        None => Targets::only(draft, &stable),
    };
    let coming_back = workload::come_back(draft, desired);
    let waiting = if is_anothers(draft) {
        give_back_services(draft).or(coming_back)
    } else if live.reaches_canary() {
        shift::traffic(draft, &live, &targets);
        // Stable may have given pods up.
        scale::scale(draft, &live, &targets, desired);
        Some(
            live.unconfirmed
                .clone()
                .unwrap_or_else(|| "the weights go back to stable".into()),
        )
    } else if others_serve(draft, &stable) {
        // A Service without a version would reach the canary's pods as well.
        scale::scale(draft, &live, &targets, desired);
        Some("the pods of other versions go".to_owned())
    } else {
        // Who is let go in the end leaves Services that select whatever pods there are.
        give_back_services(draft).or(coming_back)
    };
    let overdue = draft.elapsed(since, LIMIT);
    if let Some(reason) = &waiting
        && !overdue
    {
        draft.status.message = format!("being deleted: {reason}");
        draft.status.phase = Some(Phase::Progressing);
        counts::write(draft, desired);
        return;
    }
    draft.writes.clear();
    draft.status = draft.o.rollout.status.clone();
    if let Some(reason) = waiting {
        draft.event(
            true,
            "DeletionForced",
            format!(
                "after {} s without success the Rollout is let go: {reason}",
                LIMIT.as_secs()
            ),
        );
    }
    let on = draft.rollout();
    draft.write(Write::SetFinalizer { on, present: false });
}

/// A spec that cannot be read says of nothing that it is Tidegate's to give back: the Rollout is let go
/// when nobody has mended it in time.
pub(super) fn without_spec(
    o: &Observed,
    problems: &[Problem],
    since: Timestamp,
    now: Timestamp,
) -> Plan {
    let due = since.checked_add(LIMIT).unwrap_or(Timestamp::MAX);
    if now < due {
        return Plan {
            wake_at: Some(due),
            ..status::invalid(o, problems, now)
        };
    }
    Plan {
        writes: vec![Write::SetFinalizer {
            on: Precondition {
                uid: o.rollout.uid.clone(),
                resource_version: o.rollout.resource_version.clone(),
            },
            present: false,
        }],
        events: vec![PlannedEvent {
            warning: true,
            reason: "DeletionForced",
            note: cut(
                format!(
                    "after {} s the Rollout is let go as it is, because its spec cannot be read: \
                     Services may still select one version: {}",
                    LIMIT.as_secs(),
                    problems
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("; "),
                ),
                TEXT_MAX,
            ),
        }],
        ..Plan::default()
    }
}

/// Whether another Rollout uses the Services that this one names. Their traffic, and the routes to
/// them, are that one's.
fn is_anothers(draft: &Draft<'_>) -> bool {
    let services = draft.spec.services();
    let owners = services
        .iter()
        .filter_map(|(_, name)| draft.service(name)?.managed_by.as_deref());
    let ours = draft.o.rollout.name.as_str();
    let (own, others): (Vec<&str>, Vec<&str>) = owners.partition(|owner| *owner == ours);
    !others.is_empty() || (own.is_empty() && !draft.o.conflicts.is_empty())
}

/// Whether pods of another version than stable would be reached by a Service without a version.
fn others_serve(draft: &Draft<'_>, stable: &str) -> bool {
    let through_services = !matches!(draft.spec.means, Means::Pods { .. });
    let o = draft.o;
    through_services
        && o.replica_sets
            .iter()
            .chain(&o.baselines)
            .any(|rs| rs.hash != stable && (rs.desired > 0 || rs.possibly_serving() > 0))
}

/// Takes the version out of the next Service's selector; says what is still to be done.
fn give_back_services(draft: &mut Draft<'_>) -> Option<String> {
    let spec = draft.spec;
    let ours = draft.o.rollout.name.as_str();
    let next = spec.services().into_iter().find_map(|(_, name)| {
        draft.service(name).filter(|s| {
            s.hash.is_some() && s.managed_by.as_deref().is_none_or(|owner| owner == ours)
        })
    })?;
    let at = draft.now;
    draft.write(Write::SwitchService {
        name: next.name.clone(),
        on: of_service(next),
        from: next.hash.clone(),
        to: None,
        at,
    });
    Some(format!("Service {} selects all pods again", next.name))
}
