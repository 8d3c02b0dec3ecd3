//! Another writer of a ReplicaSet's size, an autoscaler that was pointed at it for instance.

use serde_json::json;

use crate::controller::world::{EVENTS, NAMESPACE, REPLICA_SETS, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_somebody_else_writes_is_put_back_and_they_are_named() {
    let world = World::new();
    let _controller = world.controller();
    world.add_canary("web", &json!([{"setWeight": 20}, {"pause": {}}]));
    world.until_phase("web", "Healthy").await;
    world.set_image("web", "r/app:v2").await;
    world
        .until("a part of the traffic", |w| {
            w.phase("web") == "Paused" && w.weights("web") == (20, 80)
        })
        .await;
    let before = world.sizes("web");
    let hash = world.rollout("web")["status"]["canary"]["hash"].clone();
    let canary = tidegate::core::naming::replica_set("web", hash.as_str().unwrap());
    let size = json!({"spec": {"replicas": 9}});
    world.patch(REPLICA_SETS, &canary, size).await;
    world
        .until("it is put back", |w| w.sizes("web") == before)
        .await;
    world
        .until("who did it is named", |w| {
            let events = w.server.store().list(EVENTS, NAMESPACE);
            let mut resets = events.iter().filter(|e| e["reason"] == "SizeReset");
            resets.any(|e| {
                e.to_string()
                    .contains(&format!("user scaled ReplicaSet {canary} to 9"))
            })
        })
        .await;
    assert_eq!(world.weights("web"), (20, 80));
}
