//! Good versions: every way out, under load, without a lost request.

use std::time::Duration;

use serde_json::json;
use tidegate::api::rollout_status::Phase;
use tidegate::controller::observe::FINALIZER;
use tidegate_lab::wait;
use tokio::time::sleep;

use crate::bench::{Bench, Ended};
use crate::shop::{Front, REPLICAS, Shop, good};

/// How long the control run is.
const CONTROL: Duration = Duration::from_secs(10);

/// How long the load goes on after the gateway answers again.
const SETTLED: Duration = Duration::from_secs(10);

/// Keeps a Rollout that is deleted until the scenario has looked at what Tidegate did.
const HOLD: &str = "example.com/hold";

/// The canary's Services behind a route of the user's, with these steps.
pub fn by_route_with(steps: &str) -> String {
    format!(
        "  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {{gatewayAPI: {{httpRoutes: [{{name: shop}}]}}}}
      scaleDownDelaySeconds: 5
      abortScaleDownDelaySeconds: 5
      steps: {steps}
  gitRevert: {{mode: Push, on: [Failed, Deadline]}}
"
    )
}

/// The steps of a usual canary. It is judged where its one pod has enough requests for a verdict
/// soon; at 5 % that takes two minutes.
pub const STEPS: &str = "[{setWeight: 5}, {pause: {duration: 5s}}, {setWeight: 25}, \
    {analysis: {templates: [{name: golden}]}}, {setWeight: 50}, {pause: {duration: 5s}}, \
    {setWeight: 100}]";

/// A shop behind a route of the user's, without a version yet.
pub async fn behind_route(bench: &Bench, steps: &str) -> Shop {
    let strategy = by_route_with(steps);
    let shop = Shop::open(&bench.stage, bench.name, &["stable", "canary"], &strategy).await;
    shop.with_route().await
}

/// The same with a first version that is stable, under load.
pub async fn routed(bench: &mut Bench, steps: &str) -> Shop {
    let shop = behind_route(bench, steps).await;
    shop.first(good("1.0")).await;
    bench.load(&shop, Front::Route).await;
    shop
}

/// Nothing is rolled out: what is lost now is lost by the machine.
pub async fn control(bench: &mut Bench) {
    routed(bench, "[{setWeight: 50}]").await;
    sleep(CONTROL).await;
    bench.end().await;
}

/// Nothing is rolled out, and the gateway is restarted: what is lost then is lost by the gateway.
pub async fn gateway_control(bench: &mut Bench) {
    let shop = routed(bench, "[{setWeight: 50}]").await;
    bench.restart_gateway(&shop).await;
    sleep(SETTLED).await;
    bench.end().await;
}

/// Releases a good version and waits until it is promoted and the old one's pods are gone.
async fn second_version(bench: &mut Bench, shop: &Shop) -> Ended {
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.is_promoted().await;
    bench.over().await;
    rest(bench, shop).await
}

/// What stays when a version is promoted, or given up and taken back: stable's pods, and what a fresh
/// cluster would have. Ends the load.
pub async fn rest(bench: &mut Bench, shop: &Shop) -> Ended {
    shop.has_pods(&[REPLICAS]).await;
    bench.is_as_fresh().await;
    bench.end().await
}

/// 5, 25, 50, 100 % through an HTTPRoute of the user's.
pub async fn by_route(bench: &mut Bench) {
    let shop = routed(bench, STEPS).await;
    second_version(bench, &shop).await.judged("2.0");
}

/// The same through a route that Tidegate owns; judged in the other one.
pub async fn by_owned_route(bench: &mut Bench) {
    let steps = by_route_with(
        "[{setWeight: 5}, {pause: {duration: 5s}}, {setWeight: 25}, {pause: {duration: 5s}}, \
         {setWeight: 50}, {pause: {duration: 5s}}, {setWeight: 100}]",
    );
    let owned = format!(
        "gatewayAPI: {{managedRoute: {{parentRefs: [{{name: public, namespace: gateway}}], hostnames: [{}.example.com], port: 80}}}}",
        bench.name
    );
    let strategy = steps.replace("gatewayAPI: {httpRoutes: [{name: shop}]}", &owned);
    let shop = Shop::open(&bench.stage, bench.name, &["stable", "canary"], &strategy).await;
    shop.first(good("1.0")).await;
    bench.load(&shop, Front::Route).await;
    second_version(bench, &shop).await.judged("2.0");
}

/// A Rollout takes the place of a Deployment, pod by pod; then it is deleted, and the Deployment has its
/// pods again.
pub async fn in_a_deployments_place(bench: &mut Bench) {
    let shop = behind_route(bench, "[{setWeight: 50}, {pause: {duration: 5s}}]").await;
    shop.deployment(good("1.0")).await;
    bench.load(&shop, Front::Route).await;
    bench.begins().await;
    shop.take_its_place("Progressively").await;
    shop.is_promoted().await;
    shop.deployment_has(0).await;
    bench.over().await;

    shop.delete().await;
    wait::until("the Rollout is gone", async || {
        (!shop.exists().await).then_some(())
    })
    .await;
    shop.deployment_has(REPLICAS).await;
    // Only the Deployment's pods are left, and none of another's ends any more.
    shop.has_pods(&[REPLICAS]).await;
    bench.end().await;
}

/// By pod counts, behind one Service.
pub async fn by_pods(bench: &mut Bench) {
    let strategy = "  strategy:
    canary:
      maxSurge: 1
      maxUnavailable: 0
      steps: [{setWeight: 25}, {pause: {duration: 15s}}, {setWeight: 50}, {pause: {duration: 15s}}]
";
    let shop = Shop::open(&bench.stage, bench.name, &["shop"], strategy).await;
    shop.first(good("1.0")).await;
    bench.load(&shop, Front::Service("shop")).await;
    second_version(bench, &shop).await;
}

/// One write switches, behind one Service.
pub async fn blue_green(bench: &mut Bench) {
    let strategy = "  strategy:
    blueGreen:
      activeService: active
      previewService: preview
      scaleDownDelaySeconds: 10
";
    let shop = Shop::open(&bench.stage, bench.name, &["active", "preview"], strategy).await;
    shop.first(good("1.0")).await;
    bench.load(&shop, Front::Service("active")).await;
    second_version(bench, &shop).await;
}

/// A third version comes while the second is on its way.
pub async fn superseded(bench: &mut Bench) {
    let shop = routed(bench, "[{setWeight: 50}, {pause: {duration: 10s}}]").await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(50).await;
    shop.release(good("3.0")).await;
    shop.is_promoted().await;
    bench.over().await;
    let ended = rest(bench, &shop).await;
    ended.served_last("3.0");
    ended.judged("3.0");
}

/// The Rollout is deleted in mid-canary: the pods go with it, at the end and not before.
pub async fn deleted(bench: &mut Bench) {
    let shop = routed(bench, "[{setWeight: 50}, {pause: {}}]").await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(50).await;
    // The route goes back to stable while the finalizer holds the Rollout; what serves then is
    // gone with it, so the load ends before that.
    shop.patch(&json!({"metadata": {"finalizers": [FINALIZER, HOLD]}}))
        .await;
    shop.delete().await;
    wait::until("Tidegate has let go", async || {
        let held = shop.finalizers().await;
        (held == [HOLD]).then_some(())
    })
    .await;
    bench.over().await;
    bench.end().await.served_last("1.0");
    shop.patch(&json!({"metadata": {"finalizers": null}})).await;
    wait::until("the Rollout is gone", async || {
        (!shop.exists().await).then_some(())
    })
    .await;
}

/// Somebody scales up and down while the canary is out, as an autoscaler would.
pub async fn scaled(bench: &mut Bench) {
    let shop = routed(
        bench,
        "[{setWeight: 25}, {pause: {duration: 10s}}, {setWeight: 50}, {pause: {duration: 30s}}]",
    )
    .await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    for (weight, replicas) in [(25, 7), (50, 3), (50, 6)] {
        shop.has_weight(weight).await;
        shop.scale(replicas).await;
        shop.until("it has seen the new size", |status| {
            status.phase != Some(Phase::Invalid)
        })
        .await;
    }
    shop.is_promoted().await;
    bench.over().await;
    shop.scale(REPLICAS).await;
    rest(bench, &shop).await.judged("2.0");
}
