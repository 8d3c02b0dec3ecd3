//! The live view: one screen, drawn in place.
//!
//! [`frame`] is a pure function of a snapshot and the terminal's size; [`Screen`] draws it over the
//! one before. Styles are left out where the terminal or `NO_COLOR` does not want them.

use std::io::Write;

use anstyle::{AnsiColor, Color, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::snapshot::{Snapshot, tag};
use crate::api::analysis_status::Evidence;

/// Cells of a bar.
const BAR: usize = 30;
/// Events shown.
const EVENTS: usize = 5;
/// Commits shown.
const COMMITS: usize = 5;

/// A piece of a line: how and what.
type Piece = (Style, String);

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = colour(AnsiColor::Green);
const BAD: Style = colour(AnsiColor::Red);
const NEW: Style = colour(AnsiColor::Cyan);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// The lines of a snapshot, each at most `width` cells wide. `hints` stand at the end.
#[must_use]
pub fn frame(seen: &Snapshot, hints: &[String], width: usize, styled: bool) -> Vec<String> {
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    lines.push(vec![
        (BOLD, format!("tidegate demo  {:5.1}s  ", seen.seconds)),
        (NEW, seen.title.clone()),
    ]);
    lines.push(Vec::new());
    rollout(seen, &mut lines);
    lines.push(Vec::new());
    versions(seen, &mut lines);
    lines.push(Vec::new());
    evidence(seen, &mut lines);
    lines.push(Vec::new());
    git(seen, &mut lines);
    lines.push(Vec::new());
    lines.push(vec![(BOLD, "Events".to_owned())]);
    let from = seen.events.len().saturating_sub(EVENTS);
    for (reason, message) in seen.events.iter().skip(from) {
        lines.push(vec![
            (PLAIN, format!("  {reason}: ")),
            (DIM, message.replace('\n', " ")),
        ]);
    }
    if !hints.is_empty() {
        lines.push(Vec::new());
        lines.extend(hints.iter().map(|hint| vec![(PLAIN, hint.clone())]));
    }
    lines.iter().map(|line| draw(line, width, styled)).collect()
}

fn rollout(seen: &Snapshot, lines: &mut Vec<Vec<Piece>>) {
    let Some(status) = &seen.rollout else {
        lines.push(vec![(
            DIM,
            "Rollout shop/checkout is not there yet".to_owned(),
        )]);
        return;
    };
    let phase = seen.phase();
    let style = match phase.as_str() {
        "Healthy" => GOOD,
        "Aborting" | "Aborted" | "Rejected" | "Degraded" | "Invalid" => BAD,
        _ => NEW,
    };
    let step = status.canary.as_ref().map_or(String::new(), |canary| {
        format!("  step {}", canary.step_text)
    });
    lines.push(vec![
        (BOLD, "Rollout shop/checkout  ".to_owned()),
        (style, phase),
        (PLAIN, step),
    ]);
    lines.push(vec![(DIM, format!("  {}", status.message))]);
    let weight = usize::try_from(seen.weight().clamp(0, 100)).unwrap_or(0);
    let filled = (weight * BAR).div_ceil(100);
    let stable = status
        .stable
        .as_ref()
        .map_or("-", |stable| image_tag(&stable.images));
    let canary = status
        .canary
        .as_ref()
        .map_or("-", |canary| image_tag(&canary.images));
    lines.push(vec![
        (PLAIN, format!("  stable {stable:<6} ")),
        (GOOD, "█".repeat(BAR - filled)),
        (NEW, "█".repeat(filled)),
        (PLAIN, format!(" canary {canary}  {weight} %")),
    ]);
}

fn image_tag(images: &[String]) -> &str {
    images.first().map_or("-", |image| tag(image))
}

fn versions(seen: &Snapshot, lines: &mut Vec<Vec<Piece>>) {
    lines.push(vec![(
        BOLD,
        format!(
            "{:<18} {:>6} {:>12} {:>10}",
            "Version", "Pods", "Requests/s", "Errors/s"
        ),
    )]);
    for version in &seen.versions {
        let (ready, wanted) = version.pods;
        let (requests, errors) = version.rates;
        if wanted == 0 && ready == 0 && requests < 0.5 {
            continue;
        }
        let share = if requests > 0.0 {
            errors / requests
        } else {
            0.0
        };
        lines.push(vec![
            (PLAIN, format!("  {:<4} {:<11} ", version.tag, version.hash)),
            (
                PLAIN,
                format!("{:>6} {requests:>12.0} ", format!("{ready}/{wanted}")),
            ),
            (
                if share > 0.01 { BAD } else { PLAIN },
                format!("{errors:>10.1}  {:.2} %", share * 100.0),
            ),
        ]);
    }
    lines.push(vec![(
        DIM,
        format!(
            "  {} requests so far, {} of them answered with an error",
            grouped(seen.totals.requests),
            grouped(seen.totals.bad)
        ),
    )]);
}

fn evidence(seen: &Snapshot, lines: &mut Vec<Vec<Piece>>) {
    let Some(run) = &seen.analysis else {
        lines.push(vec![
            (BOLD, "Evidence".to_owned()),
            (DIM, "  none needed yet".to_owned()),
        ]);
        return;
    };
    let verdict = run
        .verdict
        .map_or_else(|| "-".to_owned(), |v| format!("{v:?}"));
    lines.push(vec![
        (BOLD, "Evidence  ".to_owned()),
        (PLAIN, format!("{verdict}  ")),
        (DIM, run.name.clone()),
    ]);
    for (what, evidence, style) in [("to abort", run.harm, BAD), ("to promote", run.safe, GOOD)] {
        let filled = cells(evidence);
        lines.push(vec![
            (PLAIN, format!("  {what:<10} ")),
            (style, "█".repeat(filled)),
            (DIM, "░".repeat(BAR - filled)),
            (
                PLAIN,
                format!(" {:.1} of {:.1}", evidence.log.max(0.0), evidence.limit),
            ),
        ]);
    }
    lines.push(vec![(DIM, format!("  {}", run.message))]);
}

/// How much of a bar the evidence fills; full at its limit.
fn cells(evidence: Evidence) -> usize {
    if evidence.limit <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bar of a few cells"
    )]
    let filled = ((evidence.log / evidence.limit).clamp(0.0, 1.0) * BAR as f64) as usize;
    filled
}

fn git(seen: &Snapshot, lines: &mut Vec<Vec<Piece>>) {
    let revert = seen.revert.as_ref().map_or_else(String::new, |revert| {
        format!("  Revert {}: {}", revert.name, revert.phase.as_str())
    });
    lines.push(vec![(BOLD, "Git, branch main".to_owned()), (NEW, revert)]);
    for commit in seen.branch.log.iter().take(COMMITS) {
        let here = seen.branch.applied.as_ref() == Some(&commit.id);
        let id: String = commit.id.chars().take(8).collect();
        lines.push(vec![
            (GOOD, if here { "  → " } else { "    " }.to_owned()),
            (NEW, format!("{id} ")),
            (PLAIN, format!("{} ", commit.subject)),
            (DIM, commit.author.clone()),
        ]);
    }
}

/// With commas between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One line, cut to the width. What comes from objects cannot move the cursor.
fn draw(pieces: &[Piece], width: usize, styled: bool) -> String {
    let mut line = String::new();
    let mut room = width;
    for (style, text) in pieces {
        let clean = text.chars().filter(|c| !c.is_control());
        let mut cut = String::new();
        for c in clean {
            let cells = c.width().unwrap_or(0);
            if cells > room {
                room = 0;
                break;
            }
            room -= cells;
            cut.push(c);
        }
        if styled && *style != PLAIN && cut.width() > 0 {
            line.push_str(&format!("{style}{cut}{style:#}"));
        } else {
            line.push_str(&cut);
        }
    }
    line
}

/// Draws frames over each other on a terminal.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: usize,
}

impl Screen {
    /// Draws a frame in the place of the last one. `height` are the terminal's rows: what does not
    /// fit is left out, because what scrolls away cannot be drawn over.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(
        &mut self,
        out: &mut impl Write,
        lines: &[String],
        height: usize,
    ) -> std::io::Result<()> {
        let shown = lines.len().min(height.saturating_sub(1));
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines.iter().take(shown) {
            text.push_str(&format!("\r\x1b[2K{line}\n"));
        }
        text.push_str("\x1b[0J");
        self.drawn = shown;
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

#[cfg(test)]
mod tests;
