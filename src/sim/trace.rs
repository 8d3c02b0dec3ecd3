//! What happened in a simulated cluster: a number that two runs of the same seed must share, and the
//! words, where somebody wants to read them.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;

/// Lines kept: enough for the longest history, and a bound for the memory.
const LINES_MAX: usize = 100_000;

/// What happened.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that also keeps the words, if they are wanted.
    #[must_use]
    pub fn new(words: bool) -> Self {
        Self {
            hash: 0,
            lines: words.then(Vec::new),
        }
    }

    /// Something happened at `now`.
    pub fn say(&mut self, now: Timestamp, words: impl FnOnce() -> String) {
        let words = words();
        let mut hasher = DefaultHasher::new();
        (self.hash, now.as_millisecond(), &words).hash(&mut hasher);
        self.hash = hasher.finish();
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < LINES_MAX) {
            lines.push(format!("{now:.3}  {words}"));
        }
    }

    /// What stands for all of it.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The words; none if they were not wanted.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
