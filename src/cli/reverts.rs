//! What a Revert says of itself: how far it is, its commit, and why it goes no further. Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::style::Tone;
use super::words;
use crate::api::conditions::ConditionStatus;
use crate::api::revert::{RELEASED_ANNOTATION, Revert, RevertMode, RevertPhase};

/// A commit is told apart by so many digits.
const COMMIT_DIGITS: usize = 8;

/// Symbol and word, and tone of its phase.
#[must_use]
pub fn phase(revert: &Revert) -> (String, Tone) {
    let phase = revert.status.as_ref().and_then(|s| s.phase);
    let (symbol, tone) = match phase {
        None
        | Some(
            RevertPhase::Pending
            | RevertPhase::Planned
            | RevertPhase::Pushed
            | RevertPhase::PullRequestOpen,
        ) => ('◌', Tone::Busy),
        Some(RevertPhase::Landed | RevertPhase::Verified) => ('✔', Tone::Good),
        Some(RevertPhase::Superseded | RevertPhase::Declined | RevertPhase::Recorded) => {
            ('•', Tone::Faint)
        }
        Some(RevertPhase::Unresolvable | RevertPhase::NeedsHuman | RevertPhase::Mismatch) => {
            ('⚠', Tone::Warn)
        }
    };
    (format!("{symbol} {}", word(revert)), tone)
}

fn word(revert: &Revert) -> &'static str {
    let phase = revert.status.as_ref().and_then(|s| s.phase);
    phase.map_or("Pending", RevertPhase::as_str)
}

/// Its commit, its mode and its release, as far as there are any.
#[must_use]
pub fn facts(revert: &Revert, wide: bool) -> Vec<String> {
    let status = revert.status.as_ref();
    let mut facts: Vec<String> = Vec::new();
    if let Some(commit) = status.and_then(|s| s.commit.as_ref()) {
        let short: String = commit.chars().take(COMMIT_DIGITS).collect();
        let branch = status.and_then(|s| s.branch.as_ref());
        let branch = branch.map(|b| format!(" on {b}")).unwrap_or_default();
        facts.push(format!(
            "commit {}{branch}",
            if wide { commit.clone() } else { short }
        ));
    }
    match revert.spec.mode {
        RevertMode::Off => facts.push("record only".to_owned()),
        RevertMode::DryRun => facts.push("dry run".to_owned()),
        RevertMode::PullRequest | RevertMode::Push => {}
    }
    if let Some(released) = revert.annotations().get(RELEASED_ANNOTATION) {
        facts.push(format!("released {released}"));
    }
    facts
}

/// When its rejection was taken back, if somebody did.
#[must_use]
pub fn released_at(revert: &Revert) -> Option<Timestamp> {
    let released = revert.annotations().get(RELEASED_ANNOTATION)?;
    released.split(' ').next()?.parse().ok()
}

/// Whether it keeps its version from going out.
#[must_use]
pub fn rejects(revert: &Revert) -> bool {
    !revert.annotations().contains_key(RELEASED_ANNOTATION)
}

/// Why it goes no further, in one word: that of the condition which says what the status says.
fn reason(revert: &Revert) -> Option<&str> {
    let status = revert.status.as_ref()?;
    let message = status.message.as_deref()?;
    let said = status.conditions.iter().find(|c| c.message == message)?;
    let open = said.status != ConditionStatus::True && said.reason != word(revert);
    open.then_some(said.reason.as_str())
}

/// `Revert checkout-77cd81f200-1 is ⚠ NeedsHuman (Ambiguous): two files set this image`
#[must_use]
pub fn sentence(revert: &Revert, now: Timestamp) -> String {
    let (phase, _) = phase(revert);
    let mut text = format!("Revert {} is {phase}", revert.name_any());
    if let Some(reason) = reason(revert) {
        text.push_str(&format!(" ({reason})"));
    }
    for fact in facts(revert, false) {
        text.push_str(&format!(", {fact}"));
    }
    let Some(status) = &revert.status else {
        return text;
    };
    if let Some(message) = status.message.as_ref().filter(|m| !m.is_empty()) {
        text.push_str(&format!(": {message}"));
    }
    if let Some(attempts) = status.attempts.filter(|n| *n > 0) {
        let times = words::plural(attempts.into(), "time");
        text.push_str(&format!("; it has failed {times}"));
    }
    if let Some(at) = status.next_retry_at {
        let again = words::until(at, now);
        text.push_str(&format!("; it is looked at again in {again}"));
    }
    text
}
