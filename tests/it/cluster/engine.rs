//! Tidegate itself: the controller with a ServiceAccount of its own.

use super::control_plane::ControlPlane;
use super::gitops::apply;
use super::lab::{MANAGER, objects};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::path::PathBuf;
use tidegate::controller::run::{Config, run};
use tokio::task::JoinHandle;

/// Where Tidegate is installed.
pub const NAMESPACE: &str = "tidegate-system";

/// Rights until the chart's are there.
const RIGHTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: tidegate-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: tidegate, namespace: tidegate-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: tidegate}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: tidegate, namespace: tidegate-system}]
";

/// A running controller; it ends when this is dropped.
pub struct Engine(JoinHandle<()>);

impl Engine {
    /// Starts it.
    pub async fn start(plane: &ControlPlane, admin: &Client) -> Self {
        for object in objects(RIGHTS).unwrap() {
            let applied = apply(admin, NAMESPACE, &object, MANAGER).await;
            applied.unwrap_or_else(|error| panic!("{}: {error}", object.name_any()));
        }
        let kubeconfig = service_account(plane, admin, "tidegate").await;
        let client = plane.client_for(&kubeconfig).await.unwrap();
        Self(tokio::spawn(async move {
            let ended = run(Config::default(), client, std::future::pending()).await;
            eprintln!("the controller has ended: {ended:?}");
        }))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A kubeconfig with a token of a ServiceAccount.
async fn service_account(plane: &ControlPlane, admin: &Client, name: &str) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
    let request: TokenRequest =
        serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}})).unwrap();
    let post = PostParams::default();
    let granted = accounts
        .create_token_request(name, &post, &request)
        .await
        .unwrap();
    plane.kubeconfig(name, &granted.status.unwrap().token)
}
