//! Tidegate itself: the controller with a ServiceAccount of its own.

use super::control_plane::ControlPlane;
use super::gitops::apply;
use super::lab::MANAGER;
use crate::chart;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use tidegate::controller::run::{Config, run};
use tokio::task::JoinHandle;

/// Where Tidegate is installed.
pub const NAMESPACE: &str = "tidegate-system";

/// What the chart installs besides the processes: who they are and what they may do.
const RIGHTS: &[&str] = &[
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// A running controller; it ends when this is dropped.
pub struct Engine(JoinHandle<()>);

impl Engine {
    /// Starts it.
    pub async fn start(plane: &ControlPlane, admin: &Client) -> Self {
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        let namespace = serde_json::from_value(namespace).unwrap();
        Api::<Namespace>::all(admin.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let chart = chart::rendered("").expect("helm stands beside the other tools");
        let kind = |object: &Value| object["kind"].as_str().unwrap_or_default().to_owned();
        for object in chart
            .iter()
            .filter(|object| RIGHTS.contains(&kind(object).as_str()))
        {
            let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
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
