//! Objects from YAML, applied to the API server.

use crate::wait;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt, discovery};
use serde_json::Value;

/// The objects in a YAML text of one or more documents.
pub fn objects(manifests: &str) -> Result<Vec<DynamicObject>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(manifests).map_err(|error| error.to_string())?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| serde_json::from_value(document).map_err(|error| error.to_string()))
        .collect()
}

/// Applies Custom Resource Definitions and waits until the API server serves them.
pub async fn install_crds(client: &Client, crds: Vec<DynamicObject>, manager: &str) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for object in &crds {
        let applied = apply(client, "", object, manager).await;
        applied.unwrap_or_else(|error| panic!("{} is refused: {error}", object.name_any()));
    }
    for object in &crds {
        let name = object.name_any();
        wait::until(&format!("{name} is established"), async || {
            let stored = definitions.get(&name).await.unwrap();
            let conditions = stored
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
                .then_some(())
        })
        .await;
    }
}

/// Server-side apply of one object; what has no namespace of its own goes into the given one.
pub async fn apply(
    client: &Client,
    namespace: &str,
    object: &DynamicObject,
    manager: &str,
) -> Result<DynamicObject, kube::Error> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    let kind = GroupVersionKind::gvk(group, version, &types.kind);
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        discovery::Scope::Cluster => Api::all_with(client.clone(), &resource),
        discovery::Scope::Namespaced => {
            let own = object.namespace();
            Api::namespaced_with(
                client.clone(),
                own.as_deref().unwrap_or(namespace),
                &resource,
            )
        }
    };
    let force = PatchParams::apply(manager).force();
    api.patch(&object.name_any(), &force, &Patch::Apply(object))
        .await
}
