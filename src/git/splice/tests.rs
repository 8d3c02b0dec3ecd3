use super::*;
use proptest::prelude::*;

fn file(text: &str) -> File {
    File::parse(text.as_bytes()).unwrap()
}

/// The one path that shows as `shown` in either file, leaf or entry.
fn path(files: [&File; 2], shown: &str) -> Path {
    for file in files {
        for leaf in file.leaves().keys() {
            let mut at = Some(leaf.clone());
            while let Some(path) = at {
                if path.to_string() == shown {
                    return path;
                }
                at = path.parent();
            }
        }
    }
    panic!("no {shown}");
}

#[track_caller]
fn replace(tip: &str, good: &str, shown: &str, expected: &str) {
    for crlf in [false, true] {
        let on = |t: &str| {
            if crlf {
                t.replace('\n', "\r\n")
            } else {
                t.to_owned()
            }
        };
        let (tip, good) = (file(&on(tip)), file(&on(good)));
        let edit = Edit::Replace(path([&tip, &good], shown));
        assert_eq!(splice(&tip, &good, &[edit]).unwrap(), on(expected));
    }
}

#[test]
fn a_value_gets_the_old_bytes_and_all_else_stays() {
    replace("a: v2 # c\nb:   x", "a: 'v1'\n", "a", "a: 'v1' # c\nb:   x");
    replace(
        "# h\na:\n- {n: v2}\n",
        "a: [{n: v1}]\n",
        "a[0].n",
        "# h\na:\n- {n: v1}\n",
    );
    replace(
        "{\"a\": {\"tag\":\"v2\"}}",
        "{\"a\": {\"tag\":\"v1\"}}",
        "a.tag",
        "{\"a\": {\"tag\":\"v1\"}}",
    );
    replace(
        "a: |\n  two\n\nb: 1\n",
        "a: |\n  one\n  more\nb: 1\n",
        "a",
        "a: |\n  one\n  more\n\nb: 1\n",
    );
    replace("a: ü2\nb: é\n", "a: ö1\n", "a", "a: ö1\nb: é\n");
}

#[test]
fn an_absent_value_takes_the_space_behind_the_colon_along() {
    replace("a: v2\nb: 1\n", "a:\n", "a", "a:\nb: 1\n");
    replace("a:\nb: 1\n", "a: v1\n", "a", "a: v1\nb: 1\n");
    replace("a: v2 # c\n", "a:\n", "a", "a: # c\n");
}

#[test]
fn a_value_that_does_not_fit_its_new_place_is_refused() {
    let (tip, good) = (file("a: {t: v2}\n"), file("a:\n  t: x, y\n"));
    let edit = Edit::Replace(path([&tip, &good], "a.t"));
    assert!(splice(&tip, &good, &[edit]).is_err());
    let (tip, good) = (
        file("a:\n   b:\n      t: v2\n"),
        file("a:\n b:\n  t: |\n   x\n"),
    );
    let edit = Edit::Replace(path([&tip, &good], "a.b.t"));
    assert!(splice(&tip, &good, &[edit]).is_err());
    let (tip, good) = (file("a: &x v2\nb: *x\n"), file("a: &x v1\nb: *x\n"));
    let edit = Edit::Replace(path([&tip, &good], "a"));
    assert!(matches!(
        splice(&tip, &good, &[edit]),
        Err(SpliceError::Shared(_))
    ));
}

/// The leaves would read as they should; what an alias below stands for would be another value.
#[test]
fn bytes_that_name_an_anchor_do_not_go_back() {
    let refused = |tip: &str, good: &str, edit: fn(Path) -> Edit, shown: &str| {
        let (tip, good) = (file(tip), file(good));
        let edit = edit(path([&tip, &good], shown));
        let error = splice(&tip, &good, &[edit]).unwrap_err().to_string();
        assert!(error.contains("an anchor or an alias"), "{error}");
    };
    // `b` would become v1.
    let tip = "x: &x v0\na: v2\nb: *x\n";
    refused(tip, "x: &x v0\na: &x v1\nb: v0\n", Edit::Replace, "a");
    refused(tip, "x: v1\na: &x\nb: v0\n", Edit::Replace, "a");
    refused(tip, "x: v1\na: &x {}\nb: v0\n", Edit::Replace, "a");
    // Another anchor of this name by now, or none.
    refused(tip, "x: &x v1\na: *x\n", Edit::Replace, "a");
    refused("a: v2\n", "x: &x v1\na: *x\n", Edit::Replace, "a");
    let tip = "x: &x v0\na: 1\nb: *x\n";
    for unit in [
        "m: &x v1\n",
        "m: &x\n  n: 1\n",
        "m:\n  n: [1, &x 2]\n",
        "m:\n  n: *x\n",
        "m:\n  &x n: 1\n",
        "&x m: 1\n",
    ] {
        let good = format!("x: &x v0\na: 1\n{unit}b: 1\n");
        refused(tip, &good, Edit::Insert, "m");
    }
    // What stands at the tip may have an anchor that nobody uses.
    replace("a: &x v2\n", "a: v1\n", "a", "a: v1\n");
}

/// Takes `shown` out of `bad` and gets `good`, puts it back into `good` and gets `bad`, with both
/// kinds of line ends.
#[track_caller]
fn there_and_back(good: &str, bad: &str, shown: &str) {
    for crlf in [false, true] {
        let on = |t: &str| {
            if crlf {
                t.replace('\n', "\r\n")
            } else {
                t.to_owned()
            }
        };
        let (good, bad) = (file(&on(good)), file(&on(bad)));
        let unit = path([&bad, &good], shown);
        assert_eq!(
            splice(&bad, &good, &[Edit::Remove(unit.clone())]).unwrap(),
            good.text()
        );
        assert_eq!(
            splice(&good, &bad, &[Edit::Insert(unit)]).unwrap(),
            bad.text()
        );
    }
}

#[test]
fn entries_and_items_are_taken_out_and_put_back_with_their_lines() {
    there_and_back("a: 1\nc: 3\n", "a: 1\nb: 2\nc: 3\n", "b");
    there_and_back("b: 2\n", "a: 1 # one\nb: 2\n", "a");
    there_and_back("a: 1", "a: 1\nb: 2", "b");
    there_and_back(
        "env:\n- name: A\n  value: x\nz: 1\n",
        "env:\n- name: A\n  value: x\n- name: B # why\n  value: |\n    y\nz: 1\n",
        "env[name=B]",
    );
    there_and_back(
        "a:\n  - x: {p: 1}\n    z: 1\n",
        "a:\n  - x: {p: 1}\n    y: [1, 2]\n    z: 1\n",
        "a[0].y",
    );
}

#[test]
fn what_has_no_lines_of_its_own_is_left_alone() {
    let refused = |bad: &str, good: &str, shown: &str| {
        let (bad, good) = (file(bad), file(good));
        let unit = path([&bad, &good], shown);
        splice(&bad, &good, &[Edit::Remove(unit)])
            .unwrap_err()
            .to_string()
    };
    assert!(refused("a: {b: 1, c: 2}\n", "a: {b: 1}\n", "a.c").contains("braces"));
    assert!(refused("- b: 1\n  c: 2\n", "- c: 2\n", "[0].b").contains("line of its own"));
    assert_eq!(
        refused("a:\n  b: 1\n", "a:\n", "a.b"),
        "a.b: nothing would be left of its parent"
    );
    assert!(refused("a: 1\n# b is new\nb: 2\n", "a: 1\n", "b").contains("comment"));
    // A comment that was there before stays.
    there_and_back("a: 1\n# below\nc: 2\n", "a: 1\n# below\nb: 2\nc: 2\n", "b");
}

/// A document with one scalar per `values` entry, in a style that depends on `style`.
fn render(values: &[String], style: u64) -> String {
    let newline = if style & 1 == 0 { "\n" } else { "\r\n" };
    let mut text = String::new();
    for (i, value) in values.iter().enumerate() {
        let quoted = match (style >> (i % 20)) % 4 {
            0 if value.chars().all(|c| c.is_ascii_alphanumeric()) => value.clone(),
            1 => format!("'{}'", value.replace('\'', "''")),
            2 => format!("|-{newline}      {value}"),
            _ => format!("{value:?}"),
        };
        let comment = if (style >> (i % 30)) % 3 == 1 && !quoted.starts_with('|') {
            " # é"
        } else {
            ""
        };
        match (style >> (i % 40)) % 3 {
            0 => text += &format!("k{i}: {quoted}{comment}{newline}"),
            1 => {
                text += &format!("k{i}:{newline}  - name: it{newline}");
                text += &format!("    v: {quoted}{comment}{newline}");
            }
            _ => text += &format!("k{i}:{newline}  m:   {quoted}{comment}{newline}# line{newline}"),
        }
    }
    if style & 2 == 0 {
        text.trim_end().to_owned()
    } else {
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Two parties edit one file; the first one's edits go back. What the second one did stays,
    /// and not one byte outside of the values changes.
    #[test]
    fn only_the_meant_values_change(
        values in prop::collection::vec("[a-zA-Z0-9 .'#:é-]{0,12}", 1..12),
        bad in prop::collection::vec(any::<bool>(), 12),
        theirs in prop::collection::vec(any::<bool>(), 12),
        style in any::<u64>(),
    ) {
        let values: Vec<String> =
            values.iter().map(|v| if v.trim() == v && !v.is_empty() { v.clone() } else { "x".into() }).collect();
        let changed = |mask: &[bool], on: &[String], with: &str| -> Vec<String> {
            on.iter().zip(mask).map(|(v, m)| if *m { with.to_owned() } else { v.clone() }).collect()
        };
        let good_text = render(&values, style);
        let bad_values = changed(&bad, &values, "bad-1");
        let tip_values = changed(&theirs, &bad_values, "theirs");
        let (good, bad_file, tip) =
            (file(&good_text), file(&render(&bad_values, style)), file(&render(&tip_values, style)));
        let edits: Vec<Edit> = good.leaves().iter()
            .filter(|(path, leaf)| {
                let bad = &bad_file.leaves()[*path].value;
                *bad != leaf.value && tip.leaves()[*path].value == *bad
            })
            .map(|(path, _)| Edit::Replace(path.clone()))
            .collect();
        let result = splice(&tip, &good, &edits).unwrap();
        let expected: Vec<String> = values.iter().enumerate()
            .map(|(i, v)| if theirs[i] { "theirs".to_owned() } else { v.clone() })
            .collect();
        prop_assert_eq!(&result, &render(&expected, style));
        let after = file(&result);
        prop_assert_eq!(splice(&after, &good, &edits).unwrap(), result);
    }
}
