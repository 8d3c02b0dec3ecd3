//! Scenarios: outages that somebody wrote down, with what must come of them. A file in YAML has the
//! world as it is in the beginning, a timeline of what happens in it, and expectations; every
//! invariant holds besides. `tests/scenarios/README.md` has the vocabulary.
//!
//! A scenario is a history whose happenings are exact instead of drawn. What is left to chance is how
//! long calls, watches and pods take, so a scenario may be played under many seeds.

mod act;
mod around;
mod command;
mod expected;
mod facts;
mod facts_of_others;
mod format;
mod given;
mod lists;
mod playing;
mod sight;
mod words;

use std::path::Path;

use jiff::SignedDuration;

use act::{Act, Due};
use expected::{Expected, Form, When};
use format::Document;
use given::Beginning;

use super::history::Happening;
use super::invariants::Break;
use crate::core::spec::Problem;

pub use command::run;
pub use playing::play;

/// How long the outage goes on after the last thing that has a time of its own.
const AFTER_THE_LAST: SignedDuration = SignedDuration::from_mins(2);
/// How long it goes on at least where something waits for facts to come true.
const FOR_CONDITIONS: SignedDuration = SignedDuration::from_mins(10);
/// Longest outage: a day of simulated time is some seconds of a real one.
const LASTS_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Largest file: a scenario is read by people.
const FILE_MAX: usize = 256 << 10;
/// The last of the cases that there is a row for in the table.
const LAST_CASE: u32 = 74;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its file.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// Where that happened.
    pub source: String,
    /// The cases of the table that it is of.
    pub cases: Vec<String>,
    /// The invariants that it is about.
    pub invariants: Vec<String>,
    lasts: SignedDuration,
    beginning: Beginning,
    acts: Vec<Act>,
    expectations: Vec<Expected>,
}

/// What came of a scenario under one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Stands for all that happened.
    pub hash: u64,
    /// Objects and statuses written by Tidegate.
    pub writes: u64,
    /// Decisions made.
    pub decisions: u64,
    /// The invariant that broke.
    pub broken: Option<Break>,
    /// The expectations that were not met, in the order of the file.
    pub unmet: Vec<Unmet>,
    /// What happened, in words, if that was wanted.
    pub trace: Vec<String>,
}

impl Outcome {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_none() && self.unmet.is_empty()
    }
}

/// An expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Its line in the file.
    pub line: u64,
    /// What was expected.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
    /// When, from the beginning.
    pub at: SignedDuration,
    /// Why it was expected, in the file's words.
    pub because: Option<String>,
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "expected {}; seen {}, after {:#}",
            self.expected, self.seen, self.at
        )?;
        match &self.because {
            Some(because) => write!(f, " ({because})"),
            None => Ok(()),
        }
    }
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML, or has another form.
    #[error("{file}:{line}: {message}")]
    Form {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// Field, value and what is allowed.
        message: String,
    },
    /// Something in it cannot be so.
    #[error("{file}:{line}: {problem}")]
    Wrong {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// Field, value and what is allowed.
        problem: Problem,
    },
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says something that there is not.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(source) => Err(ScenarioError::Unreadable { file, source }),
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It says something that there is not.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let wrong = |line: u64, problem: Problem| ScenarioError::Wrong {
            file: file.to_owned(),
            line: line.max(1),
            problem,
        };
        if text.len() > FILE_MAX {
            let value = format!("{} bytes", text.len());
            let allowed = format!("at most {FILE_MAX} bytes");
            return Err(wrong(1, Problem::new("the file", value, allowed)));
        }
        let document: Document =
            serde_saphyr::from_str(text).map_err(|error| ScenarioError::Form {
                file: file.to_owned(),
                line: error.location().map_or(1, |at| at.line()),
                message: error.to_string(),
            })?;
        head(&document).map_err(|problem| wrong(1, problem))?;
        let beginning =
            Beginning::read(&document.given).map_err(|(line, problem)| wrong(line, problem))?;
        let mut acts = Vec::new();
        for (i, entry) in document.timeline.iter().enumerate() {
            let line = entry.referenced.line();
            let act = act::read(&entry.value, line, i, &beginning)
                .map_err(|problem| wrong(line, problem))?;
            if let Due::When(facts, _) = &act.due {
                expected::check(facts, &format!("timeline[{i}].when"), &beginning)
                    .map_err(|problem| wrong(line, problem))?;
            }
            acts.push(act);
        }
        let names: Vec<&str> = acts.iter().filter_map(|act| act.name.as_deref()).collect();
        let mut expectations = Vec::new();
        for (i, given) in document.expect.iter().enumerate() {
            let line = given.referenced.line();
            let expected = expected::read(&given.value, line, i, &beginning, &names)
                .map_err(|problem| wrong(line, problem))?;
            expectations.push(expected);
        }
        let lasts = match document.lasts {
            Some(span) => span.0,
            None => own_length(&acts, &expectations),
        };
        if !(SignedDuration::ZERO..=LASTS_MAX).contains(&lasts) {
            let value = format!("{lasts:#}");
            let allowed = format!("a time up to {LASTS_MAX:#}");
            return Err(wrong(1, Problem::new("lasts", value, allowed)));
        }
        Ok(Self {
            file: file.to_owned(),
            title: document.title,
            source: document.source,
            cases: document.cases,
            invariants: document.invariants,
            lasts,
            beginning,
            acts,
            expectations,
        })
    }

    /// How far ahead a clock is at most: what was written by it has to be waited for.
    fn ahead(&self) -> SignedDuration {
        let all = self.acts.iter().flat_map(|act| &act.happenings);
        let ahead = all.map(|(_, what)| match what {
            Happening::ClockOf(_, by) => *by,
            _ => SignedDuration::ZERO,
        });
        ahead.max().unwrap_or_default().max(SignedDuration::ZERO)
    }
}

/// What stands above a scenario.
fn head(document: &Document) -> Result<(), Problem> {
    let known = |case: &&String| {
        let number = case.strip_prefix('F').filter(|n| n.len() == 2);
        let number = number.and_then(|n| n.parse::<u32>().ok());
        !number.is_some_and(|n| (1..=LAST_CASE).contains(&n))
    };
    if let Some(case) = document.cases.iter().find(known) {
        let allowed = format!("F01 to F{LAST_CASE}");
        return Err(Problem::new("cases", case, allowed));
    }
    let there = |invariant: &&String| {
        let number = invariant
            .strip_prefix('I')
            .and_then(|n| n.parse::<u32>().ok());
        !number.is_some_and(|n| (1..=30).contains(&n))
    };
    if let Some(invariant) = document.invariants.iter().find(there) {
        return Err(Problem::new("invariants", invariant, "I1 to I30"));
    }
    if document.title.trim().is_empty() {
        return Err(Problem::new("title", "empty", "one sentence"));
    }
    if document.expect.is_empty() {
        let allowed = "at least one expectation: a scenario that expects nothing shows nothing";
        return Err(Problem::new("expect", "empty", allowed));
    }
    Ok(())
}

/// How long a scenario lasts that does not say it.
fn own_length(acts: &[Act], expectations: &[Expected]) -> SignedDuration {
    let mut last = SignedDuration::ZERO;
    let mut waits = false;
    for act in acts {
        let again = act.repeat.map_or(SignedDuration::ZERO, |(every, times)| {
            every * i32::try_from(times).unwrap_or(i32::MAX)
        });
        match &act.due {
            Due::At(at) => last = last.max(*at + again),
            Due::When(_, after) => {
                waits = true;
                last = last.max(*after + again);
            }
        }
    }
    for expected in expectations {
        match &expected.form {
            Form::At(at, _) => last = last.max(*at),
            Form::Within(span, of, _) | Form::After(span, of, _) => {
                waits |= matches!(of, When::First(_));
                last = last.max(*span);
            }
            _ => {}
        }
    }
    let least = if waits {
        FOR_CONDITIONS
    } else {
        SignedDuration::ZERO
    };
    (last + AFTER_THE_LAST).max(least)
}

#[cfg(test)]
mod tests;
