//! Pods answer through Services and the gateway, Prometheus sees them, and the Tidegate that the
//! chart installed brings a version out.

use crate::options;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use tidegate_lab::gitops::{GitOps, SOURCE};
use tidegate_lab::node::cluster::{Attached, client, enter};
use tidegate_lab::node::control::{Action, act, programs};
use tidegate_lab::node::state::State;
use tidegate_lab::node::{ADDRESS, GIT_PORT, PROMETHEUS_PORT};
use tidegate_lab::objects::{apply, objects};
use tidegate_lab::repository::Repository;
use tidegate_lab::wait;

const NAMESPACE: &str = "shop";

/// Who answered.
const VERSION: &str = "x-app-version";

/// Three pods behind a Service, each of which says its own name.
const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: three, namespace: shop}
spec: {selector: {app: three}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: three, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: three}}
  template:
    metadata: {labels: {app: three}}
    spec:
      containers:
      - name: app
        image: app:lab
        imagePullPolicy: Never
        env: [{name: APP_VERSION, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
";

/// Two Services and a route, which a Rollout is behind.
const ROUTE: &str = "
apiVersion: v1
kind: Service
metadata: {name: stable, namespace: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: canary, namespace: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: shop}
spec:
  parentRefs: [{name: public, namespace: gateway}]
  hostnames: [shop.example.com]
  rules:
  - backendRefs:
    - {name: stable, port: 80, weight: 100}
    - {name: canary, port: 80, weight: 0}
";

/// A Rollout whose version is called RELEASE.
const ROLLOUT: &str = "
apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: app
        image: app:lab
        imagePullPolicy: Never
        env: [{name: APP_VERSION, value: RELEASE}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {gatewayAPI: {httpRoutes: [{name: shop}]}}
      steps:
      - setWeight: 20
      - pause: {}
  gitRevert: {mode: Push, on: [Manual]}
";

/// Where it stands in its repository.
const FILE: &str = "apps/shop/rollout.yaml";

fn release(name: &str) -> String {
    ROLLOUT.replace("RELEASE", name)
}

#[test]
fn pods_answer_through_services_and_the_gateway_and_a_rollout_gets_healthy() {
    let Some(options) = options("a_rollout_on_a_node") else {
        return;
    };
    let cluster = Attached::up("self-test", &options).unwrap_or_else(|error| panic!("{error}"));
    println!("ready after {:.1} s", cluster.ready().seconds);
    enter(cluster.state()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let lab = Lab {
            client: client(cluster.state()).await.unwrap(),
            kubeconfig: cluster.state().kubeconfig(),
            plugin: options.binaries.join("kubectl-tidegate"),
            // Every request on a connection of its own: kube-proxy chooses by connections.
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
        };
        lab.services().await;
        lab.rollout().await;
        lab.taken_back(cluster.state()).await;
        lab.prometheus().await;
        lab.a_program_is_stopped_and_started_again().await;
    });
}

struct Lab {
    client: Client,
    kubeconfig: PathBuf,
    plugin: PathBuf,
    http: reqwest::Client,
}

impl Lab {
    /// Every pod behind a Service answers, by way of kube-proxy.
    async fn services(&self) {
        self.apply(PODS).await;
        let service = self.object("v1", "Service", "three").await;
        let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
        wait::until_ok("all three pods answer", async || {
            let answers = self
                .answers(&format!("http://{address}"), "three", 20)
                .await;
            let names = answers.keys().filter(|name| name.starts_with("three-"));
            if names.count() == 3 {
                Ok(())
            } else {
                Err(answers)
            }
        })
        .await;
    }

    /// A first version, and a second one that gets its share and then everything.
    async fn rollout(&self) {
        self.apply(ROUTE).await;
        self.apply(&release("one")).await;
        self.rollout_is("Healthy").await;
        let gateway = format!("http://{ADDRESS}");
        self.split(&gateway, &[("one", 50)]).await;

        self.apply(&release("two")).await;
        self.rollout_is("Paused").await;
        self.split(&gateway, &[("one", 40), ("two", 10)]).await;

        self.command("promote");
        self.rollout_is("Healthy").await;
        self.split(&gateway, &[("two", 50)]).await;
    }

    /// From now on the Rollout is kept in Git; a third version is released and aborted, and the
    /// Git writer takes it out of the branch.
    async fn taken_back(&self, state: &State) {
        let good = release("two");
        let url = format!("http://{ADDRESS}:{GIT_PORT}/");
        let files = [(FILE, good.as_str())];
        let repository = Repository::create_below(&state.path("git"), &url, "shop", &files).await;
        let gitops = GitOps::start(
            &self.client,
            repository.clone(),
            "apps/shop",
            NAMESPACE,
            SOURCE,
        );
        gitops.has_applied(&repository.tip().await.unwrap()).await;
        self.rollout_is("Healthy").await;

        let files = [(FILE, release("three"))];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let bad = repository.commit("Release three", &files).await;
        self.rollout_is("Paused").await;
        let gateway = format!("http://{ADDRESS}");
        self.split(&gateway, &[("two", 40), ("three", 10)]).await;
        self.command("abort");
        self.split(&gateway, &[("two", 50)]).await;
        let reverted = wait::until("the branch has a new commit", async || {
            repository.tip().await.filter(|tip| *tip != bad)
        })
        .await;
        assert_eq!(repository.file(&reverted, FILE).await, good);
        let message = repository.message(&reverted).await;
        assert!(
            message.contains(&format!("Reverts-Commit: {bad}")),
            "{message}"
        );
        gitops.has_applied(&reverted).await;
        self.rollout_is("Healthy").await;
    }

    /// Says something by the plugin, as a person would.
    fn command(&self, verb: &str) {
        let said = Command::new(&self.plugin)
            .args([verb, "shop", "--namespace", NAMESPACE])
            .env("KUBECONFIG", &self.kubeconfig)
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
    }

    /// Prometheus has found the pods and scrapes them.
    async fn prometheus(&self) {
        let url = format!("http://{ADDRESS}:{PROMETHEUS_PORT}/api/v1/query");
        let query = "count(count by (pod) (http_requests_total{job=\"shop/three\"}))";
        wait::until_ok("Prometheus has the requests of three pods", async || {
            let mut asked = reqwest::Url::parse(&url).unwrap();
            asked.query_pairs_mut().append_pair("query", query);
            let answer = self.http.get(asked).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
            let count = answer["data"]["result"][0]["value"][1].as_str();
            if count == Some("3") {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        })
        .await;
    }

    /// What a scenario takes away it can give back.
    async fn a_program_is_stopped_and_started_again(&self) {
        let url = format!("http://{ADDRESS}:{GIT_PORT}/");
        let answers = async || {
            self.http
                .get(&url)
                .send()
                .await
                .map(|answer| answer.status())
        };
        wait::until_ok("the Git server asks for the password", async || {
            answers().await.map_err(|error| error.to_string())
        })
        .await;
        for (action, running) in [
            (Action::Stop, false),
            (Action::Start, true),
            (Action::Kill, false),
        ] {
            act("git", action).await.unwrap();
            let listed = programs().await.unwrap();
            let git = listed.iter().find(|program| program.name == "git").unwrap();
            assert_eq!(git.running, running, "after {action:?}");
        }
        assert!(answers().await.is_err(), "a server that was killed answers");
        assert!(
            act("gti", Action::Stop)
                .await
                .unwrap_err()
                .contains("no program")
        );
    }

    /// Waits until 50 requests to the gateway are answered by these versions, so many times each: Traefik takes turns by the weights, so
    /// their shares are exact.
    async fn split(&self, gateway: &str, expected: &[(&str, usize)]) {
        let expected: BTreeMap<String, usize> = expected
            .iter()
            .map(|(version, count)| ((*version).to_owned(), *count))
            .collect();
        wait::until_ok(&format!("the gateway splits {expected:?}"), async || {
            let answers = self.answers(gateway, "shop.example.com", 50).await;
            if answers == expected {
                Ok(())
            } else {
                Err(answers)
            }
        })
        .await;
    }

    /// Who answered how many of some requests; what went wrong counts under its error.
    async fn answers(&self, url: &str, host: &str, count: usize) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let sent = self.http.get(url).header("host", host).send().await;
            let who = match sent {
                Ok(answer) => match answer.headers().get(VERSION) {
                    Some(version) => version.to_str().unwrap_or_default().to_owned(),
                    None => answer.status().to_string(),
                },
                Err(error) => error.to_string(),
            };
            *answers.entry(who).or_default() += 1;
        }
        answers
    }

    async fn rollout_is(&self, phase: &str) {
        wait::until_ok(&format!("the Rollout is {phase}"), async || {
            let rollout = self.object("tidegate.io/v1alpha1", "Rollout", "shop").await;
            let status = &rollout["status"];
            let seen = status["observedGeneration"] == rollout["metadata"]["generation"];
            if seen && status["phase"] == phase {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
    }

    async fn object(&self, version: &str, kind: &str, name: &str) -> Value {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let api = self.api(&GroupVersionKind::gvk(group, version, kind));
        json!(api.get(name).await.unwrap())
    }

    fn api(&self, kind: &GroupVersionKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::from_gvk(kind))
    }

    async fn apply(&self, manifests: &str) {
        for object in objects(manifests).unwrap() {
            let applied = apply(&self.client, NAMESPACE, &object, "self-test").await;
            applied.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
