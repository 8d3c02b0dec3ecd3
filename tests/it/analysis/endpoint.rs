//! A metrics endpoint whose counters are a function of time, so that every answer is reproducible,
//! and which fails in the ways that such endpoints fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Requests per second to the canary and to stable.
const RATES: [f64; 2] = [200.0, 800.0];
/// When the counters began.
const BEGUN: f64 = 1_700_000_000.0;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    /// The canary's ratio of bad requests; stable's is 0.1 %.
    Ratio(f64),
    /// No series.
    Nothing,
    /// Every sample is NaN.
    NotANumber,
    /// 500.
    Broken,
    /// The page of a proxy in between.
    Html,
    /// Never.
    Hangs,
    /// 429.
    Throttles,
    /// The login is refused.
    Unauthorized,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    stable: Mutex<String>,
    /// Requests a second to the canary and to stable, from when on; counters go on from where they are.
    rates: Mutex<Vec<(f64, [f64; 2])>>,
    /// The newest time that was asked for: the controller has a clock of its own.
    asked: Mutex<f64>,
    /// What an instant query that is no selector of a range returns.
    value: Mutex<f64>,
    /// The last request's headers.
    headers: Mutex<HeaderMap>,
}

/// The endpoint; it ends when this is dropped.
pub struct Endpoint {
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Endpoint {
    pub async fn start(behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            stable: Mutex::default(),
            rates: Mutex::new(vec![(BEGUN, RATES)]),
            asked: Mutex::new(BEGUN),
            value: Mutex::new(0.0),
            headers: Mutex::default(),
        });
        let app = Router::new()
            .route("/prometheus/api/v1/query", post(answer).get(answer))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let url = format!("http://{}/prometheus", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Whatever names this hash is stable's; everything else is the canary's.
    pub fn stable_is(&self, hash: &str) {
        hash.clone_into(&mut self.shared.stable.lock().unwrap());
    }

    /// Of the requests of both, the canary gets this share.
    pub fn share(&self, canary: f64) {
        let all: f64 = RATES.iter().sum();
        let from = *self.shared.asked.lock().unwrap();
        let mut rates = self.shared.rates.lock().unwrap();
        rates.retain(|(before, _)| *before < from);
        rates.push((from, [all * canary, all * (1.0 - canary)]));
    }

    pub fn value(&self, value: f64) {
        *self.shared.value.lock().unwrap() = value;
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.shared.headers.lock().unwrap();
        Some(headers.get(name)?.to_str().unwrap().to_owned())
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    uri: axum::http::Uri,
    body: Bytes,
) -> Response {
    *shared.headers.lock().unwrap() = headers;
    let behaviour = *shared.behaviour.lock().unwrap();
    match behaviour {
        Behaviour::Broken => {
            return (StatusCode::INTERNAL_SERVER_ERROR, "secret: open-sesame").into_response();
        }
        Behaviour::Html => {
            let html = [(header::CONTENT_TYPE, "text/html")];
            return (html, "<html>secret: open-sesame</html>").into_response();
        }
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Throttles => {
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
        }
        Behaviour::Unauthorized => return StatusCode::UNAUTHORIZED.into_response(),
        _ => {}
    }
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
    let now = || jiff::Timestamp::now().as_second() as f64;
    let at: f64 = form.get("time").map_or_else(now, |t| t.parse().unwrap());
    let mut asked = shared.asked.lock().unwrap();
    *asked = asked.max(at);
    drop(asked);
    let stable = shared.stable.lock().unwrap().clone();
    let query = &form["query"];
    let data = match range(query) {
        Some(reach) => {
            let arm = usize::from(query.contains(&stable));
            let rates = shared.rates.lock().unwrap().clone();
            matrix(
                behaviour,
                (arm, &rates),
                query.contains("5.."),
                at as i64,
                reach,
            )
        }
        None if behaviour == Behaviour::Nothing => json!({"resultType": "vector", "result": []}),
        None => {
            let value = match behaviour {
                Behaviour::NotANumber => "NaN".to_owned(),
                _ if query == "vector(1)" => "1".to_owned(),
                _ => shared.value.lock().unwrap().to_string(),
            };
            json!({"resultType": "vector", "result": [{"metric": {}, "value": [at, value]}]})
        }
    };
    axum::Json(json!({"status": "success", "data": data})).into_response()
}

/// The reach of a selector of a range, in seconds.
fn range(query: &str) -> Option<i64> {
    let (_, reach) = query.strip_suffix("s]")?.rsplit_once('[')?;
    reach.parse().ok()
}

fn matrix(
    behaviour: Behaviour,
    (arm, rates): (usize, &[(f64, [f64; 2])]),
    bad: bool,
    at: i64,
    reach: i64,
) -> Value {
    let ratio = match behaviour {
        Behaviour::Nothing => return json!({"resultType": "matrix", "result": []}),
        Behaviour::Ratio(ratio) if arm == 0 => ratio,
        _ => 0.001,
    };
    let part = if bad { ratio } else { 1.0 };
    // What each stretch of time with its rate has added.
    let ends = rates.iter().skip(1).map(|(from, _)| *from);
    let ends: Vec<f64> = ends.chain([f64::INFINITY]).collect();
    let counted = |t: f64| {
        let stretches = rates.iter().zip(&ends);
        let added = stretches.map(|((from, rate), to)| rate[arm] * (t.min(*to) - from).max(0.0));
        added.sum::<f64>() * part
    };
    // Scraped every second.
    let times = at - reach + 1..=at;
    let values: Vec<Value> = times
        .map(|t| {
            // Counters are whole numbers.
            let value = counted(t as f64).floor();
            let value = match behaviour {
                Behaviour::NotANumber => "NaN".to_owned(),
                _ => value.to_string(),
            };
            json!([t, value])
        })
        .collect();
    let pod = ["canary-pod", "stable-pod"][arm];
    let labels = json!({"instance": pod, "job": "app"});
    json!({"resultType": "matrix", "result": [{"metric": labels, "values": values}]})
}
