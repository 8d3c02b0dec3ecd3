//! An analysis that will not have enough evidence within its step, as it looks now. It stops nothing: the
//! traffic may come yet, and the step has its end. Whoever waits for it reads it meanwhile.

use super::draft::Draft;
use super::observed::{RunObserved, RunPhase};
use crate::api::analysis_status::TOO_LITTLE_TRAFFIC;
use crate::api::conditions::ConditionStatus;

/// The condition, and the reason of the Event when it begins.
pub(super) const TYPE: &str = TOO_LITTLE_TRAFFIC;

/// What the conditions say of it; `None`: nothing is foreseen.
pub(super) fn condition(draft: &Draft<'_>) -> Option<(ConditionStatus, &'static str, String)> {
    let canary = draft.status.canary.as_ref();
    let canary = canary.filter(|_| draft.status.abort.is_none());
    let run = draft.run(canary?.analysis_run.as_ref()?)?;
    lacks(run).then(|| {
        let text = format!(
            "analysis {}: {}. Give it a larger weight or a longer maxDuration, tolerate more, or decide \
             yourself: kubectl tidegate promote goes on, abort gives up",
            run.name, run.message
        );
        (ConditionStatus::True, "Forecast", text)
    })
}

fn lacks(run: &RunObserved) -> bool {
    run.phase == RunPhase::Running && run.reason == TOO_LITTLE_TRAFFIC
}

/// Says it once, when it begins, in an Event.
pub(super) fn tell(draft: &mut Draft<'_>) {
    draft.tell_of_condition(TYPE);
}
