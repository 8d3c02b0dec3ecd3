//! One watch for each kind, for as long as the page is served. What they bring goes into [`Seen`]; that
//! something has changed is told to whoever looks.

use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, Resource};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;

use super::seen::{Of, Seen};
use crate::api::analysis::AnalysisRun;
use crate::api::revert::{ROLLOUT_LABEL, Revert};
use crate::api::rollout::Rollout;
use crate::cli::client::{Asked, ROLLOUTS, Session};
use crate::cli::error::CliError;
use crate::cli::objects::{REPLICA_SETS, REVERTS, RUNS};

/// What is known, and a number that grows with each change of it.
#[derive(Clone, Debug)]
pub struct Known {
    seen: Arc<RwLock<Seen>>,
    changes: watch::Sender<u64>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            seen: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Known {
    /// Looks at what is known.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes what is known, and says so.
    pub fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// The namespace whose Rollouts can be looked at: empty is all of them. Who may not list the whole cluster
/// sees the namespace of his context, and is told why.
///
/// # Errors
/// When the API server gives no answer that tells.
pub async fn place(
    session: &Session,
    wanted: Option<&str>,
) -> Result<(String, Option<String>), CliError> {
    if let Some(namespace) = wanted {
        return Ok((namespace.to_owned(), None));
    }
    let everywhere = Asked {
        verb: "list",
        resource: ROLLOUTS,
        namespace: String::new(),
    };
    let api: Api<Rollout> = Api::all(session.client.clone());
    let one = ListParams::default().limit(1);
    match session.ask(&everywhere, api.list_metadata(&one)).await {
        Ok(_) => Ok((String::new(), None)),
        Err(why @ CliError::Forbidden { .. }) => {
            let here = &session.namespace;
            let note =
                format!("only namespace {here} is shown, another one is chosen by -n: {why}");
            Ok((here.clone(), Some(note)))
        }
        // The page says it, and goes on when the API server answers.
        Err(
            CliError::Unreachable { .. } | CliError::Api { .. } | CliError::NotInstalled { .. },
        ) => Ok((String::new(), None)),
        Err(other) => Err(other),
    }
}

/// Watches until it is ended from outside.
pub async fn run(session: Session, place: String, known: Known) {
    let of_rollouts = watcher::Config::default().labels(ROLLOUT_LABEL);
    let mut all = select_all([
        stream::<Rollout>(
            &session,
            &place,
            Of::Rollout,
            ROLLOUTS,
            watcher::Config::default(),
        ),
        stream::<ReplicaSet>(
            &session,
            &place,
            Of::ReplicaSet,
            REPLICA_SETS,
            of_rollouts.clone(),
        ),
        stream::<AnalysisRun>(&session, &place, Of::Run, RUNS, of_rollouts.clone()),
        stream::<Revert>(&session, &place, Of::Revert, REVERTS, of_rollouts),
    ]);
    while let Some((of, resource, event)) = all.next().await {
        match event {
            Ok(event) => {
                known.change(|seen| seen.apply(of, resource, event, Timestamp::now()));
            }
            Err(watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e)) => {
                let asked = Asked {
                    verb: "watch",
                    resource,
                    namespace: place.clone(),
                };
                let why = session.explain(&asked, &e);
                let text = format!("{resource} may be out of date or missing: {why}");
                known.change(|seen| seen.trouble(resource, text));
            }
            // The server closes watches now and then; the next one takes over at once.
            Err(_) => {}
        }
    }
}

type Brought = (
    Of,
    &'static str,
    watcher::Result<watcher::Event<DynamicObject>>,
);

fn stream<K: Resource<DynamicType = ()>>(
    session: &Session,
    place: &str,
    of: Of,
    resource: &'static str,
    config: watcher::Config,
) -> BoxStream<'static, Brought> {
    let kind = ApiResource::erase::<K>(&());
    let client = session.client.clone();
    let api: Api<DynamicObject> = match place {
        "" => Api::all_with(client, &kind),
        namespace => Api::namespaced_with(client, namespace, &kind),
    };
    watcher(api, config)
        .default_backoff()
        .map(move |event| (of, resource, event))
        .boxed()
}
