//! A real Prometheus that scrapes the pods on paper, and the endpoint that it scrapes.

use super::process::{Program, free_ports};
use super::traffic::Answers;
use super::wait;
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::get;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Seconds between two scrapes: as dense as Prometheus allows, so that evidence grows fast.
pub const SCRAPE_INTERVAL_S: u64 = 1;

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
    let pods = answers.pods();
    let answered = pods.get(&key).ok_or(StatusCode::NOT_FOUND)?;
    let mut page = String::from("# TYPE http_requests_total counter\n");
    for (code, count) in [("200", answered.good), ("500", answered.bad)] {
        if code == "200" || count > 0 {
            let _ = writeln!(page, "http_requests_total{{code=\"{code}\"}} {count}");
        }
    }
    Ok(page)
}

/// A running Prometheus.
pub struct Prometheus {
    url: String,
    start: Start,
    program: Option<Program>,
}

struct Start {
    tools: PathBuf,
    home: PathBuf,
    name: String,
    port: u16,
}

impl Prometheus {
    /// Starts one that scrapes the exporter's targets, and waits until it answers.
    pub async fn start(tools: &Path, home: &Path, name: &str, exporter: &Exporter) -> Self {
        let [port] = free_ports();
        let config = json!({
            "global": {"scrape_interval": format!("{SCRAPE_INTERVAL_S}s")},
            "scrape_configs": [{
                "job_name": "pods",
                "http_sd_configs": [{
                    "url": format!("http://{}/targets", exporter.address),
                    "refresh_interval": "1s",
                }],
            }],
        });
        // JSON is YAML.
        let file = home.join(format!("{name}.yaml"));
        std::fs::write(file, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
        let start = Start {
            tools: tools.to_path_buf(),
            home: home.to_path_buf(),
            name: name.to_owned(),
            port,
        };
        let mut prometheus = Self {
            url: format!("http://127.0.0.1:{port}"),
            start,
            program: None,
        };
        prometheus.resume().await;
        prometheus
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it: from now on its address refuses connections.
    pub async fn stop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.stop().await;
        }
    }

    /// Starts it again on the same address with what it had stored.
    pub async fn resume(&mut self) {
        let Start {
            tools,
            home,
            name,
            port,
        } = &self.start;
        let path = |suffix: &str| home.join(format!("{name}{suffix}")).display().to_string();
        let mut command = Command::new(tools.join("prometheus"));
        command
            .arg(format!("--config.file={}", path(".yaml")))
            .arg(format!("--storage.tsdb.path={}", path("-data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn");
        let mut program = Program::foreign(tools, home, name, &command);
        wait::until("Prometheus is ready", async || {
            program.assert_running();
            let answer = reqwest::get(format!("{}/-/ready", self.url)).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        self.program = Some(program);
    }

    /// The sum that an instant query gives, 0 for nothing.
    pub async fn value(&self, query: &str) -> f64 {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.url)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let results = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let numbers = results
            .iter()
            .filter_map(|result| result["value"][1].as_str());
        numbers.filter_map(|text| text.parse::<f64>().ok()).sum()
    }
}
