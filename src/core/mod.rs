//! PURE: what Tidegate decides. No I/O, no clock, no random source, no hash maps; a test reads the
//! imports and fails otherwise. Open [`decide`] and read from top to bottom what Tidegate does with
//! a Rollout.

mod affinity;
pub mod baseline;
mod checks;
pub mod commands;
mod counts;
pub mod decide;
mod deletion;
mod draft;
pub mod duration;
pub mod earlier;
pub mod failures;
mod forecast;
mod judge;
mod lifecycle;
mod lossless;
pub mod naming;
pub mod observed;
pub mod plan;
pub mod reject;
mod restart;
mod retention;
pub mod roles;
mod run_spec;
mod scale;
mod shared_labels;
mod shift;
pub mod source;
pub mod spec;
mod status;
mod steps;
mod targets;
#[cfg(test)]
mod tests;
mod traffic;
pub mod workload;

pub use steps::UNTIL_PROMOTED;
