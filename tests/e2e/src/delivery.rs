//! A shop that is kept in Git: released by commits, applied by a GitOps loop, and put right by
//! Tidegate's Git writer.

use kube::Api;
use tidegate::api::revert::{Revert, RevertPhase};
use tidegate::api::rollout_status::Phase;
use tidegate_lab::gitops::{GitOps, SOURCE};
use tidegate_lab::repository::Repository;
use tidegate_lab::wait;

use crate::shop::{Release, Shop};

/// Where the Rollout is, in the repository.
const FILE: &str = "apps/shop/rollout.yaml";

/// A repository that a loop applies.
pub struct Delivery {
    repository: Repository,
    gitops: GitOps,
    good: String,
}

impl Delivery {
    /// Commits the first version and waits until it is stable.
    pub async fn start(shop: &Shop, first: Release) -> Self {
        let good = shop.manifest(first);
        let (root, url) = shop.stage.git();
        let files = [(FILE, good.as_str())];
        let repository = Repository::create_below(&root, &url, &shop.namespace, &files).await;
        let client = &shop.stage.client;
        let gitops = GitOps::start(
            client,
            repository.clone(),
            "apps/shop",
            &shop.namespace,
            SOURCE,
        );
        gitops
            .has_applied(&repository.tip().await.expect("a commit"))
            .await;
        shop.until("the first version is stable", |status| {
            status.phase == Some(Phase::Healthy)
        })
        .await;
        Self {
            repository,
            gitops,
            good,
        }
    }

    /// Commits another version. Returns the commit.
    pub async fn release(&self, shop: &Shop, release: Release) -> String {
        let manifest = shop.manifest(release);
        let message = format!("Release {}", release.version);
        let commit = self.repository.commit(&message, &[(FILE, &manifest)]).await;
        self.gitops.has_applied(&commit).await;
        commit
    }

    /// Waits until the branch says again what it said before `bad`, the cluster has followed, and the
    /// Revert says so.
    pub async fn is_reverted(&self, shop: &Shop, bad: &str) {
        let repository = &self.repository;
        let reverted = wait::until("the branch has a new commit", async || {
            repository.tip().await.filter(|tip| tip != bad)
        })
        .await;
        assert_eq!(repository.file(&reverted, FILE).await, self.good);
        self.gitops.has_applied(&reverted).await;
        shop.until("cluster and Git agree", |status| {
            status.phase == Some(Phase::Healthy) && status.canary.is_none()
        })
        .await;
        let reverts: Api<Revert> = Api::namespaced(shop.stage.client.clone(), &shop.namespace);
        wait::until_ok("the Revert is verified", async || {
            let list = reverts.list(&kube::api::ListParams::default()).await;
            let list = list.map_err(|error| error.to_string())?.items;
            let phases: Vec<_> = list
                .iter()
                .map(|revert| revert.status.as_ref().and_then(|status| status.phase))
                .collect();
            if phases == [Some(RevertPhase::Verified)] {
                Ok(())
            } else {
                Err(format!("{phases:?}"))
            }
        })
        .await;
    }
}
