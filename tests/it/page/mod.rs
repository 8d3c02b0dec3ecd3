//! The page against the in-memory API server, asked by HTTP as a browser asks: what it shows, what it sends
//! when something changes, what it writes, and whom it refuses.

mod browser;
mod commands;
mod guard;
mod views;
