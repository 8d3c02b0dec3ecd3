//! The metrics endpoint: scrapes the pods and answers the Prometheus HTTP API from what it found.
//!
//! Only on loopback, only for the demo: no TLS, no authentication. What a query asks beyond the
//! small evaluator is refused with `bad_data`, as a Prometheus refuses what it cannot read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{Method, Response, StatusCode, Uri, header};
use axum::routing::{any, get};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::promql::evaluate;
use super::series::Samples;
use super::traffic::DataPlane;

/// Time between two scrapes.
pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// The store and its two users: who scrapes and who asks.
#[derive(Clone, Default)]
pub struct Metrics {
    samples: Arc<Mutex<Samples>>,
}

impl Metrics {
    /// Scrapes until it is dropped.
    pub async fn scrape(self, plane: DataPlane) {
        let mut ticks = tokio::time::interval(SCRAPE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let found = plane.scrape();
            let now = Timestamp::now().as_millisecond();
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            samples.scrape(now, found);
        }
    }

    /// Answers until it is dropped or the listener fails.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.app()).await
    }

    fn app(self) -> Router {
        Router::new()
            .route(
                "/-/healthy",
                get(|| async { "Prometheus Server is Healthy.\n" }),
            )
            .route(
                "/-/ready",
                get(|| async { "Prometheus Server is Ready.\n" }),
            )
            .route("/api/v1/query", any(answer))
            .fallback(|uri: Uri| async move {
                refusal(
                    StatusCode::NOT_FOUND,
                    "not_found",
                    &format!("{} is not served here; /api/v1/query is", uri.path()),
                )
            })
            .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX_BYTES))
            .with_state(self)
    }
}

type Parameters = BTreeMap<String, String>;

async fn answer(
    State(metrics): State<Metrics>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response<Body> {
    let mut parameters = parameters(uri.query().unwrap_or_default());
    match method {
        Method::GET => {}
        Method::POST => {
            // The form of a POST has the same shape as a query.
            parameters.extend(self::parameters(&String::from_utf8_lossy(&body)));
        }
        _ => return bad_data(&format!("{method} is not allowed; GET and POST are")),
    }
    let at = match parameters.get("time").map(|text| time(text)) {
        None => Timestamp::now().as_millisecond(),
        Some(Some(at)) => at,
        Some(None) => return bad_data("time: neither Unix seconds nor RFC 3339"),
    };
    let Some(query) = parameters.get("query") else {
        return bad_data("query: missing");
    };
    let samples = metrics
        .samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match evaluate(&samples, query, at) {
        Ok(answer) => respond(
            StatusCode::OK,
            &json!({"status": "success", "data": answer.data(at)}),
        ),
        Err(error) => bad_data(&error),
    }
}

fn parameters(query: &str) -> Parameters {
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
    uri.ok()
        .and_then(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri).ok())
        .map(|Query(pairs)| pairs.into_iter().collect())
        .unwrap_or_default()
}

/// Unix seconds or RFC 3339, as milliseconds.
fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped to the range of a time"
        )]
        return (seconds.is_finite() && seconds.abs() < 1e11)
            .then(|| (seconds * 1000.0).round() as i64);
    }
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}

fn bad_data(error: &str) -> Response<Body> {
    refusal(StatusCode::BAD_REQUEST, "bad_data", error)
}

fn refusal(status: StatusCode, kind: &str, error: &str) -> Response<Body> {
    respond(
        status,
        &json!({"status": "error", "errorType": kind, "error": error}),
    )
}

fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::demo::series::Labels;

    async fn ask(method: &str, uri: &str, body: &str) -> (u16, Value) {
        let metrics = Metrics::default();
        let labels: Labels = [("__name__", "up"), ("pod", "a b")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into();
        let scrape = |at| {
            metrics
                .samples
                .lock()
                .unwrap()
                .scrape(at, [(labels.clone(), 1.0)]);
        };
        scrape(1_000_000);
        scrape(1_001_000);
        let request = axum::http::Request::builder()
            .method(method)
            .uri(uri)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = metrics.app().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn it_answers_as_a_prometheus_does() {
        let query = "query=up%7Bpod%3D%22a+b%22%7D%5B2m%5D&time=1001";
        for (method, uri, body) in [
            ("GET", format!("/api/v1/query?{query}"), String::new()),
            ("POST", "/api/v1/query".to_owned(), query.to_owned()),
        ] {
            let (status, answer) = ask(method, &uri, &body).await;
            assert_eq!(
                (status, &answer["status"]),
                (200, &json!("success")),
                "{answer}"
            );
            let values = &answer["data"]["result"][0]["values"];
            assert_eq!(*values, json!([[1000.0, "1"], [1001.0, "1"]]), "{method}");
        }
        let (_, answer) = ask(
            "GET",
            "/api/v1/query?query=up&time=1970-01-01T00:16:41Z",
            "",
        )
        .await;
        assert_eq!(answer["data"]["result"][0]["value"], json!([1001.0, "1"]));
    }

    #[tokio::test]
    async fn the_metrics_source_understands_it() {
        use crate::analysis::plan::{Arms, ComparisonPlan, Kind, Measure, ThresholdPlan};
        use crate::analysis::run::{Answer, Question};
        use crate::metrics_source::{Endpoint, Source};

        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Metrics::default();
        let series = |version: &str, code: &str, value: f64| {
            let labels = [
                ("__name__", "requests_total"),
                ("v", version),
                ("code", code),
            ];
            let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned()));
            (Labels::from(labels), value)
        };
        for (at, n) in [(1_000_000, 10.0), (1_001_000, 30.0)] {
            let mut samples = metrics.samples.lock().unwrap();
            samples.scrape(at, [series("new", "500", 1.0), series("old", "200", n)]);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(metrics.serve(listener));
        let source = Source::new(Endpoint {
            url,
            ..Endpoint::default()
        })
        .unwrap();
        assert_eq!(source.check().await, Ok(()));

        let question = |reach| Question {
            metric: 0,
            at: 1001,
            reach,
            past: None,
        };
        let arms = |more: &str| Arms {
            canary: format!("requests_total{{v=\"new\"{more}}}"),
            stable: format!("requests_total{{v=\"old\"{more}}}"),
        };
        let ratio = Kind::Comparison(ComparisonPlan {
            measure: Measure::Ratio {
                total: arms(""),
                bad: arms(",code=~\"5..\""),
            },
            relative: 0.1,
            absolute: 0.0005,
            floor: 0.0,
            level: None,
            alpha: 0.01,
        });
        let Ok(Answer::Samples(answers)) = source.ask(&ratio, &question(60)).await else {
            panic!("no samples");
        };
        let stable: Vec<(i64, f64)> = answers.selected[0].stable[0]
            .samples
            .iter()
            .map(|s| (s.at_ms, s.value))
            .collect();
        assert_eq!(stable, [(1_000_000, 10.0), (1_001_000, 30.0)]);
        assert_eq!(answers.selected[1].canary.len(), 1);
        assert!(answers.selected[1].stable.is_empty());

        let threshold = |query: &str| {
            Kind::Threshold(ThresholdPlan {
                query: query.to_owned(),
                success: None,
                failure: None,
                interval: 30,
                count: 1,
                failure_limit: 0,
            })
        };
        let sum = threshold("sum(requests_total)");
        let Ok(Answer::Points(points)) = source.ask(&sum, &question(0)).await else {
            panic!("no points");
        };
        assert_eq!((points[0].at_ms, points[0].value), (1_001_000, 31.0));
        let refused = source.ask(&threshold("topk(3,up)"), &question(0)).await;
        assert_eq!(refused.unwrap_err().reason, "QueryRefused");
        task.abort();
    }

    #[tokio::test]
    async fn what_it_cannot_answer_is_bad_data() {
        for uri in [
            "/api/v1/query",
            "/api/v1/query?query=topk(3,up)",
            "/api/v1/query?query=up&time=noon",
        ] {
            let (status, answer) = ask("GET", uri, "").await;
            assert_eq!(
                (status, &answer["errorType"]),
                (400, &json!("bad_data")),
                "{uri}"
            );
        }
        assert_eq!(ask("GET", "/api/v1/labels", "").await.0, 404);
        assert_eq!(ask("GET", "/-/healthy", "").await.0, 200);
    }
}
