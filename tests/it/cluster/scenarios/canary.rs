//! A new version goes out in steps, through an HTTPRoute or by pod counts.

use super::super::shop::{ROUTE, SERVICES, Shop, TEMPLATE};
use super::super::table::{Bench, Decided, seconds};
use serde_json::json;
use tidegate::api::rollout_status::{AbortReason, Outcome, Phase, RolloutStatus};
use tidegate_lab::wait;

/// Steps of an HTTPRoute canary, in front of the rest of the strategy.
pub fn by_route(steps: &str) -> String {
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

/// A shop with these steps, whose first version is stable.
pub async fn shop(bench: &Bench, steps: &str) -> Shop {
    let shop = Shop::open(bench, &[SERVICES, ROUTE, TEMPLATE], 4, &by_route(steps)).await;
    shop.first("app:1.0").await;
    shop
}

/// The first version comes up without steps, and then nothing is written any more.
pub async fn first_deployment(bench: Bench) {
    bench.rollout_begins(0);
    let steps = "[{setWeight: 20}, {pause: {}}]";
    let shop = shop(&bench, steps).await;
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.weight().await, 0);
    let status = shop.status().await.unwrap();
    assert_eq!(status.history[0].outcome, Outcome::Initial);
    assert_eq!(shop.behind("stable").await.as_deref(), Some("app:1.0"));
    bench.rollout_is_over().await;
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
    bench.rollout_begins(2);
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
    bench.rollout_begins(1);
    shop.release("app:2.0").await;
    shop.at(1, 50).await;
    shop.command("abort").await;
    let is_aborted = |status: &RolloutStatus| status.phase == Some(Phase::Aborted);
    let status = shop.until("it is aborted", is_aborted).await;
    assert_eq!(status.abort.as_ref().unwrap().reason, AbortReason::Manual);
    assert_eq!(status.last_handled_command.unwrap().result, "Accepted");
    assert_eq!(shop.weight().await, 0);
    let decided = Decided::ByPerson("administrator");
    let (decided, back) = bench.abort_times(decided, ("patch httproutes", "shop"));
    bench.note(format!(
        "abort command to stable weight {}",
        seconds(decided, back)
    ));
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
    bench.rollout_is_over().await;

    shop.command("retry").await;
    let status = shop.at(1, 50).await;
    assert_eq!(status.canary.unwrap().attempt, 2);

    // In one word: that must not meet the next rollout, so it costs a write more, which takes it away.
    shop.annotate("abort", "now").await;
    shop.until("it is aborted again", is_aborted).await;
    assert_eq!(shop.weight().await, 0);
}

/// A version that comes during a rollout takes its place and begins at step 0.
pub async fn superseded(bench: Bench) {
    let shop = shop(
        &bench,
        "[{setWeight: 20}, {pause: {}}, {setWeight: 50}, {pause: {}}]",
    )
    .await;
    let lost = shop.totals().lost;
    // Two of them: twice to 20 %, once to 50 %.
    bench.rollouts_begin(2, 3, 0);
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
    bench.rollout_begins(1);
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
