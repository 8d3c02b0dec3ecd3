//! What the tests on a node send traffic to, and what they send it with: the tested application,
//! whose faults are set from outside, and a load in open loop that writes down what became of every
//! request. It knows nothing of Tidegate.

pub mod app;
pub mod load;
