//! What Tidegate promises, against the real control plane.

pub mod blue_green;
pub mod canary;
pub mod git;
pub mod routers;
