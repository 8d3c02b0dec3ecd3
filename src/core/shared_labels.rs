//! Deployments whose pods have the labels of the Rollout's. They stop nothing: whoever leaves a
//! Deployment behind applies a Rollout beside it and scales the Deployment down when the Rollout's pods
//! serve. That both have pods is said meanwhile, because what goes by labels alone takes them for one.

use super::draft::Draft;
use super::spec::Means;
use crate::api::conditions::ConditionStatus;

/// The condition, and the reason of the Event when it begins.
pub(super) const TYPE: &str = "LabelsShared";

/// Deployments that are named; of more only the number is said.
const NAMED_MAX: usize = 3;

/// What the conditions say of them; `None`: there is none.
pub(super) fn condition(draft: &Draft<'_>) -> Option<(ConditionStatus, &'static str, String)> {
    let all = &draft.o.labels_shared_with;
    if all.is_empty() {
        return None;
    }
    let (named, more) = all.split_at(all.len().min(NAMED_MAX));
    let who = match (named, more.len()) {
        ([one], _) => format!("Deployment {one} has"),
        (_, 0) => format!("Deployments {} have", named.join(", ")),
        (_, more) => format!("Deployments {} and {more} more have", named.join(", ")),
    };
    let besides = match draft.spec.means {
        Means::Pods { .. } => {
            "; and a new version has less of the traffic than its step says, because a Service that \
             selects them all sends a part to those pods"
        }
        Means::Routes { .. } | Means::Active { .. } => "",
    };
    let text = format!(
        "{who} pods with labels that this Rollout's pods have: what goes by labels alone, an autoscaler \
         or a disruption budget, takes them for one{besides}. Scale to 0 what this Rollout's pods have \
         taken the place of, or give one of the two other labels"
    );
    Some((ConditionStatus::True, "Deployment", text))
}

/// Says it once, when it begins, in an Event.
pub(super) fn tell(draft: &mut Draft<'_>) {
    draft.tell_of_condition(TYPE);
}
