//! What a template would have done to versions that were all right, and to ones that were not: stable
//! pods held against the rest at many times, as they were and with a regression put into them.
//!
//! The samples are real and read once ([`recording`]); what is drawn by chance is drawn from numbers
//! that the caller brings ([`chance`]), so that one seed is one backtest.

pub mod chance;
pub mod injection;
pub mod placebo;
pub mod recording;
pub mod summary;
