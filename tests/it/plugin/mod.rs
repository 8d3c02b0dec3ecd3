//! `kubectl tidegate` against the in-memory API server: objects and statuses are put there by the
//! test, and a small task acknowledges commands as the controller would.

mod binary;
mod changes;
mod commands;
mod controller;
mod failures;
mod lint;
pub mod lab;
mod list;
mod reasons;
mod reverts;
mod store;
mod study;
mod views;
