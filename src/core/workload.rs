//! The Deployment that a Rollout has its template from (`spec.workloadRef`): its pods give way to the
//! Rollout's own, and come back when the Rollout is deleted. Of the Deployment only the size is ever
//! written; its strategy and its template stay the user's.

use jiff::SignedDuration;

use super::draft::Draft;
use super::observed::{Observed, WorkloadObserved};
use super::plan::{Precondition, Write};
use super::spec::{Means, Problem};
use super::traffic::LiveTraffic;
use crate::api::conditions::ConditionStatus;
use crate::api::rollout::WorkloadScaleDown;
use crate::api::rollout_status::WorkloadStatus;

/// A Deployment that somebody scales up again is scaled down again at most this often.
const AGAIN_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// Share of `replicas` that both may have together beyond it while one takes the other's place: the
/// surge of a Deployment that says nothing about it.
const SURGE_PERCENT: i64 = 25;

/// The hash of the version that the Deployment asks for, if that was written down for just this
/// generation of it: no newer API server that fills in other defaults makes another version of it.
#[must_use]
pub fn recorded_hash(o: &Observed) -> Option<&str> {
    let recorded = o.rollout.status.workload.as_ref()?;
    let same = |seen: &WorkloadObserved| {
        seen.uid == recorded.uid && seen.generation == recorded.observed_generation
    };
    let spec = o.rollout.spec.as_ref().ok()?;
    // One that is gone asks for nothing new.
    let holds = spec.workload.is_some() && o.workload.as_ref().is_none_or(same);
    holds.then_some(recorded.hash.as_str())
}

/// Writes down which version the Deployment asks for.
pub(super) fn note(draft: &mut Draft<'_>, desired: &str) {
    let before = draft.status.workload.take();
    let Some(seen) = &draft.o.workload else {
        draft.status.workload = before.filter(|_| draft.spec.workload.is_some());
        return;
    };
    let scaled_at = before.filter(|before| before.uid == seen.uid);
    draft.status.workload = Some(WorkloadStatus {
        uid: seen.uid.clone(),
        observed_generation: seen.generation,
        hash: desired.to_owned(),
        scaled_at: scaled_at.and_then(|before| before.scaled_at),
    });
}

/// The Deployment, if its size is Tidegate's business.
fn governed<'a>(draft: &Draft<'a>) -> Option<(&'a WorkloadObserved, WorkloadScaleDown)> {
    let scale_down = draft.spec.workload.as_ref()?.scale_down;
    let seen = draft.o.workload.as_ref()?;
    (scale_down != WorkloadScaleDown::Never).then_some((seen, scale_down))
}

/// Before the first version begins: it must not be smaller than what it takes the place of.
pub(super) fn check(draft: &mut Draft<'_>, desired: &str) {
    let Some((seen, _)) = governed(draft) else {
        return;
    };
    let replicas = draft.spec.replicas;
    let begun = draft.status.stable.is_some() || draft.replica_set(desired).is_some();
    if !begun && seen.desired > replicas {
        draft.problems.push(Problem::new(
            "spec.replicas",
            format!(
                "{replicas}, and Deployment {} has {}",
                seen.name, seen.desired
            ),
            "as many pods as the Deployment has, whose place they take; or scale the Deployment first",
        ));
    }
}

/// How many pods the first version may have by now, where they come as the Deployment's go.
pub(super) fn room(draft: &Draft<'_>, desired: &str) -> i32 {
    let replicas = draft.spec.replicas;
    match governed(draft) {
        Some((seen, WorkloadScaleDown::Progressively)) => {
            let surge = (i64::from(replicas) * SURGE_PERCENT + 99) / 100;
            let most = replicas + i32::try_from(surge).unwrap_or(0);
            let now = draft.replica_set(desired).map_or(0, |rs| rs.desired);
            // Whoever has no room at all would never begin.
            let room = (most - seen.desired.max(seen.current)).max(i32::from(now == 0));
            room.max(now).min(replicas)
        }
        _ => replicas,
    }
}

/// Adds the write that takes pods from the Deployment, once others serve in their place.
pub(super) fn give_way(draft: &mut Draft<'_>, live: &LiveTraffic, desired: &str) {
    let Some((seen, scale_down)) = governed(draft) else {
        return;
    };
    // A plan takes one thing away, and what is said here must have been done.
    let takes = draft.writes.iter().any(Write::is_destructive);
    if seen.desired == 0 || takes || !draft.problems.is_empty() {
        return;
    }
    let replicas = draft.spec.replicas;
    let to = if draft.status.stable.is_some() {
        if !serves_without(draft, live) {
            return;
        }
        0
    } else if scale_down == WorkloadScaleDown::Progressively {
        // Both together never serve with fewer than the Rollout is to have.
        seen.desired
            .min((replicas - draft.available(desired)).max(0))
    } else {
        return;
    };
    if to >= seen.desired {
        return;
    }
    let scaled_at = draft.status.workload.as_ref().and_then(|w| w.scaled_at);
    if to == 0 && !tell(draft, seen, scaled_at) {
        return;
    }
    draft.write(Write::ScaleWorkload {
        name: seen.name.clone(),
        on: of_workload(seen),
        from: seen.desired,
        to,
    });
}

/// Whether the Rollout's own pods are there, and no traffic needs any other.
fn serves_without(draft: &mut Draft<'_>, live: &LiveTraffic) -> bool {
    let o = draft.o;
    let own: i32 = o.replica_sets.iter().map(|rs| o.surely_available(rs)).sum();
    if own < draft.spec.replicas {
        return false;
    }
    if matches!(draft.spec.means, Means::Pods { .. }) || draft.spec.replicas == 0 {
        return true;
    }
    let main = draft.spec.services().first().map(|(_, name)| *name);
    let selects_a_version = main
        .and_then(|name| draft.service(name))
        .is_some_and(|service| service.hash.is_some());
    let delay = draft.spec.capacity.scale_down_delay.max(o.settings.settle);
    selects_a_version
        && live.is_confirmed()
        && live.switched_at.is_none_or(|at| draft.elapsed(at, delay))
}

/// Says that the Deployment has no pods any more; `false`: it was only just said.
fn tell(
    draft: &mut Draft<'_>,
    seen: &WorkloadObserved,
    scaled_at: Option<jiff::Timestamp>,
) -> bool {
    if scaled_at.is_some_and(|at| !draft.elapsed(at, AGAIN_INTERVAL)) {
        return false;
    }
    match scaled_at {
        None => draft.event(
            false,
            "WorkloadScaledDown",
            format!(
                "Deployment {} has no pods of its own any more: this Rollout's have taken their place",
                seen.name
            ),
        ),
        Some(_) => draft.event(
            true,
            "WorkloadScaledUp",
            format!(
                "Deployment {} was scaled to {} by somebody else, beside this Rollout's pods, and is \
                 scaled to 0 again: leave its replicas out of Git",
                seen.name, seen.desired
            ),
        ),
    }
    let now = draft.now;
    if let Some(status) = &mut draft.status.workload {
        status.scaled_at = Some(now);
    }
    true
}

/// While the Rollout is deleted: the Deployment gets its pods back before the Rollout's go. Says what
/// is still waited for.
pub(super) fn come_back(draft: &mut Draft<'_>, desired: &str) -> Option<String> {
    let (seen, _) = governed(draft)?;
    // Who never began has taken nothing.
    if draft.status.stable.is_none() && draft.o.replica_sets.is_empty() {
        return None;
    }
    let replicas = draft.spec.replicas;
    if seen.desired < replicas {
        let stable = draft.status.stable.as_ref();
        if stable.is_some_and(|stable| stable.hash != desired) {
            draft.event(
                true,
                "WorkloadIsNotStable",
                format!(
                    "Deployment {} comes back with version {desired}, which is not the stable one",
                    seen.name
                ),
            );
        }
        draft.write(Write::ScaleWorkload {
            name: seen.name.clone(),
            on: of_workload(seen),
            from: seen.desired,
            to: replicas,
        });
        return Some(format!("Deployment {} gets its pods back", seen.name));
    }
    let back = seen.up_to_date && seen.available.min(seen.updated) >= replicas;
    (!back).then(|| format!("pods of Deployment {} become available", seen.name))
}

/// What the conditions say of the Deployment's own pods.
pub(super) fn condition(draft: &Draft<'_>) -> Option<(ConditionStatus, &'static str, String)> {
    let scale_down = draft.spec.workload.as_ref()?.scale_down;
    let seen = draft.o.workload.as_ref()?;
    if seen.desired == 0 && seen.current == 0 {
        let text = format!("Deployment {} has no pods of its own", seen.name);
        return Some((ConditionStatus::True, "NoPods", text));
    }
    let (reason, text) = match scale_down {
        WorkloadScaleDown::Never => (
            "LeftAlone",
            "they take resources, and roll out by themselves whatever the template is changed to: \
             scale the Deployment to 0, or set spec.workloadRef.scaleDown",
        ),
        WorkloadScaleDown::OnSuccess | WorkloadScaleDown::Progressively => (
            "GivesWay",
            "they go when this Rollout's have taken their place",
        ),
    };
    let pods = seen.desired.max(seen.current);
    let text = format!(
        "Deployment {} has {pods} pods of its own: {text}",
        seen.name
    );
    Some((ConditionStatus::False, reason, text))
}

fn of_workload(seen: &WorkloadObserved) -> Precondition {
    Precondition {
        uid: seen.uid.clone(),
        resource_version: seen.resource_version.clone(),
    }
}
