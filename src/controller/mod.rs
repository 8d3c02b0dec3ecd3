//! The rim towards Kubernetes: observe, hand over to the pure planner, execute.
//!
//! Data flows one way round. [`observe`] turns objects into facts, `core::decide` turns facts into a
//! plan, [`execute`] turns the plan into guarded calls, and [`reconcile`] is the loop of the three.
//! [`caches`] say when to look; nothing is written on what they say, because before every write the
//! same observation and decision are made again from live reads ([`reader`]). [`lanes`] keep aborts
//! apart from everyday work, [`analysis_runs`] carries the analyses the same way (ask, judge, write),
//! [`providers`] says whom they may ask, [`neighbours`] what the workloads of a namespace have to know
//! of each other, [`lease`] lets one process act at a time, [`run`] puts it all
//! together.
//! Nothing in here decides what happens to a Rollout.

pub mod analysis_runs;
pub mod bodies;
pub mod budget;
pub mod caches;
pub mod calls;
pub mod context;
pub mod error;
pub mod events;
pub mod execute;
pub mod facts;
pub mod lanes;
pub mod lease;
pub mod neighbours;
pub mod object;
pub mod observe;
pub mod provider_readiness;
pub mod providers;
pub mod reader;
pub mod reconcile;
pub mod run;
pub mod server;
pub mod telemetry;
