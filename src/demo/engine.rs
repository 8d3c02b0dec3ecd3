//! The real thing in the made-up world: the controller and the Git writer, as they run in a cluster,
//! each with a client and an end of its own.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::repository::Repository;
use crate::controller::run::{self, Config};
use crate::core::observed::Settings;
use crate::git::GitWriterArgs;
use crate::metrics_source::{Endpoint, Source};
use crate::sim::apiserver::ApiServer;

/// The namespace of the engine itself.
pub const NAMESPACE: &str = "tidegate-system";
/// How long the data plane of the demo takes to follow a Service, with a margin.
const SETTLE: SignedDuration = SignedDuration::from_secs(1);
/// Longest wait for an orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The Git writer's command line.
#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    writer: GitWriterArgs,
}

/// The running engine.
pub struct Engine {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Engine {
    /// Starts the controller and the Git writer.
    ///
    /// # Errors
    /// What could not be started.
    pub fn start(
        api: &ApiServer,
        metrics: SocketAddr,
        repository: &Repository,
        folder: &Path,
    ) -> Result<Self> {
        let mut engine = Self {
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
            broken: Arc::default(),
        };
        let source = Source::new(Endpoint {
            url: format!("http://{metrics}"),
            ..Endpoint::default()
        })?;
        let config = Config {
            default_source: Some(source),
            cluster_name: Some("demo".to_owned()),
            identity: "tidegate-demo".to_owned(),
            settings: Settings { settle: SETTLE },
            ..Config::default()
        };
        let controller = run::run(
            config,
            api.client_as(NAMESPACE, "tidegate"),
            engine.stopped(),
        );
        engine.spawn("the controller", controller);
        let work = folder.join("git-writer");
        std::fs::create_dir_all(&work)
            .with_context(|| format!("cannot make {}", work.display()))?;
        // As in a cluster: without this flag nothing is pushed anywhere.
        let flags = Flags::try_parse_from([
            OsStr::new("git-writer"),
            OsStr::new("--allow-repository"),
            repository.path().as_os_str(),
            OsStr::new("--work-dir"),
            work.as_os_str(),
        ])?;
        let client = api.client_as(NAMESPACE, "tidegate-git-writer");
        let writer = crate::git::run_with(flags.writer, client, engine.stopped());
        engine.spawn("the Git writer", writer);
        Ok(engine)
    }

    fn spawn<E: std::error::Error + Send>(
        &mut self,
        what: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let broken = Arc::clone(&self.broken);
        let stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let why = match work.await {
                Ok(()) if *stop.borrow() => return,
                Ok(()) => "it ended by itself".to_owned(),
                Err(error) => error.to_string(),
            };
            let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.get_or_insert(format!("{what} stopped: {why}"));
        });
    }

    /// Ends when the engine is to stop.
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An engine that is gone has stopped as well.
            let _gone = stop.wait_for(|stop| *stop).await;
        }
    }

    /// What ended that should not have.
    pub fn broken(&self) -> Option<String> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it in order.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            tracing::warn!("the engine did not end within {} s", STOP_LIMIT.as_secs());
        }
        self.tasks.shutdown().await;
    }
}
