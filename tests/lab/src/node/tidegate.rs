//! Tidegate as its users have it: images, the chart, Helm, the rights of real ServiceAccounts.

use super::components::PAUSE;
use super::images::{self, Image};
use super::state::{Options, State};
use super::{ADDRESS, GIT_PORT, PROMETHEUS_PORT};
use crate::objects::{apply, objects};
use crate::repository::{PASSWORD, USER};
use crate::{MANAGER, NAMESPACE, wait};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde_json::json;
use std::fs;
use std::process::Command;

/// The images' tag in a new cluster.
pub const TAG: &str = "lab";

/// The namespace, whose pods keep to the restricted Pod Security Standard, and the password.
fn namespace() -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Secret
metadata: {{name: git, namespace: {NAMESPACE}}}
stringData: {{username: {USER}, password: {PASSWORD}}}
"
    )
}

/// Loads the image that every pod needs: the tested application knows how to be it.
pub fn load_pause(state: &State, options: &Options) -> Result<(), String> {
    let app = state.path("app");
    images::stripped(&options.binaries.join("app"), &app)?;
    images::load(state, &Image::new(PAUSE, &app)?.with_arguments(&["pause"]))
}

/// Loads the images of the tested application and of Tidegate, after that of `pause`.
pub fn load_images(state: &State, options: &Options) -> Result<(), String> {
    images::load(state, &Image::new("app:lab", &state.path("app"))?)?;
    if options.tidegate {
        let tidegate = options.binaries.join("tidegate");
        images::stripped(&tidegate, &state.path("tidegate"))?;
        load_tidegate(state, TAG)?;
    }
    Ok(())
}

/// Loads the images of the controller and of the Git writer.
fn load_tidegate(state: &State, tag: &str) -> Result<(), String> {
    let tidegate = state.path("tidegate");
    let controller = Image::new(&format!("tidegate:{tag}"), &tidegate)?;
    images::load(state, &controller.with_authorities())?;
    let writer = Image::new(&format!("tidegate-git-writer:{tag}"), &tidegate)?;
    images::load(state, &writer.with_authorities().with_git()?)
}

/// Installs the chart, and waits until both processes are ready.
pub async fn install(state: &State, options: &Options, client: &Client) {
    for object in objects(&namespace()).unwrap() {
        if let Err(error) = apply(client, "", &object, MANAGER).await {
            panic!("Tidegate's namespace is refused: {error}");
        }
    }
    roll_out(state, options, client, TAG).await;
}

/// Replaces the installed controller and Git writer by those of other images, as a new release is
/// installed, and waits until the former are gone.
pub async fn replace(state: &State, client: &Client, tag: &str) -> Result<(), String> {
    let options = state.options().map_err(|error| error.to_string())?;
    let (own, name) = (state.clone(), tag.to_owned());
    let loaded = tokio::task::spawn_blocking(move || load_tidegate(&own, &name)).await;
    loaded.map_err(|error| error.to_string())??;
    roll_out(state, &options, client, tag).await;
    Ok(())
}

async fn roll_out(state: &State, options: &Options, client: &Client, tag: &str) {
    let image = json!({"tag": tag, "pullPolicy": "Never"});
    let values = json!({
        "clusterName": state.name(),
        "prometheusUrl": format!("http://{ADDRESS}:{PROMETHEUS_PORT}"),
        "controller": {"image": image},
        "gitWriter": {
            "image": image,
            "allowedRepositories": [format!("http://{ADDRESS}:{GIT_PORT}/*")],
            "credentials": {"existingSecret": "git"},
        },
    });
    let file = state.path("values.json");
    fs::write(&file, serde_json::to_vec_pretty(&values).unwrap()).unwrap();
    upgrade(state, options)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for name in ["tidegate", "tidegate-git-writer"] {
        wait::until_ok(&format!("{name} is ready"), async || {
            let deployment = deployments
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            let wanted = deployment.spec.and_then(|spec| spec.replicas);
            let status = deployment.status.unwrap_or_default();
            let counts = [
                status.replicas,
                status.updated_replicas,
                status.ready_replicas,
            ];
            if status.observed_generation == deployment.metadata.generation
                && counts.iter().all(|count| *count == wanted)
            {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
    }
}

/// Runs `helm upgrade --install` with the values in the cluster's folder.
async fn upgrade(state: &State, options: &Options) -> Result<(), String> {
    let mut command = Command::new(options.tools.join("helm"));
    command
        .args(["upgrade", "--install", "tidegate"])
        .arg(options.repository.join("charts/tidegate"))
        .args(["--namespace", NAMESPACE, "--values"])
        .arg(state.path("values.json"))
        .env("KUBECONFIG", state.kubeconfig());
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, state.path("helm"));
    }
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .map_err(|error| format!("helm does not start: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("helm: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
