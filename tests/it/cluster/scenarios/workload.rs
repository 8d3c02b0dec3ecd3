//! A Rollout takes the place of a Deployment, as in a team's first week with Tidegate, and gives it back.

use super::super::shop::{NAME, ROUTE, SERVICES, Shop};
use super::super::table::Bench;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tidegate_lab::wait;

/// What the team has had all along.
const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: app, image: 'app:1.0'}]}
";

/// What it adds, with this way to give the pods over and this strategy.
fn rollout(scale_down: &str, strategy: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {{name: {NAME}}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: shop}}}}
  workloadRef: {{apiVersion: apps/v1, kind: Deployment, name: shop, scaleDown: {scale_down}}}
  strategy: {strategy}
"
    )
}

struct Team {
    shop: Shop,
    deployments: Api<Deployment>,
}

impl Team {
    /// A Deployment that serves.
    async fn begins(bench: &Bench, base: &[&str]) -> Self {
        let shop = Shop::open(bench, &[base, &[DEPLOYMENT]].concat(), 4, "").await;
        shop.has_pods(&[("app:1.0", 4)]).await;
        Self {
            shop,
            deployments: Api::namespaced(bench.lab.client.clone(), &bench.namespace),
        }
    }

    async fn patch(&self, patch: serde_json::Value) {
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.deployments.patch(NAME, &params, &patch).await.unwrap();
    }

    /// Commits another image, into the Deployment as ever.
    async fn releases(&self, image: &str) {
        let containers = json!([{"name": "app", "image": image}]);
        self.patch(json!({"spec": {"template": {"spec": {"containers": containers}}}}))
            .await;
    }

    async fn size(&self) -> i32 {
        let spec = self.deployments.get(NAME).await.unwrap().spec;
        spec.unwrap().replicas.unwrap()
    }

    async fn until_size(&self, size: i32) {
        wait::until_ok(
            &format!("{}: the Deployment has {size}", self.shop.namespace),
            async || match self.size().await {
                now if now == size => Ok(()),
                now => Err(now),
            },
        )
        .await;
    }

    /// Deletes the Rollout; the Deployment has its pods before the Rollout's go.
    async fn gives_back(&self, image: &str) {
        self.shop.delete().await;
        wait::until("the Rollout is gone", async || {
            (!self.shop.exists().await).then_some(())
        })
        .await;
        assert_eq!(self.size().await, 4);
        wait::until_ok("only the Deployment's pods are left", async || {
            let ready = self.shop.ready_pods().await;
            let sets = self.shop.replica_sets().await;
            let ours = sets.iter().filter(|set| {
                let owners = set.metadata.owner_references.iter().flatten();
                owners.into_iter().any(|owner| owner.kind == "Rollout")
            });
            match (ready.get(image), ours.count()) {
                (Some(4), 0) if ready.len() == 1 => Ok(()),
                _ => Err(ready),
            }
        })
        .await;
    }
}

/// By a route: its pods go when the traffic has left them, come back when somebody scales them up, go
/// again, and come back for good with the Rollout's end. Nobody is ever short of a pod.
pub async fn in_its_place(bench: Bench) {
    let team = Team::begins(&bench, &[SERVICES, ROUTE]).await;
    let shop = &team.shop;
    wait::until("requests are answered", async || {
        (shop.totals().requests() > 1_000).then_some(())
    })
    .await;
    let lost = shop.totals().lost;
    let strategy = "{canary: {stableService: stable, canaryService: canary, \
                    scaleDownDelaySeconds: 1, trafficRouting: {gatewayAPI: {httpRoutes: [{name: shop}]}}, \
                    steps: [{setWeight: 25}, {pause: {}}]}}";
    bench
        .lab
        .apply(&bench.namespace, &rollout("OnSuccess", strategy))
        .await;
    shop.is_stable("app:1.0").await;
    team.until_size(0).await;
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.behind("stable").await.as_deref(), Some("app:1.0"));
    assert_eq!(shop.totals().lost, lost);

    // A GitOps loop that still has the Deployment's replicas.
    team.patch(json!({"spec": {"replicas": 3}})).await;
    team.until_size(0).await;

    team.releases("app:2.0").await;
    shop.at(1, 25).await;
    assert_eq!(team.size().await, 0);
    shop.command("promote").await;
    shop.is_stable("app:2.0").await;
    shop.has_pods(&[("app:2.0", 4)]).await;
    assert_eq!(shop.weight().await, 0);

    team.gives_back("app:2.0").await;
    let then = shop.totals().requests();
    wait::until("requests go on", async || {
        (shop.totals().requests() > then + 5_000).then_some(())
    })
    .await;
    assert_eq!(shop.totals().lost, lost);
}

/// By pod counts, one after the other: never more than one and a quarter as many pods.
pub async fn pod_by_pod(bench: Bench) {
    let service = "
apiVersion: v1
kind: Service
metadata:
  name: shop
  annotations: {lab.tidegate.io/requests-per-second: '200'}
spec: {selector: {app: shop}, ports: [{port: 80}]}
";
    let team = Team::begins(&bench, &[service]).await;
    let shop = &team.shop;
    let lost = shop.totals().lost;
    let strategy = "{canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
    bench
        .lab
        .apply(&bench.namespace, &rollout("Progressively", strategy))
        .await;
    let mut most = 0;
    wait::until("the Deployment has none", async || {
        let sets = shop.replica_sets().await;
        let asked = sets.iter().map(|set| {
            let spec = set.spec.as_ref();
            spec.and_then(|spec| spec.replicas).unwrap_or(1)
        });
        most = most.max(asked.sum::<i32>());
        (team.size().await == 0).then_some(())
    })
    .await;
    shop.is_stable("app:1.0").await;
    assert!((4..=5).contains(&most), "{most} pods were asked for");
    shop.has_pods(&[("app:1.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
    team.gives_back("app:1.0").await;
    assert_eq!(shop.totals().lost, lost);
}
