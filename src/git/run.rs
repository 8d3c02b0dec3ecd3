//! The Git writer as a process: checks what it needs, follows Reverts until it is told to stop.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};

use crate::api::revert::Revert;
use crate::notify::{self, Notifier};

use super::args::{ArgsError, GitWriterArgs};
use super::metrics::WriterMetrics;
use super::notices::Notices;
use super::repo::WORK_DIR_PREFIX;
use super::server;
use super::writer::{LookError, Writer};

/// How long an orderly end may take, within the 30 s that Kubernetes gives a pod: a push that is
/// under way may end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The oldest git that has all that is used.
const GIT_VERSION_MIN: (u32, u32) = (2, 30);

/// Why the writer cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag cannot be carried out.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// There is no git, or one that is too old.
    #[error("{program}: {problem}; git {major}.{minor} or newer is needed", major = GIT_VERSION_MIN.0, minor = GIT_VERSION_MIN.1)]
    Git {
        /// The program.
        program: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file of `--notifications-config` cannot be carried out.
    #[error(transparent)]
    Notifications(#[from] notify::ConfigError),
    /// No way to the API server.
    #[error("cannot reach the API server: {0}")]
    Client(String),
    /// The address for probes and metrics cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something ended that runs until the end.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// Runs the writer with the pod's or the user's configuration until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`]: what makes it impossible to go on.
pub async fn run(args: GitWriterArgs) -> Result<(), RunError> {
    let no_client = |error: &dyn std::error::Error| RunError::Client(error.to_string());
    let mut config = kube::Config::infer().await.map_err(|e| no_client(&e))?;
    // Every call has a deadline and is tried again with our own backoff.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|e| no_client(&e))?;
    let stop = async {
        let terminate = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                // Without the signal there is still the other one.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = terminate => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    run_with(args, client, stop).await
}

/// Runs the writer against `client` until `stop`.
///
/// # Errors
/// [`RunError`]: what makes it impossible to go on.
pub async fn run_with(
    args: GitWriterArgs,
    client: Client,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let settings = args.settings()?;
    check_git(&settings.git.program).await?;
    if let Some(dir) = &args.work_dir {
        remove_left_overs(dir);
    }
    if settings.allowed.is_empty() {
        tracing::warn!("no --allow-repository: nothing will be pushed");
    }
    let metrics = Arc::new(WriterMetrics::default());
    let receivers = match &args.notifications_config {
        Some(file) => Some(notify::Config::read(file)?),
        None => None,
    };
    // Each Revert has the cluster's name in it.
    let (notifier, delivery) = Notifier::start(
        receivers,
        None,
        metrics.notifications(),
        notify::Limits::default(),
        Timestamp::now(),
    );
    let (ready, is_ready) = watch::channel(false);
    let server = async {
        match args.metrics_address {
            None => std::future::pending().await,
            Some(address) => match server::bind(address, is_ready, Arc::clone(&metrics)).await {
                Ok(server) => {
                    let _ = server.await;
                    RunError::Ended("the server for probes and metrics")
                }
                Err(source) => RunError::Listen { address, source },
            },
        }
    };

    let reverts: Api<Revert> = match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (stop_now, stopping) = oneshot::channel::<()>();
    let controller = Controller::new(reverts, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(args.concurrency))
        .graceful_shutdown_on(async {
            let _ = stopping.await;
        });
    let store = controller.store();
    metrics.follow(store.clone());
    let notices = Notices::new(client.clone(), std::env::var("HOSTNAME").ok());
    let writer = Writer::new(
        client,
        settings,
        Arc::clone(&metrics),
        notices,
        notifier,
        store.clone(),
    );
    let work = controller
        .run(reconcile, failed, Arc::new(writer))
        .for_each(|_| async {});
    let became_ready = async {
        if store.wait_until_ready().await.is_ok() {
            let _ = ready.send(true);
            tracing::info!("following Reverts");
        }
        std::future::pending::<()>().await;
    };

    {
        // When this is over, nobody has the notifier any more.
        let (mut work, mut server, stop) = (pin!(work), pin!(server), pin!(stop));
        tokio::select! {
            () = &mut work => return Err(RunError::Ended("the watch of Reverts")),
            error = &mut server => return Err(error),
            () = became_ready => {}
            () = stop => {}
        }
        let _ = stop_now.send(());
        if tokio::time::timeout(STOP_LIMIT, work).await.is_err() {
            tracing::warn!("stopped while a revert was under way; the next start goes on with it");
        }
    }
    delivery.end().await;
    Ok(())
}

async fn reconcile(revert: Arc<Revert>, writer: Arc<Writer>) -> Result<Action, LookError> {
    writer.reconcile(&revert).await
}

#[expect(clippy::needless_pass_by_value, reason = "the controller's signature")]
fn failed(revert: Arc<Revert>, error: &LookError, writer: Arc<Writer>) -> Action {
    Action::requeue(writer.delay_after_failure(&revert, error))
}

/// `git version 2.39.5` …
async fn check_git(program: &Path) -> Result<(), RunError> {
    let refuse = |problem: String| RunError::Git {
        program: program.display().to_string(),
        problem,
    };
    let output = tokio::process::Command::new(program)
        .arg("version")
        .output()
        .await
        .map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version(&text) {
        Some(found) if found >= GIT_VERSION_MIN => Ok(()),
        _ => Err(refuse(format!("says {text:?}"))),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .strip_prefix("git version ")?
        .split('.')
        .map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Folders of a process before us that was killed.
fn remove_left_overs(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(WORK_DIR_PREFIX)
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git_are_read() {
        assert_eq!(version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(version("git version 2.47.1.windows.1"), Some((2, 47)));
        assert_eq!(version("hg 6"), None);
    }

    #[tokio::test]
    async fn a_missing_git_is_named() {
        let error = check_git(Path::new("/nowhere/git"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nowhere/git: ") && error.contains("2.30"),
            "{error}"
        );
    }

    #[test]
    fn only_our_own_left_overs_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [format!("{WORK_DIR_PREFIX}abc"), "other".to_owned()] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        remove_left_overs(dir.path());
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "other");
    }
}
