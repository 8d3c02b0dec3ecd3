//! The command line.

use crate::parallel::Runs;

/// Runs for each row, where nothing is said.
const RUNS: u64 = 2000;
/// The seed, where nothing is said.
const SEED: u64 = 20_261_122;

/// What was asked for.
#[derive(Debug, PartialEq)]
pub struct Arguments {
    pub settings: Vec<String>,
    pub runs: Runs,
    pub output: Output,
}

/// For whom it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

impl Arguments {
    /// Reads them; `names` are the settings there are.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is allowed.
    pub fn read(
        arguments: impl IntoIterator<Item = String>,
        names: &[&str],
    ) -> Result<Self, String> {
        let allowed = format!(
            "usage: evidence_bench SETTING... [--runs N] [--seed S] [--output text|json]; settings: all, {}",
            names.join(", ")
        );
        let mut read = Self {
            settings: Vec::new(),
            runs: Runs {
                count: RUNS,
                seed: SEED,
            },
            output: Output::Text,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().unwrap_or_default();
                text.parse::<u64>()
                    .map_err(|_| format!("{argument} needs a number, not {text:?}; {allowed}"))
            };
            match argument.as_str() {
                "--runs" => read.runs.count = number()?,
                "--seed" => read.runs.seed = number()?,
                "--output" => match arguments.next().as_deref() {
                    Some("text") => read.output = Output::Text,
                    Some("json") => read.output = Output::Json,
                    _ => return Err(format!("--output is text or json; {allowed}")),
                },
                "all" => read.settings.extend(names.iter().map(|n| (*n).to_owned())),
                name if names.contains(&name) => read.settings.push(name.to_owned()),
                other => return Err(format!("{other:?} is not known; {allowed}")),
            }
        }
        if read.settings.is_empty() {
            return Err(format!("no setting was named; {allowed}"));
        }
        if read.runs.count == 0 {
            return Err(format!("--runs is at least 1; {allowed}"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace().map(str::to_owned);
        Arguments::read(words, &["null", "alt"])
    }

    #[test]
    fn settings_and_numbers_are_read() {
        let read = read("alt --runs 10 --seed 3 --output json").unwrap();
        assert_eq!(read.settings, ["alt"]);
        assert_eq!((read.runs.count, read.runs.seed), (10, 3));
        assert_eq!(read.output, Output::Json);
    }

    #[test]
    fn what_is_not_known_is_said_with_what_is() {
        for line in [
            "",
            "nul",
            "null --runs",
            "null --runs 0",
            "null --output xml",
            "--speed 3",
        ] {
            let reason = read(line).unwrap_err();
            assert!(reason.contains("null, alt"), "{line}: {reason}");
        }
    }
}
