//! The integration tests: one binary, one module per subject.

// A test fails by panicking, in its helper functions too.
// A test that is skipped says so by name.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod analysis;
mod apiserver;
mod argo_cd;
mod bad_input;
mod chart;
mod cluster;
mod conformance;
mod controller;
mod crds;
mod docs;
mod examples;
mod forge;
mod git_traps;
mod git_writer;
mod hand_over;
mod monitoring;
mod notify;
mod page;
mod plugin;
mod revert_file;
mod scenarios;
mod simulation;
mod statistics_vectors;
mod templates;
mod tidy;
mod upgrade;
