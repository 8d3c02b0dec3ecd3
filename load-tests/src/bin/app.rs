//! The tested application as a program: `app` serves, `app pause` does nothing until it is told to
//! end, which is what holds a pod's namespaces.

// A program speaks to the person who reads its log.
#![allow(clippy::print_stderr)]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_load_tests::app::{App, Behaviour};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The tested application. What it does is set by these, by the environment, or while it runs by
/// `PUT /behaviour` with the same fields as JSON.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where to listen.
    #[arg(long, env = "APP_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    behaviour: Behaviour,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Do nothing until SIGTERM.
    Pause,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    if let Some(Command::Pause) = arguments.command {
        stop.await;
        return Ok(());
    }
    let behaviour = arguments.behaviour;
    behaviour.check()?;
    if let Some(after) = behaviour.crash() {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            eprintln!("crashes, as it was told to");
            std::process::exit(1);
        });
    }
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    eprintln!("{} listens on {}", behaviour.version, arguments.listen);
    App::new(behaviour).serve(listener, stop).await?;
    Ok(())
}
