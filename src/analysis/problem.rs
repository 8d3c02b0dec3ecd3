//! What is wrong in a template or a run, in the form that is shown to people.

/// Something wrong in a template or run: where, what stands there, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, e.g. `golden-signals: spec.metrics[error-ratio].ratio.bad`.
    pub at: String,
    /// What stands there, cut to a readable length.
    pub value: String,
    /// Why it cannot be, what is allowed, what to do.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.value.is_empty() {
            return write!(f, "{}: {}", self.at, self.message);
        }
        write!(f, "{}: {:?}: {}", self.at, self.value, self.message)
    }
}

/// Longest value that a problem repeats.
const VALUE_SHOWN_MAX: usize = 120;

impl Problem {
    /// A problem of the field `at`.
    #[must_use]
    pub fn new(at: impl Into<String>, value: &str, message: impl std::fmt::Display) -> Self {
        let value = value.chars().take(VALUE_SHOWN_MAX).collect();
        Self {
            at: at.into(),
            value,
            message: message.to_string(),
        }
    }
}
