//! Notifications at their boundary: what a receiver on the other side of a connection gets, how often,
//! and what becomes of it when it does not take them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tidegate::api::rollout_status::RolloutStatus;
use tidegate::controller::run;
use tidegate::notify::{Config, Counts, Delivery, Kind, Limits, Notifier, Object};
use tidegate::retry::Retry;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::controller::world::{self, World};
use crate::git_writer::lab;

/// Part of every URL; it must be nowhere else.
const SECRET: &str = "s3cret-path-of-a-webhook";
const KEY: &str = "a-key-of-the-receiver";
/// Longer than any test takes on a machine that does many things at once.
const LIMIT: Duration = Duration::from_secs(60);

/// One who is told, and keeps what it got.
struct Receiver {
    url: String,
    state: Arc<Kept>,
    server: JoinHandle<()>,
}

struct Kept {
    got: Mutex<Vec<(HeaderMap, String)>>,
    /// What the next requests are answered; then 200.
    answers: Mutex<VecDeque<Response>>,
    /// Each answer takes one.
    may_answer: Semaphore,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    async fn start() -> Self {
        // Set once per process; whoever comes later uses it too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = Arc::new(Kept {
            got: Mutex::default(),
            answers: Mutex::default(),
            may_answer: Semaphore::new(1_000),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state, server }
    }

    fn answers(&self, status: u16, retry_after: Option<&str>) {
        let status = StatusCode::from_u16(status).unwrap();
        let header = retry_after.map(|seconds| [("retry-after", seconds.to_owned())]);
        let answer = match header {
            // The body must not get anywhere either.
            None => (status, SECRET).into_response(),
            Some(header) => (status, header, SECRET).into_response(),
        };
        lock(&self.state.answers).push_back(answer);
    }

    fn got(&self) -> Vec<(HeaderMap, String)> {
        lock(&self.state.got).clone()
    }

    /// What it got, when it is so many.
    async fn when(&self, count: usize) -> Vec<(HeaderMap, String)> {
        until("notifications", || self.got().len() >= count).await;
        self.got()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    lock(&kept.got).push((headers, body));
    kept.may_answer.acquire().await.unwrap().forget();
    let answer = lock(&kept.answers).pop_front();
    answer.unwrap_or_else(|| StatusCode::OK.into_response())
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(LIMIT, wait).await;
    assert!(came.is_ok(), "in vain waited for: {what}");
}

fn json_of(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn config(receivers: &Value) -> Config {
    Config::parse(&json!({"receivers": receivers})).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn start(receivers: &Value, queue: usize, counts: &Counts) -> (Notifier, Delivery) {
    let millis = Duration::from_millis;
    let limits = Limits {
        queue,
        retry: Retry::new(millis(1), millis(5), 2.0).tries(4),
    };
    let cluster = Some("east".to_owned());
    Notifier::start(
        Some(config(receivers)),
        cluster,
        counts.clone(),
        limits,
        now(),
    )
}

/// Shows a Rollout of this name whose second version was just given up.
fn show_abort(notifier: &Notifier, rollout: &str) {
    let status = json!({
        "phase": "Aborted",
        "stable": {"revision": 1, "hash": "good"},
        "canary": {"revision": 2, "hash": "bad", "images": ["web:2"], "attempt": 1},
        "abort": {"at": now(), "reason": "AnalysisFailed", "message": "errors: 4 % of \"all\"",
            "hash": "bad", "step": 1, "weight": 20},
    });
    let status: RolloutStatus = serde_json::from_value(status).unwrap();
    let object = Object {
        namespace: "shop",
        rollout,
        uid: rollout,
    };
    notifier.rollout(object, &status, now());
}

fn counted(counts: &Counts) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    counts.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn has(counts: &Counts, result: &str, n: usize) -> bool {
    let line = format!(r#"notifications_total{{receiver="team",result="{result}"}} {n}"#);
    counted(counts).lines().any(|l| l == line)
}

#[tokio::test]
async fn each_receiver_gets_it_in_its_own_form_and_once() {
    let receiver = Receiver::start().await;
    let url = &receiver.url;
    let counts = Counts::default();
    let receivers = json!([
        {"name": "chat", "slack": {"url": url}},
        {"name": "bus", "cloudEvents": {"url": url, "headers": {"Authorization": "Bearer t"}}},
        {"name": "hook", "webhook": {"url": url, "signingKey": KEY,
            "body": "{\"summary\": \"{{title}}\", \"details\": \"{{why}}\"}"}},
        {"name": "others", "slack": {"url": url}, "namespaces": ["pay*"]},
        {"name": "reverts", "slack": {"url": url}, "kinds": ["RevertVerified"]},
    ]);
    let (notifier, delivery) = start(&receivers, 10, &counts);
    // Every look shows it.
    for _ in 0..3 {
        show_abort(&notifier, "web");
    }
    drop(notifier);
    delivery.end().await;
    let got = receiver.got();
    assert_eq!(got.len(), 3, "{got:?}");

    let with = |name: &str| {
        let found = got
            .iter()
            .find(|(_, body)| json_of(body).get(name).is_some());
        let (headers, body) = found.unwrap_or_else(|| panic!("none with {name}: {got:?}"));
        (headers.clone(), body.clone())
    };
    let (_, slack) = with("blocks");
    assert!(
        json_of(&slack)["text"]
            .as_str()
            .unwrap()
            .contains("shop/web: revision 2")
    );

    let (headers, event) = with("specversion");
    assert_eq!(headers["authorization"], "Bearer t");
    assert_eq!(
        headers["content-type"],
        "application/cloudevents+json; charset=utf-8"
    );
    let event = json_of(&event);
    assert_eq!(event["source"], "/tidegate/east/shop/web");
    assert_eq!(event["type"], "io.tidegate.rollout.aborted.v1");
    assert_eq!(event["data"]["reason"], "AnalysisFailed");

    let (headers, body) = with("summary");
    assert_eq!(json_of(&body)["details"], "errors: 4 % of \"all\"");
    assert_eq!(headers["tidegate-id"], event["id"].as_str().unwrap());
    // As a receiver verifies it.
    let time = headers["tidegate-timestamp"].to_str().unwrap();
    let given = headers["tidegate-signature"].to_str().unwrap();
    let given = given.strip_prefix("sha256=").unwrap();
    let bytes: Vec<u8> = (0..given.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&given[i..i + 2], 16).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let verified = |text: String| hmac::verify(&key, text.as_bytes(), &bytes).is_ok();
    assert!(verified(format!("{time}.{body}")));
    assert!(!verified(format!("{time}.{body} ")));
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_where_that_may_help() {
    for (answers, requests, result) in [
        (vec![(500, None), (429, Some("0"))], 3, "Sent"),
        (vec![(503, None); 9], 4, "Failed"),
        (vec![(404, None); 9], 1, "Failed"),
        (vec![(302, None); 9], 1, "Failed"),
    ] {
        let receiver = Receiver::start().await;
        for (status, retry_after) in &answers {
            receiver.answers(*status, *retry_after);
        }
        let counts = Counts::default();
        let receivers = json!([{"name": "team", "webhook": {"url": receiver.url}}]);
        let (notifier, delivery) = start(&receivers, 10, &counts);
        show_abort(&notifier, "web");
        until(result, || has(&counts, result, 1)).await;
        drop(notifier);
        delivery.end().await;
        let got = receiver.got();
        assert_eq!(got.len(), requests, "{answers:?}");
        let ids: BTreeSet<&str> = got
            .iter()
            .map(|(headers, _)| headers["tidegate-id"].to_str().unwrap())
            .collect();
        assert_eq!(ids.len(), 1, "each try is the same notification");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_and_loses_its_oldest() {
    let slow = Receiver::start().await;
    let quick = Receiver::start().await;
    slow.state.may_answer.forget_permits(1_000);
    let counts = Counts::default();
    let receivers = json!([
        {"name": "team", "webhook": {"url": slow.url}},
        {"name": "quick", "webhook": {"url": quick.url}},
    ]);
    let (notifier, delivery) = start(&receivers, 2, &counts);
    show_abort(&notifier, "first");
    slow.when(1).await;
    quick.when(1).await;
    for (i, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        show_abort(&notifier, name);
        // Its own queue is as short.
        quick.when(i + 2).await;
    }
    assert!(has(&counts, "Dropped", 3), "{}", counted(&counts));
    slow.state.may_answer.add_permits(1_000);
    let got = slow.when(3).await;
    drop(notifier);
    delivery.end().await;
    let rollouts: Vec<Value> = got
        .iter()
        .map(|(_, body)| json_of(body)["rollout"].clone())
        .collect();
    assert_eq!(rollouts, ["first", "d", "e"]);
    assert!(has(&counts, "Sent", 3), "{}", counted(&counts));
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_a_url_nor_a_key_nor_an_answer_is_said_anywhere() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("tidegate=trace")
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber in the process, a line that another test's thread is the first to come by
    // is switched off for this one's as well. So there are two.
    let silent = tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .finish();
    let _second = tracing::Dispatch::new(silent);
    // The runtime of this test has one thread, and so has all that is sent.
    let _said_here = tracing::subscriber::set_default(subscriber);
    let receiver = Receiver::start().await;
    receiver.answers(400, None);
    let counts = Counts::default();
    let receivers = json!([
        {"name": "team", "webhook": {"url": receiver.url, "signingKey": KEY}},
        // Nobody listens there.
        {"name": "gone", "slack": {"url": format!("http://127.0.0.1:1/{SECRET}")}},
    ]);
    let (notifier, delivery) = start(&receivers, 10, &counts);
    show_abort(&notifier, "web");
    until("both have failed", || {
        counted(&counts).matches("result=\"Failed\"} 1").count() == 2
    })
    .await;
    let tested = tidegate::notify::test(&config(&receivers), Some("gone"), now()).await;
    let shown = format!("{notifier:?} {} {tested:?}", counted(&counts));
    drop(notifier);
    delivery.end().await;
    let log = String::from_utf8(lock(&lines.0).clone()).unwrap();
    assert!(
        log.contains("status 400") && log.contains("no connection"),
        "{log}"
    );
    for text in [&log, &shown] {
        assert!(!text.contains(SECRET) && !text.contains(KEY), "{text}");
    }
    assert_eq!(
        tested,
        [("gone".to_owned(), Err("no connection".to_owned()))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_told_from_its_start_and_a_restart_tells_nothing_new() {
    let receiver = Receiver::start().await;
    let receivers = json!([{"name": "team", "webhook": {"url": receiver.url}}]);
    let with_notifications = || run::Config {
        notifications: Some(config(&receivers)),
        ..world::config()
    };
    let kinds = |got: &[(HeaderMap, String)]| -> Vec<String> {
        let kind =
            |(_, body): &(HeaderMap, String)| json_of(body)["kind"].as_str().unwrap().to_owned();
        got.iter().map(kind).collect()
    };
    let ids = |got: &[(HeaderMap, String)]| -> BTreeSet<String> {
        let id = |(_, body): &(HeaderMap, String)| json_of(body)["id"].as_str().unwrap().to_owned();
        got.iter().map(id).collect()
    };
    let world = World::new();
    let one = world.controller_with(with_notifications());
    world.add_canary("web", &json!([{"setWeight": 20}, {"pause": {}}]));
    world.until_phase("web", "Healthy").await;
    world.set_image("web", "r/app:v2").await;
    world.until_phase("web", "Paused").await;
    receiver.when(2).await;
    world.command("web", "abort").await;
    world.until_phase("web", "Aborted").await;
    let told = receiver.when(3).await;
    assert_eq!(kinds(&told), ["Started", "Waits", "Aborted"]);
    one.stop().await.unwrap();
    assert_eq!(receiver.got().len(), 3);

    // What is this young may have been lost by one that was killed: it has the same id.
    let two = world.controller_with(with_notifications());
    let again = receiver.when(4).await;
    two.stop().await.unwrap();
    assert_eq!(ids(&again), ids(&told));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_git_writer_tells_what_becomes_of_a_revert() {
    let receiver = Receiver::start().await;
    let world = lab::World::new().await;
    let file = world.dir.path().join("notifications.yaml");
    let text = format!(
        "receivers:\n  - {{name: team, webhook: {{url: '{}'}}}}\n",
        receiver.url
    );
    std::fs::write(&file, text).unwrap();
    world.create(world.spec()).await;
    let writer = world.start(&["--notifications-config", file.to_str().unwrap()]);
    let status = world.until_phase("Landed").await;
    world.rollout("Healthy", "good").await;
    world.until_phase("Verified").await;
    writer.stop().await;
    let told: Vec<Value> = receiver
        .got()
        .iter()
        .map(|(_, body)| json_of(body))
        .collect();
    for kind in [
        "RevertPlanned",
        "RevertPushed",
        "RevertLanded",
        "RevertVerified",
    ] {
        let of_kind = told.iter().filter(|notice| notice["kind"] == kind);
        assert_eq!(of_kind.count(), 1, "{kind}: {told:#?}");
    }
    let last = told.last().unwrap();
    assert_eq!(last["kind"], "RevertVerified");
    assert_eq!(last["commit"], status["commit"]);
    assert_eq!(last["cluster"], "test");
    assert!(
        last["diff"].as_str().unwrap().contains("+checkout: v1"),
        "{last:#}"
    );
    assert!(last["why"].as_str().unwrap().contains("8.8 %"), "{last:#}");
    // Nothing in the cluster says where it was told.
    let events = world.api.store().list("events", "shop");
    assert!(!events.is_empty());
    assert!(events.iter().all(|e| !e.to_string().contains(SECRET)));
}

#[test]
fn the_page_has_each_kind_and_its_example_is_taken() {
    let page = include_str!("../../docs/notifications.md");
    let part = page
        .split("\n## ")
        .find(|part| part.starts_with("What is told\n"));
    let named: Vec<&str> = part
        .unwrap()
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(named, Kind::ALL.map(Kind::as_str));
    let example = page.split("```yaml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    // No certificate is looked at, so that it does not matter which authorities this machine has.
    let example = example.replace("https://", "http://");
    let example: Value = serde_saphyr::from_str(&example).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    assert_eq!(Config::parse(&example).unwrap().receivers().len(), 3);
}
