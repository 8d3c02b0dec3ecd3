//! The `tidegate` program: the controller, and what an administrator needs around it.

mod notify_test;
mod revert_file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use tidegate::cli::args::Global;
use tidegate::cli::client::Session;
use tidegate::controller::lease::{Election, Times};
use tidegate::controller::run::{self, Config};
use tidegate::controller::telemetry::{self, LogFormat};
use tidegate::core::observed::Settings;
use tidegate::git::GitWriterArgs;
use tidegate::metrics_source::{Endpoint, Source};
use tidegate::page;
use tokio::signal::unix::{SignalKind, signal};

/// Longest time without an answer from the API server before a lease call is given up: well below
/// the deadline for its renewal.
const LEASE_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one request of the page may take; its watches take as long as they like.
const PAGE_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Progressive delivery for Kubernetes.
#[derive(Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry new versions out: the controller of Rollouts.
    Controller(Box<ControllerArgs>),
    /// Take bad changes out of Git: the only process that holds Git credentials.
    GitWriter(Box<GitWriterCommand>),
    /// Serve the page of all Rollouts to look at, behind something that asks who comes.
    Dashboard(DashboardCommand),
    /// Show the main job without a cluster: the real controller in a world of its own.
    Demo(tidegate::demo::Options),
    /// Simulate rollouts under faults, and hold each to what must never happen.
    Simulate(tidegate::sim::simulate::Options),
    /// Take a bad change out of one file, by the Git writer's own code: no cluster, no repository.
    #[command(after_help = revert_file::EXIT_CODES)]
    RevertFile(revert_file::Options),
    /// Send a made-up notification to each receiver of a file, and say what came of it.
    NotifyTest(notify_test::Options),
    /// Write the CustomResourceDefinitions, to standard output or one file per kind into a folder.
    Crds {
        /// The folder; it is made if it does not exist.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
struct ControllerArgs {
    /// Look at this namespace only, and read nothing that is cluster-scoped. Default: all namespaces.
    #[arg(long, env = "TIDEGATE_NAMESPACE")]
    namespace: Option<String>,
    /// Name of this cluster, as it stands in the commit messages of reverts.
    #[arg(long, env = "TIDEGATE_CLUSTER_NAME", value_parser = label)]
    cluster_name: Option<String>,
    /// Name of this installation; two with different names do not exclude each other.
    #[arg(long, env = "TIDEGATE_INSTANCE", default_value = "tidegate", value_parser = label)]
    instance: String,
    /// Act only while holding a Lease, so that a second replica can stand by.
    #[arg(long, env = "TIDEGATE_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    leader_election: bool,
    /// Namespace of the Lease. Default: the one that this process runs in.
    #[arg(long, env = "TIDEGATE_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Calls per second to the API server. Aborts have as many again for themselves.
    #[arg(long, env = "TIDEGATE_QPS", default_value_t = 40.0, value_parser = qps)]
    qps: f64,
    /// Calls to the API server at once after a quiet time.
    #[arg(long, env = "TIDEGATE_BURST", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    burst: u32,
    /// Rollouts worked on at the same time, aborts aside.
    #[arg(long, env = "TIDEGATE_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// Seconds until a changed Service, Ingress or HTTPRoute has reached the data plane.
    #[arg(long, env = "TIDEGATE_SETTLE_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(i64).range(0..=600))]
    settle_seconds: i64,
    /// The Prometheus for analyses that name no provider, where there is no MetricsProvider `default`.
    #[arg(long, env = "TIDEGATE_PROMETHEUS_URL", value_name = "URL")]
    prometheus_url: Option<String>,
    /// File that says who is told what happens; it is read at the start. Default: nobody is told.
    #[arg(long, env = "TIDEGATE_NOTIFICATIONS_CONFIG", value_name = "FILE")]
    notifications_config: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "TIDEGATE_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_address: std::net::SocketAddr,
    /// How log lines look.
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Args)]
struct GitWriterCommand {
    #[command(flatten)]
    writer: GitWriterArgs,
    /// How log lines look.
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Args)]
struct DashboardCommand {
    /// Show this namespace only. Default: all namespaces.
    #[arg(long, env = "TIDEGATE_NAMESPACE")]
    namespace: Option<String>,
    /// A name under which the page is reached; may be repeated. Requests for others are refused.
    #[arg(
        long,
        env = "TIDEGATE_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    allowed_host: Vec<String>,
    /// Where the page and /healthz are served.
    #[arg(long, env = "TIDEGATE_PAGE_ADDRESS", default_value = "0.0.0.0:8080")]
    page_address: std::net::SocketAddr,
    /// How log lines look.
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

fn main() -> ExitCode {
    let installed = rustls::crypto::ring::default_provider().install_default();
    match installed
        .map_err(|_| anyhow::anyhow!("a TLS provider is set already"))
        .and_then(|()| act())
    {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("tidegate: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each once: some libraries repeat the cause in the text.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn act() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Crds { out } => crds(out.as_deref())?,
        Command::Demo(options) => {
            return run_to_the_end(async { Ok(tidegate::demo::run(options).await) });
        }
        Command::Simulate(options) => return Ok(tidegate::sim::simulate::run(&options)),
        Command::RevertFile(options) => return revert_file::run(&options),
        Command::NotifyTest(options) => {
            return run_to_the_end(notify_test::run(options));
        }
        Command::Controller(args) => run_to_the_end(controller(*args))?,
        Command::GitWriter(args) => run_to_the_end(git_writer(*args))?,
        Command::Dashboard(args) => run_to_the_end(Box::pin(dashboard(args)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_to_the_end<T>(process: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(process);
    // What still waits for an answer does not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn git_writer(args: GitWriterCommand) -> anyhow::Result<()> {
    telemetry::init(args.log_format).map_err(|e| anyhow::anyhow!("cannot set up logging: {e}"))?;
    Ok(tidegate::git::run(args.writer).await?)
}

/// To look at only: everybody whom the ingress lets in has the rights of this pod.
async fn dashboard(args: DashboardCommand) -> anyhow::Result<()> {
    telemetry::init(args.log_format).map_err(|e| anyhow::anyhow!("cannot set up logging: {e}"))?;
    let global = Global {
        kubeconfig: None,
        context: None,
        namespace: args.namespace.clone(),
        output: None,
        no_color: true,
        request_timeout: PAGE_REQUEST_TIMEOUT,
    };
    let session = Session::connect(&global).await?;
    let options = page::Options {
        address: args.page_address,
        hosts: args.allowed_host,
        namespace: args.namespace,
        read_only: true,
        open: true,
    };
    let mut served = page::serve(session, options).await?;
    tracing::info!(url = served.url(), "the page");
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        ended = served.ended() => ended.context("the page is not served any more"),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn crds(out: Option<&Path>) -> anyhow::Result<()> {
    let files = tidegate::api::manifests::manifests();
    let Some(folder) = out else {
        for (_, yaml) in files {
            anstream::print!("---\n{yaml}");
        }
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, yaml) in files {
        let path = folder.join(name);
        std::fs::write(&path, yaml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn controller(args: ControllerArgs) -> anyhow::Result<()> {
    telemetry::init(args.log_format).map_err(|e| anyhow::anyhow!("cannot set up logging: {e}"))?;
    let mut kube = kube::Config::infer()
        .await
        .context("no way to the API server: neither a ServiceAccount nor a kubeconfig was found")?;
    // Every call has a deadline and is tried again with our own backoff.
    kube.default_retry = false;
    let identity = identity();
    let election = if args.leader_election {
        let mut lease = kube.clone();
        lease.read_timeout = Some(LEASE_READ_TIMEOUT);
        Some(Election {
            namespace: args
                .lease_namespace
                .unwrap_or_else(|| kube.default_namespace.clone()),
            client: kube::Client::try_from(lease).context("cannot make a client for the lease")?,
            name: format!("{}-controller", args.instance),
            identity: identity.clone(),
            times: Times::default(),
            clock: Arc::new(jiff::Timestamp::now),
        })
    } else {
        None
    };
    let default_source = match args.prometheus_url {
        Some(url) => {
            let endpoint = Endpoint {
                url,
                ..Endpoint::default()
            };
            Some(Source::new(endpoint).context("--prometheus-url (TIDEGATE_PROMETHEUS_URL)")?)
        }
        None => None,
    };
    let notifications = match &args.notifications_config {
        Some(file) => Some(tidegate::notify::Config::read(file)?),
        None => None,
    };
    let config = Config {
        namespace: args.namespace,
        cluster_name: args.cluster_name,
        identity,
        settings: Settings {
            settle: SignedDuration::from_secs(args.settle_seconds),
        },
        qps: args.qps,
        burst: args.burst,
        concurrency: args.concurrency,
        metrics_address: Some(args.metrics_address),
        default_source,
        notifications,
        election,
        clock: Arc::new(jiff::Timestamp::now),
    };
    let client = kube::Client::try_from(kube).context("cannot make a client")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run::run(config, client, shutdown).await?;
    Ok(())
}

/// This process: the pod's name, and something that a restart in the same pod does not repeat.
fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    let host = host.unwrap_or_else(|_| "tidegate".to_owned());
    let started = jiff::Timestamp::now().as_nanosecond();
    format!(
        "{host}_{}",
        tidegate::core::naming::hex(&format!("{started}{}", std::process::id()), 8)
    )
}

/// A name that may stand in object names and labels.
fn label(text: &str) -> Result<String, String> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=52).contains(&text.len())
        && text.chars().all(|c| edge(c) || c == '-')
        && text.starts_with(edge)
        && text.ends_with(edge);
    if good {
        Ok(text.to_owned())
    } else {
        Err(
            "write 1 to 52 lower-case letters, digits and dashes, with no dash at the ends"
                .to_owned(),
        )
    }
}

fn qps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (1.0..=10_000.0).contains(&value) => Ok(value),
        _ => Err("write a number from 1 to 10000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_in_the_documentation() {
        let documented = include_str!("../../docs/operations.md");
        let command = Cli::command();
        for name in ["controller", "git-writer", "dashboard"] {
            let process = command.find_subcommand(name).unwrap();
            let section = documented
                .split("## tidegate ")
                .find(|s| s.starts_with(name));
            let section = section.unwrap();
            for flag in process.get_arguments().filter_map(|a| a.get_long()) {
                let row = format!("| `--{flag}` |");
                assert!(section.contains(&row), "{name} --{flag}");
            }
        }
        let documented = include_str!("../../docs/notifications.md");
        let test = command.find_subcommand("notify-test").unwrap();
        for flag in test.get_arguments().filter_map(|a| a.get_long()) {
            let row = format!("| `--{flag} ");
            assert!(documented.contains(&row), "notify-test --{flag}");
        }
        let documented = include_str!("../../docs/gitops.md");
        let command = command.find_subcommand("revert-file").unwrap();
        for flag in command.get_arguments().filter_map(|a| a.get_long()) {
            let row = format!("| `--{flag} ");
            assert!(documented.contains(&row), "revert-file --{flag}");
        }
    }

    #[test]
    fn names_and_rates_are_checked() {
        assert!(label("east-1").is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", &"x".repeat(53)] {
            assert!(label(bad).is_err(), "{bad}");
        }
        assert!(
            qps("0.5").is_err() && qps("x").is_err() && qps("NaN").is_err() && qps("40").is_ok()
        );
    }
}
