//! `tidegate notify-test`: sends a made-up notification to the receivers of a file. It needs no cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tidegate::notify::{self, Config};

#[derive(Args)]
pub struct Options {
    /// The file that `--notifications-config` names.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this receiver.
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
}

/// Sends to each once. An error is one of the file; a receiver that does not take it is a failure.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let config = Config::read(&options.config)?;
    let only = options.receiver.as_deref();
    let came_to = notify::test(&config, only, jiff::Timestamp::now()).await;
    if came_to.is_empty() {
        let names: Vec<&str> = config.receivers().iter().map(|r| r.name.as_str()).collect();
        anyhow::bail!(
            "--receiver {:?}: there is none of this name; there are {}",
            only.unwrap_or_default(),
            names.join(", ")
        );
    }
    let mut code = ExitCode::SUCCESS;
    for (name, taken) in came_to {
        match taken {
            Ok(()) => anstream::println!("{name}: taken"),
            Err(why) => {
                anstream::println!("{name}: not taken: {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
