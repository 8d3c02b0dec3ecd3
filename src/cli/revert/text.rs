//! What is said of a Revert, for people. Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{heading, mode_note};
use crate::api::conditions::ConditionStatus;
use crate::api::revert::{DECLINED_ANNOTATION, Revert, RevertMode, RevertPhase, RevertStatus};
use crate::cli::layout::{labelled, paragraph, table};
use crate::cli::reverts;
use crate::cli::style::{Line, Tone};
use crate::cli::tree::View;
use crate::cli::words;

/// How far what belongs to a heading stands from the left.
const INDENT: usize = 2;

/// All of it: where it stands, what goes back, and what to do.
#[must_use]
pub(super) fn lines(revert: &Revert, view: &View) -> Vec<Line> {
    let empty = RevertStatus::default();
    let status = revert.status.as_ref().unwrap_or(&empty);
    let mut out = Vec::new();
    let mut field = |label: &str, text: String| labelled(&mut out, label, &text, view.width);
    let namespace = revert.namespace().unwrap_or_default();
    field("Revert:", format!("{} ({namespace})", revert.name_any()));
    field("Rollout:", revert.spec.rollout.name.clone());
    field("Aborted:", aborted(revert, view.now));
    let good = &revert.spec.stable;
    field(
        "Back to:",
        format!("revision {} ({})", good.revision, good.hash),
    );
    if let Some(source) = &revert.spec.source {
        field(
            "Source:",
            format!("{} {} {}", source.repo, source.branch, source.path),
        );
    }
    let (phase, _) = reverts::phase(revert);
    let facts = reverts::facts(revert, view.wide);
    let facts: String = facts.iter().map(|fact| format!(", {fact}")).collect();
    field("Phase:", format!("{phase}{facts}"));
    if let Some(message) = status.message.as_ref().filter(|m| !m.is_empty()) {
        field("Message:", message.clone());
    }
    if let Some(note) = mode_note(revert) {
        field("Mode:", note.to_owned());
    }
    if let Some(next) = next_try(status, view.now) {
        field("Next try:", next);
    }
    if let Some(value) = revert.annotations().get(DECLINED_ANNOTATION) {
        field("Declined:", value.clone());
    }
    conditions(status, view, &mut out);
    changes(revert, view, &mut out);
    if let Some(plan) = status.plan.as_ref().filter(|plan| !plan.is_empty()) {
        out.push(Line::new());
        out.push(heading("Diff"));
        out.extend(diff(plan));
    }
    out.push(Line::new());
    out.push(heading("Next"));
    for step in next(revert) {
        let before = out.len();
        paragraph(&mut out, INDENT, Tone::Plain, &step, view.width);
        if let Some(first) = out.get_mut(before).and_then(|line| line.spans.first_mut()) {
            "- ".clone_into(&mut first.text);
        }
    }
    out
}

/// `revision 13 (77cd81f200), attempt 1, 2m ago at step 1/6 with 5 % of the traffic: AnalysisFailed, error-ratio …`
fn aborted(revert: &Revert, now: Timestamp) -> String {
    let spec = &revert.spec;
    let mut text = format!(
        "revision {} ({}), attempt {}, {} ago",
        spec.bad.revision,
        spec.bad.hash,
        spec.attempt,
        words::since(spec.aborted_at, now)
    );
    if let (Some(step), Some(steps)) = (spec.step, spec.steps) {
        text.push_str(&format!(" at step {step}/{steps}"));
    }
    if let Some(weight) = spec.weight {
        text.push_str(&format!(" with {weight} % of the traffic"));
    }
    text.push_str(&format!(": {}", spec.reason.as_str()));
    if let Some(message) = spec.message.as_ref().filter(|m| !m.is_empty()) {
        text.push_str(&format!(", {message}"));
    }
    text
}

fn next_try(status: &RevertStatus, now: Timestamp) -> Option<String> {
    let at = status.next_retry_at?;
    let failed = status
        .attempts
        .filter(|n| *n > 0)
        .map_or_else(String::new, |n| {
            format!("; it has failed {}", words::plural(n.into(), "time"))
        });
    Some(format!("in {}{failed}", words::until(at, now)))
}

fn conditions(status: &RevertStatus, view: &View, out: &mut Vec<Line>) {
    if status.conditions.is_empty() {
        return;
    }
    let head = ["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(status.conditions.iter().map(|c| {
        let value = match c.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        let since = words::since(c.last_transition_time, view.now);
        vec![
            c.type_.clone(),
            value.to_owned(),
            c.reason.clone(),
            since,
            c.message.clone(),
        ]
    }));
    out.push(Line::new());
    out.extend(table(&rows, view.width));
}

/// What of the pod template goes back.
fn changes(revert: &Revert, view: &View, out: &mut Vec<Line>) {
    if revert.spec.changes.is_empty() {
        return;
    }
    out.push(Line::new());
    out.push(heading("What the version had changed"));
    for change in &revert.spec.changes {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
        let text = format!(
            "{}: {} → {}",
            change.path,
            side(&change.old),
            side(&change.new)
        );
        paragraph(out, INDENT, Tone::Plain, &text, view.width);
    }
}

/// A diff in colours, a line each.
#[must_use]
pub(super) fn diff(plan: &str) -> Vec<Line> {
    let tone = |line: &str| match line.chars().next() {
        Some('+') if !line.starts_with("+++") => Tone::Good,
        Some('-') if !line.starts_with("---") => Tone::Bad,
        Some('@') => Tone::Faint,
        _ => Tone::Plain,
    };
    plan.lines()
        .map(|line| Line::new().with(tone(line), line))
        .collect()
}

/// Why there is no diff, and how to come by one.
#[must_use]
pub(super) fn no_plan(revert: &Revert) -> String {
    let status = revert.status.as_ref();
    let message = status.and_then(|s| s.message.as_deref());
    let message = message.filter(|m| !m.is_empty());
    let phase = status.and_then(|s| s.phase);
    let why = match (revert.spec.mode, phase, message) {
        (RevertMode::Off, ..) => format!(
            "it is a record only, because spec.gitRevert of the Rollout is Off or does not name this cause ({}) in `on`; with mode DryRun the next abort makes a plan and pushes nothing",
            revert.spec.reason.as_str()
        ),
        (_, None, _) => "the Git writer has not looked at it yet; see whether it runs: kubectl get pods -A -l app.kubernetes.io/name=tidegate".to_owned(),
        (_, Some(phase), Some(message)) => format!("it is {}: {message}", phase.as_str()),
        (_, Some(phase), None) => format!("it is {}", phase.as_str()),
    };
    format!("Revert {} has no plan: {why}", revert.name_any())
}

/// What a person can do about it, best first.
#[must_use]
pub(super) fn next(revert: &Revert) -> Vec<String> {
    let namespace = revert.namespace().unwrap_or_default();
    let of_revert = |verb: &str| {
        format!(
            "`kubectl tidegate revert {verb} {} -n {namespace}`",
            revert.name_any()
        )
    };
    let rollout = &revert.spec.rollout.name;
    let of_rollout = |verb: &str| format!("`kubectl tidegate {verb} {rollout} -n {namespace}`");
    let (retry, decline) = (of_revert("retry"), of_revert("decline"));
    let phase = revert.status.as_ref().and_then(|s| s.phase);
    let mut out = Vec::new();
    match phase.unwrap_or(RevertPhase::Pending) {
        RevertPhase::Planned if revert.spec.mode == RevertMode::DryRun => out.push(format!(
            "to take it out of Git apply the diff by hand, in a clone of the repository: {} | git apply --unidiff-zero",
            of_revert("plan").replace('`', "")
        )),
        RevertPhase::Pending | RevertPhase::Planned => out.push(format!(
            "the Git writer goes on by itself; {retry} lets it try now, {decline} keeps it from writing"
        )),
        RevertPhase::PullRequestOpen => out.push(format!(
            "merge the request, or close it; {decline} closes it"
        )),
        RevertPhase::Unresolvable | RevertPhase::NeedsHuman => out.push(format!(
            "do what the message says, and then {retry}; {decline} ends it without that"
        )),
        RevertPhase::Pushed | RevertPhase::Landed => {
            out.push("the cluster has to follow; look at the GitOps tool if it does not".to_owned());
        }
        RevertPhase::Mismatch => out.push(format!(
            "the branch is right; {} says why the cluster is not there",
            of_rollout("why")
        )),
        RevertPhase::Superseded
        | RevertPhase::Declined
        | RevertPhase::Recorded
        | RevertPhase::Verified => {}
    }
    if reverts::rejects(revert) {
        out.push(format!(
            "revision {} stays rejected until {} takes that back, or {} tries it again",
            revert.spec.bad.revision,
            of_revert("release"),
            of_rollout("retry")
        ));
    }
    if out.is_empty() {
        out.push("nothing".to_owned());
    }
    out
}
