//! A bad version is aborted and its change taken out of Git, and cluster and Git agree again.

use super::super::shop::{ROUTE, SERVICES, Shop, TEMPLATE, rollout};
use super::super::table::{Bench, Decided, seconds};
use jiff::Timestamp;
use tidegate::api::revert::{Revert, RevertPhase, RevertStatus};
use tidegate::api::rollout_status::{AbortReason, AbortStatus, Phase, RolloutStatus};
use tidegate_lab::git_http::{Faults, GitServer};
use tidegate_lab::gitops::{GitOps, SOURCE};
use tidegate_lab::repository::{NO_PUSHES, Repository};
use tidegate_lab::wait;

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

/// The version that is released and taken back.
const BAD: &str = "app:2.0-errors8";

/// A shop that is kept in Git.
struct Delivery {
    shop: Shop,
    repository: Repository,
    gitops: GitOps,
    good: String,
}

impl Delivery {
    /// Starts with a good version, applied from Git and stable.
    async fn start(bench: &Bench, server: &GitServer) -> Self {
        let shop = Shop::open(bench, &[SERVICES, ROUTE, TEMPLATE], 4, REST).await;
        let good = file("app:1.0");
        let name = &bench.namespace;
        let repository = Repository::create(server, name, &[(FILE, &good)]).await;
        let client = &bench.lab.client;
        let gitops = GitOps::start(client, repository.clone(), "apps/shop", name, SOURCE);
        gitops.has_applied(&repository.tip().await.unwrap()).await;
        shop.is_stable("app:1.0").await;
        Self {
            shop,
            repository,
            gitops,
            good,
        }
    }

    /// Commits the bad version and waits until it is applied. Returns the commit.
    async fn release_bad(&self) -> String {
        let files = [(FILE, file(BAD))];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let bad = self.repository.commit("Release 2.0", &files).await;
        self.gitops.has_applied(&bad).await;
        bad
    }

    /// Waits until the analysis has aborted; notes how long that took to have effect. Returns when
    /// it was decided.
    async fn is_aborted(&self, bench: &Bench) -> (AbortStatus, Timestamp) {
        // Git may be right before the gateway is known to have the weight.
        let aborted = |status: &RolloutStatus| status.abort.is_some();
        let status = self.shop.until("it is aborted", aborted).await;
        let abort = status.abort.unwrap();
        assert_eq!(abort.reason, AbortReason::AnalysisFailed);
        assert_eq!(self.shop.weight().await, 0);
        let run = Decided::ByRun(abort.analysis_run.as_deref().unwrap());
        let (decided, back) = bench.abort_times(run, ("patch httproutes", "shop"));
        bench.note(format!(
            "verdict to stable weight {}",
            seconds(decided, back)
        ));
        (abort, decided)
    }

    /// Waits until the branch is put right above its last commit, Git says who and why, and the
    /// cluster has followed. Returns the commit.
    async fn is_reverted(&self, bad: &str, last: &str) -> String {
        let repository = &self.repository;
        let reverted = wait::until("the branch has a new commit", async || {
            repository.tip().await.filter(|tip| tip != last)
        })
        .await;
        let text = repository.file(&reverted, FILE).await;
        assert_eq!(text, self.good, "the old bytes are back");
        let message = repository.message(&reverted).await;
        let trailer = format!("Reverts-Commit: {bad}");
        assert!(message.contains(&trailer), "{message}");
        self.gitops.has_applied(&reverted).await;
        self.shop.is_stable("app:1.0").await;
        assert_eq!(self.shop.weight().await, 0);
        self.shop.has_pods(&[("app:1.0", 4)]).await;
        let verified = |status: &RevertStatus| status.phase == Some(RevertPhase::Verified);
        let revert = self.revert("it is verified", verified).await;
        let status = revert.status.unwrap();
        assert_eq!(status.commit.as_deref(), Some(reverted.as_str()));
        reverted
    }

    /// Waits until the Revert's status fulfils a condition.
    async fn revert(&self, what: &str, condition: impl Fn(&RevertStatus) -> bool) -> Revert {
        wait::until_ok(&format!("the Revert: {what}"), async || {
            let revert = self.shop.reverts().await.pop().ok_or(None)?;
            match &revert.status {
                Some(status) if condition(status) => Ok(revert),
                other => Err(other.clone()),
            }
        })
        .await
    }
}

fn file(image: &str) -> String {
    rollout(image, 4, REST)
}

/// From a bad commit to the reverted one, and what happened between in the cluster.
pub async fn reverted(bench: Bench) {
    let delivery = Delivery::start(&bench, &bench.lab.git).await;
    let shop = &delivery.shop;
    let lost = shop.totals().lost;
    bench.rollout_begins(1);
    let bad = delivery.release_bad().await;
    let (_, decided) = delivery.is_aborted(&bench).await;
    let totals = shop.totals();
    delivery.is_reverted(&bad, &bad).await;
    bench.note(format!(
        "verdict to commit {}, {} bad answers of {}",
        seconds(decided, delivery.repository.pushed_at()),
        totals.bad,
        totals.requests()
    ));
    assert_eq!(shop.totals().lost, lost);
    bench.rollout_is_over().await;

    // The rejected version is not tried again when it comes back.
    delivery.release_bad().await;
    let rejected = |status: &tidegate::api::rollout_status::RolloutStatus| {
        status.phase == Some(Phase::Rejected)
    };
    shop.until("it is rejected", rejected).await;
    bench.stays_silent().await;
    shop.until("it is still rejected", rejected).await;
    assert_eq!(shop.weight().await, 0);
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.reverts().await.len(), 1);
}

/// A Git server that fails delays no abort; the Revert says why it waits and goes through when the
/// server is back.
pub async fn server_fails(bench: Bench) {
    let server = &bench.lab.unreliable_git;
    let delivery = Delivery::start(&bench, server).await;
    bench.rollout_begins(1);
    let bad = delivery.release_bad().await;
    let status = Some(503);
    server.set_faults(Faults {
        status,
        ..Faults::default()
    });
    let (_, decided) = delivery.is_aborted(&bench).await;
    let waits = |status: &RevertStatus| {
        status.attempts.is_some_and(|attempts| attempts >= 2) && status.next_retry_at.is_some()
    };
    let revert = delivery.revert("it was tried twice", waits).await;
    let status = revert.status.unwrap();
    let conditions = status.conditions.iter();
    let said: Vec<_> = conditions.map(|condition| &condition.message).collect();
    assert!(
        said.iter().any(|message| message.contains("503")),
        "{status:?}"
    );
    assert_eq!(delivery.repository.tip().await.as_deref(), Some(&*bad));
    server.set_faults(Faults::default());
    let back = Timestamp::now();
    delivery.is_reverted(&bad, &bad).await;
    let pushed = delivery.repository.pushed_at();
    bench.note(format!(
        "verdict to commit {}, server back to commit {}",
        seconds(decided, pushed),
        seconds(back, pushed)
    ));
    bench.rollout_is_over().await;
}

/// Others go on pushing to the branch: their work stays, and the bad change goes.
pub async fn moved_on(bench: Bench) {
    const NOTES: (&str, &str) = ("docs/notes.md", "Nothing of the shop's.\n");
    let delivery = Delivery::start(&bench, &bench.lab.git).await;
    bench.rollout_begins(1);
    let bad = delivery.release_bad().await;
    // From which commit a version is, is written down when it begins.
    let begun = |status: &RolloutStatus| status.canary.is_some();
    delivery.shop.until("the bad version goes out", begun).await;
    let last = delivery.repository.commit("Write it down", &[NOTES]).await;
    delivery.is_aborted(&bench).await;
    let reverted = delivery.is_reverted(&bad, &last).await;
    let notes = delivery.repository.file(&reverted, NOTES.0).await;
    assert_eq!(notes, NOTES.1);
}

/// A branch that only people may push to delays no abort; the Revert asks for a person, who puts
/// the branch right, and the cluster follows.
pub async fn protected_branch(bench: Bench) {
    let delivery = Delivery::start(&bench, &bench.lab.git).await;
    // The Revert needs a person.
    bench.rollouts_begin(1, 1, 1);
    let bad = delivery.release_bad().await;
    delivery.repository.protect(true);
    delivery.is_aborted(&bench).await;
    let waits = |status: &RevertStatus| status.phase == Some(RevertPhase::NeedsHuman);
    let revert = delivery.revert("it needs a person", waits).await;
    let message = revert.status.unwrap().message.unwrap_or_default();
    assert!(message.contains(NO_PUSHES), "{message}");
    assert_eq!(delivery.repository.tip().await.as_deref(), Some(&*bad));
    delivery.repository.protect(false);
    let files = [(FILE, delivery.good.as_str())];
    let mended = delivery.repository.commit("Take 2.0 back", &files).await;
    delivery.gitops.has_applied(&mended).await;
    delivery.shop.is_stable("app:1.0").await;
    delivery.shop.has_pods(&[("app:1.0", 4)]).await;
}
