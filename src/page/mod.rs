//! The page: every Rollout at a glance, and one page for each, live. It reads by watches with the rights of
//! whoever starts it, and gives commands as `kubectl tidegate` does: by annotations. It decides nothing, keeps
//! nothing, and asks no other host than the API server.
//!
//! Objects come in by [`watches`], stand in [`seen`], and go out as parts: pieces of HTML with an id. A page is
//! its parts in a frame; what is live sends the parts that have changed. So there is one way to show a thing.

mod act;
mod assets;
mod evidence;
mod guard;
mod list;
mod live;
mod one;
mod parts;
mod past;
mod plots;
mod routes;
mod seen;
mod steps;
mod text;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cli::args::Dashboard;
use crate::cli::client::Session;
use crate::cli::error::{CliError, Exit};
use crate::cli::style::Tone;
use crate::cli::terminal::Terminal;
use guard::Guard;
use watches::Known;

/// Windows of browsers that are kept up to date at the same time.
const LIVE_MAX: usize = 64;
/// Commands that are waited for at the same time.
const COMMANDS_MAX: usize = 8;

/// How the page is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub address: SocketAddr,
    /// Other names under which it is reached.
    pub hosts: Vec<String>,
    /// The namespace; none: all, if they may be listed.
    pub namespace: Option<String>,
    /// Nothing can be asked for.
    pub read_only: bool,
    /// Whoever reaches the address may look: there is something in front of it that asks who comes.
    pub open: bool,
}

/// What the handlers share.
pub(crate) struct Page {
    session: Session,
    known: Known,
    guard: Arc<Guard>,
    read_only: bool,
    /// What is shown of the cluster, and why no more.
    place: String,
    note: Option<String>,
    live: Arc<Semaphore>,
    commands: Arc<Semaphore>,
}

/// A page that is served until this is dropped.
pub struct Served {
    url: String,
    task: JoinHandle<std::io::Result<()>>,
    watches: JoinHandle<()>,
}

impl Served {
    /// The address to open in a browser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns when it ends by itself, which it should not.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> std::io::Result<()> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(e) => Err(std::io::Error::other(e)),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        self.watches.abort();
    }
}

/// Listens, watches and serves.
///
/// # Errors
/// When the address cannot be listened on, or the credentials do not serve at all.
pub async fn serve(session: Session, options: Options) -> Result<Served, CliError> {
    let (place, note) = Box::pin(watches::place(&session, options.namespace.as_deref())).await?;
    let address = options.address;
    let listener = TcpListener::bind(address).await.map_err(|e| {
        CliError::Usage(format!(
            "cannot listen on {address}: {e}. Choose another --address or --port, or --port 0 for a free one"
        ))
    })?;
    let address = listener.local_addr()?;
    let key = match options.open {
        true => None,
        false => Some(guard::random_word()?),
    };
    let guard = Guard::new(address, &options.hosts, key, guard::random_word()?);
    let url = guard.url();
    let known = Known::default();
    let watches = tokio::spawn(watches::run(session.clone(), place.clone(), known.clone()));
    let page = Arc::new(Page {
        session,
        known,
        guard: Arc::new(guard),
        read_only: options.read_only,
        place,
        note,
        live: Arc::new(Semaphore::new(LIVE_MAX)),
        commands: Arc::new(Semaphore::new(COMMANDS_MAX)),
    });
    let app = routes::app(page);
    let task = tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(Served { url, task, watches })
}

/// `kubectl tidegate dashboard`: says where the page is and serves it until it is interrupted.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: Session,
    terminal: &mut Terminal<'_>,
    args: &Dashboard,
    namespace: Option<String>,
) -> Result<Exit, CliError> {
    let options = Options {
        address: SocketAddr::new(args.address, args.port),
        hosts: args.allowed_host.clone(),
        namespace,
        read_only: args.read_only,
        open: args.open,
    };
    let who = session.who.clone();
    let context = session.context.clone();
    let mut served = serve(session, options).await?;
    terminal.say(Tone::Strong, format!("the page is at {}", served.url()))?;
    terminal.say(
        Tone::Plain,
        format!("with the rights of {who} ({context}); Ctrl-C ends it"),
    )?;
    tokio::select! {
        ended = served.ended() => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Exit::Done)
}
