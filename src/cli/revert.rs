//! `revert`: how far a bad change is out of Git, and what a person says to it. What a person asks for is
//! an annotation on the Revert; the Git writer acts on it, and nothing here touches a repository.

mod ask;
mod find;
#[cfg(test)]
mod tests;
mod text;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::args::{Output, RevertCommand, Reverting};
use super::client::Session;
use super::error::{CliError, Exit};
use super::reverts;
use super::style::{Line, Tone};
use super::terminal::Terminal;
use super::tree::View;
use crate::api::revert::{DECLINED_ANNOTATION, RELEASED_ANNOTATION, Revert, RevertMode};

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Reverting,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    match &args.what {
        RevertCommand::Show(of) => {
            let revert = find::revert(session, of).await?;
            show(&revert, terminal, output)
        }
        RevertCommand::Plan(of) => {
            let revert = find::revert(session, of).await?;
            plan(&revert, terminal, output)
        }
        RevertCommand::Retry(args) => {
            let revert = find::revert(session, &args.of).await?;
            ask::writer(
                session,
                terminal,
                &revert,
                ask::Word::Retry,
                args.wait,
                output,
            )
            .await
        }
        RevertCommand::Decline(args) => {
            let revert = find::revert(session, &args.of).await?;
            ask::writer(
                session,
                terminal,
                &revert,
                ask::Word::Decline,
                args.wait,
                output,
            )
            .await
        }
        RevertCommand::Release(of) => {
            let revert = find::revert(session, of).await?;
            ask::release(session, terminal, &revert, output).await
        }
    }
}

/// `revert.tidegate.io/<name>`
fn full_name(revert: &Revert) -> String {
    format!("revert.tidegate.io/{}", revert.name_any())
}

fn show(
    revert: &Revert,
    terminal: &mut Terminal<'_>,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let now = Timestamp::now();
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            terminal.document(format, &document(revert))?;
        }
        Some(Output::Name) => terminal.say(Tone::Plain, full_name(revert))?,
        None | Some(Output::Wide) => {
            let view = View {
                now,
                width: terminal.screen().width,
                wide: output == Some(Output::Wide),
            };
            for line in text::lines(revert, &view) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
    }
    Ok(Exit::Done)
}

/// The diff alone: byte for byte in a pipe, so that `git apply` takes it, and harmless on a terminal.
fn plan(
    revert: &Revert,
    terminal: &mut Terminal<'_>,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let plan = revert.status.as_ref().and_then(|s| s.plan.as_ref());
    let plan = plan.filter(|plan| !plan.is_empty());
    match (output, plan) {
        (Some(format @ (Output::Json | Output::Yaml)), _) => {
            terminal.document(format, &document(revert))?;
        }
        (Some(Output::Name), _) => terminal.say(Tone::Plain, full_name(revert))?,
        (_, None) => return Err(CliError::Refused(text::no_plan(revert))),
        (_, Some(plan)) if terminal.screen().is_terminal() => {
            for line in text::diff(plan) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
        (_, Some(plan)) => {
            let end = if plan.ends_with('\n') { "" } else { "\n" };
            terminal.raw(format!("{plan}{end}").as_bytes())?;
        }
    }
    Ok(Exit::Done)
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(revert: &Revert) -> Value {
    let status = revert.status.clone().unwrap_or_default();
    let spec = &revert.spec;
    json!({
        "revert": revert.name_any(),
        "namespace": revert.namespace(),
        "rollout": spec.rollout.name,
        "mode": spec.mode,
        "attempt": spec.attempt,
        "reason": spec.reason,
        "abortedAt": spec.aborted_at,
        "stable": spec.stable,
        "bad": spec.bad,
        "source": spec.source,
        "changes": spec.changes,
        "phase": status.phase,
        "message": status.message,
        "commit": status.commit,
        "branch": status.branch,
        "pushedAt": status.pushed_at,
        "attempts": status.attempts.unwrap_or(0),
        "nextRetryAt": status.next_retry_at,
        "conditions": status.conditions,
        "plan": status.plan,
        "declined": revert.annotations().get(DECLINED_ANNOTATION),
        "released": revert.annotations().get(RELEASED_ANNOTATION),
        "rejects": reverts::rejects(revert),
        "next": text::next(revert),
    })
}

/// What its mode means to a person, where it is not `Push`.
fn mode_note(revert: &Revert) -> Option<&'static str> {
    match revert.spec.mode {
        RevertMode::Off => {
            Some("a record only: mode Off, or an abort that gitRevert.on does not name")
        }
        RevertMode::DryRun => Some("a plan only: mode DryRun"),
        RevertMode::PullRequest | RevertMode::Push => None,
    }
}

/// A line of a heading.
fn heading(text: &str) -> Line {
    Line::new().with(Tone::Strong, text)
}
