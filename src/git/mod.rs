//! The Git writer: takes a bad change out of Git, leaf by leaf.
//!
//! A process of its own, the only one that holds Git credentials. It reads Reverts, which the
//! engine writes, and Rollouts, to see whether the cluster followed; it writes the status of
//! Reverts and Events, asks Argo CD or Flux to look at the branch (`hand_over`), and writes nothing else
//! in the cluster. Nothing of it is on the path of an abort.
//!
//! From the pure to the outside: [`leaf`] reads a file as leaves, [`scope`] says which of them
//! belong to a workload, [`revert`] plans what goes back (and [`revert_file`] for somebody who has
//! the files at hand); [`source`] checks where it may go,
//! [`repo`] drives the `git` program, `forge` speaks to where pull requests are; the loop in `writer` follows each Revert to its end. Without the
//! feature `cluster` there is only the pure part, which the simulator plans its commits with.

#[cfg(feature = "cluster")]
mod announce;
#[cfg(feature = "cluster")]
pub mod answers;
#[cfg(feature = "cluster")]
mod args;
#[cfg(feature = "cluster")]
mod command;
#[cfg(feature = "cluster")]
pub mod credentials;
#[cfg(feature = "cluster")]
mod environment;
#[cfg(feature = "cluster")]
mod forge;
#[cfg(feature = "cluster")]
mod hand_over;
mod image;
pub mod leaf;
#[cfg(feature = "cluster")]
mod message;
#[cfg(feature = "cluster")]
mod metrics;
#[cfg(feature = "cluster")]
mod notices;
#[cfg(feature = "cluster")]
mod outcome;
#[cfg(feature = "cluster")]
mod propose;
#[cfg(feature = "cluster")]
mod publish;
#[cfg(feature = "cluster")]
mod redact;
mod refusal;
#[cfg(feature = "cluster")]
pub mod repo;
#[cfg(feature = "cluster")]
mod resolve;
pub mod revert;
pub mod revert_file;
#[cfg(feature = "cluster")]
mod run;
pub mod scope;
#[cfg(feature = "cluster")]
mod server;
#[cfg(feature = "cluster")]
pub mod source;
mod splice;
#[cfg(feature = "cluster")]
mod standing;
#[cfg(feature = "cluster")]
mod status;
#[cfg(feature = "cluster")]
mod verify;
#[cfg(feature = "cluster")]
mod work;
#[cfg(feature = "cluster")]
mod writer;
mod yaml_tree;

#[cfg(feature = "cluster")]
pub use args::{ArgsError, GitWriterArgs};
#[cfg(feature = "cluster")]
pub use run::{RunError, run, run_with};
