//! An endpoint to which somebody hands requests on: the same answers, the same limits, the same words.

use futures::future::BoxFuture;

use super::*;
use crate::metrics_source::{Relay, RelayError, Relayed};

type Parameters = Vec<(&'static str, String)>;
/// None: never.
type Answering = fn() -> Option<Result<(u16, Value), RelayError>>;

/// Hands nothing on, and answers as a test says; None: never.
struct Said {
    seen: Arc<Mutex<Vec<Parameters>>>,
    answer: Answering,
}

impl Relay for Said {
    fn query(
        &self,
        parameters: Parameters,
        max: usize,
    ) -> BoxFuture<'_, Result<Relayed, RelayError>> {
        assert_eq!(max, BODY_MAX);
        self.seen.lock().unwrap().push(parameters);
        let answer = (self.answer)();
        async move {
            let Some(answer) = answer else {
                return futures::future::pending().await;
            };
            let (status, body) = answer?;
            Ok(Relayed {
                status: reqwest::StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.to_string().into_bytes(),
            })
        }
        .boxed()
    }

    fn place(&self) -> String {
        "Service monitoring/prometheus".to_owned()
    }
}

async fn asked(kind: &Kind, answer: Answering) -> (Result<Answer, Fault>, Vec<Parameters>) {
    let seen: Arc<Mutex<Vec<Parameters>>> = Arc::default();
    let relay = Said {
        seen: seen.clone(),
        answer,
    };
    let source = Source::relayed(Box::new(relay), Duration::from_millis(300), 2);
    assert!(format!("{source:?}").contains("monitoring/prometheus"));
    let answer = source.ask(kind, &QUESTION).await;
    let seen = seen.lock().unwrap().clone();
    (answer, seen)
}

#[tokio::test]
async fn what_is_handed_on_is_the_question_and_what_comes_back_is_read_as_ever() {
    let matrix = || {
        let series = json!([{"metric": {"pod": "a"}, "values": [[AT - 5, "1"], [AT, "2"]]}]);
        let data = json!({"resultType": "matrix", "result": series});
        Some(Ok((200, json!({"status": "success", "data": data}))))
    };
    let (answer, seen) = asked(&ratio(), matrix).await;
    let Ok(Answer::Samples(answers)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(answers.selected.len(), 2);
    assert_eq!(answers.selected[1].stable[0].samples.len(), 2);
    assert_eq!(seen.len(), 4);
    let of = |name: &str| {
        seen[0]
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.clone())
    };
    assert_eq!(of("time"), Some(AT.to_string()));
    assert_eq!(of("query").as_deref(), Some("total{hash=\"new\"}[300s]"));
    assert!(of("timeout").is_some_and(|t| t.ends_with("ms")), "{seen:?}");
}

#[tokio::test]
async fn what_fails_has_its_reason_whoever_failed() {
    type Case = (
        fn() -> Option<Result<(u16, Value), RelayError>>,
        &'static str,
        &'static str,
    );
    let cases: [Case; 6] = [
        (
            || Some(Err(RelayError::Forbidden("may not".into()))),
            "Unauthorized",
            "may not",
        ),
        (
            || Some(Err(RelayError::Unreachable("not there".into()))),
            "Unreachable",
            "not there",
        ),
        (|| Some(Err(RelayError::TooLarge)), "TooLarge", "16384 KiB"),
        (
            || Some(Ok((401, json!({"error": CANARY})))),
            "Unauthorized",
            "HTTP 401",
        ),
        (
            || {
                Some(Ok((
                    422,
                    json!({"status": "error", "errorType": "execution", "error": CANARY}),
                )))
            },
            "QueryRefused",
            "HTTP 422",
        ),
        (|| None, "Timeout", "no whole answer"),
    ];
    for (answer, reason, words) in cases {
        let (answer, _) = asked(&threshold("x"), answer).await;
        check_fault(&answer.unwrap_err(), reason, &[words]);
    }
}
