//! Dashboards and alerts, against a real Prometheus that has scraped the real processes.

use super::super::table::Bench;
use super::canary::shop;
use crate::monitoring::dashboards;
use serde_json::{Value, json};
use tidegate_lab::prometheus::Prometheus;
use tidegate_lab::wait;

/// Panels of the fleet that have nothing to show while nothing waits, goes back or is reverted.
const MAY_BE_EMPTY: &[&str] = &[
    "Not healthy",
    "What they wait for",
    "On their way: percent of the traffic",
    "Reverts of the last day by phase",
    "From abort to push",
];

/// Each query of each dashboard is answered, and those of the fleet have data.
pub async fn dashboards_have_data(bench: Bench) {
    let config = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{
            "job_name": "tidegate",
            "honor_labels": true,
            "static_configs": [{"targets": bench.lab.metrics}],
        }],
    });
    let prometheus = bench.lab.prometheus_of(&bench.namespace, &config).await;
    let _shop = shop(&bench, "[{setWeight: 20}, {pause: {}}]").await;
    let seen = format!(
        "tidegate_rollout_phase{{namespace=\"{}\"}}",
        bench.namespace
    );
    wait::until("the Rollout is among the metrics", async || {
        let found = ask(&prometheus, &seen).await.ok()?;
        (!found.is_empty()).then_some(())
    })
    .await;
    // The Git writer is the second target.
    wait::until("the Git writer has been scraped", async || {
        let found = ask(&prometheus, "tidegate_git_oldest_waiting_seconds").await;
        (!found.ok()?.is_empty()).then_some(())
    })
    .await;
    for board in dashboards() {
        for (panel, query) in &board.queries {
            let query = query
                .replace("$namespace", &bench.namespace)
                .replace("$rollout", "shop");
            let found = ask(&prometheus, &query).await;
            let found = found.unwrap_or_else(|e| panic!("{}: {panel}: {query}: {e}", board.name));
            let needed = board.name == "fleet" && !MAY_BE_EMPTY.contains(&panel.as_str());
            if needed {
                assert!(!found.is_empty(), "{}: {panel}: {query}", board.name);
            }
        }
    }
}

/// What a query finds, or what Prometheus says of it.
async fn ask(prometheus: &Prometheus, query: &str) -> Result<Vec<Value>, String> {
    let url = format!("{}/api/v1/query", prometheus.url());
    let mut url = reqwest::Url::parse(&url).map_err(|e| e.to_string())?;
    url.query_pairs_mut().append_pair("query", query);
    let answer = reqwest::get(url).await.map_err(|e| e.to_string())?;
    let answer: Value = answer.json().await.map_err(|e| e.to_string())?;
    match answer["data"]["result"].as_array() {
        Some(found) if answer["status"] == "success" => Ok(found.clone()),
        _ => Err(answer.to_string()),
    }
}
