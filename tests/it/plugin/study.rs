//! `analyze`, `backtest` and `forecast`: dry runs on a store of metrics, which change nothing.

use clap::Parser;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::cli::args::Cli;
use tidegate::cli::client::Session;
use tidegate::cli::error::{CliError, Exit};
use tidegate::cli::terminal::{Screen, Terminal};

use super::lab::{DEADLINE, Lab, PLUGIN, Paper, Seen, healthy, in_progress};
use super::store::{Pod, Store};

const STABLE: &str = "6b5f9c7d00";
const CANARY: &str = "77cd81f200";

/// Ten stable pods with twenty requests a second each, one new one that has been there for an hour.
fn pods(canary_bad: f64) -> Vec<Pod> {
    let now = Timestamp::now().as_second();
    let pod = |name: String, mark, bad, since| Pod {
        name,
        mark,
        rate: 20.0,
        bad,
        since,
    };
    let stable = (0..10).map(|i| pod(format!("stable-{i}"), STABLE, 0.005, 0));
    let canary = pod("canary-0".to_owned(), CANARY, canary_bad, now - 3600);
    stable.chain([canary]).collect()
}

fn template(name: &str) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "args": [{"name": "service"}],
            "metrics": [{"name": "errors", "ratio": {
                "bad": "requests_total{service=\"$(args.service)\",code=~\"5..\",$(arm)}",
                "total": "requests_total{service=\"$(args.service)\",$(arm)}",
            }}],
        },
    })
}

fn provider(url: &str, more: Value) -> Value {
    let mut prometheus = json!({"url": url});
    super::lab::merge(&mut prometheus, more);
    json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "MetricsProvider",
        "metadata": {"name": "default"}, "spec": {"prometheus": prometheus}})
}

/// The Rollout in the middle of its way, the template that its analysis names, and the store behind
/// the API server.
async fn lab() -> Lab {
    let lab = Lab::with(in_progress(json!({}))).await;
    lab.server.add(template("golden")).unwrap();
    lab.set_spec(json!({"strategy": {"canary": {"steps": [
        {"setWeight": 5},
        {"analysis": {"templates": [{"name": "golden"}], "args": [{"name": "service", "value": "checkout"}]}},
        {"setWeight": 50},
        {"analysis": {"templates": [{"name": "golden"}], "args": [{"name": "service", "value": "checkout"}]}},
    ]}}}))
    .await;
    lab.server
        .add(provider(
            "http://prometheus.monitoring.svc:9090/prom",
            json!({}),
        ))
        .unwrap();
    lab
}

/// Runs the plugin with the words as they are, through an API server that hands on to the store.
async fn run(lab: &Lab, store: &Store, words: &[&str]) -> Seen {
    let api = store.proxy().fallback_service(lab.server.service(PLUGIN));
    let client = kube::Client::new(api, "shop");
    let session = Session::new(client, "shop", "alice@example.com");
    run_in(Ok(session), words, Screen::default()).await
}

async fn run_in(session: Result<Session, CliError>, words: &[&str], screen: Screen) -> Seen {
    let (out, err) = (Paper::default(), Paper::default());
    let all = [&[PLUGIN], words].concat();
    let cli = Cli::try_parse_from(all).unwrap();
    let (mut to_out, mut to_err) = (out.clone(), err.clone());
    let mut terminal = Terminal::new(&mut to_out, &mut to_err, screen);
    let run = Box::pin(tidegate::cli::run(&cli, session, &mut terminal));
    let exit = tokio::time::timeout(DEADLINE * 3, run)
        .await
        .expect("in time");
    Seen {
        exit,
        out: out.text(),
        err: err.text(),
    }
}

fn json_of(seen: &Seen) -> Value {
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    serde_json::from_str(&seen.out).unwrap()
}

fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn a_bad_version_would_have_been_aborted_and_nothing_is_changed() {
    let lab = lab().await;
    let store = Store::start(pods(0.05)).await;
    let words = ["analyze", "golden", "--rollout", "checkout", "-o", "json"];
    let json = json_of(&run(&lab, &store, &words).await);
    assert_eq!(json["verdict"], "Fail", "{json:#}");
    assert_eq!(json["decision"]["verdict"], "Fail");
    assert_eq!(json["decision"]["metric"], "errors");
    assert!(json["decision"]["afterSeconds"].as_i64().unwrap() < 600);
    let metric = &json["metrics"][0];
    let compared = &metric["comparison"];
    assert!(compared["harmShownAt"].is_string(), "{compared:#}");
    assert_eq!(compared["calibration"]["origin"], "Pods");
    assert_eq!(compared["calibration"]["targets"], 10);
    assert_eq!(compared["scrapeSeconds"], 15);
    let queries = metric["queries"].as_array().unwrap();
    assert_eq!(
        queries[0]["query"],
        format!("requests_total{{service=\"checkout\",rollouts_pod_template_hash=\"{CANARY}\"}}")
    );
    assert!(!metric["moments"].as_array().unwrap().is_empty());
    assert_eq!(lab.writes(), 0, "a dry run changes nothing");
    let asked = store.asked();
    assert!(
        asked.iter().all(|a| a.method == "GET"),
        "only the verb get is needed"
    );
    assert!(
        asked
            .iter()
            .any(|a| a.query.starts_with("sum by (job,instance,namespace,pod) ("))
    );
}

#[tokio::test]
async fn a_good_version_in_words_within_the_width() {
    let lab = lab().await;
    let store = Store::start(pods(0.005)).await;
    let api = store.proxy().fallback_service(lab.server.service(PLUGIN));
    let session = Session::new(kube::Client::new(api, "shop"), "shop", "alice");
    let screen = Screen {
        width: Some(60),
        ..Screen::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    // Which Rollout is meant is clear: one uses the template and has a version that goes out.
    let words = [
        "analyze",
        "golden",
        "--weight",
        "25",
        "--html",
        page.to_str().unwrap(),
    ];
    let seen = run_in(Ok(session), &words, screen).await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    for part in [
        "✔ Pass",
        "expected if it behaved like stable",
        "aborts at ",
        "A run that began then would have ended after",
        "Successful, Pass.",
        "effect: ",
        "times stable's",
        "of 222, where it aborts",
        "10 stable pods over 5h59m differ by 0 %",
        "Service monitoring/prometheus through",
        "Rollout checkout: canary 77cd81f200, stable",
        "scraped every 15 s",
    ] {
        let whole = seen.out.replace('\n', " ");
        let whole: Vec<&str> = whole.split_whitespace().collect();
        assert!(whole.join(" ").contains(part), "{part:?} in\n{}", seen.out);
    }
    let wide = |line: &&str| unicode_width::UnicodeWidthStr::width(*line) > 60;
    assert_eq!(seen.out.lines().find(wide), None);
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("Content-Security-Policy") && page.matches("<svg").count() == 3);
    assert!(!page.contains("<script"));
}

#[tokio::test]
async fn versions_that_cannot_be_told_apart_are_refused_with_the_ways_out() {
    let lab = Lab::with(healthy()).await;
    lab.server.add(template("golden")).unwrap();
    let store = Store::start(Vec::new()).await;
    for (words, exit, says) in [
        (
            &["analyze", "golden"][..],
            Exit::Refused,
            "the two versions cannot be told apart: AnalysisTemplate golden does it by the label rollouts_pod_template_hash, and no Rollout of the namespace that uses it has a version that goes out. Give --rollout NAME",
        ),
        (
            &["analyze", "golden", "--rollout", "checkout"],
            Exit::Refused,
            "Rollout checkout has no version that goes out (`backtest` looks at stable alone)",
        ),
        (
            &[
                "analyze", "golden", "--canary", "v=\"2\"", "--stable", "v=\"1\"",
            ],
            Exit::Refused,
            "spec.args[service]: has no value",
        ),
        (
            &[
                "analyze", "golden", "--canary", "sum(x)", "--stable", "v=\"1\"",
            ],
            Exit::Usage,
            "--canary: ",
        ),
        (
            &["analyze", "nothing", "--rollout", "checkout"],
            Exit::NoAnswer,
            "there is no AnalysisTemplate \"nothing\" in namespace shop",
        ),
        (
            &[
                "analyze",
                "golden",
                "--cluster-scope",
                "--rollout",
                "checkout",
            ],
            Exit::NoAnswer,
            "there is no ClusterAnalysisTemplate \"golden\" in the cluster",
        ),
        (
            &[
                "analyze",
                "golden",
                "--canary",
                "v=\"2\"",
                "--stable",
                "v=\"1\"",
                "--arg",
                "service=x",
            ],
            Exit::NoAnswer,
            "there is no MetricsProvider \"default\" (this client); `kubectl get metricsproviders` lists them, or give --prometheus-url",
        ),
        (
            &["analyze", "--rollout", "checkout"],
            Exit::Refused,
            "Rollout checkout has no analysis; name a template",
        ),
        (
            &["analyze", "-f", "/nowhere.yaml"],
            Exit::Refused,
            "/nowhere.yaml cannot be read",
        ),
        (
            &[
                "backtest", "golden", "--stable", "v=\"1\"", "--from", "1h", "--to", "2h",
            ],
            Exit::Usage,
            "is no time that has passed",
        ),
        (
            &[
                "forecast",
                "golden",
                "--rate",
                "10",
                "--ratio",
                "1%",
                "--arg",
                "service=x",
            ],
            Exit::Usage,
            "a plan is needed: --rollout NAME, or --weight",
        ),
    ] {
        let seen = run(&lab, &store, words).await;
        assert_eq!(seen.exit, exit, "{words:?}: {seen:?}");
        assert!(seen.err.contains(says), "{words:?}: {}", seen.err);
    }
    assert!(store.asked().is_empty());
}

#[tokio::test]
async fn a_file_and_a_url_need_no_cluster() {
    install_tls();
    let store = Store::start(pods(0.05)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.yaml");
    let yaml = serde_saphyr::to_string(&template("golden")).unwrap();
    std::fs::write(&file, format!("kind: Something\n---\n{yaml}")).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "open-sesame\n").unwrap();
    let (canary, stable) = (format!("h=\"{CANARY}\""), format!("h=\"{STABLE}\""));
    let words = [
        "analyze",
        "-f",
        file.to_str().unwrap(),
        "--prometheus-url",
        &store.url,
        "--token-file",
        token.to_str().unwrap(),
        "--canary",
        &canary,
        "--stable",
        &stable,
        "--arg",
        "service=checkout",
        "-o",
        "json",
    ];
    let none = || Err(CliError::Usage("no cluster".to_owned()));
    let json = json_of(&run_in(none(), &words, Screen::default()).await);
    assert_eq!(json["verdict"], "Fail");
    assert_eq!(json["source"], store.url);
    let asked = store.asked();
    assert!(
        asked
            .iter()
            .all(|a| a.headers["authorization"] == "Bearer open-sesame")
    );
    let seen = run_in(none(), &words[..3], Screen::default()).await;
    assert_eq!(seen.exit, Exit::Refused);
    assert!(
        seen.err.contains("and no cluster says whose they are"),
        "{}",
        seen.err
    );
}

#[tokio::test]
async fn what_lacks_on_the_way_to_the_metrics_is_named() {
    let lab = lab().await;
    let store = Store::start(pods(0.005)).await;
    let words = ["analyze", "golden", "--rollout", "checkout"];
    for (code, message, says) in [
        (
            403,
            "services \"prometheus:9090\" is forbidden",
            "alice@example.com may not ask Service monitoring/prometheus:9090 through the API server: services \"prometheus:9090\" is forbidden. Needed is the verb \"get\" on services/proxy in namespace monitoring",
        ),
        (
            404,
            "services \"prometheus\" not found",
            "the API server knows no Service monitoring/prometheus:9090",
        ),
        (
            503,
            "no endpoints available for service \"prometheus\"",
            "Are its pods ready?",
        ),
    ] {
        store.refuse(code, message);
        let seen = run(&lab, &store, &words).await;
        let out = seen.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(seen.exit, Exit::Done, "{seen:?}");
        assert!(
            out.contains("⚠ SourceError") && out.contains(says),
            "{code}: {out}"
        );
        assert!(!out.contains("✔"), "missing data is no success: {out}");
    }
}

#[tokio::test]
async fn a_login_that_cannot_be_used_is_named() {
    let bearer = json!({"auth": {"bearer": {"secretRef":
        {"namespace": "monitoring", "name": "prometheus", "key": "token"}}}});
    for (url, says) in [
        (
            "http://prometheus.monitoring.svc:9090/prom",
            "MetricsProvider default logs in to its Prometheus, and the API server hands no login on to a Service. Open a way to it (kubectl port-forward -n monitoring service/prometheus 9090:9090)",
        ),
        (
            "https://prometheus.example.com",
            "MetricsProvider default needs Secret monitoring/prometheus, which cannot be read: it does not exist; or give --prometheus-url and the token in TIDEGATE_PROMETHEUS_TOKEN",
        ),
    ] {
        let lab = Lab::with(in_progress(json!({}))).await;
        lab.server.add(template("golden")).unwrap();
        lab.server.add(provider(url, bearer.clone())).unwrap();
        let store = Store::start(Vec::new()).await;
        let words = [
            "analyze",
            "golden",
            "--rollout",
            "checkout",
            "--arg",
            "service=x",
        ];
        let seen = run(&lab, &store, &words).await;
        assert!(
            matches!(seen.exit, Exit::Refused | Exit::NoAnswer),
            "{seen:?}"
        );
        assert!(seen.err.contains(says), "{}", seen.err);
    }
}

#[tokio::test]
async fn pods_that_are_all_right_are_played_and_regressions_found() {
    let lab = lab().await;
    let store = Store::start(pods(0.005)).await;
    let words = [
        "backtest",
        "golden",
        "--rollout",
        "checkout",
        "--from",
        "2h",
        "--runs",
        "4",
        "--seed",
        "7",
        "--weight",
        "25",
        "-o",
        "json",
    ];
    let json = json_of(&run(&lab, &store, &words).await);
    assert_eq!(json["placebo"]["aborted"]["count"], 0, "{json:#}");
    assert_eq!(json["placebo"]["aborted"]["of"], 4);
    assert_eq!(json["falseAbortRate"], 0.005, "one of two analyses");
    assert_eq!(json["placebo"]["passed"]["count"], 4, "{json:#}");
    assert!(json["placebo"]["medianSecondsToPass"].as_i64().unwrap() >= 300);
    let regressions = json["regressions"].as_array().unwrap();
    let factors: Vec<&Value> = regressions.iter().map(|r| &r["factor"]).collect();
    assert_eq!(factors, [&json!(1.5), &json!(2.0), &json!(5.0)]);
    let worst = &regressions[2]["result"];
    assert_eq!(worst["aborted"]["count"], 4, "{worst:#}");
    assert!(worst["medianSecondsToAbort"].as_i64().unwrap() < 1800);
    let asked = store.asked();
    assert_eq!(
        asked.len(),
        2,
        "each piece once, whatever is played: {asked:#?}"
    );
    assert!(asked.iter().all(|a| a.query.contains(STABLE)));
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn a_past_rollout_is_played_again() {
    let lab = lab().await;
    let store = Store::start(pods(0.05)).await;
    let (canary, stable) = (format!("h=\"{CANARY}\""), format!("h=\"{STABLE}\""));
    let words = [
        "backtest",
        "golden",
        "--canary",
        &canary,
        "--stable",
        &stable,
        "--arg",
        "service=x",
        "--from",
        "50m",
        "--to",
        "20m",
    ];
    let seen = run(&lab, &store, &words).await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    for part in ["✖ Fail", "Failed, Fail.", "errors, as it went", "after"] {
        assert!(seen.out.contains(part), "{part:?} in\n{}", seen.out);
    }
}

#[tokio::test]
async fn what_a_plan_can_find_before_it_begins() {
    let lab = lab().await;
    let store = Store::start(pods(0.005)).await;
    let words = ["forecast", "--rollout", "checkout", "-o", "json"];
    let json = json_of(&run(&lab, &store, &words).await);
    let metric = &json["metrics"][0];
    let rate = metric["rate"].as_f64().unwrap();
    assert!(
        (rate - 200.0).abs() < 5.0,
        "ten pods with twenty requests each: {json:#}"
    );
    assert!((metric["ratio"].as_f64().unwrap() - 0.005).abs() < 2e-4);
    let steps = metric["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{json:#}");
    assert_eq!(steps[0]["step"], "2/4 analysis");
    assert_eq!(
        (&steps[0]["weight"], &steps[0]["nextWeight"]),
        (&json!(5), &json!(50))
    );
    assert_eq!(
        (&steps[1]["weight"], &steps[1]["nextWeight"]),
        (&json!(50), &json!(100))
    );
    let finds = |step: &Value| step["finds"].as_f64().unwrap();
    assert!(finds(&steps[1]) < finds(&steps[0]), "{json:#}");

    let typed = [
        "forecast",
        "golden",
        "--weight",
        "1",
        "--duration",
        "5m",
        "--rate",
        "20",
        "--ratio",
        "0.1%",
        "--arg",
        "service=x",
    ];
    let store = Store::start(Vec::new()).await;
    let seen = run(&lab, &store, &typed).await;
    assert_eq!((seen.exit, seen.err.as_str()), (Exit::Done, ""), "{seen:?}");
    let out = seen.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        out.contains("cannot see even 10 times as many: it would take"),
        "{out}"
    );
    let longer = [
        "forecast",
        "golden",
        "--weight",
        "5",
        "--duration",
        "10m",
        "--rate",
        "90",
        "--ratio",
        "0.4%",
        "--arg",
        "service=x",
    ];
    let seen = run(&lab, &store, &longer).await;
    let out = seen.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "ends after 10m before a good version can be shown to be good enough for 100 %";
    assert!(out.contains(says), "{out}");
    assert!(store.asked().is_empty(), "typed numbers need no metrics");
}

#[tokio::test]
async fn a_past_run_is_played_again_from_its_own_spec() {
    let lab = lab().await;
    let store = Store::start(pods(0.05)).await;
    let start = Timestamp::now() - jiff::SignedDuration::from_mins(40);
    let start = Timestamp::from_second(start.as_second())
        .unwrap()
        .to_string();
    lab.server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "checkout-1", "namespace": "shop"},
            "spec": {"canaryHash": CANARY, "stableHash": STABLE, "startAt": start, "nextWeight": 50,
                "metrics": [{"name": "errors", "ratio": {
                    "bad": "requests_total{code=~\"5..\",$(arm)}", "total": "requests_total{$(arm)}"}}]}}))
        .unwrap();
    let page = tempfile::NamedTempFile::new().unwrap();
    let html = page.path().to_str().unwrap();
    let words = [
        "backtest",
        "--run",
        "checkout-1",
        "-o",
        "json",
        "--html",
        html,
    ];
    let json = json_of(&run(&lab, &store, &words).await);
    assert_eq!(json["template"], "AnalysisRun checkout-1");
    assert_eq!(
        (&json["from"], &json["nextWeight"]),
        (&json!(start), &json!(50))
    );
    assert_eq!(json["decision"]["verdict"], "Fail", "{json:#}");
    let page = std::fs::read_to_string(page.path()).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    let seen = run(&lab, &store, &["backtest", "--run", "nothing"]).await;
    assert!(
        seen.err
            .contains("there is no AnalysisRun \"nothing\" in namespace shop"),
        "{}",
        seen.err
    );
}
