//! Tidegate against the real Kubernetes control plane (`tests/cluster/README.md`).
//!
//! Runs when `TIDEGATE_CLUSTER_TOOLS` names the folder with the built programs, as
//! `cargo xtask test` does; otherwise it says that it did not run. One control plane serves all
//! scenarios; each has a namespace of its own.

// The parts of the harness say what went wrong to whoever reads the test's output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod engine;
mod exporter;
mod gateway;
mod kubelet;
mod lab;
mod resources;
mod scenarios;
mod self_test;
mod served;
mod shop;
mod table;
mod traffic;
mod version;

use lab::Lab;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use table::Scenario;

/// Names the folder with the built programs.
pub const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";

macro_rules! scenarios {
    ($($name:literal => $run:path,)*) => {
        &[$(Scenario { name: $name, run: |bench| Box::pin($run(bench)) }),*]
    };
}

const SCENARIOS: &[Scenario] = scenarios! {
    "harness: pods" => self_test::pods,
    "harness: traffic" => self_test::traffic,
    "harness: gitops" => self_test::gitops,
    "resources: definitions" => resources::definitions,
    "resources: chart" => resources::chart,
    "resources: bad input" => resources::bad_input,
    "resources: transitions" => resources::transitions,
    "canary: first deployment" => scenarios::canary::first_deployment,
    "canary: by pod counts" => scenarios::canary::by_pod_counts,
    "canary: aborted by hand" => scenarios::canary::aborted_by_hand,
    "canary: superseded" => scenarios::canary::superseded,
    "canary: back to stable" => scenarios::canary::back_to_stable,
    "canary: deleted" => scenarios::canary::deleted,
    "canary: unusable" => scenarios::canary::unusable,
    "canary: ingress-nginx" => scenarios::routers::nginx,
    "canary: owned route" => scenarios::routers::owned_route,
    "blue-green: promoted" => scenarios::blue_green::promoted,
    "blue-green: good evidence" => scenarios::blue_green::promoted_on_evidence,
    "blue-green: switched back" => scenarios::blue_green::aborted_after_the_switch,
    "evidence: promoted" => scenarios::evidence::promoted,
    "evidence: background abort" => scenarios::evidence::background,
    "evidence: Prometheus down" => scenarios::evidence::prometheus_down,
    "evidence: wrong URL" => scenarios::evidence::wrong_url,
    "evidence: served and counted" => scenarios::counting::served_and_counted,
    "git: reverted" => scenarios::git::reverted,
    "git: server fails" => scenarios::git::server_fails,
    "git: moved on" => scenarios::git::moved_on,
    "git: protected branch" => scenarios::git::protected_branch,
    "workload: in its place" => scenarios::workload::in_its_place,
    "workload: pod by pod" => scenarios::workload::pod_by_pod,
    "monitoring: dashboards" => scenarios::monitoring::dashboards_have_data,
    "plugin: commands" => scenarios::plugin::commands,
};

/// Keeps the laboratory running for a person (`cargo xtask cluster play`).
const KEEP_VARIABLE: &str = "TIDEGATE_CLUSTER_KEEP";

#[test]
fn control_plane_scenarios() {
    in_laboratory(async |lab| {
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            println!("{}", lab.introduction());
            tokio::signal::ctrl_c().await.unwrap();
        } else {
            let good = table::run(lab, SCENARIOS).await;
            assert!(good, "a scenario failed; the table above says which");
        }
    });
}

fn in_laboratory(work: impl AsyncFnOnce(Arc<Lab>)) {
    let Some(tools) = std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from) else {
        println!("control plane: skipped: {TOOLS_VARIABLE} is not set (cargo xtask test sets it)");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let started = Instant::now();
        let lab = Arc::new(Lab::start(&tools).await);
        println!(
            "laboratory: ready after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        work(lab).await;
    });
}
