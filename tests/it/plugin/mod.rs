//! `kubectl tidegate` against the in-memory API server: objects and statuses are put there by the
//! test, and a small task acknowledges commands as the controller would.

mod binary;
mod changes;
mod commands;
mod controller;
mod failures;
pub mod lab;
pub mod lint;
mod list;
mod reasons;
mod reverts;
mod store;
mod study;
mod views;
