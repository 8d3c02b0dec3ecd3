//! Lines of styled text: cut to a width, written with colours or without.
//!
//! Nothing here writes to a terminal or asks one anything. Text that came from a cluster goes
//! through [`clean`], so that no name or message can move the cursor or reverse the reading order.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text means; the colour follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Somebody may have to act.
    Warn,
    /// Something is wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Busy => AnsiColor::Cyan.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        }
    }
}

/// A piece of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text, already clean.
    pub text: String,
    /// What it means.
    pub tone: Tone,
}

impl Span {
    /// How many columns it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.text.width()
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its pieces from left to right.
    pub spans: Vec<Span>,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same line with `text` at its end. The text is cleaned.
    #[must_use]
    pub fn with(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.push(tone, text);
        self
    }

    /// Puts `text` at the end. The text is cleaned.
    pub fn push(&mut self, tone: Tone, text: impl AsRef<str>) {
        let text = clean(text.as_ref());
        if !text.is_empty() {
            self.spans.push(Span { text, tone });
        }
    }

    /// Puts blanks at the end until the line is `width` columns wide.
    pub fn pad_to(&mut self, width: usize) {
        let missing = width.saturating_sub(self.width());
        if missing > 0 {
            self.spans.push(Span {
                text: " ".repeat(missing),
                tone: Tone::Plain,
            });
        }
    }

    /// Puts another line's pieces at the end.
    pub fn append(&mut self, other: Line) {
        self.spans.extend(other.spans);
    }

    /// How many columns it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }

    /// The line within `width` columns: what does not fit is cut and `…` stands for it. `None`
    /// leaves it as it is.
    #[must_use]
    pub fn fit(self, width: Option<usize>) -> Self {
        let Some(width) = width.filter(|w| self.width() > *w) else {
            return self;
        };
        let mut room = width.saturating_sub(1);
        let mut out = Line::new();
        for span in self.spans {
            let taken = span.width();
            if taken <= room {
                room -= taken;
                out.spans.push(span);
                continue;
            }
            let mut text = head(&span.text, room).to_owned();
            if width > 0 {
                text.push('…');
            }
            out.spans.push(Span {
                text,
                tone: span.tone,
            });
            break;
        }
        out
    }

    /// The text, with escape sequences for colours if `colour`; no line end, no blanks at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        let blank = |span: &&Span| span.text.trim_end().is_empty();
        let shown = self.spans.len() - self.spans.iter().rev().take_while(blank).count();
        for (i, span) in self.spans.iter().take(shown).enumerate() {
            let last = i + 1 == shown;
            let text = if last {
                span.text.trim_end()
            } else {
                &span.text
            };
            if colour && span.tone != Tone::Plain {
                let style = span.tone.style();
                out.push_str(&format!("{style}{text}{style:#}"));
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

/// The longest head of `text` that takes at most `width` columns.
#[must_use]
pub fn head(text: &str, width: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Text from outside, made harmless: control characters (line ends, escapes) become blanks,
/// invisible marks that change the reading order are left out.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Marks of direction and of zero width: with them a text can look like another one.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'
        | '\u{2060}'..='\u{2069}' | '\u{061c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_as_text() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(clean("safe\u{202e}live"), "safelive");
        assert_eq!(clean("\u{9b}31m"), " 31m");
        assert_eq!(clean("größer 日本"), "größer 日本");
    }

    #[test]
    fn a_line_is_cut_to_the_width_that_there_is() {
        let line = || {
            Line::new()
                .with(Tone::Strong, "checkout")
                .with(Tone::Plain, " 日本語です")
        };
        let cut = |width| line().fit(Some(width)).render(false);
        assert_eq!(line().fit(None).render(false), "checkout 日本語です");
        assert_eq!(cut(19), "checkout 日本語です");
        assert_eq!(cut(18), "checkout 日本語で…");
        assert_eq!(cut(17), "checkout 日本語…");
        assert_eq!(cut(9), "checkout…");
        assert_eq!(cut(4), "che…");
        assert_eq!(cut(1), "…");
        assert_eq!(cut(0), "");
        for width in 0..25 {
            assert!(line().fit(Some(width)).width() <= width, "{width}");
        }
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let line = Line::new()
            .with(Tone::Bad, "✖ Aborted")
            .with(Tone::Plain, " now  ");
        assert_eq!(line.render(false), "✖ Aborted now");
        let coloured = line.render(true);
        assert!(
            coloured.contains("\u{1b}[31m") && coloured.ends_with(" now"),
            "{coloured:?}"
        );
    }
}
