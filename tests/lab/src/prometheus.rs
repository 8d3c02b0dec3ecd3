//! A real Prometheus.

use crate::process::{Program, free_ports};
use crate::wait;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds between two scrapes: as dense as Prometheus allows, so that evidence grows fast.
pub const SCRAPE_INTERVAL_S: u64 = 1;

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
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that scrapes what is listed under a URL (`http_sd_configs`), and waits until it answers.
    pub async fn start(tools: &Path, home: &Path, name: &str, targets: &str) -> Self {
        let config = json!({
            "global": {"scrape_interval": format!("{SCRAPE_INTERVAL_S}s")},
            "scrape_configs": [{
                "job_name": "pods",
                "http_sd_configs": [{
                    "url": targets,
                    "refresh_interval": "1s",
                }],
            }],
        });
        Self::configured(tools, home, name, &config).await
    }

    /// Starts one with this configuration, and waits until it answers.
    pub async fn configured(tools: &Path, home: &Path, name: &str, config: &Value) -> Self {
        let [port] = free_ports();
        configure(home, name, config);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let start = Start {
            tools: tools.to_path_buf(),
            home: home.to_path_buf(),
            name: name.to_owned(),
            address,
        };
        let mut prometheus = Self {
            url: format!("http://{address}"),
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
            address,
        } = &self.start;
        let command = command(tools, home, name, *address);
        let mut program = Program::foreign(tools, home, name, &command);
        until_ready(&self.url, &mut program).await;
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

/// Writes the configuration of the one with this name.
pub fn configure(home: &Path, name: &str, config: &Value) {
    // JSON is YAML.
    let file = home.join(format!("{name}.yaml"));
    std::fs::write(file, serde_json::to_vec_pretty(config).unwrap()).unwrap();
}

/// How the one with this name is started.
pub fn command(tools: &Path, home: &Path, name: &str, address: SocketAddr) -> Command {
    let path = |suffix: &str| home.join(format!("{name}{suffix}")).display().to_string();
    let mut command = Command::new(tools.join("prometheus"));
    command
        .arg(format!("--config.file={}", path(".yaml")))
        .arg(format!("--storage.tsdb.path={}", path("-data")))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn");
    command
}

/// Waits until it answers.
pub async fn until_ready(url: &str, program: &mut Program) {
    wait::until("Prometheus is ready", async || {
        program.assert_running();
        let answer = reqwest::get(format!("{url}/-/ready")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}
