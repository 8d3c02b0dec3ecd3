//! A thousand Rollouts in an API server in memory, and the page of them: what the tests in a browser look at.
//! Prints one line of JSON (where the page and the API are, and where another page is that may only read), and
//! goes on until its standard input ends.

// It is a program for one caller, who reads this line.
#![allow(clippy::print_stdout)]

use std::net::{Ipv4Addr, SocketAddr};

use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tidegate::api::rollout::Rollout;
use tidegate::cli::client::Session;
use tidegate::page::{self, Options};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};
use tokio::net::TcpListener;

/// How many Rollouts there are, unless the first argument says otherwise.
const ROLLOUTS: usize = 1_000;
/// In so many namespaces.
const NAMESPACES: usize = 10;

fn rollout(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 10,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "r.example/app:1.5"}]}},
            "strategy": {"canary": {
                "stableService": "stable", "canaryService": "canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "app"}]}},
                "steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 25}, {"pause": {"duration": "10m"}}, {"setWeight": 50}],
            }},
        },
    })
}

/// Every state that a row can be in, one after the other.
fn status(number: usize) -> Value {
    let mut status = json!({
        "observedGeneration": 1, "phase": "Healthy", "message": "revision 12 is stable",
        "stable": {"revision": 12, "hash": "6b5f9c7d00", "images": ["r.example/app:1.4"]},
        "traffic": {"desired": 0, "accepted": 0},
        "replicas": 10, "readyReplicas": 10, "updatedReplicas": 10, "availableReplicas": 10,
        "selector": "app=app",
    });
    let more = match number % 5 {
        1 => json!({"phase": "Progressing", "message": "step 0/5, 5 % canary: pods come up"}),
        2 => {
            json!({"phase": "Paused", "message": "step 1/5, 5 % canary: waits until it is promoted",
            "pause": {"reason": "Step", "since": "2026-11-21T11:55:00Z"}})
        }
        3 => json!({"phase": "Aborted", "message": "stable has all traffic",
            "abort": {"at": "2026-11-21T11:58:00Z", "reason": "AnalysisFailed",
                "message": "error-ratio is 3.1 times stable's", "hash": "77cd81f200", "step": 1, "weight": 5}}),
        4 => {
            json!({"phase": "Invalid", "message": "spec.strategy.canary.steps[1]: <b>5 %</b> & \"more\" is not allowed"})
        }
        _ => return status,
    };
    if let (Value::Object(status), Value::Object(more)) = (&mut status, more) {
        status.extend(more);
        if number % 5 != 4 {
            let canary = json!({"revision": 13, "hash": "77cd81f200", "images": ["r.example/app:1.5"],
                "attempt": 1, "step": 1, "steps": 5, "stepText": "1/5"});
            status.insert("canary".to_owned(), canary);
            status.insert("traffic".to_owned(), json!({"desired": 5, "accepted": 5}));
        }
    }
    status
}

fn options(read_only: bool) -> Options {
    Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        hosts: Vec::new(),
        namespace: None,
        read_only,
        open: true,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => ROLLOUTS,
    };
    let config = ApiServerConfig::default().with_crds(&tidegate::api::crds());
    let server = ApiServer::new(config).map_err(anyhow::Error::msg)?;
    let client = server.client_as("shop-0", "tidegate-page-lab");
    for number in 0..count {
        let (namespace, name) = (
            format!("shop-{}", number % NAMESPACES),
            format!("app-{number:04}"),
        );
        server
            .add(rollout(&namespace, &name))
            .map_err(anyhow::Error::msg)?;
        let api: Api<Rollout> = Api::namespaced(client.clone(), &namespace);
        let patch = Patch::Merge(json!({"status": status(number)}));
        api.patch_status(&name, &PatchParams::default(), &patch)
            .await?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let api = format!("http://{}", listener.local_addr()?);
    let served = server.clone();
    tokio::spawn(async move { served.serve(listener).await });
    let session = || {
        let client = server.client_as("shop-0", "kubectl-tidegate");
        Session::new(client, "shop-0", "alice@example.com")
    };
    let page = page::serve(session(), options(false)).await?;
    let to_read = page::serve(session(), options(true)).await?;
    println!(
        "{}",
        json!({"page": page.url(), "readOnly": to_read.url(), "api": api, "count": count})
    );
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    Ok(())
}
