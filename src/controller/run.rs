//! The controller as a whole: caches, leadership, the two lanes, probes, and an orderly end.
//!
//! The demo and the tests run this very function against an API server in memory.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::analysis_runs::{self, RunContext};
use super::budget::Bucket;
use super::caches::{Caches, key_of};
use super::calls::Calls;
use super::context::{Claims, Clock, Context, Failures, Slots};
use super::error::RunError;
use super::events::{self, Events};
use super::lanes::{self, Lane, Named, Triggers};
use super::lease::{Candidate, Election};
use super::object::{Kind, Object};
use super::provider_readiness;
use super::providers::Providers;
use super::server;
use super::telemetry::Metrics;
use crate::api::revert::ROLLOUT_LABEL;
use crate::core::observed::Settings;
use crate::metrics_source::Source;
use crate::notify::{self, Notifier};

/// How long the first lists may take: ten thousand Rollouts and their ReplicaSets through a busy API
/// server, with room.
const FILL_LIMIT: Duration = Duration::from_secs(120);
/// How long an orderly end may take, within the 30 s that Kubernetes gives a pod.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What the administrator set.
pub struct Config {
    /// Only this namespace; `None`: all. With a namespace, cluster-scoped kinds are not read.
    pub namespace: Option<String>,
    /// The cluster's name, for the record of a rejected version.
    pub cluster_name: Option<String>,
    /// This process, in Events.
    pub identity: String,
    /// For the planner.
    pub settings: Settings,
    /// Calls per second to the API server. Aborts have as many again for themselves.
    pub qps: f64,
    /// Calls at once after a quiet time.
    pub burst: u32,
    /// Rollouts worked on at the same time, aborts aside.
    pub concurrency: u16,
    /// Where probes and metrics are served.
    pub metrics_address: Option<SocketAddr>,
    /// The metrics source for analyses that name none, where there is no MetricsProvider `default`.
    pub default_source: Option<Source>,
    /// Who is told what happens; `None`: nobody.
    pub notifications: Option<notify::Config>,
    /// Leader election; `None`: this process leads.
    pub election: Option<Election>,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: None,
            cluster_name: None,
            identity: "tidegate".to_owned(),
            settings: Settings::default(),
            qps: 40.0,
            burst: 80,
            concurrency: 16,
            metrics_address: None,
            default_source: None,
            notifications: None,
            election: None,
            clock: Arc::new(jiff::Timestamp::now),
        }
    }
}

/// Runs the controller until `shutdown`, then ends in order.
///
/// # Errors
/// [`RunError`]: what made it impossible to go on. The process is to end with a failure then.
pub async fn run(
    config: Config,
    client: Client,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut shutdown = pin!(shutdown);
    let metrics = Arc::new(Metrics::default());
    let optional = [
        Kind::Deployment,
        Kind::HttpRoute,
        Kind::GatewayClass,
        Kind::Ingress,
        Kind::ClusterAnalysisTemplate,
        Kind::MetricsProvider,
        Kind::IngressClass,
    ];
    let caches = Arc::new(Caches::new(
        &watched_kinds(config.namespace.is_none()),
        &optional,
    ));
    let triggers = Arc::new(Triggers::default());
    let run_triggers = Arc::new(Triggers::default());

    // Whatever is in here runs to the end of the process; it stops when the set is dropped.
    let mut background = JoinSet::new();
    if let Some(address) = config.metrics_address {
        let server = server::bind(address, Arc::clone(&caches), Arc::clone(&metrics)).await?;
        background.spawn(async move {
            let reason = server
                .await
                .err()
                .map_or_else(|| "it stopped".into(), |e| e.to_string());
            RunError::Ended {
                part: "the server for probes and metrics",
                reason,
            }
        });
    }
    let writer = Writer::<Named>::default();
    let store = writer.as_reader();
    let mut writer = Some(writer);
    for kind in watched_kinds(config.namespace.is_none()) {
        let watch = Watch {
            kind,
            caches: Arc::clone(&caches),
            triggers: Arc::clone(&triggers),
            run_triggers: Arc::clone(&run_triggers),
            metrics: Arc::clone(&metrics),
            store: if kind == Kind::Rollout {
                writer.take()
            } else {
                None
            },
        };
        background.spawn(watch.run(client.clone(), config.namespace.clone()));
    }

    tokio::select! {
        filled = caches.wait_until_filled(FILL_LIMIT) => filled?,
        ended = ended(&mut background) => return Err(ended),
        () = &mut shutdown => return Ok(()),
    }
    tracing::info!(
        rollouts = caches.names(Kind::Rollout).len(),
        "caches are filled"
    );

    let mut candidate = config.election.map(Candidate::new);
    if let Some(candidate) = &mut candidate {
        tokio::select! {
            () = candidate.acquire() => {}
            ended = ended(&mut background) => return Err(ended),
            () = &mut shutdown => return Ok(()),
        }
    }
    metrics.set_leader(true);

    let everyday = Arc::new(Bucket::new(config.qps, config.burst));
    let aborts = Arc::new(Bucket::new(config.qps, config.burst));
    let default_source = config.default_source;
    let (events, queue) = Events::new(Arc::clone(&metrics), config.identity);
    let publisher = events::publish(
        queue,
        client.clone(),
        Arc::clone(&everyday),
        Arc::clone(&metrics),
    );
    // What happened until now was told by whoever led before.
    let (notifier, delivery) = Notifier::start(
        config.notifications,
        config.cluster_name.clone(),
        metrics.notifications(),
        notify::Limits::default(),
        (config.clock)(),
    );
    let (_, normal_queue) = triggers.listen();
    let (hand_over, urgent_queue) = triggers.listen();
    let ctx = Arc::new(Context {
        caches: Arc::clone(&caches),
        normal: Calls::new(client.clone(), everyday, Arc::clone(&metrics)),
        urgent: Calls::new(client.clone(), aborts, Arc::clone(&metrics)),
        clock: config.clock,
        settings: config.settings,
        cluster_name: config.cluster_name,
        cluster_wide: config.namespace.is_none(),
        metrics: Arc::clone(&metrics),
        events,
        notifier,
        hand_over,
        slots: Slots::new(config.concurrency),
        failures: Failures::default(),
        claims: Claims::default(),
    });
    let stop = watch::Sender::new(false);
    let mut workers = JoinSet::new();
    let providers = Arc::new(Providers::new(
        Arc::clone(&caches),
        ctx.normal.clone(),
        default_source,
        ctx.cluster_wide,
    ));
    let runs = Arc::new(RunContext {
        caches: Arc::clone(&caches),
        normal: ctx.normal.clone(),
        urgent: ctx.urgent.clone(),
        clock: Arc::clone(&ctx.clock),
        providers: Arc::clone(&providers),
        metrics: Arc::clone(&metrics),
    });
    let (_, run_queue) = run_triggers.listen();
    workers.spawn(analysis_runs::run(runs, run_queue, stop.subscribe()));
    workers.spawn(provider_readiness::run(
        Arc::clone(&caches),
        providers,
        ctx.normal.clone(),
        Arc::clone(&ctx.clock),
        stop.subscribe(),
    ));
    for (lane, queue) in [(Lane::Urgent, urgent_queue), (Lane::Normal, normal_queue)] {
        let (ctx, store, stop) = (Arc::clone(&ctx), store.clone(), stop.subscribe());
        workers.spawn(lanes::run(ctx, lane, store, queue, stop));
    }
    // Ends when the last look has let go of the context.
    workers.spawn(publisher);
    drop(ctx);
    for key in caches.names(Kind::Rollout) {
        triggers.send(&key);
    }
    for key in caches.names(Kind::AnalysisRun) {
        run_triggers.send(&key);
    }

    tokio::select! {
        () = &mut shutdown => {}
        reason = keep(&mut candidate) => {
            // Nothing may be written any more: another process may lead from now on.
            workers.abort_all();
            return Err(RunError::LeaseLost { reason });
        }
        ended = ended(&mut background) => return Err(ended),
        _ = workers.join_next() => {
            return Err(RunError::Ended { part: "a worker", reason: "it stopped".to_owned() });
        }
    }
    tracing::info!("stops: what has begun is ended, nothing new is begun");
    stop.send_replace(true);
    let finished = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        () = finished => {}
        _ = keep(&mut candidate) => {}
        () = tokio::time::sleep(STOP_LIMIT) => tracing::warn!("some work did not end in time"),
    }
    workers.shutdown().await;
    delivery.end().await;
    metrics.set_leader(false);
    if let Some(candidate) = &mut candidate {
        candidate.release().await;
    }
    Ok(())
}

/// Keeps the lease if there is one to keep.
async fn keep(candidate: &mut Option<Candidate>) -> String {
    match candidate {
        Some(candidate) => candidate.keep().await,
        None => std::future::pending().await,
    }
}

/// Waits for a part that must not end.
async fn ended(background: &mut JoinSet<RunError>) -> RunError {
    match background.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(panic)) => RunError::Ended {
            part: "a watch",
            reason: panic.to_string(),
        },
        None => std::future::pending().await,
    }
}

fn watched_kinds(cluster_wide: bool) -> Vec<Kind> {
    let mut kinds = vec![
        Kind::Rollout,
        Kind::ReplicaSet,
        Kind::Deployment,
        Kind::Service,
        Kind::HttpRoute,
        Kind::Ingress,
        Kind::AnalysisRun,
        Kind::AnalysisTemplate,
        Kind::Revert,
    ];
    if cluster_wide {
        kinds.extend([
            Kind::ClusterAnalysisTemplate,
            Kind::MetricsProvider,
            Kind::GatewayClass,
            Kind::IngressClass,
        ]);
    }
    kinds
}

/// Keeps one table of the caches up to date, and asks for looks.
struct Watch {
    kind: Kind,
    caches: Arc<Caches>,
    triggers: Arc<Triggers>,
    /// For AnalysisRuns.
    run_triggers: Arc<Triggers>,
    metrics: Arc<Metrics>,
    /// For Rollouts: what the scheduler of the lanes knows them by.
    store: Option<Writer<Named>>,
}

impl Watch {
    async fn run(mut self, client: Client, namespace: Option<String>) -> RunError {
        let api = self.kind.api(client, namespace.as_deref());
        let config = match self.kind {
            // Of these only what Tidegate made is of interest.
            Kind::ReplicaSet | Kind::Revert => watcher::Config::default().labels(ROLLOUT_LABEL),
            _ => watcher::Config::default(),
        };
        let mut stream = pin!(watcher(api, config).default_backoff());
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => self.failed(&error),
            }
        }
        RunError::Ended {
            part: "a watch",
            reason: format!("of {}s", self.kind),
        }
    }

    fn take(&mut self, event: Event<Object>) {
        let named = self.store.is_some().then(|| name_only(&event));
        let listed = matches!(event, Event::InitDone);
        let mut runs = match &event {
            _ if self.kind != Kind::AnalysisRun => Vec::new(),
            Event::Apply(run) | Event::Delete(run) => vec![key_of(run)],
            Event::Init | Event::InitApply(_) => Vec::new(),
            // What this list lacks was deleted unseen, so those known until now are looked at, too.
            Event::InitDone => self.caches.names(self.kind),
        };
        let concerned = self.caches.apply(self.kind, event);
        if listed && self.kind == Kind::AnalysisRun {
            runs.extend(self.caches.names(self.kind));
        }
        for key in &runs {
            self.run_triggers.send(key);
        }
        if let (Some(store), Some(named)) = (&mut self.store, named) {
            store.apply_watcher_event(&named);
        }
        for key in concerned {
            if self.caches.get(Kind::Rollout, &key.0, &key.1).is_some() {
                self.triggers.send(&key);
            } else {
                self.metrics.forget(&key);
            }
        }
    }

    fn failed(&self, error: &watcher::Error) {
        let absent = matches!(code(error), Some(403 | 404));
        let was_working = self.caches.failed(self.kind, absent);
        if self.caches.is_optional(self.kind) && absent {
            tracing::debug!(kind = %self.kind, %error, "not served, or may not be read");
        } else if was_working {
            tracing::warn!(kind = %self.kind, %error, "the watch fails; it is tried again");
        } else {
            tracing::debug!(kind = %self.kind, %error, "the watch still fails");
        }
    }
}

/// The API server's answer to a watch or its first list.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// The same event with nothing but names.
fn name_only(event: &Event<Object>) -> Event<Named> {
    let named = |object: &Object| Named {
        types: None,
        metadata: ObjectMeta {
            name: Some(object.name().to_owned()),
            namespace: Some(object.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        _phantom: PhantomData,
    };
    match event {
        Event::Apply(object) => Event::Apply(named(object)),
        Event::Delete(object) => Event::Delete(named(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(named(object)),
        Event::InitDone => Event::InitDone,
    }
}
