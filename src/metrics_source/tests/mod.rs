//! A metrics source of the tests' own, which answers as a test says, and what all topics need.

mod answers;
mod endpoint;
mod limits;
mod refusals;
mod relayed;
mod sharing;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{Response, StatusCode, Uri, header};
use futures::FutureExt;
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::analysis::plan::{ComparisonPlan, Measure, ThresholdPlan};
use crate::analysis::series::Sample;
use crate::api::metric::TimeUnit;

/// What stands in every answer and must stand in no message.
const CANARY: &str = "c4n4ry-of-the-source";
/// A question in 2027.
const AT: i64 = 1_800_000_000;
const QUESTION: Question = Question {
    metric: 0,
    at: AT,
    reach: 300,
    past: None,
};

/// A request as it came.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    headers: axum::http::HeaderMap,
    form: BTreeMap<String, String>,
}

impl Seen {
    fn query(&self) -> &str {
        &self.form["query"]
    }
}

/// A metrics source that answers as a test says; None: it never answers.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(
        answer: impl Fn(&Seen) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_on(listener, address, answer)
    }

    fn start_on<L>(
        listener: L,
        address: SocketAddr,
        answer: impl Fn(&Seen) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self
    where
        L: axum::serve::Listener,
        L::Addr: std::fmt::Debug,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = seen.clone();
        let app = Router::new().fallback(
            move |method: axum::http::Method, uri: Uri, headers, body: Bytes| {
                let form = String::from_utf8(body.to_vec()).unwrap();
                let form = Uri::builder().path_and_query(format!("/?{form}")).build();
                let Query(form) = Query::try_from_uri(&form.unwrap()).unwrap();
                let seen = Seen {
                    method: method.to_string(),
                    path: uri.path().to_owned(),
                    headers,
                    form,
                };
                record.lock().unwrap().push(seen.clone());
                let answer = answer(&seen);
                async move {
                    match answer {
                        Some(answer) => answer,
                        None => futures::future::pending().await,
                    }
                }
            },
        );
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            seen,
            task,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    response
}

fn good(data: &Value) -> Response<Body> {
    let body = json!({"status": "success", "data": data, "infos": [CANARY]});
    respond(200, "application/json", body.to_string())
}

fn bad(status: u16, kind: &str) -> Response<Body> {
    let body = json!({"status": "error", "errorType": kind, "error": CANARY});
    respond(status, "application/json", body.to_string())
}

fn with_header(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn endpoint(url: &str) -> Endpoint {
    install_tls();
    Endpoint {
        url: url.to_owned(),
        // Long enough that no test of something else comes to it.
        timeout: Duration::from_secs(60),
        ..Endpoint::default()
    }
}

fn source(url: &str) -> Source {
    Source::new(endpoint(url)).unwrap()
}

fn impatient(url: &str) -> Source {
    let timeout = Duration::from_millis(300);
    Source::new(Endpoint {
        timeout,
        ..endpoint(url)
    })
    .unwrap()
}

fn threshold(query: &str) -> Kind {
    Kind::Threshold(ThresholdPlan {
        query: query.to_owned(),
        success: None,
        failure: None,
        interval: 30,
        count: 1,
        failure_limit: 0,
    })
}

fn arms(name: &str) -> Arms<String> {
    Arms {
        canary: format!("{name}{{hash=\"new\"}}"),
        stable: format!("{name}{{hash=\"old\"}} "),
    }
}

fn ratio() -> Kind {
    comparison(Measure::Ratio {
        total: arms("total"),
        bad: arms("bad"),
    })
}

fn histogram() -> Kind {
    comparison(Measure::Histogram {
        buckets: arms("latency"),
        objective: None,
        unit: TimeUnit::Seconds,
    })
}

fn comparison(measure: Measure) -> Kind {
    Kind::Comparison(ComparisonPlan {
        measure,
        relative: 0.1,
        absolute: 0.0005,
        floor: 0.0,
        level: None,
        alpha: 0.01,
    })
}

/// Asks a source that answers everything with `answer`.
async fn ask(
    kind: &Kind,
    answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Result<Answer, Fault> {
    let server = Server::start(move |_| Some(answer())).await;
    source(&server.url()).ask(kind, &QUESTION).await
}

async fn points(data: Value) -> Result<Vec<(i64, f64)>, String> {
    match ask(&threshold("x"), move || good(&data)).await {
        Ok(Answer::Points(points)) => Ok(points.iter().map(|p| (p.at_ms, p.value)).collect()),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err(fault.reason),
    }
}

/// The same test once more, in a process of its own: the environment belongs to a whole process.
fn again(test: &str) -> tokio::process::Command {
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again
        .arg("--exact")
        .arg(format!("metrics_source::tests::{test}"));
    again
}

async fn passes(mut test: tokio::process::Command) {
    let output = test.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn check_fault(fault: &Fault, reason: &str, words: &[&str]) {
    assert_eq!(fault.reason, reason, "{fault:?}");
    assert!(REASONS.contains(&reason), "{reason}");
    assert!(!fault.message.contains(CANARY), "{fault:?}");
    assert!(!fault.message.contains("127.0.0.1"), "{fault:?}");
    for word in words {
        assert!(fault.message.contains(word), "{word:?} not in {fault:?}");
    }
}
