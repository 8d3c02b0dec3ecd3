//! Watches, by hand and through kube's watcher and reflector.

use super::{PATIENCE, config_map, config_maps, labelled, server, until};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::json;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

async fn add(api: &Api<ConfigMap>, name: &str) -> ConfigMap {
    api.create(&PostParams::default(), &config_map(name, &json!({})))
        .await
        .unwrap()
}

/// Follows the ConfigMaps in a reflector and answers their names.
fn follow(server: &ApiServer, config: watcher::Config) -> impl Fn() -> Vec<String> + use<> {
    let api = config_maps(&server.client("shop"));
    let (store, writer) = reflector::store();
    let stream = watcher(api, config)
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while stream.next().await.is_some() {}
    });
    move || {
        let mut names: Vec<String> = store
            .state()
            .iter()
            .map(|m: &std::sync::Arc<ConfigMap>| m.name_any())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_watch_sees_changes_from_its_version_on() {
    let api = config_maps(&server().client("shop"));
    add(&api, "before").await;
    let version = api
        .list(&Default::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    add(&api, "a").await;
    let patch = Patch::Merge(json!({"data": {"k": "1"}}));
    api.patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let params = WatchParams::default().timeout(200);
    let mut events = api.watch(&params, &version).await.unwrap().boxed();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = tokio::time::timeout(PATIENCE, events.try_next())
            .await
            .unwrap()
            .unwrap();
        seen.push(match event.unwrap() {
            WatchEvent::Added(m) => format!("added {}", m.name_any()),
            WatchEvent::Modified(m) => format!("modified {}", m.name_any()),
            WatchEvent::Deleted(m) => format!("deleted {}", m.name_any()),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(e) => panic!("{e}"),
        });
    }
    assert_eq!(seen, ["added a", "modified a", "deleted a"]);
}

#[tokio::test]
async fn a_reflector_survives_disconnects_and_410() {
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let server = server();
        let api = config_maps(&server.client("shop"));
        add(&api, "a").await;
        let names = follow(&server, config);
        until("the initial list", async || names() == ["a"]).await;
        add(&api, "b").await;
        until("an event", async || names() == ["a", "b"]).await;

        server.disconnect_watches();
        add(&api, "c").await;
        until("resuming", async || names() == ["a", "b", "c"]).await;

        // Gone while nobody was looking, and the history with it: only a new list can tell.
        server.set_faults(Some(std::sync::Arc::new(|info| match info.verb.as_str() {
            "watch" | "list" => tidegate::sim::apiserver::Fault::Fail(503, "ServiceUnavailable"),
            _ => tidegate::sim::apiserver::Fault::Pass,
        })));
        server.disconnect_watches();
        api.delete("b", &DeleteParams::default()).await.unwrap();
        server.compact();
        server.set_faults(None);
        until("a new list after 410", async || names() == ["a", "c"]).await;
    }
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_410() {
    let server = ApiServer::new(ApiServerConfig {
        history_events: 3,
        ..Default::default()
    })
    .unwrap();
    let api = config_maps(&server.client("shop"));
    let first = add(&api, "a").await;
    for name in ["b", "c", "d", "e"] {
        add(&api, name).await;
    }
    let params = WatchParams::default().timeout(200);
    let mut events = api
        .watch(&params, &first.resource_version().unwrap())
        .await
        .unwrap()
        .boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, &*status.reason), (410, "Expired")),
        other => panic!("{other:?}"),
    }
    assert!(
        events.try_next().await.unwrap().is_none(),
        "the stream ends"
    );
}

#[tokio::test]
async fn selectors_translate_events() {
    let server = server();
    let api = config_maps(&server.client("shop"));
    let names = follow(&server, watcher::Config::default().labels("app=x"));
    api.create(&PostParams::default(), &labelled("a", "x"))
        .await
        .unwrap();
    api.create(&PostParams::default(), &labelled("b", "y"))
        .await
        .unwrap();
    until("what matches", async || names() == ["a"]).await;
    let relabel = async |name: &str, label: &str| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"app": label}}}));
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    relabel("b", "x").await;
    until("what begins to match", async || names() == ["a", "b"]).await;
    relabel("a", "y").await;
    until("what ceases to match", async || names() == ["b"]).await;
}

#[tokio::test]
async fn metadata_can_be_watched_alone() {
    let server = server();
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(server.client("shop"), "shop");
    add(&config_maps(&server.client("shop")), "a").await;
    let stream = watcher(api, watcher::Config::default()).applied_objects();
    let mut stream = std::pin::pin!(stream);
    let first = tokio::time::timeout(PATIENCE, stream.try_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.name_any(), "a");
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() {
    let api = config_maps(&server().client("shop"));
    let created = add(&api, "a").await;
    let params = WatchParams::default().timeout(1);
    let version = created.resource_version().unwrap();
    let events: Vec<_> = api
        .watch(&params, &version)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(!events.is_empty());
    assert!(
        events.iter().all(|e| matches!(e, WatchEvent::Bookmark(_))),
        "{events:?}"
    );
}
