//! Who is let in.

use serde_json::json;

use super::browser::{Browser, options};
use crate::plugin::lab::{Lab, healthy, in_progress};

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do() {
    let browser = Browser::of(healthy()).await;
    for path in [
        "/",
        "/rollout/shop/checkout",
        "/nowhere",
        "/assets/page.css",
        "/command",
    ] {
        let head = browser.get(path).await.head;
        for words in [
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(words), "{path}: {words}: {head}");
        }
        let kept = path.starts_with("/assets/");
        assert_eq!(head.contains("no-store"), !kept, "{path}: {head}");
    }
}

#[tokio::test]
async fn another_name_that_leads_here_is_refused() {
    let browser = Browser::of(healthy()).await;
    let answer = browser
        .send("GET", "/", &[("host", "rebound.example.com")], "")
        .await;
    assert_eq!(answer.code, 421, "{answer:?}");
    assert!(!answer.body.contains("checkout"), "{answer:?}");
}

#[tokio::test]
async fn another_web_page_can_ask_for_nothing() {
    let browser = Browser::of(in_progress(json!({}))).await;
    let wish = json!({"namespace": "shop", "name": "checkout", "verb": "abort", "seen": "13/1"})
        .to_string();
    let (mark, origin) = (browser.mark().await, format!("http://{}", browser.address));
    let (ours, marked) = (
        ("origin", origin.as_str()),
        ("x-tidegate-page", mark.as_str()),
    );
    let json = ("content-type", "application/json");
    for (headers, code) in [
        (
            vec![json, ("origin", "https://evil.example.com"), marked],
            403,
        ),
        (vec![json, marked], 403),
        (vec![json, ours], 403),
        (vec![json, ours, ("x-tidegate-page", "guessed")], 403),
        (vec![("content-type", "text/plain"), ours, marked], 415),
    ] {
        let answer = browser.send("POST", "/command", &headers, &wish).await;
        assert_eq!(answer.code, code, "{headers:?}: {answer:?}");
    }
    assert_eq!(
        browser.get("/command").await.code,
        405,
        "a link asks for nothing"
    );
    assert_eq!(browser.lab.writes(), 0);
}

#[tokio::test]
async fn without_the_key_of_the_address_nobody_is_let_in() {
    let mut options = options();
    options.open = false;
    let browser = Browser::with(Lab::with(healthy()).await, options).await;
    for path in ["/", "/events", "/rollout/shop/checkout", "/assets/page.js"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.code, 403, "{path}: {answer:?}");
        assert!(answer.body.contains("with its key"), "{answer:?}");
    }
    let (_, key) = browser.served.url().split_once("/?key=").unwrap();
    let answer = browser.get(&format!("/?key={key}")).await;
    assert_eq!(answer.code, 303, "{answer:?}");
    assert!(
        answer.head.lines().any(|line| line == "location: /"),
        "{answer:?}"
    );
    let cookie = answer.head.split("set-cookie: ").nth(1).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = browser
        .send("GET", "/", &[("cookie", cookie.as_str())], "")
        .await;
    assert_eq!(page.code, 200, "{page:?}");
    assert!(!page.body.contains(key), "the key is on no page");
}
