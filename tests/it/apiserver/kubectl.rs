//! `kubectl` against the server on loopback.

use super::{replica_set, server};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, api::PostParams};
use serde_json::json;
use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};
use tidegate::sim::apiserver::workloads::{Workloads, WorkloadsConfig};

struct Kubectl {
    home: tempfile::TempDir,
    server: String,
}

impl Kubectl {
    /// Runs kubectl with arguments separated by spaces and a manifest on its standard input.
    async fn run(&self, arguments: &str, input: &str) -> Output {
        let mut command = Command::new("kubectl");
        command
            .args(["--server", &self.server, "--namespace", "shop"])
            .arg("--cache-dir")
            .arg(self.home.path().join("cache"))
            .args(arguments.split_whitespace())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("none"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let run = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        run.await.unwrap()
    }

    /// What it prints when it succeeds.
    async fn ok(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "kubectl {arguments}: {err}{out}");
        out
    }
}

fn installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| folder.join("kubectl").is_file())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_smoke() {
    if !installed() {
        println!("kubectl_smoke: skipped: no kubectl in PATH");
        return;
    }
    let server = server();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    server.add(namespace).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubectl = Kubectl {
        home: tempfile::tempdir().unwrap(),
        server: format!("http://{}", listener.local_addr().unwrap()),
    };
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    let workloads = Workloads::new(&server, WorkloadsConfig::default());
    tokio::spawn(async move { workloads.run(Duration::from_millis(50)).await });

    kubectl.ok("version", "").await;
    let kinds = kubectl
        .ok("api-resources --api-group tidegate.io", "")
        .await;
    assert!(
        kinds.contains("tgr") && kinds.contains("Rollout"),
        "{kinds}"
    );
    let sets: Api<ReplicaSet> = Api::default_namespaced(server.client("shop"));
    sets.create(&PostParams::default(), &replica_set("r", 2))
        .await
        .unwrap();
    kubectl
        .ok(
            "wait rs/r --for=jsonpath={.status.readyReplicas}=2 --timeout=60s",
            "",
        )
        .await;
    let pods = kubectl.ok("get pods", "").await;
    assert!(
        pods.contains("READY") && pods.matches("1/1").count() == 2,
        "{pods}"
    );

    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "1"},
    })
    .to_string();
    for verb in [
        "apply --server-side --validate=false -f -",
        "apply --validate=false -f -",
    ] {
        kubectl.ok(verb, &manifest).await;
    }
    kubectl
        .ok("annotate configmap c tidegate.io/abort=now", "")
        .await;
    kubectl.ok("label rs r team=shop", "").await;
    kubectl
        .ok(
            "patch configmap c --type=merge -p {\"data\":{\"k\":\"2\"}}",
            "",
        )
        .await;
    assert_eq!(
        kubectl
            .ok("get configmap c -o jsonpath={.data.k}", "")
            .await,
        "2"
    );
    kubectl.ok("scale rs r --replicas=1", "").await;
    let described = kubectl.ok("describe rs r", "").await;
    assert!(described.contains("example.com/app:1"), "{described}");
    let all = kubectl.ok("get all", "").await;
    assert!(all.contains("replicaset.apps/r"), "{all}");
    kubectl.ok("get events", "").await;
    kubectl.ok("get crd", "").await;
    kubectl
        .ok("delete rs r --wait=true --timeout=60s", "")
        .await;
    kubectl.ok("delete configmap c", "").await;
    let missing = kubectl.run("get configmap c", "").await;
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        text.contains("Error from server (NotFound): configmaps \"c\" not found"),
        "{text}"
    );
}
