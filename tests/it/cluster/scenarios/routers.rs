//! The other ways to shift traffic: ingress-nginx, and a route that Tidegate owns.

use super::super::gateway::http_route;
use super::super::shop::{NAME, SERVICES, Shop};
use super::super::table::Bench;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use tidegate_lab::wait;

const CLASS: &str = "nginx";
const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations: {lab.tidegate.io/requests-per-second: '300'}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: stable, port: {number: 80}}}}]}
";

fn canary(routing: &str) -> String {
    format!(
        "  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {routing}
      scaleDownDelaySeconds: 1
      steps: [{{setWeight: 30}}, {{pause: {{}}}}]
"
    )
}

/// A canary Ingress stands beside the user's, which stays as it is.
pub async fn nginx(bench: Bench) {
    let rest = canary("{nginx: {ingresses: [{name: shop}]}}");
    // It lives in no namespace, and this is the one scenario that names it.
    let classes: Api<IngressClass> = Api::all(bench.lab.client.clone());
    let class =
        json!({"metadata": {"name": CLASS}, "spec": {"controller": "k8s.io/ingress-nginx"}});
    let class = serde_json::from_value(class).unwrap();
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    let shop = Shop::open(&bench, &[SERVICES, INGRESS], 3, &rest).await;
    let ingresses: Api<Ingress> = Api::namespaced(bench.lab.client.clone(), &bench.namespace);
    let written = ingresses.get("shop").await.unwrap();
    shop.first("app:1.0").await;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    shop.release("app:2.0").await;
    shop.at(1, 30).await;
    let step = shop.totals();
    wait::until("500 requests have come in at this weight", async || {
        (shop.totals().requests() >= step.requests() + 500).then_some(())
    })
    .await;
    let seen = shop.totals();
    let answered = |totals: &super::super::traffic::Totals| {
        totals.by_image.get("app:2.0").copied().unwrap_or_default()
    };
    let share =
        (answered(&seen) - answered(&step)) as f64 / (seen.requests() - step.requests()) as f64;
    assert!((0.28..0.32).contains(&share), "{share} instead of 0.30");
    shop.command("promote").await;
    shop.is_stable("app:2.0").await;
    shop.has_pods(&[("app:2.0", 3)]).await;
    assert_eq!(shop.totals().lost, lost);
    assert_eq!(
        ingresses.get("shop").await.unwrap(),
        written,
        "the user's Ingress has changed"
    );
    bench.rollout_is_over().await;
    shop.delete().await;
    wait::until("the canary Ingress is gone with the Rollout", async || {
        let left = ingresses.list(&ListParams::default()).await.unwrap().items;
        (left.len() == 1).then_some(())
    })
    .await;
}

/// Tidegate makes the route itself, and nobody else has a hand in it.
pub async fn owned_route(bench: Bench) {
    let rest = canary(
        "{gatewayAPI: {managedRoute: {parentRefs: [{name: public}], hostnames: [shop.example.com], port: 80}}}",
    );
    let copies = "steps: [{setMirrorRoute: {name: shadow, percent: 20}}, {setWeight: 30}";
    let rest = rest.replace("steps: [{setWeight: 30}", copies);
    let shop = Shop::open(&bench, &[SERVICES], 3, &rest).await;
    shop.first("app:1.0").await;
    let weights = async || {
        let route = shop.route().await;
        assert_eq!(route["hostnames"], json!(["shop.example.com"]));
        let backends = route["rules"][0]["backendRefs"].as_array().unwrap().clone();
        let weight = |backend: &Value| backend["weight"].as_u64().unwrap();
        backends.iter().map(weight).collect::<Vec<_>>()
    };
    assert_eq!(weights().await, [100, 0]);
    // The copies come and go like weights.
    bench.rollout_begins(3);
    shop.release("app:2.0").await;
    shop.at(2, 30).await;
    assert_eq!(weights().await, [70, 30]);
    let mirror = &shop.route().await["rules"][0]["filters"][0]["requestMirror"];
    assert_eq!(mirror["backendRef"]["name"], "canary", "{mirror}");
    assert_eq!(mirror["percent"], 20, "{mirror}");
    shop.command("promote").await;
    shop.is_stable("app:2.0").await;
    assert_eq!(weights().await, [100, 0]);
    let filters = &shop.route().await["rules"][0]["filters"];
    assert!(filters.is_null(), "{filters}");
    bench.rollout_is_over().await;
    shop.delete().await;
    let routes: Api<DynamicObject> =
        Api::namespaced_with(bench.lab.client.clone(), &bench.namespace, &http_route());
    wait::until("the route is gone with the Rollout", async || {
        routes.get_opt(NAME).await.unwrap().is_none().then_some(())
    })
    .await;
}
