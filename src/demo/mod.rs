//! What `tidegate demo` adds to `sim`: a shop with traffic, a metrics endpoint, a Git remote, a
//! GitOps loop, and a story told with the real controller and the real Git writer.
//!
//! Nothing in here decides anything about a rollout: it only makes the world in which the engine
//! works, changes Git as a developer would, and watches.

mod engine;
mod gitops;
mod metrics;
mod plain;
mod promql;
mod repository;
mod series;
mod snapshot;
mod story;
mod traffic;
mod view;
mod world;

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use plain::Teller;
use snapshot::{Rates, Snapshot};
use view::Screen;
use world::World;

use crate::cli::client::Session;
use crate::page;

pub use story::{Outcome, RevertOutcome};

/// How long the story may take. It takes about a minute where it has a processor, and on a busy
/// machine it is still a story.
const DEADLINE: Duration = Duration::from_secs(300);
/// Time between two frames, or two looks for news.
const REDRAW: Duration = Duration::from_millis(250);
/// Cells of a terminal that does not say how wide it is.
const WIDTH: usize = 100;
/// Rows of a terminal that does not say how high it is.
const HEIGHT: usize = 40;

/// Options of `tidegate demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// End after the two scenarios: exit code 0 only if all of them happened.
    #[arg(long)]
    pub once: bool,
    /// What to print: the live view or lines, or one JSON object at the end (needs --once).
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Port on loopback for the Kubernetes API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Port on loopback for the page in the browser; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub page_port: u16,
    /// Keep the folder with the Git repository, the kubeconfig and the log.
    #[arg(long)]
    pub keep: bool,
}

/// What the demo prints on its standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A live view in a terminal, lines elsewhere.
    #[default]
    Text,
    /// One JSON object at the end; lines go to the standard error.
    Json,
}

/// How the scenarios went.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// In their order.
    pub scenarios: Vec<Outcome>,
}

/// How news is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Live,
    Lines,
    LinesOnError,
}

/// Runs the demo. Prints what went wrong on the standard error.
pub async fn run(options: Options) -> ExitCode {
    let mut stderr = anstream::stderr();
    let error = match tell(options).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let _gone = writeln!(stderr, "tidegate demo: {error:#}");
    ExitCode::FAILURE
}

async fn tell(options: Options) -> Result<()> {
    if options.output == Output::Json && !options.once {
        bail!("--output json needs --once: without it the demo never ends");
    }
    let show = match options.output {
        Output::Json => Show::LinesOnError,
        Output::Text if is_terminal() => Show::Live,
        Output::Text => Show::Lines,
    };
    let folder = tempfile::Builder::new()
        .prefix("tidegate-demo-")
        .tempdir()
        .context("cannot make a folder for the demo")?;
    log_into(&folder.path().join("tidegate.log"))?;
    let path = folder.path().to_owned();
    let _folder = if options.keep {
        let kept = folder.keep();
        say(show, &format!("everything is kept in {}", kept.display()));
        None
    } else {
        Some(folder)
    };

    let world = Arc::new(World::start(&path, options.port).await?);
    let page = page(&world, options.page_port).await?;
    let heading = format!("tidegate demo: the same in a browser is at {}", page.url());
    if show != Show::Live {
        say(show, &heading);
    }
    let hints = if options.once {
        Vec::new()
    } else {
        hints(&world)
    };
    let viewer = tokio::spawn(watch(Arc::clone(&world), show, heading, hints.clone()));
    let result = tokio::select! {
        result = scenarios(&world) => result.map(Some),
        () = interrupted() => match options.once {
            true => Err(anyhow::anyhow!("interrupted before the story was over")),
            false => Ok(None),
        },
    };
    if let (Ok(Some(_)), false) = (&result, options.once) {
        world.tell("it is your turn; Ctrl-C ends the demo");
        if show != Show::Live {
            hints.iter().for_each(|hint| say(show, hint));
        }
        tokio::select! {
            () = interrupted() => {}
            () = broken(&world) => {}
        }
    }
    let broken = world.broken();
    // The last word of the view.
    tokio::time::sleep(REDRAW * 2).await;
    viewer.abort();
    let _aborted = viewer.await;
    drop(page);
    if let Ok(world) = Arc::try_unwrap(world).map_err(|_| ()) {
        world.stop().await;
    }
    let summary = result?;
    if let Some(broken) = broken {
        bail!(broken);
    }
    let Some(summary) = summary else {
        return Ok(());
    };
    match options.output {
        Output::Json => {
            let mut stdout = std::io::stdout().lock();
            serde_json::to_writer(&mut stdout, &summary)?;
            writeln!(stdout)?;
        }
        Output::Text => {
            for scenario in &summary.scenarios {
                say(show, &sentence(scenario));
            }
            say(
                show,
                "Next: README.md shows the same in a cluster; ARCHITECTURE.md shows how it decides.",
            );
        }
    }
    Ok(())
}

/// The page of the demo's Rollout. It needs no key: the API beside it lets everybody in as well.
///
/// # Errors
/// When the port is taken.
async fn page(world: &World, port: u16) -> Result<page::Served> {
    let client = world.api.client_as(world::NAMESPACE, "kubectl-tidegate");
    let mut session = Session::new(client, world::NAMESPACE, "demo");
    session.context = "the demo's own cluster".to_owned();
    let options = page::Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        hosts: Vec::new(),
        namespace: None,
        read_only: false,
        open: true,
    };
    page::serve(session, options)
        .await
        .context("the page cannot be served (--page-port)")
}

/// The two scenarios, within the deadline.
///
/// # Errors
/// What did not happen.
async fn scenarios(world: &World) -> Result<Summary> {
    let story = async {
        story::first(world).await?;
        let promote = story::promote(world).await?;
        let abort = story::abort(world).await?;
        Ok(Summary {
            scenarios: vec![promote, abort],
        })
    };
    match tokio::time::timeout(DEADLINE, story).await {
        Ok(result) => result,
        Err(_) => bail!(
            "the story was not over after {} s; it waited until {}; the Rollout said: {}",
            DEADLINE.as_secs(),
            world.awaited(),
            last_words(world)
        ),
    }
}

/// Runs both scenarios in a folder and returns how they went: for tests.
///
/// # Errors
/// What did not happen.
pub async fn once(folder: &std::path::Path) -> Result<Summary> {
    let world = World::start(folder, 0).await?;
    let result = scenarios(&world).await;
    world.stop().await;
    result
}

/// Returns on Ctrl-C, and when the process is told to end: the folder is taken away then, too.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            // Without this signal there is still the other one.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

/// Returns when something of the engine ended that should not have.
async fn broken(world: &World) {
    while world.broken().is_none() {
        tokio::time::sleep(REDRAW).await;
    }
}

fn last_words(world: &World) -> String {
    let seen = Snapshot::take(world, &mut Rates::default());
    let status = seen.rollout.clone().unwrap_or_default();
    let analysis = seen
        .analysis
        .as_ref()
        .map_or_else(String::new, |run| format!("; analysis: {}", run.message));
    format!("{}: {}{analysis}", seen.phase(), status.message)
}

fn sentence(outcome: &Outcome) -> String {
    let revert = outcome.revert.as_ref().map_or_else(String::new, |revert| {
        let id: String = revert.commit.chars().take(8).collect();
        format!("; revert {} by commit {id}", revert.phase)
    });
    format!(
        "{}: {} after {:.0} s, {} of {} requests were bad{revert}",
        outcome.name, outcome.phase, outcome.seconds, outcome.bad_requests, outcome.requests
    )
}

/// What to try while it runs.
fn hints(world: &World) -> Vec<String> {
    let config = world.kubeconfig.display();
    let repository = world.repository.path().display();
    vec![
        "Try, in another terminal:".to_owned(),
        format!("  kubectl tidegate get checkout --watch --kubeconfig {config}"),
        format!("  kubectl get rollouts,analysisruns,reverts --kubeconfig {config}"),
        format!("  git clone {repository} shop && cd shop"),
        "  # set another tag in deploy/rollout.yaml (v4 is good, v4-bad is not), commit, push"
            .to_owned(),
        format!(
            "  curl 'http://{}/api/v1/query?query=up'",
            world.metrics_address
        ),
    ]
}

/// Shows what is new until it is ended.
async fn watch(world: Arc<World>, show: Show, heading: String, hints: Vec<String>) {
    let (mut rates, mut teller, mut screen) =
        (Rates::default(), Teller::default(), Screen::default());
    let styled = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let mut ticks = tokio::time::interval(REDRAW);
    loop {
        ticks.tick().await;
        let seen = Snapshot::take(&world, &mut rates);
        if show != Show::Live {
            teller.news(&seen).iter().for_each(|line| say(show, line));
            continue;
        }
        let (width, height) = terminal_size::terminal_size()
            .map_or((WIDTH, HEIGHT), |(w, h)| (w.0.into(), h.0.into()));
        let mut lines = view::frame(&seen, &hints, width, styled);
        lines.insert(0, heading.chars().take(width).collect());
        if screen
            .draw(&mut std::io::stdout().lock(), &lines, height)
            .is_err()
        {
            return;
        }
    }
}

fn say(show: Show, line: &str) {
    // A reader that has gone away ends nothing.
    let _gone = match show {
        Show::LinesOnError => writeln!(anstream::stderr(), "{line}"),
        Show::Live | Show::Lines => writeln!(anstream::stdout(), "{line}"),
    };
}

fn is_terminal() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !dumb
}

/// What the engine logs goes into a file: the screen is the view's.
fn log_into(path: &PathBuf) -> Result<()> {
    let file =
        std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,kube_client=warn".into());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Arc::new(file))
        .finish();
    // Somebody who set up logs before has said where they go.
    let _already = tracing::subscriber::set_global_default(logs);
    Ok(())
}
