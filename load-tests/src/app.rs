//! The tested application: a small HTTP service with a version, metrics, readiness and a drain, whose
//! faults are set by its environment or by a request.
//!
//! On SIGTERM it does what a well-behaved service does: it is no longer ready, goes on answering
//! while the routes forget it, asks its clients to close their connections, finishes what it has
//! begun and ends.

mod behaviour;
mod metrics;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

pub use behaviour::{Behaviour, Unusable};
use metrics::Metrics;

/// Says which version answered. An answer without it came from something in between.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("x-app-version");

/// What is still under way when the drain is over is waited for so long.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A running application.
#[derive(Debug)]
pub struct App {
    behaviour: RwLock<Behaviour>,
    started: Instant,
    draining: AtomicBool,
    metrics: Metrics,
}

impl App {
    /// One that behaves so, from now on.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            behaviour: RwLock::new(behaviour),
            started: Instant::now(),
            draining: AtomicBool::new(false),
            metrics: Metrics::default(),
        })
    }

    fn behaviour(&self) -> Behaviour {
        let behaviour = self.behaviour.read();
        behaviour.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn is_ready(&self) -> bool {
        let behaviour = self.behaviour();
        !self.is_draining()
            && !behaviour.never_ready
            && self.started.elapsed() >= behaviour.startup()
    }

    /// Serves until `stop`, then drains.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let app = Arc::clone(&self);
        let (over, is_over) = tokio::sync::oneshot::channel();
        let drained = async move {
            stop.await;
            app.draining.store(true, Ordering::Relaxed);
            tokio::time::sleep(app.behaviour().drain()).await;
            // Nobody waits any longer where the server has ended by itself.
            let _ = over.send(());
        };
        let server = axum::serve(listener, self.router()).with_graceful_shutdown(drained);
        let server = server.into_future();
        tokio::pin!(server);
        let deadline = async {
            // Without a word from the drain the server goes on.
            if is_over.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            ended = &mut server => ended,
            () = deadline => Ok(()),
        }
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/healthz", get(health))
            .route("/metrics", get(metrics))
            .route("/behaviour", get(current).put(change))
            .fallback(answer)
            .with_state(self)
    }
}

/// A request: after its time the answer of the version, good or bad.
async fn answer(State(app): State<Arc<App>>) -> Response {
    let begun = Instant::now();
    let behaviour = app.behaviour();
    let wait = behaviour.latency(fastrand::f64());
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let status = if fastrand::f64() < behaviour.error_ratio {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    app.metrics.answered(status.as_u16(), begun.elapsed());
    let mut response = (status, format!("{}\n", behaviour.version)).into_response();
    if let Ok(version) = HeaderValue::from_str(&behaviour.version) {
        response.headers_mut().insert(VERSION_HEADER, version);
    }
    if app.is_draining() {
        // A client that keeps its connection would otherwise be cut off at the end.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// The readiness probe.
async fn health(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (kind, app.metrics.text()).into_response()
}

async fn current(State(app): State<Arc<App>>) -> Json<Behaviour> {
    Json(app.behaviour())
}

/// Behaves otherwise from now on; what was begun ends as it began.
async fn change(State(app): State<Arc<App>>, Json(behaviour): Json<Behaviour>) -> Response {
    if let Err(unusable) = behaviour.check() {
        return (StatusCode::BAD_REQUEST, format!("{unusable}\n")).into_response();
    }
    *app.behaviour
        .write()
        .unwrap_or_else(PoisonError::into_inner) = behaviour;
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests;
