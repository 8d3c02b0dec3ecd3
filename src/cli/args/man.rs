//! Arguments of `man`, for those who package the plugin.

use std::path::PathBuf;

use clap::Args;

/// `man`
#[derive(Args, Debug)]
pub struct Man {
    /// The folder to write into; it has to be there
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}
