//! The in-memory API server, asked by the clients that will use it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

fn server() -> ApiServer {
    ApiServer::new(ApiServerConfig::default().with_crds(&tidegate::api::crds())).unwrap()
}

fn config_map(name: &str, data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "shop")
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer of the API: {other}"),
    }
}

#[tokio::test]
async fn objects_are_created_read_changed_and_deleted() {
    let api = config_maps(&server().client("shop"));
    let created = api
        .create(&PostParams::default(), &config_map("a", json!({"k": "1"})))
        .await
        .unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(created.namespace().as_deref(), Some("shop"));
    let again = api
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap_err();
    assert_eq!(code(&again), 409);

    let mut first = created.clone();
    first.data.as_mut().unwrap().insert("k".into(), "2".into());
    let second = api
        .replace("a", &PostParams::default(), &first)
        .await
        .unwrap();
    assert_ne!(second.resource_version(), created.resource_version());
    let stale = api
        .replace("a", &PostParams::default(), &first)
        .await
        .unwrap_err();
    assert_eq!(code(&stale), 409);
    assert!(
        stale.to_string().contains("the object has been modified"),
        "{stale}"
    );

    let same = api
        .replace("a", &PostParams::default(), &second)
        .await
        .unwrap();
    assert_eq!(
        same.resource_version(),
        second.resource_version(),
        "nothing changed"
    );

    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
    assert_eq!(code(&api.get("a").await.unwrap_err()), 404);
}
