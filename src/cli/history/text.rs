//! The lines of `history`. Pure.

use jiff::{Timestamp, Unit};

use super::past::{self, Past};
use crate::api::rollout_status::{Outcome, RolloutStatus, SourceStatus};
use crate::cli::header::{self, Fields};
use crate::cli::layout::{columns, paragraph};
use crate::cli::objects::Objects;
use crate::cli::reverts;
use crate::cli::style::{Line, Tone};
use crate::cli::tree::View;
use crate::cli::words;

/// How far what is said of an outcome stands from the left.
const INDENT: usize = 2;

/// The versions that there are, and below them the outcomes.
#[must_use]
pub fn lines(all: &Objects, view: &View) -> Vec<Line> {
    let rollout = &all.rollout;
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let mut out = Fields::new(view);
    header::identity(rollout, status, &mut out);
    present(status, view, &mut out);
    for (i, note) in all.notes.iter().enumerate() {
        out.text(if i == 0 { "Note" } else { "" }, Tone::Warn, note);
    }
    let mut lines = out.lines;
    lines.push(Line::new());
    let past = past::of(all, view.now);
    if past.is_empty() {
        lines.push(Line::new().with(Tone::Faint, "no version has come to an end yet"));
        return lines;
    }
    let mut rows = vec![head(view)];
    rows.extend(past.iter().map(|past| row(past, view)));
    let mut rows = columns(rows, view.width).into_iter();
    lines.extend(rows.next());
    for (row, past) in rows.zip(&past) {
        lines.push(row);
        details(past, view, &mut lines);
    }
    lines
}

/// The stable version and the one that goes out or was given up.
fn present(status: &RolloutStatus, view: &View, out: &mut Fields<'_>) {
    let since = |then: Option<Timestamp>| {
        let since = then.map(|then| format!(" for {}", words::since(then, view.now)));
        since.unwrap_or_default()
    };
    if let Some(stable) = &status.stable {
        let text = format!(
            "revision {} ({}){}",
            stable.revision,
            stable.hash,
            since(stable.since)
        );
        version(out, "Stable", &text, &stable.images, stable.source.as_ref());
    }
    if let Some(canary) = &status.canary {
        let mut text = format!("revision {} ({})", canary.revision, canary.hash);
        if canary.attempt > 1 {
            text.push_str(&format!(", attempt {}", canary.attempt));
        }
        match &status.abort {
            Some(abort) => {
                text.push_str(&format!(", given up: {}", header::abort(abort, view.now)));
            }
            None => text.push_str(&since(canary.started_at)),
        }
        version(out, "Canary", &text, &canary.images, canary.source.as_ref());
    }
}

fn version(
    out: &mut Fields<'_>,
    name: &str,
    text: &str,
    images: &[String],
    source: Option<&SourceStatus>,
) {
    out.text(name, Tone::Plain, text);
    for image in images {
        out.field("", Tone::Plain, image);
    }
    if let Some(source) = source {
        out.field("", Tone::Faint, header::source(source));
    }
}

fn head(view: &View) -> Vec<Line> {
    let mut head = vec!["REVISION", "OUTCOME", "AGO", "TOOK"];
    if view.wide {
        head.extend(["AT", "HASH"]);
    }
    head.push("IMAGES");
    let cell = |word: &str| Line::new().with(Tone::Faint, word);
    head.into_iter().map(cell).collect()
}

fn row(past: &Past<'_>, view: &View) -> Vec<Line> {
    let entry = past.entry;
    let (symbol, tone) = match entry.outcome {
        Outcome::Initial | Outcome::Promoted => ('✔', Tone::Good),
        Outcome::Aborted => ('✖', Tone::Bad),
        Outcome::RolledBack => ('↶', Tone::Warn),
        Outcome::Superseded => ('•', Tone::Faint),
    };
    let plain = |text: String| Line::new().with(Tone::Plain, text);
    let mut row = vec![
        plain(entry.revision.to_string()),
        Line::new().with(tone, format!("{symbol} {:?}", entry.outcome)),
        plain(words::since(entry.at, view.now)),
        plain(past.took.map(words::length).unwrap_or_default()),
    ];
    if view.wide {
        let at = entry.at.round(Unit::Second).unwrap_or(entry.at);
        row.push(plain(at.to_string()));
        row.push(plain(entry.hash.clone()));
    }
    row.push(plain(past.images.join(", ")));
    row
}

/// What there is to say of an outcome, below its row.
fn details(past: &Past<'_>, view: &View, lines: &mut Vec<Line>) {
    let mut say = |tone: Tone, text: &str| paragraph(lines, INDENT, tone, text, view.width);
    // That it is stable is said with how long.
    if past.entry.outcome != Outcome::Promoted || past.stable.is_none() {
        say(Tone::Plain, &past.entry.message);
    }
    if let Some(seconds) = past.stable {
        let verb = if past.is_stable { "is" } else { "was" };
        say(
            Tone::Plain,
            &format!("{verb} stable for {}", words::length(seconds)),
        );
    }
    if let Some(source) = &past.source {
        say(Tone::Faint, &format!("from {}", header::source(source)));
    }
    match (past.revert, &past.revert_name) {
        (Some(revert), _) => {
            let (_, tone) = reverts::phase(revert);
            say(tone, &reverts::sentence(revert, view.now));
        }
        (None, Some(name)) => say(Tone::Plain, &format!("Revert {name}")),
        (None, None) => {}
    }
}
