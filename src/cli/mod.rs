//! `kubectl tidegate`: one file per command, and the tree view.
//!
//! The plugin reads the status that the controller writes and asks for things by annotations. It
//! decides nothing about a rollout and never imports the controller: the API is all they share.

pub mod style;
