//! Every way in which there is no answer has its reason, and says nothing of the source.

use super::*;

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

#[test]
fn the_documentation_has_every_reason() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/analysis.md");
    let page = std::fs::read_to_string(page).unwrap();
    for reason in REASONS {
        assert!(page.contains(&format!("\n| `{reason}` |")), "{reason}");
    }
}

/// As the sources themselves write it: with a result that looks whole.
#[tokio::test]
async fn a_part_of_the_data_is_not_taken_for_all_of_it() {
    let vector = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "0"]}]});
    for body in [
        // VictoriaMetrics, with a storage node that is down.
        json!({"status": "success", "isPartial": true, "data": vector,
            "stats": {"seriesFetched": "1", "executionTimeMsec": 3}}),
        // Thanos, with a store that is down.
        json!({"status": "success", "data": vector, "warnings": [
            "No StoreAPIs matched for this query", "receive series from Addr: 10.0.0.1:10901: rpc error"]}),
        // Prometheus, with a remote read that fails, beside a remark on the query.
        json!({"status": "success", "data": vector, "warnings": [
            "PromQL warning: x", "remote_read: remote server http://10.0.0.1 returned http status 500"]}),
        // Mimir says it in words of its own.
        json!({"status": "success", "data": vector, "warnings": ["partial results: max estimated memory"],
            "infos": ["PromQL info: x"]}),
    ] {
        let text = body.to_string();
        let answer = move || respond(200, "application/json", text.clone());
        let fault = ask(&threshold("x"), answer.clone()).await.unwrap_err();
        check_fault(&fault, "PartialAnswer", &["not complete"]);
        let fault = ask(&ratio(), answer).await.unwrap_err();
        check_fault(&fault, "PartialAnswer", &["not complete"]);
    }
    // What cannot be read is not taken for a no.
    for odd in [json!("true"), json!(1), json!(null)] {
        let body = json!({"status": "success", "isPartial": odd, "data": vector}).to_string();
        let answer = move || respond(200, "application/json", body.clone());
        let fault = ask(&threshold("x"), answer).await.unwrap_err();
        check_fault(&fault, "NotPrometheus", &["not that of a Prometheus"]);
    }
}
