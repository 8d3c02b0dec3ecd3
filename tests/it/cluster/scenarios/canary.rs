//! A new version goes out in steps, through an HTTPRoute or by pod counts.

use super::super::shop::{ROUTE, SERVICES, Shop, TEMPLATE};
use super::super::table::Bench;
use super::super::wait;
use serde_json::json;
use std::time::Instant;
use tidegate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase};

/// Steps of an HTTPRoute canary, in front of the rest of the strategy.
fn by_route(steps: &str) -> String {
    format!(
        "  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {{gatewayAPI: {{httpRoutes: [{{name: shop}}]}}}}
      scaleDownDelaySeconds: 1
      abortScaleDownDelaySeconds: 1
      steps: {steps}
"
    )
}

async fn shop(bench: &Bench, steps: &str) -> Shop {
    let shop = Shop::open(bench, &[SERVICES, ROUTE, TEMPLATE], 4, &by_route(steps)).await;
    shop.first("app:1.0").await;
    shop
}

/// The first version comes up without steps, and then nothing is written any more.
pub async fn first_deployment(bench: Bench) {
    let steps = "[{setWeight: 20}, {pause: {}}]";
    let shop = shop(&bench, steps).await;
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.weight().await, 0);
    let status = shop.status().await.unwrap();
    assert_eq!(status.history[0].outcome, Outcome::Initial);
    assert_eq!(shop.behind("stable").await.as_deref(), Some("app:1.0"));
    bench.stays_silent().await;
}

/// A good version passes its analysis and takes over without a lost request.
pub async fn promoted(bench: Bench) {
    let golden = "analysis: {templates: [{name: golden}]}";
    let steps = format!(
        "[{{setWeight: 20}}, {{{golden}}}, {{setWeight: 60}}, {{pause: {{duration: 2s}}}}]"
    );
    let shop = shop(&bench, &steps).await;
    let before = (shop.totals(), bench.writes());
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    assert_eq!(shop.weight().await, 20);
    assert_eq!(shop.behind("canary").await.as_deref(), Some("app:2.0"));
    shop.at(3, 60).await;
    let status = shop.is_stable("app:2.0").await;
    assert_eq!(status.history[0].outcome, Outcome::Promoted);
    assert_eq!(shop.weight().await, 0, "stable is the new version now");
    assert_eq!(shop.behind("stable").await.as_deref(), Some("app:2.0"));
    shop.has_pods(&[("app:2.0", 4)]).await;
    let after = shop.totals();
    assert_eq!((after.lost, after.bad), (before.0.lost, 0));
    let writes = bench.writes().since(&before.1);
    bench.note(format!("{} writes for 2 weight steps", writes.total()));
    assert!(writes.total() <= 8 + 4 * 2, "too many writes: {writes:?}");
    bench.stays_silent().await;
}

/// Without a router the pods are the weight, and there are never fewer than asked for.
pub async fn by_pod_counts(bench: Bench) {
    let rest = "  strategy:
    canary:
      maxSurge: 1
      maxUnavailable: 0
      steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}, {pause: {}}]
";
    let service = "
apiVersion: v1
kind: Service
metadata:
  name: shop
  annotations: {lab.tidegate.io/requests-per-second: '200'}
spec: {selector: {app: shop}, ports: [{port: 80}]}
";
    let shop = Shop::open(&bench, &[service], 4, rest).await;
    shop.first("app:1.0").await;
    let lost = shop.totals().lost;
    shop.release("app:2.0").await;
    for (step, pods) in [(1, (3, 1)), (3, (2, 2))] {
        let waits = |status: &tidegate::api::rollout_status::RolloutStatus| {
            status.phase == Some(Phase::Paused)
                && status
                    .canary
                    .as_ref()
                    .is_some_and(|canary| canary.step == step)
        };
        shop.until(&format!("it waits at step {step}"), waits).await;
        shop.has_pods(&[("app:1.0", pods.0), ("app:2.0", pods.1)])
            .await;
        shop.command("promote").await;
    }
    shop.is_stable("app:2.0").await;
    shop.has_pods(&[("app:2.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
}

/// A person aborts: traffic is back at once, the pods follow, nothing starts again by itself.
pub async fn aborted_by_hand(bench: Bench) {
    let shop = shop(&bench, "[{setWeight: 50}, {pause: {}}]").await;
    let lost = shop.totals().lost;
    shop.release("app:2.0").await;
    shop.at(1, 50).await;
    let asked = Instant::now();
    shop.annotate("abort", "now").await;
    wait::until("the route has stable's weight", async || {
        (shop.weight().await == 0).then_some(())
    })
    .await;
    bench.note(format!(
        "abort to stable weight {:.2} s",
        asked.elapsed().as_secs_f64()
    ));
    let status = shop
        .until("it is aborted", |status| {
            status.phase == Some(Phase::Aborted)
        })
        .await;
    assert_eq!(status.abort.as_ref().unwrap().reason, AbortReason::Manual);
    assert_eq!(status.last_handled_command.unwrap().result, "Accepted");
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
    bench.stays_silent().await;

    shop.command("retry").await;
    let status = shop.at(1, 50).await;
    assert_eq!(status.canary.unwrap().attempt, 2);
}

/// A version that comes during a rollout takes its place and begins at step 0.
pub async fn superseded(bench: Bench) {
    let shop = shop(
        &bench,
        "[{setWeight: 20}, {pause: {}}, {setWeight: 50}, {pause: {}}]",
    )
    .await;
    let lost = shop.totals().lost;
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    shop.command("promote").await;
    shop.at(3, 50).await;
    shop.release("app:3.0").await;
    let status = shop.at(1, 20).await;
    assert_eq!(status.history[0].outcome, Outcome::Superseded);
    assert_eq!(shop.behind("canary").await.as_deref(), Some("app:3.0"));
    shop.has_pods(&[("app:1.0", 4), ("app:3.0", 1)]).await;
    shop.command("promote-full").await;
    shop.is_stable("app:3.0").await;
    shop.has_pods(&[("app:3.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
}

/// The template goes back to stable's: done at once, without steps.
pub async fn back_to_stable(bench: Bench) {
    let shop = shop(&bench, "[{setWeight: 20}, {pause: {}}]").await;
    let lost = shop.totals().lost;
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    shop.release("app:1.0").await;
    let status = shop.is_stable("app:1.0").await;
    assert_eq!(status.history[0].outcome, Outcome::RolledBack);
    assert_eq!(shop.weight().await, 0);
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
}

/// A deleted Rollout gives its route back and takes only its own objects with it.
pub async fn deleted(bench: Bench) {
    let shop = shop(&bench, "[{setWeight: 50}, {pause: {}}]").await;
    shop.release("app:2.0").await;
    shop.at(1, 50).await;
    shop.delete().await;
    wait::until("the Rollout is gone", async || {
        (!shop.exists().await).then_some(())
    })
    .await;
    assert_eq!(shop.weight().await, 0);
    wait::until("its ReplicaSets are gone", async || {
        shop.replica_sets().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(shop.route().await["hostnames"], json!(["shop.example.com"]));
}

/// While Prometheus is away nothing is promoted and nothing aborted, and the status says why.
pub async fn prometheus_down(bench: Bench) {
    let mut prometheus = bench.lab.another_prometheus(&bench.namespace).await;
    let golden = "analysis: {templates: [{name: golden}]}";
    let template = TEMPLATE.replace("provider: lab", &format!("provider: {}", bench.namespace));
    let rest = by_route(&format!(
        "[{{setWeight: 20}}, {{{golden}}}, {{setWeight: 60}}]"
    ));
    let shop = Shop::open(&bench, &[SERVICES, ROUTE, &template], 4, &rest).await;
    shop.first("app:1.0").await;
    prometheus.stop().await;
    shop.release("app:2.0").await;
    let status = shop
        .until("it waits for the metrics endpoint", |status| {
            status
                .pause
                .as_ref()
                .is_some_and(|pause| pause.reason == PauseReason::SourceError)
        })
        .await;
    assert_eq!(status.phase, Some(Phase::Paused));
    assert!(status.abort.is_none());
    assert_eq!(shop.weight().await, 20);
    prometheus.resume().await;
    shop.is_stable("app:2.0").await;
}

/// What the schema cannot know becomes a condition that names field, value and what is allowed.
pub async fn unusable(bench: Bench) {
    let shop = Shop::open(&bench, &[SERVICES], 2, &by_route("[{setWeight: 20}]")).await;
    shop.release("app:1.0").await;
    let status = shop
        .until("it says that the route is missing", |status| {
            status.phase == Some(Phase::Invalid) && status.message.contains("shop")
        })
        .await;
    assert!(status.message.contains("httpRoutes"), "{}", status.message);
    bench.lab.apply(&bench.namespace, ROUTE).await;
    shop.is_stable("app:1.0").await;
}
