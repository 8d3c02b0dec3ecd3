//! The real Kubernetes that Tidegate's tests run against (`tests/cluster/README.md`): its programs,
//! Prometheus, Git over HTTP, and what tests do with them. Knows nothing of Tidegate's own code.
//!
//! A part that does not come up, or a wait that ends, panics with what there is to say: that is how
//! a test fails, and a person sees the same words.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod audit;
pub mod control_plane;
pub mod forge;
pub mod git_http;
pub mod gitops;
pub mod node;
pub mod objects;
pub mod process;
pub mod prometheus;
pub mod repository;
pub mod wait;

/// Set to anything, it keeps the folder with the logs.
pub const LOGS_VARIABLE: &str = "TIDEGATE_CLUSTER_LOGS";

/// The name under which the harness itself owns fields.
pub const MANAGER: &str = "lab";

/// Where Tidegate is installed.
pub const NAMESPACE: &str = "tidegate-system";
