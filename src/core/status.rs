//! The status as it will be: phase, reason in one sentence, traffic and conditions, in the
//! form that kstatus reads (`observedGeneration`, `Ready`, `Reconciling`, `Stalled`).

use jiff::{SignedDuration, Timestamp};

use super::counts;
use super::draft::{Draft, TEXT_MAX, cut};
use super::forecast;
use super::lifecycle::{Situation, rejection};
use super::lossless;
use super::observed::Observed;
use super::plan::{Plan, Write};
use super::shared_labels;
use super::spec::{Means, Problem, SideRoute};
use super::steps::Wait;
use super::targets::Targets;
use super::traffic::LiveTraffic;
use super::workload;
use crate::api::conditions::{Condition, ConditionStatus};
use crate::api::rollout_status::{PauseReason, Phase, RolloutStatus, TrafficStatus};

/// Beyond the settle delays of a Service and a route, how long a promotion's routes may go over
/// without a status that says so.
const HAND_OVER_QUIET: SignedDuration = SignedDuration::from_secs(10);

/// How what is in progress stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// Nothing special.
    Plain,
    /// It waits.
    Waits(Wait),
    /// Somebody holds it.
    Held,
    /// Something outside is wrong.
    Blocked(String),
    /// Its deadline has passed.
    Overdue(String),
}

/// The plan for a spec that cannot be carried out: it is said, and nothing else is done.
pub(super) fn invalid(o: &Observed, problems: &[Problem], now: Timestamp) -> Plan {
    let mut status = o.rollout.status.clone();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    status.phase = Some(Phase::Invalid);
    // What ends a pause is when its step began; that stays, and the time passes meanwhile.
    status.pause = None;
    status.message = cut(text.join("; "), TEXT_MAX);
    status.observed_generation = Some(o.rollout.generation);
    let message = status.message.clone();
    let generation = o.rollout.generation;
    for (type_, value) in [
        ("Ready", ConditionStatus::False),
        ("Reconciling", ConditionStatus::False),
        ("Stalled", ConditionStatus::True),
        ("Paused", ConditionStatus::False),
    ] {
        set(
            &mut status,
            type_,
            value,
            "InvalidSpec",
            &message,
            generation,
            now,
        );
    }
    let changed = status != o.rollout.status;
    let events = if changed && o.rollout.status.phase != Some(Phase::Invalid) {
        vec![super::plan::PlannedEvent {
            warning: true,
            reason: "InvalidSpec",
            note: message,
        }]
    } else {
        Vec::new()
    };
    Plan {
        status: changed.then_some(status),
        events,
        ..Plan::default()
    }
}

/// What the routes say and what they should say.
pub(super) fn traffic(
    draft: &mut Draft<'_>,
    live: &LiveTraffic,
    targets: &Option<Targets>,
    desired: &str,
) {
    let Some(targets) = targets else { return };
    let now = draft.now;
    let mut traffic = draft.status.traffic.clone().unwrap_or_default();
    // What somebody took away does not end: it is put back.
    let standing = live.side_routes.as_ref().is_none_or(|h| !h.is_empty());
    let known = !(traffic.header_routes.is_empty() && traffic.mirror_routes.is_empty());
    let side_routes_end = targets.side_routes.is_empty() && known && standing;
    if traffic.desired != targets.weight || side_routes_end {
        traffic.desired = targets.weight;
        traffic.reasserted_at = None;
    }
    if live.is_confirmed() && live.exact {
        let (mirrors, headers): (Vec<&SideRoute>, Vec<&SideRoute>) = live
            .side_routes
            .iter()
            .flatten()
            .partition(|side| side.is_mirror());
        let names = |sides: Vec<&SideRoute>| sides.into_iter().map(|s| s.name.clone()).collect();
        let before = traffic.clone();
        traffic.accepted = live.weight;
        traffic.header_routes = names(headers);
        traffic.mirror_routes = names(mirrors);
        if traffic != before || traffic.confirmed_at.is_none() {
            traffic.confirmed_at = Some(now);
        }
    }
    if let Means::Pods { .. } = draft.spec.means {
        // The share moves with every pod; it is written with the counts.
        let before: TrafficStatus = draft.o.rollout.status.traffic.clone().unwrap_or_default();
        if before.desired == traffic.desired
            && before.confirmed_at.is_some()
            && !counts::are_final(draft, desired)
        {
            traffic.accepted = before.accepted;
            traffic.confirmed_at = before.confirmed_at;
        }
    }
    draft.status.traffic = Some(traffic);
}

/// Phase, message, counts and conditions.
pub(super) fn conclude(
    draft: &mut Draft<'_>,
    situation: Situation,
    standing: Standing,
    live: &LiveTraffic,
    targets: Option<&Targets>,
    desired: &str,
) {
    let steps = i32::try_from(draft.spec.steps.len()).unwrap_or(i32::MAX);
    if let Some(canary) = &mut draft.status.canary {
        canary.steps = steps;
        canary.step_text = format!("{}/{steps}", canary.step.min(steps));
    }
    let (phase, message) = phase(draft, situation, standing, live, targets, desired);
    let before = draft.o.rollout.status.phase;
    if phase == Phase::Invalid && before != Some(Phase::Invalid) {
        draft.event(true, "Blocked", message.clone());
    }
    if phase == Phase::Degraded && before != Some(Phase::Degraded) {
        draft.event(true, "Degraded", message.clone());
    }
    draft.status.phase = Some(phase);
    draft.status.message = cut(message, TEXT_MAX);
    draft.status.observed_generation = Some(draft.o.rollout.generation);
    if !matches!(phase, Phase::Paused | Phase::Progressing) {
        draft.status.pause = None;
    }
    conditions(draft, phase, desired);
    counts::write(draft, desired);
}

fn phase(
    draft: &mut Draft<'_>,
    situation: Situation,
    standing: Standing,
    live: &LiveTraffic,
    targets: Option<&Targets>,
    desired: &str,
) -> (Phase, String) {
    if let Some(problem) = draft.problems.first()
        && !matches!(situation, Situation::Aborted)
    {
        let more = draft.problems.len() - 1;
        let more = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        return (Phase::Invalid, format!("{problem}{more}"));
    }
    match situation {
        Situation::Initial => match standing {
            Standing::Overdue(message) => (Phase::Degraded, format!("first deployment: {message}")),
            _ if rejection(draft, desired).is_some() => (
                Phase::Degraded,
                "the version is on record as rejected, but there is no other to serve".to_owned(),
            ),
            _ => (Phase::Initializing, failure(draft, desired, "the first version comes up")),
        },
        Situation::Settled => settled(draft, live, desired),
        Situation::Rejected => (
            Phase::Rejected,
            "the spec asks for a version on record as rejected; stable keeps all traffic: take the \
             change out of Git, or kubectl tidegate retry"
                .to_owned(),
        ),
        Situation::Aborted => {
            let reason =
                draft.status.abort.as_ref().map(|a| a.message.clone()).unwrap_or_default();
            let before = draft.o.rollout.status.phase == Some(Phase::Aborted);
            let by_pods = matches!(draft.spec.means, Means::Pods { .. });
            let serves = by_pods && draft.available(desired) > 0;
            if live.says(0, &[]) && (live.is_confirmed() || before) && !serves {
                return (Phase::Aborted, format!("stable has all traffic: {reason}"));
            }
            let since = aborting_since(draft);
            let deadline = draft.spec.progress_deadline;
            if since.is_some_and(|since| !draft.elapsed(since, deadline)) {
                return (Phase::Aborting, format!("traffic goes back to stable: {reason}"));
            }
            let text = "stable does not come to take its traffic back";
            let stable = draft.status.stable.as_ref().map_or(desired, |s| s.hash.as_str());
            (Phase::Degraded, format!("{}: {reason}", failure(draft, stable, text)))
        }
        Situation::InProgress => in_progress(draft, standing, targets),
    }
}

fn settled(draft: &mut Draft<'_>, live: &LiveTraffic, stable: &str) -> (Phase, String) {
    let settled_before = draft.o.rollout.status.phase == Some(Phase::Healthy);
    // Without pods there is no traffic, whatever the routes say.
    let none = draft.spec.replicas == 0;
    let whole = draft.available(stable) >= draft.spec.replicas;
    let missing = if !none && (live.reaches_canary() || !(live.is_confirmed() || settled_before)) {
        "the routes go over to the stable Service".to_owned()
    } else if !whole {
        failure(draft, stable, "pods of the stable version become available")
    } else {
        return (Phase::Healthy, "stable has all traffic".to_owned());
    };
    let deadline = draft.spec.progress_deadline;
    let since = unready_since(draft);
    if since.is_some_and(|since| draft.elapsed(since, deadline)) {
        let text = format!("no progress within {} s: {missing}", deadline.as_secs());
        return (Phase::Degraded, text);
    }
    (Phase::Progressing, missing)
}

/// Since when an abort is on its way, also one whose traffic somebody sent to the canary again; `None`:
/// for too long already.
fn aborting_since(draft: &Draft<'_>) -> Option<Timestamp> {
    let before = &draft.o.rollout.status;
    if before.abort.is_some() && before.phase == Some(Phase::Degraded) {
        return None;
    }
    let stalled = before.conditions.iter().find(|c| c.type_ == "Stalled");
    let goes_on = stalled.filter(|c| c.status == ConditionStatus::False);
    let since = goes_on.map_or(draft.now, |c| c.last_transition_time);
    let aborted = draft.status.abort.as_ref().map(|abort| abort.at);
    Some(aborted.map_or(since, |at| since.max(at)))
}

/// Since when a stable version has had time to bring its pods up and to take its traffic: since it
/// was not ready, and not in the time of the rollout that made it stable.
fn unready_since(draft: &Draft<'_>) -> Option<Timestamp> {
    let before = &draft.o.rollout.status;
    let ready = before.conditions.iter().find(|c| c.type_ == "Ready")?;
    let since = (ready.status == ConditionStatus::False).then_some(ready.last_transition_time)?;
    let promoted = draft.status.history.first().map(|last| last.at);
    Some(since.max(promoted.unwrap_or(since)))
}

fn in_progress(
    draft: &mut Draft<'_>,
    standing: Standing,
    targets: Option<&Targets>,
) -> (Phase, String) {
    let step = draft
        .status
        .canary
        .as_ref()
        .map(|c| c.step_text.clone())
        .unwrap_or_default();
    let weight = targets.map_or(0, |t| t.weight);
    let at = format!("step {step}, {weight} % canary");
    match standing {
        Standing::Held => {
            let now = draft.now;
            let since = draft.status.held_since.unwrap_or(now);
            let since = draft
                .o
                .rollout
                .status
                .pause
                .as_ref()
                .filter(|p| p.reason == PauseReason::Manual)
                .map_or(since, |p| p.since);
            draft.status.pause = Some(crate::api::rollout_status::PauseStatus {
                reason: PauseReason::Manual,
                since,
                until: None,
            });
            let how = if draft.spec.paused {
                "spec.paused"
            } else {
                "kubectl tidegate resume"
            };
            (Phase::Paused, format!("{at}: held ({how})"))
        }
        Standing::Waits(wait) => {
            if draft.spec.progress_deadline_action == crate::api::rollout::DeadlineAction::Report
                && wait.clock == super::steps::Clock::Runs
                && let Some(message) = super::steps::overdue(draft)
            {
                return (Phase::Degraded, format!("{at}: {message}: {}", wait.text));
            }
            let phase = if wait.pause.is_some() {
                Phase::Paused
            } else {
                Phase::Progressing
            };
            (phase, format!("{at}: {}", wait.text))
        }
        Standing::Blocked(text) | Standing::Overdue(text) => (Phase::Invalid, text),
        Standing::Plain => (Phase::Progressing, at),
    }
}

/// `text`, or why a version's pods cannot be created.
fn failure(draft: &Draft<'_>, hash: &str, text: &str) -> String {
    match draft.replica_set(hash).and_then(|rs| rs.failure.as_ref()) {
        Some(failure) => format!("pods cannot be created: {failure}"),
        None => text.to_owned(),
    }
}

fn conditions(draft: &mut Draft<'_>, phase: Phase, desired: &str) {
    use ConditionStatus::{False, True};
    let yes = |b: bool| if b { True } else { False };
    let message = draft.status.message.clone();
    let reason = phase.to_string();
    let stalled = matches!(
        phase,
        Phase::Aborted | Phase::Rejected | Phase::Degraded | Phase::Invalid
    );
    let ready = phase == Phase::Healthy;
    let stable = draft
        .status
        .stable
        .as_ref()
        .map_or(desired, |s| s.hash.as_str())
        .to_owned();
    let serving: i32 = draft.o.replica_sets.iter().map(|rs| rs.available).sum();
    let available =
        serving >= draft.spec.replicas || draft.available(&stable) >= draft.spec.replicas;
    let traffic = draft.status.traffic.clone().unwrap_or_default();
    let confirmed = traffic.accepted == traffic.desired && traffic.confirmed_at.is_some();
    let mut list = vec![
        ("Ready", yes(ready), reason.clone(), message.clone()),
        (
            "Reconciling",
            yes(!ready && !stalled),
            reason.clone(),
            message.clone(),
        ),
        ("Stalled", yes(stalled), reason.clone(), message.clone()),
        (
            "Available",
            yes(available),
            if available {
                "EnoughPods"
            } else {
                "TooFewPods"
            }
            .to_owned(),
            "whether as many pods as spec.replicas are available".to_owned(),
        ),
        ("Paused", yes(phase == Phase::Paused), reason, message),
        (
            "TrafficConfirmed",
            yes(confirmed),
            if confirmed {
                "Confirmed"
            } else {
                "NotConfirmed"
            }
            .to_owned(),
            "whether the data plane has the weight that is wanted".to_owned(),
        ),
    ];
    let (lossless, why, advice) = lossless::of(&draft.spec.template);
    list.push(("Lossless", lossless, why.to_owned(), advice));
    if let Some((is, why, text)) = workload::condition(draft) {
        list.push(("WorkloadScaledDown", is, why.to_owned(), text));
    }
    if let Some((is, why, text)) = shared_labels::condition(draft) {
        list.push((shared_labels::TYPE, is, why.to_owned(), text));
    }
    if let Some((is, why, text)) = forecast::condition(draft) {
        list.push((forecast::TYPE, is, why.to_owned(), text));
    }
    if phase == Phase::Degraded && rejection(draft, desired).is_some() {
        list.push((
            "RejectedVersionServing",
            True,
            "NoOtherVersion".to_owned(),
            "the only version there is was rejected before".to_owned(),
        ));
    }
    let revert = draft.status.abort.as_ref().and_then(|a| a.revert.clone());
    let revert = revert.and_then(|name| draft.o.reverts.iter().find(|r| r.name == name));
    if let Some(revert) = revert {
        let phase = revert.phase.clone().unwrap_or_else(|| "Pending".to_owned());
        let landed = matches!(phase.as_str(), "Landed" | "Verified");
        let words = revert.message.clone().unwrap_or_default();
        list.push((
            "GitReverted",
            yes(landed),
            phase,
            format!("Revert {}: {words}", revert.name),
        ));
    }
    let keep: Vec<&str> = list.iter().map(|(type_, ..)| *type_).collect();
    draft
        .status
        .conditions
        .retain(|c| keep.contains(&c.type_.as_str()));
    let generation = draft.o.rollout.generation;
    for (type_, value, reason, message) in list {
        let message = cut(message, TEXT_MAX);
        set(
            &mut draft.status,
            type_,
            value,
            &reason,
            &message,
            generation,
            draft.now,
        );
    }
}

fn set(
    status: &mut RolloutStatus,
    type_: &str,
    value: ConditionStatus,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let before = status.conditions.iter().position(|c| c.type_ == type_);
    let since = before
        .and_then(|i| status.conditions.get(i))
        .filter(|c| c.status == value)
        .map_or(now, |c| c.last_transition_time);
    let condition = Condition {
        type_: type_.to_owned(),
        status: value,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: Some(generation),
    };
    match before.and_then(|i| status.conditions.get_mut(i)) {
        Some(slot) => *slot = condition,
        None => status.conditions.push(condition),
    }
}

/// Leaves the record as it is while a promotion's routes go over to the stable Service: that Service
/// names the new version already, so nothing is lost with the status, and one status says both that
/// the version is stable and that everything is where it should be. A hand-over that takes long is
/// said, and so is a command at once.
pub(super) fn handing_over(draft: &mut Draft<'_>, live: &LiveTraffic) {
    let Means::Routes { stable_service, .. } = &draft.spec.means else {
        return;
    };
    let (before, after) = (&draft.o.rollout.status, &draft.status);
    let promoted = match (&before.stable, &before.canary, &after.stable) {
        (Some(_), Some(canary), Some(stable)) => canary.hash == stable.hash,
        _ => false,
    };
    if !promoted
        || after.canary.is_some()
        || after.phase == Some(Phase::Healthy)
        || after.handled_commands != before.handled_commands
    {
        return;
    }
    let begins = draft
        .writes
        .iter()
        .any(|write| matches!(write, Write::SwitchService { name, .. } if name == stable_service));
    let quiet = draft.o.settings.settle * 2 + HAND_OVER_QUIET;
    if begins || live.switched_at.is_some_and(|at| !draft.elapsed(at, quiet)) {
        draft.status = draft.o.rollout.status.clone();
        draft.events.clear();
    }
}
