//! The application at its boundary: what it answers, when it is ready, how it ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{App, Behaviour, VERSION_HEADER};

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

fn behaviour(change: impl FnOnce(&mut Behaviour)) -> Behaviour {
    let mut behaviour = serde_json::from_str(r#"{"version": "v1"}"#).unwrap();
    change(&mut behaviour);
    behaviour
}

async fn serve(behaviour: Behaviour) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let app: Arc<App> = App::new(behaviour);
    let ended = tokio::spawn(async move {
        let stop = async { stopped.await.unwrap() };
        app.serve(listener, stop).await.unwrap();
    });
    Served {
        address,
        stop,
        ended,
    }
}

impl Served {
    async fn request(&self, method: Method, path: &str, body: &str) -> Response<String> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> Response<String> {
        self.request(Method::GET, path, "").await
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }
}

#[tokio::test]
async fn it_says_its_version_and_behaves_as_it_is_told() {
    let app = serve(behaviour(|_| {})).await;
    let answer = app.get("/any/path").await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_str()),
        (200, "v1\n")
    );
    assert_eq!(answer.headers()[VERSION_HEADER], "v1");
    assert!(answer.headers().get(header::CONNECTION).is_none());

    let bad = r#"{"version": "v1", "errorRatio": 1.0}"#;
    let put = app.request(Method::PUT, "/behaviour", bad).await;
    assert_eq!(put.status().as_u16(), 204, "{}", put.body());
    let answer = app.get("/").await;
    assert_eq!(answer.status().as_u16(), 500);
    assert_eq!(answer.headers()[VERSION_HEADER], "v1");
    let told: Behaviour = serde_json::from_str(app.get("/behaviour").await.body()).unwrap();
    assert_eq!(told, behaviour(|b| b.error_ratio = 1.0));

    let metrics = app.get("/metrics").await.into_body();
    for line in [
        r#"http_requests_total{code="200"} 1"#,
        r#"http_requests_total{code="500"} 1"#,
        r#"http_request_duration_seconds_bucket{le="0.5"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn what_it_cannot_be_is_refused() {
    let app = serve(behaviour(|_| {})).await;
    for (told, said) in [
        (
            r#"{"version": "v1", "errorRatio": 1.5}"#,
            "errorRatio: 1.5 is given, 0 to 1 is allowed",
        ),
        (r#"{"version": "v1", "errorRatio": -1}"#, "errorRatio: -1"),
        (r#"{"version": "v1", "drainSeconds": 1e9}"#, "drainSeconds"),
        (r#"{"version": "v1", "errorRate": 1}"#, "errorRate"),
        (r#"{"errorRatio": 1}"#, "version"),
    ] {
        let answer = app.request(Method::PUT, "/behaviour", told).await;
        assert!(answer.status().is_client_error(), "{told}");
        assert!(answer.body().contains(said), "{told}: {}", answer.body());
    }
    assert_eq!(app.status("/").await, 200, "it is as it was");
}

#[test]
fn answers_take_the_time_that_is_meant() {
    let twenty = behaviour(|b| b.latency_ms = 20.0);
    let slower = behaviour(|b| {
        (b.latency_ms, b.slower) = (20.0, 1.5);
    });
    let ms = |b: &Behaviour, drawn: f64| b.latency(drawn).as_secs_f64() * 1000.0;
    assert!((ms(&twenty, 0.0) - 12.0).abs() < 1e-6);
    assert!((ms(&slower, 0.0) - 18.0).abs() < 1e-6);
    let count = 10_000;
    let mean = |b: &Behaviour| {
        let draws = (0..count).map(|n| (f64::from(n) + 0.5) / f64::from(count));
        draws.map(|drawn| ms(b, drawn)).sum::<f64>() / f64::from(count)
    };
    assert!((mean(&twenty) - 20.0).abs() < 0.05, "{}", mean(&twenty));
    assert!((mean(&slower) - 30.0).abs() < 0.05, "{}", mean(&slower));
}

#[tokio::test]
async fn readiness_is_apart_from_answering() {
    let never = serve(behaviour(|b| b.never_ready = true)).await;
    assert_eq!(
        (never.status("/healthz").await, never.status("/").await),
        (503, 200)
    );
    let later = serve(behaviour(|b| b.startup_seconds = 3000.0)).await;
    assert_eq!(later.status("/healthz").await, 503);
    let now = serve(behaviour(|_| {})).await;
    assert_eq!(now.status("/healthz").await, 200);
}

#[tokio::test]
async fn it_drains_and_then_it_is_gone() {
    let app = serve(behaviour(|b| {
        (b.drain_seconds, b.latency_ms) = (2.0, 100.0);
    }))
    .await;
    assert_eq!(app.status("/healthz").await, 200);
    app.stop.send(()).unwrap();
    let app = Served {
        stop: oneshot::channel().0,
        ..app
    };
    while app.status("/healthz").await == 200 {
        tokio::task::yield_now().await;
    }
    let answer = app.get("/").await;
    assert_eq!(answer.status().as_u16(), 200, "it still answers");
    assert_eq!(answer.headers()[header::CONNECTION], "close");
    tokio::time::timeout(Duration::from_secs(30), app.ended)
        .await
        .expect("it ends by itself")
        .unwrap();
    let refused = tokio::net::TcpStream::connect(app.address).await;
    assert!(refused.is_err(), "nobody listens any more");
}
