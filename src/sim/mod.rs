//! A Kubernetes that needs no cluster: for the demo, the tests and the simulator.
//!
//! [`apiserver`] answers HTTP as a real one does. [`world`] is a whole cluster as typed objects, in
//! which thousands of rollouts run in a second, and [`invariants`] says what never happens in it.

#[cfg(feature = "cluster")]
pub mod apiserver;
mod cel_rules;
pub mod golden;
pub mod happen;
pub mod history;
pub mod invariants;
pub mod jobs;
pub mod minimise;
pub mod mutants;
pub mod play;
pub use crate::random;
pub mod scenario;
pub mod simulate;
mod structural;
pub mod sweep;
pub mod trace;
pub mod world;
