//! As much of PromQL as must be understood: where strings begin and end, and vector selectors.
//!
//! Placeholders are filled in here, and nowhere else, so that a value can never become anything but
//! the inside of a quoted string: the query's shape is the template author's alone.

use std::collections::{BTreeMap, BTreeSet};

/// The placeholder of the version's matcher; it is filled in last, by [`with_arm`].
pub const ARM: &str = "$(arm)";

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromqlError {
    /// A quote without its partner, or a line break inside quotes.
    #[error("the string that begins with {0} does not end")]
    OpenString(String),
    /// An escape that PromQL does not know.
    #[error("the escape \\{0} is not known inside a string")]
    BadEscape(String),
    /// A function, an operator, a range: not a plain selector.
    #[error(
        "only a plain selector like name{{label=\"value\", $(arm)}} is allowed here, not {0:?}: the engine reads raw samples and differences them itself, so rate(), increase(), sums, ranges and offsets must go"
    )]
    NotASelector(String),
    /// Something else where a matcher should be.
    #[error("expected a label matcher like code=~\"5..\", found {0:?}")]
    NotAMatcher(String),
    /// A selector that selects by nothing.
    #[error("a selector needs a metric name or a matcher that is not empty")]
    SelectsAll,
}

/// What a placeholder may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// No such value.
    #[error("$({name}) is not known here; allowed are {allowed}")]
    Unknown {
        /// What stands between the parentheses.
        name: String,
        /// All that is known.
        allowed: String,
    },
    /// Not inside `"…"` or `'…'`.
    #[error(
        "$({0}) may stand only inside a string in single or double quotes, as in service=\"$({0})\": a value cannot be anything but a label value"
    )]
    NotQuoted(String),
    /// `$(arm)` inside a string.
    #[error(
        "$(arm) is a whole matcher and stands for itself between commas, as in name{{code=\"500\", $(arm)}}, not inside a string"
    )]
    QuotedArm,
    /// `$(` without `)`.
    #[error("$( without its )")]
    Open,
    /// The text itself cannot be read.
    #[error(transparent)]
    Text(#[from] PromqlError),
}

/// A token: strings by their meaning, everything else as written. Blanks and comments are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name, a keyword, a number, a duration.
    Word(String),
    /// A string's meaning.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// A vector selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name, where it stands before the braces.
    pub name: Option<String>,
    /// What stands between the braces.
    pub matchers: Vec<Matcher>,
}

/// One matcher between the braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    /// The value, without its quotes.
    pub value: String,
}

/// Cuts `query` into tokens.
///
/// # Errors
/// [`PromqlError`] for a string that does not end or an unknown escape.
pub fn tokens(query: &str) -> Result<Vec<Token>, PromqlError> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            c if c.is_whitespace() => c.len_utf8(),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' | '`' => {
                let (text, length) = string(rest)?;
                found.push(Token::Text(text));
                length
            }
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                found.push(Token::Word(
                    rest.get(..length).unwrap_or_default().to_owned(),
                ));
                length
            }
            c => {
                found.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// Reads the string at the start of `text`: its meaning and its length in bytes, quotes included.
/// The rules are those of Prometheus' lexer (Go's, with single quotes too).
fn string(text: &str) -> Result<(String, usize), PromqlError> {
    let open = || PromqlError::OpenString(text.chars().take(20).collect());
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().ok_or_else(open)?;
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((value, at + c.len_utf8())),
            '\n' if quote != '`' => return Err(open()),
            '\\' if quote != '`' => value.push(escape(&mut chars, quote).ok_or_else(|| {
                let after: String = text
                    .get(at..)
                    .unwrap_or_default()
                    .chars()
                    .skip(1)
                    .take(4)
                    .collect();
                PromqlError::BadEscape(after)
            })?),
            c => value.push(c),
        }
    }
    Err(open())
}

/// What follows a backslash. Octal and hex escapes stand for characters below 256 here, which is
/// enough to find the string's end.
fn escape(chars: &mut std::str::CharIndices<'_>, quote: char) -> Option<char> {
    let (_, c) = chars.next()?;
    let mut number = |first: Option<char>, digits: usize, radix: u32| {
        let mut value = first.map_or(Some(0), |c| c.to_digit(radix))?;
        for _ in 0..digits {
            value = value * radix + chars.next()?.1.to_digit(radix)?;
        }
        char::from_u32(value)
    };
    match c {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        '\\' => Some('\\'),
        c if c == quote => Some(quote),
        'x' => number(None, 2, 16),
        'u' => number(None, 4, 16),
        'U' => number(None, 8, 16),
        '0'..='7' => number(Some(c), 2, 8),
        _ => None,
    }
}

/// Writes `value` so that it can stand inside quotes of the kind `quote` and means itself.
#[must_use]
pub fn quoted(value: &str, quote: char) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            c if c == quote => {
                text.push('\\');
                text.push(c);
            }
            c if u32::from(c) < 0x20 => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Reads a vector selector in which `$(arm)` may still stand; it counts as a matcher.
///
/// # Errors
/// [`PromqlError`] for anything that is not a plain selector.
pub fn selector(text: &str) -> Result<Selector, PromqlError> {
    let plain = text.replace(ARM, "__arm__=\"$\"");
    let all = tokens(&plain)?;
    let not = || PromqlError::NotASelector(text.trim().chars().take(80).collect());
    let (name, rest) = match all.split_first() {
        Some((Token::Word(name), rest)) => (Some(name.clone()), rest),
        _ => (None, all.as_slice()),
    };
    let matchers = match rest {
        [] => Vec::new(),
        [Token::Sign('{'), inner @ .., Token::Sign('}')] => list(inner)?,
        _ => return Err(not()),
    };
    let selects = |m: &Matcher| m.operator == "=" && !m.value.is_empty() && m.label != "__arm__";
    if name.is_none() && !matchers.iter().any(selects) {
        return Err(if all.is_empty() {
            not()
        } else {
            PromqlError::SelectsAll
        });
    }
    Ok(Selector { name, matchers })
}

/// Reads what stands between the braces of a selector.
///
/// # Errors
/// [`PromqlError`] for anything that is not a list of matchers.
pub fn matchers(text: &str) -> Result<Vec<Matcher>, PromqlError> {
    let all = tokens(text)?;
    if all.is_empty() {
        return Err(PromqlError::SelectsAll);
    }
    list(&all)
}

fn list(all: &[Token]) -> Result<Vec<Matcher>, PromqlError> {
    let all = match all {
        [inner @ .., Token::Sign(',')] => inner,
        all => all,
    };
    if all.is_empty() {
        return Ok(Vec::new());
    }
    all.split(|t| *t == Token::Sign(',')).map(matcher).collect()
}

fn matcher(tokens: &[Token]) -> Result<Matcher, PromqlError> {
    let of = |label: &str, operator: &str, value: &str| {
        Ok(Matcher {
            label: label.into(),
            operator: operator.into(),
            value: value.into(),
        })
    };
    match tokens {
        // A metric name in quotes, as names beyond the old character set are written.
        [Token::Text(name)] => of("__name__", "=", name),
        [
            Token::Word(l) | Token::Text(l),
            Token::Sign('='),
            Token::Text(v),
        ] => of(l, "=", v),
        [
            Token::Word(l) | Token::Text(l),
            Token::Sign(a),
            Token::Sign(b),
            Token::Text(v),
        ] if matches!((a, b), ('!', '=') | ('=', '~') | ('!', '~')) => of(l, &format!("{a}{b}"), v),
        other => Err(PromqlError::NotAMatcher(
            other
                .iter()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(80)
                .collect(),
        )),
    }
}

fn word(token: &Token) -> String {
    match token {
        Token::Word(w) => w.clone(),
        Token::Text(t) => format!("\"{}\"", quoted(t, '"')),
        Token::Sign(c) => c.to_string(),
    }
}

/// Fills every placeholder of `text` but `$(arm)` with its value, quoted for where it stands.
///
/// # Errors
/// All that is wrong with the placeholders.
pub fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, Vec<FillError>> {
    let mut out = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut quote: Option<char> = None;
    let mut comment = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '$' && rest.starts_with("$(") && !comment {
            let Some(end) = rest.find(')') else {
                problems.push(FillError::Open);
                return Err(problems);
            };
            let name = rest.get(2..end).unwrap_or_default();
            match placed(name, quote, values) {
                Ok(value) => out.push_str(&value),
                Err(problem) => problems.push(problem),
            }
            rest = rest.get(end + 1..).unwrap_or_default();
            continue;
        }
        let mut length = c.len_utf8();
        match (quote, c) {
            (Some(q), '\\') if q != '`' => {
                length += rest.chars().nth(1).map_or(0, char::len_utf8);
            }
            (Some(q), c) if c == q => quote = None,
            (None, '\n') => comment = false,
            (None, '#') => comment = true,
            (None, '"' | '\'' | '`') if !comment => quote = Some(c),
            _ => {}
        }
        out.push_str(rest.get(..length).unwrap_or_default());
        rest = rest.get(length..).unwrap_or_default();
    }
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

fn placed(
    name: &str,
    quote: Option<char>,
    values: &BTreeMap<String, String>,
) -> Result<String, FillError> {
    if name == "arm" {
        return match quote {
            None => Ok(ARM.to_owned()),
            Some(_) => Err(FillError::QuotedArm),
        };
    }
    let value = values.get(name).ok_or_else(|| unknown(name, values))?;
    match quote {
        Some(q @ ('"' | '\'')) => Ok(quoted(value, q)),
        _ => Err(FillError::NotQuoted(name.to_owned())),
    }
}

/// The complaint about a placeholder that stands for nothing.
#[must_use]
pub fn unknown(name: &str, values: &BTreeMap<String, String>) -> FillError {
    let allowed: BTreeSet<String> = values.keys().map(|k| format!("$({k})")).collect();
    FillError::Unknown {
        name: name.chars().take(80).collect(),
        allowed: allowed
            .into_iter()
            .chain([ARM.to_owned()])
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Puts a version's matchers in the place of `$(arm)`.
#[must_use]
pub fn with_arm(query: &str, matchers: &str) -> String {
    query.replace(ARM, matchers)
}

#[cfg(test)]
mod tests;
