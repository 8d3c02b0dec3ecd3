//! What Tidegate cannot know to be wrong, because only the API server knows: it refuses the
//! ReplicaSet. Nothing moves, the phase is Invalid with the API server's words, nobody else waits, and the
//! questions do not pile up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use tidegate::sim::apiserver::Fault;

use crate::controller::world::{ROLLOUTS, World};

/// Far more than there should be, far fewer than a storm makes.
const QUESTIONS_MAX: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_api_server_refuses_moves_nothing() {
    let world = World::new();
    let _controller = world.controller();
    let steps = json!([{"setWeight": 20}, {"pause": {}}]);
    for name in ["web", "other"] {
        world.add_canary(name, &steps);
        world.until_phase(name, "Healthy").await;
    }
    let refuses = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicU64::new(0));
    let (on, count) = (Arc::clone(&refuses), Arc::clone(&asked));
    world.faults(move |request| {
        let creates = request.verb == "create" && request.resource == "replicasets";
        if creates && on.load(Ordering::Relaxed) {
            count.fetch_add(1, Ordering::Relaxed);
            return Fault::Fail(422, "Invalid");
        }
        Fault::Pass
    });
    let resources = json!({"requests": {"cpu": "50mm"}});
    let containers = json!([{"name": "app", "image": "r/app:v2", "resources": resources}]);
    let template = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    world.patch(ROLLOUTS, "web", template).await;
    world.until_phase("web", "Invalid").await;
    let said = world.rollout("web")["status"]["message"].to_string();
    assert!(
        said.contains("spec.template: the API server refuses ReplicaSet web-")
            && said.contains("422"),
        "{said}"
    );
    world
        .until("an Event says so", |w| {
            w.event_reasons().contains(&"Blocked".to_owned())
        })
        .await;
    assert_eq!(world.weights("web"), (0, 100));
    assert_eq!(world.sizes("web"), [("r/app:v1".to_owned(), 4)]);
    // Somebody else's work goes on.
    world
        .patch(ROLLOUTS, "other", json!({"spec": {"replicas": 5}}))
        .await;
    world
        .until("the other's pods", |w| {
            w.sizes("other") == [("r/app:v1".to_owned(), 5)] && w.phase("other") == "Healthy"
        })
        .await;
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions <= QUESTIONS_MAX, "{questions} questions");
    // It is taken back, while the API server still refuses.
    let containers = json!([{"name": "app", "image": "r/app:v1"}]);
    let template = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    world.patch(ROLLOUTS, "web", template).await;
    world.until_phase("web", "Healthy").await;
    assert_eq!(world.weights("web"), (0, 100));
    assert_eq!(world.sizes("web"), [("r/app:v1".to_owned(), 4)]);
    // A version that it takes goes out.
    refuses.store(false, Ordering::Relaxed);
    world.set_image("web", "r/app:v3").await;
    world
        .until("the next version", |w| w.weights("web") == (20, 80))
        .await;
}
