//! The custom resources of `tidegate.io/v1alpha1`: serde and schema, no logic.

pub mod analysis;
mod analysis_state;
pub mod analysis_status;
pub mod conditions;
mod fields;
pub mod manifests;
pub mod metric;
pub mod metrics_provider;
mod packed;
pub mod revert;
pub mod rollout;
pub mod rollout_status;
mod routing;
mod schema;
mod steps;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Every CRD of Tidegate, as it is written into `crds/` and applied to a cluster.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        rollout::Rollout::crd(),
        analysis::AnalysisTemplate::crd(),
        analysis::ClusterAnalysisTemplate::crd(),
        analysis::AnalysisRun::crd(),
        metrics_provider::MetricsProvider::crd(),
        revert::Revert::crd(),
    ]
    .into_iter()
    .map(schema::finish)
    .collect()
}
