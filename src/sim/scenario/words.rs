//! The words that a scenario's fields are written in: spans of time, numbers with a comparison, how
//! pods and metrics behave. Each says what is allowed when it is something else.

use std::fmt;

use jiff::SignedDuration;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sim::world::{Judgement, Readiness};

/// A span of time: `500ms`, `40s`, `1m30s`, `2h`; `-1h` where a clock may go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub SignedDuration);

/// A number that is compared: `5`, `<= 5`, `>= 5`, `< 5`, `> 5`, `!= 5`, `3 to 5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    text: String,
    least: i64,
    most: i64,
    not: Option<i64>,
}

/// A share of all: `50%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u64);

/// How pods behave: `ready after 5s`, `never ready`, `at most 2 ready`, `crash after 10s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pods {
    /// From creation to ready; `None`: as before.
    pub start: Option<SignedDuration>,
    /// Whether they get ready.
    pub readiness: Readiness,
}

/// What the metrics say of a version: `good`, `bad`, `unclear`, `none`, `errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics(pub Judgement);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(number) => to.serialize_i64(number),
            Err(_) => to.serialize_str(&self.text),
        }
    }
}

impl Number {
    /// Whether a number is one of those.
    pub fn holds(&self, number: i64) -> bool {
        (self.least..=self.most).contains(&number) && self.not != Some(number)
    }

    fn read(text: &str) -> Option<Self> {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let with = |least, most, not| {
            Some(Self {
                text: text.to_owned(),
                least,
                most,
                not,
            })
        };
        if let Some((low, high)) = text.split_once(" to ") {
            return with(number(low)?, number(high)?, None);
        }
        if let Some(n) = text.strip_prefix("<=") {
            return with(i64::MIN, number(n)?, None);
        }
        if let Some(n) = text.strip_prefix(">=") {
            return with(number(n)?, i64::MAX, None);
        }
        if let Some(n) = text.strip_prefix("!=") {
            return with(i64::MIN, i64::MAX, Some(number(n)?));
        }
        if let Some(n) = text.strip_prefix('<') {
            return with(i64::MIN, number(n)?.checked_sub(1)?, None);
        }
        if let Some(n) = text.strip_prefix('>') {
            return with(number(n)?.checked_add(1)?, i64::MAX, None);
        }
        let n = number(text)?;
        with(n, n, None)
    }
}

/// A span as somebody wrote it.
pub(super) fn span(text: &str) -> Option<SignedDuration> {
    text.parse::<SignedDuration>().ok()
}

fn pods(text: &str) -> Option<Pods> {
    let with = |start, readiness| Some(Pods { start, readiness });
    if text == "never ready" {
        return with(None, Readiness::Never);
    }
    if text == "ready" {
        return with(None, Readiness::Gets);
    }
    if let Some(after) = text.strip_prefix("ready after ") {
        return with(Some(span(after)?), Readiness::Gets);
    }
    if let Some(after) = text.strip_prefix("crash after ") {
        return with(None, Readiness::Crashes(span(after)?));
    }
    let most = text.strip_prefix("at most ")?.strip_suffix(" ready")?;
    with(None, Readiness::AtMost(most.parse().ok()?))
}

fn metrics(text: &str) -> Option<Metrics> {
    let judgement = match text {
        "good" => Judgement::Good,
        "bad" => Judgement::Bad,
        "unclear" => Judgement::Unclear,
        "none" => Judgement::NoData,
        "errors" => Judgement::Errors,
        _ => return None,
    };
    Some(Metrics(judgement))
}

fn share(text: &str) -> Option<Share> {
    let percent: u64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (percent <= 100).then_some(Share(percent * 10))
}

/// Reads a text, or a whole number as its text.
struct Text<T> {
    read: fn(&str) -> Option<T>,
    allowed: &'static str,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.allowed)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let read = self.read;
        read(text.trim()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let read = self.read;
        read(&number.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let read = self.read;
        read(&number.to_string())
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

macro_rules! read_from_text {
    ($($type:ty, $read:expr, $allowed:literal;)*) => {
        $(
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    from.deserialize_any(Text { read: $read, allowed: $allowed })
                }
            }
        )*
    };
}

read_from_text! {
    Span, |text| span(text).map(Span), "a span of time: 500ms, 40s, 1m30s or 2h";
    Number, Number::read, "a whole number, or one with a comparison: 5, <= 5, >= 5, < 5, > 5, != 5, 3 to 5";
    Share, share, "a share from 0% to 100%";
    Pods, pods, "how pods behave: ready after 5s, ready, never ready, at most 2 ready, crash after 10s";
    Metrics, metrics, "what metrics say: good, bad, unclear, none, errors";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_written() {
        // text, numbers that are meant, numbers that are not
        let rows = [
            ("5", vec![5], vec![4, 6]),
            ("<= 5", vec![-3, 5], vec![6]),
            (">= 5", vec![5, 900], vec![4]),
            ("< 5", vec![4], vec![5]),
            ("> 5", vec![6], vec![5]),
            ("!= 5", vec![4, 6], vec![5]),
            ("3 to 5", vec![3, 4, 5], vec![2, 6]),
        ];
        for (text, meant, others) in rows {
            let number = Number::read(text).unwrap();
            assert!(meant.iter().all(|n| number.holds(*n)), "{text}");
            assert!(!others.iter().any(|n| number.holds(*n)), "{text}");
        }
        for text in ["", "five", "=> 5", "5 to", "<=", "5.5"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
    }

    #[test]
    fn pods_and_shares_are_read_from_their_sentences() {
        let seconds = SignedDuration::from_secs;
        let rows = [
            ("ready after 5s", Some((Some(seconds(5)), Readiness::Gets))),
            ("ready", Some((None, Readiness::Gets))),
            ("never ready", Some((None, Readiness::Never))),
            ("at most 2 ready", Some((None, Readiness::AtMost(2)))),
            (
                "crash after 10s",
                Some((None, Readiness::Crashes(seconds(10)))),
            ),
            ("ready soon", None),
            ("at most two ready", None),
        ];
        for (text, expected) in rows {
            let found = pods(text).map(|pods| (pods.start, pods.readiness));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(share("50%"), Some(Share(500)));
        for text in ["101%", "50", "-1%", "half"] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
