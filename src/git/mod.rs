//! The Git writer: takes a bad change out of Git, leaf by leaf.

mod image;
pub mod leaf;
pub mod revert;
pub mod scope;
mod splice;
mod yaml_tree;
