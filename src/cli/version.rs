//! `version`: of the plugin, the API server, the resources and the controller, as far as each can be
//! told. That something cannot be told is no failure: it is said.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::args::{Output, Version};
use super::client::{Asked, ROLLOUTS, Session};
use super::error::{CliError, Exit};
use super::style::{Line, Tone};
use super::terminal::Terminal;

/// The version of this plugin.
pub const CLIENT: &str = env!("CARGO_PKG_VERSION");
/// The version of the resources that this plugin reads.
const API_VERSION: &str = "v1alpha1";
/// What the chart's objects are found by.
const CHART_SELECTOR: &str = "app.kubernetes.io/name=tidegate";
const VERSION_LABEL: &str = "app.kubernetes.io/version";
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Something that can or cannot be told.
type Told = Result<String, String>;

/// Runs the command.
///
/// # Errors
/// Only when the output cannot be written.
pub async fn run(
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
    args: &Version,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let mut rows: Vec<(&str, Told)> = vec![("client", Ok(CLIENT.to_owned()))];
    let mut skews: Vec<String> = Vec::new();
    if !args.client {
        match session {
            Ok(session) => {
                let server = server(&session).await;
                let answers = server.is_ok();
                rows.push(("server", server));
                // Without a server the rest would only say the same again.
                if answers {
                    let (resources, controller) =
                        tokio::join!(resources(&session), controller(&session));
                    for (name, told) in [("resources", resources), ("controller", controller)] {
                        rows.push((
                            name,
                            told.map(|(text, skewed)| {
                                skews.extend(skewed);
                                text
                            }),
                        ));
                    }
                }
            }
            Err(e) => rows.push(("server", Err(e.to_string()))),
        }
    }
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            let told = |name: &str| rows.iter().find(|(n, _)| *n == name).map(|(_, told)| told);
            let value = |name| told(name).and_then(|t| t.as_ref().ok());
            let problems: Vec<&String> =
                rows.iter().filter_map(|(_, t)| t.as_ref().err()).collect();
            terminal.document(
                format,
                &json!({
                    "client": value("client"),
                    "apiVersion": format!("tidegate.io/{API_VERSION}"),
                    "server": value("server"),
                    "resources": value("resources"),
                    "controller": value("controller"),
                    "problems": problems,
                    "skew": skews,
                }),
            )?;
        }
        _ => {
            for (name, told) in rows {
                let mut line = Line::new().with(Tone::Faint, format!("{name}:"));
                line.pad_to(12);
                match told {
                    Ok(text) => line.push(Tone::Plain, text),
                    Err(why) => line.push(Tone::Warn, format!("cannot be told: {why}")),
                }
                terminal.line(&line)?;
            }
            for skew in skews {
                let line = Line::new().with(Tone::Warn, format!("warning: {skew}"));
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
    }
    Ok(Exit::Done)
}

fn asked(verb: &'static str, resource: &'static str) -> Asked {
    Asked {
        verb,
        resource,
        namespace: String::new(),
    }
}

async fn server(session: &Session) -> Told {
    let info = session
        .ask(
            &asked("get", "/version"),
            session.client.apiserver_version(),
        )
        .await
        .map_err(|e| e.to_string())?;
    Ok(format!("Kubernetes {}", info.git_version))
}

/// What a pair of versions means: while they are 0.x, a minor version may break.
fn skew(whose: &str, version: &str) -> Option<String> {
    let parts = |v: &str| -> Option<(u32, u32)> {
        let mut numbers = v.trim_start_matches('v').split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    // What is no version number cannot be compared.
    let (own, theirs) = (parts(CLIENT)?, parts(version)?);
    (own != theirs).then(|| {
        format!(
            "the plugin is {CLIENT} and {whose} {version}: take the plugin of the installed release, \
             or `lint`, `get` and the commands may read fields that are not there"
        )
    })
}

async fn resources(session: &Session) -> Result<(String, Option<String>), String> {
    let api: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let crd = session
        .ask(
            &asked("get", "customresourcedefinitions.apiextensions.k8s.io"),
            api.get_opt(ROLLOUTS),
        )
        .await
        .map_err(|e| e.to_string())?
        .ok_or_else(|| {
            CliError::NotInstalled {
                resource: ROLLOUTS,
                context: session.context.clone(),
            }
            .to_string()
        })?;
    let served: Vec<&str> = crd
        .spec
        .versions
        .iter()
        .filter(|v| v.served)
        .map(|v| v.name.as_str())
        .collect();
    if !served.contains(&API_VERSION) {
        return Err(format!(
            "{ROLLOUTS} is served as {}, and this plugin reads {API_VERSION}: take the plugin of the installed version",
            served.join(", ")
        ));
    }
    let release = crd.labels().get(VERSION_LABEL);
    let shown = release.map(|v| format!(", release {v}"));
    let text = format!(
        "tidegate.io/{}{}",
        served.join(", "),
        shown.unwrap_or_default()
    );
    let skewed = release.and_then(|v| skew("the resources are of", v));
    Ok((text, skewed))
}

async fn controller(session: &Session) -> Result<(String, Option<String>), String> {
    let api: Api<Deployment> = Api::all(session.client.clone());
    let params = ListParams::default().labels(CHART_SELECTOR);
    let list = session
        .ask(&asked("list", "deployments.apps"), api.list(&params))
        .await
        .map_err(|e| e.to_string())?;
    let mut found: Vec<String> = list.items.iter().map(describe).collect();
    found.sort();
    if found.is_empty() {
        return Err(format!(
            "no Deployment with the label {CHART_SELECTOR}; was it installed without the chart?"
        ));
    }
    let mut versions = list
        .items
        .iter()
        .filter_map(|d| d.labels().get(VERSION_LABEL));
    let skewed = versions.find_map(|v| skew("the controller", v));
    Ok((found.join("; "), skewed))
}

/// `0.1.0 controller, 1/1 available (tidegate/tidegate-controller)`
fn describe(deployment: &Deployment) -> String {
    let image = deployment
        .spec
        .as_ref()
        .and_then(|s| s.template.spec.as_ref())
        .and_then(|s| s.containers.first())
        .and_then(|c| c.image.clone())
        .unwrap_or_default();
    let labels = deployment.labels();
    let version = labels.get(VERSION_LABEL).cloned().unwrap_or(image);
    let component = labels
        .get(COMPONENT_LABEL)
        .map(|c| format!(" {c}"))
        .unwrap_or_default();
    let status = deployment.status.as_ref();
    format!(
        "{version}{component}, {}/{} available ({}/{})",
        status.and_then(|s| s.available_replicas).unwrap_or(0),
        deployment
            .spec
            .as_ref()
            .and_then(|s| s.replicas)
            .unwrap_or(1),
        deployment.namespace().unwrap_or_default(),
        deployment.name_any()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_minor_version_is_warned_of_and_another_patch_is_not() {
        let mut parts = CLIENT.split('.');
        let (major, minor) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!(skew("the controller", CLIENT), None);
        assert_eq!(
            skew("the controller", &format!("v{major}.{minor}.99")),
            None
        );
        assert_eq!(skew("the controller", "latest"), None);
        let said = skew("the controller", "9.8.7").unwrap();
        assert!(said.contains(CLIENT) && said.contains("the controller 9.8.7"));
    }
}
