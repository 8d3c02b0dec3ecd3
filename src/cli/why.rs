//! `why`: the reason of the present state in a few sentences, with the numbers, and what to do next. It
//! says what `get` says, of what matters now alone.

mod analyses;
mod reason;
#[cfg(test)]
mod tests;
mod text;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::account;
use super::args::{Named, Output};
use super::client::Session;
use super::error::{CliError, Exit};
use super::objects::Objects;
use super::terminal::Terminal;
use reason::Finding;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Named,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let Some(name) = account::asked_for(session, terminal, args, output).await? else {
        return Ok(Exit::Done);
    };
    let all = Box::pin(Objects::load(session, name)).await?;
    account::give(&all, terminal, output, document, text::lines)
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(all: &Objects, now: Timestamp) -> Value {
    let status = all.rollout.status.as_ref();
    let reason = reason::of(all, now);
    let finding = |finding: &Finding| {
        let shown = finding.shown.iter();
        let shown: Vec<String> = shown.map(|line| line.render(false)).collect();
        json!({"text": finding.text, "shown": shown})
    };
    json!({
        "rollout": all.rollout.name_any(),
        "namespace": all.rollout.namespace(),
        "phase": status.and_then(|s| s.phase),
        "message": status.map(|s| s.message.as_str()),
        "why": reason.found.iter().map(finding).collect::<Vec<_>>(),
        "next": reason.next,
    })
}
