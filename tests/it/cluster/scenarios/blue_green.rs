//! The whole new version comes up beside the old one; one write switches.

use super::super::shop::{LEVEL, Shop, TEMPLATE};
use super::super::table::{Bench, Decided, seconds};
use tidegate::api::analysis_status::RunPhase;
use tidegate::api::rollout_status::{AbortReason, Outcome, Phase};
use tidegate_lab::wait;

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata:
  name: active
  annotations: {lab.tidegate.io/requests-per-second: '2000'}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: preview}
spec: {selector: {app: shop}, ports: [{port: 80}]}
";

async fn shop(bench: &Bench, more: &str) -> Shop {
    shop_with(bench, SERVICES, more).await
}

async fn shop_with(bench: &Bench, services: &str, more: &str) -> Shop {
    let rest = format!(
        "  strategy:
    blueGreen:
      activeService: active
      previewService: preview
      scaleDownDelaySeconds: 3
      abortScaleDownDelaySeconds: 1
{more}"
    );
    let shop = Shop::open(bench, &[services, TEMPLATE, LEVEL], 3, &rest).await;
    shop.first("app:1.0").await;
    shop
}

/// The switch waits for a person, is one write, and loses nothing.
pub async fn promoted(bench: Bench) {
    let shop = shop(&bench, "      autoPromotion: {enabled: false}\n").await;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    shop.release("app:2.0").await;
    shop.until("it waits for a promotion", |status| {
        status.phase == Some(Phase::Paused)
    })
    .await;
    shop.has_pods(&[("app:1.0", 3), ("app:2.0", 3)]).await;
    assert_eq!(shop.behind("active").await.as_deref(), Some("app:1.0"));
    assert_eq!(shop.behind("preview").await.as_deref(), Some("app:2.0"));
    assert_eq!(
        shop.totals().by_image.get("app:2.0"),
        None,
        "nobody has seen it yet"
    );
    shop.command("promote").await;
    wait::until("the active Service is switched", async || {
        (shop.behind("active").await.as_deref() == Some("app:2.0")).then_some(())
    })
    .await;
    shop.is_stable("app:2.0").await;
    shop.has_pods(&[("app:2.0", 3)]).await;
    assert_eq!(shop.totals().lost, lost);
    bench.rollout_is_over().await;
    assert_eq!(switches(&bench), 2, "the first version's, and this one's");
}

/// Writes of the active Service.
fn switches(bench: &Bench) -> usize {
    bench.written("patch services", "active").len()
}

/// A good version passes its analysis before the switch, by those who see the preview, and the one
/// after it, by everybody.
pub async fn promoted_on_evidence(bench: Bench) {
    let more = "      prePromotionAnalysis: {templates: [{name: golden}]}
      postPromotionAnalysis: {templates: [{name: level}]}
";
    let tried =
        "metadata: {name: preview, annotations: {lab.tidegate.io/requests-per-second: '2000'}}";
    let services = SERVICES.replace("metadata: {name: preview}", tried);
    let shop = shop_with(&bench, &services, more).await;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    shop.release("app:2.0").await;
    shop.run_is(RunPhase::Running).await;
    assert_eq!(shop.behind("active").await.as_deref(), Some("app:1.0"));
    shop.run_is(RunPhase::Successful).await;
    let status = shop.is_stable("app:2.0").await;
    assert_eq!(status.history[0].outcome, Outcome::Promoted);
    assert_eq!(shop.behind("active").await.as_deref(), Some("app:2.0"));
    shop.has_pods(&[("app:2.0", 3)]).await;
    let runs = shop.runs().await;
    assert_eq!(runs.len(), 2, "one before and one after the switch");
    for run in runs {
        let status = run.status.unwrap();
        assert_eq!(status.phase, Some(RunPhase::Successful), "{status:?}");
    }
    assert_eq!(shop.totals().lost, lost);
    bench.rollout_is_over().await;
    assert_eq!(switches(&bench), 2, "the first version's, and this one's");
}

/// Harm that shows after the switch switches back to the old version, which is still there, in one
/// write.
pub async fn aborted_after_the_switch(bench: Bench) {
    let more = "      postPromotionAnalysis: {templates: [{name: level}]}\n";
    let shop = shop(&bench, more).await;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    shop.release("app:2.0-errors8").await;
    wait::until("the active Service is switched", async || {
        (shop.behind("active").await.as_deref() == Some("app:2.0-errors8")).then_some(())
    })
    .await;
    let status = shop
        .until("it is aborted", |status| {
            status.phase == Some(Phase::Aborted)
        })
        .await;
    let abort = status.abort.unwrap();
    assert_eq!(abort.reason, AbortReason::AnalysisFailed);
    assert_eq!(shop.behind("active").await.as_deref(), Some("app:1.0"));
    let totals = shop.totals();
    assert!(totals.bad > 0, "it was switched before it was judged");
    let decided = Decided::ByRun(abort.analysis_run.as_deref().unwrap());
    let (decided, back) = bench.abort_times(decided, ("patch services", "active"));
    bench.note(format!(
        "verdict to switch back {}, {} bad answers",
        seconds(decided, back),
        totals.bad
    ));
    shop.has_pods(&[("app:1.0", 3)]).await;
    assert_eq!(shop.totals().lost, lost);
    assert_eq!(shop.reverts().await.len(), 1);
    bench.rollout_is_over().await;
    assert_eq!(switches(&bench), 3, "the first version, there and back");
}
