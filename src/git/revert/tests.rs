use super::*;
use crate::api::revert::TemplateChange;
use proptest::prelude::*;

fn image(old: &str, new: &str) -> TemplateChange {
    TemplateChange {
        path: "spec.containers[app].image".into(),
        old: Some(old.into()),
        new: Some(new.into()),
    }
}

fn env(name: &str, old: Option<&str>, new: Option<&str>) -> TemplateChange {
    TemplateChange {
        path: format!("spec.containers[app].env[{name}].value"),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    }
}

/// Plans one file for the workload `checkout`.
fn plan(good: &str, bad: &str, tip: &str, changes: &[TemplateChange]) -> Result<Plan, Refusal> {
    let versions = Versions {
        path: "values.yaml",
        good: Some(good.as_bytes()),
        bad: Some(bad.as_bytes()),
        tip: Some(tip.as_bytes()),
    };
    plan_revert(
        &[versions],
        &Which::Workload(Workload {
            name: "checkout",
            source_path: "values.yaml",
            changes,
            overrides: true,
        }),
    )
}

const V: [&str; 2] = ["r/checkout:v1", "r/checkout:v2"];

/// The new content; a decision or a refusal as text.
fn outcome(good: &str, bad: &str, tip: &str, changes: &[TemplateChange]) -> String {
    match plan(good, bad, tip, changes) {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(plan) => match decide(&plan) {
            Decision::Apply => plan.files[0].text.clone(),
            Decision::AlreadyReverted => "already".into(),
            Decision::Superseded { leaves } => format!("superseded: {}", leaves.join("; ")),
        },
    }
}

#[track_caller]
fn check(good: &str, bad: &str, tip: &str, expected: &str) {
    assert_eq!(outcome(good, bad, tip, &[image(V[0], V[1])]), expected);
}

#[test]
fn the_own_line_goes_back_between_lines_that_others_changed() {
    check(
        "# versions\ncatalog: v1\ncheckout: v1   # ours\npayment: v1\n",
        "# versions\ncatalog: v1\ncheckout: v2   # ours\npayment: v1\n",
        "# versions\ncatalog: v7\ncheckout: v2   # ours\npayment: v9\nnew: x\n",
        "# versions\ncatalog: v7\ncheckout: v1   # ours\npayment: v9\nnew: x\n",
    );
}

#[test]
fn of_a_commit_with_many_services_only_the_own_leaf_goes_back() {
    check(
        "checkout: {tag: v1}\r\ncatalog: {tag: v1}",
        "checkout: {tag: v2}\r\ncatalog: {tag: v2}",
        "checkout: {tag: v2}\r\ncatalog: {tag: v2}",
        "checkout: {tag: v1}\r\ncatalog: {tag: v2}",
    );
}

#[test]
fn a_later_change_of_the_same_leaf_wins() {
    let (good, bad) = ("checkout: v1\n", "checkout: v2\n");
    check(
        good,
        bad,
        "checkout: v3\n",
        r#"superseded: values.yaml: checkout is "v3""#,
    );
    check(
        good,
        bad,
        "other: v3\n",
        "superseded: values.yaml: checkout is gone",
    );
    check(good, bad, "checkout: v1\n", "already");
    check(good, bad, "checkout: \"v1\"\n", "already");
    check(
        good,
        bad,
        "# all new\nx: 1\ncheckout: 'v2'\n",
        "# all new\nx: 1\ncheckout: v1\n",
    );
}

#[test]
fn several_bumps_during_one_canary_go_back_to_the_stable_value() {
    // v2 was aborted; v1 is stable; the commit between them does not matter.
    check(
        "checkout: v1\nx: 1\n",
        "checkout: v2\nx: 2\n",
        "checkout: v2\nx: 2\n",
        "checkout: v1\nx: 2\n",
    );
}

#[test]
fn the_parts_of_an_image_go_back_together_or_not_at_all() {
    let at = |tag: &str, digest: &str| {
        format!("image:\n  repository: r/checkout\n  tag: {tag}\n  digest: {digest}\n")
    };
    let (good, bad) = (at("v1", "sha256:aa"), at("v2", "sha256:bb"));
    let changes = [image("r/checkout:v1@sha256:aa", "r/checkout:v2@sha256:bb")];
    assert_eq!(outcome(&good, &bad, &bad, &changes), good);
    let half = outcome(&good, &bad, &at("v3", "sha256:bb"), &changes);
    assert!(
        half.starts_with("refused: values.yaml: image.tag was changed since"),
        "{half}"
    );
    let half = outcome(&good, &bad, &at("v1", "sha256:bb"), &changes);
    assert_eq!(half, good, "one part is done already");
    let moved = outcome(&good, &bad, &at("v3", "sha256:cc"), &changes);
    assert!(moved.starts_with("superseded"), "{moved}");
    // A digest that somebody pinned since belongs to the bad tag.
    let without = |tag: &str| format!("image:\n  repository: r/checkout\n  tag: {tag}\n");
    let pinned = outcome(
        &without("v1"),
        &without("v2"),
        &at("v2", "sha256:bb"),
        &[image(V[0], V[1])],
    );
    assert!(
        pinned.starts_with("refused: values.yaml: image.digest"),
        "{pinned}"
    );
    // A digest that came with the bad tag goes with it.
    let changes = [image("r/checkout:v1", "r/checkout:v2@sha256:bb")];
    assert_eq!(outcome(&without("v1"), &bad, &bad, &changes), without("v1"));
}

#[test]
fn a_fixed_image_keeps_what_was_changed_with_it() {
    let changes = [image(V[0], V[1]), env("MODE", Some("slow"), Some("fast"))];
    let (good, bad) = ("checkout: v1\nmode: slow\n", "checkout: v2\nmode: fast\n");
    assert_eq!(outcome(good, bad, bad, &changes), good);
    let fixed = outcome(good, bad, "checkout: v3\nmode: fast\n", &changes);
    assert_eq!(fixed, r#"superseded: values.yaml: checkout is "v3""#);
    let tuned = outcome(good, bad, "checkout: v2\nmode: medium\n", &changes);
    assert_eq!(tuned, "checkout: v1\nmode: medium\n");
}

#[test]
fn what_the_bad_version_added_or_removed_goes_the_other_way() {
    let manifest = |envs: &str| {
        format!(
            "kind: Rollout\nmetadata: {{name: checkout}}\nspec:\n  template:\n    spec:\n      \
             containers:\n      - name: app\n        env:\n        - name: A\n          value: b\n\
             {envs}        image: x\n"
        )
    };
    let item = "        - name: DEBUG # noisy\n          value: \"on\"\n";
    let (with, without) = (manifest(item), manifest(""));
    let added = [env("DEBUG", None, Some("on"))];
    assert_eq!(outcome(&without, &with, &with, &added), without);
    assert_eq!(outcome(&without, &with, &without, &added), "already");
    let removed = [env("DEBUG", Some("on"), None)];
    assert_eq!(outcome(&with, &without, &without, &removed), with);
    // Somebody added to the new item since: it is not only ours any more.
    let edited =
        manifest("        - name: DEBUG # noisy\n          value: \"on\"\n          x: y\n");
    let refused = outcome(&without, &with, &edited, &added);
    assert!(refused.contains("changed since it was added"), "{refused}");
}

#[test]
fn what_is_not_certain_is_refused_by_name() {
    let refused = |good: &str, bad: &str, tip: &str| {
        let text = outcome(good, bad, tip, &[image(V[0], V[1])]);
        assert!(text.starts_with("refused: "), "{text}");
        text
    };
    assert!(
        refused("a: v1\nb: v1\n", "a: v2\nb: v2\n", "a: v2\nb: v2\n")
            .contains("any of values.yaml: a, values.yaml: b")
    );
    assert!(refused("x: 1\n", "x: 2\n", "x: 2\n").contains("nothing in Git accounts for"));
    assert!(refused("x: 1\n", "x: 1\n", "x: 1\n").contains("nothing in Git accounts for"));
    assert!(refused("t: v1\n", "t: {{ .v2 }}\n", "t: v2\n").contains("not YAML"));
    assert!(refused("t: v1\n", "t: v2\n", "t: v2\nt: v2\n").contains("stands twice"));
    assert!(
        refused(
            "t: &a v1\nu: *a\n",
            "t: &a v2\nu: *a\n",
            "t: &a v2\nu: *a\n"
        )
        .contains("alias")
    );
    assert!(
        refused(
            "t: v1\nsops: {mac: a}\n",
            "t: v2\nsops: {mac: b}\n",
            "t: v2\nsops: {mac: b}\n"
        )
        .contains("SOPS")
    );
    let changes = [image(V[0], V[1]), env("MODE", Some("slow"), Some("fast"))];
    let half = outcome("mode: slow\n", "mode: fast\n", "mode: fast\n", &changes);
    assert!(
        half.contains("the change of spec.containers[app].image is not in these files"),
        "{half}"
    );
}

/// Whoever put it back by hand is done; nobody has to be able to read it for that.
#[test]
fn a_file_that_cannot_be_edited_is_done_when_all_of_it_is_the_stable_one_again() {
    let changes = [image(V[0], V[1])];
    let sops = |tag: &str| format!("checkout: {tag}\nsops: {{mac: {tag}}}\n");
    let (good, bad, newer) = (sops("v1"), sops("v2"), sops("v3"));
    assert_eq!(outcome(&good, &bad, &good, &changes), "already");
    for tip in [&bad, &newer] {
        let refused = outcome(&good, &bad, tip, &changes);
        assert!(refused.contains("SOPS"), "{refused}");
    }
    // In a folder it may be another's, and where the stable version is searched for another version.
    for (source_path, overrides) in [("values.yaml", false), ("", true)] {
        let versions = Versions {
            path: "values.yaml",
            good: Some(good.as_bytes()),
            bad: Some(bad.as_bytes()),
            tip: Some(good.as_bytes()),
        };
        let workload = Workload {
            name: "checkout",
            source_path,
            changes: &changes,
            overrides,
        };
        let refused = plan_revert(&[versions], &Which::Workload(workload)).unwrap_err();
        assert!(matches!(refused, Refusal::Unusable { .. }), "{refused}");
    }
}

/// They differ where nobody has read.
#[test]
fn of_a_file_that_is_too_large_the_same_beginning_says_nothing() {
    let read = "#".repeat(FILE_BYTES_MAX + 1);
    let refused = outcome(&read, &read, &read, &[image(V[0], V[1])]);
    assert!(refused.contains("more than the 1048576"), "{refused}");
}

#[test]
fn a_change_of_the_template_that_is_computed_is_named_and_does_not_hinder() {
    let checksum = TemplateChange {
        path: r#"metadata.annotations."checksum/config""#.into(),
        old: Some("aaaa".into()),
        new: Some("bbbb".into()),
    };
    let plan = plan(
        "checkout: v1\n",
        "checkout: v2\n",
        "checkout: v2\n",
        &[image(V[0], V[1]), checksum.clone()],
    )
    .unwrap();
    assert_eq!(plan.unmatched, [checksum.path]);
    assert_eq!(decide(&plan), Decision::Apply);
}

#[test]
fn files_come_and_go() {
    let changes = [image(V[0], V[1])];
    let which = Which::Workload(Workload {
        name: "checkout",
        source_path: "chart",
        changes: &changes,
        overrides: true,
    });
    let versions = |good, bad, tip| {
        [
            Versions {
                path: "chart/broken.yaml",
                good: Some(b"{{"),
                bad: Some(b"{{ x"),
                tip: None,
            },
            Versions {
                path: "chart/values.yaml",
                good,
                bad,
                tip,
            },
        ]
    };
    let (one, two) = (Some(&b"checkout: v1\n"[..]), Some(&b"checkout: v2\n"[..]));
    let plan = plan_revert(&versions(one, two, two), &which).unwrap();
    assert_eq!(
        plan.files,
        [NewContent {
            path: "chart/values.yaml".into(),
            text: "checkout: v1\n".into()
        }]
    );
    let gone = plan_revert(&versions(one, two, None), &which).unwrap();
    assert_eq!(
        decide(&gone),
        Decision::Superseded {
            leaves: vec!["chart/values.yaml: checkout is gone".into()]
        }
    );
    // Without the change in a readable file, the unreadable one is the reason.
    let refused = plan_revert(&versions(one, one, one), &which).unwrap_err();
    assert!(matches!(&refused, Refusal::Unusable { file, .. } if file == "chart/broken.yaml"));
}

#[test]
fn all_leaves_of_a_file_go_back_without_a_workload() {
    let (good, bad) = ("a: 1\nb: 1\nc: 1\n", "a: 2\nb: 2\nc: 2\n");
    let versions = Versions {
        path: "f",
        good: Some(good.as_bytes()),
        bad: Some(bad.as_bytes()),
        tip: Some(b"# mine\na: 2\nb: 3\nc: 1\n"),
    };
    let plan = plan_revert(&[versions], &Which::All(None)).unwrap();
    assert_eq!(plan.files[0].text, "# mine\na: 1\nb: 3\nc: 1\n");
    let states: Vec<&AtTip> = plan.leaves.iter().map(|l| &l.tip).collect();
    assert_eq!(
        states,
        [&AtTip::Bad, &AtTip::Other("3".into()), &AtTip::Good]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the three versions are: nothing panics, and what is planned reads as the tip with
    /// the leaves that hold the bad value put back, and nothing else.
    #[test]
    fn the_plan_changes_the_bad_leaves_and_no_other(
        (good, bad, tip) in documents(),
    ) {
        let versions = Versions {
            path: "f.yaml",
            good: Some(good.as_bytes()),
            bad: Some(bad.as_bytes()),
            tip: Some(tip.as_bytes()),
        };
        let Ok(plan) = plan_revert(&[versions], &Which::All(None)) else { return Ok(()) };
        let values = |text: &str| -> BTreeMap<Path, Value> {
            let file = File::parse(text.as_bytes()).unwrap();
            file.leaves().iter().map(|(p, l)| (p.clone(), l.value.clone())).collect()
        };
        let (good, bad, tip_values) = (values(&good), values(&bad), values(&tip));
        let result = values(plan.files.first().map_or(&tip, |f| &f.text));
        for path in good.keys().chain(bad.keys()).chain(tip_values.keys()) {
            let goes_back = good.get(path) != bad.get(path) && tip_values.get(path) == bad.get(path);
            let expected = if goes_back { good.get(path) } else { tip_values.get(path) };
            prop_assert_eq!(result.get(path), expected, "{} in {:?}", path, &plan.files);
        }
        // Once more on the result: nothing left to do.
        let after = plan.files.first().map_or(tip.clone(), |f| f.text.clone());
        let again = Versions { tip: Some(after.as_bytes()), ..versions };
        prop_assert_eq!(plan_revert(&[again], &Which::All(None)).unwrap().files, []);
    }
}

/// A document, and what two parties made of it one after the other.
pub(in crate::git) fn documents() -> impl Strategy<Value = (String, String, String)> {
    let entries = prop::collection::vec((entry(), entry(), entry(), 0..4u8, 0..6u8), 1..6);
    (entries, any::<bool>(), any::<bool>()).prop_map(|(entries, trim, crlf)| {
        let mut texts = [String::new(), String::new(), String::new()];
        for (i, (good, first, second, by_first, by_second)) in entries.iter().enumerate() {
            let bad = if *by_first == 0 { first } else { good };
            let tip = if *by_second == 0 { second } else { bad };
            for (text, entry) in texts.iter_mut().zip([good, bad, tip]) {
                *text += &entry.replace("KEY", &format!("k{i}"));
            }
        }
        let finish = |text: String| {
            let text = if trim {
                text.trim_end().to_owned()
            } else {
                text
            };
            if crlf {
                text.replace('\n', "\r\n")
            } else {
                text
            }
        };
        let [good, bad, tip] = texts.map(finish);
        (good, bad, tip)
    })
}

/// One entry of a mapping; empty is one that is not there.
fn entry() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "1", "'1'", "v1", "\"v2\"", "~", "", "[]", "|\n    x", "{t: 1}",
    ]);
    (scalar, 0..6u8).prop_map(|(value, form)| match form {
        0 => String::new(),
        1 => format!("KEY: # c\n  a: {value}\n  b: x\n"),
        2 => format!("KEY:\n- name: p\n  v: {value}\n- name: q\n"),
        3 => format!("# about\nKEY: {value}\n"),
        _ => format!("KEY: {value}\n"),
    })
}
