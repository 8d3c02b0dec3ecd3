//! Tidegate: progressive delivery for Kubernetes.
//!
//! Data flows one way round: the controller observes, [`core`] decides, the controller executes.
//! Everything that decides is a pure function of what it is given; everything that waits, reads a
//! clock or can fail for an outside reason is at the rim.
//!
//! Who may know whom: `api` <- `core`, `analysis` <- `traffic`, `metrics_source`, `git` <-
//! `controller`, `cli`, `sim`, `demo`. The CLI never imports the controller.

pub mod analysis;
pub mod api;
pub mod cli;
pub mod controller;
pub mod core;
pub mod demo;
pub mod git;
pub mod metrics_source;
pub mod retry;
pub mod sim;
pub mod traffic;
