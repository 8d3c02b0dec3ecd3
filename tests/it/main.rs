//! The integration tests: one binary, one module per subject.

// A test fails by panicking, in its helper functions too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod apiserver;
mod chart;
mod cluster;
mod conformance;
mod controller;
mod crds;
mod examples;
mod git_http;
mod git_writer;
mod plugin;
mod statistics_vectors;
mod tidy;
