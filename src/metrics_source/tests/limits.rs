//! How large, how late and how many: what is bounded, and what is said at the bound.

use super::*;

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
        let wanted = Wanted::Samples {
            until: AT,
            histograms: false,
        };
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

/// A body of `count` times `item`, never whole in memory on the side of the test.
fn list(kind: &'static str, item: &'static str, count: usize) -> Response<Body> {
    const AT_ONCE: usize = 10_000;
    let head =
        format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":[");
    let many = Bytes::from(format!("{item},").repeat(AT_ONCE));
    let chunks = std::iter::once(Bytes::from(head))
        .chain(std::iter::repeat_n(many, count / AT_ONCE))
        .chain(std::iter::once(Bytes::from(format!("{item}]}}}}"))));
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, io::Error>)));
    respond(200, "application/json", body)
}

#[tokio::test]
async fn a_million_series_are_no_answer() {
    const MILLION: usize = 1_000_000;
    // As small as a series can be, so that all of them are within the bytes that are read.
    let answer = || list("vector", "{\"metric\":{}}", MILLION);
    let fault = ask(&threshold("x"), answer).await.unwrap_err();
    check_fault(&fault, "TooManySeries", &["10000 series"]);
    let answer = || list("matrix", "{\"metric\":{}}", MILLION);
    let fault = ask(&ratio(), answer).await.unwrap_err();
    check_fault(&fault, "TooManySeries", &["10000 series"]);
    // As they really are they are more than is read, 100 MB among them.
    let item = "{\"metric\":{\"pod\":\"web-6b5f9c7d-abcde\",\"code\":\"200\"},\"value\":[1800000000,\"17\"]}";
    let answer = move || list("vector", item, MILLION + 500_000);
    let fault = ask(&threshold("x"), answer).await.unwrap_err();
    check_fault(&fault, "TooLarge", &["16384 KiB"]);
}

#[tokio::test]
async fn one_byte_after_another_is_not_waited_for_for_ever() {
    // Spaces before the answer: it could still become one.
    let drip = || {
        let bytes = stream::unfold((), |()| async {
            tokio::task::yield_now().await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), ()))
        });
        respond(200, "application/json", Body::from_stream(bytes))
    };
    let server = Server::start(move |_| Some(drip())).await;
    let fault = impatient(&server.url())
        .ask(&threshold("x"), &QUESTION)
        .await;
    check_fault(&fault.unwrap_err(), "Timeout", &["no whole answer"]);
    let fault = impatient(&server.url()).ask(&ratio(), &QUESTION).await;
    check_fault(&fault.unwrap_err(), "Timeout", &["no whole answer"]);
    // Its place is free again.
    let source = impatient(&server.url());
    source.check().await.unwrap_err();
    let free = source.inner.places.available_permits();
    assert_eq!(free, source.inner.concurrency);
    let free = source.inner.places_at_host.available_permits();
    assert_eq!(free, AT_ONE_HOST);
}

#[tokio::test]
async fn an_answer_as_deep_as_it_is_long_is_none() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
        for body in [
            deep.clone(),
            format!("{{\"status\":\"success\",\"data\":{deep}}}"),
            format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":{deep}}}}}"
            ),
        ] {
            let answer = move || respond(200, "application/json", body.clone());
            let fault = ask(&threshold("x"), answer).await.unwrap_err();
            check_fault(&fault, "NotPrometheus", &["base of a Prometheus HTTP API"]);
        }
    }
}
