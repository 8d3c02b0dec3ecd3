//! A bad version is aborted and its change taken out of Git, and cluster and Git agree again.

use super::super::gitops::{GitOps, Mark};
use super::super::repository::Repository;
use super::super::shop::{ROUTE, SERVICES, Shop, TEMPLATE, rollout};
use super::super::table::Bench;
use super::super::wait;
use kube::ResourceExt;
use std::time::Instant;
use tidegate::api::revert::RevertPhase;
use tidegate::api::rollout_status::{AbortReason, Phase};

const REST: &str = "  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {gatewayAPI: {httpRoutes: [{name: shop}]}}
      abortScaleDownDelaySeconds: 1
      steps: [{setWeight: 20}, {analysis: {templates: [{name: golden}]}}]
  gitRevert: {mode: Push, on: [Failed]}
";

/// Where the file is, in the repository.
const FILE: &str = "apps/shop/rollout.yaml";

/// Leaves on the Rollout where it came from.
const MARK: Mark = |object, source| {
    if object
        .types
        .as_ref()
        .is_some_and(|types| types.kind == "Rollout")
    {
        for (key, value) in [
            ("repo", source.repository),
            ("branch", source.branch),
            ("path", source.path),
            ("revision", source.commit),
        ] {
            let key = format!("tidegate.io/source-{key}");
            object.annotations_mut().insert(key, value.to_owned());
        }
    }
};

/// From a bad commit to the reverted one, and what happened between in the cluster.
pub async fn reverted(bench: Bench) {
    let shop = Shop::open(&bench, &[SERVICES, ROUTE, TEMPLATE], 4, REST).await;
    let file = |image: &str| rollout(image, 4, REST);
    let good = file("app:1.0");
    let name = &bench.namespace;
    let repository = Repository::create(&bench.lab.git, name, &[(FILE, &good)]).await;
    let gitops = GitOps::start(
        &bench.lab.client,
        repository.clone(),
        "apps/shop",
        name,
        MARK,
    );
    gitops.has_applied(&repository.tip().await.unwrap()).await;
    shop.is_stable("app:1.0").await;
    let lost = shop.totals().lost;

    let bad = repository
        .commit("Release 2.0", &[(FILE, &file("app:2.0-errors50"))])
        .await;
    gitops.has_applied(&bad).await;
    let status = shop
        .until("it is aborted", |status| status.abort.is_some())
        .await;
    let aborted = Instant::now();
    assert_eq!(status.abort.unwrap().reason, AbortReason::AnalysisFailed);
    let totals = shop.totals();

    let reverted = wait::until("the branch has a new commit", async || {
        repository.tip().await.filter(|tip| *tip != bad)
    })
    .await;
    bench.note(format!(
        "abort to commit {:.2} s",
        aborted.elapsed().as_secs_f64()
    ));
    assert_eq!(
        repository.file(&reverted, FILE).await,
        good,
        "the old bytes are back"
    );
    let message = repository.message(&reverted).await;
    assert!(
        message.contains(&format!("Reverts-Commit: {bad}")),
        "{message}"
    );

    gitops.has_applied(&reverted).await;
    shop.is_stable("app:1.0").await;
    assert_eq!(shop.weight().await, 0);
    shop.has_pods(&[("app:1.0", 4)]).await;
    let revert = wait::until_ok("the Revert is verified", async || {
        let revert = shop.reverts().await.pop();
        let status = revert.as_ref().and_then(|revert| revert.status.clone());
        match status.as_ref().and_then(|status| status.phase) {
            Some(RevertPhase::Verified) => revert.ok_or(None),
            _ => Err(status),
        }
    })
    .await;
    assert_eq!(
        revert.status.unwrap().commit.as_deref(),
        Some(reverted.as_str())
    );
    assert_eq!(shop.totals().lost, lost);
    bench.note(format!(
        "{} bad answers of {}",
        totals.bad,
        totals.requests()
    ));

    // The rejected version is not tried again when it comes back.
    let again = repository
        .commit("Release 2.0 again", &[(FILE, &file("app:2.0-errors50"))])
        .await;
    gitops.has_applied(&again).await;
    shop.until("it is rejected", |status| {
        status.phase == Some(Phase::Rejected)
    })
    .await;
    assert_eq!(shop.weight().await, 0);
    shop.has_pods(&[("app:1.0", 4)]).await;
}
