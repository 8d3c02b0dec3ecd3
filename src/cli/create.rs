//! `create analysisrun`: a run of one's own from a template, frozen as the controller freezes it. Nothing waits
//! for it.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;

use super::args::{Create, CreateCommand, CreateRun, Output, Study};
use super::client::Session;
use super::command::FIELD_MANAGER;
use super::error::{CliError, Exit};
use super::objects::RUNS;
use super::style::Tone;
use super::subject::{self, Sides, Subject};
use super::terminal::Terminal;
use crate::analysis::template;
use crate::api::analysis::AnalysisRun;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Create,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let CreateCommand::AnalysisRun(args) = &args.what;
    let study = study(args);
    let namespace = Some(session.namespace.as_str());
    let resolved = subject::resolve(Ok(session), namespace, &study, Sides::Both);
    let subject = Box::pin(resolved).await?;
    // Its status would say so; here nothing has to be deleted afterwards.
    let problems = template::problems(&subject.spec, Timestamp::now());
    if !problems.is_empty() {
        return Err(subject::problems(&subject.template, &problems));
    }
    let run = object(args, &study, &subject);
    let params = PostParams {
        dry_run: args.dry_run.is_on(),
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let api = session.runs();
    let created = session
        .ask(&session.asked("create", RUNS), api.create(&params, &run))
        .await?;
    let name = created.name_any();
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            let document = json!({
                "analysisRun": name,
                "namespace": session.namespace,
                "template": subject.template,
                "versions": subject.versions,
                "dryRun": params.dry_run,
            });
            terminal.document(format, &document)?;
        }
        Some(Output::Name) => {
            terminal.say(Tone::Plain, format!("analysisrun.tidegate.io/{name}"))?;
        }
        None | Some(Output::Wide) => {
            let (template, versions) = (&subject.template, &subject.versions);
            let what = if params.dry_run {
                "not created (dry run); the API server would take it"
            } else {
                "created"
            };
            terminal.say(
                Tone::Plain,
                format!("analysisrun.tidegate.io/{name}: {what}, from {template}; {versions}"),
            )?;
            if !params.dry_run {
                terminal.say(
                    Tone::Faint,
                    format!(
                        "`kubectl get analysisrun.tidegate.io {name} -n {} -w` shows what comes of it",
                        session.namespace
                    ),
                )?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The template and the versions, as the dry runs take them.
fn study(args: &CreateRun) -> Study {
    let of_cluster = args.from_cluster_template.clone();
    Study {
        cluster_scope: of_cluster.is_some(),
        template: of_cluster.or_else(|| args.from_template.clone()),
        rollout: args.rollout.clone(),
        canary: args.canary.clone(),
        stable: args.stable.clone(),
        args: args.args.clone(),
        ..Study::default()
    }
}

fn object(args: &CreateRun, study: &Study, subject: &Subject) -> AnalysisRun {
    let mut spec = subject.spec.clone();
    spec.ttl_seconds_after_finished = args.ttl;
    let mut run = AnalysisRun::new("", spec);
    run.metadata.name.clone_from(&args.name);
    if args.name.is_none() {
        let template = study.template.as_deref().unwrap_or("run");
        run.metadata.generate_name = Some(format!("{template}-"));
    }
    run
}
