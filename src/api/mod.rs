//! The custom resources of `tidegate.io/v1alpha1`: serde and schema, no logic.

pub mod revert;
