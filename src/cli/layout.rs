//! Paragraphs and tables of plain lines, within the width that there is. Pure.

use unicode_width::UnicodeWidthStr;

use super::header::wrap;
use super::style::{Line, Tone, clean, head};

/// Narrower than this a text is not broken any more.
const ROOM_MIN: usize = 20;

/// A text with its lines `indent` columns from the left, broken at blanks, and inside of a word only
/// where that is wider than the room.
pub fn paragraph(
    lines: &mut Vec<Line>,
    indent: usize,
    tone: Tone,
    text: &str,
    width: Option<usize>,
) {
    let room = width.map(|w| w.saturating_sub(indent).max(ROOM_MIN));
    for part in wrap(&clean(text), room) {
        let mut rest = part.as_str();
        while let Some(room) = room.filter(|room| rest.width() > *room) {
            let first = head(rest, room);
            lines.push(indented(indent, tone, first));
            rest = rest.get(first.len()..).unwrap_or_default();
        }
        lines.push(indented(indent, tone, rest));
    }
}

/// `label      text`, with the text beside the label, in a paragraph of its own.
pub fn labelled(lines: &mut Vec<Line>, label: &str, text: &str, width: Option<usize>) {
    const BESIDE: usize = 12;
    let before = lines.len();
    paragraph(lines, BESIDE, Tone::Plain, text, width);
    if let Some(first) = lines.get_mut(before) {
        let mut line = Line::new().with(Tone::Faint, label);
        line.pad_to(BESIDE);
        first.spans.remove(0);
        line.append(std::mem::take(first));
        *first = line;
    }
}

fn indented(indent: usize, tone: Tone, text: &str) -> Line {
    let mut line = Line::new();
    line.pad_to(indent);
    line.push(tone, text);
    line
}

/// Rows with columns of the same width, two blanks apart. What does not fit into the width is cut at its
/// end.
#[must_use]
pub fn columns(rows: Vec<Vec<Line>>, width: Option<usize>) -> Vec<Line> {
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (i, cell) in row.iter().enumerate() {
            let wide = cell.width();
            match widths.get_mut(i) {
                Some(known) => *known = (*known).max(wide),
                None => widths.push(wide),
            }
        }
    }
    let line = |cells: Vec<Line>| {
        let mut line = Line::new();
        let mut at = 0;
        for (cell, wide) in cells.into_iter().zip(&widths) {
            line.pad_to(at);
            line.append(cell);
            at += wide + 2;
        }
        line.fit(width)
    };
    rows.into_iter().map(line).collect()
}

/// The same of plain text; the first row is the head.
#[must_use]
pub fn table(rows: &[Vec<String>], width: Option<usize>) -> Vec<Line> {
    let mut tone = Tone::Faint;
    let mut all: Vec<Vec<Line>> = Vec::with_capacity(rows.len());
    for row in rows {
        let cells = row.iter().map(|cell| Line::new().with(tone, cell));
        all.push(cells.collect());
        tone = Tone::Plain;
    }
    columns(all, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.render(false)).collect()
    }

    #[test]
    fn a_paragraph_stays_within_the_width() {
        let mut lines = Vec::new();
        let query = "requests_total{namespace=\"shop\",code=~\"5..\"} and more words";
        paragraph(&mut lines, 2, Tone::Plain, query, Some(30));
        assert!(lines.iter().all(|line| line.width() <= 30), "{lines:?}");
        let whole: String = text(&lines).iter().map(|l| l.trim_start()).collect();
        assert_eq!(whole.replace(' ', ""), query.replace(' ', ""));
        lines.clear();
        paragraph(&mut lines, 2, Tone::Plain, "a\u{1b}[2J b", None);
        assert_eq!(text(&lines), ["  a [2J b"]);
        lines.clear();
        labelled(&mut lines, "Versions", "one two three", Some(32));
        assert_eq!(text(&lines), ["Versions    one two three"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["step", "finds"], ["1/3", "4.3 times"]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect();
        assert_eq!(
            text(&table(&rows, None)),
            ["step  finds", "1/3   4.3 times"]
        );
        assert_eq!(text(&table(&rows, Some(8))), ["step  f…", "1/3   4…"]);
    }
}
