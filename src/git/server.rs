//! Probes and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics::WriterMetrics;

/// Listens; the server runs while the result is awaited.
pub(super) async fn bind(
    address: SocketAddr,
    ready: watch::Receiver<bool>,
    metrics: Arc<WriterMetrics>,
) -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "probes and metrics");
    let is_ready = move || {
        let answer = if *ready.borrow() {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "Reverts not read yet\n")
        };
        async move { answer }
    };
    let text = move || {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let text = metrics.text();
        async move { ([(header::CONTENT_TYPE, kind)], text) }
    };
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(is_ready))
        .route("/metrics", get(text));
    Ok(async move { axum::serve(listener, app).await })
}
