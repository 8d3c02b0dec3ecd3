//! The Git writer: takes a bad change out of Git, leaf by leaf.
//!
//! A process of its own, the only one that holds Git credentials. It reads Reverts, which the
//! engine writes, and Rollouts, to see whether the cluster followed; it writes the status of
//! Reverts and Events, and nothing else in the cluster. Nothing of it is on the path of an abort.
//!
//! From the pure to the outside: [`leaf`] reads a file as leaves, [`scope`] says which of them
//! belong to a workload, [`revert`] plans what goes back; [`source`] checks where it may go,
//! [`repo`] drives the `git` program; the loop in `writer` follows each Revert to its end.

pub mod answers;
mod args;
mod command;
pub mod credentials;
mod environment;
mod image;
pub mod leaf;
mod message;
mod metrics;
mod notices;
mod outcome;
mod publish;
mod redact;
pub mod repo;
mod resolve;
pub mod revert;
mod run;
pub mod scope;
mod server;
pub mod source;
mod splice;
mod status;
mod verify;
mod work;
mod writer;
mod yaml_tree;

pub use args::{ArgsError, GitWriterArgs};
pub use run::{RunError, run, run_with};
