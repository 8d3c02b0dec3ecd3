//! A Deployment beside a Rollout, with pods of the same labels: that is how a Deployment is left behind,
//! so it stops nothing; but it is said by name as long as it has pods.

use serde_json::{Value, json};

use crate::controller::world::{NAMESPACE, World};

/// Message of the condition that says it.
fn said(world: &World) -> Option<String> {
    let status = world.rollout("web")["status"].clone();
    let mut all = status["conditions"].as_array().into_iter().flatten();
    let found = all.find(|condition| condition["type"] == "LabelsShared")?;
    Some(found["message"].to_string())
}

/// A Deployment whose selector is an expression.
fn deployment(replicas: i64) -> Value {
    let app = json!({"key": "app", "operator": "In", "values": ["web"]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "old", "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": {"matchExpressions": [app]},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "r/app:v0"}]}}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_with_the_same_labels_stops_nothing_and_is_said() {
    let world = World::new();
    let _controller = world.controller();
    world.server.add(deployment(2)).unwrap();
    world.add_canary("web", &json!([{"setWeight": 20}, {"pause": {}}]));
    world
        .until("it serves, and says so", |w| {
            w.phase("web") == "Healthy" && said(w).is_some_and(|m| m.contains("Deployment old has"))
        })
        .await;
    world
        .until("an Event says so", |w| {
            w.event_reasons().contains(&"LabelsShared".to_owned())
        })
        .await;
    let scale = |replicas: i64| json!({"spec": {"replicas": replicas}});
    world.patch("deployments.apps", "old", scale(0)).await;
    world
        .until("nothing is left to say", |w| said(w).is_none())
        .await;
    // A GitOps loop that still has its replicas brings its pods back.
    world.patch("deployments.apps", "old", scale(2)).await;
    world.until("it is said again", |w| said(w).is_some()).await;
    world.set_image("web", "r/app:v2").await;
    world
        .until("the next version goes out", |w| {
            w.weights("web") == (20, 80)
        })
        .await;
}
