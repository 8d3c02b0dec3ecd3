//! `history`: what became of the last versions, and which ones there are now. The outcomes are in the
//! Rollout's status; images, sources and times come from what else is still there, and what nothing tells
//! is left out.

mod past;
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
    let all = Box::pin(Objects::load_without_runs(session, name)).await?;
    account::give(&all, terminal, output, document, text::lines)
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(all: &Objects, now: Timestamp) -> Value {
    let rollout = &all.rollout;
    let status = rollout.status.as_ref();
    let canary = status.and_then(|s| s.canary.as_ref()).map(|c| {
        json!({
            "revision": c.revision, "hash": c.hash, "images": c.images, "source": c.source,
            "attempt": c.attempt, "startedAt": c.started_at,
        })
    });
    let history: Vec<Value> = past::of(all, now)
        .into_iter()
        .map(|past| {
            json!({
                "revision": past.entry.revision,
                "hash": past.entry.hash,
                "outcome": past.entry.outcome,
                "at": past.entry.at,
                "message": past.entry.message,
                "tookSeconds": past.took,
                "stableSeconds": past.stable,
                "images": past.images,
                "source": past.source,
                "revert": past.revert_name,
            })
        })
        .collect();
    json!({
        "rollout": rollout.name_any(),
        "namespace": rollout.namespace(),
        "phase": status.and_then(|s| s.phase),
        "stable": status.and_then(|s| s.stable.as_ref()),
        "canary": canary,
        "history": history,
    })
}
