use super::*;

fn change(path: &str, old: &str, new: &str) -> TemplateChange {
    let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    TemplateChange {
        path: path.into(),
        old: some(old),
        new: some(new),
    }
}

fn image(old: &str, new: &str) -> TemplateChange {
    change("spec.containers[app].image", old, new)
}

/// The chosen leaves as `file: path`, sorted; or what was unclear. The source names the file where
/// there is one, else a folder.
fn selected(
    files: &[(&str, &str, &str)],
    workload: &str,
    changes: &[TemplateChange],
) -> Result<Vec<String>, Vec<String>> {
    let source_path = match files {
        [(path, ..)] => *path,
        _ => "",
    };
    below(source_path, files, workload, changes)
}

fn below(
    source_path: &str,
    files: &[(&str, &str, &str)],
    workload: &str,
    changes: &[TemplateChange],
) -> Result<Vec<String>, Vec<String>> {
    let parsed: Vec<(File, File)> = files
        .iter()
        .map(|(_, good, bad)| {
            (
                File::parse(good.as_bytes()).unwrap(),
                File::parse(bad.as_bytes()).unwrap(),
            )
        })
        .collect();
    let pairs: Vec<Pair<'_>> = files
        .iter()
        .zip(&parsed)
        .map(|((path, _, _), (good, bad))| Pair { path, good, bad })
        .collect();
    let leaves = changed(&pairs);
    let show = |i: &usize| format!("{}: {}", files[leaves[*i].file].0, leaves[*i].path);
    select(
        &pairs,
        &leaves,
        &Workload {
            name: workload,
            source_path,
            changes,
            overrides: true,
        },
    )
    .map(|s| s.leaves.iter().map(show).collect())
    .map_err(|unclear| {
        let strange = (!unclear.named).then(|| "not named".to_owned());
        strange
            .into_iter()
            .chain(unclear.candidates.iter().map(show))
            .collect()
    })
}

/// One file, `v1` in the text standing for the version.
fn in_file(path: &str, good: &str, workload: &str, changes: &[TemplateChange]) -> Vec<String> {
    let bad = good.replace("v1", "v2");
    match selected(&[(path, good, &bad)], workload, changes) {
        Ok(leaves) => leaves,
        Err(candidates) => std::iter::once("ambiguous".into())
            .chain(candidates)
            .collect(),
    }
}

#[test]
fn of_two_services_with_the_same_versions_the_named_one_is_chosen() {
    let changes = [image("r/checkout:v1", "r/checkout:v2")];
    let chosen = |text: &str| in_file("versions.yaml", text, "checkout", &changes);
    assert_eq!(
        chosen("checkout: v1\ncatalog: v1\n"),
        ["versions.yaml: checkout"]
    );
    assert_eq!(
        chosen("checkout:\n  image: {tag: v1}\ncatalog:\n  image: {tag: v1}\n"),
        ["versions.yaml: checkout.image.tag"]
    );
    // By the repository beside the tag.
    assert_eq!(
        chosen("a: {repository: r/checkout, tag: v1}\nb: {repository: r/catalog, tag: v1}\n"),
        ["versions.yaml: a.tag"]
    );
    assert_eq!(
        chosen("images:\n- {name: r/checkout, newTag: v1}\n- {name: r/catalog, newTag: v1}\n"),
        ["versions.yaml: images[name=r/checkout].newTag"]
    );
    assert_eq!(
        chosen(
            "images:\n- {name: app, newName: r/checkout, newTag: v1}\n- {name: x, newName: y, newTag: v1}\n"
        ),
        ["versions.yaml: images[name=app].newTag"]
    );
    // A tag beside another repository is never it, even alone.
    assert!(chosen("a: {repository: r/catalog, tag: v1}\n").is_empty());
    // Nothing tells them apart.
    assert_eq!(
        chosen("a: v1\nb: v1\n"),
        ["ambiguous", "versions.yaml: a", "versions.yaml: b"]
    );
    assert_eq!(chosen("a: v1\n"), ["versions.yaml: a"]);
}

/// Another team's version went the same way, and nothing of this workload's did.
#[test]
fn in_a_folder_a_leaf_that_nothing_names_is_left_alone() {
    let tags = [image("r/checkout:v1", "r/checkout:v2")];
    let chosen = |path: &str, good: &str| {
        let bad = good.replace("v1", "v2").replace("slow", "fast");
        below("apps", &[(path, good, &bad)], "checkout", &tags)
    };
    let strange = |leaf: &str| -> Result<Vec<String>, Vec<String>> {
        Err(vec!["not named".to_owned(), format!("apps/v.yaml: {leaf}")])
    };
    for (text, leaf) in [
        ("a: v1\n", "a"),
        ("catalog: v1\n", "catalog"),
        ("image: {tag: v1}\n", "image.tag"),
        ("catalog: {image: v1}\n", "catalog.image"),
    ] {
        assert_eq!(chosen("apps/v.yaml", text), strange(leaf), "{text}");
        // Whoever names the file says that it is his.
        let bad = text.replace("v1", "v2");
        let files = [("apps/v.yaml", text, bad.as_str())];
        let named = below("apps/v.yaml", &files, "checkout", &tags);
        assert_eq!(named, Ok(vec![format!("apps/v.yaml: {leaf}")]), "{text}");
    }
    for (path, text, leaf) in [
        ("apps/v.yaml", "checkout: v1\n", "checkout"),
        ("apps/v.yaml", "a: r/checkout:v1\n", "a"),
        (
            "apps/v.yaml",
            "a: {repository: r/checkout, tag: v1}\n",
            "a.tag",
        ),
        ("apps/checkout.yaml", "tag: v1\n", "tag"),
        ("apps/checkout/v.yaml", "tag: v1\n", "tag"),
    ] {
        assert_eq!(chosen(path, text), Ok(vec![format!("{path}: {leaf}")]));
    }
    // By the digest alone.
    let digests = [image("r/checkout@sha256:aa", "r/checkout@sha256:bb")];
    let files = [("v.yaml", "a: sha256:aa\n", "a: sha256:bb\n")];
    assert_eq!(
        below("", &files, "checkout", &digests),
        Ok(vec!["v.yaml: a".into()])
    );
}

/// What is the workload's own outweighs what another's key says better.
#[test]
fn in_a_folder_what_is_named_is_chosen_and_the_rest_of_it_goes_along() {
    let changes = [
        image("r/checkout:v1", "r/checkout:v2"),
        change("spec.containers[app].env[MODE].value", "slow", "fast"),
    ];
    let theirs = ("catalog.yaml", "image: v1\nmode: slow\n");
    let chosen = |ours: (&str, &str)| {
        let bad = |text: &str| text.replace("v1", "v2").replace("slow", "fast");
        let (their_bad, our_bad) = (bad(theirs.1), bad(ours.1));
        let files = [
            (theirs.0, theirs.1, &*their_bad),
            (ours.0, ours.1, &*our_bad),
        ];
        below("", &files, "checkout", &changes)
    };
    assert_eq!(
        chosen(("v.yaml", "checkout: v1\nmode: slow\n")),
        Ok(vec!["v.yaml: checkout".into(), "v.yaml: mode".into()])
    );
    // The mode of this one is computed elsewhere.
    assert_eq!(
        chosen(("v.yaml", "checkout: v1\n")),
        Ok(vec!["v.yaml: checkout".into()])
    );
    let only_mode = [change(
        "spec.containers[app].env[MODE].value",
        "slow",
        "fast",
    )];
    let files = [("catalog.yaml", "mode: slow\n", "mode: fast\n")];
    assert_eq!(
        below("", &files, "checkout", &only_mode),
        Err(vec!["not named".into(), "catalog.yaml: mode".into()])
    );
}

#[test]
fn a_manifest_is_matched_by_its_path_and_its_own_labels_go_along() {
    let manifest = "\
kind: Deployment
metadata: {name: shop-checkout, labels: {version: v1}}
spec:
  template:
    metadata: {labels: {version: v1}}
    spec:
      containers:
      - {name: app, image: 'r/checkout:v1'}
      - {name: proxy, image: 'r/proxy:v1'}
---
kind: Deployment
metadata: {name: worker}
spec:
  template:
    spec:
      containers:
      - {name: app, image: 'r/checkout:v1'}
";
    let changes = [
        image("r/checkout:v1", "r/checkout:v2"),
        change("metadata.labels.version", "v1", "v2"),
    ];
    assert_eq!(
        in_file("all.yaml", manifest, "checkout", &changes),
        [
            "ambiguous",
            "all.yaml: Deployment/shop-checkout spec.template.spec.containers[name=app].image",
            "all.yaml: Deployment/worker spec.template.spec.containers[name=app].image",
        ]
    );
    assert_eq!(
        in_file("all.yaml", manifest, "shop-checkout", &changes),
        [
            "all.yaml: Deployment/shop-checkout metadata.labels.version",
            "all.yaml: Deployment/shop-checkout spec.template.metadata.labels.version",
            "all.yaml: Deployment/shop-checkout spec.template.spec.containers[name=app].image",
        ]
    );
}

#[test]
fn two_environments_in_one_folder_are_ambiguous_and_a_folders_name_helps() {
    let changes = [image("r/checkout:v1", "r/checkout:v2")];
    let (good, bad) = ("image: {tag: v1}\n", "image: {tag: v2}\n");
    assert!(
        selected(
            &[
                ("checkout/dev.yaml", good, bad),
                ("checkout/prod.yaml", good, bad)
            ],
            "checkout",
            &changes
        )
        .is_err()
    );
    assert_eq!(
        selected(
            &[
                ("catalog/prod.yaml", good, bad),
                ("checkout/prod.yaml", good, bad)
            ],
            "checkout",
            &changes
        ),
        Ok(vec!["checkout/prod.yaml: image.tag".into()])
    );
    assert_eq!(
        selected(
            &[
                ("values-catalog.yaml", good, bad),
                ("values-checkout.yaml", good, bad)
            ],
            "checkout",
            &changes
        ),
        Ok(vec!["values-checkout.yaml: image.tag".into()])
    );
}

#[test]
fn parts_of_one_image_belong_together() {
    let (good, bad) = (
        "image: {repository: r/checkout, tag: v1, digest: 'sha256:aa'}\nreplicas: 1\n",
        "image: {repository: r/checkout, tag: v2, digest: 'sha256:bb'}\nreplicas: 2\n",
    );
    // The template names the digest alone; the tag beside it is the same image.
    let changes = [image("r/checkout@sha256:aa", "r/checkout@sha256:bb")];
    assert_eq!(
        selected(&[("v.yaml", good, bad)], "x", &changes),
        Ok(vec![
            "v.yaml: image.digest".into(),
            "v.yaml: image.tag".into()
        ])
    );
}

#[test]
fn plain_values_need_a_key_that_tells() {
    let env = |old: &str, new: &str| [change("spec.containers[app].env[DEBUG].value", old, new)];
    let chosen = |good: &str, bad: &str, changes: &[TemplateChange]| {
        selected(&[("v.yaml", good, bad)], "checkout", changes)
    };
    let one = |path: &str| Ok(vec![format!("v.yaml: {path}")]);
    let none = Ok(Vec::new());
    assert_eq!(
        chosen(
            "debug: 1\nreplicas: 1\n",
            "debug: 2\nreplicas: 2\n",
            &env("1", "2")
        ),
        one("debug")
    );
    assert_eq!(
        chosen("replicas: 1\n", "replicas: 2\n", &env("1", "2")),
        none
    );
    assert_eq!(
        chosen("level: info\n", "level: trace\n", &env("info", "trace")),
        one("level")
    );
    assert_eq!(
        chosen(
            "env: {A: b}\n",
            "env: {A: b, DEBUG: 'on'}\n",
            &env("", "on")
        ),
        one("env.DEBUG")
    );
    assert_eq!(
        chosen("a: b\n", "a: b\nc: long-value\n", &env("", "long-value")),
        none
    );
    assert_eq!(
        chosen("env: {DEBUG: 'on'}\n", "env: {}\n", &env("on", ""))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_override_that_was_added_explains_a_changed_image() {
    let changes = [image("r/checkout:v1", "r/checkout:v2")];
    assert_eq!(
        selected(
            &[(
                "v.yaml",
                "a: b\n",
                "a: b\nimage: {repository: r/checkout, tag: v2}\n"
            )],
            "x",
            &changes
        ),
        Ok(vec![
            "v.yaml: image.repository".into(),
            "v.yaml: image.tag".into()
        ])
    );
    assert_eq!(
        selected(&[("v.yaml", "a: b\n", "a: b\nother: v2\n")], "x", &changes),
        Ok(vec![])
    );
}

#[test]
fn paths_of_the_template_are_read() {
    assert_eq!(
        tokens("spec.containers[app].image"),
        ["spec", "containers", "app", "image"]
    );
    assert_eq!(
        tokens(r#"metadata.annotations."a.b/c"[0]"#),
        ["metadata", "annotations", "a.b/c", "0"]
    );
    assert_eq!(tokens(r#"x["q\"]"]"#), ["x", "q\"]"]);
}
