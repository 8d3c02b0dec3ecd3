//! Reads fields strictly: what is missing, unknown or of another form is said with its path and what is
//! allowed. A value that may be a secret is never shown.

use serde_json::{Map, Value};

/// How much of a wrong value is shown.
const SHOWN_MAX: usize = 80;

/// What is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Problem {
    pub(super) path: String,
    pub(super) problem: String,
}

pub(super) fn problem(path: impl Into<String>, problem: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        problem: problem.into(),
    }
}

/// An object with its path; only these fields may be in it.
pub(super) struct Fields<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// Where it is no object, or has a field that is not `allowed`.
    pub(super) fn of(value: &'a Value, path: &str, allowed: &[&str]) -> Result<Self, Problem> {
        let fields = value.as_object().ok_or_else(|| {
            problem(
                path,
                format!(
                    "is {}, not fields; allowed are {}",
                    form(value),
                    allowed.join(", ")
                ),
            )
        })?;
        if let Some(unknown) = fields.keys().find(|name| !allowed.contains(&name.as_str())) {
            let what = format!(
                "{:?} is no field here; allowed are {}",
                unknown.chars().take(SHOWN_MAX).collect::<String>(),
                allowed.join(", ")
            );
            return Err(problem(path, what));
        }
        Ok(Self {
            path: path.to_owned(),
            fields,
        })
    }

    /// The path of a field.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A text that may be left out. Its value is not shown.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| {
            problem(
                self.at(name),
                format!("is {}; allowed is a text", form(value)),
            )
        })?;
        if text.trim().is_empty() {
            return Err(problem(
                self.at(name),
                "is empty; write a text or leave it out",
            ));
        }
        Ok(Some(text))
    }

    /// A text that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<&'a str, Problem> {
        self.text(name)?
            .ok_or_else(|| problem(self.at(name), "is missing; it is needed"))
    }

    /// A list of texts; empty where it is left out.
    pub(super) fn texts(&self, name: &str, max: usize) -> Result<Vec<&'a str>, Problem> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().ok_or_else(|| {
            problem(
                self.at(name),
                format!("is {}; allowed is a list of texts", form(value)),
            )
        })?;
        if list.len() > max {
            let what = format!("has {} entries; allowed are {max}", list.len());
            return Err(problem(self.at(name), what));
        }
        let text = |(i, value): (usize, &'a Value)| {
            value.as_str().ok_or_else(|| {
                let at = format!("{}[{i}]", self.at(name));
                problem(at, format!("is {}; allowed is a text", form(value)))
            })
        };
        list.iter().enumerate().map(text).collect()
    }
}

/// What a value is, without saying it.
pub(super) fn form(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "fields",
    }
}
