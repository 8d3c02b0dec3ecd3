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

/// What stands in every answer and must stand in no message.
const CANARY: &str = "c4n4ry-of-the-source";
/// A question in 2027.
const AT: i64 = 1_800_000_000;
const QUESTION: Question = Question {
    metric: 0,
    at: AT,
    reach: 300,
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

fn ratio() -> Kind {
    let arms = |name: &str| Arms {
        canary: format!("{name}{{hash=\"new\"}}"),
        stable: format!("{name}{{hash=\"old\"}} "),
    };
    Kind::Comparison(ComparisonPlan {
        measure: Measure::Ratio {
            total: arms("total"),
            bad: arms("bad"),
        },
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

fn check_fault(fault: &Fault, reason: &str, words: &[&str]) {
    assert_eq!(fault.reason, reason, "{fault:?}");
    assert!(REASONS.contains(&reason), "{reason}");
    assert!(!fault.message.contains(CANARY), "{fault:?}");
    assert!(!fault.message.contains("127.0.0.1"), "{fault:?}");
    for word in words {
        assert!(fault.message.contains(word), "{word:?} not in {fault:?}");
    }
}

#[tokio::test]
async fn a_ratio_is_four_range_selectors_at_the_time_of_the_question() {
    let answer = |seen: &Seen| {
        // Born with the second scrape, and ended by a stale marker.
        let values = json!([[AT - 30, "1"], [AT as f64 - 14.999, "2.5e3"], [AT, "NaN"]]);
        let series = json!({"metric": {"__name__": "x", "pod": seen.query()}, "values": values});
        Some(good(&json!({"resultType": "matrix", "result": [series]})))
    };
    let server = Server::start(answer).await;
    let answer = source(&server.url()).ask(&ratio(), &QUESTION).await;
    let Ok(Answer::Samples(answers)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((answers.at, answers.reach), (AT, 300));
    for (series, query) in [
        (&answers.selected[0].canary, "total{hash=\"new\"}[300s]"),
        (&answers.selected[0].stable, "total{hash=\"old\"}[300s]"),
        (&answers.selected[1].canary, "bad{hash=\"new\"}[300s]"),
        (&answers.selected[1].stable, "bad{hash=\"old\"}[300s]"),
    ] {
        let [series] = series.as_slice() else {
            panic!("{series:?}");
        };
        let labels: Vec<_> = series.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(labels, [("__name__", "x"), ("pod", query)]);
        let [first, second, third] = series.samples.as_slice() else {
            panic!("{series:?}");
        };
        let sample = |at_ms, value| Sample { at_ms, value };
        assert_eq!(*first, sample((AT - 30) * 1000, 1.0));
        assert_eq!(*second, sample((AT - 15) * 1000 + 1, 2500.0));
        assert!(third.at_ms == AT * 1000 && third.value.is_nan());
    }
    let seen = server.seen();
    let names: Vec<&str> = seen.iter().map(|s| &s.query()[..3]).collect();
    assert_eq!(names, ["tot", "tot", "bad", "bad"]);
    for seen in seen {
        assert_eq!(
            (&*seen.method, &*seen.path),
            ("POST", "/api/v1/query"),
            "{seen:?}"
        );
        assert_eq!(seen.form["time"], AT.to_string());
        let timeout = seen.form["timeout"].trim_end_matches("ms");
        assert!((1..=60_000).contains(&timeout.parse().unwrap()), "{seen:?}");
    }
}

#[tokio::test]
async fn a_threshold_takes_a_vector_or_a_scalar() {
    let element = |value: &str| json!({"metric": {"a": "b"}, "value": [AT, value]});
    let vector = |all: &[Value]| json!({"resultType": "vector", "result": all});
    let at = AT * 1000;
    assert_eq!(
        points(vector(&[element("0.25")])).await,
        Ok(vec![(at, 0.25)])
    );
    let two = vector(&[element("+Inf"), element("-1e-3")]);
    assert_eq!(
        points(two).await,
        Ok(vec![(at, f64::INFINITY), (at, -0.001)])
    );
    assert_eq!(points(vector(&[])).await, Ok(vec![]));
    let nan = points(vector(&[element("NaN")])).await.unwrap();
    assert!(nan[0].1.is_nan());
    let scalar = json!({"resultType": "scalar", "result": [AT as f64 + 0.5, "7"]});
    assert_eq!(points(scalar).await, Ok(vec![(at + 500, 7.0)]));
    // What is no number, and what is not even an answer.
    for (data, reason) in [
        (
            json!({"resultType": "string", "result": [AT, "7"]}),
            "WrongResultType",
        ),
        (
            json!({"resultType": "matrix", "result": []}),
            "WrongResultType",
        ),
        (
            vector(&[json!({"metric": {}, "histogram": [AT, {"count": "7"}]})]),
            "NativeHistogram",
        ),
        (vector(&[element("seven")]), "NotPrometheus"),
        (
            vector(&[json!({"metric": {}, "value": [AT]})]),
            "NotPrometheus",
        ),
        (
            json!({"resultType": "tensor", "result": []}),
            "NotPrometheus",
        ),
        (json!({"resultType": "vector"}), "NotPrometheus"),
        (json!({}), "NotPrometheus"),
        (json!(null), "NotPrometheus"),
    ] {
        assert_eq!(points(data.clone()).await, Err(reason.to_owned()), "{data}");
    }
}

#[tokio::test]
async fn a_ratio_takes_nothing_but_samples() {
    let series = |values: Value| {
        let series = json!({"metric": {}, "values": values});
        json!({"resultType": "matrix", "result": [series]})
    };
    for (data, reason, words) in [
        (
            json!({"resultType": "vector", "result": []}),
            "WrongResultType",
            "total of the",
        ),
        (
            json!({"resultType": "scalar", "result": [AT, "1"]}),
            "WrongResultType",
            "needed is a matrix",
        ),
        (
            json!({"resultType": "matrix", "result": [{"metric": {}, "histograms": [[AT, {}]]}]}),
            "NativeHistogram",
            "use a counter",
        ),
        (
            series(json!([[AT, "1"], [AT - 1, "1"]])),
            "NotPrometheus",
            "out of order",
        ),
        (
            series(json!([[AT + 1, "1"]])),
            "NotPrometheus",
            "after the time",
        ),
        (
            series(json!([[1e300, "1"]])),
            "NotPrometheus",
            "after the time",
        ),
    ] {
        let copy = data.clone();
        let fault = ask(&ratio(), move || good(&copy)).await.unwrap_err();
        check_fault(&fault, reason, &[words]);
    }
    // No series, and one without a sample, are an answer: that there is nothing.
    for data in [
        json!({"resultType": "matrix", "result": []}),
        series(json!([])),
    ] {
        let Ok(Answer::Samples(answers)) = ask(&ratio(), move || good(&data)).await else {
            panic!("no answer");
        };
        assert!(answers.selected[0].canary.is_empty() && answers.selected[1].stable.is_empty());
    }
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_says_nothing_of_the_source() {
    let html = format!("<html><body>{CANARY}</body></html>");
    let page = move |status, kind: &'static str| {
        let html = html.clone();
        move || respond(status, kind, html.clone())
    };
    type Make = Box<dyn Fn() -> Response<Body>>;
    let warned = |warning: &str| {
        let body = json!({"status": "success", "warnings": [warning, CANARY],
            "data": {"resultType": "vector", "result": []}});
        respond(200, "application/json", body.to_string())
    };
    let table: Vec<(Make, &str, &str)> = vec![
        (
            Box::new(page(200, "text/html; charset=utf-8")),
            "NotPrometheus",
            "(content type text/html)",
        ),
        (
            Box::new(page(200, "text/c4n4ry-of-the-source,x")),
            "NotPrometheus",
            "is not that of a Prometheus;",
        ),
        (
            Box::new(page(200, "application/json")),
            "NotPrometheus",
            "application/json",
        ),
        (
            Box::new(|| respond(200, "application/json", "")),
            "NotPrometheus",
            "url",
        ),
        (
            Box::new(|| respond(204, "application/json", "")),
            "NotPrometheus",
            "url",
        ),
        (
            Box::new(page(500, "text/html")),
            "HttpStatus",
            "HTTP 500: the source fails",
        ),
        (Box::new(page(502, "text/html")), "HttpStatus", "HTTP 502"),
        (Box::new(page(503, "text/html")), "HttpStatus", "HTTP 503"),
        (
            Box::new(page(404, "text/html")),
            "HttpStatus",
            "HTTP 404: is prometheus.url the base",
        ),
        (Box::new(page(405, "text/html")), "HttpStatus", "takes POST"),
        (Box::new(page(418, "text/html")), "HttpStatus", "HTTP 418"),
        (Box::new(page(401, "text/html")), "Unauthorized", "HTTP 401"),
        (Box::new(page(403, "text/html")), "Unauthorized", "HTTP 403"),
        (
            Box::new(page(429, "text/html")),
            "Throttled",
            "HTTP 429: the source asks to be left alone",
        ),
        (
            Box::new(|| bad(400, "bad_data")),
            "QueryRefused",
            "HTTP 400 (errorType bad_data)",
        ),
        (
            Box::new(|| bad(422, "execution")),
            "QueryRefused",
            "cannot execute",
        ),
        (
            Box::new(|| bad(200, "bad_data")),
            "QueryRefused",
            "bad_data",
        ),
        (Box::new(|| bad(503, "timeout")), "Timeout", "gave up"),
        (
            Box::new(|| bad(500, "internal")),
            "HttpStatus",
            "HTTP 500 (errorType internal)",
        ),
        (
            Box::new(|| bad(503, "unavailable")),
            "HttpStatus",
            "errorType unavailable",
        ),
        (
            Box::new(|| bad(499, "canceled")),
            "HttpStatus",
            "errorType canceled",
        ),
        (Box::new(|| bad(500, CANARY)), "HttpStatus", "HTTP 500: "),
        (
            Box::new(move || warned("PromQL warning: x")),
            "PartialAnswer",
            "not complete",
        ),
        (
            Box::new(|| {
                let body = json!({"status": "success", "isPartial": true,
                "data": {"resultType": "vector", "result": []}});
                respond(200, "application/json", body.to_string())
            }),
            "PartialAnswer",
            "not complete",
        ),
    ];
    for (make, reason, words) in table {
        let response = make();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let answer = move || Response::from_parts(parts.clone(), body.clone().into());
        let fault = ask(&threshold("x"), answer.clone()).await.unwrap_err();
        check_fault(&fault, reason, &[words]);
        assert_eq!(fault.retry_after, None, "{fault:?}");
        // The same for a ratio, and for the check of the endpoint.
        let fault = ask(&ratio(), answer.clone()).await.unwrap_err();
        let refused = fault.reason == "WrongResultType";
        assert!(refused || fault.reason == reason, "{fault:?}");
        let server = Server::start(move |_| Some(answer())).await;
        let fault = source(&server.url()).check().await.unwrap_err();
        check_fault(&fault, reason, &[words]);
    }
}

#[tokio::test]
async fn remarks_on_the_query_are_no_missing_data() {
    let answer = || {
        let body = json!({"status": "success", "warnings": [
                "PromQL warning: quantile value should be between 0 and 1",
                "PromQL info: metric might not be a counter"],
            "infos": ["x"], "isPartial": false,
            "data": {"resultType": "vector", "result": []}});
        respond(200, "application/json", body.to_string())
    };
    let answer = ask(&threshold("x"), answer).await;
    assert_eq!(answer, Ok(Answer::Points(vec![])));
}

#[tokio::test]
async fn a_source_that_asks_for_a_pause_is_heard() {
    let later = Timestamp::now() + Duration::from_secs(3600);
    let date = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (status, value, expected) in [
        (429, "17", 17..=17),
        (503, " 17 ", 17..=17),
        (429, "0", 0..=0),
        (429, "99999999999999999999", -1..=-1),
        (429, "999999999", 86_400..=86_400),
        (503, &*date, 3000..=3600),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", 0..=0),
        (429, CANARY, -1..=-1),
    ] {
        let value = value.to_owned();
        let copy = value.clone();
        let answer =
            move || with_header(respond(status, "text/plain", CANARY), "retry-after", &value);
        let fault = ask(&threshold("x"), answer).await.unwrap_err();
        check_fault(&fault, "Throttled", &[&format!("HTTP {status}")]);
        let after = fault.retry_after.unwrap_or(-1);
        assert!(expected.contains(&after), "{copy}: {fault:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target =
        Server::start(|_| Some(good(&json!({"resultType": "vector", "result": []})))).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/{CANARY}", target.url());
        let answer = move || with_header(respond(status, "text/html", CANARY), "location", &to);
        let fault = ask(&threshold("x"), answer).await.unwrap_err();
        check_fault(&fault, "Redirected", &[&format!("HTTP {status}")]);
    }
    assert_eq!(target.seen().len(), 0);
}

#[tokio::test]
async fn an_answer_may_be_so_large_and_no_larger() {
    // Announced, and without an end: what is not read is not waited for.
    let endless = || {
        let chunk = || Ok::<_, io::Error>(Bytes::from(vec![b' '; 1 << 20]));
        Body::from_stream(stream::repeat_with(chunk))
    };
    let announced = || {
        let response = respond(
            200,
            "application/json",
            Body::from(vec![b' '; BODY_MAX + 1]),
        );
        assert!(response.headers().get(header::CONTENT_LENGTH).is_none());
        response
    };
    let fault = ask(&threshold("x"), announced).await.unwrap_err();
    check_fault(&fault, "TooLarge", &["16384 KiB", "narrow"]);
    let answer = move || respond(200, "application/json", endless());
    let fault = ask(&threshold("x"), answer).await.unwrap_err();
    check_fault(&fault, "TooLarge", &["16384 KiB", "narrow"]);
    // An error may be as long as it likes: its status is enough.
    let answer = move || respond(500, "application/json", endless());
    let fault = ask(&threshold("x"), answer).await.unwrap_err();
    check_fault(&fault, "HttpStatus", &["HTTP 500"]);

    // Put together as text: so many values take long to be written.
    let many = |series: usize, samples: usize| {
        let sample = format!("[{AT},\"1\"]");
        let values = vec![sample; samples].join(",");
        let one = format!("{{\"metric\":{{}},\"values\":[{values}]}}");
        let all = vec![one; series].join(",");
        let data = format!("{{\"resultType\":\"matrix\",\"result\":[{all}]}}");
        format!("{{\"status\":\"success\",\"data\":{data}}}")
    };
    let read = |body: &str| {
        let wanted = Wanted::Samples { until: AT };
        answer::understand(body.as_bytes(), &HeaderMap::new(), wanted)
    };
    for (body, words) in [
        (many(answer::SERIES_MAX + 1, 1), "10000 series"),
        (many(2, answer::SAMPLES_MAX / 2 + 1), "400000 samples"),
    ] {
        let fault = Fault::from(read(&body).unwrap_err());
        check_fault(&fault, "TooManySeries", &[words, "narrow"]);
    }
    let full = many(answer::SERIES_MAX, answer::SAMPLES_MAX / answer::SERIES_MAX);
    assert!(full.len() < BODY_MAX, "{}", full.len());
    let Ok(Found::Samples(series)) = read(&full) else {
        panic!("no samples");
    };
    assert_eq!(series.len(), answer::SERIES_MAX);
    // Empty series count as well.
    let body = many(answer::SERIES_MAX + 1, 0);
    let answer = move || respond(200, "application/json", body.clone());
    let fault = ask(&ratio(), answer).await.unwrap_err();
    check_fault(&fault, "TooManySeries", &["10000 series", "total of the"]);
}

#[tokio::test]
async fn who_does_not_answer_in_time_has_not_answered() {
    let silent = Server::start(|_| None).await;
    let fault = impatient(&silent.url()).check().await.unwrap_err();
    check_fault(&fault, "Timeout", &["no whole answer"]);
    let fault = impatient(&silent.url()).ask(&ratio(), &QUESTION).await;
    check_fault(&fault.unwrap_err(), "Timeout", &["timeoutSeconds"]);
    // A beginning is no answer.
    let slow = Server::start(|_| {
        let begun = stream::once(async { Ok::<_, io::Error>(Bytes::from("{")) });
        let rest = Body::from_stream(futures::StreamExt::chain(begun, stream::pending()));
        Some(respond(200, "application/json", rest))
    })
    .await;
    let fault = impatient(&slow.url()).check().await.unwrap_err();
    check_fault(&fault, "Timeout", &["no whole answer"]);
    // The time is that of all four queries.
    let last = Server::start(|seen| {
        let data = json!({"resultType": "matrix", "result": []});
        (!seen.query().starts_with("bad")).then(|| good(&data))
    })
    .await;
    let fault = impatient(&last.url()).ask(&ratio(), &QUESTION).await;
    check_fault(&fault.unwrap_err(), "Timeout", &["no whole answer"]);
    assert_eq!(last.seen().len(), 4);
}

#[tokio::test]
async fn so_many_queries_at_once_and_no_more() {
    let silent = Server::start(|_| None).await;
    let source = Source::new(Endpoint {
        timeout: Duration::from_millis(300),
        concurrency: 2,
        ..endpoint(&silent.url())
    })
    .unwrap();
    let held = source.inner.places.acquire_many(2).await.unwrap();
    assert_eq!(source.inner.places.available_permits(), 0);
    // A clone is the same source.
    let clone = source.clone();
    for fault in [
        clone.check().await.unwrap_err(),
        clone.ask(&ratio(), &QUESTION).await.unwrap_err(),
    ] {
        check_fault(
            &fault,
            "TooManyQueries",
            &["2 queries", "maxConcurrentQueries"],
        );
    }
    assert_eq!(silent.seen().len(), 0);
    drop(held);
    for _ in 0..3 {
        // A place is free again, whatever became of the query.
        let fault = clone.check().await.unwrap_err();
        check_fault(&fault, "Timeout", &[]);
    }
}

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    // Bound and not listening: nobody else can have the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let fault = source(&url).check().await.unwrap_err();
    check_fault(
        &fault,
        "Unreachable",
        &["connection is refused", "NetworkPolicy"],
    );

    let nowhere: Lookup = Arc::new(|_| async { Err(io::Error::other(CANARY)) }.boxed());
    let empty: Lookup = Arc::new(|_| async { Ok(vec![]) }.boxed());
    for lookup in [nowhere, empty] {
        let source = Source::with_lookup(&endpoint("http://nowhere.test"), lookup).unwrap();
        let fault = source.check().await.unwrap_err();
        check_fault(&fault, "Unreachable", &["name cannot be resolved"]);
    }

    // One that hangs up.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let fault = source(&url).check().await.unwrap_err();
    check_fault(&fault, "Unreachable", &["connection broke"]);
    hangs_up.abort();

    // One that speaks no TLS.
    let plain = Server::start(|_| Some(bad(400, "bad_data"))).await;
    let url = plain.url().replace("http:", "https:");
    let fault = source(&url).check().await.unwrap_err();
    check_fault(&fault, "Unreachable", &["TLS is not understood"]);
}

#[tokio::test]
async fn a_name_leads_to_no_address_that_is_never_asked() {
    let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
    let server = Server::start(move |_| Some(good(&one))).await;
    let port = server.address.port();
    let ask = |addresses: &[&str]| {
        let all: Vec<SocketAddr> = addresses
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
            .collect();
        let lookup: Lookup = Arc::new(move |name| {
            assert_eq!(name, "metrics.test");
            let all = all.clone();
            async move { Ok(all) }.boxed()
        });
        let source = Source::with_lookup(&endpoint(&format!("http://metrics.test:{port}")), lookup);
        async move { source.unwrap().check().await }
    };
    for addresses in [
        &["169.254.169.254"][..],
        &["::ffff:169.254.169.254", "fe80::1"],
    ] {
        let fault = ask(addresses).await.unwrap_err();
        check_fault(&fault, "AddressRefused", &["link-local"]);
    }
    assert_eq!(ask(&["127.0.0.1"]).await, Ok(()));
    // What may be asked among others is asked.
    assert_eq!(ask(&["169.254.1.1", "127.0.0.1"]).await, Ok(()));
}

#[test]
fn which_addresses_are_never_asked() {
    let refused = |text: &str| address::is_refused(text.parse::<IpAddr>().unwrap());
    for text in [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.23",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "::",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:0.0.0.0",
    ] {
        assert!(refused(text), "{text}");
    }
    for text in [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "8.8.8.8",
        "169.253.255.255",
        "169.255.0.1",
        "223.255.255.255",
        "192.0.0.191",
        "fd00::1",
        "fd12:3456:789a::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::808:808",
        "fec0::1",
    ] {
        assert!(!refused(text), "{text}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_with_what_is_allowed() {
    for (url, why) in [
        ("", "is not a URL"),
        ("prometheus:9090", "neither http nor https"),
        ("//prometheus", "is not a URL"),
        ("file:///etc/passwd", "neither"),
        ("unix:/run/prometheus.sock", "neither"),
        ("ftp://prometheus", "neither"),
        ("http://", "is not a URL"),
        ("http://prometheus:99999", "is not a URL"),
        ("http://user:s3cret@prometheus", "has a user name"),
        ("http://@prometheus", "has a user name"),
        ("http://prometheus/?query=up", "has a query"),
        ("http://prometheus/?", "has a query"),
        ("http://prometheus/#a", "or a fragment"),
        ("http://prometheus\\.evil", "backslash"),
        (" http://prometheus", "white space"),
        ("http://prometheus\n", "white space"),
        ("http://169.254.169.254", "link-local"),
        ("http://169.254.169.254.", "link-local"),
        ("https://169.254.169.254:443/latest", "link-local"),
        ("http://2852039166", "link-local"),
        ("http://0xa9fea9fe/", "link-local"),
        ("http://0251.0376.0251.0376/", "link-local"),
        ("http://169.16689662", "link-local"),
        ("http://%31%36%39.254.169.254/", "link-local"),
        ("http://１６９.254.169.254/", "link-local"),
        ("http://[fe80::1]:9090", "link-local"),
        ("http://[::ffff:169.254.169.254]", "link-local"),
        ("http://[::ffff:a9fe:a9fe]", "link-local"),
        ("http://[fd00:ec2::254]", "link-local"),
        ("http://0.0.0.0:9090", "link-local"),
        ("http://0", "link-local"),
    ] {
        let error = Source::new(endpoint(url)).unwrap_err().to_string();
        assert!(error.starts_with("prometheus.url "), "{error}");
        assert!(error.contains(why), "{url:?}: {error}");
        assert!(error.contains("allowed is http:// or https://"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    for url in [
        "http://prometheus",
        "http://127.0.0.1:9090/",
        "https://[::1]:9090/prometheus/",
        "HTTPS://Prometheus.example.com:8443/a/b",
    ] {
        assert!(Source::new(endpoint(url)).is_ok(), "{url}");
    }
    let long = format!("http://{}", "a".repeat(2000));
    let error = Source::new(endpoint(&long)).unwrap_err().to_string();
    assert!(
        error.contains("longer than 1024") && error.len() < 600,
        "{error}"
    );

    for (name, value) in [
        ("Authorization", "x"),
        ("cookie", "x"),
        ("Host", "x"),
        ("", "x"),
        ("a b", "x"),
        ("x-a", "line\nbreak"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let error = Source::new(Endpoint {
            headers,
            ..endpoint("http://prometheus")
        });
        let error = error.unwrap_err().to_string();
        let named = format!("prometheus.headers {name:?}");
        assert!(error.starts_with(&named), "{error}");
    }
    for (login, words) in [
        (
            Login::Bearer(" \n".into()),
            "auth.bearer: the token is empty",
        ),
        (
            Login::Bearer("s3cret\u{7f}\nx".into()),
            "auth.bearer: has characters",
        ),
        (basic("", "s3cret"), "auth.basic: the user name is empty"),
        (basic("a:b", "s3cret"), "auth.basic: the user name"),
    ] {
        let refused = Endpoint {
            login: Some(login),
            ..endpoint("http://prometheus")
        };
        assert!(!format!("{refused:?}").contains("s3cret"));
        let error = Source::new(refused).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    let zero = Endpoint {
        timeout: Duration::ZERO,
        ..endpoint("http://prometheus")
    };
    assert_eq!(
        Source::new(zero).unwrap_err(),
        EndpointError::Limit("timeoutSeconds")
    );
    let none = Endpoint {
        concurrency: 0,
        ..endpoint("http://prometheus")
    };
    let error = Source::new(none).unwrap_err();
    assert_eq!(error, EndpointError::Limit("maxConcurrentQueries"));
    let defaults = Endpoint::default();
    assert_eq!((defaults.timeout.as_secs(), defaults.concurrency), (10, 10));
}

fn basic(username: &str, password: &str) -> Login {
    Login::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test]
async fn headers_credentials_path_and_long_queries_arrive() {
    let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
    let server = Server::start(move |_| Some(good(&one))).await;
    let long = format!("sum({})", "x+".repeat(2044));
    for (login, path, authorization) in [
        (None, "", None),
        (
            Some(Login::Bearer("t0ken\n".into())),
            "/",
            Some("Bearer t0ken"),
        ),
        // "aladdin:opensesame", the example of RFC 7617's forerunners.
        (
            Some(basic("aladdin\n", "opensesame\n")),
            "/select/0/prometheus",
            Some("Basic YWxhZGRpbjpvcGVuc2VzYW1l"),
        ),
        (None, "/prometheus/", None),
    ] {
        let source = Source::new(Endpoint {
            headers: vec![("X-Scope-OrgID".into(), "a|b".into())],
            login,
            ..endpoint(&format!("{}{path}", server.url()))
        })
        .unwrap();
        assert!(!format!("{source:?}").contains("t0ken"));
        source.check().await.unwrap();
        source.ask(&threshold(&long), &QUESTION).await.unwrap();
        let seen = server.seen();
        let [.., check, ask] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!((check.query(), ask.query()), ("vector(1)", &*long));
        assert_eq!(check.form.get("time"), None);
        for seen in [check, ask] {
            let expected = format!("{}/api/v1/query", path.trim_end_matches('/'));
            assert_eq!(seen.path, expected);
            let header = |name: &str| seen.headers.get(name).map(|v| v.to_str().unwrap());
            assert_eq!(header("x-scope-orgid"), Some("a|b"));
            assert_eq!(header("authorization"), authorization);
            assert_eq!(header("accept-encoding"), None);
            let agent = header("user-agent").unwrap();
            assert!(agent.starts_with("tidegate/"), "{agent}");
        }
    }
}

#[tokio::test]
async fn the_check_wants_the_right_number() {
    let two = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "2"]}]});
    let none = json!({"resultType": "vector", "result": []});
    for data in [two, none] {
        let server = Server::start(move |_| Some(good(&data))).await;
        let fault = source(&server.url()).check().await.unwrap_err();
        check_fault(&fault, "NotPrometheus", &["vector(1) is not 1"]);
    }
}

/// Set in a process in which the environment names a proxy that nobody listens at.
const WITH_PROXY: &str = "TIDEGATE_TEST_WITH_PROXY";

#[tokio::test]
async fn the_environments_proxy_is_not_asked() {
    if std::env::var_os(WITH_PROXY).is_some() {
        let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
        let server = Server::start(move |_| Some(good(&one))).await;
        assert_eq!(source(&server.url()).check().await, Ok(()));
        return;
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap());
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again
        .args([
            "--exact",
            "metrics_source::tests::the_environments_proxy_is_not_asked",
        ])
        .env(WITH_PROXY, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        again.env(name, &nobody);
    }
    let output = again.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn the_documentation_has_every_reason() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/analysis.md");
    let page = std::fs::read_to_string(page).unwrap();
    for reason in REASONS {
        assert!(page.contains(&format!("\n| `{reason}` |")), "{reason}");
    }
}
