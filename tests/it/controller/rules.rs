//! Rules of a Rollout that end in other objects: labels by role on pods, header routes on HTTPRoutes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::sim::apiserver::Fault;

use super::world::{NAMESPACE, ROUTES, World, canary, route};
use super::{deployed, paused_at_20, two_steps};

/// The role of each pod of an image, by uid.
fn roles(world: &World, image: &str) -> BTreeMap<String, String> {
    let pods = world.server.store().list("pods", NAMESPACE);
    let ours = pods
        .iter()
        .filter(|pod| pod["spec"]["containers"][0]["image"] == image);
    let role = |pod: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &pod["metadata"];
        (text(&metadata["uid"]), text(&metadata["labels"]["role"]))
    };
    ours.map(role).collect()
}

fn all(world: &World, image: &str, role: &str, count: usize) -> bool {
    let found = roles(world, image);
    found.len() == count && found.values().all(|r| r == role)
}

/// Nothing is asked or written any more: at some time there is a second of silence.
async fn at_rest(world: &World) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        world.server.reset_audit();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if world.calls() == (0, 0) {
            return;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "no rest: {:?}", world.server.audit());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_follow_the_role_of_their_version_without_a_restart() {
    let world = World::new();
    let _controller = world.controller();
    world.add_service("web-stable", "web");
    world.add_service("web-canary", "web");
    world.server.add(route("web")).unwrap();
    let mut web = canary("web", &two_steps());
    let strategy = &mut web["spec"]["strategy"]["canary"];
    strategy["stableMetadata"] = json!({"labels": {"role": "stable"}});
    strategy["canaryMetadata"] =
        json!({"labels": {"role": "canary"}, "annotations": {"look": "here"}});
    world.server.add(web).unwrap();
    world.until_phase("web", "Healthy").await;
    assert!(all(&world, "r/app:v1", "stable", 4));

    paused_at_20(&world, "web").await;
    assert!(all(&world, "r/app:v2", "canary", 1));
    let first = roles(&world, "r/app:v2").into_keys().next().unwrap();
    world.command("web", "promote").await;
    world
        .until("the new version's pods are in stable's role", |w| {
            w.phase("web") == "Healthy" && all(w, "r/app:v2", "stable", 4)
        })
        .await;
    assert!(
        roles(&world, "r/app:v2").contains_key(&first),
        "no pod was replaced"
    );
    at_rest(&world).await;

    // Pods that cannot be patched stop nothing, and are not asked again.
    world.faults(|request| {
        if request.resource == "pods" && request.verb == "patch" {
            Fault::Fail(403, "Forbidden")
        } else {
            Fault::Pass
        }
    });
    world.set_image("web", "r/app:v3").await;
    world
        .until("v3 paused at 20", |w| {
            w.phase("web") == "Paused" && w.weights("web") == (20, 80)
        })
        .await;
    world.command("web", "promote").await;
    world
        .until("v3 is stable, and its pods are said to be left", |w| {
            w.phase("web") == "Healthy"
                && w.event_reasons().contains(&"PodsNotRelabelled".to_owned())
        })
        .await;
    assert!(all(&world, "r/app:v3", "canary", 4));
    at_rest(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_route_comes_and_goes_and_leaves_no_trace() {
    let world = World::new();
    let _controller = world.controller();
    let beta = json!({"name": "beta", "match": [{"header": "x-beta", "exact": "1"}]});
    let steps = json!([{"setHeaderRoute": beta}, {"pause": {}}, {"setWeight": 20}, {"pause": {}}]);
    deployed(&world, "web", &steps).await;
    let before = world.get(ROUTES, "web").unwrap();
    let rules = |world: &World| {
        let route = world.get(ROUTES, "web").unwrap();
        route["spec"]["rules"].as_array().unwrap().clone()
    };
    world.set_image("web", "r/app:v2").await;
    world
        .until("the header route", |w| {
            w.phase("web") == "Paused" && rules(w).len() == 3
        })
        .await;
    let found = rules(&world);
    assert_eq!(found[0]["name"], "tidegate-header.beta.0");
    let headers = &found[0]["matches"][0]["headers"];
    assert_eq!(headers[0]["name"], "x-beta", "{found:#?}");
    let backends = found[0]["backendRefs"].as_array().unwrap();
    assert_eq!(
        (backends.len(), &backends[0]["name"]),
        (1, &json!("web-canary"))
    );
    assert_eq!(
        json!(found[1..]),
        before["spec"]["rules"],
        "the user's stay"
    );
    assert_eq!(
        world.sizes("web"),
        [("r/app:v1".to_owned(), 4), ("r/app:v2".to_owned(), 1)]
    );
    assert_eq!(
        world.rollout("web")["status"]["traffic"]["headerRoutes"],
        json!(["beta"])
    );
    world.command("web", "abort").await;
    world
        .until("the pods are gone", |w| {
            w.phase("web") == "Aborted"
                && w.sizes("web") == [("r/app:v1".to_owned(), 4), ("r/app:v2".to_owned(), 0)]
        })
        .await;
    let after = world.get(ROUTES, "web").unwrap();
    assert_eq!(after["spec"], before["spec"]);
    at_rest(&world).await;
}
