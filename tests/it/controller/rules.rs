//! Rules of a Rollout that end in other objects: labels by role on pods, header routes on HTTPRoutes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::sim::apiserver::Fault;

use super::world::{NAMESPACE, REPLICA_SETS, ROLLOUTS, ROUTES, World, canary, route};
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
pub(super) async fn at_rest(world: &World) {
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

/// The filter that copies requests comes to the user's rule and goes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_route_comes_and_goes_and_leaves_no_trace() {
    let world = World::new();
    let _controller = world.controller();
    let shadow = json!({"name": "shadow", "percent": 50});
    let steps =
        json!([{"setMirrorRoute": shadow}, {"pause": {}}, {"setWeight": 20}, {"pause": {}}]);
    deployed(&world, "web", &steps).await;
    let before = world.get(ROUTES, "web").unwrap();
    world.set_image("web", "r/app:v2").await;
    let filters = |world: &World| {
        let route = world.get(ROUTES, "web").unwrap();
        let rules = route["spec"]["rules"].as_array().unwrap().clone();
        rules
            .iter()
            .map(|rule| rule["filters"].clone())
            .collect::<Vec<_>>()
    };
    world.until_phase("web", "Paused").await;
    let found = filters(&world);
    let copies = found.iter().filter(|filters| !filters.is_null());
    let last =
        |filters: &Value| filters.as_array().unwrap().last().unwrap()["requestMirror"].clone();
    let copies: Vec<_> = copies.map(last).collect();
    assert!(!copies.is_empty(), "{found:?}");
    for mirror in copies {
        assert_eq!(mirror["backendRef"]["name"], "web-canary", "{found:?}");
        assert_eq!(mirror["percent"], 50, "{found:?}");
    }
    assert_eq!(
        world.sizes("web"),
        [("r/app:v1".to_owned(), 4), ("r/app:v2".to_owned(), 2)]
    );
    let traffic = world.rollout("web")["status"]["traffic"].clone();
    assert_eq!(traffic["mirrorRoutes"], json!(["shadow"]));
    world.command("web", "abort").await;
    world.until_phase("web", "Aborted").await;
    let after = world.get(ROUTES, "web").unwrap();
    assert_eq!(after["spec"], before["spec"]);
    at_rest(&world).await;
}

/// Nothing begins where the gateway says that it cannot copy a part of the requests; once it says that it
/// can, the rollout begins by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_copy_requests_is_named() {
    let world = World::new();
    let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "edge"}, "spec": {"controllerName": "tidegate.io/sim-gateway"}});
    world.server.add(class).unwrap();
    let says = async |features: Value| {
        let path = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/edge/status";
        let change = json!({"status": {"supportedFeatures": features}});
        let request = http::Request::patch(format!("{path}?fieldManager=gateway"))
            .header("content-type", "application/merge-patch+json")
            .body(change.to_string().into_bytes())
            .unwrap();
        world.user.request::<Value>(request).await.unwrap();
    };
    says(json!([{"name": "HTTPRoute"}, {"name": "HTTPRouteRequestMirror"}])).await;
    let _controller = world.controller();
    let plain = json!([{"setWeight": 20}, {"pause": {}}]);
    deployed(&world, "web", &plain).await;
    let shadow = json!({"name": "shadow", "percent": 50});
    let steps = json!([{"setMirrorRoute": shadow}, {"pause": {}}]);
    let strategy = json!({"canary": {"steps": steps}});
    let template = json!({"spec": {"containers": [{"name": "app", "image": "r/app:v2"}]}});
    let change = json!({"spec": {"strategy": strategy, "template": template}});
    world.patch(ROLLOUTS, "web", change).await;
    world
        .until("it is named", |w| {
            let said = w.rollout("web")["status"]["message"].to_string();
            w.phase("web") == "Invalid"
                && said.contains("tidegate.io/sim-gateway")
                && said.contains("HTTPRouteRequestPercentageMirror")
        })
        .await;
    assert_eq!(world.sizes("web"), [("r/app:v1".to_owned(), 4)]);
    says(json!([{"name": "HTTPRouteRequestPercentageMirror"}])).await;
    world.until_phase("web", "Paused").await;
    let traffic = world.rollout("web")["status"]["traffic"].clone();
    assert_eq!(traffic["mirrorRoutes"], json!(["shadow"]));
}

/// The control group is there while there is something to compare, and its pods are not counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_group_comes_with_the_canary_and_goes_with_it() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &json!([{"setWeight": 20}, {"pause": {}}])).await;
    let asked = json!({"spec": {"strategy": {"canary": {"baseline": {"replicas": 2}}}}});
    world.patch(ROLLOUTS, "web", asked).await;
    let groups = |world: &World| {
        let sets = world.server.store().list(REPLICA_SETS, NAMESPACE);
        let of = sets.iter().filter(|set| {
            set["metadata"]["name"]
                .as_str()
                .unwrap()
                .ends_with("-baseline")
        });
        of.map(|set| {
            (
                set["spec"]["replicas"].clone(),
                set["status"]["readyReplicas"].clone(),
            )
        })
        .collect::<Vec<_>>()
    };
    assert!(groups(&world).is_empty());
    paused_at_20(&world, "web").await;
    world
        .until("two more of the first version", |w| {
            groups(w) == [(json!(2), json!(2))]
        })
        .await;
    let pods = world.server.store().list("pods", NAMESPACE);
    let labelled = |pod: &&Value| pod["metadata"]["labels"]["tidegate.io/baseline"] == "true";
    let stable = world.rollout("web")["status"]["stable"]["hash"].clone();
    for pod in pods.iter().filter(labelled) {
        assert_eq!(pod["spec"]["containers"][0]["image"], "r/app:v1");
        assert_eq!(
            pod["metadata"]["labels"]["rollouts-pod-template-hash"],
            stable
        );
    }
    assert_eq!(pods.iter().filter(labelled).count(), 2);
    world.command("web", "promote").await;
    world.until_phase("web", "Healthy").await;
    world
        .until("the group is gone", |w| groups(w).is_empty())
        .await;
    at_rest(&world).await;
}
