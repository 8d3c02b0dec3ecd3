//! Tidegate against the real Kubernetes control plane (`tests/cluster/README.md`).
//!
//! Runs when `TIDEGATE_CLUSTER_TOOLS` names the folder with the built programs, as
//! `cargo xtask test` does; otherwise it says that it did not run.

mod control_plane;
mod process;
mod wait;

use std::path::PathBuf;

/// Names the folder with the built programs.
const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";

#[test]
fn control_plane() {
    let Some(tools) = std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from) else {
        println!("control plane: skipped: {TOOLS_VARIABLE} is not set (cargo xtask test sets it)");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let start = std::time::Instant::now();
        let plane = control_plane::ControlPlane::start(&tools, home.path()).await;
        println!("ready in {:?}", start.elapsed());
        let client = plane.admin().await;
        let version = client.apiserver_version().await.unwrap();
        println!("{version:?}");
    });
}
