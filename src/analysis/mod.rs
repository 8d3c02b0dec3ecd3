//! PURE: samples in, evidence and verdict out. No I/O, no clock, no random source, no hash maps.
//!
//! A template becomes the frozen spec of a run ([`template`]); the spec is parsed once ([`plan`]).

pub mod condition;
pub mod percent;
pub mod plan;
pub mod promql;
pub mod template;
