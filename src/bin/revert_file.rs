//! `tidegate revert-file`: reads three files, and tells what `tidegate::git::revert_file` makes of them.
//! It decides nothing, and writes no file.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tidegate::cli::style::clean;
use tidegate::git::leaf::{DocumentId, FILE_BYTES_MAX, LeafError};
use tidegate::git::revert::Refusal;
use tidegate::git::revert_file::{
    LeafState, Outcome, Refused, Standing, Version, revert_file, selected,
};

/// The exit codes, for `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 at least one value went back, and the new tip stands on \
    standard output; 1 it could not be written there; 2 wrong usage, or a file that cannot be read; \
    3 nothing had to go back; 4 refused, and why.";

const UNREADABLE: u8 = 2;
const NOTHING: u8 = 3;
const REFUSED: u8 = 4;

/// Characters of a value that are told. Some values are whole files.
const VALUE_TOLD: usize = 200;

#[derive(Args)]
pub struct Options {
    /// The file before the bad change.
    #[arg(long, value_name = "FILE")]
    good: PathBuf,
    /// The file with the bad change.
    #[arg(long, value_name = "FILE")]
    bad: PathBuf,
    /// The file as it is today. It is not written; the new one goes to standard output.
    #[arg(long, value_name = "FILE")]
    tip: PathBuf,
    /// Revert in this document only: APIVERSION/KIND/NAMESPACE/NAME. The namespace is empty where the
    /// file says none, as in `apps/v1/Deployment//web`.
    #[arg(long, value_name = "DOCUMENT", value_parser = selected)]
    select: Option<DocumentId>,
}

/// A file that was read, or its beginning where it is too large anyway.
struct Contents {
    name: String,
    bytes: Vec<u8>,
    size: usize,
}

/// Reverts. An error is one of standard output.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let files = [
        read("--good", &options.good),
        read("--bad", &options.bad),
        read("--tip", &options.tip),
    ];
    let files = match files {
        [Ok(good), Ok(bad), Ok(tip)] => [good, bad, tip],
        files => {
            for problem in files.into_iter().filter_map(Result::err) {
                tell(&problem);
            }
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    match reverted(&files, options.select.as_ref()) {
        Ok(outcome) => give(&outcome),
        Err(refused) => {
            tell(&format!("refused: {refused}"));
            Ok(ExitCode::from(REFUSED))
        }
    }
}

fn read(flag: &str, path: &Path) -> Result<Contents, String> {
    let name = format!("{flag} {}", path.display());
    match contents(path) {
        Ok((bytes, size)) => Ok(Contents { name, bytes, size }),
        Err(error) => Err(format!(
            "{name}: cannot be read: {error}; name a file that is there and that you may read"
        )),
    }
}

/// What stands in a file, as far as it could be used, and how large it is.
fn contents(path: &Path) -> io::Result<(Vec<u8>, usize)> {
    let file = fs::File::open(path)?;
    // Of a pipe it is 0.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    let size = size.max(bytes.len());
    Ok((bytes, size))
}

fn reverted(files: &[Contents; 3], select: Option<&DocumentId>) -> Result<Outcome, Refused> {
    if let Some(large) = files.iter().find(|file| file.bytes.len() > FILE_BYTES_MAX) {
        let refusal = Refusal::Unusable {
            file: large.name.clone(),
            error: LeafError::TooLarge { bytes: large.size },
        };
        return Err(refusal.into());
    }
    let [good, bad, tip] = files.each_ref().map(|file| Version {
        name: &file.name,
        bytes: &file.bytes,
    });
    revert_file(good, bad, tip, select)
}

/// The new tip on standard output, and on standard error what is not in it.
fn give(outcome: &Outcome) -> anyhow::Result<ExitCode> {
    let superseded = |leaf: &&LeafState| leaf.standing == Standing::Superseded;
    for leaf in outcome.leaves.iter().filter(superseded) {
        tell(&format!(
            "superseded, left alone: {}: good {}, bad {}, tip {}",
            leaf.path,
            told(leaf.good.as_deref()),
            told(leaf.bad.as_deref()),
            told(leaf.tip.as_deref()),
        ));
    }
    let Some(text) = &outcome.text else {
        tell(&format!("nothing has to go back: {}", why(outcome)));
        return Ok(ExitCode::from(NOTHING));
    };
    match write(text.as_bytes()) {
        // Who reads no further has seen what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write the new tip to standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn why(outcome: &Outcome) -> &'static str {
    let is_done = |leaf: &LeafState| leaf.standing == Standing::Done;
    if outcome.leaves.is_empty() {
        "good and bad hold the same values"
    } else if outcome.leaves.iter().all(is_done) {
        "the tip holds the good values already"
    } else {
        "the tip holds no bad value any more"
    }
}

fn told(value: Option<&str>) -> String {
    let Some(value) = value else {
        return "(absent)".to_owned();
    };
    match value.char_indices().nth(VALUE_TOLD) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Byte for byte: no colour is taken out of it, and no line end added.
fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// A line on standard error. Names and values are somebody's: none of them may command a terminal.
fn tell(line: &str) {
    // If nobody reads it there is nobody to complain to.
    let _ = writeln!(io::stderr().lock(), "tidegate: {}", clean(line));
}
