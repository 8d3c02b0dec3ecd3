//! What decides by itself: evidence from Prometheus, or the want of it.

use super::super::shop::{ROUTE, SERVICES, Shop, TEMPLATE};
use super::super::table::{Bench, Decided, seconds};
use super::canary::{by_route, shop};
use kube::Api;
use std::time::Instant;
use tidegate::api::analysis_status::{RunPhase, Verdict};
use tidegate::api::conditions::ConditionStatus;
use tidegate::api::metrics_provider::MetricsProvider;
use tidegate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase, RolloutStatus};
use tidegate_lab::process::free_ports;
use tidegate_lab::wait;

/// Weights with an analysis between them.
const ANALYSED: &str = "[{setWeight: 20}, {analysis: {templates: [{name: golden}]}}, {setWeight: 60}, {pause: {duration: 2s}}]";

/// A good version passes its analysis and takes over without a lost request.
pub async fn promoted(bench: Bench) {
    let shop = shop(&bench, ANALYSED).await;
    let before = shop.totals();
    bench.rollout_begins(2);
    let begun = Instant::now();
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    assert_eq!(shop.weight().await, 20);
    assert_eq!(shop.behind("canary").await.as_deref(), Some("app:2.0"));
    shop.at(3, 60).await;
    let status = shop.is_stable("app:2.0").await;
    bench.note(format!(
        "stable after {:.0} s",
        begun.elapsed().as_secs_f64()
    ));
    assert_eq!(status.history[0].outcome, Outcome::Promoted);
    assert_eq!(shop.weight().await, 0, "stable is the new version now");
    assert_eq!(shop.behind("stable").await.as_deref(), Some("app:2.0"));
    shop.has_pods(&[("app:2.0", 4)]).await;
    let run = shop.run_is(RunPhase::Successful).await.status.unwrap();
    assert_eq!(run.verdict, Some(Verdict::Pass));
    let ratio = run.metrics[0].comparison.as_ref().unwrap();
    assert!(
        ratio.safe.log >= ratio.safe.limit && ratio.canary.requests > 1000.0,
        "{ratio:?}"
    );
    let after = shop.totals();
    assert_eq!((after.lost, after.bad), (before.lost, 0));
    bench.rollout_is_over().await;
}

/// A step waits for a person, and the analysis in the background aborts meanwhile.
pub async fn background(bench: Bench) {
    let rest = by_route("[{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]")
        + "      analysis: {templates: [{name: golden}]}\n";
    let shop = Shop::open(&bench, &[SERVICES, ROUTE, TEMPLATE], 4, &rest).await;
    shop.first("app:1.0").await;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    shop.release("app:2.0-errors8").await;
    let status = shop.until("it is aborted", is_aborted).await;
    let abort = status.abort.unwrap();
    assert_eq!(abort.reason, AbortReason::AnalysisFailed);
    assert!(abort.message.contains("were bad"), "{}", abort.message);
    // It may come before the weight is known to be served.
    assert!(matches!((abort.step, abort.weight), (0 | 1, 20)));
    assert_eq!(shop.weight().await, 0);
    let decided = Decided::ByRun(abort.analysis_run.as_deref().unwrap());
    let (decided, back) = bench.abort_times(decided, ("patch httproutes", "shop"));
    bench.note(format!(
        "verdict to stable weight {}, {} bad answers",
        seconds(decided, back),
        shop.totals().bad
    ));
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
    bench.rollout_is_over().await;
}

/// While Prometheus is away nothing is promoted and nothing aborted, and the status says why.
pub async fn prometheus_down(bench: Bench) {
    let mut prometheus = bench.lab.another_prometheus(&bench.namespace).await;
    let shop = shop_with_provider(&bench).await;
    shop.first("app:1.0").await;
    // It is held, and goes on.
    bench.rollouts_begin(1, 2, 2);
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    shop.run_is(RunPhase::Running).await;
    prometheus.stop().await;
    holds(&bench, &shop).await;
    prometheus.resume().await;
    shop.is_stable("app:2.0").await;
    bench.rollout_is_over().await;
}

/// A MetricsProvider where nobody answers holds in the same way, and says so itself.
pub async fn wrong_url(bench: Bench) {
    let name = bench.namespace.as_str();
    let [port] = free_ports();
    bench
        .lab
        .provider(name, &format!("http://127.0.0.1:{port}"))
        .await;
    let shop = shop_with_provider(&bench).await;
    shop.first("app:1.0").await;
    provider_is(&bench, ConditionStatus::False).await;
    // It is held, and goes on.
    bench.rollouts_begin(1, 2, 2);
    shop.release("app:2.0").await;
    holds(&bench, &shop).await;
    bench.lab.provider(name, bench.lab.prometheus.url()).await;
    provider_is(&bench, ConditionStatus::True).await;
    shop.is_stable("app:2.0").await;
    bench.rollout_is_over().await;
}

/// A shop whose analysis asks the MetricsProvider with its namespace's name.
async fn shop_with_provider(bench: &Bench) -> Shop {
    let provider = format!("provider: {}", bench.namespace);
    let template = TEMPLATE.replace("provider: lab", &provider);
    let base = [SERVICES, ROUTE, &template];
    Shop::open(bench, &base, 4, &by_route(ANALYSED)).await
}

/// The rollout is held for want of an answer: it says so, and nothing moves.
async fn holds(bench: &Bench, shop: &Shop) {
    let is_held = |status: &RolloutStatus| {
        let pause = status.pause.as_ref();
        pause.is_some_and(|pause| pause.reason == PauseReason::SourceError)
    };
    let begun = Instant::now();
    let status = shop
        .until("it waits for the metrics endpoint", is_held)
        .await;
    bench.note(format!("held after {:.1} s", begun.elapsed().as_secs_f64()));
    assert_eq!(status.phase, Some(Phase::Paused));
    assert!(
        status.message.contains("gets no answer that can be used"),
        "{}",
        status.message
    );
    bench.stays_silent().await;
    let status = shop.until("it still waits", is_held).await;
    assert!(status.abort.is_none(), "{:?}", status.abort);
    assert_eq!(status.canary.unwrap().step, 1);
    assert_eq!(shop.weight().await, 20);
    let run = shop.run_is(RunPhase::Running).await.status.unwrap();
    assert_eq!(run.verdict, Some(Verdict::SourceError));
}

async fn provider_is(bench: &Bench, expected: ConditionStatus) {
    let providers: Api<MetricsProvider> = Api::all(bench.lab.client.clone());
    let what = format!("MetricsProvider {}: Ready is {expected:?}", bench.namespace);
    wait::until_ok(&what, async || {
        let provider = providers.get(&bench.namespace).await.unwrap();
        let conditions = provider.status.map(|status| status.conditions);
        let ready = conditions.iter().flatten().find(|c| c.type_ == "Ready");
        match ready {
            Some(ready) if ready.status == expected => Ok(()),
            other => Err(other.cloned()),
        }
    })
    .await;
}

fn is_aborted(status: &RolloutStatus) -> bool {
    status.phase == Some(Phase::Aborted)
}
