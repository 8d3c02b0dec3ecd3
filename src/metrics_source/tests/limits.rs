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
