//! Faults on purpose, and the count of requests.

use super::{code, config_map, config_maps, server, until};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tidegate::sim::apiserver::{ApiServer, Fault};

fn fault_on_create(server: &ApiServer, fault: Fault) {
    server.set_faults(Some(Arc::new(move |info| {
        match (&*info.verb, &*info.resource) {
            ("create", "configmaps") => fault.clone(),
            _ => Fault::Pass,
        }
    })));
}

#[tokio::test]
async fn a_failed_request_changes_nothing_a_lost_answer_does() {
    let server = server();
    let api = config_maps(&server.client("shop"));
    let post = PostParams::default();
    fault_on_create(&server, Fault::Fail(403, "Forbidden"));
    let refused = api
        .create(&post, &config_map("a", &json!({})))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), 403);
    assert!(api.get_opt("a").await.unwrap().is_none());

    fault_on_create(&server, Fault::ApplyThenFail(500));
    let lost = api
        .create(&post, &config_map("a", &json!({})))
        .await
        .unwrap_err();
    assert_eq!(code(&lost), 500);
    assert!(api.get_opt("a").await.unwrap().is_some());
}

#[tokio::test]
async fn answers_come_late_or_never() {
    let server = server();
    let api = config_maps(&server.client("shop"));
    let post = PostParams::default();
    let delay = Duration::from_millis(50);
    fault_on_create(&server, Fault::Delay(delay));
    let started = std::time::Instant::now();
    api.create(&post, &config_map("late", &json!({})))
        .await
        .unwrap();
    assert!(started.elapsed() >= delay);

    fault_on_create(&server, Fault::Hang);
    let never = config_map("never", &json!({}));
    tokio::select! {
        answer = api.create(&post, &never) => panic!("answered: {answer:?}"),
        // The request has arrived, is counted, and others are answered meanwhile.
        () = until("the request's arrival", async || {
            let _ = api.list(&ListParams::default()).await.unwrap();
            server.audit().writes("") == 2
        }) => {}
    }
    assert!(api.get_opt("never").await.unwrap().is_none());
}

#[tokio::test]
async fn requests_are_counted_by_who_and_what() {
    let server = server();
    let controller = config_maps(&server.client_as("shop", "tidegate/0.1"));
    let somebody = config_maps(&server.client_as("shop", "kubectl/1.35"));
    let write = PatchParams::default();
    controller
        .create(&PostParams::default(), &config_map("a", &json!({})))
        .await
        .unwrap();
    controller.list(&ListParams::default()).await.unwrap();
    let patch = |k: &str| Patch::Merge(json!({"data": {"k": k}}));
    controller.patch("a", &write, &patch("1")).await.unwrap();
    controller.patch("a", &write, &patch("2")).await.unwrap();
    somebody.patch("a", &write, &patch("3")).await.unwrap();
    let audit = server.audit();
    assert_eq!(
        (
            audit.writes("tidegate/"),
            audit.writes("kubectl/"),
            audit.writes("")
        ),
        (3, 1, 4)
    );
    let patches = audit
        .counts()
        .find(|(key, _)| key.verb == "patch" && key.user_agent == "tidegate/0.1");
    let (key, count) = patches.unwrap();
    assert_eq!((&*key.resource, count), ("configmaps", 2));
    server.reset_audit();
    assert_eq!(server.audit().writes(""), 0);
}
