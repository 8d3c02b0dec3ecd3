use super::*;
use proptest::prelude::*;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn check_refused(text: &str, says: &str) {
    let error = selector(text).expect_err(text).to_string();
    assert!(error.contains(says), "{text}: {error}");
}

#[test]
fn a_selector_is_read() {
    let read = selector(r#" http_requests_total{code=~"5..", job!='a"b', $(arm),} # x"#).unwrap();
    assert_eq!(read.name.as_deref(), Some("http_requests_total"));
    let seen: Vec<_> = read
        .matchers
        .iter()
        .map(|m| (&*m.label, &*m.operator, &*m.value))
        .collect();
    assert_eq!(
        seen,
        [
            ("code", "=~", "5.."),
            ("job", "!=", "a\"b"),
            ("__arm__", "=", "$")
        ]
    );
    assert_eq!(selector("up").unwrap().matchers, []);
    assert_eq!(
        selector(r#"{"my.metric", a="b"}"#).unwrap().matchers.len(),
        2
    );
}

#[test]
fn what_is_not_raw_is_refused() {
    for text in [
        "rate(http_requests_total{$(arm)}[1m])",
        "increase(x[5m])",
        "sum by (pod) (x)",
        "x[5m]",
        "x offset 5m",
        "x @ 12",
        "x + y",
        "x or y",
        "",
        "  # only a comment",
    ] {
        check_refused(text, "only a plain selector");
    }
    check_refused("{$(arm)}", "needs a metric name");
    check_refused(r#"{a=~".*"}"#, "needs a metric name");
    check_refused(r#"x{a="b}"#, "does not end");
    check_refused(r#"x{a="\q"}"#, "escape");
    check_refused("x{a=b}", "label matcher");
    check_refused(r#"x{a="b" c="d"}"#, "label matcher");
    check_refused(r#"x{a="b",,c="d"}"#, "label matcher");
}

#[test]
fn placeholders_stand_only_in_quotes() {
    let known = values(&[("args.service", "shop"), ("namespace", "prod")]);
    assert_eq!(
        fill(
            r#"x{a="$(args.service)", b='$(namespace)-$(args.service)', $(arm)}"#,
            &known
        ),
        Ok(r#"x{a="shop", b='prod-shop', $(arm)}"#.to_owned())
    );
    let bad = |text: &str| fill(text, &known).expect_err(text);
    assert_eq!(
        bad("$(args.service)_total"),
        [FillError::NotQuoted("args.service".into())]
    );
    assert_eq!(
        bad("x{a=`$(namespace)`}"),
        [FillError::NotQuoted("namespace".into())]
    );
    assert_eq!(bad(r#"x{a="$(arm)"}"#), [FillError::QuotedArm]);
    assert_eq!(bad(r#"x{a="$(namespace"}"#), [FillError::Open]);
    assert_eq!(
        bad(r#"x{a="\"$(namespace)"} + $(namespace)"#),
        [FillError::NotQuoted("namespace".into())]
    );
    let both = bad(r#"x{a="$(args.x)", b="$(args.y)"}"#);
    assert_eq!(both.len(), 2);
    assert!(
        both[0]
            .to_string()
            .contains("$(args.service), $(namespace), $(arm)"),
        "{}",
        both[0]
    );
    assert_eq!(
        fill("x # $(nobody) reads this", &known),
        Ok("x # $(nobody) reads this".to_owned())
    );
}

#[test]
fn an_injection_stays_a_label_value() {
    let evil = r#""} or vector(1) #"#;
    let filled = fill(r#"x{a="$(args.v)", $(arm)}"#, &values(&[("args.v", evil)])).unwrap();
    assert_eq!(filled, r#"x{a="\"} or vector(1) #", $(arm)}"#);
    assert_eq!(selector(&filled).unwrap().matchers[0].value, evil);
}

/// The query's tokens without what is said inside strings.
fn shape(query: &str) -> Vec<Token> {
    let blank = |t| {
        if matches!(t, Token::Text(_)) {
            Token::Text(String::new())
        } else {
            t
        }
    };
    tokens(query)
        .expect("it is read")
        .into_iter()
        .map(blank)
        .collect()
}

proptest! {
    #[test]
    fn a_value_means_itself_and_changes_no_shape(
        value in "(\\PC|[\"'`\\\\\n\r\t\u{0}{}#$()]){0,60}",
        other in "\\PC{0,20}",
    ) {
        let template = r#"sum(rate(x{a="$(args.v)", b=~'p$(args.w)s', c="\"$(args.v)\\", $(arm)}[1m])) / 2 # $(args.v)"#;
        let plain = fill(template, &values(&[("args.v", "v"), ("args.w", "w")])).unwrap();
        let filled = fill(template, &values(&[("args.v", &value), ("args.w", &other)])).unwrap();
        prop_assert_eq!(shape(&plain), shape(&filled));
        let texts: Vec<String> = tokens(&filled).unwrap().into_iter()
            .filter_map(|t| if let Token::Text(t) = t { Some(t) } else { None }).collect();
        prop_assert_eq!(texts, [value.clone(), format!("p{other}s"), format!("\"{value}\\")]);
    }

    #[test]
    fn anything_is_read_without_a_panic(text in "\\PC{0,200}") {
        let _ = tokens(&text);
        let _ = selector(&text);
        let _ = matchers(&text);
        let _ = fill(&text, &values(&[("args.v", "v")]));
    }
}
