//! The statistics against a file of reference values, in the form of
//! `tests/data/statistics-vectors.json`. Prints how many agree and the first that do not; fails if
//! there is one.
//!
//! `cargo run --release --locked --example vectors -- FILE`

#![allow(clippy::print_stdout, clippy::print_stderr)] // This program's report.

#[path = "../tests/it/vectors/mod.rs"]
mod vectors;

use std::process::ExitCode;

/// So many failures are printed.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("vectors: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all agree.
fn run() -> Result<bool, String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err("one argument is needed: the file with the vectors".to_owned());
    };
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let file = serde_json::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
    let outcome = vectors::evaluate(&file).map_err(|e| format!("{path}: {e}"))?;
    let passed: usize = outcome.passed.values().sum();
    println!("{passed} passed, {} failed", outcome.failed.len());
    for failure in outcome.failed.iter().take(SHOWN) {
        println!("{failure}");
    }
    Ok(outcome.failed.is_empty())
}
