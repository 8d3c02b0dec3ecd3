//! What is said beside a revert, to those who brought the change: the bad commit is marked as failed,
//! and the request that brought it gets a comment. Nothing depends on it: what a forge does not take is
//! logged and not tried again.

use std::time::Duration;

use crate::api::revert::Revert;

use super::forge::{Forge, ForgeError};
use super::message::one_line;
use super::redact::cut;
use super::resolve::Resolved;

/// Longest piece of evidence that is told.
const EVIDENCE_BYTES_MAX: usize = 300;

/// How long all of it may take. It is worth no delay.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Says it where the commit that brought the bad version is known; `by` is what takes it back, a page or
/// a few words.
pub(super) async fn announce(forge: &Forge, revert: &Revert, resolved: &Resolved, by: &str) {
    let Some(commit) = resolved.offending() else {
        return;
    };
    let said = say(forge, revert, commit.as_str(), by);
    match tokio::time::timeout(TIMEOUT, said).await {
        Ok(done) => note("what the commit has come to", done),
        Err(_) => tracing::warn!("the forge takes too long to be told what a commit has come to"),
    }
}

async fn say(forge: &Forge, revert: &Revert, commit: &str, by: &str) -> Result<(), ForgeError> {
    let spec = &revert.spec;
    let namespace = revert.metadata.namespace.as_deref().unwrap_or_default();
    let mut evidence = one_line(spec.message.as_deref().unwrap_or(spec.reason.as_str()));
    cut(&mut evidence, EVIDENCE_BYTES_MAX);
    let link = Some(by).filter(|by| by.starts_with("http"));
    let words = format!("rollout aborted: {evidence}");
    note("the commit status", forge.mark(commit, &words, link).await);
    let Some(origin) = forge.origin(commit).await? else {
        return Ok(());
    };
    // In back quotes nobody's name calls somebody, and nothing is markup.
    let words = format!(
        "Rollout `{namespace}/{}` was aborted with commit {commit}: `{}`\n\nIt is taken back by {by}.",
        one_line(&spec.rollout.name),
        evidence.replace('`', "'"),
    );
    forge.comment(origin.number, &words).await
}

/// What is only said is not tried again.
pub(super) fn note(what: &str, done: Result<(), ForgeError>) {
    if let Err(error) = done {
        tracing::warn!(what, %error, "the forge does not take it");
    }
}
