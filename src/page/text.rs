//! Text from a cluster as it is shown: harmless, and no longer than anybody reads. Pure.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::style::{Tone, clean};
use crate::cli::words;

/// Characters of one text; what is longer is somebody's mistake, or meant to harm.
const SHOWN_MAX: usize = 2_000;

/// Text without control characters and marks that change the reading order, cut where nobody reads on.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = clean(text.get(..SHOWN_MAX * 4).unwrap_or(text));
    if let Some((at, _)) = out.char_indices().nth(SHOWN_MAX) {
        out.truncate(at);
        out.push('…');
    }
    out
}

/// A moment, as people and machines read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// RFC 3339; empty: not known.
    pub machine: String,
    /// How long ago.
    pub ago: String,
}

impl When {
    /// Of a moment that may be known.
    #[must_use]
    pub fn of(then: Option<Timestamp>, now: Timestamp) -> Self {
        then.map_or_else(Self::default, |then| Self {
            machine: whole(then).to_string(),
            ago: format!("{} ago", words::since(then, now)),
        })
    }

    /// Of a moment in a document.
    #[must_use]
    pub fn read(value: &Value, now: Timestamp) -> Self {
        let then = value.as_str().and_then(|text| text.parse().ok());
        Self::of(then, now)
    }
}

fn whole(then: Timestamp) -> Timestamp {
    then.round(jiff::Unit::Second).unwrap_or(then)
}

/// A piece of a sentence: a command that can be copied, or words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whether it is a command.
    pub code: bool,
    /// The text.
    pub text: String,
}

/// A sentence in which commands stand between back quotes.
#[must_use]
pub fn pieces(sentence: &str) -> Vec<Piece> {
    let sentence = shown(sentence);
    let parts = sentence.split('`').enumerate();
    parts
        .filter(|(_, text)| !text.is_empty())
        .map(|(at, text)| Piece {
            code: at % 2 == 1,
            text: text.to_owned(),
        })
        .collect()
}

/// The class of a tone. The word beside it says the same: colour alone tells nothing.
#[must_use]
pub fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Busy => "busy",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Plain | Tone::Faint | Tone::Strong => "plain",
    }
}

/// A text of a document; empty where there is none.
#[must_use]
pub fn of(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null => String::new(),
        other => shown(&other.to_string()),
    }
}

/// A list with commas.
#[must_use]
pub fn list(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    shown(&items.join(", "))
}

/// The path of a Rollout's page. A name may be anything where the API server does not check it.
#[must_use]
pub fn path(namespace: &str, name: &str) -> String {
    format!("/rollout/{}/{}", escaped(namespace), escaped(name))
}

/// For an address: everything but letters, digits, dots and dashes is written by its bytes.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        match plain {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_cut_and_cleaned() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b"), "a [2Jb");
        let long = shown(&"ü".repeat(100_000));
        assert_eq!(long.chars().count(), SHOWN_MAX + 1);
        assert!(long.ends_with('…'));
        assert_eq!(path("a", "../x y"), "/rollout/a/..%2Fx%20y");
    }

    #[test]
    fn commands_stand_apart_from_words() {
        let pieces = pieces("`kubectl tidegate promote a` goes on");
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].code && !pieces[1].code);
        assert_eq!(pieces[1].text, " goes on");
    }
}
