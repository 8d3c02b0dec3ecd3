//! The lines of `why`. Pure.

use kube::ResourceExt;

use super::reason;
use crate::cli::header;
use crate::cli::layout::{labelled, paragraph};
use crate::cli::objects::Objects;
use crate::cli::style::{Line, Tone};
use crate::cli::tree::View;

/// How far a sentence stands from the left, behind its dash.
const INDENT: usize = 2;

/// The phase with its message, what was found, and what comes next.
#[must_use]
pub fn lines(all: &Objects, view: &View) -> Vec<Line> {
    let rollout = &all.rollout;
    let status = rollout.status.as_ref();
    let (word, tone) = header::phase(status.and_then(|s| s.phase));
    let place = format!(
        " in namespace {} is ",
        rollout.namespace().unwrap_or_default()
    );
    let title = Line::new()
        .with(Tone::Strong, rollout.name_any())
        .with(Tone::Plain, place)
        .with(tone, word);
    let mut lines = vec![title.fit(view.width)];
    let message = status.map_or("", |s| s.message.as_str());
    paragraph(&mut lines, 0, Tone::Plain, message, view.width);
    let reason = reason::of(all, view.now);
    if !reason.found.is_empty() {
        lines.push(Line::new());
    }
    for finding in reason.found {
        let at = lines.len();
        paragraph(&mut lines, INDENT, finding.tone, &finding.text, view.width);
        if let Some(blank) = lines.get_mut(at).and_then(|line| line.spans.first_mut()) {
            blank.text = "- ".to_owned();
        }
        for shown in finding.shown {
            let mut line = Line::new();
            line.pad_to(2 * INDENT);
            line.append(shown);
            lines.push(line.fit(view.width));
        }
    }
    let beside = [("Next:", &reason.next), ("Note:", &all.notes)];
    for (label, texts) in beside.into_iter().filter(|(_, texts)| !texts.is_empty()) {
        lines.push(Line::new());
        for (i, text) in texts.iter().enumerate() {
            labelled(
                &mut lines,
                if i == 0 { label } else { "" },
                text,
                view.width,
            );
        }
    }
    lines
}
