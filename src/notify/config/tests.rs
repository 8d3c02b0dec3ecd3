use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::notify::notice::sample;

/// A secret that must not be shown.
const SECRET: &str = "T0P-s3cret-part";

fn provider() {
    // Set once per process; whoever comes later uses it too.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn parse(receivers: &Value) -> Result<Config, String> {
    provider();
    Config::parse(&json!({"receivers": receivers})).map_err(|problem| problem.to_string())
}

/// A receiver with a change.
fn one(change: &Value) -> Value {
    let mut receiver = json!({"name": "team"});
    json_patch::merge(&mut receiver, change);
    json!([receiver])
}

fn url() -> String {
    format!("http://127.0.0.1:1/{SECRET}")
}

#[test]
fn each_format_is_taken() {
    for format in [
        json!({"slack": {"url": url()}}),
        json!({"cloudEvents": {"url": url(), "headers": {"Authorization": "Bearer x"}}}),
        json!({"webhook": {"url": url()}}),
        json!({"webhook": {"url": url(), "signingKey": "0123456789abcdef", "body": "{\"a\": \"{{why}}\"}"}}),
        json!({"webhook": {"url": url(), "contentType": "text/plain", "body": "{{title}}"}}),
    ] {
        let config = parse(&one(&format)).unwrap();
        assert_eq!(config.receivers().len(), 1);
        let shown = format!("{config:?}");
        assert!(
            !shown.contains(SECRET) && !shown.contains("0123456789"),
            "{shown}"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_field_and_what_is_allowed() {
    let slack = json!({"url": url()});
    let with = |change: Value| one(&json_patch_merged(&json!({"slack": slack}), &change));
    let webhook = |change: Value| {
        let webhook = json_patch_merged(&json!({"url": url()}), &change);
        one(&json!({"webhook": webhook}))
    };
    for (receivers, expected) in [
        (json!([]), "receivers: has 0 entries; allowed are 1 to 20"),
        (json!("x"), "receivers: is a text; allowed is a list"),
        (
            one(&json!({})),
            "receivers[0]: has 0 of slack, webhook, cloudEvents; exactly one",
        ),
        (
            with(json!({"webhook": {"url": url()}})),
            "receivers[0]: has 2 of slack, webhook, cloudEvents; exactly one",
        ),
        (json!([{"slack": slack}]), "receivers[0].name: is missing"),
        (
            with(json!({"name": "A team"})),
            "receivers[0].name: allowed are 1 to 63",
        ),
        (
            with(json!({"only": []})),
            "receivers[0]: \"only\" is no field here; allowed are name, namespaces, kinds",
        ),
        (
            with(json!({"kinds": ["Abort"]})),
            "receivers[0].kinds[0]: \"Abort\" is no kind; allowed are Started, Promoted, Aborted",
        ),
        (
            with(json!({"namespaces": ["*-prod"]})),
            "receivers[0].namespaces[0]: \"*-prod\"; allowed is a namespace",
        ),
        (
            with(json!({"namespaces": "shop"})),
            "receivers[0].namespaces: is a text; allowed is a list",
        ),
        (
            one(&json!({"slack": url()})),
            "receivers[0].slack: is a text, not fields; allowed are url, ca",
        ),
        (
            one(&json!({"slack": {"url": format!("ftp://h/{SECRET}")}})),
            "receivers[0].slack.url: is neither http:// nor https://",
        ),
        (
            one(&json!({"slack": {"url": format!("https://me:{SECRET}@h/")}})),
            "receivers[0].slack.url: has a user name",
        ),
        (
            with(json!({"slack": {"ca": SECRET}})),
            "receivers[0].slack.ca: has no certificate in it",
        ),
        (
            webhook(json!({"signingKey": "short"})),
            "receivers[0].webhook.signingKey: is shorter than the 16 bytes",
        ),
        (
            webhook(json!({"body": "{{titel}}"})),
            "receivers[0].webhook.body: {{titel}} is no field; allowed are {{id}}",
        ),
        (
            webhook(json!({"contentType": "text/plain"})),
            "receivers[0].webhook.body: is missing",
        ),
        (
            webhook(json!({"headers": {"Host": SECRET}})),
            "receivers[0].webhook.headers: \"Host\": is not allowed",
        ),
        (
            webhook(json!({"headers": {"X-Key": format!("{SECRET}\n{SECRET}")}})),
            "receivers[0].webhook.headers: \"X-Key\": has a value that is not allowed",
        ),
        (
            json!([{"name": "a", "slack": slack}, {"name": "a", "slack": slack}]),
            "receivers[1].name: \"a\" is the name of another receiver",
        ),
    ] {
        let error = parse(&receivers).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

fn json_patch_merged(value: &Value, change: &Value) -> Value {
    let mut value = value.clone();
    json_patch::merge(&mut value, change);
    value
}

#[test]
fn a_filter_leaves_out_other_namespaces_and_kinds() {
    let notice = |namespace: &str, kind| {
        let mut notice = sample(Timestamp::UNIX_EPOCH);
        namespace.clone_into(&mut notice.namespace);
        notice.kind = kind;
        notice
    };
    let slack = json!({"url": url()});
    for (filter, namespace, kind, wanted) in [
        (json!({}), "shop", Kind::Started, true),
        (json!({"namespaces": ["shop"]}), "shop", Kind::Started, true),
        (
            json!({"namespaces": ["shop"]}),
            "shopping",
            Kind::Started,
            false,
        ),
        (
            json!({"namespaces": ["a", "shop*"]}),
            "shopping",
            Kind::Started,
            true,
        ),
        (json!({"namespaces": ["*"]}), "any", Kind::Started, true),
        (json!({"kinds": ["Aborted"]}), "shop", Kind::Aborted, true),
        (json!({"kinds": ["Aborted"]}), "shop", Kind::Started, false),
        (
            json!({"kinds": ["Aborted"], "namespaces": ["other"]}),
            "shop",
            Kind::Aborted,
            false,
        ),
    ] {
        let receiver = one(&json_patch_merged(&json!({"slack": slack}), &filter));
        let config = parse(&receiver).unwrap();
        let wants = config.receivers()[0].wants(&notice(namespace, kind));
        assert_eq!(wants, wanted, "{filter} {namespace} {kind:?}");
    }
}

#[test]
fn a_file_that_is_no_yaml_is_named_with_its_line_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notifications.yaml");
    std::fs::write(&path, format!("receivers:\n  - url: [{SECRET}\n")).unwrap();
    let error = Config::read(&path).unwrap_err().to_string();
    assert!(error.contains("is no YAML at line"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
    let missing = Config::read(Path::new("/nowhere/n.yaml")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/n.yaml"));
}
