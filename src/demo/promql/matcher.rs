//! Label matchers, with the meaning that Prometheus gives them: a pattern matches the whole value, and a
//! label that is not there is empty.

use regex::Regex;

use crate::demo::series::Labels;

/// A matcher of a label.
pub(super) struct Matcher {
    label: String,
    negated: bool,
    pattern: Pattern,
}

enum Pattern {
    Text(String),
    Regex(Regex),
}

impl Matcher {
    pub fn new(label: &str, operator: &str, value: &str) -> Result<Self, String> {
        let regex = |value: &str| {
            Regex::new(&format!("^(?s:{value})$"))
                .map(Pattern::Regex)
                .map_err(|error| format!("label {label}: {error}"))
        };
        let (negated, pattern) = match operator {
            "=" => (false, Pattern::Text(value.to_owned())),
            "!=" => (true, Pattern::Text(value.to_owned())),
            "=~" => (false, regex(value)?),
            "!~" => (true, regex(value)?),
            other => return Err(format!("label {label}: {other:?} is not one of = != =~ !~")),
        };
        Ok(Self {
            label: label.to_owned(),
            negated,
            pattern,
        })
    }

    fn matches(&self, value: &str) -> bool {
        let hit = match &self.pattern {
            Pattern::Text(text) => text == value,
            Pattern::Regex(regex) => regex.is_match(value),
        };
        hit != self.negated
    }

    /// A label that is not there is empty.
    pub fn takes(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.label).map_or("", String::as_str))
    }

    pub fn takes_nothing(&self) -> bool {
        self.matches("")
    }
}
