//! Arguments of `lint`.

use std::path::PathBuf;

use clap::Args;

/// `lint`
#[derive(Args, Debug)]
pub struct Lint {
    /// Files of YAML or JSON, folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Warnings are errors
    #[arg(long)]
    pub strict: bool,
}
