//! The class of an Ingress: a rollout does not begin where no ingress-nginx acts on its weights, an
//! abort works all the same, and where classes may not be read nothing is refused.

use http::Method;
use serde_json::{Value, json};
use tidegate::sim::apiserver::Fault;

use super::{ask, collection, create, good};
use crate::controller::world::{INGRESSES, NAMESPACE, ROLLOUTS, World};

const NAME: &str = "web";

/// The good one; without its class.
async fn begin(world: &World) {
    for object in good("nginx", NAME).iter().rev() {
        if object["kind"] != "IngressClass" {
            create(&world.user, NAMESPACE, object, "").await.unwrap();
        }
    }
}

fn class(controller: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": NAME},
        "spec": {"controller": controller}})
}

/// The weight of the canary Ingress, where there is one.
fn weight(world: &World) -> Option<String> {
    let canary = world.get(INGRESSES, "web-web-canary")?;
    let annotations = &canary["metadata"]["annotations"];
    let weight = annotations["nginx.ingress.kubernetes.io/canary-weight"].as_str()?;
    Some(weight.to_owned())
}

async fn delete_class(world: &World) {
    let path = format!("{}/{NAME}", collection("IngressClass", NAMESPACE));
    ask(&world.user, Method::DELETE, &path, "", &Value::Null)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_where_no_ingress_nginx_serves_and_an_abort_works() {
    let world = World::new();
    let _controller = world.controller();
    begin(&world).await;
    let invalid = |w: &World, words: &str| {
        let said = w.rollout(NAME)["status"]["message"].to_string();
        w.phase(NAME) == "Invalid" && said.contains(words)
    };
    let missing = "Ingress web is of class web, and there is no such IngressClass";
    world.until("it is missing", |w| invalid(w, missing)).await;
    assert!(world.sizes(NAME).is_empty());
    let create_class = async |controller: &str| {
        create(&world.user, NAMESPACE, &class(controller), "")
            .await
            .unwrap();
    };
    create_class("nginx.org/ingress-controller").await;
    world
        .until("it is another's", |w| {
            invalid(w, "which is nginx.org/ingress-controller's")
        })
        .await;
    assert!(world.sizes(NAME).is_empty() && weight(&world).is_none());
    delete_class(&world).await;
    create_class("example.com/ingress-nginx").await;
    world.until_phase(NAME, "Healthy").await;
    world.set_image(NAME, "r/app:v2").await;
    world
        .until("a part of the traffic", |w| {
            w.phase(NAME) == "Paused" && weight(w).as_deref() == Some("20")
        })
        .await;
    delete_class(&world).await;
    world
        .until("it is missing again", |w| invalid(w, missing))
        .await;
    assert_eq!(weight(&world).as_deref(), Some("20"));
    let abort = json!({"metadata": {"annotations": {"tidegate.io/abort": "now"}}});
    world.patch(ROLLOUTS, NAME, abort).await;
    world
        .until("stable has all traffic", |w| {
            w.phase(NAME) == "Aborted" && weight(w).as_deref() == Some("0")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_classes_is_refused_nothing() {
    let world = World::new();
    world.faults(|request| match request.resource.as_str() {
        "ingressclasses" => Fault::Fail(403, "Forbidden"),
        _ => Fault::Pass,
    });
    let _controller = world.controller();
    begin(&world).await;
    world.until_phase(NAME, "Healthy").await;
}
