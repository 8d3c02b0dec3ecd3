//! Starting other programs: shown while they run, with what `cargo test` prints added up.

use crate::summary::Outcome;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `cargo` as this task was started by, in the repository's root, and as a person would start it:
/// build scripts look at what cargo tells this task of itself, and would build what is built.
pub fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Where it puts the programs that it builds.
pub fn built(root: &Path) -> PathBuf {
    built_as(root, "debug")
}

/// Where those of another profile are.
pub fn built_as(root: &Path, profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    target.join(profile)
}

/// Adds arguments given as one string of words.
pub fn words<'a>(command: &'a mut Command, arguments: &str) -> &'a mut Command {
    command.args(arguments.split_whitespace())
}

/// The line a person could type to run the same.
pub fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program can be started at all.
pub fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// What a test run said about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TestCounts {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    ignored: Vec<String>,
}

impl TestCounts {
    /// Reads one line of libtest's output.
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            for part in rest.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let (Some(number), Some(what)) = (words.next(), words.next()) else {
                    continue;
                };
                let Ok(number) = number.parse::<u64>() else {
                    continue;
                };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    _ => {}
                }
            }
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("test ")
            && let Some((name, why)) = rest.split_once(" ... ignored")
        {
            let why = why.trim_start_matches([',', ' ']);
            self.ignored.push(match why {
                "" => name.to_owned(),
                why => format!("{name} ({why})"),
            });
        }
    }

    fn note(&self) -> String {
        let mut note = format!("{} tests passed", self.passed);
        if self.failed > 0 {
            note.push_str(&format!(", {} failed", self.failed));
        }
        if !self.failures.is_empty() {
            note.push_str(&format!(": {}", self.failures.join(", ")));
        }
        if !self.ignored.is_empty() {
            note.push_str(&format!(", not run: {}", self.ignored.join(", ")));
        }
        note
    }
}

/// Runs a command to its end and shows what it prints.
pub fn run(command: &mut Command) -> Result<Outcome> {
    println!("$ {}", shown(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{} does not start", shown(command)))?;
    Ok(if status.success() {
        Outcome::passed()
    } else {
        Outcome::Failed(format!("`{}`: {status}", shown(command)))
    })
}

/// Runs a command to its end and shows then what it printed, if it failed.
pub fn run_quietly(command: &mut Command) -> Result<Outcome> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not start", shown(command)))?;
    if output.status.success() {
        return Ok(Outcome::passed());
    }
    let words = [output.stdout, output.stderr].concat();
    println!("$ {}\n{}", shown(command), String::from_utf8_lossy(&words));
    Ok(Outcome::Failed(format!(
        "`{}`: {}",
        shown(command),
        output.status
    )))
}

/// Runs a `cargo test` and adds up what it says.
pub fn run_tests(command: &mut Command) -> Result<Outcome> {
    run_tests_as("", command)
}

/// The same beside another: each line begins with `mark`.
pub fn run_tests_as(mark: &str, command: &mut Command) -> Result<Outcome> {
    println!("$ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", shown(command)))?;
    let mut counts = TestCounts::default();
    if let Some(stdout) = child.stdout.take() {
        let mut out = std::io::stdout();
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            // In one piece: somebody else may write as well.
            out.write_all(&[mark.as_bytes(), &line].concat())?;
            out.flush()?;
            counts.read(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let status = child.wait()?;
    Ok(if !status.success() {
        Outcome::Failed(format!("{}; `{}`: {status}", counts.note(), shown(command)))
    } else if counts.passed == 0 {
        // A filter that matches nothing is green to cargo, and proves nothing.
        Outcome::Failed(format!("`{}` ran no test", shown(command)))
    } else {
        Outcome::Passed(counts.note())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_runs_are_added_up_and_what_did_not_run_is_named() {
        let mut counts = TestCounts::default();
        for line in [
            "running 3 tests",
            "test core::tests::first ... ok",
            "test slow ... ignored, needs a node",
            "test other ... ignored",
            "test core::tests::second ... FAILED",
            "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            counts.read(line);
        }
        assert_eq!(
            counts.note(),
            "7 tests passed, 1 failed: core::tests::second, not run: slow (needs a node), other"
        );
    }
}
