//! Tidegate itself: its processes, started as the chart's Deployments would start them, with the
//! rights that the chart gives to their ServiceAccounts.

use super::lab::MANAGER;
use crate::chart;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_lab::NAMESPACE;
use tidegate_lab::control_plane::ControlPlane;
use tidegate_lab::objects::apply;
use tidegate_lab::process::{Program, free_ports};
use tidegate_lab::repository::{PASSWORD, USER};
use tidegate_lab::wait;

/// What the chart installs besides the processes: who they are and what they may do.
const RIGHTS: &[&str] = &[
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// The chart as it is installed in the laboratory.
pub struct Installation<'a> {
    pub tools: &'a Path,
    pub home: &'a Path,
    pub plane: &'a ControlPlane,
    pub admin: &'a Client,
    git_urls: &'a [String],
    chart: Vec<Value>,
}

impl<'a> Installation<'a> {
    /// Renders the chart and applies what the processes rest on. They may push to `git_urls`.
    pub async fn new(
        tools: &'a Path,
        home: &'a Path,
        plane: &'a ControlPlane,
        admin: &'a Client,
        git_urls: &'a [String],
    ) -> Self {
        let values = json!({
            "clusterName": "lab",
            "gitWriter": {
                "allowedRepositories": git_urls,
                "credentials": {"existingSecret": "git"},
            },
        });
        let chart =
            chart::rendered(&values.to_string()).expect("helm stands beside the other tools");
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        let namespace = serde_json::from_value(namespace).unwrap();
        let namespaces: Api<Namespace> = Api::all(admin.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        for object in &chart {
            if RIGHTS.contains(&object["kind"].as_str().unwrap_or_default()) {
                let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
                let applied = apply(admin, NAMESPACE, &object, MANAGER).await;
                applied.unwrap_or_else(|error| panic!("{}: {error}", object.name_any()));
            }
        }
        Self {
            tools,
            home,
            plane,
            admin,
            git_urls,
            chart,
        }
    }

    /// Starts the controller and waits until it is ready.
    /// Where its metrics are stands beside it.
    pub async fn controller(&self) -> (Program, String) {
        self.start("tidegate", &[]).await
    }

    /// Starts the Git writer and waits until it is ready.
    pub async fn git_writer(&self) -> (Program, String) {
        let credentials = self.home.join("git-credentials");
        let work = self.home.join("git-work");
        std::fs::create_dir_all(&work).unwrap();
        for (i, url) in self.git_urls.iter().enumerate() {
            let folder = credentials.join(i.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let url = url.trim_end_matches('*');
            for (name, content) in [("url", url), ("username", USER), ("password", PASSWORD)] {
                std::fs::write(folder.join(name), content).unwrap();
            }
        }
        let flags = [("credentials-dir", credentials), ("work-dir", work)];
        self.start("tidegate-git-writer", &flags).await
    }

    /// Starts the process of a Deployment with its arguments; what stands in `flags` is elsewhere
    /// than in a pod.
    async fn start(&self, deployment: &str, flags: &[(&str, PathBuf)]) -> (Program, String) {
        let pod = self
            .chart
            .iter()
            .find(|object| {
                object["kind"] == "Deployment" && object["metadata"]["name"] == deployment
            })
            .map(|deployment| &deployment["spec"]["template"]["spec"])
            .unwrap_or_else(|| panic!("the chart has no Deployment {deployment}"));
        let account = pod["serviceAccountName"].as_str().unwrap();
        let [port] = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        for argument in pod["containers"][0]["args"].as_array().unwrap() {
            let argument = argument.as_str().unwrap();
            let name = argument
                .trim_start_matches("--")
                .split('=')
                .next()
                .unwrap_or_default();
            let own = flags.iter().find(|(flag, _)| *flag == name);
            command.arg(match own {
                Some((_, path)) => format!("--{name}={}", path.display()),
                None if name == "metrics-address" => format!("--{name}=127.0.0.1:{port}"),
                None => argument.to_owned(),
            });
        }
        command
            .env("KUBECONFIG", self.kubeconfig(account).await)
            .env("POD_NAME", deployment);
        let mut program = Program::foreign(self.tools, self.home, deployment, &command);
        wait::until(&format!("{deployment} is ready"), async || {
            program.assert_running();
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz"))
                .await
                .ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        (program, format!("127.0.0.1:{port}"))
    }

    /// A kubeconfig with a token of a ServiceAccount.
    async fn kubeconfig(&self, account: &str) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let request = json!({"metadata": {}, "spec": {"audiences": []}});
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        let post = PostParams::default();
        let granted = accounts
            .create_token_request(account, &post, &request)
            .await
            .unwrap();
        self.plane
            .kubeconfig(account, &granted.status.unwrap().token)
    }
}
