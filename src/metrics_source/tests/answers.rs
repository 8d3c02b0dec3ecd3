//! What is asked, and what of the answer becomes samples and numbers.

use super::*;
use crate::analysis::comparison::Past;

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
        let labels: Vec<_> = series.labels.iter().collect();
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

/// As Prometheus 3 prints them: an exponential histogram with its zero bucket, and a custom one.
fn native() -> Value {
    json!([
        [AT - 15, {"count": "42", "sum": "34593.34", "buckets": [
            [1, "-0.5", "-0.25", "1"], [3, "-0.25", "0.25", "2"], [0, "0.25", "0.5", "12"],
            [0, "0.5", "1", "21"], [0, "2", "4", "6"]]}],
        [AT, {"count": "3", "sum": "NaN", "buckets": [
            [3, "-Inf", "0.005", "2"], [0, "10", "+Inf", "1"]]}],
        [AT, {"count": "0", "sum": "0"}],
    ])
}

#[tokio::test]
async fn native_histograms_are_read_where_buckets_are_compared() {
    let series = |histograms: Value| {
        let series = json!({"metric": {"pod": "a"}, "histograms": histograms});
        json!({"resultType": "matrix", "result": [series]})
    };
    let answer = ask(&histogram(), move || good(&series(native()))).await;
    let Ok(Answer::Samples(answers)) = answer else {
        panic!("{answer:?}");
    };
    let [read] = answers.selected[0].canary.as_slice() else {
        panic!("{answers:?}");
    };
    let said = |h: &crate::analysis::series::Histogram| {
        let bucket = |b: &crate::analysis::series::Bucket| [b.lower, b.upper, b.count];
        let buckets: Vec<[f64; 3]> = h.buckets.iter().map(bucket).collect();
        (h.at_ms / 1000, h.count, buckets)
    };
    let infinite = f64::INFINITY;
    let expected = [
        (
            AT - 15,
            42.0,
            vec![
                [-0.5, -0.25, 1.0],
                [-0.25, 0.25, 2.0],
                [0.25, 0.5, 12.0],
                [0.5, 1.0, 21.0],
                [2.0, 4.0, 6.0],
            ],
        ),
        (
            AT,
            3.0,
            vec![[-infinite, 0.005, 2.0], [10.0, infinite, 1.0]],
        ),
        (AT, 0.0, vec![]),
    ];
    let read: Vec<_> = read.histograms.iter().map(said).collect();
    assert_eq!(read, expected);

    let bucket = |rule: u8, lower: &str, upper: &str| json!([rule, lower, upper, "1"]);
    let one = |at: i64, buckets: Value| json!([[at, {"count": "1", "buckets": buckets}]]);
    let many: Vec<Value> = (0..1001)
        .map(|k| bucket(0, &k.to_string(), &(k + 1).to_string()))
        .collect();
    let same = |n: usize| json!(vec![json!([AT, {"count": "1"}]); n]);
    for (histograms, reason, words) in [
        (one(AT, json!(many)), "TooManyBuckets", "buckets of the"),
        (
            one(AT, json!([bucket(4, "0", "1")])),
            "NotPrometheus",
            "known shape",
        ),
        (
            one(AT, json!([[0, "0", "1"]])),
            "NotPrometheus",
            "known shape",
        ),
        (one(AT + 1, json!([])), "NotPrometheus", "after the time"),
        (
            one(AT, json!([bucket(0, "1", "2"), bucket(0, "0", "1")])),
            "NotPrometheus",
            "out of order",
        ),
        // Each of them becomes a number for every bound that is compared.
        (same(8_164), "TooManySeries", "400000 samples"),
    ] {
        let data = series(histograms);
        let fault = ask(&histogram(), move || good(&data)).await.unwrap_err();
        check_fault(&fault, reason, &[words]);
    }
    // Whoever needs numbers is told what else there is.
    let answer = move || good(&series(native()));
    let fault = ask(&ratio(), answer).await.unwrap_err();
    check_fault(
        &fault,
        "NativeHistogram",
        &["total of the", "kind histogram"],
    );
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
async fn the_check_wants_the_right_number() {
    let two = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "2"]}]});
    let none = json!({"resultType": "vector", "result": []});
    for data in [two, none] {
        let server = Server::start(move |_| Some(good(&data))).await;
        let fault = source(&server.url()).check().await.unwrap_err();
        check_fault(&fault, "NotPrometheus", &["vector(1) is not 1"]);
    }
}

#[tokio::test]
async fn the_past_is_asked_for_as_sums_of_targets_at_moments() {
    let answer = |_: &Seen| {
        let series = json!({"metric": {"pod": "a"}, "values": [[AT - 15, "1"], [AT, "3"]]});
        Some(good(&json!({"resultType": "matrix", "result": [series]})))
    };
    let server = Server::start(answer).await;
    let question = Question {
        past: Some(Past {
            until: AT,
            reach: 3600,
            step: 15,
        }),
        ..QUESTION
    };
    let answer = source(&server.url()).ask(&ratio(), &question).await;
    let Ok(Answer::Past(selected)) = answer else {
        panic!("{answer:?}");
    };
    let samples: Vec<usize> = selected
        .iter()
        .map(|series| series[0].samples.len())
        .collect();
    assert_eq!(samples, [2, 2]);
    let asked: Vec<String> = server.seen().iter().map(|s| s.query().to_owned()).collect();
    let of =
        |selector: &str| format!("sum by (job,instance,namespace,pod) ({selector})[3600s:15s]");
    assert_eq!(asked, [of("total{hash=\"old\"}"), of("bad{hash=\"old\"}")]);
}
