//! Probes and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::caches::Caches;
use super::error::RunError;
use super::telemetry::Metrics;

#[derive(Clone)]
struct Shown {
    caches: Arc<Caches>,
    metrics: Arc<Metrics>,
}

/// Listens; the server runs when the result is awaited, and ends only with it.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(
    address: SocketAddr,
    caches: Arc<Caches>,
    metrics: Arc<Metrics>,
) -> Result<impl Future<Output = std::io::Result<()>>, RunError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Shown { caches, metrics });
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "probes and metrics");
    Ok(async move { axum::serve(listener, app).await })
}

/// Ready when every cache is filled and its watch works; a standby is ready too.
async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    let missing = shown.caches.not_ready();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let kinds: Vec<&str> = missing.iter().map(|kind| kind.as_str()).collect();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not read yet: {}\n", kinds.join(", ")),
    )
}

async fn metrics_text(State(shown): State<Shown>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shown.metrics.text())
}
