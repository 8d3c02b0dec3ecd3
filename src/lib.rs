//! Tidegate: progressive delivery for Kubernetes.
//!
//! Data flows one way round: the controller observes, [`core`] decides, the controller executes.
//! Everything that decides is a pure function of what it is given; everything that waits, reads a
//! clock or can fail for an outside reason is at the rim.
//!
//! Who may know whom: `api` <- `core`, `analysis` <- `traffic`, `metrics_source` <- `notify` <- `git` <-
//! `controller`, `cli` and `page`, `sim`, `demo`. The CLI and the page never import the controller.
//!
//! Without the feature `cluster` there is only what decides, and the simulator that tries it: what a
//! weight means at a router, and how a change is taken out of a file, are decisions, too.

pub mod analysis;
pub mod api;
#[cfg(feature = "cluster")]
pub mod cli;
#[cfg(feature = "cluster")]
pub mod controller;
pub mod core;
#[cfg(feature = "cluster")]
pub mod demo;
pub mod git;
#[cfg(feature = "cluster")]
pub mod metrics_source;
#[cfg(feature = "cluster")]
pub mod notify;
#[cfg(feature = "cluster")]
pub mod page;
pub mod random;
#[cfg(feature = "cluster")]
pub mod retry;
pub mod sim;
pub mod traffic;
