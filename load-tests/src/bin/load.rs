//! The load as a program: sends at a fixed rate for a time, or until it is interrupted, and prints
//! the report as JSON.

// A program speaks to the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use http::Uri;
use tidegate_load_tests::load::{Http, Load, Report, Rhythm, Target};
use tokio::signal::unix::{SignalKind, signal};

/// Send requests at a fixed rate, whatever becomes of them, and say what became of them.
#[derive(Parser)]
struct Arguments {
    /// Where to, for instance http://192.0.2.1:8000/.
    uri: Uri,
    /// The host to ask for, if it is not the address's.
    #[arg(long)]
    host: Option<String>,
    /// Requests per second.
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
    /// Share of the requests with a connection of their own, 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    fresh: f64,
    /// Seconds to send for; without it, until SIGINT or SIGTERM.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds after which a request without an answer has failed.
    #[arg(long, default_value_t = 10.0)]
    timeout: f64,
    /// File for the report; without it, standard output.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (rate, fresh) = (arguments.rate, arguments.fresh);
    ensure!(
        rate > 0.0 && rate <= 1e5,
        "--rate {rate}: above 0, at most 100000"
    );
    ensure!((0.0..=1.0).contains(&fresh), "--fresh {fresh}: 0 to 1");
    let seconds = |name: &str, seconds: f64| {
        Duration::try_from_secs_f64(seconds).with_context(|| format!("--{name} {seconds}"))
    };
    let target = Target {
        uri: arguments.uri,
        host: arguments.host,
        timeout: seconds("timeout", arguments.timeout)?,
    };
    let length = arguments.seconds.map(|s| seconds("seconds", s));
    let length = length.transpose()?;
    let (mut interrupted, mut terminated) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let load = Load::start(Rhythm { rate, fresh }, Http::new(target));
    let time = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    let report = load.end().await;
    eprintln!("{}", summary(&report));
    let text = serde_json::to_string_pretty(&report)?;
    match &arguments.output {
        Some(file) => std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display())),
        None => {
            println!("{text}");
            Ok(())
        }
    }
}

fn summary(report: &Report) -> String {
    let versions = report.versions.iter();
    let versions: Vec<String> = versions
        .map(|(name, version)| {
            format!(
                "{name}: {} ({} bad)",
                version.counts.answers, version.counts.bad
            )
        })
        .collect();
    format!(
        "{} requests, {} lost, {} bad, {} not sent; p50 {:.1} ms, p99 {:.1} ms; {}",
        report.requests,
        report.lost,
        report.bad,
        report.not_sent,
        report.latency.quantile_ms(0.5),
        report.latency.quantile_ms(0.99),
        versions.join(", ")
    )
}
