//! PURE: samples in, evidence and verdict out. No I/O, no clock, no random source, no hash maps.
//!
//! A template becomes the frozen spec of a run ([`template`]); the spec is parsed once ([`plan`]).
//! The tests are in [`rho`] (two ratios), [`level`] (one against a level), [`interval`] (the effect);
//! [`effects`] and [`schedule`] say what they look for and when they stake how much.

pub mod backtest;
pub mod buckets;
pub mod comparison;
pub mod condition;
pub mod dictionary;
pub mod dispersion;
pub mod effects;
pub mod exact;
pub mod forecast;
pub mod gauss;
pub mod holm;
pub mod interval;
mod labels;
pub mod level;
pub mod native;
pub mod outlook;
pub mod peers;
pub mod percent;
pub mod plan;
pub mod posterior;
pub mod problem;
pub mod promql;
pub mod replay;
pub mod rho;
pub mod run;
pub mod schedule;
pub mod scrapes;
pub mod series;
mod target;
pub mod template;
pub mod threshold;
pub mod words;
