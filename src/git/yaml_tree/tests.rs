use super::*;

/// Every scalar and alias with the bytes that it stands on, one per line.
fn spans(text: &str) -> Result<Vec<String>, TreeError> {
    fn walk(text: &str, node: &Node, out: &mut Vec<String>) {
        match &node.content {
            Content::Scalar { .. } | Content::Alias(_) => {
                out.push(text[node.span.clone()].to_owned());
            }
            Content::Mapping { entries, .. } => {
                for e in entries {
                    out.push(format!("{}=", &text[e.key_span.clone()]));
                    assert_eq!(&text[e.after_colon - 1..e.after_colon], ":");
                    walk(text, &e.value, out);
                }
            }
            Content::Sequence { items, .. } => items.iter().for_each(|i| walk(text, i, out)),
        }
    }
    let mut out = Vec::new();
    parse(text)?
        .documents
        .iter()
        .for_each(|d| walk(text, d, &mut out));
    Ok(out)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(spans(text).unwrap(), expected, "{text:?}");
    let crlf = text.replace('\n', "\r\n");
    let expected: Vec<String> = expected.iter().map(|e| e.replace('\n', "\r\n")).collect();
    assert_eq!(spans(&crlf).unwrap(), expected, "{crlf:?}");
}

#[test]
fn spans_are_the_bytes_of_the_value_and_nothing_more() {
    check("a: 1 # c\nb: x\n", &["a=", "1", "b=", "x"]);
    check(
        "a: 'it''s'   # c\nb: \"q\\\"\"\n",
        &["a=", "'it''s'", "b=", "\"q\\\"\""],
    );
    check(
        "a: é1  \nb: ü # ö\nc: z",
        &["a=", "é1", "b=", "ü", "c=", "z"],
    );
    check("\u{feff}a: b\n", &["a=", "b"]);
    check(
        "a: two\n  lines\nb: 1\n",
        &["a=", "two\n  lines", "b=", "1"],
    );
    check("a:\nb:   # none\n", &["a=", "", "b=", ""]);
    check(
        "a: !!str 5\nb: &x v\nc: *x\n",
        &["a=", "!!str 5", "b=", "&x v", "c=", "*x"],
    );
    check("a: &x 'v' # c\nb: 1\n", &["a=", "&x 'v'", "b=", "1"]);
    check("- a\n- - b\n  - c: d\n", &["a", "b", "c=", "d"]);
    check(
        "{\"a\" : [1, {\"b\": \"c\"}], \"d\": }",
        &["\"a\"=", "1", "\"b\"=", "\"c\"", "\"d\"=", ""],
    );
}

#[test]
fn block_scalars_begin_at_their_header_and_end_with_their_last_line() {
    check(
        "a: |\n  one\n  two\n\n# c\nb: 1\n",
        &["a=", "|\n  one\n  two", "b=", "1"],
    );
    check(
        "a: >-   # why: |\n  x\nb: 1\n",
        &["a=", ">-   # why: |\n  x", "b=", "1"],
    );
    check("a: |+\n  x\n\nb: 1\n", &["a=", "|+\n  x\n\n", "b=", "1"]);
    check("- |\n  a\n- !t |2\n   b\n", &["|\n  a", "!t |2\n   b"]);
    check("--- |\n  a\n", &["|\n  a"]);
    check("a: x\nb: |\n\n  y", &["a=", "x", "b=", "|\n\n  y"]);
}

#[test]
fn what_readers_disagree_on_is_refused() {
    assert_eq!(
        spans("a: 1\nb: 2\na: 3\n"),
        Err(TreeError::DuplicateKey {
            line: 3,
            key: "a".into()
        })
    );
    assert_eq!(
        spans("x:\n  image: {{ .Values.image }}\n"),
        Err(TreeError::ComplexKey { line: 2 })
    );
    assert!(matches!(
        spans("a:\n\tb: c\n"),
        Err(TreeError::Syntax { line: 2, .. })
    ));
    assert!(spans("{{- if .x }}\na: b\n{{ end }}").is_err());
    assert_eq!(spans(&"[".repeat(100)), Err(TreeError::TooDeep));
}

#[test]
fn documents_are_told_apart() {
    let tree = parse("a: 1\n---\n# none\n---\nb: 2\n...\n---\nc: 3\n").unwrap();
    assert_eq!(tree.documents.len(), 4);
    assert!(parse("# only a comment\n").unwrap().documents.is_empty());
}
