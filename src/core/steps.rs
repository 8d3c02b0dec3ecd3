//! The way of a new version, step by step. Canary and blue/green are the same walk over their steps
//! with other means.

use jiff::{SignedDuration, Timestamp};

use super::draft::Draft;
use super::judge;
use super::lifecycle;
use super::spec::{Means, Pause, Step};
use super::targets::{Targets, authorised_weight};
use super::traffic::LiveTraffic;
use crate::api::rollout::{DeadlineAction, TimeoutAction};
use crate::api::rollout_status::{AbortReason, PauseReason, PauseStatus, Phase};

/// What a pause that a person has to end says.
pub const UNTIL_PROMOTED: &str = "pause until promoted: kubectl tidegate promote";

/// What the walk came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Walk {
    /// It waits for something.
    Waits(Wait),
    /// All steps are done: the canary becomes stable.
    Promote,
    /// The version is given up.
    Abort(AbortReason, String, Option<String>),
}

/// What a rollout waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wait {
    /// In words, without numbers that change from moment to moment.
    pub text: String,
    /// Set when it waits for a person, for time or for data.
    pub pause: Option<(PauseReason, Option<Timestamp>)>,
    /// Whether the progress deadline runs.
    pub clock: Clock,
}

/// Whether the progress deadline runs while a rollout waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// It waits for pods, routes and Services.
    Runs,
    /// It waits for a person, for time or for evidence.
    Stops,
}

impl Wait {
    fn for_cluster(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            pause: None,
            clock: Clock::Runs,
        }
    }

    /// Waits for a person, for time or for evidence.
    pub fn planned(
        text: impl Into<String>,
        pause: Option<(PauseReason, Option<Timestamp>)>,
    ) -> Self {
        Self {
            text: text.into(),
            pause,
            clock: Clock::Stops,
        }
    }
}

/// Goes as far as the facts allow. Moves `status.canary.step`, creates and ends AnalysisRuns.
pub(super) fn walk(draft: &mut Draft<'_>, live: &LiveTraffic, stable: &str) -> Walk {
    let spec = draft.spec;
    keep_step_if_unchanged(draft);
    note_progress(draft);
    if let Some(abort) = judge::background(draft) {
        return abort;
    }
    // Each round ends a step; there are no more rounds than steps.
    for _ in 0..=spec.steps.len() {
        let Some(canary) = draft.status.canary.clone() else {
            return Walk::Promote;
        };
        let at = usize::try_from(canary.step).unwrap_or(0);
        if let Some(wait) = all_traffic_withheld(draft) {
            return check_deadline(draft, wait);
        }
        note_all_traffic(draft, at);
        let Some(step) = spec.steps.get(at).filter(|_| !canary.full) else {
            return finish(draft, live, stable);
        };
        let outcome = match step {
            Step::SetWeight(weight) => {
                let targets = Targets::at_step(draft, stable, &canary.hash, at);
                reached(draft, live, &targets, &format!("{weight} % of the traffic"))
            }
            Step::SetSideRoute(route) => {
                let targets = Targets::at_step(draft, stable, &canary.hash, at);
                reached(draft, live, &targets, &route.to_string())
            }
            Step::SetCanaryScale(_) => {
                let targets = Targets::at_step(draft, stable, &canary.hash, at);
                scaled(draft, &targets)
            }
            Step::Pause(pause) => paused(draft, pause, canary.step_started_at),
            Step::Analysis(request) => judge::step(draft, request, at),
        };
        match outcome {
            Outcome::Done => enter(draft, canary.step + 1),
            Outcome::Waits(wait) => return check_deadline(draft, wait),
            Outcome::Abort(reason, message, run) => return Walk::Abort(reason, message, run),
        }
    }
    Walk::Waits(Wait::planned("more steps than there are", None))
}

/// What a step came to.
pub(super) enum Outcome {
    /// On to the next.
    Done,
    /// Not yet.
    Waits(Wait),
    /// The version is given up.
    Abort(AbortReason, String, Option<String>),
}

/// What all of the traffic still waits for at a step that asks for it: the background analysis' word,
/// while both versions have traffic to compare. Once it was given that stands in the status, and it
/// is not asked for again; a failure aborts all the same.
pub(super) fn all_traffic_withheld(draft: &mut Draft<'_>) -> Option<Wait> {
    let canary = draft.status.canary.as_ref()?;
    let at = usize::try_from(canary.step).unwrap_or(0);
    let open = authorised_weight(&draft.spec.steps, at) == 100
        && canary.all_traffic_at.is_none()
        && !canary.full
        && judge::speaks_before_all(draft.spec);
    if open {
        judge::background_passed(draft)
    } else {
        None
    }
}

/// Writes down whether all of the traffic is authorised, after its word was given.
fn note_all_traffic(draft: &mut Draft<'_>, at: usize) {
    let asked_for = authorised_weight(&draft.spec.steps, at) == 100;
    let canary = draft.status.canary.as_ref();
    let before = canary.is_some_and(|c| c.all_traffic_at.is_some());
    let now = canary.is_some_and(|c| c.full || asked_for);
    if now != before {
        grant_all_traffic(draft, now);
    }
}

/// All of the traffic is authorised, or no longer.
pub(super) fn grant_all_traffic(draft: &mut Draft<'_>, granted: bool) {
    let now = draft.now;
    if let Some(canary) = &mut draft.status.canary {
        canary.all_traffic_at = granted.then_some(now);
        // What was waited for until now was a word, not progress.
        canary.progress_at = Some(now);
    }
}

/// Begins a step.
pub(super) fn enter(draft: &mut Draft<'_>, step: i32) {
    let hash = draft.spec.steps_hash(usize::try_from(step).unwrap_or(0));
    let now = draft.now;
    if let Some(canary) = &mut draft.status.canary {
        canary.step = step;
        canary.steps_hash = hash;
        canary.step_started_at = Some(now);
        canary.progress_at = Some(now);
        canary.analysis_run = None;
    }
    draft.status.pause = None;
}

/// Steps edited during a rollout: the place is kept if what was done still stands, else it starts at
/// step 0 (the weight falls back before anything else happens).
fn keep_step_if_unchanged(draft: &mut Draft<'_>) {
    let Some(canary) = &draft.status.canary else {
        return;
    };
    let at = usize::try_from(canary.step).unwrap_or(0);
    if canary.steps_hash != draft.spec.steps_hash(at) {
        enter(draft, 0);
        draft.event(
            false,
            "StepsChanged",
            "the steps already done were edited: back to step 0",
        );
    }
}

/// Progress is a monotone maximum: pods that flap do not count.
fn note_progress(draft: &mut Draft<'_>) {
    let Some(canary) = &draft.status.canary else {
        return;
    };
    let available = draft.available(&canary.hash);
    let now = draft.now;
    if available <= canary.best_available {
        return;
    }
    // Written with the next status that says more; by itself it is not worth a write.
    if let Some(canary) = &mut draft.status.canary {
        canary.best_available = available;
        canary.progress_at = Some(now);
        canary.available_since.get_or_insert(now);
    }
}

/// Whether the pods and the traffic of a weight are there.
fn reached(draft: &mut Draft<'_>, live: &LiveTraffic, targets: &Targets, what: &str) -> Outcome {
    if let Outcome::Waits(wait) = scaled(draft, targets) {
        return Outcome::Waits(wait);
    }
    if let Some(wait) = judge::waits_for_pods(draft) {
        return Outcome::Waits(wait);
    }
    if let Means::Pods { .. } = draft.spec.means {
        let over = draft
            .o
            .replica_sets
            .iter()
            .any(|rs| rs.hash == targets.stable && rs.desired > targets.stable_replicas);
        return if over {
            Outcome::Waits(Wait::for_cluster(format!(
                "{what}: pods of the old version go"
            )))
        } else {
            Outcome::Done
        };
    }
    // Without any pods there is no traffic to move. As long as stable serves somebody there is: whoever
    // asks for pods again in the next moment finds everything as it was.
    if draft.spec.replicas == 0 {
        return match draft.serves_nobody(&targets.stable) {
            true => Outcome::Done,
            false => Outcome::Waits(Wait::for_cluster(format!(
                "{what}: pods of the old version go"
            ))),
        };
    }
    // The weight may still be another version's.
    if let Some(service) = names_another(draft, targets) {
        let text = format!("{what}: Service {service} selects another version");
        return Outcome::Waits(Wait::for_cluster(text));
    }
    if !live.says(targets.weight, &targets.side_routes) {
        return Outcome::Waits(Wait::for_cluster(format!("{what}: being written")));
    }
    match &live.unconfirmed {
        Some(why) => Outcome::Waits(Wait::for_cluster(format!("{what}: {why}"))),
        None => Outcome::Done,
    }
}

/// The canary Service, where requests are to go through it and it does not select the canary.
fn names_another<'a>(draft: &Draft<'a>, targets: &Targets) -> Option<&'a str> {
    let Means::Routes { canary_service, .. } = &draft.spec.means else {
        return None;
    };
    let is_used = targets.weight > 0 || !targets.side_routes.is_empty();
    let named = draft.service(canary_service).map(|s| &s.hash);
    (is_used && named != Some(&targets.canary)).then_some(canary_service)
}

/// Whether the canary has its pods.
fn scaled(draft: &mut Draft<'_>, targets: &Targets) -> Outcome {
    if !lifecycle::has_begun(draft) {
        return Outcome::Waits(Wait::for_cluster(
            "versions follow each other closely: this one begins when the spec is at rest",
        ));
    }
    let hash = targets.canary.as_deref().unwrap_or_default();
    let needed = targets.canary_replicas;
    let Some(rs) = draft.replica_set(hash) else {
        return Outcome::Waits(Wait::for_cluster("the ReplicaSet is being created"));
    };
    if rs.desired >= needed && draft.available(hash) >= needed {
        return Outcome::Done;
    }
    let text = match &rs.failure {
        Some(failure) => format!("pods of the new version cannot be created: {failure}"),
        None => format!("pods of the new version become available ({needed} needed)"),
    };
    Outcome::Waits(Wait::for_cluster(text))
}

fn paused(draft: &mut Draft<'_>, pause: &Pause, since: Option<Timestamp>) -> Outcome {
    let since = since.unwrap_or(draft.now);
    let until = |wait: SignedDuration| since.checked_add(wait).ok();
    match pause {
        Pause::For(wait) => {
            if draft.elapsed(since, *wait) {
                return Outcome::Done;
            }
            Outcome::Waits(Wait::planned(
                "pause",
                Some((PauseReason::Step, until(*wait))),
            ))
        }
        Pause::UntilPromoted(None) => Outcome::Waits(Wait::planned(
            UNTIL_PROMOTED,
            Some((PauseReason::Step, None)),
        )),
        Pause::UntilPromoted(Some((timeout, action))) => {
            if draft.elapsed(since, *timeout) {
                return match action {
                    TimeoutAction::Promote => Outcome::Done,
                    TimeoutAction::Abort => Outcome::Abort(
                        AbortReason::PauseTimeout,
                        format!("nobody promoted within {} s", timeout.as_secs()),
                        None,
                    ),
                };
            }
            Outcome::Waits(Wait::planned(
                UNTIL_PROMOTED,
                Some((PauseReason::Step, until(*timeout))),
            ))
        }
    }
}

/// Past the last step: all pods and all traffic; then it is stable. A background analysis that could
/// say nothing before has to say it here.
fn finish(draft: &mut Draft<'_>, live: &LiveTraffic, stable: &str) -> Walk {
    let Some(canary) = draft.status.canary.clone() else {
        return Walk::Promote;
    };
    let targets = Targets::at_step(draft, stable, &canary.hash, draft.spec.steps.len());
    match reached(draft, live, &targets, "all traffic") {
        Outcome::Waits(wait) => check_deadline(draft, wait),
        Outcome::Abort(reason, message, run) => Walk::Abort(reason, message, run),
        Outcome::Done if canary.full || judge::speaks_before_all(draft.spec) => Walk::Promote,
        Outcome::Done => match judge::background_passed(draft) {
            Some(wait) => check_deadline(draft, wait),
            None => Walk::Promote,
        },
    }
}

/// No progress for too long, while nothing planned was waited for.
fn check_deadline(draft: &mut Draft<'_>, wait: Wait) -> Walk {
    let now = draft.now;
    // It stood still until now, for a person, for evidence or for something else that was missing: the
    // time for progress begins anew.
    let stood = matches!(
        draft.o.rollout.status.phase,
        Some(Phase::Paused | Phase::Invalid)
    );
    if let Some(canary) = &mut draft.status.canary {
        if wait.clock == Clock::Stops {
            // A pause shows in the phase.
            if wait.pause.is_none() {
                canary.progress_at = None;
            }
            return Walk::Waits(wait);
        }
        if stood || canary.progress_at.is_none() {
            canary.progress_at = Some(now);
        }
    }
    match overdue(draft) {
        Some(message) if draft.spec.progress_deadline_action == DeadlineAction::Abort => {
            Walk::Abort(
                AbortReason::ProgressDeadlineExceeded,
                format!("{message}: {}", wait.text),
                None,
            )
        }
        _ => Walk::Waits(wait),
    }
}

/// Says so when the progress deadline has passed.
pub(super) fn overdue(draft: &mut Draft<'_>) -> Option<String> {
    let canary = draft.status.canary.as_ref()?;
    let since = canary.progress_at.max(canary.step_started_at)?;
    let deadline = draft.spec.progress_deadline;
    draft
        .elapsed(since, deadline)
        .then(|| format!("no progress within {} s", deadline.as_secs()))
}

/// Writes what is waited for into the status; the time of its beginning moves only with its reason.
pub(super) fn note_wait(draft: &mut Draft<'_>, wait: &Wait) {
    let now = draft.now;
    draft.status.pause = wait.pause.map(|(reason, until)| {
        let since = draft
            .status
            .pause
            .as_ref()
            .filter(|before| before.reason == reason)
            .map_or(now, |before| before.since);
        PauseStatus {
            reason,
            since,
            until,
        }
    });
}
