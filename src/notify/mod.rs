//! Notifications: what happened to a Rollout or a Revert, told to people and programs outside.
//!
//! What is told is derived from the status as it stands in the cluster ([`notice`], pure), at each look,
//! and not from what this process did: so nobody is left out when an answer to a write was lost, and
//! nothing is told anew because another process took over ([`told`]). The [`formats`] make requests of
//! it, [`delivery`] sends them from a queue for each receiver.
//!
//! It is beside the flow: nothing waits for a notification, and nothing is decided by one. It reads
//! nothing from the cluster. URLs, keys and headers are secrets: they are in the request and nowhere else.

pub mod config;
pub mod counts;
pub mod delivery;
pub mod formats;
mod http;
pub mod notice;
pub mod notifier;
mod reading;
mod told;

pub use config::{Config, ConfigError};
pub use counts::Counts;
pub use notice::{Kind, Notice, Object};
pub use notifier::{Delivery, Limits, Notifier, test};
