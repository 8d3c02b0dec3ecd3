//! The Git writer: takes a bad change out of Git, leaf by leaf.

mod command;
pub mod credentials;
mod image;
pub mod leaf;
mod redact;
pub mod repo;
pub mod revert;
pub mod scope;
pub mod source;
mod splice;
mod yaml_tree;
