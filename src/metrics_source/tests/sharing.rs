//! What is asked once for all who ask the same, and how many may ask at all. Requests are counted
//! where they arrive.

use futures::future::join_all;
use shared::{BYTES_MAX, ENTRIES_MAX, ENTRY_BYTES_MAX, KEPT_FOR};
use tokio::sync::Notify;

use super::*;

/// A source that answers when it is told to.
struct Gate {
    open: Arc<Notify>,
    arrived: Arc<tokio::sync::Semaphore>,
}

fn one() -> Value {
    json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]})
}

fn at(at: i64) -> Question {
    Question { at, ..QUESTION }
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_asked_once() {
    let server = Server::start(|_| Some(good(&one()))).await;
    let source = source(&server.url());
    let (query, other) = (threshold("x"), threshold("y"));
    let asked = (0..500).map(|_| source.ask(&query, &QUESTION));
    for answer in join_all(asked).await {
        let Ok(Answer::Points(points)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(points.len(), 1);
    }
    assert_eq!(server.seen().len(), 1);
    // Whoever comes a little later gets the same answer.
    source.ask(&query, &QUESTION).await.unwrap();
    assert_eq!(server.seen().len(), 1);
    // Another time, another query and another source are other questions.
    source.ask(&query, &at(AT - 15)).await.unwrap();
    assert_eq!(server.seen().len(), 2);
    source.ask(&other, &QUESTION).await.unwrap();
    assert_eq!(server.seen().len(), 3);
    super::source(&server.url())
        .ask(&query, &QUESTION)
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 4);
    // Whether the endpoint answers is never known from before.
    source.check().await.unwrap();
    source.check().await.unwrap();
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn metrics_with_the_same_total_ask_for_it_once() {
    let answer = |_: &Seen| Some(good(&json!({"resultType": "matrix", "result": []})));
    let server = Server::start(answer).await;
    let source = source(&server.url());
    let (Kind::Comparison(one), Kind::Comparison(mut other)) = (ratio(), ratio()) else {
        panic!("no ratios");
    };
    let Measure::Ratio { bad, .. } = &mut other.measure else {
        panic!("no ratio");
    };
    bad.canary = "slow{hash=\"new\"}".to_owned();
    bad.stable = "slow{hash=\"old\"}".to_owned();
    let (one, other) = (Kind::Comparison(one), Kind::Comparison(other));
    let both = futures::join!(source.ask(&one, &QUESTION), source.ask(&other, &QUESTION));
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    let mut asked: Vec<String> = server.seen().iter().map(|s| s.query().to_owned()).collect();
    asked.sort();
    let expected = [
        "bad{hash=\"new\"}[300s]",
        "bad{hash=\"old\"}[300s]",
        "slow{hash=\"new\"}[300s]",
        "slow{hash=\"old\"}[300s]",
        "total{hash=\"new\"}[300s]",
        "total{hash=\"old\"}[300s]",
    ];
    assert_eq!(asked, expected);
    // A longer reach is another question.
    let longer = Question {
        reach: 600,
        past: None,
        ..QUESTION
    };
    source.ask(&one, &longer).await.unwrap();
    assert_eq!(server.seen().len(), 10);
}

/// A scrape between an old answer for `bad` and a new one for `total` would look like good requests.
#[tokio::test]
async fn bad_is_never_older_than_total() {
    let answer = |_: &Seen| Some(good(&json!({"resultType": "matrix", "result": []})));
    let server = Server::start(answer).await;
    let source = source(&server.url());
    let (Kind::Comparison(one), Kind::Comparison(mut other)) = (ratio(), ratio()) else {
        panic!("no ratios");
    };
    source
        .ask(&Kind::Comparison(one.clone()), &QUESTION)
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 4);
    // The same question as a whole.
    source.ask(&Kind::Comparison(one), &QUESTION).await.unwrap();
    assert_eq!(server.seen().len(), 4);
    let Measure::Ratio { total, .. } = &mut other.measure else {
        panic!("no ratio");
    };
    total.canary = "all{hash=\"new\"}".to_owned();
    source
        .ask(&Kind::Comparison(other), &QUESTION)
        .await
        .unwrap();
    let seen = server.seen();
    let names: Vec<&str> = seen[4..].iter().map(|s| &s.query()[..3]).collect();
    assert_eq!(names, ["all", "bad", "bad"]);
}

#[tokio::test]
async fn a_failure_is_for_those_who_wait_and_is_not_remembered() {
    let server = Server::start(|_| Some(bad(500, "internal"))).await;
    let source = source(&server.url());
    let query = threshold("x");
    let asked = (0..50).map(|_| source.ask(&query, &QUESTION));
    for answer in join_all(asked).await {
        check_fault(&answer.unwrap_err(), "HttpStatus", &["HTTP 500"]);
    }
    assert_eq!(server.seen().len(), 1);
    source.ask(&query, &QUESTION).await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn who_asks_first_may_leave_and_the_others_get_their_answer() {
    let gate = Gate::new();
    let server = gate.server().await;
    let source = source(&server.url());
    let query = threshold("x");
    let mut first = Box::pin(source.ask(&query, &QUESTION));
    let second = tokio::spawn({
        let (source, query) = (source.clone(), threshold("x"));
        async move { source.ask(&query, &QUESTION).await }
    });
    tokio::select! {
        answer = &mut first => panic!("{answer:?}"),
        () = gate.arrivals(1) => {}
    }
    drop(first);
    gate.open.notify_one();
    assert!(second.await.unwrap().is_ok());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn one_host_is_asked_so_much_at_once_by_all_together() {
    let gate = Gate::new();
    let server = gate.server().await;
    let hosts = Hosts::default();
    let sources: Vec<Source> = (0..3)
        .map(|_| {
            let endpoint = Endpoint {
                concurrency: 10,
                ..endpoint(&server.url())
            };
            Source::among(endpoint, &hosts).unwrap()
        })
        .collect();
    let queries: Vec<Kind> = (0..30).map(|n| threshold(&format!("x{n}"))).collect();
    let asked = queries.iter().enumerate();
    let asked = asked.map(|(n, query)| sources[n % 3].ask(query, &QUESTION));
    let mut all = Box::pin(join_all(asked));
    tokio::select! {
        answers = &mut all => panic!("{answers:?}"),
        () = gate.arrivals(AT_ONE_HOST as u32) => {}
    }
    assert_eq!(sources[0].inner.places_at_host.available_permits(), 0);
    // The others wait here and not there.
    assert_eq!(server.seen().len(), AT_ONE_HOST);
    // Each that is answered makes room for one more.
    for _ in AT_ONE_HOST..queries.len() {
        gate.open.notify_one();
        tokio::select! {
            answers = &mut all => panic!("{answers:?}"),
            () = gate.arrivals(1) => {}
        }
    }
    let rest = gate.open.clone();
    let opens = tokio::spawn(async move {
        loop {
            rest.notify_one();
            tokio::task::yield_now().await;
        }
    });
    let answers = all.await;
    opens.abort();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(server.seen().len(), queries.len());
}

#[tokio::test]
async fn a_busy_host_is_named_as_the_reason() {
    let server = Server::start(|_| Some(good(&one()))).await;
    let source = impatient(&server.url());
    let places = &source.inner.places_at_host;
    let held = places.acquire_many(AT_ONE_HOST as u32).await.unwrap();
    let fault = source.check().await.unwrap_err();
    check_fault(&fault, "TooManyQueries", &["16 queries to this host"]);
    drop(held);
    assert_eq!(server.seen().len(), 0);
    source.check().await.unwrap();
}

#[test]
fn a_host_is_the_same_by_any_port_and_spelling() {
    install_tls();
    let hosts = Hosts::default();
    let at = |url: &str| Source::among(endpoint(url), &hosts).unwrap();
    let first = at("http://prometheus.test:9090/a");
    for url in ["https://Prometheus.TEST", "http://prometheus.test.:80/b"] {
        assert!(first.counts_with(&at(url)), "{url}");
    }
    assert!(!first.counts_with(&at("http://other.test:9090")));
    // Another one's hosts are its own.
    let alone = Source::new(endpoint("http://prometheus.test:9090")).unwrap();
    assert!(!first.counts_with(&alone));
}

/// Asks for `query` with an answer of so many points, which needs no source.
async fn answered(answers: &Arc<SharedAnswers>, query: &str, points: usize) -> bool {
    let begun = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Asked {
        query: query.to_owned(),
        at: AT,
        wanted: Wanted::Points,
    };
    let begin = || {
        begun.store(true, std::sync::atomic::Ordering::SeqCst);
        let point = Point {
            at_ms: 0,
            value: 1.0,
        };
        async move { Ok(Found::Points(vec![point; points])) }.boxed()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let late = AskError::GivenUp;
    let answer = answers.answer(&asked, None, deadline, late, begin).await;
    assert_eq!(answer.unwrap().found.bytes(), points * size_of::<Point>());
    begun.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test]
async fn so_much_is_remembered_and_no_more() {
    let answers: Arc<SharedAnswers> = Arc::default();
    for n in 0..2 * ENTRIES_MAX {
        assert!(answered(&answers, &format!("x{n}"), 1).await);
    }
    assert_eq!(answers.size().0, ENTRIES_MAX);
    // The newest are kept, the oldest are not.
    let newest = format!("x{}", 2 * ENTRIES_MAX - 1);
    assert!(!answered(&answers, &newest, 1).await);
    assert!(answered(&answers, "x0", 1).await);

    let answers: Arc<SharedAnswers> = Arc::default();
    let large = ENTRY_BYTES_MAX / size_of::<Point>();
    assert!(answered(&answers, "too large", large + 1).await);
    assert!(answered(&answers, "too large", large + 1).await);
    assert_eq!(answers.size(), (0, 0));
    for n in 0..2 * BYTES_MAX / ENTRY_BYTES_MAX {
        assert!(answered(&answers, &format!("x{n}"), large - 10).await);
        assert!(answers.size().1 <= BYTES_MAX);
    }
    assert_eq!(answers.size().0, BYTES_MAX / ENTRY_BYTES_MAX);

    // Nothing lasts longer than a scrape.
    let answers: Arc<SharedAnswers> = Arc::default();
    assert!(answered(&answers, "x", 1).await);
    assert!(!answered(&answers, "x", 1).await);
    answers.age(KEPT_FOR);
    assert!(answered(&answers, "x", 1).await);
}

impl Gate {
    fn new() -> Self {
        Self {
            open: Arc::new(Notify::new()),
            arrived: Arc::new(tokio::sync::Semaphore::new(0)),
        }
    }

    /// Waits for so many more requests.
    async fn arrivals(&self, count: u32) {
        self.arrived.acquire_many(count).await.unwrap().forget();
    }

    async fn server(&self) -> Server {
        let (open, arrived) = (self.open.clone(), self.arrived.clone());
        Server::start(move |_| {
            arrived.add_permits(1);
            let open = open.clone();
            let body = stream::once(async move {
                open.notified().await;
                let body = json!({"status": "success", "data": one()});
                Ok::<_, io::Error>(Bytes::from(body.to_string()))
            });
            Some(respond(200, "application/json", Body::from_stream(body)))
        })
        .await
    }
}
