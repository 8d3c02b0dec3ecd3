use proptest::prelude::*;

use super::super::leaf::Value as LeafValue;
use super::super::revert::tests::documents;
use super::*;

fn revert(
    good: &[u8],
    bad: &[u8],
    tip: &[u8],
    select: Option<&DocumentId>,
) -> Result<Outcome, Refused> {
    let version = |name, bytes| Version { name, bytes };
    revert_file(
        version("the good one", good),
        version("the bad one", bad),
        version("the tip", tip),
        select,
    )
}

/// The new tip or `-`, and how each leaf stands; or the refusal.
fn outcome(versions: [&str; 3], select: &str) -> String {
    let select = (!select.is_empty()).then(|| selected(select).unwrap());
    let [good, bad, tip] = versions.map(str::as_bytes);
    match revert(good, bad, tip, select.as_ref()) {
        Err(refused) => format!("refused: {refused}"),
        Ok(outcome) => {
            let leaf = |l: &LeafState| format!("{} {:?}", l.path, l.standing);
            let leaves: Vec<String> = outcome.leaves.iter().map(leaf).collect();
            let text = outcome.text.as_deref().unwrap_or("-");
            format!("{text}\n{}", leaves.join("; "))
        }
    }
}

/// Two Deployments of one name, and a Service.
fn objects_with(first: u8, second: u8) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: {first}}}\n\
         ---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{replicas: {second}}}\n\
         ---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\n"
    )
}

#[test]
fn what_comes_of_three_versions() {
    let objects = [objects_with(2, 2), objects_with(9, 9), objects_with(9, 9)];
    let objects = [0, 1, 2].map(|i: usize| objects[i].as_str());
    let (first, second) = (objects_with(2, 9), objects_with(9, 2));
    let both = objects_with(2, 2);
    let here = "apps/v1/Deployment//web spec.replicas Back";
    let in_shop = "apps/v1/Deployment/shop/web spec.replicas Back";
    let image = |tag: &str, digest: &str| format!("image: {{tag: {tag}, digest: {digest}}}\n");
    let images = [image("v1", "aa"), image("v2", "bb")];
    let [good, bad] = [0, 1].map(|i: usize| images[i].as_str());
    let (half, moved) = (image("v3", "bb"), image("v3", "cc"));
    let rows: Vec<([&str; 3], &str, String)> = vec![
        (
            ["a: 1\nb: 1\nc: 1\n", "a: 2\nb: 2\nc: 2\n", "a: 2\nb: 3\nc: 1\n"],
            "",
            "a: 1\nb: 3\nc: 1\n\na Back; b Superseded; c Done".into(),
        ),
        (["a: 1\n", "a: 2\n", "b: 2\n"], "", "-\na Superseded".into()),
        (["a: 1\n", "a: 2\n", "a: '2'\n"], "", "-\na Superseded".into()),
        (["a: 1\n", "a: 1\n", "a: 2\n"], "", "-\n".into()),
        (["", "", ""], "", "-\n".into()),
        (["v1", "v2", "v2"], "", "v1\n(all of it) Back".into()),
        (objects, "", format!("{both}\n{here}; {in_shop}")),
        (objects, "apps/v1/Deployment//web", format!("{first}\n{here}")),
        (objects, "apps/v1/Deployment/shop/web", format!("{second}\n{in_shop}")),
        (objects, "v1/Service//web", "-\n".into()),
        (
            objects,
            "apps/v1/Deployment/lab/web",
            "refused: there is no document apps/v1/Deployment/lab/web in the good one, the bad one \
             or the tip; there is apps/v1/Deployment//web, apps/v1/Deployment/shop/web, \
             v1/Service//web"
                .into(),
        ),
        (
            ["a: 1\n", "a: 2\n", "a: 2\n"],
            "v1/Service//web",
            "refused: there is no document v1/Service//web in the good one, the bad one or the tip; \
             none of them holds an object with kind and name"
                .into(),
        ),
        ([good, bad, bad], "", format!("{good}\nimage.digest Back; image.tag Back")),
        (
            [good, bad, moved.as_str()],
            "",
            "-\nimage.digest Superseded; image.tag Superseded".into(),
        ),
        (
            [good, bad, half.as_str()],
            "",
            "refused: the tip: image.tag was changed since, the other parts of this image were not; \
             together they would name an image that nobody asked for"
                .into(),
        ),
        (
            ["a: {b: 1}\n", "a: {b: 1, c: 2}\n", "a: {b: 1, c: 2}\n"],
            "",
            "refused: the tip: a.c: it stands in braces or brackets with others".into(),
        ),
    ];
    for (versions, select, expected) in rows {
        assert_eq!(outcome(versions, select), expected, "{versions:?} {select}");
    }
}

/// Also where the others are the same and nothing would have to go back.
#[test]
fn a_version_that_cannot_be_read_is_refused_whichever_it_is() {
    let large = vec![b'\n'; super::super::leaf::FILE_BYTES_MAX + 1];
    let rows: [(&[u8], &str); 6] = [
        (b"a: 1\na: 2\n", "twice"),
        (b"a:\n\tb: c\n", "line 2"),
        (b"a: {{ .Values.a }}\n", "a template"),
        (b"a: [\n", "line"),
        (b"a: \xff\n", "not UTF-8"),
        (&large, "1048577 bytes"),
    ];
    for (broken, why) in rows {
        let fine: &[u8] = b"a: 1\n";
        for (versions, name) in [
            ([broken, fine, fine], "the good one: "),
            ([fine, broken, fine], "the bad one: "),
            ([fine, fine, broken], "the tip: "),
            ([broken, broken, fine], "the good one: "),
            ([broken, broken, broken], "the good one: "),
        ] {
            let [good, bad, tip] = versions;
            let refused = revert(good, bad, tip, None).unwrap_err().to_string();
            assert!(
                refused.starts_with(name) && refused.contains(why),
                "{refused}"
            );
        }
    }
}

#[test]
fn values_are_told_as_they_are_written() {
    let versions = [
        "a: 80\nb:\nc: x\n",
        "a: 81\nb: 1\nc: y\n",
        "a: \"81\"\nb: |\n  z\n",
    ];
    let [good, bad, tip] = versions.map(str::as_bytes);
    let outcome = revert(good, bad, tip, None).unwrap();
    let told: Vec<[Option<&str>; 3]> = outcome
        .leaves
        .iter()
        .map(|l| [l.good.as_deref(), l.bad.as_deref(), l.tip.as_deref()])
        .collect();
    assert_eq!(
        told,
        [
            [Some("80"), Some("81"), Some("\"81\"")],
            [Some("null"), Some("1"), Some("\"|\\n  z\"")],
            [Some("x"), Some("y"), None],
        ]
    );
}

#[test]
fn of_many_documents_the_first_are_named() {
    let many: String = (10..30)
        .map(|i| format!("---\nkind: A\nmetadata: {{name: n{i}}}\n"))
        .collect();
    let refused = outcome([&many, &many, &many], "v1/A//n1");
    assert!(refused.contains("there is /A//n10, /A//n11, "), "{refused}");
    assert!(refused.ends_with("/A//n19, and 10 more"), "{refused}");
}

#[test]
fn documents_are_selected_by_version_kind_namespace_and_name() {
    for text in [
        "apps/v1/Deployment/shop/web",
        "apps/v1/Deployment//web",
        "v1/ConfigMap//settings",
        "tidegate.io/v1alpha1/Rollout/shop/web",
    ] {
        let document = selected(text).unwrap();
        assert_eq!(selector(&document).as_deref(), Some(text));
    }
    for text in [
        "",
        "web",
        "Deployment/web",
        "Deployment//web",
        "apps/v1/Deployment/web",
        "v1/ConfigMap/settings",
        "apps/v1/Deployment/shop/",
        "apps/v1//shop/web",
        "/v1/Deployment/shop/web",
        "apps//Deployment/shop/web",
        "a/b/v1/Deployment/shop/web",
        "/Deployment/shop/web",
        "////",
    ] {
        let error = selected(text).unwrap_err();
        assert!(error.contains("APIVERSION/KIND/NAMESPACE/NAME"), "{text}");
    }
}

/// Values as they may be written, each with what a reader gets from it; `#` marks what is no text.
const VALUES: [(&str, &str); 11] = [
    ("v1", "v1"),
    ("'v1'", "v1"),
    ("\"v1\"", "v1"),
    ("v2", "v2"),
    ("\"v2\"", "v2"),
    ("1.10", "#1.10"),
    ("\"1.10\"", "1.10"),
    ("true", "#true"),
    ("'it''s'", "it's"),
    ("\"é # x\"", "é # x"),
    ("sha256:ab", "sha256:ab"),
];

/// How an entry may be written. Those of one row have the same leaves, and `RAW` stands on the one that
/// is looked at.
const LAYOUTS: [&[&str]; 4] = [
    &[
        "KEY: RAW\n",
        "KEY:   RAW   # é\n",
        "'KEY': RAW\n",
        "# of old\nKEY: RAW # x\n\n",
    ],
    &[
        "KEY:\n  t: RAW\n",
        "KEY: {t: RAW}\n",
        "KEY: { \"t\" : RAW } # c\n",
        "KEY:\n    # in\n    t: RAW\n",
    ],
    &[
        "KEY:\n- name: p\n  v: RAW\n",
        "KEY:\n  - {name: p, v: RAW}\n",
        "KEY: [{v: RAW, name: p}]\n",
    ],
    &["KEY:\n- RAW\n- z\n", "KEY: [RAW, z]\n"],
];

/// The paths of those leaves.
const PATHS: [&str; 4] = ["KEY", "KEY.t", "KEY[name=p].v", "KEY[0]"];

/// What a value of [`VALUES`] means.
fn meaning(value: usize) -> &'static str {
    VALUES[value].1
}

/// A value of the same meaning, perhaps written in another way.
fn respelled(value: usize, pick: usize) -> usize {
    let same = |other: &usize| meaning(*other) == meaning(value);
    let same: Vec<usize> = (0..VALUES.len()).filter(same).collect();
    same[pick % same.len()]
}

fn finish(text: &str, trim: bool, crlf: bool) -> String {
    let text = if trim { text.trim_end() } else { text };
    if crlf {
        text.replace('\n', "\r\n")
    } else {
        text.to_owned()
    }
}

/// The top-level entries of what [`documents`] makes, line by line: the key, and the line without its
/// end. Comments above an entry have no key.
fn lines(text: &str) -> Vec<(&str, &str)> {
    let mut key = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with('k') {
            key = line.split(':').next().unwrap_or_default();
        } else if line.starts_with('#') {
            key = "";
        }
        lines.push((key, line));
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the three versions look like: the new tip is the tip, byte for byte, but for the
    /// values that went bad, and those are written as in the good version.
    #[test]
    fn no_byte_changes_outside_of_the_values_that_go_back(
        entries in prop::collection::vec(
            (
                0..LAYOUTS.len(),
                prop::array::uniform3(0..VALUES.len()),
                0..4u8,
                0..6u8,
                prop::array::uniform3(0..4usize),
                0..6usize,
            ),
            1..9,
        ),
        crlf in prop::array::uniform3(any::<bool>()),
        trim in any::<bool>(),
    ) {
        let mut texts = [String::new(), String::new(), String::new()];
        let mut expected = String::new();
        let mut standings = Vec::new();
        for (i, (shape, values, by_bad, by_tip, layouts, pick)) in entries.into_iter().enumerate() {
            let [good, second, third] = values;
            let bad = if by_bad == 0 { respelled(good, pick) } else { second };
            let tip = match by_tip {
                0 => third,
                1 => respelled(good, pick),
                _ => respelled(bad, pick),
            };
            let key = format!("k{i}");
            let write = |value: usize, layout: usize| {
                let of_shape = LAYOUTS[shape];
                let layout = of_shape[layout % of_shape.len()];
                layout.replace("KEY", &key).replace("RAW", VALUES[value].0)
            };
            for (at, value) in [good, bad, tip].into_iter().enumerate() {
                texts[at].push_str(&write(value, layouts[at]));
            }
            let standing = if meaning(good) == meaning(bad) {
                None
            } else if meaning(tip) == meaning(bad) {
                Some(Standing::Back)
            } else if meaning(tip) == meaning(good) {
                Some(Standing::Done)
            } else {
                Some(Standing::Superseded)
            };
            let value = if standing == Some(Standing::Back) { good } else { tip };
            expected.push_str(&write(value, layouts[2]));
            standings.extend(standing.map(|s| (PATHS[shape].replace("KEY", &key), s)));
        }
        let goes_back = standings.iter().any(|(_, s)| *s == Standing::Back);
        let [good, bad, tip] = [0, 1, 2].map(|at: usize| finish(&texts[at], trim, crlf[at]));
        let outcome = revert(good.as_bytes(), bad.as_bytes(), tip.as_bytes(), None).unwrap();
        let expected = goes_back.then(|| finish(&expected, trim, crlf[2]));
        prop_assert_eq!(&outcome.text, &expected);
        let told: Vec<(String, Standing)> =
            outcome.leaves.iter().map(|l| (l.path.clone(), l.standing)).collect();
        prop_assert_eq!(told, standings);
        if let Some(text) = &expected {
            let again = revert(good.as_bytes(), bad.as_bytes(), text.as_bytes(), None).unwrap();
            prop_assert_eq!(again.text, None);
        }
    }

    /// Also where entries came and went: the new tip reads as the tip with the leaves that go back,
    /// and an entry in which none does keeps its lines.
    #[test]
    fn only_the_leaves_that_are_told_change((good, bad, tip) in documents()) {
        let outcome = revert(good.as_bytes(), bad.as_bytes(), tip.as_bytes(), None);
        let Ok(Outcome { text: Some(text), leaves }) = outcome else { return Ok(()) };
        let values = |text: &str| -> Vec<(String, LeafValue)> {
            let file = File::parse(text.as_bytes()).unwrap();
            file.leaves().iter().map(|(path, leaf)| (shown(path), leaf.value.clone())).collect()
        };
        let back: BTreeSet<&str> = leaves
            .iter()
            .filter(|l| l.standing == Standing::Back)
            .map(|l| l.path.as_str())
            .collect();
        prop_assert!(!back.is_empty());
        let (good, old, new) = (values(&good), values(&tip), values(&text));
        let find = |values: &[(String, LeafValue)], path: &str| {
            values.iter().find(|(p, _)| p == path).map(|(_, value)| value.clone())
        };
        for (path, _) in good.iter().chain(&old).chain(&new) {
            let from = if back.contains(path.as_str()) { &good } else { &old };
            prop_assert_eq!(find(&new, path), find(from, path), "{} in {:?}", path, &text);
        }

        let touched: BTreeSet<&str> =
            back.iter().map(|path| path.split(['.', '[']).next().unwrap_or_default()).collect();
        let untouched = |text: &str| -> Vec<(String, String)> {
            lines(text)
                .into_iter()
                .filter(|(key, _)| !touched.contains(key))
                .map(|(key, line)| (key.to_owned(), line.to_owned()))
                .collect()
        };
        prop_assert_eq!(untouched(&text), untouched(&tip));
        let ends = |text: &str| (text.matches("\r\n").count(), text.matches('\n').count());
        if let (crlf, any @ 1..) = ends(&tip) {
            let (new_crlf, new_any) = ends(&text);
            prop_assert_eq!(new_crlf, if crlf == any { new_any } else { 0 });
        }
    }

    /// Anything is either reverted or refused.
    #[test]
    fn nothing_panics_on_any_text(
        texts in prop::array::uniform3(
            "[a-c:?{}\\[\\],'\"&*#|>!%@~0 \\n\\r\\t\\-é\u{feff}]{0,40}",
        ),
        bytes in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..40)),
        (good, bad, tip) in documents(),
        at in any::<prop::sample::Index>(),
        with in any::<char>(),
    ) {
        let mut mutated: Vec<char> = tip.chars().collect();
        if !mutated.is_empty() {
            let at = at.index(mutated.len());
            mutated[at] = with;
        }
        let mutated: String = mutated.into_iter().collect();
        let [a, b, c] = &texts;
        let [x, y, z] = &bytes;
        for [good, bad, tip] in [
            [a.as_bytes(), b.as_bytes(), c.as_bytes()],
            [a.as_bytes(), b.as_bytes(), b.as_bytes()],
            [good.as_bytes(), bad.as_bytes(), mutated.as_bytes()],
            [good.as_bytes(), mutated.as_bytes(), mutated.as_bytes()],
            [x.as_slice(), y.as_slice(), z.as_slice()],
        ] {
            if let Ok(outcome) = revert(good, bad, tip, None) {
                let back = outcome.leaves.iter().any(|l| l.standing == Standing::Back);
                prop_assert_eq!(outcome.text.is_some(), back);
                if let Some(text) = outcome.text {
                    prop_assert!(File::parse(text.as_bytes()).is_ok(), "{:?}", text);
                }
            }
        }
    }
}
