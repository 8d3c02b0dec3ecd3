use super::*;
use crate::api::analysis::TemplateArg;
use crate::api::metric::{Ratio, Threshold};

fn spec(yaml: &str) -> AnalysisTemplateSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn builtins() -> Builtins {
    Builtins {
        namespace: "shop".into(),
        rollout: "checkout".into(),
        canary_service: "checkout-canary".into(),
        stable_service: "checkout-stable".into(),
        canary_hash: "77cd81f2".into(),
        stable_hash: "6b5f9c7d".into(),
    }
}

fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn freeze_one(yaml: &str, given: &[(&str, &str)]) -> Result<Frozen, Vec<Problem>> {
    let spec = spec(yaml);
    freeze(
        &[NamedTemplate {
            name: "t",
            spec: &spec,
        }],
        &args(given),
        &builtins(),
    )
}

fn problems(yaml: &str, given: &[(&str, &str)]) -> String {
    let found = freeze_one(yaml, given).expect_err(yaml);
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn check_refused(yaml: &str, given: &[(&str, &str)], says: &[&str]) {
    let text = problems(yaml, given);
    for part in says {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

const GOOD: &str = r#"
args: [{name: service}, {name: code, value: "5.."}]
falseAbortRate: 2%
metrics:
  - name: error-ratio
    ratio:
      bad: http_requests_total{service="$(args.service)", code=~"$(args.code)", $(arm)}
      total: http_requests_total{service="$(args.service)", $(arm)}
    neverAbortBelow: 0.1%
  - name: saturation
    threshold: {query: 'max(load{ns="$(namespace)", $(arm)})', failure: "result > 0.95", interval: 30s, count: 10}
    dryRun: true
"#;

#[test]
fn a_template_is_frozen() {
    let frozen = freeze_one(GOOD, &[("service", "che\"ckout")]).unwrap();
    let ratio: &Ratio = frozen.metrics[0].ratio.as_ref().unwrap();
    assert_eq!(
        ratio.bad,
        r#"http_requests_total{service="che\"ckout", code=~"5..", $(arm)}"#
    );
    assert_eq!(
        ratio.total,
        r#"http_requests_total{service="che\"ckout", $(arm)}"#
    );
    let threshold: &Threshold = frozen.metrics[1].threshold.as_ref().unwrap();
    assert_eq!(threshold.query, r#"max(load{ns="shop", $(arm)})"#);
    assert_eq!(frozen.false_abort_rate, "2%");
    assert_eq!(frozen.arm.label.as_deref(), Some(DEFAULT_ARM_LABEL));
    assert_eq!(frozen.promote.min_bake.as_deref(), Some("5m"));
    assert_eq!(frozen.promote.max_duration.as_deref(), Some("60m"));
    assert_eq!(frozen.warmup.duration.as_deref(), Some("60s"));
    assert_eq!(frozen.warmup.tolerate.as_ref().unwrap().times, Some(5));
    assert_eq!(
        frozen.metrics[0]
            .tolerate
            .as_ref()
            .unwrap()
            .absolute
            .as_deref(),
        Some("0.05%")
    );
    let spec = AnalysisRunSpec {
        canary_hash: "a".into(),
        stable_hash: "b".into(),
        ..frozen.into_spec()
    };
    let plan = plan::parse(&spec, Timestamp::UNIX_EPOCH).unwrap();
    let plan::Kind::Comparison(ratio) = &plan.metrics[0].kind else {
        panic!("a ratio")
    };
    assert_eq!(
        ratio.measure.selectors()[0].1.stable,
        r#"http_requests_total{service="che\"ckout", rollouts_pod_template_hash="b"}"#
    );
    assert!(
        (ratio.alpha - 0.02).abs() < 1e-12,
        "a dry run takes no share: {}",
        ratio.alpha
    );
}

#[test]
fn args_are_resolved_or_refused() {
    check_refused(GOOD, &[], &["t: spec.args[service]", "has no value"]);
    check_refused(
        GOOD,
        &[("service", "a"), ("servise", "b")],
        &["args[servise]", "\"b\"", "allowed are: service, code"],
    );
    let with = |args: &str| {
        format!(
            "args: {args}\nmetrics: [{{name: a, threshold: {{query: 'x{{a=\"$(args.a)\"}}', failure: result > 1.0}}}}]"
        )
    };
    let cycle = with(
        "[{name: a, value: \"$(args.b)\"}, {name: b, value: \"x$(args.c)\"}, {name: c, value: \"$(args.a)\"}]",
    );
    check_refused(
        &cycle,
        &[],
        &["names itself: args.a -> args.b -> args.c -> args.a"],
    );
    check_refused(
        &with("[{name: a}, {name: a}]"),
        &[("a", "1")],
        &["occurs twice"],
    );
    check_refused(
        &with("[{name: a, value: \"$(args.z)\"}]"),
        &[],
        &["$(args.z) is not known", "$(namespace)"],
    );
    check_refused(
        &with("[{name: a, value: \"$(oops\"}]"),
        &[],
        &["$( without its )"],
    );
    let bomb: Vec<String> = (0..50)
        .map(|i| {
            format!(
                "{{name: {}{i}, value: \"$(args.b{})$(args.b{})xx\"}}",
                if i == 0 {
                    "a, value: \"$(args.b1)\"}, {name: c"
                } else {
                    "b"
                },
                i + 1,
                i + 1
            )
        })
        .chain(["{name: b50, value: xxxx}".into()])
        .collect();
    check_refused(
        &with(&format!("[{}]", bomb.join(", "))),
        &[],
        &["longer than the 1024 bytes"],
    );
    let chained = with("[{name: a, value: \"$(args.b)-$(rollout)\"}, {name: b, value: \"q\\\"\"}]");
    let frozen = freeze_one(&chained, &[]).unwrap();
    assert_eq!(
        frozen.metrics[0].threshold.as_ref().unwrap().query,
        r#"x{a="q\"-checkout"}"#
    );
    let declared = spec(&chained);
    assert_eq!(
        declared.args[0],
        TemplateArg {
            name: "a".into(),
            value: Some("$(args.b)-$(rollout)".into())
        }
    );
}

#[test]
fn an_absent_builtin_is_unknown() {
    let yaml = "metrics: [{name: a, threshold: {query: 'x{a=\"$(canaryService)\"}', failure: result > 1.0}}]";
    let spec = spec(yaml);
    let none = Builtins {
        canary_service: String::new(),
        ..builtins()
    };
    let found = freeze(
        &[NamedTemplate {
            name: "t",
            spec: &spec,
        }],
        &args(&[]),
        &none,
    )
    .unwrap_err();
    assert!(
        found[0]
            .to_string()
            .contains("$(canaryService) is not known"),
        "{}",
        found[0]
    );
}

#[test]
fn what_is_no_metric_is_refused() {
    let metric = |text: &str| format!("metrics: [{{name: a, {text}}}]");
    let ratio = |bad: &str, total: &str, more: &str| {
        metric(&format!("ratio: {{bad: '{bad}', total: '{total}'}}{more}"))
    };
    let ok_bad = "b{$(arm)}";
    let ok = "t{$(arm)}";
    check_refused(
        &ratio("rate(b{$(arm)}[1m])", ok, ""),
        &[],
        &[
            "t: spec.metrics[a].ratio.bad",
            "rate(b{$(arm)}[1m])",
            "only a plain selector",
        ],
    );
    check_refused(
        &ratio(ok_bad, "increase(t{$(arm)}[1m])", ""),
        &[],
        &["ratio.total"],
    );
    check_refused(&ratio("b", ok, ""), &[], &["must contain $(arm)"]);
    check_refused(&ratio(ok, ok, ""), &[], &["is the same as total"]);
    check_refused(
        &ratio("  ", ok, ""),
        &[],
        &["ratio.bad", "only a plain selector"],
    );
    check_refused(
        &ratio(ok_bad, ok, ", tolerate: {relative: 10}"),
        &[],
        &["tolerate.relative", "is not a percentage"],
    );
    check_refused(
        &ratio(ok_bad, ok, ", neverAbortBelow: 101%"),
        &[],
        &["neverAbortBelow", "at most 100%"],
    );
    check_refused(&metric("dryRun: false"), &[], &["exactly one kind"]);
    let threshold = |text: &str| metric(&format!("threshold: {{query: x, {text}}}"));
    check_refused(
        &threshold("interval: 10s"),
        &[],
        &["at least one of success and failure"],
    );
    check_refused(
        &threshold("success: 'true'"),
        &[],
        &["threshold.success", "for every result"],
    );
    check_refused(&threshold("success: 'result[0] >'"), &[], &["a list"]);
    check_refused(
        &threshold("failure: 'result > 1.0', interval: 1s"),
        &[],
        &["interval", "5s to 1h"],
    );
    check_refused(
        &threshold("failure: 'result > 1.0', interval: 1x"),
        &[],
        &["is not a duration"],
    );
    check_refused(
        &threshold("failure: 'result > 1.0', count: 0"),
        &[],
        &["count", "1 to 1000"],
    );
    check_refused(
        &threshold("failure: 'result > 1.0'").replace("query: x", "query: ' '"),
        &[],
        &["is empty"],
    );
    check_refused(
        &format!(
            "{}\n",
            threshold("failure: 'result > 1.0'").replace("}]", ", dryRun: true}]")
        ),
        &[],
        &["must not be dryRun"],
    );
    check_refused("metrics: []", &[], &["1 to 20 are allowed"]);
}

#[test]
fn the_whole_is_checked_too() {
    let base = "metrics: [{name: a, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]\n";
    check_refused(
        &format!("{base}falseAbortRate: 0%"),
        &[],
        &["falseAbortRate", "more than 0%"],
    );
    check_refused(&format!("{base}falseAbortRate: 20%"), &[], &["at most 10%"]);
    check_refused(
        &format!("{base}warmup: {{duration: 2h}}"),
        &[],
        &["warmup.duration", "at most 1h"],
    );
    check_refused(
        &format!("{base}promote: {{minBake: 10m, maxDuration: 5m}}"),
        &[],
        &["not less than minBake (10m)"],
    );
    check_refused(
        &format!("{base}arm: {{canary: 'a=\"1\"'}}"),
        &[],
        &["either label, or pods, or both"],
    );
    check_refused(
        &format!("{base}arm: {{canary: 'a=\"1\"', stable: 'a=\"1\"'}}"),
        &[],
        &["compared with itself"],
    );
    check_refused(
        &format!("{base}arm: {{canary: 'a=1', stable: 'a=\"1\"'}}"),
        &[],
        &["spec.arm.canary", "label matcher"],
    );
    check_refused(
        &format!("{base}arm: {{canary: 'a=\"1\"}} or x{{b=\"1\"', stable: 'a=\"2\"'}}"),
        &[],
        &["spec.arm.canary"],
    );
    let router = "arm: {canary: 'service=\"$(namespace)-$(canaryService)-http-80@kubernetesgateway\"', stable: 'service=\"$(namespace)-$(stableService)-http-80@kubernetesgateway\"'}";
    let frozen = freeze_one(&format!("{base}{router}"), &[]).unwrap();
    assert_eq!(
        frozen.arm.canary.as_deref(),
        Some("service=\"shop-checkout-canary-http-80@kubernetesgateway\"")
    );
}

#[test]
fn templates_are_merged() {
    let first =
        spec("provider: main\nmetrics: [{name: a, threshold: {query: x, failure: result > 1.0}}]");
    let second = spec(
        "falseAbortRate: 3%\nmetrics: [{name: b, threshold: {query: y, failure: result > 1.0}}]",
    );
    let named = |name, spec| NamedTemplate { name, spec };
    let merged = freeze(
        &[named("one", &first), named("two", &second)],
        &args(&[]),
        &builtins(),
    )
    .unwrap();
    assert_eq!(merged.metrics.len(), 2);
    assert_eq!(
        (merged.provider.as_deref(), &*merged.false_abort_rate),
        (Some("main"), "3%")
    );
    assert_eq!(
        merged.promote.min_bake.as_deref(),
        Some("0s"),
        "thresholds alone need no bake"
    );

    let twice = freeze(
        &[named("one", &first), named("two", &first)],
        &args(&[]),
        &builtins(),
    );
    assert!(twice.unwrap_err()[0].to_string().contains("occurs twice"));
    let other =
        spec("provider: other\nmetrics: [{name: c, threshold: {query: y, failure: result > 1.0}}]");
    let differ = freeze(
        &[named("one", &first), named("two", &other)],
        &args(&[]),
        &builtins(),
    );
    let text = differ.unwrap_err()[0].to_string();
    assert!(
        text.starts_with("two: spec.provider: \"\\\"other\\\"\""),
        "{text}"
    );
}

#[test]
fn the_rate_is_shared_among_runs() {
    assert_eq!(share("1%", 4), "0.25%");
    assert_eq!(share("1%", 0), "1%");
    assert_eq!(share("0.000001%", 9), "0.000001%");
}
