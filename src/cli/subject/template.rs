//! Where a template comes from: the cluster, a Rollout that names it, or a file.

use std::path::Path;

use kube::Api;
use serde_json::Value;

use super::versions::OfRollout;
use crate::api::analysis::{AnalysisTemplate, AnalysisTemplateSpec, ClusterAnalysisTemplate};
use crate::api::rollout::Rollout;
use crate::cli::args::{Study, check_name};
use crate::cli::client::Session;
use crate::cli::error::CliError;

/// Largest file that is read.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// A template before it is frozen.
pub(super) struct Found {
    pub kind: &'static str,
    pub name: String,
    pub spec: AnalysisTemplateSpec,
}

/// The session, where it is needed for `what`.
pub(super) fn needed<'s>(
    session: Result<&'s Session, &CliError>,
    what: &str,
) -> Result<&'s Session, CliError> {
    session.map_err(|e| CliError::Refused(format!("{what} needs the cluster, but {e}")))
}

pub(super) async fn find(
    session: Result<&Session, &CliError>,
    study: &Study,
    rollout: Option<&Rollout>,
) -> Result<Found, CliError> {
    if let Some(file) = &study.file {
        return from_file(file, study);
    }
    let (name, cluster_scope) = match (&study.template, rollout) {
        (Some(name), _) => (name.clone(), study.cluster_scope),
        (None, Some(rollout)) => only_template(rollout)?,
        (None, None) => {
            let ways = "a template is needed: its name, -f FILE, or --rollout NAME of a Rollout whose analyses name it";
            return Err(CliError::Usage(ways.to_owned()));
        }
    };
    check_name("the template's name", &name).map_err(CliError::Usage)?;
    let session = needed(session, "a template's name")?;
    let (kind, plural) = kind_of(cluster_scope);
    let read = if cluster_scope {
        let api = Api::<ClusterAnalysisTemplate>::all(session.client.clone());
        let mut asked = session.asked("get", plural);
        asked.namespace = String::new();
        session.ask(&asked, api.get(&name)).await.map(|t| t.spec.0)
    } else {
        let api = Api::<AnalysisTemplate>::namespaced(session.client.clone(), &session.namespace);
        let asked = session.asked("get", plural);
        session.ask(&asked, api.get(&name)).await.map(|t| t.spec)
    };
    match read {
        Ok(spec) => Ok(Found { kind, name, spec }),
        Err(CliError::NotFound { context, .. }) => {
            let place = if cluster_scope {
                "in the cluster".to_owned()
            } else {
                format!("in namespace {}", session.namespace)
            };
            let hint = if cluster_scope {
                "without --cluster-scope one of the namespace is meant"
            } else {
                "with --cluster-scope a ClusterAnalysisTemplate is meant"
            };
            Err(CliError::Missing(format!(
                "there is no {kind} {name:?} {place} ({context}); {hint}, and -f FILE reads one that is not applied yet"
            )))
        }
        Err(e) => Err(e),
    }
}

pub(super) fn kind_of(cluster_scope: bool) -> (&'static str, &'static str) {
    if cluster_scope {
        (
            "ClusterAnalysisTemplate",
            "clusteranalysistemplates.tidegate.io",
        )
    } else {
        ("AnalysisTemplate", "analysistemplates.tidegate.io")
    }
}

/// The template that a Rollout's analyses name, if it is one.
fn only_template(rollout: &Rollout) -> Result<(String, bool), CliError> {
    let of = OfRollout::read(rollout)?;
    let mut all: Vec<(String, bool)> = of
        .spec
        .analyses()
        .flat_map(|r| &r.templates)
        .map(|t| (t.name.clone(), t.cluster_scope))
        .collect();
    all.sort();
    all.dedup();
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::Refused(format!(
            "Rollout {} has no analysis; name a template, or give one by -f FILE",
            of.name
        ))),
        many => Err(CliError::Refused(format!(
            "the analyses of Rollout {} name several templates; name one of: {}",
            of.name,
            many.iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn from_file(file: &Path, study: &Study) -> Result<Found, CliError> {
    let text = read(file)?;
    let shown = file.display();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .map_err(|e| CliError::Refused(format!("{shown} is no YAML: {e}")))?;
    let mut templates = Vec::new();
    for document in documents {
        let kind = document.get("kind").and_then(Value::as_str);
        let kind = match kind {
            Some("AnalysisTemplate") => "AnalysisTemplate",
            Some("ClusterAnalysisTemplate") => "ClusterAnalysisTemplate",
            _ => continue,
        };
        let name = document.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or("(without a name)").to_owned();
        if study
            .template
            .as_ref()
            .is_some_and(|wanted| *wanted != name)
        {
            continue;
        }
        let spec = document.get("spec").cloned().unwrap_or_default();
        let spec = serde_json::from_value(spec)
            .map_err(|e| CliError::Refused(format!("{shown}: {kind} {name}: spec: {e}")))?;
        templates.push(Found { kind, name, spec });
    }
    if templates.len() > 1 {
        let names: Vec<&str> = templates.iter().map(|t| t.name.as_str()).collect();
        return Err(CliError::Refused(format!(
            "{shown} has several templates; name one of: {}",
            names.join(", ")
        )));
    }
    templates.pop().ok_or_else(|| {
        let called = study.template.as_ref();
        let called = called.map_or_else(String::new, |name| format!(" named {name:?}"));
        CliError::Refused(format!(
            "{shown} has no AnalysisTemplate and no ClusterAnalysisTemplate{called}"
        ))
    })
}

/// The text of a file; `-` is standard input.
fn read(file: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let shown = file.display().to_string();
    let unreadable = |e: std::io::Error| CliError::Refused(format!("{shown} cannot be read: {e}"));
    let mut text = String::new();
    let length = if file == Path::new("-") {
        let mut input = std::io::stdin().lock().take(FILE_MAX + 1);
        input.read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(FILE_MAX + 1).read_to_string(&mut text)
    };
    if length.map_err(unreadable)? as u64 > FILE_MAX {
        return Err(CliError::Refused(format!(
            "{shown} is larger than {} MiB, which no template is",
            FILE_MAX / 1024 / 1024
        )));
    }
    Ok(text)
}
