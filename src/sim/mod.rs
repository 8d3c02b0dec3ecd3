//! A Kubernetes that needs no cluster: for the demo, the tests and the simulator.

pub mod apiserver;
pub mod random;
