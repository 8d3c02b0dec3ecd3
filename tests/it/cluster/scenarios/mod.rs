//! What Tidegate promises, against the real control plane.

pub mod blue_green;
pub mod canary;
pub mod counting;
pub mod evidence;
pub mod git;
pub mod monitoring;
pub mod plugin;
pub mod routers;
pub mod workload;
