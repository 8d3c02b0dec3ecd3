//! The template of a Rollout: its own, or that of the Deployment that it names. What the schema
//! refuses of an own template is refused here of a Deployment's.

use serde_json::{Value, json};

use crate::api::rollout::{HASH_LABEL, RolloutSpec, Selector};
use crate::core::spec::Problem;

/// The template that goes out.
pub(super) fn template<'a>(
    spec: &'a RolloutSpec,
    of_workload: Option<&'a Value>,
    problems: &mut Vec<Problem>,
) -> &'a Value {
    let Some(workload) = &spec.workload_ref else {
        return &spec.template;
    };
    if !spec.template.is_null() {
        problems.push(Problem::new(
            "spec.workloadRef",
            "beside spec.template",
            "exactly one of template and workloadRef",
        ));
    }
    let Some(template) = of_workload else {
        problems.push(Problem::new(
            "spec.workloadRef.name",
            format!("Deployment {} does not exist", workload.name),
            "a Deployment of this namespace; create it, or mend the name",
        ));
        return &Value::Null;
    };
    let labels = template.pointer("/metadata/labels");
    let has = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
    for (key, value) in &spec.selector.match_labels {
        if has(key) != Some(value) {
            problems.push(Problem::new(
                "spec.selector.matchLabels",
                format!(
                    "{key}={value}, which the pods of Deployment {} do not have",
                    workload.name
                ),
                "labels of the Deployment's pod template",
            ));
        }
    }
    let keys = labels.and_then(Value::as_object).into_iter().flatten();
    let ours = |key: &&String| *key == HASH_LABEL || key.starts_with("tidegate.io/");
    for key in keys.map(|(key, _)| key).filter(ours) {
        problems.push(Problem::new(
            format!(
                "Deployment {}: spec.template.metadata.labels",
                workload.name
            ),
            format!("{key:?}"),
            "any other label: it is set by Tidegate",
        ));
    }
    template
}

/// A template in the place of one that cannot be had, where only the rest of the spec is asked for.
#[must_use]
pub fn stand_in(selector: &Selector) -> Value {
    json!({
        "metadata": {"labels": selector.match_labels},
        "spec": {"containers": [{"name": "unknown", "image": "unknown"}]},
    })
}
