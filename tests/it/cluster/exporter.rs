//! The endpoint that Prometheus scrapes: what the pods on paper have answered.

use super::traffic::Answers;
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::get;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// `/targets` for Prometheus' service discovery, and each pod's own `/metrics`.
pub struct Exporter {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Serves what the pods have answered.
    pub async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/targets", get(targets))
            .route("/pods/{namespace}/{pod}/metrics", get(metrics))
            .with_state((answers, address));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("exporter: {error}");
            }
        });
        Self { address, task }
    }

    /// Where Prometheus finds what to scrape.
    pub fn targets(&self) -> String {
        format!("http://{}/targets", self.address)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One target per pod, with the labels that Prometheus' own discovery would give it.
async fn targets(State((answers, address)): State<(Answers, SocketAddr)>) -> Json<Value> {
    let targets = answers
        .pods()
        .into_iter()
        .map(|((namespace, pod), answered)| {
            let mut labels = json!({
                "__metrics_path__": format!("/pods/{namespace}/{pod}/metrics"),
                "instance": format!("{}:8080", answered.address),
                "namespace": namespace,
                "pod": pod,
            });
            for (name, value) in &answered.labels {
                if name == "app" {
                    labels["service"] = json!(value);
                } else {
                    labels[label_name(name)] = json!(value);
                }
            }
            json!({"targets": [address.to_string()], "labels": labels})
        });
    Json(targets.collect())
}

/// What Prometheus makes of a Kubernetes label's name.
fn label_name(name: &str) -> String {
    name.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

/// A pod's page. The series of errors is born with the first error, as in most applications.
async fn metrics(
    State((answers, _)): State<(Answers, SocketAddr)>,
    UrlPath(key): UrlPath<(String, String)>,
) -> Result<String, StatusCode> {
    let answered = answers.pod(&key).ok_or(StatusCode::NOT_FOUND)?;
    let mut page = String::from("# TYPE http_requests_total counter\n");
    for (code, count) in [("200", answered.good), ("500", answered.bad)] {
        if code == "200" || count > 0 {
            let _ = writeln!(page, "http_requests_total{{code=\"{code}\"}} {count}");
        }
    }
    Ok(page)
}
