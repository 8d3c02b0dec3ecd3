//! Objects through `kube::Api`.

use super::{code, config_map, config_maps, labelled, replica_set, server};
use k8s_openapi::api::{apps::v1::ReplicaSet, coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{DynamicObject, GroupVersionKind},
    discovery,
};
use serde_json::json;

#[tokio::test]
async fn objects_are_created_read_changed_and_deleted() {
    let api = config_maps(&server().client("shop"));
    let post = PostParams::default();
    let created = api
        .create(&post, &config_map("a", &json!({"k": "1"})))
        .await
        .unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(created.namespace().as_deref(), Some("shop"));
    let again = api
        .create(&post, &config_map("a", &json!({})))
        .await
        .unwrap_err();
    assert_eq!(code(&again), 409);

    let mut first = created.clone();
    first.data.as_mut().unwrap().insert("k".into(), "2".into());
    let second = api.replace("a", &post, &first).await.unwrap();
    assert_ne!(second.resource_version(), created.resource_version());
    let stale = api.replace("a", &post, &first).await.unwrap_err();
    assert_eq!(code(&stale), 409);
    assert!(
        stale.to_string().contains("the object has been modified"),
        "{stale}"
    );

    let same = api.replace("a", &post, &second).await.unwrap();
    assert_eq!(
        same.resource_version(),
        second.resource_version(),
        "nothing changed"
    );

    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
    assert_eq!(code(&api.get("a").await.unwrap_err()), 404);
}

#[tokio::test]
async fn lists_select_and_come_in_consistent_pages() {
    let server = server();
    let api = config_maps(&server.client("shop"));
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"), ("e", "x")] {
        api.create(&PostParams::default(), &labelled(name, label))
            .await
            .unwrap();
    }
    let chosen = ListParams::default().labels("app in (x),app!=z").limit(2);
    let mut names = Vec::new();
    let mut page = api.list(&chosen).await.unwrap();
    // Gone between two pages: the list is one snapshot, so it is still on it.
    api.delete("d", &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &labelled("dd", "x"))
        .await
        .unwrap();
    loop {
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page
            .metadata
            .continue_
            .take()
            .filter(|token| !token.is_empty())
        {
            Some(token) => {
                page = api
                    .list(&chosen.clone().continue_token(&token))
                    .await
                    .unwrap();
            }
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "d", "e"]);
    // A page of a forgotten version is 410, and kube lists anew.
    let first = api.list(&chosen).await.unwrap();
    server.compact();
    let token = first.metadata.continue_.unwrap();
    let expired = api.list(&chosen.continue_token(&token)).await.unwrap_err();
    assert_eq!(code(&expired), 410);
}

#[tokio::test]
async fn a_merge_patch_with_a_version_is_a_precondition() {
    let api = config_maps(&server().client("shop"));
    let created = api
        .create(&PostParams::default(), &config_map("a", &json!({"k": "1"})))
        .await
        .unwrap();
    let patch = json!({
        "metadata": {"resourceVersion": created.resource_version()}, "data": {"k": "2"},
    });
    let write = PatchParams::default();
    api.patch("a", &write, &Patch::Merge(&patch)).await.unwrap();
    let stale = api
        .patch("a", &write, &Patch::Merge(&patch))
        .await
        .unwrap_err();
    assert_eq!(code(&stale), 409);
    let old = Preconditions {
        uid: created.uid(),
        resource_version: created.resource_version(),
    };
    let delete = DeleteParams::default().preconditions(old);
    assert_eq!(code(&api.delete("a", &delete).await.unwrap_err()), 409);
}

#[tokio::test]
async fn generation_counts_spec_changes_and_the_subresources_keep_apart() {
    let client = server().client("shop");
    let sets: Api<ReplicaSet> = Api::default_namespaced(client);
    sets.create(&PostParams::default(), &replica_set("r", 1))
        .await
        .unwrap();
    let write = PatchParams::default();
    let patch = async |body: serde_json::Value| {
        let set = sets.patch("r", &write, &Patch::Merge(body)).await.unwrap();
        (
            set.metadata.generation,
            set.spec.unwrap().replicas,
            set.status.unwrap().replicas,
        )
    };
    assert_eq!(
        patch(json!({"metadata": {"labels": {"x": "y"}}})).await,
        (Some(1), Some(1), 0)
    );
    assert_eq!(
        patch(json!({"spec": {"replicas": 2}})).await,
        (Some(2), Some(2), 0)
    );
    assert_eq!(
        patch(json!({"status": {"replicas": 9}})).await,
        (Some(2), Some(2), 0)
    );
    let status = json!({"spec": {"replicas": 9}, "status": {"replicas": 2}});
    let set = sets
        .patch_status("r", &write, &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(
        (set.metadata.generation, set.spec.unwrap().replicas),
        (Some(2), Some(2))
    );
    assert_eq!(set.status.unwrap().replicas, 2);
    let scale = sets.get_scale("r").await.unwrap();
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=r"));
    let scaled = json!({"spec": {"replicas": 5}});
    sets.patch_scale("r", &write, &Patch::Merge(scaled))
        .await
        .unwrap();
    let set = sets.get("r").await.unwrap();
    assert_eq!(
        (set.metadata.generation, set.spec.unwrap().replicas),
        (Some(3), Some(5))
    );
}

#[tokio::test]
async fn apply_owns_fields_and_names_who_stands_in_the_way() {
    let server = server();
    let api = config_maps(&server.client("shop"));
    let config = |data: serde_json::Value| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data,
        }))
    };
    let (gitops, other) = (PatchParams::apply("gitops"), PatchParams::apply("other"));
    api.patch("a", &gitops, &config(json!({"k": "1", "l": "1"})))
        .await
        .unwrap();
    let refused = api
        .patch("a", &other, &config(json!({"k": "2"})))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), 409);
    assert!(
        refused
            .to_string()
            .contains("conflict with \"gitops\": .data.k"),
        "{refused}"
    );
    let forced = api
        .patch("a", &other.force(), &config(json!({"k": "2"})))
        .await
        .unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");
    // What a manager no longer applies goes, unless it is somebody else's by now.
    let fewer = api.patch("a", &gitops, &config(json!({}))).await.unwrap();
    assert_eq!(
        fewer.data.unwrap().into_iter().collect::<Vec<_>>(),
        [("k".into(), "2".into())]
    );
    // A plain write takes fields over too, and is found by its user agent.
    let plugin = config_maps(&server.client_as("shop", "kubectl-tidegate/1"));
    let patch = json!({"data": {"k": "3"}});
    let patched = plugin
        .patch("a", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    let owners = patched.managed_fields().iter().filter(|entry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0["f:data"].get("f:k").is_some())
    });
    let managers: Vec<_> = owners
        .filter_map(|entry| entry.manager.as_deref())
        .collect();
    assert_eq!(managers, ["kubectl-tidegate"]);
}

#[tokio::test]
async fn finalizers_hold_and_owners_take_along() {
    let api = config_maps(&server().client("shop"));
    let post = PostParams::default();
    let mut held = config_map("held", &json!({}));
    held.metadata.finalizers = Some(vec!["tidegate.io/routes".into()]);
    let held = api.create(&post, &held).await.unwrap();
    let mut owned = config_map("owned", &json!({}));
    owned.metadata.owner_references = Some(vec![
        k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: held.name_any(),
            uid: held.uid().unwrap(),
            ..Default::default()
        },
    ]);
    api.create(&post, &owned).await.unwrap();
    api.delete("held", &DeleteParams::default()).await.unwrap();
    let waiting = api.get("held").await.unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some());
    assert!(
        api.get_opt("owned").await.unwrap().is_some(),
        "its owner is still there"
    );
    let free = json!({"metadata": {"finalizers": null}});
    api.patch("held", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    assert!(api.get_opt("held").await.unwrap().is_none());
    assert!(api.get_opt("owned").await.unwrap().is_none());
}

#[tokio::test]
async fn a_definition_that_is_created_is_served_and_goes_with_its_objects() {
    let server = server();
    let client = server.client("shop");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": {"crew": {"type": "integer", "default": 3}}}}}}}],
        },
    });
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let (resource, _) = discovery::pinned_kind(&client, &kind).await.unwrap();
    let definitions: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let definition = serde_json::from_value(definition).unwrap();
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let kind = GroupVersionKind::gvk("example.com", "v1", "Boat");
    let (resource, _) = discovery::pinned_kind(&client, &kind).await.unwrap();
    let boats: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let boat = DynamicObject::new("b", &resource).data(json!({"spec": {}}));
    let boat = boats.create(&PostParams::default(), &boat).await.unwrap();
    assert_eq!(boat.data["spec"]["crew"], 3);
    definitions
        .delete("boats.example.com", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(code(&boats.get("b").await.unwrap_err()), 404);
    assert!(
        server
            .store()
            .get("boats.example.com", "shop", "b")
            .is_none()
    );
}

#[tokio::test]
async fn every_rule_of_tidegates_kinds_is_evaluated() {
    assert_eq!(server().skipped_rules(), [""; 0]);
}

#[tokio::test]
async fn a_lease_is_taken_once() {
    let leases: Api<Lease> = Api::namespaced(server().client("shop"), "shop");
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "leader"}, "spec": {"holderIdentity": "one"},
    }))
    .unwrap();
    let seen = leases.create(&PostParams::default(), &lease).await.unwrap();
    let take = async |who: &str| {
        let mut wanted = seen.clone();
        wanted.spec.as_mut().unwrap().holder_identity = Some(who.into());
        leases
            .replace("leader", &PostParams::default(), &wanted)
            .await
    };
    let (two, three) = (take("two").await, take("three").await);
    assert!(two.is_ok());
    assert_eq!(code(&three.unwrap_err()), 409);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let api: Api<ConfigMap> = config_maps(&server().client("shop"));
    let big = config_map("big", &json!({"k": "x".repeat(4 << 20)}));
    let refused = api.create(&PostParams::default(), &big).await.unwrap_err();
    assert_eq!(code(&refused), 413);
}
