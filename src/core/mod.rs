//! PURE: what Tidegate decides. No I/O, no clock, no random source, no hash maps; a test reads the
//! imports and fails otherwise. Open [`decide`] and read from top to bottom what Tidegate does with
//! a Rollout.

pub mod duration;
pub mod naming;
