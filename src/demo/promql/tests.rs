use super::*;

fn labels(code: &str, pod: &str) -> Labels {
    [
        ("__name__", "http_requests_total"),
        ("code", code),
        ("pod", pod),
    ]
    .into_iter()
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .collect()
}

/// Two pods scraped at 1, 2 and 3 s; the second one's errors begin at 2 s, and it is gone at 3 s.
fn samples() -> Samples {
    let mut samples = Samples::default();
    samples.scrape(
        1000,
        [(labels("200", "a"), 10.0), (labels("200", "b"), 5.0)],
    );
    samples.scrape(
        2000,
        [
            (labels("200", "a"), 20.0),
            (labels("200", "b"), 8.0),
            (labels("500", "b"), 2.0),
        ],
    );
    samples.scrape(3000, [(labels("200", "a"), 4.0)]);
    samples
}

fn ask(query: &str) -> Result<Answer, String> {
    evaluate(&samples(), query, 3000)
}

fn number(query: &str) -> f64 {
    match ask(query).unwrap() {
        Answer::Scalar(value) => value,
        Answer::Vector(all) => match all.as_slice() {
            [(_, value)] => *value,
            other => panic!("{query}: {other:?}"),
        },
        Answer::Matrix(all) => panic!("{query}: {all:?}"),
    }
}

fn pods(query: &str) -> Vec<(String, String)> {
    let Answer::Matrix(all) = ask(query).unwrap() else {
        panic!("{query} is no range");
    };
    let name = |l: &Labels, n: &str| l.get(n).cloned().unwrap_or_default();
    all.iter()
        .map(|(l, _)| (name(l, "pod"), name(l, "code")))
        .collect()
}

#[test]
fn a_range_holds_the_raw_samples_after_its_beginning() {
    let Answer::Matrix(all) = ask("http_requests_total{pod=\"a\"}[2s]").unwrap() else {
        panic!("no range");
    };
    assert_eq!(all, [(labels("200", "a"), vec![(2000, 20.0), (3000, 4.0)])]);
    let json = Answer::Matrix(all).data(3000);
    assert_eq!(json["resultType"], "matrix");
    assert_eq!(json["result"][0]["values"][1], json!([3.0, "4"]));
}

#[test]
fn all_four_matchers_select() {
    let both = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    let all = "http_requests_total";
    assert_eq!(
        pods(&format!("{all}{{code=~\"5..\"}}[1m]")),
        both(&[("b", "500")])
    );
    assert_eq!(
        pods(&format!("{all}{{code!~\"2.*\",}}[1m]")),
        both(&[("b", "500")])
    );
    assert_eq!(
        pods(&format!("{all}{{pod!=\"a\",code=\"200\"}}[1m]")),
        both(&[("b", "200")])
    );
    // A regular expression is anchored at both ends, and a missing label is empty.
    assert_eq!(pods(&format!("{all}{{code=~\"5\"}}[1m]")), both(&[]));
    assert_eq!(
        pods(&format!("{all}{{zone=\"\",pod=\"a\"}}[1m]")),
        both(&[("a", "200")])
    );
}

#[test]
fn an_instant_query_does_not_show_pods_that_are_gone() {
    assert!((number("sum(http_requests_total)") - 4.0).abs() < 1e-9);
    let at_two = evaluate(&samples(), "count(http_requests_total)", 2000).unwrap();
    assert_eq!(at_two, Answer::Vector(vec![(Labels::new(), 3.0)]));
}

#[test]
fn growth_counts_resets_and_is_not_extrapolated() {
    // 10 -> 20 -> 4: 10 more, then a reset and 4 more.
    assert!((number("increase(http_requests_total{pod=\"a\"}[1m])") - 14.0).abs() < 1e-9);
    assert!((number("sum(rate(http_requests_total{pod=\"a\"}[1m])) * 2") - 14.0).abs() < 1e-9);
    assert!((number("(1 + 0.5) * 4 / 2") - 3.0).abs() < 1e-9);
    let Answer::Vector(by) = evaluate(
        &samples(),
        "sum by (pod) (increase(http_requests_total[1m]))",
        2000,
    )
    .unwrap() else {
        panic!("no vector");
    };
    let values: Vec<f64> = by.iter().map(|(_, v)| *v).collect();
    assert_eq!(values, [10.0, 3.0]);
}

#[test]
fn what_is_beyond_it_is_refused() {
    for query in [
        "",
        "{}",
        "{pod=~\".*\"}[1m]",
        "histogram_quantile(0.9, x)",
        "http_requests_total offset 5m",
        "http_requests_total[5]",
        "http_requests_total[1m:30s]",
        "http_requests_total{code=5}",
        "http_requests_total{code=\"5\"",
        "http_requests_total{code=~\"(\"}",
        "sum(http_requests_total[1m])",
        "rate(http_requests_total)",
        "http_requests_total > 5",
        "http_requests_total[1m] + 1",
        "((((((((((((((((((((((1))))))))))))))))))))))",
    ] {
        assert!(ask(query).is_err(), "{query}: {:?}", ask(query));
    }
}

#[test]
fn a_subquery_asks_the_same_at_moments_that_tile_time() {
    let Answer::Matrix(all) = ask("sum by (pod) (http_requests_total)[4s:2s]").unwrap() else {
        panic!("no range");
    };
    let found: Vec<(&str, &[(i64, f64)])> = all
        .iter()
        .map(|(labels, samples)| (&*labels["pod"], samples.as_slice()))
        .collect();
    // Multiples of two seconds within four before the third.
    assert_eq!(
        found,
        [("a", &[(2000, 20.0)][..]), ("b", &[(2000, 10.0)][..])]
    );
    for query in [
        "sum(x)[4s]",
        "sum(x)[4s:]",
        "sum(x)[4s:0s]",
        "sum(x)[24h:1ms]",
        "sum(x)[4s:2s:1s]",
    ] {
        assert!(ask(query).is_err(), "{query}");
    }
}
