//! What is written, for whom, and what is said of it.

use std::sync::Arc;

use serde_json::json;
use tidegate::sim::apiserver::Fault;

use super::browser::{Browser, options};
use crate::plugin::lab::{Lab, aborted, healthy, in_progress};

#[tokio::test]
async fn each_command_is_the_annotation_that_the_plugin_writes() {
    let held = json!({"phase": "Paused", "heldSince": "2026-11-21T11:55:00Z"});
    for (verb, status) in [
        ("promote", in_progress(json!({}))),
        ("promote-full", in_progress(json!({}))),
        ("abort", in_progress(json!({}))),
        ("pause", in_progress(json!({}))),
        ("resume", in_progress(held)),
        ("retry", aborted("Aborted")),
    ] {
        let browser = Browser::of(status).await;
        let (answer, value) = tokio::join!(
            browser.ask(verb, "13/1"),
            browser.lab.acknowledge(verb, "Accepted")
        );
        assert_eq!(answer.code, 200, "{verb}: {answer:?}");
        assert!(answer.body.contains("\"done\":true"), "{verb}: {answer:?}");
        assert!(
            value.starts_with("13/1 ") && value.ends_with(" alice@example.com"),
            "{verb}: {value}"
        );
        assert_eq!(browser.lab.writes(), 1, "{verb}");
    }
}

#[tokio::test]
async fn what_the_controller_refuses_is_said() {
    let browser = Browser::of(in_progress(json!({}))).await;
    let (answer, _) = tokio::join!(
        browser.ask("promote", "13/1"),
        browser
            .lab
            .acknowledge("promote", "Refused: the step has changed"),
    );
    assert_eq!(answer.code, 409, "{answer:?}");
    assert!(
        answer.body.contains("Refused: the step has changed"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_is_no_longer_so_is_not_written() {
    let browser = Browser::of(in_progress(json!({}))).await;
    for (verb, seen, words) in [
        ("promote", "13/0", "it has moved on"),
        ("abort", "12/0", "it has moved on"),
        ("retry", "13/1", "was not aborted"),
        ("resume", "13/1", "it is not paused"),
    ] {
        let answer = browser.ask(verb, seen).await;
        assert_eq!(answer.code, 409, "{verb}: {answer:?}");
        assert!(answer.body.contains(words), "{verb}: {answer:?}");
    }
    assert_eq!(browser.ask("restart", "13/1").await.code, 400);
    assert_eq!(browser.lab.writes(), 0);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let browser = Browser::of(in_progress(json!({}))).await;
    browser.lab.server.set_faults(Some(Arc::new(|info| {
        match info.verb == "patch" && info.resource == "rollouts" {
            true => Fault::Fail(403, "Forbidden"),
            false => Fault::Pass,
        }
    })));
    let answer = browser.ask("abort", "13/1").await;
    assert_eq!(answer.code, 403, "{answer:?}");
    for words in [
        "alice@example.com",
        "may not patch rollouts.tidegate.io in namespace shop",
    ] {
        assert!(answer.body.contains(words), "{words}: {answer:?}");
    }
}

#[tokio::test]
async fn read_only_is_read_only() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let mut options = options();
    options.read_only = true;
    let browser = Browser::with(lab, options).await;
    browser.until("/", "row-shop.checkout").await;
    let page = browser.get("/rollout/shop/checkout").await.body;
    assert!(
        page.contains("read only") && !page.contains("data-verb"),
        "{page}"
    );
    assert_eq!(browser.ask("abort", "13/1").await.code, 403);
    assert_eq!(browser.lab.writes(), 0);
}

#[tokio::test]
async fn a_command_is_four_short_words() {
    let browser = Browser::of(healthy()).await;
    let (mark, origin) = (browser.mark().await, format!("http://{}", browser.address));
    let headers = [
        ("origin", origin.as_str()),
        ("x-tidegate-page", mark.as_str()),
        ("content-type", "application/json"),
    ];
    let long =
        json!({"namespace": "shop", "name": "x".repeat(5_000), "verb": "abort", "seen": "1/0"});
    let bad = json!({"namespace": "../x", "name": "checkout", "verb": "abort", "seen": "1/0"});
    for (body, code) in [
        (long.to_string(), 413),
        (bad.to_string(), 400),
        ("{}".to_owned(), 422),
        ("no json".to_owned(), 400),
    ] {
        let answer = browser.send("POST", "/command", &headers, &body).await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
}
