//! What pods carry because of the role that their version has: labels and annotations for the stable
//! version's pods, others for the new version's. They are no part of the version, whose hash knows
//! nothing of them, and nothing of a rollout waits for them.
//!
//! A ReplicaSet's template has them from its first pod on. When the role changes while pods run, the
//! template is brought to it first, so that every pod born from then on has it; then the pods that
//! are there, once; then the ReplicaSet says that its pods have it. What was given stands in an
//! annotation of the template, and so of each pod, so that it can be taken away again. A key that a
//! version's template has by itself is left to it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::draft::{Draft, of_replica_set};
use super::naming;
use super::observed::ReplicaSetObserved;
use super::plan::{RoleChange, Write};
use super::traffic::LiveTraffic;
use crate::api::rollout::PodMetadata;

/// What a template, and so a pod, was given for its version's role: [`PodMetadata`] as JSON.
pub const GIVEN: &str = "tidegate.io/role-metadata";
/// On a ReplicaSet: hash of what its pods were given.
pub const PODS_GIVEN: &str = "tidegate.io/role-metadata-of-pods";

/// A version that is neither stable nor goes out has no role.
static NONE: PodMetadata = PodMetadata {
    labels: BTreeMap::new(),
    annotations: BTreeMap::new(),
};

/// Brings ReplicaSets whose pods run to the role of their version, and then their pods. It comes
/// after everything else, when nothing else is to be written and the traffic rests.
pub(super) fn proceed(draft: &mut Draft<'_>, live: &LiveTraffic) {
    if !draft.writes.is_empty() || !live.is_confirmed() {
        return;
    }
    let o = draft.o;
    let with_pods = |rs: &&ReplicaSetObserved| rs.desired > 0 || rs.current > 0;
    for rs in o.replica_sets.iter().filter(with_pods) {
        if let Some(change) = change(rs, of(draft, &rs.hash)) {
            draft.afterwards.push(Write::RelabelReplicaSet {
                name: rs.name.clone(),
                on: of_replica_set(rs),
                generation: rs.generation,
                change,
            });
        } else if rs.pods_lag() {
            relabel_pods(draft, rs);
        }
    }
}

/// A new ReplicaSet's template, with what its version's role asks for.
pub(super) fn at_birth(draft: &Draft<'_>, hash: &str, mut template: Value) -> Value {
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    let given = allowed(metadata, of(draft, hash));
    if given == NONE {
        return template;
    }
    let change = RoleChange::new(&PodMetadata::default(), &given);
    merge(&mut template, &json!({ "metadata": change.metadata }));
    template
}

/// What has to change in a ReplicaSet's template before its version's first pods of now.
pub(super) fn before_first_pods(draft: &Draft<'_>, rs: &ReplicaSetObserved) -> Option<RoleChange> {
    let none_runs = rs.desired == 0 && rs.current == 0;
    change(rs, of(draft, &rs.hash)).filter(|_| none_runs)
}

/// What a version's role asks for.
fn of<'a>(draft: &Draft<'a>, hash: &str) -> &'a PodMetadata {
    let roles = &draft.spec.roles;
    let stable = draft.status.stable.as_ref().map(|s| s.hash.as_str());
    let canary = draft.status.canary.as_ref().map(|c| c.hash.as_str());
    // The first version is to be stable.
    if stable.or(canary) == Some(hash) {
        &roles.stable
    } else if canary == Some(hash) {
        &roles.canary
    } else {
        &NONE
    }
}

/// What has to change in a ReplicaSet's template.
fn change(rs: &ReplicaSetObserved, wanted: &PodMetadata) -> Option<RoleChange> {
    let metadata = rs.template.get("metadata").unwrap_or(&Value::Null);
    let (before, after) = (given(metadata), allowed(metadata, wanted));
    (before != after).then(|| RoleChange::new(&before, &after))
}

fn relabel_pods(draft: &mut Draft<'_>, rs: &ReplicaSetObserved) {
    let after = given(rs.template.get("metadata").unwrap_or(&Value::Null));
    let pods = draft.o.pods.iter();
    for pod in pods.filter(|p| p.owner == rs.uid && !p.terminating) {
        let before = read(pod.given.as_deref());
        if before != after {
            draft.afterwards.push(Write::RelabelPod {
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                change: RoleChange::new(&before, &after),
            });
        }
    }
    draft.afterwards.push(Write::NotePodsRelabelled {
        name: rs.name.clone(),
        on: of_replica_set(rs),
        given: mark(&rs.template),
    });
}

/// A template without what it was given.
pub(super) fn without_given(mut template: Value) -> Value {
    let before = given(template.get("metadata").unwrap_or(&Value::Null));
    if before != NONE {
        let change = RoleChange::new(&before, &NONE);
        merge(&mut template, &json!({ "metadata": change.metadata }));
    }
    template
}

/// Short for what a template was given; `None`: nothing.
#[must_use]
pub fn mark(template: &Value) -> Option<String> {
    let found = given(template.get("metadata").unwrap_or(&Value::Null));
    record(&found).map(|text| naming::hex(&text, 8))
}

/// `wanted` without the keys that `metadata` has by itself.
fn allowed(metadata: &Value, wanted: &PodMetadata) -> PodMetadata {
    let given = given(metadata);
    let own = |part: &str, given: &BTreeMap<String, String>, key: &str| {
        let found = metadata.get(part).and_then(|map| map.get(key)).is_some();
        found && !given.contains_key(key)
    };
    let mut wanted = wanted.clone();
    wanted
        .labels
        .retain(|key, _| !own("labels", &given.labels, key));
    wanted
        .annotations
        .retain(|key, _| !own("annotations", &given.annotations, key));
    wanted
}

/// What a template's or pod's metadata was given.
fn given(metadata: &Value) -> PodMetadata {
    let text = metadata.get("annotations").and_then(|a| a.get(GIVEN));
    read(text.and_then(Value::as_str))
}

/// A record that cannot be read is none: what it spoke of stays, and nothing else is harmed.
fn read(record: Option<&str>) -> PodMetadata {
    record
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn record(given: &PodMetadata) -> Option<String> {
    let any = !given.labels.is_empty() || !given.annotations.is_empty();
    any.then(|| json!(given).to_string())
}

impl RoleChange {
    /// From what was given to what is to be given.
    fn new(before: &PodMetadata, after: &PodMetadata) -> Self {
        let part = |before: &BTreeMap<String, String>, after: &BTreeMap<String, String>| {
            let gone = before.keys().map(|key| (key.clone(), Value::Null));
            let stays = after.iter().map(|(key, v)| (key.clone(), json!(v)));
            gone.chain(stays).collect::<Map<String, Value>>()
        };
        let record = record(after);
        let mut annotations = part(&before.annotations, &after.annotations);
        annotations.insert(GIVEN.to_owned(), json!(record));
        Self {
            metadata: json!({
                "labels": part(&before.labels, &after.labels),
                "annotations": annotations,
            }),
            given: record.map(|text| naming::hex(&text, 8)),
        }
    }
}

/// A JSON merge patch (RFC 7386).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> PodMetadata {
        let map = |pairs: &[(&str, &str)]| {
            let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            pairs.iter().map(own).collect()
        };
        PodMetadata {
            labels: map(labels),
            annotations: map(annotations),
        }
    }

    /// What the API server makes of a change.
    fn with(metadata: &Value, wanted: &PodMetadata) -> Value {
        let change = RoleChange::new(&given(metadata), &allowed(metadata, wanted));
        let mut metadata = metadata.clone();
        merge(&mut metadata, &change.metadata);
        metadata
    }

    #[test]
    fn what_was_given_can_be_taken_away_and_nothing_else() {
        let own = json!({"labels": {"app": "a", "tier": "x"}, "annotations": {"note": "n"}});
        let canary = some(&[("role", "canary"), ("tier", "y")], &[("look", "here")]);
        let stable = some(&[("role", "stable")], &[]);
        let first = with(&own, &canary);
        assert_eq!(
            first["labels"],
            json!({"app": "a", "tier": "x", "role": "canary"})
        );
        assert_eq!(first["annotations"]["look"], "here");
        let second = with(&first, &stable);
        assert_eq!(
            second["labels"],
            json!({"app": "a", "tier": "x", "role": "stable"})
        );
        assert_eq!(second["annotations"].get("look"), None);
        assert_eq!(with(&second, &NONE), own);
        assert_eq!(
            with(&own, &NONE),
            own,
            "nothing is given, nothing is written"
        );
    }

    #[test]
    fn the_record_is_the_same_for_the_same_and_odd_ones_are_none() {
        let template = |metadata: Value| json!({ "metadata": metadata });
        let (one, two) = (
            some(&[("a", "1"), ("b", "2")], &[]),
            some(&[("a", "1")], &[]),
        );
        let mark_of = |m: &PodMetadata| mark(&template(with(&json!({"labels": {}}), m)));
        assert_eq!(mark_of(&one), mark_of(&one));
        assert_ne!(mark_of(&one), mark_of(&two));
        assert_eq!(mark_of(&NONE), None);
        for odd in [
            json!({"annotations": {GIVEN: "odd"}}),
            json!({"annotations": {GIVEN: 1}}),
            json!("odd"),
            Value::Null,
        ] {
            assert_eq!(given(&odd), NONE);
        }
    }
}
