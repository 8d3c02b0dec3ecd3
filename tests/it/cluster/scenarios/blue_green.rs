//! The whole new version comes up beside the old one; one write switches.

use super::super::shop::{Shop, TEMPLATE};
use super::super::table::Bench;
use super::super::wait;
use tidegate::api::rollout_status::{AbortReason, Phase};

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata:
  name: active
  annotations: {lab.tidegate.io/requests-per-second: '300'}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: preview}
spec: {selector: {app: shop}, ports: [{port: 80}]}
";

async fn shop(bench: &Bench, more: &str) -> Shop {
    let rest = format!(
        "  strategy:
    blueGreen:
      activeService: active
      previewService: preview
      scaleDownDelaySeconds: 3
      abortScaleDownDelaySeconds: 1
{more}"
    );
    let shop = Shop::open(bench, &[SERVICES, TEMPLATE], 3, &rest).await;
    shop.first("app:1.0").await;
    shop
}

/// The switch waits for a person, is one write, and loses nothing.
pub async fn promoted(bench: Bench) {
    let shop = shop(&bench, "      autoPromotion: {enabled: false}\n").await;
    let before = (shop.totals(), bench.writes());
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
    assert_eq!(shop.totals().lost, before.0.lost);
    let writes = bench.writes().since(&before.1);
    bench.note(format!("{} writes", writes.total()));
}

/// Harm that shows after the switch switches back to the old version, which is still there.
pub async fn aborted_after_the_switch(bench: Bench) {
    let more = "      postPromotionAnalysis: {templates: [{name: golden}]}\n";
    let shop = shop(&bench, more).await;
    let lost = shop.totals().lost;
    shop.release("app:2.0-errors50").await;
    let status = shop
        .until("it is aborted", |status| {
            status.phase == Some(Phase::Aborted)
        })
        .await;
    assert_eq!(status.abort.unwrap().reason, AbortReason::AnalysisFailed);
    assert_eq!(shop.behind("active").await.as_deref(), Some("app:1.0"));
    shop.has_pods(&[("app:1.0", 3)]).await;
    let totals = shop.totals();
    assert!(totals.bad > 0, "it was switched before it was judged");
    assert_eq!(totals.lost, lost);
    bench.note(format!("{} bad answers", totals.bad));
}
