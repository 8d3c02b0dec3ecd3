//! Where a new version's pods may be scheduled, apart from what their template says: off the nodes
//! of the stable version, if the Rollout asks for it.
//!
//! The rule stands in the ReplicaSet's template alone and not in the version's identity: it names the
//! version that was stable when the ReplicaSet was made.

use serde_json::{Value, json};

use super::spec::AntiAffinity;
use crate::api::rollout::HASH_LABEL;

/// Two pods with the same value of this label are on the same node.
const NODE: &str = "kubernetes.io/hostname";

/// `template` with a rule that keeps its pods off nodes with pods of `other`, after the user's own.
pub(super) fn apart_from(template: &Value, rule: AntiAffinity, other: &str) -> Value {
    let term = json!({
        "labelSelector": {"matchLabels": {HASH_LABEL: other}},
        "topologyKey": NODE,
    });
    let (list, entry) = match rule {
        AntiAffinity::Required => ("requiredDuringSchedulingIgnoredDuringExecution", term),
        AntiAffinity::Preferred(weight) => (
            "preferredDuringSchedulingIgnoredDuringExecution",
            json!({"weight": weight, "podAffinityTerm": term}),
        ),
    };
    let mut template = template.clone();
    let mut at = &mut template;
    for field in ["spec", "affinity", "podAntiAffinity"] {
        if !at[field].is_object() {
            at[field] = json!({});
        }
        at = &mut at[field];
    }
    match at[list].as_array_mut() {
        Some(rules) => rules.push(entry),
        None => at[list] = json!([entry]),
    }
    template
}

/// `template` without rules that [`apart_from`] has put into it.
pub(super) fn without_rule(mut template: Value) -> Value {
    let Some(rules) = template
        .pointer_mut("/spec/affinity/podAntiAffinity")
        .and_then(Value::as_object_mut)
    else {
        return template;
    };
    let mut found = false;
    for list in [
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    ] {
        let Some(terms) = rules.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        let before = terms.len();
        terms.retain(|term| !is_ours(term.get("podAffinityTerm").unwrap_or(term)));
        found |= terms.len() < before;
        if terms.is_empty() && before > 0 {
            rules.remove(list);
        }
    }
    // What was empty before is the user's.
    if found {
        for (parent, field) in [("/spec/affinity", "podAntiAffinity"), ("/spec", "affinity")] {
            let parent = template.pointer_mut(parent).and_then(Value::as_object_mut);
            if let Some(parent) = parent
                && parent.get(field) == Some(&json!({}))
            {
                parent.remove(field);
            }
        }
    }
    template
}

/// Whether it keeps pods off nodes with pods of one version.
fn is_ours(term: &Value) -> bool {
    let labels = term.pointer("/labelSelector/matchLabels");
    let labels = labels.and_then(Value::as_object);
    term.get("topologyKey").and_then(Value::as_str) == Some(NODE)
        && labels.is_some_and(|labels| labels.len() == 1 && labels.contains_key(HASH_LABEL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_rules_stay_where_they_are() {
        let own = json!({"weight": 5, "podAffinityTerm": {"topologyKey": "zone"}});
        let rule = json!({
            "labelSelector": {"matchLabels": {HASH_LABEL: "abc"}},
            "topologyKey": "kubernetes.io/hostname",
        });
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let node_affinity = json!({"nodeAffinity": {"x": 1}});
        let rows = [
            (
                json!({"containers": []}),
                AntiAffinity::Required,
                json!({"containers": [], "affinity": {"podAntiAffinity": {required: [rule]}}}),
            ),
            (
                json!({"affinity": node_affinity}),
                AntiAffinity::Preferred(7),
                json!({"affinity": {"nodeAffinity": {"x": 1}, "podAntiAffinity": {
                    preferred: [{"weight": 7, "podAffinityTerm": rule}]}}}),
            ),
            (
                json!({"affinity": {"podAntiAffinity": {preferred: [own]}}}),
                AntiAffinity::Preferred(1),
                json!({"affinity": {"podAntiAffinity": {
                    preferred: [own, {"weight": 1, "podAffinityTerm": rule}]}}}),
            ),
            (
                json!({"affinity": null}),
                AntiAffinity::Required,
                json!({"affinity": {"podAntiAffinity": {required: [rule]}}}),
            ),
        ];
        for (before, asked, after) in rows {
            let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": before});
            let expected = json!({"metadata": {"labels": {"app": "a"}}, "spec": after});
            assert_eq!(apart_from(&template, asked, "abc"), expected);
            let mut template = template;
            if template["spec"]["affinity"].is_null() {
                template["spec"].as_object_mut().unwrap().remove("affinity");
            }
            assert_eq!(without_rule(expected), template, "and away again");
        }
    }
}
