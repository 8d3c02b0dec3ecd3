//! A Prometheus for dry runs: pods whose counters are a function of time, so that any moment of the past
//! can be asked for, reached by itself or through the API server's proxy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Where the counters began: long before everything that is asked for.
const EPOCH: i64 = 1_700_000_000;
/// Seconds between scrapes.
const EVERY: i64 = 15;

/// A pod that is scraped.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// What a query has in it that selects it.
    pub mark: &'static str,
    /// Requests a second.
    pub rate: f64,
    /// The share of bad ones.
    pub bad: f64,
    /// When it was first scraped; 0: always.
    pub since: i64,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub headers: HeaderMap,
    pub query: String,
}

#[derive(Debug, Default)]
struct Shared {
    pods: Mutex<Vec<Pod>>,
    asked: Mutex<Vec<Asked>>,
    /// What the API server says instead of handing on.
    refusal: Mutex<Option<(u16, &'static str)>>,
}

/// The store; it ends when this is dropped.
pub struct Store {
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Store {
    pub async fn start(pods: Vec<Pod>) -> Self {
        let shared = Arc::new(Shared {
            pods: Mutex::new(pods),
            ..Shared::default()
        });
        let app = Router::new()
            .route("/api/v1/query", any(answer))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn refuse(&self, code: u16, message: &'static str) {
        *self.shared.refusal.lock().unwrap() = Some((code, message));
    }

    /// The way of an API server to the Service monitoring/prometheus, which is this store.
    pub fn proxy(&self) -> Router {
        let path = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/prom/api/v1/query";
        Router::new()
            .route(path, any(handed_on))
            .with_state(Arc::clone(&self.shared))
    }
}

async fn handed_on(
    state: State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let refusal = *state.refusal.lock().unwrap();
    if let Some((code, message)) = refusal {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": message, "code": code});
        return (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response();
    }
    answer(state, method, headers, uri, body).await
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let form = format!(
        "http://x/?{}&{}",
        uri.query().unwrap_or_default(),
        String::from_utf8(body.to_vec()).unwrap()
    );
    let form: BTreeMap<String, String> = reqwest::Url::parse(&form)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    let query = form["query"].clone();
    let at: i64 = form["time"].parse().unwrap();
    shared.asked.lock().unwrap().push(Asked {
        method,
        headers,
        query: query.clone(),
    });
    let pods = shared.pods.lock().unwrap().clone();
    let data = match query.strip_suffix("s]").and_then(|q| q.rsplit_once('[')) {
        Some((selector, reach)) => {
            // `[600s` or, of a subquery, `[600s:15s`.
            let (reach, step) = match reach.split_once("s:") {
                Some((reach, step)) => (reach, step.parse().unwrap()),
                None => (reach, EVERY),
            };
            let reach: i64 = reach.parse().unwrap();
            let selected = pods.iter().filter(|pod| selector.contains(pod.mark));
            let bad = selector.contains("5..");
            let series: Vec<Value> = selected
                .filter_map(|pod| series(pod, bad, at - reach, at, step))
                .collect();
            json!({"resultType": "matrix", "result": series})
        }
        None => json!({"resultType": "vector",
            "result": [{"metric": {}, "value": [at, "0.5"]}]}),
    };
    axum::Json(json!({"status": "success", "data": data})).into_response()
}

fn series(pod: &Pod, bad: bool, from: i64, to: i64, step: i64) -> Option<Value> {
    let share = if bad { pod.bad } else { 1.0 };
    let first = (from.max(pod.since)).div_euclid(step) + 1;
    let values: Vec<Value> = (first..=to.div_euclid(step))
        .map(|k| {
            let since = pod.since.max(EPOCH);
            let value = (pod.rate * share * (k * step - since) as f64).floor();
            json!([k * step, value.to_string()])
        })
        .collect();
    let labels = json!({"job": "app", "pod": pod.name});
    (!values.is_empty()).then(|| json!({"metric": labels, "values": values}))
}
