//! The in-memory API server and a real kube-apiserver answer the same script alike.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tidegate::sim::apiserver::{
    ApiServer, ApiServerConfig,
    conformance::{Record, compare, run, steps},
};

/// Names the kubeconfig of a real API server with a garbage collector beside it.
const CLUSTER_VARIABLE: &str = "TIDEGATE_TEST_CLUSTER";
/// A namespace of one run: a real server may be used more than once.
fn namespace() -> String {
    format!("conformance-{}", std::process::id())
}

fn crds() -> Vec<Value> {
    let own = tidegate::api::crds();
    own.iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect()
}

async fn run_in_memory(namespace: &str) -> Vec<Record> {
    let server = ApiServer::new(ApiServerConfig::default()).unwrap();
    run(&server.client(namespace), namespace, &steps(&crds()))
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
    let Some(kubeconfig) = std::env::var_os(CLUSTER_VARIABLE) else {
        println!("conformance_against_real_apiserver: skipped: {CLUSTER_VARIABLE} is not set");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    // The script asks for failures; a client that retries them would only wait.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let namespace = namespace();
    let real = run(&client, &namespace, &steps(&crds())).await.unwrap();
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
