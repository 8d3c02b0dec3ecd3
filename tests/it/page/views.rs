//! What is shown, and what is sent when it changes.

use std::sync::Arc;

use serde_json::json;
use tidegate::sim::apiserver::Fault;

use super::browser::{Browser, options};
use crate::plugin::lab::{Lab, aborted, healthy, in_progress};

const ONE: &str = "/rollout/shop/checkout";

#[tokio::test]
async fn the_list_has_a_row_for_each_and_finds_what_is_asked_for() {
    let browser = Browser::of(in_progress(json!({}))).await;
    for name in ["cart", "payment"] {
        browser.lab.add_rollout("stage", name);
    }
    let page = browser.until("/", "row-stage.payment").await;
    for words in [
        "3 Rollouts in all namespaces",
        "◌ Progressing",
        "1/3",
        "5 %",
        "row-shop.checkout",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for (query, there, not_there) in [
        ("/?q=CART", "row-stage.cart", "row-shop.checkout"),
        (
            "/?namespace=stage",
            "row-stage.payment",
            "row-shop.checkout",
        ),
        ("/?phase=Progressing", "row-shop.checkout", "row-stage.cart"),
        ("/?phase=Unknown", "row-stage.cart", "row-shop.checkout"),
        ("/?q=nothing", "No Rollout meets the filter", "row-"),
        ("/?page=99", "row-stage.cart", "page 99"),
    ] {
        let body = browser.get(query).await.body;
        assert!(body.contains(there), "{query}: {there}: {body}");
        assert!(!body.contains(not_there), "{query}: {not_there}");
    }
    assert_eq!(browser.get("/?page=many").await.code, 400);
}

#[tokio::test]
async fn one_page_says_why_and_what_comes_next() {
    let browser = Browser::of(in_progress(json!({
        "phase": "Paused", "message": "step 1/3, 5 % canary: until promoted",
        "pause": {"reason": "Step", "since": "2026-11-21T11:55:00Z"},
        "canary": {"source": {"repo": "https://git.example.com/shop", "branch": "main", "path": "deploy", "revision": "abc"}},
        "lastHandledCommand": {"command": "retry", "value": "13/0 2026-11-21T11:00:00Z alice",
            "at": "2026-11-21T11:00:00Z", "result": "Accepted"},
        "history": [{"revision": 12, "hash": "6b5f9c7d00", "outcome": "Promoted", "at": "2026-11-20T11:00:00Z", "message": "all steps done"}],
    })))
    .await;
    let page = browser.get(ONE).await.body;
    for words in [
        "‖ Paused",
        "It waits: Step for",
        "until it is promoted",
        "kubectl tidegate promote checkout -n shop",
        "revision 13 (r.example/checkout:1.5) goes out beside revision 12",
        "setWeight 50",
        "Share of the new version in percent",
        "https://git.example.com/shop",
        "retry for 13/0 by alice",
        "all steps done",
        "data-verb=\"abort\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let other = browser.get("/rollout/shop/other").await;
    assert_eq!(other.code, 404);
    assert!(
        other.body.contains("There is no Rollout other"),
        "{}",
        other.body
    );
}

#[tokio::test]
async fn what_changes_is_sent_and_nothing_else() {
    let browser = Browser::of(in_progress(json!({}))).await;
    let mut events = browser.listen(&format!("{ONE}/events")).await;
    events.until("\"rows\":null").await;
    let status = json!({"phase": "Paused", "message": "now it waits",
        "pause": {"reason": "Step", "since": "2026-11-21T11:55:00Z"}});
    browser.lab.set_status(status).await;
    let news = events.until("now it waits").await;
    assert!(news.contains("\"head\""), "{news}");
    assert!(
        !news.contains("\"git\""),
        "what has not changed is not sent: {news}"
    );

    let mut list = browser.listen("/events?q=").await;
    list.until("row-shop.checkout").await;
    browser.lab.add_rollout("shop", "another");
    list.until("row-shop.another").await;
}

#[tokio::test]
async fn what_comes_from_a_cluster_is_text() {
    let hostile = "<script>alert(1)</script> \u{202e}\"onload=x' &amp;";
    let mut status = aborted("Aborted");
    status["message"] = json!(hostile);
    status["abort"]["message"] = json!(hostile);
    status["canary"]["images"] = json!([hostile]);
    status["history"] = json!([{"revision": 12, "hash": "a", "outcome": "Aborted", "at": "2026-11-20T11:00:00Z", "message": hostile}]);
    status["lastHandledCommand"] = json!({"command": "abort", "value": format!("13/1 2026-11-21T11:00:00Z {hostile}"),
        "at": "2026-11-21T11:00:00Z", "result": format!("Refused: {hostile}")});
    let browser = Browser::of(status).await;
    for path in [
        "/",
        ONE,
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/rollout/shop/%3Cscript%3E",
        "/nowhere%3Cscript%3E",
    ] {
        let body = browser.get(path).await.body;
        assert!(
            !body.contains("<script>") && !body.contains('\u{202e}'),
            "{path}: {body}"
        );
        assert!(!body.contains("\"onload"), "{path}: {body}");
    }
    let body = browser.get(ONE).await.body;
    assert!(
        body.contains("script&#62;alert(1)") || body.contains("script&gt;alert(1)"),
        "{body}"
    );
}

#[tokio::test]
async fn no_credential_is_on_any_page() {
    const PLANTED: &str = "hunter2-planted";
    let lab = Lab::with(in_progress(json!({}))).await;
    lab.set_spec(json!({"template": {"spec": {"containers": [
        {"name": "app", "image": "r.example/checkout:1.5", "env": [{"name": "PASSWORD", "value": PLANTED}]}]}}}))
        .await;
    let browser = Browser::with(lab, options()).await;
    browser.until("/", "row-shop.checkout").await;
    let mut events = browser.listen(&format!("{ONE}/events")).await;
    let live = events.until("\"rows\":null").await;
    for body in [
        browser.get("/").await.body,
        browser.get(ONE).await.body,
        live,
    ] {
        assert!(!body.contains(PLANTED), "{body}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_said_with_what_is_missing() {
    let lab = Lab::with(healthy()).await;
    lab.server.set_faults(Some(Arc::new(|info| {
        match info.resource == "analysisruns" && info.verb == "list" {
            true => Fault::Fail(403, "Forbidden"),
            false => Fault::Pass,
        }
    })));
    let browser = Browser::with(lab, options()).await;
    let page = browser
        .until(
            "/",
            "analysisruns.tidegate.io may be out of date or missing",
        )
        .await;
    assert!(page.contains("Needed is the verb"), "{page}");
    browser.until("/", "row-shop.checkout").await;
    browser.lab.server.set_faults(None);
}

#[tokio::test]
async fn who_may_not_list_the_cluster_sees_his_namespace() {
    let lab = Lab::with(healthy()).await;
    lab.add_rollout("stage", "payment");
    lab.server.set_faults(Some(Arc::new(|info| {
        match info.namespace.is_empty() && info.resource == "rollouts" {
            true => Fault::Fail(403, "Forbidden"),
            false => Fault::Pass,
        }
    })));
    let browser = Browser::with(lab, options()).await;
    let page = browser.until("/", "row-shop.checkout").await;
    assert!(page.contains("only namespace shop is shown"), "{page}");
    assert!(!page.contains("row-stage.payment"), "{page}");
}

#[tokio::test]
async fn what_is_loaded_stands_in_the_program() {
    let browser = Browser::of(healthy()).await;
    let page = browser.get(ONE).await.body;
    let mut weight = page.len();
    let mut found = 0;
    for piece in page
        .split(['"', '\''])
        .filter(|piece| piece.starts_with("/assets/"))
    {
        let file = browser.get(piece).await;
        assert_eq!(file.code, 200, "{piece}");
        assert!(file.head.contains("immutable"), "{}", file.head);
        weight += file.body.len();
        found += 1;
    }
    assert_eq!(found, 4, "{page}");
    assert!(weight < 200_000, "{weight} bytes");
    assert!(
        !page.contains("src=\"http") && !page.contains("href=\"http"),
        "{page}"
    );
    assert!(browser.get("/licences").await.body.contains("MIT"));
    assert_eq!(browser.get("/assets/other.js").await.code, 404);
}
