//! The node level itself: what every scenario on it rests on, and that nothing of a cluster is left
//! behind, however it ends.
//!
//! Runs where `cargo xtask test` says where the programs are; otherwise it says that it did not run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod cleaning;
mod serving;

use std::path::{Path, PathBuf};
use tidegate_lab::node::state::Options;

/// Name the folder with the built Go programs, and that with `tidegate` and `app`.
const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";
const BINARIES_VARIABLE: &str = "TIDEGATE_NODE_BINARIES";

/// How a cluster is started here; `None` where it is not to be.
fn options(test: &str) -> Option<Options> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let (Some(tools), Some(binaries)) = (folder(TOOLS_VARIABLE), folder(BINARIES_VARIABLE)) else {
        println!("{test}: skipped: {BINARIES_VARIABLE} is not set (cargo xtask test sets it)");
        return None;
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Some(Options {
        program: env!("CARGO_BIN_EXE_tidegate-lab").into(),
        tools,
        binaries,
        repository: repository.canonicalize().unwrap(),
        tidegate: true,
    })
}
