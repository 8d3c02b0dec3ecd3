//! Bad versions and bad days: stable has everything again, soon, and nothing else is lost.

use std::time::Duration;

use tidegate::api::rollout_status::PauseReason;
use tidegate_lab::node::control::Action;
use tokio::time::{Instant, sleep, sleep_until};

use super::canary::{behind_route, rest, routed};
use crate::bench::Bench;
use crate::delivery::Delivery;
use crate::shop::{Front, REPLICAS, Release, Shop, good};

/// 20 % with an analysis, as the figures of others were measured.
const AT_20: &str =
    "[{setWeight: 20}, {analysis: {templates: [{name: golden}]}}, {setWeight: 60}, {pause: {}}]";

/// The versions that a controller brings out which is killed meanwhile, and how often in each.
const VERSIONS: [&str; 4] = ["2.0", "3.0", "4.0", "5.0"];
const KILLS_PER_VERSION: usize = 5;

/// How long the API server is away.
const RESTART: Duration = Duration::from_secs(5);

/// How long users are on the stable version before it is left for another: what it did meanwhile is
/// all that the other can be held against.
const HISTORY: Duration = Duration::from_secs(30);

/// How long Prometheus, or the Git server, is away.
const AWAY: Duration = Duration::from_secs(60);

async fn aborted(bench: &mut Bench, steps: &str, bad: Release) {
    aborted_after(bench, steps, good("1.0"), bad).await;
}

/// The bad version comes by a commit; it is aborted, the commit is taken back, and the cluster is in
/// step with Git again.
async fn aborted_after(bench: &mut Bench, steps: &str, first: Release, bad: Release) {
    aborted_with(bench, steps, first, bad, Git::Answers).await;
}

/// Whether the Git server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Git {
    Answers,
    IsAway,
}

async fn aborted_with(bench: &mut Bench, steps: &str, first: Release, bad: Release, git: Git) {
    let shop = behind_route(bench, steps).await;
    let delivery = Delivery::start(&shop, first).await;
    bench.load(&shop, Front::Route).await;
    bench.begins().await;
    let commit = delivery.release(&shop, bad).await;
    if git == Git::IsAway {
        bench.stage.program("git", Action::Stop).await;
    }
    let stopped = Instant::now();
    shop.until("it is given up", |status| status.abort.is_some())
        .await;
    if git == Git::IsAway {
        shop.is_aborted().await;
        sleep_until(stopped + AWAY).await;
        bench.stage.program("git", Action::Start).await;
    }
    delivery.is_reverted(&shop, &commit).await;
    shop.has_pods(&[REPLICAS]).await;
    bench.over().await;
    let ended = rest(bench, &shop).await;
    ended.judged(bad.version);
    ended.served_last("1.0");
}

/// A second version of whose answers so many are errors.
const fn with_errors(error_ratio: &'static str) -> Release {
    Release {
        error_ratio,
        ..good("2.0")
    }
}

/// Half of the answers are errors.
pub async fn errors_50(bench: &mut Bench) {
    aborted(bench, AT_20, with_errors("0.5")).await;
}

/// 6 % are.
pub async fn errors_6(bench: &mut Bench) {
    aborted(bench, AT_20, with_errors("0.06")).await;
}

/// 5 % are.
pub async fn errors_5(bench: &mut Bench) {
    aborted(bench, AT_20, with_errors("0.05")).await;
}

/// Every answer takes 30 % longer; a quantile of the latency stands for the comparison.
pub async fn slower(bench: &mut Bench) {
    let bad = Release {
        slower: "1.3",
        latency_ms: "60",
        ..good("2.0")
    };
    let steps = AT_20.replace("golden", "latency");
    let first = Release {
        latency_ms: "60",
        ..good("1.0")
    };
    aborted_after(bench, &steps, first, bad).await;
}

/// The pods never get ready: nobody is ever sent to them.
pub async fn never_ready(bench: &mut Bench) {
    let bad = Release {
        never_ready: true,
        ..good("2.0")
    };
    aborted(bench, AT_20, bad).await;
}

/// The pods crash again and again.
pub async fn crash(bench: &mut Bench) {
    let bad = Release {
        crash_seconds: "0.2",
        ..good("2.0")
    };
    aborted(bench, AT_20, bad).await;
}

/// Blue/green is switched back by the analysis after the switch.
pub async fn blue_green(bench: &mut Bench) {
    let strategy = "  strategy:
    blueGreen:
      activeService: active
      previewService: preview
      scaleDownDelaySeconds: 10
      abortScaleDownDelaySeconds: 5
      postPromotionAnalysis: {templates: [{name: golden}]}
";
    let shop = Shop::open(&bench.stage, bench.name, &["active", "preview"], strategy).await;
    shop.first(good("1.0")).await;
    bench.load(&shop, Front::Service("active")).await;
    sleep(HISTORY).await;
    bench.begins().await;
    shop.release(with_errors("0.5")).await;
    shop.is_aborted().await;
    bench.over().await;
    bench.end().await.served_last("1.0");
}

/// A person gives a version up in mid-step.
pub async fn abort_by_hand(bench: &mut Bench) {
    let shop = routed(bench, "[{setWeight: 50}, {pause: {}}]").await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(50).await;
    shop.command("abort").await;
    shop.is_aborted().await;
    bench.over().await;
    let ended = bench.end().await;
    ended.judged("2.0");
    ended.served_last("1.0");
}

/// Prometheus is away for a minute in the middle of an analysis: it waits, and goes on by itself.
pub async fn prometheus_away(bench: &mut Bench) {
    let shop = routed(
        bench,
        "[{setWeight: 50}, {analysis: {templates: [{name: golden}]}}]",
    )
    .await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(50).await;
    bench.stage.program("prometheus", Action::Stop).await;
    let stopped = Instant::now();
    shop.until("it holds and says why", |status| {
        let pause = status.pause.as_ref();
        pause.is_some_and(|pause| pause.reason == PauseReason::SourceError)
    })
    .await;
    sleep_until(stopped + AWAY).await;
    bench.stage.program("prometheus", Action::Start).await;
    shop.is_promoted().await;
    bench.over().await;
    rest(bench, &shop).await.judged("2.0");
}

/// The controller is killed at a random moment of every canary, again and again.
pub async fn controller_killed(bench: &mut Bench) {
    let steps =
        "[{setWeight: 20}, {pause: {duration: 3s}}, {setWeight: 60}, {pause: {duration: 3s}}]";
    let shop = routed(bench, steps).await;
    bench.begins().await;
    for version in VERSIONS {
        shop.release(good(version)).await;
        for _ in 0..KILLS_PER_VERSION {
            sleep(Duration::from_millis(fastrand::u64(0..4_000))).await;
            bench.stage.kill_controller().await;
        }
        shop.is_promoted().await;
    }
    bench.over().await;
    rest(bench, &shop).await.served_last("5.0");
}

/// A tool sets the route's weights back every ten seconds, from a file that knows nothing of them.
pub async fn weights_reset(bench: &mut Bench) {
    let steps =
        "[{setWeight: 25}, {pause: {duration: 15s}}, {setWeight: 50}, {pause: {duration: 15s}}]";
    let shop = routed(bench, steps).await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    let promoted = shop.is_promoted();
    tokio::pin!(promoted);
    loop {
        tokio::select! {
            () = &mut promoted => break,
            () = sleep(Duration::from_secs(10)) => shop.reset_route().await,
        }
    }
    bench.over().await;
    rest(bench, &shop).await.judged("2.0");
}

/// The Git server is away for a minute when a version is given up: the abort does not wait for it, and
/// the change leaves Git when it is back.
pub async fn git_away(bench: &mut Bench) {
    aborted_with(bench, AT_20, good("1.0"), with_errors("0.5"), Git::IsAway).await;
}

/// The API server is away for some seconds in mid-canary.
pub async fn api_server_restarted(bench: &mut Bench) {
    let steps =
        "[{setWeight: 25}, {pause: {duration: 10s}}, {setWeight: 50}, {pause: {duration: 10s}}]";
    let shop = routed(bench, steps).await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(25).await;
    // A graceful end takes it a minute, in which its node would be given up.
    bench.stage.program("kube-apiserver", Action::Kill).await;
    sleep(RESTART).await;
    bench.stage.program("kube-apiserver", Action::Start).await;
    shop.is_promoted().await;
    bench.over().await;
    rest(bench, &shop).await.judged("2.0");
}

/// Another image of the controller is installed in mid-canary, as an upgrade does.
pub async fn controller_replaced(bench: &mut Bench) {
    let steps =
        "[{setWeight: 25}, {pause: {duration: 20s}}, {setWeight: 50}, {pause: {duration: 20s}}]";
    let shop = routed(bench, steps).await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(25).await;
    bench.stage.replace_controller(bench.name).await;
    shop.is_promoted().await;
    bench.over().await;
    rest(bench, &shop).await.judged("2.0");
}

/// The gateway is restarted in mid-canary: what it loses by that is counted apart, and nothing else is
/// lost.
pub async fn gateway_restarted(bench: &mut Bench) {
    let steps =
        "[{setWeight: 25}, {pause: {duration: 10s}}, {setWeight: 50}, {pause: {duration: 10s}}]";
    let shop = routed(bench, steps).await;
    bench.begins().await;
    shop.release(good("2.0")).await;
    shop.has_weight(25).await;
    bench.restart_gateway(&shop).await;
    shop.is_promoted().await;
    bench.over().await;
    rest(bench, &shop).await.judged("2.0");
}
