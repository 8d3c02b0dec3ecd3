//! The in-memory API server and a real kube-apiserver answer the same script alike.

use crate::cluster::TOOLS_VARIABLE;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tidegate::sim::apiserver::{
    ApiServer, ApiServerConfig,
    conformance::{Record, compare, run, steps},
};
use tidegate_lab::control_plane::{ControlPlane, Purpose};

/// Names the kubeconfig of a real API server with a garbage collector and no other controllers,
/// to use instead of one of the test's own.
const CLUSTER_VARIABLE: &str = "TIDEGATE_TEST_CLUSTER";

/// What answers the script beside the API server. Controllers of workloads would change objects
/// between two steps.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller";

const ROUTES: &str = "gateway.networking.k8s.io_httproutes.yaml";

fn own_crds() -> Vec<Value> {
    let own = tidegate::api::crds();
    own.iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect()
}

async fn run_in_memory(namespace: &str) -> Vec<Record> {
    let server = ApiServer::new(ApiServerConfig::default()).unwrap();
    run(&server.client(namespace), namespace, &steps(&own_crds()))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_script_runs_and_repeats_on_the_in_memory_server() {
    let first = run_in_memory("conformance-1").await;
    let second = run_in_memory("conformance-2").await;
    assert!(first.len() >= 60, "{} requests", first.len());
    assert_eq!(compare(&first, &second), []);
    let gone = first.iter().find(|r| r.name == "owned1 collected").unwrap();
    assert_eq!(gone.code, 404);
    // A comparison that sees nothing is worth nothing.
    let mut changed = second;
    changed[0].code = 500;
    changed[1].body["message"] = "other".into();
    assert_eq!(compare(&first, &changed).len(), 2);
}

#[tokio::test]
async fn conformance_against_real_apiserver() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tools = std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from);
    let home = tempfile::tempdir().unwrap();
    let mut own_plane = None;
    let kubeconfig = match (std::env::var_os(CLUSTER_VARIABLE), &tools) {
        (Some(kubeconfig), _) => PathBuf::from(kubeconfig),
        (None, Some(tools)) => {
            let plane =
                own_plane.insert(ControlPlane::start(tools, home.path(), Purpose::Paper).await);
            plane.start_controllers(tools, CONTROLLERS);
            plane.admin_kubeconfig()
        }
        (None, None) => {
            println!(
                "conformance_against_real_apiserver: skipped: neither {CLUSTER_VARIABLE} nor \
                 {TOOLS_VARIABLE} is set (cargo xtask test sets the second)"
            );
            return;
        }
    };
    let client = client(&kubeconfig).await;
    let namespace = format!("conformance-{}", std::process::id());
    let mut install = own_crds();
    install.extend(tools.map(|tools| read_crd(&tools.join("gateway-api-crds").join(ROUTES))));
    let real = run(&client, &namespace, &steps(&install)).await.unwrap();
    let ours = run_in_memory(&namespace).await;
    let differences = compare(&ours, &real);
    println!(
        "{} requests, {} differences (in memory | real)",
        real.len(),
        differences.len()
    );
    for difference in &differences {
        println!("{difference}");
    }
    assert!(
        differences.is_empty(),
        "the in-memory server drifted from the real one"
    );
}

async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    // The script asks for failures; a client that retries them would only wait.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn read_crd(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_saphyr::from_str(&text).unwrap()
}
