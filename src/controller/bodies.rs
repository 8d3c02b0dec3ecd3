//! What is sent to the API server for each write. Pure: JSON in, JSON out.

use json_patch::merge;
use serde_json::{Value, json};

use super::object::{Kind, Object};
use super::observe::{FINALIZER, RELABELLED_AT, REVISION};
use crate::api::analysis::AnalysisRunSpec;
use crate::api::revert::{ROLLOUT_LABEL, RevertSpec};
use crate::api::rollout::{BASELINE_LABEL, HASH_LABEL};
use crate::core::plan::{RoleChange, Write};
use crate::core::roles::{self, PODS_GIVEN};
use crate::core::spec::Spec;
use crate::traffic::Owner;

/// The ReplicaSet of a version: the user's template with the version's hash among its labels, and
/// nothing else of it changed; or that of its control group, with a label more. `None` for another
/// write.
pub fn replica_set(owner: Owner<'_>, spec: &Spec, write: &Write) -> Option<Value> {
    let (new, is_baseline) = match write {
        Write::CreateReplicaSet(new) => (new, false),
        Write::CreateBaseline(new) => (new, true),
        _ => return None,
    };
    let mut known_by = json!({HASH_LABEL: new.hash});
    if is_baseline {
        merge(&mut known_by, &json!({BASELINE_LABEL: "true"}));
    }
    let mut template = new.template.clone();
    let pods_given = roles::mark(&template);
    merge(&mut template, &json!({"metadata": {"labels": known_by}}));
    // Its own labels are the version's: they do not change with the role.
    let labels = spec.template.pointer("/metadata/labels");
    let mut labels = labels.cloned().unwrap_or_default();
    merge(&mut labels, &known_by);
    merge(&mut labels, &json!({ROLLOUT_LABEL: owner.name}));
    let mut selector = json!(spec.selector);
    merge(&mut selector, &known_by);
    let spec = json!({
        "replicas": new.replicas,
        "minReadySeconds": new.min_ready_seconds,
        "selector": {"matchLabels": selector},
        "template": template,
    });
    let mut body = owned(Kind::ReplicaSet, owner, &new.name, &spec);
    let annotations = json!({REVISION: new.revision.to_string(), PODS_GIVEN: pods_given});
    merge(
        &mut body,
        &json!({"metadata": {"labels": labels, "annotations": annotations}}),
    );
    Some(body)
}

/// The patch that gives a ReplicaSet another size, and another number and role when the version goes
/// out anew.
pub fn scale(to: i32, revision: Option<i64>, role: Option<&RoleChange>) -> Value {
    // What is merged into has the nulls: merging a null would take a key away instead.
    let mut body = role.map_or_else(
        || json!({}),
        |role| {
            json!({
                "metadata": {"annotations": {PODS_GIVEN: role.given}},
                "spec": {"template": {"metadata": role.metadata}},
            })
        },
    );
    merge(&mut body, &json!({"spec": {"replicas": to}}));
    if let Some(revision) = revision {
        let annotations = json!({REVISION: revision.to_string()});
        merge(
            &mut body,
            &json!({"metadata": {"annotations": annotations}}),
        );
    }
    body
}

/// The patch that gives a ReplicaSet's pods to come another role, if it has this generation.
pub fn relabel_replica_set(generation: i64, role: &RoleChange) -> Value {
    json!({
        "metadata": {"annotations": {RELABELLED_AT: generation.to_string()}},
        "spec": {"template": {"metadata": role.metadata}},
    })
}

/// The patch that notes what a ReplicaSet's pods were given.
pub fn pods_relabelled(given: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {PODS_GIVEN: given}}})
}

/// The patch that gives a pod another role, if it is the one that was seen.
pub fn relabel_pod(uid: &str, role: &RoleChange) -> Value {
    let mut body = json!({"metadata": role.metadata});
    merge(&mut body, &json!({"metadata": {"uid": uid}}));
    body
}

/// An AnalysisRun.
pub fn analysis_run(owner: Owner<'_>, name: &str, spec: &AnalysisRunSpec) -> Value {
    let mut body = owned(Kind::AnalysisRun, owner, name, &json!(spec));
    merge(
        &mut body,
        &json!({"metadata": {"labels": {HASH_LABEL: spec.canary_hash}}}),
    );
    body
}

/// The record of a rejected version. It has no owner: it outlives the Rollout, so that the version
/// stays rejected when the Rollout is made anew.
pub fn revert(owner: Owner<'_>, name: &str, spec: &RevertSpec, cluster: Option<&str>) -> Value {
    let mut body = owned(Kind::Revert, owner, name, &json!(spec));
    merge(&mut body, &json!({"metadata": {"ownerReferences": null}}));
    if let Some(cluster) = cluster {
        merge(&mut body, &json!({"spec": {"cluster": cluster}}));
    }
    body
}

/// The patch that puts Tidegate's finalizer on a Rollout or takes it off; others stay.
pub fn finalizers(rollout: &Value, present: bool) -> Value {
    let found = rollout
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    let mut all: Vec<Value> = found
        .into_iter()
        .flatten()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    if present {
        all.push(FINALIZER.into());
    }
    json!({"metadata": {"finalizers": all}})
}

/// `patch` for the version that was read.
pub fn on(resource_version: &str, mut patch: Value) -> Value {
    merge(
        &mut patch,
        &json!({"metadata": {"resourceVersion": resource_version}}),
    );
    patch
}

/// The Rollout as it was read, with another status.
pub fn with_status(rollout: &Value, status: Value) -> Value {
    let mut body = rollout.clone();
    merge(
        &mut body,
        &json!({"metadata": {"managedFields": null}, "status": null}),
    );
    if let Some(fields) = body.as_object_mut() {
        fields.insert("status".to_owned(), status);
    }
    body
}

/// The eviction of a pod, of the very one that was seen.
pub fn eviction(namespace: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    })
}

/// An object that belongs to the Rollout.
fn owned(kind: Kind, owner: Owner<'_>, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": <Object as kube::Resource>::api_version(&kind),
        "kind": kind.as_str(),
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {ROLLOUT_LABEL: owner.name},
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rollout::RolloutSpec;
    use crate::core::plan::NewReplicaSet;
    use crate::core::spec::parse;

    const OWNER: Owner<'static> = Owner {
        namespace: "shop",
        name: "web",
        uid: "u1",
    };

    fn template() -> Value {
        json!({"metadata": {"labels": {"app": "web", "tier": "x"}, "annotations": {"a": null}},
            "spec": {"containers": [{"name": "a", "image": "r/a:v1", "unknown": {"kept": [1]}}]}})
    }

    fn spec() -> Spec {
        let raw: RolloutSpec = serde_json::from_value(json!({
            "selector": {"matchLabels": {"app": "web"}}, "template": template(), "strategy": {"canary": {}},
        }))
        .unwrap();
        parse(&raw).unwrap()
    }

    fn create(template: Value) -> Value {
        let new = NewReplicaSet {
            name: "web-h1".into(),
            hash: "h1".into(),
            revision: 3,
            replicas: 2,
            min_ready_seconds: 5,
            template,
        };
        let write = Write::CreateReplicaSet(Box::new(new));
        replica_set(OWNER, &spec(), &write).unwrap()
    }

    #[test]
    fn a_replica_set_has_the_users_template_and_the_hash() {
        let body = create(template());
        assert_eq!(
            body["metadata"]["labels"],
            json!({"app": "web", "tier": "x", HASH_LABEL: "h1", ROLLOUT_LABEL: "web"})
        );
        assert_eq!(body["metadata"]["annotations"], json!({REVISION: "3"}));
        assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert_eq!(
            body["spec"]["selector"]["matchLabels"],
            json!({"app": "web", HASH_LABEL: "h1"})
        );
        let mut pods = body["spec"]["template"].clone();
        assert_eq!(pods["metadata"]["labels"][HASH_LABEL], "h1");
        pods["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove(HASH_LABEL);
        assert_eq!(pods, template(), "nothing else is changed");
    }

    #[test]
    fn an_odd_template_panics_nobody() {
        for odd in [
            json!("text"),
            json!({"metadata": "text"}),
            json!({"metadata": {"labels": []}}),
            Value::Null,
        ] {
            assert_eq!(
                create(odd)["spec"]["template"]["metadata"]["labels"][HASH_LABEL],
                "h1"
            );
        }
    }

    #[test]
    fn other_finalizers_stay() {
        let rollout = json!({"metadata": {"finalizers": ["theirs", FINALIZER]}});
        assert_eq!(
            finalizers(&rollout, false),
            json!({"metadata": {"finalizers": ["theirs"]}})
        );
        assert_eq!(
            finalizers(&rollout, true)["metadata"]["finalizers"],
            json!(["theirs", FINALIZER])
        );
        assert_eq!(
            finalizers(&json!({}), true)["metadata"]["finalizers"],
            json!([FINALIZER])
        );
    }

    #[test]
    fn a_status_is_replaced_as_a_whole() {
        let rollout = json!({"metadata": {"resourceVersion": "5"}, "status": {"old": 1}});
        let body = with_status(&rollout, json!({"new": 2}));
        assert_eq!(
            body,
            json!({"metadata": {"resourceVersion": "5"}, "status": {"new": 2}})
        );
    }

    #[test]
    fn patches_carry_the_version() {
        assert_eq!(
            on("7", scale(4, Some(2), None)),
            json!({"metadata": {"resourceVersion": "7", "annotations": {REVISION: "2"}}, "spec": {"replicas": 4}})
        );
    }

    #[test]
    fn a_role_goes_with_the_first_pods_or_comes_alone() {
        let role = |given: Option<&str>| RoleChange {
            metadata: json!({"labels": {"role": "canary", "old": null}}),
            given: given.map(str::to_owned),
        };
        assert_eq!(
            scale(1, None, Some(&role(Some("ab")))),
            json!({"metadata": {"annotations": {PODS_GIVEN: "ab"}}, "spec": {"replicas": 1,
                "template": {"metadata": {"labels": {"role": "canary", "old": null}}}}})
        );
        assert_eq!(
            relabel_replica_set(7, &role(None)),
            json!({"metadata": {"annotations": {RELABELLED_AT: "7"}},
                "spec": {"template": {"metadata": {"labels": {"role": "canary", "old": null}}}}})
        );
        assert_eq!(
            relabel_pod("u7", &role(None)),
            json!({"metadata": {"uid": "u7", "labels": {"role": "canary", "old": null}}})
        );
    }
}
