use super::*;

/// One leaf per line: path, value, bytes.
fn leaves(text: &str) -> Result<Vec<String>, LeafError> {
    let file = File::parse(text.as_bytes())?;
    let mut lines: Vec<(usize, String)> = file
        .leaves()
        .iter()
        .map(|(path, leaf)| {
            let shared = if leaf.shared { " shared" } else { "" };
            (
                leaf.span.start,
                format!("{path} = {:?} {:?}{shared}", leaf.value, file.raw(leaf)),
            )
        })
        .collect();
    lines.sort();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

#[test]
fn items_are_known_by_name_and_documents_by_kind_and_name() {
    let text = "\
apiVersion: v1
kind: Deployment
metadata: {name: checkout, namespace: shop}
spec:
  containers:
  - name: app
    image: r/checkout:v1
    args: [a, b]
  - {name: side.car, image: 'r/side'}
---
images:
- name: r/checkout
  newTag: v1
";
    assert_eq!(
        leaves(text).unwrap(),
        [
            r#"Deployment/checkout apiVersion = Text("v1") "v1""#,
            r#"Deployment/checkout kind = Text("Deployment") "Deployment""#,
            r#"Deployment/checkout metadata.name = Text("checkout") "checkout""#,
            r#"Deployment/checkout metadata.namespace = Text("shop") "shop""#,
            r#"Deployment/checkout spec.containers[name=app].name = Text("app") "app""#,
            r#"Deployment/checkout spec.containers[name=app].image = Text("r/checkout:v1") "r/checkout:v1""#,
            r#"Deployment/checkout spec.containers[name=app].args[0] = Text("a") "a""#,
            r#"Deployment/checkout spec.containers[name=app].args[1] = Text("b") "b""#,
            r#"Deployment/checkout spec.containers[name="side.car"].name = Text("side.car") "side.car""#,
            r#"Deployment/checkout spec.containers[name="side.car"].image = Text("r/side") "'r/side'""#,
            r#"images[name=r/checkout].name = Text("r/checkout") "r/checkout""#,
            r#"images[name=r/checkout].newTag = Text("v1") "v1""#,
        ]
    );
}

#[test]
fn values_are_equal_when_a_reader_gets_the_same() {
    let value = |text: &str| {
        let file = File::parse(format!("a: {text}\n").as_bytes()).unwrap();
        file.leaves().values().next().unwrap().value.clone()
    };
    assert_eq!(value("v1"), value("'v1'"));
    assert_eq!(value("|-\n  v1"), value("\"v1\""));
    assert_eq!(value("~"), value(""));
    for other in [
        "1", "1.10", "-3", "1e3", "0x1f", "0o17", "true", "No", ".inf", "1_000", ".5",
    ] {
        assert_ne!(value(other), value(&format!("\"{other}\"")), "{other}");
    }
    for text in [
        "v1",
        "1.2.3",
        "1.1-rc",
        "sha256:ab",
        "nope",
        "inf",
        "nan",
        "1e",
        "e1",
    ] {
        assert_eq!(value(text), value(&format!("\"{text}\"")), "{text}");
    }
    assert_ne!(value("!!str 1"), value("1"));
    assert_ne!(value("{}"), value("[]"));
}

#[test]
fn a_leaf_behind_an_anchor_that_is_used_elsewhere_is_shared() {
    assert_eq!(
        leaves("a: &x {t: 1}\nb: &y 2\nc:\n  <<: *x\n").unwrap(),
        [
            r#"a.t = Other("1") "1" shared"#,
            r#"b = Other("2") "&y 2""#,
            r#"c.<< = Alias("*x") "*x""#,
        ]
    );
}

#[test]
fn lists_without_names_are_known_by_place_and_length() {
    assert_eq!(
        leaves("- {name: a, v: 1}\n- {name: a, v: 2}\n").unwrap()[1],
        r#"[0].v = Other("1") "1""#
    );
    let of = |text: &str| {
        File::parse(text.as_bytes())
            .unwrap()
            .leaves()
            .keys()
            .next()
            .cloned()
    };
    assert_ne!(of("- a\n"), of("- a\n- b\n"));
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    let error = |bytes: &[u8]| File::parse(bytes).unwrap_err();
    assert_eq!(error(b"a: \xff\n"), LeafError::NotUtf8);
    assert_eq!(error(b"a: b\0"), LeafError::NotUtf8);
    assert_eq!(
        error(&vec![b'\n'; FILE_BYTES_MAX + 1]),
        LeafError::TooLarge { bytes: 1_048_577 }
    );
    assert_eq!(error(b"a: ENC[x]\nsops: {mac: x}\n"), LeafError::Encrypted);
    assert_eq!(
        error(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n"),
        LeafError::LargeFileStorage
    );
    let twice = "kind: A\nmetadata: {name: b}\n---\nkind: A\nmetadata: {name: b}\n";
    assert_eq!(
        error(twice.as_bytes()).to_string(),
        "A/b stands twice in the file"
    );
    assert!(matches!(
        error(b"a: 1\na: 2\n"),
        LeafError::Yaml(TreeError::DuplicateKey { .. })
    ));
}

#[test]
fn a_file_of_the_largest_size_is_read_in_time_that_grows_with_it() {
    // Deep and wide: neither the parser nor the tree may blow up on it.
    let wide: String = (0..60_000).map(|i| format!("k{i}: v{i}\n")).collect();
    assert_eq!(File::parse(wide.as_bytes()).unwrap().leaves().len(), 60_000);
    let deep = "[".repeat(FILE_BYTES_MAX);
    assert!(File::parse(deep.as_bytes()).is_err());
    let flow = format!("[{}]", "a,".repeat(400_000));
    assert!(File::parse(flow.as_bytes()).is_err());
}
