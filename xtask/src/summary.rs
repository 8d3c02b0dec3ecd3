//! The closing table of a task: every step with its result, its time and, by name, what was left
//! out and why.

use std::fmt::Write;
use std::time::Duration;

/// How a step ended. The text is shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and holds; the text says what there is to say, or nothing.
    Passed(String),
    /// It ran and does not hold, or could not run to its end.
    Failed(String),
    /// It did not run; the text says why.
    Skipped(String),
}

impl Outcome {
    /// Passed, with nothing more to say.
    pub fn passed() -> Self {
        Self::Passed(String::new())
    }
}

/// The results of the steps in the order they ran.
#[derive(Debug, Default)]
pub struct Summary(Vec<(String, Outcome, Duration)>);

impl Summary {
    /// Adds a step's result.
    pub fn add(&mut self, step: &str, outcome: Outcome, took: Duration) {
        self.0.push((step.to_owned(), outcome, took));
    }

    /// Whether no step failed.
    pub fn is_good(&self) -> bool {
        !self
            .0
            .iter()
            .any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
    }

    /// The table, the skipped steps, and as its last line `N passed, N failed, N skipped`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self
            .0
            .iter()
            .map(|(step, ..)| step.len())
            .max()
            .unwrap_or(4)
            .max(4);
        let _ = writeln!(
            text,
            "{:<width$}  {:<7}  {:>7}  ",
            "step", "result", "seconds"
        );
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (step, outcome, took) in &self.0 {
            let (result, note) = match outcome {
                Outcome::Passed(note) => (&mut passed, ("passed", note)),
                Outcome::Failed(note) => (&mut failed, ("FAILED", note)),
                Outcome::Skipped(note) => (&mut skipped, ("skipped", note)),
            };
            *result += 1;
            let seconds = took.as_secs_f64();
            let _ = writeln!(
                text,
                "{step:<width$}  {:<7}  {seconds:>7.1}  {}",
                note.0, note.1
            );
        }
        for (step, outcome, _) in &self.0 {
            if let Outcome::Skipped(why) = outcome {
                let _ = writeln!(text, "{step}: skipped: {why}");
            }
        }
        let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_its_steps_and_says_why_one_was_skipped() {
        let mut summary = Summary::default();
        summary.add("fmt", Outcome::passed(), Duration::from_millis(1_230));
        assert!(summary.is_good());
        summary.add(
            "test",
            Outcome::Failed("1 failed".into()),
            Duration::from_secs(61),
        );
        summary.add(
            "chart",
            Outcome::Skipped("go not found".into()),
            Duration::ZERO,
        );
        assert!(!summary.is_good());
        assert_eq!(
            summary.text(),
            "step   result   seconds  \n\
             fmt    passed       1.2  \n\
             test   FAILED      61.0  1 failed\n\
             chart  skipped      0.0  go not found\n\
             chart: skipped: go not found\n\
             1 passed, 1 failed, 1 skipped\n"
        );
    }
}
