//! What a person says to the Git writer, as annotations on a Revert: `retry` and `decline`, whose answer is
//! waited for, and `release`, which needs none.

use futures::StreamExt;
use jiff::{Timestamp, Unit};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{find, full_name};
use crate::api::revert::{
    DECLINED_ANNOTATION, RELEASED_ANNOTATION, RETRY_ANNOTATION, Revert, RevertMode, RevertPhase,
};
use crate::cli::args::{Output, WaitArgs};
use crate::cli::client::{Session, is_final};
use crate::cli::command::{Check, FIELD_MANAGER};
use crate::cli::error::{CliError, Exit};
use crate::cli::objects::REVERTS;
use crate::cli::reverts;
use crate::cli::style::Tone;
use crate::cli::terminal::Terminal;
use crate::cli::words;

/// What the Git writer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Try now.
    Retry,
    /// Do not write.
    Decline,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Word::Retry => "retry",
            Word::Decline => "decline",
        }
    }

    fn annotation(self) -> &'static str {
        match self {
            Word::Retry => RETRY_ANNOTATION,
            Word::Decline => DECLINED_ANNOTATION,
        }
    }
}

/// `retry` and `decline`: writes the annotation and waits until the Git writer has acted on it.
///
/// # Errors
/// Refused before anything is written, not written, or not answered in time.
pub(super) async fn writer(
    session: &Session,
    terminal: &mut Terminal<'_>,
    revert: &Revert,
    word: Word,
    wait: WaitArgs,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    if let Check::AlreadySo(why) = check(revert, word)? {
        report(terminal, revert, word.as_str(), None, Some(why), output)?;
        return Ok(Exit::Done);
    }
    let value = value(session);
    write(session, revert, word.annotation(), &value).await?;
    let for_people = matches!(output, None | Some(Output::Wide));
    if for_people {
        let asked = format!(
            "{}: {} asked for by {}",
            full_name(revert),
            word.as_str(),
            session.who
        );
        terminal.say(Tone::Plain, asked)?;
    }
    if wait.no_wait {
        if !for_people {
            report(terminal, revert, word.as_str(), Some(&value), None, output)?;
        }
        return Ok(Exit::Done);
    }
    let Some(seen) = answer(session, revert, word, &value, wait).await? else {
        if !for_people {
            report(terminal, revert, word.as_str(), Some(&value), None, output)?;
        }
        return Err(not_answered(session, revert, word, wait));
    };
    let result = reverts::sentence(&seen, Timestamp::now());
    let went_well = went_well(&seen, word);
    report(
        terminal,
        &seen,
        word.as_str(),
        Some(&value),
        Some(result),
        output,
    )?;
    Ok(if went_well { Exit::Done } else { Exit::Refused })
}

/// `release`: the version may be rolled out again.
///
/// # Errors
/// Not written.
pub(super) async fn release(
    session: &Session,
    terminal: &mut Terminal<'_>,
    revert: &Revert,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let bad = &revert.spec.bad;
    if let Some(released) = revert.annotations().get(RELEASED_ANNOTATION) {
        let why = format!("Nothing to do: it was released already ({released})");
        report(terminal, revert, "release", None, Some(why), output)?;
        return Ok(Exit::Done);
    }
    let value = value(session);
    write(session, revert, RELEASED_ANNOTATION, &value).await?;
    let rollout = &revert.spec.rollout.name;
    // Best effort: whoever may not list is told less.
    let all = find::of_rollout(session, rollout).await.unwrap_or_default();
    let others: Vec<String> = all
        .iter()
        .filter(|other| other.spec.bad.hash == bad.hash && reverts::rejects(other))
        .map(ResourceExt::name_any)
        .filter(|name| *name != revert.name_any())
        .collect();
    let then = if others.is_empty() {
        format!(
            "revision {} ({}) may be rolled out again; where the Rollout has given it up, `kubectl tidegate retry {rollout} -n {}` starts it",
            bad.revision, bad.hash, session.namespace
        )
    } else {
        format!(
            "revision {} ({}) is still rejected by {}",
            bad.revision,
            bad.hash,
            others.join(", ")
        )
    };
    let result = format!("Released by {}: {then}", session.who);
    report(
        terminal,
        revert,
        "release",
        Some(&value),
        Some(result),
        output,
    )?;
    Ok(Exit::Done)
}

/// Whether there is something that the Git writer could do.
pub(super) fn check(revert: &Revert, word: Word) -> Result<Check, CliError> {
    let status = revert.status.as_ref();
    let phase = status.and_then(|s| s.phase).unwrap_or(RevertPhase::Pending);
    let message = status.and_then(|s| s.message.clone()).unwrap_or_default();
    let declined = revert.annotations().get(DECLINED_ANNOTATION);
    let name = revert.name_any();
    let refused = |why: String| {
        Err(CliError::Refused(format!(
            "{}: {} is refused, nothing was written: {why}",
            full_name(revert),
            word.as_str()
        )))
    };
    if revert.spec.mode == RevertMode::Off {
        return refused(
            "it is a record only (mode Off); the Git writer has nothing to do with it".to_owned(),
        );
    }
    match (word, phase) {
        (Word::Decline, RevertPhase::Declined) => {
            return Ok(Check::AlreadySo(format!("Nothing to do: {message}")));
        }
        (_, RevertPhase::Superseded | RevertPhase::Recorded | RevertPhase::Declined) => {
            return refused(format!(
                "it is {}, which is its end: {message}",
                phase.as_str()
            ));
        }
        (Word::Retry, RevertPhase::Verified) => {
            return refused(
                "it is Verified: the change is out of Git, and the cluster runs the stable version"
                    .to_owned(),
            );
        }
        (
            Word::Decline,
            RevertPhase::Pushed
            | RevertPhase::Landed
            | RevertPhase::Verified
            | RevertPhase::Mismatch,
        ) => {
            let commit = status.and_then(|s| s.commit.as_deref());
            let by = commit.map_or_else(String::new, |commit| format!(" by commit {commit}"));
            return refused(format!(
                "the branch holds the stable version's values already{by}. To bring the version back, take that commit back in Git and release the version: `kubectl tidegate revert release {name} -n {}`",
                revert.namespace().unwrap_or_default()
            ));
        }
        _ => {}
    }
    if !reverts::rejects(revert) {
        return refused("its version was released, so nothing is pushed any more".to_owned());
    }
    match (word, declined) {
        (Word::Retry, Some(value)) => refused(format!(
            "it was declined ({value}); the Git writer writes nothing"
        )),
        // The writer has not seen it yet: the answer is waited for, as for the first time.
        _ => Ok(Check::Go),
    }
}

/// `"<RFC 3339 time> <who>"`
fn value(session: &Session) -> String {
    let now = Timestamp::now();
    // Milliseconds: two requests of one second are two requests.
    let now = now.round(Unit::Millisecond).unwrap_or(now);
    format!("{now} {}", session.who)
}

async fn write(
    session: &Session,
    revert: &Revert,
    annotation: &str,
    value: &str,
) -> Result<(), CliError> {
    // Another object of that name is not what was looked at.
    let patch = json!({"metadata": {
        "uid": revert.metadata.uid,
        "annotations": {annotation: value},
    }});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..Default::default()
    };
    let api = session.reverts();
    let name = revert.name_any();
    session
        .ask(
            &session.asked("patch", REVERTS),
            api.patch_metadata(&name, &params, &Patch::Merge(&patch)),
        )
        .await?;
    Ok(())
}

/// The Revert once the Git writer has acted on this value; none when it does not in time.
async fn answer(
    session: &Session,
    revert: &Revert,
    word: Word,
    value: &str,
    wait: WaitArgs,
) -> Result<Option<Revert>, CliError> {
    let name = revert.name_any();
    let watch = watcher::watch_object(session.reverts(), &name).default_backoff();
    let mut watch = std::pin::pin!(watch);
    let deadline = (!wait.timeout.is_zero()).then(|| Instant::now() + wait.timeout);
    loop {
        let next = match deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline, watch.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(None),
            },
            None => watch.next().await,
        };
        match next {
            Some(Ok(Some(seen))) if is_answer(&seen, word, value) => return Ok(Some(seen)),
            // The watch begins anew by itself.
            Some(Ok(Some(_))) => {}
            Some(Ok(None)) => {
                return Err(CliError::Missing(format!(
                    "{} was deleted while the answer was waited for",
                    full_name(revert)
                )));
            }
            Some(Err(
                watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e),
            )) if is_final(&e) => {
                return Err(session.explain(&session.asked("watch", REVERTS), &e));
            }
            Some(Err(_)) => {}
            None => return Ok(None),
        }
    }
}

/// Whether the Git writer has acted on the request, or the Revert has come to an end without it.
pub(super) fn is_answer(revert: &Revert, word: Word, value: &str) -> bool {
    let Some(status) = &revert.status else {
        return false;
    };
    let ended = matches!(
        status.phase,
        Some(
            RevertPhase::Verified
                | RevertPhase::Superseded
                | RevertPhase::Declined
                | RevertPhase::Recorded
        )
    );
    match word {
        Word::Retry => {
            // A plan that is to be pushed is the beginning of an answer.
            let under_way = revert.spec.mode == RevertMode::Push
                && status.phase == Some(RevertPhase::Planned)
                && status.next_retry_at.is_none();
            ended || status.handled_retry.as_deref() == Some(value) && !under_way
        }
        Word::Decline => {
            let pushed = matches!(
                status.phase,
                Some(RevertPhase::Pushed | RevertPhase::Landed | RevertPhase::Mismatch)
            );
            ended || pushed
        }
    }
}

/// Whether the answer is what was wanted.
fn went_well(revert: &Revert, word: Word) -> bool {
    let status = revert.status.as_ref();
    let phase = status.and_then(|s| s.phase);
    match word {
        Word::Retry => {
            let waits = status.is_some_and(|s| s.next_retry_at.is_some());
            let stuck = matches!(
                phase,
                Some(RevertPhase::Unresolvable | RevertPhase::NeedsHuman)
            );
            !waits && !stuck
        }
        Word::Decline => phase == Some(RevertPhase::Declined),
    }
}

fn not_answered(session: &Session, revert: &Revert, word: Word, wait: WaitArgs) -> CliError {
    let time = words::length(i64::try_from(wait.timeout.as_secs()).unwrap_or(i64::MAX));
    CliError::TimedOut(format!(
        "{}: no answer to {} within {time}. The request is written and will be handled as soon as the Git writer looks at the \
         Revert. See whether it runs (kubectl get pods -A -l app.kubernetes.io/name=tidegate; \
         it is part of the chart with gitWriter.enabled) and what it logs. To take the request back: kubectl annotate \
         revert.tidegate.io {} -n {} {}-",
        full_name(revert),
        word.as_str(),
        revert.name_any(),
        session.namespace,
        word.annotation()
    ))
}

/// What is printed of it.
fn report(
    terminal: &mut Terminal<'_>,
    revert: &Revert,
    command: &str,
    value: Option<&str>,
    result: Option<String>,
    output: Option<Output>,
) -> Result<(), CliError> {
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            let status = revert.status.as_ref();
            let document: Value = json!({
                "revert": revert.name_any(),
                "namespace": revert.namespace(),
                "rollout": revert.spec.rollout.name,
                "command": command,
                "value": value,
                "result": result,
                "phase": status.and_then(|s| s.phase),
            });
            terminal.document(format, &document)
        }
        Some(Output::Name) => terminal.say(Tone::Plain, full_name(revert)),
        None | Some(Output::Wide) => {
            let result = result.unwrap_or_default();
            terminal.say(Tone::Plain, format!("{}: {result}", full_name(revert)))
        }
    }
}
