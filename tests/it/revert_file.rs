//! `tidegate revert-file` from outside: the real program, three files, its output byte for byte and its
//! exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// At least one value went back.
const BACK: i32 = 0;
/// Wrong usage, or a file that cannot be read.
const USAGE: i32 = 2;
/// Nothing had to go back.
const NOTHING: i32 = 3;
/// Refused.
const REFUSED: i32 = 4;

/// The largest file that is read.
const BYTES_MAX: usize = 1024 * 1024;

/// Good, bad and tip; what has to come of them, and what standard error has to say.
struct Row<'a> {
    versions: [&'a str; 3],
    select: Option<&'a str>,
    code: i32,
    out: &'a str,
    says: &'a [&'a str],
}

/// A row without a selected document.
fn row<'a>(versions: [&'a str; 3], code: i32, out: &'a str, says: &'a [&'a str]) -> Row<'a> {
    Row {
        versions,
        select: None,
        code,
        out,
        says,
    }
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .current_dir(folder)
        .arg("revert-file")
        .stdin(Stdio::null());
    command
}

/// The files of a folder of their own.
fn files(versions: [&[u8]; 3]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in ["good.yaml", "bad.yaml", "tip.yaml"].iter().zip(versions) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

const FLAGS: [&str; 6] = [
    "--good",
    "good.yaml",
    "--bad",
    "bad.yaml",
    "--tip",
    "tip.yaml",
];

fn revert_file(versions: [&[u8]; 3], select: Option<&str>) -> Output {
    let folder = files(versions);
    let mut command = program(folder.path());
    command.args(FLAGS);
    if let Some(document) = select {
        command.args(["--select", document]);
    }
    let output = command.output().unwrap();
    let tip = fs::read(folder.path().join("tip.yaml")).unwrap();
    assert_eq!(tip, versions[2], "no file is written");
    output
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn check(row: &Row<'_>) {
    let output = revert_file(row.versions.map(str::as_bytes), row.select);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
    let what = format!("{:?} {:?}: {err}", row.versions, row.select);
    assert_eq!(output.status.code(), Some(row.code), "{what}");
    assert_eq!(out, row.out, "{what}");
    for part in row.says {
        assert!(err.contains(part), "no {part:?}: {what}");
    }
    assert_eq!(err.is_empty(), row.says.is_empty(), "{what}");
}

#[test]
fn values_go_back_and_every_other_byte_stays() {
    let rows = [
        row(
            [
                "image:\n  repository: r/checkout\n  tag: v1 # released\nreplicas: 3\n",
                "image:\n  repository: r/checkout\n  tag: v2 # released\nreplicas: 3\n",
                "# ours\nimage:\n  repository: r/checkout\n  tag: v2   # to be seen\nreplicas: 5\n",
            ],
            BACK,
            "# ours\nimage:\n  repository: r/checkout\n  tag: v1   # to be seen\nreplicas: 5\n",
            &[],
        ),
        // The lines above and below were changed since.
        row(
            [
                "a: 1\nb: 1\nc: 1\n",
                "a: 1\nb: 2\nc: 1\n",
                "a: 9\nb: 2\nc: 9\n",
            ],
            BACK,
            "a: 9\nb: 1\nc: 9\n",
            &[],
        ),
        row(
            [
                "# head\r\na: 'one'\r\nb: \"two\" # why\r\nc: x",
                "# head\r\na: 'uno'\r\nb: \"two\" # why\r\nc: y",
                "# head, edited\r\na: \"uno\"   # theirs\r\nb: \"three\" # why\r\nc: y",
            ],
            BACK,
            "# head, edited\r\na: 'one'   # theirs\r\nb: \"three\" # why\r\nc: x",
            &[],
        ),
        // The line ends of the tip, also within a value.
        row(
            [
                "a: |\n  one\n  more\nb: 1\n",
                "a: |\n  two\nb: 1\n",
                "a: |\r\n  two\r\nb: 1\r\n",
            ],
            BACK,
            "a: |\r\n  one\r\n  more\r\nb: 1\r\n",
            &[],
        ),
        row(
            [
                "{\"image\": {\"tag\": \"v1\"}, \"n\": 1}\n",
                "{\"image\": {\"tag\": \"v2\"}, \"n\": 1}\n",
                "{\"image\":{\"tag\":\"v2\"},\n  \"n\": 2}",
            ],
            BACK,
            "{\"image\":{\"tag\":\"v1\"},\n  \"n\": 2}",
            &[],
        ),
        // Anchors stay what they are, as long as none has to go back.
        row(
            [
                "d: &d {cpu: 1}\na:\n  <<: *d\nt: v1\n",
                "d: &d {cpu: 1}\na:\n  <<: *d\nt: v2\n",
                "d: &d {cpu: 2}\na:\n  <<: *d\nt: v2\n",
            ],
            BACK,
            "d: &d {cpu: 2}\na:\n  <<: *d\nt: v1\n",
            &[],
        ),
        row(
            [
                "a: 1\nb: 1\n",
                "a: 1\nb: 1\nc: 1\n",
                "x: 0\na: 1\nb: 1\nc: 1\n",
            ],
            BACK,
            "x: 0\na: 1\nb: 1\n",
            &[],
        ),
        row(
            ["a: 1\nb: 1\nc: 1\n", "a: 1\nc: 1\n", "a: 1\nc: 1\nd: 1\n"],
            BACK,
            "a: 1\nb: 1\nc: 1\nd: 1\n",
            &[],
        ),
        // Half of it is done, and the other half goes back.
        row(
            ["a: v1\nb: v1\n", "a: v2\nb: v2\n", "a: v1\nb: v2\n"],
            BACK,
            "a: v1\nb: v1\n",
            &[],
        ),
    ];
    rows.iter().for_each(check);
}

/// Two Deployments of one name, with so many replicas.
fn deployments(without_namespace: u8, in_shop: u8) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  \
         replicas: {without_namespace} # few\n\
         ---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  \
         replicas: {in_shop}\n"
    )
}

/// `--select`, the tip, the exit code, the new tip, and what is told.
type Selection<'a> = (Option<&'a str>, &'a str, i32, &'a str, &'a [&'a str]);

#[test]
fn one_document_of_several_can_be_selected() {
    let (good, bad) = (deployments(2, 2), deployments(9, 9));
    let (first, second) = (deployments(2, 9), deployments(9, 2));
    let (lab, path) = (
        [
            "there is no document apps/v1/Deployment/lab/web",
            "there is apps/v1/Deployment//web, ",
        ],
        ["apps/v1/Deployment/shop/web spec.replicas: good 2, bad 9, tip 4"],
    );
    let moved_on = deployments(9, 4);
    let put_right = deployments(2, 4);
    let rows: [Selection<'_>; 7] = [
        (Some("apps/v1/Deployment//web"), &bad, BACK, &first, &[]),
        (
            Some("apps/v1/Deployment/shop/web"),
            &bad,
            BACK,
            &second,
            &[],
        ),
        (None, &bad, BACK, &good, &[]),
        (
            Some("apps/v1/Deployment//web"),
            &first,
            NOTHING,
            "",
            &["nothing has to go back"],
        ),
        (Some("apps/v1/Deployment/lab/web"), &bad, REFUSED, "", &lab),
        // What is not selected is not told of either.
        (
            Some("apps/v1/Deployment//web"),
            &moved_on,
            BACK,
            &put_right,
            &[],
        ),
        (None, &moved_on, BACK, &put_right, &path),
    ];
    for (select, tip, code, out, says) in rows {
        check(&Row {
            versions: [&good, &bad, tip],
            select,
            code,
            out,
            says,
        });
    }
}

#[test]
fn what_somebody_changed_since_is_left_alone_and_named() {
    let rows = [
        row(
            ["tag: v1\n", "tag: v2\n", "tag: v3\n"],
            NOTHING,
            "",
            &[
                "superseded",
                "tag: good v1, bad v2, tip v3",
                "nothing has to go back",
            ],
        ),
        row(
            ["tag: v1\n", "tag: v2\n", "other: 1\n"],
            NOTHING,
            "",
            &["tag: good v1, bad v2, tip (absent)"],
        ),
        // A text is not the number.
        row(
            ["port: 80\n", "port: 81\n", "port: \"81\"\n"],
            NOTHING,
            "",
            &["port: good 80, bad 81, tip \"81\""],
        ),
        row(
            [
                "tag: v1\nmode: slow\n",
                "tag: v2\nmode: fast\n",
                "tag: v3\nmode: fast\n",
            ],
            BACK,
            "tag: v3\nmode: slow\n",
            &["superseded, left alone: tag: good v1, bad v2, tip v3"],
        ),
        row(
            ["tag: v1\n", "tag: v2\n", "tag: v1\n"],
            NOTHING,
            "",
            &["the tip holds the good values already"],
        ),
        row(
            ["tag: v1\n", "tag: v2\n", "# again\ntag: 'v1'"],
            NOTHING,
            "",
            &["the tip holds the good values already"],
        ),
        row(
            ["tag: v1\n", "tag: v1 # c\n", "tag: v2\n"],
            NOTHING,
            "",
            &["good and bad hold the same values"],
        ),
        row(["", "", ""], NOTHING, "", &["nothing has to go back"]),
    ];
    rows.iter().for_each(check);
}

#[test]
fn an_image_goes_back_whole_or_not_at_all() {
    let at = |repository: &str, tag: &str, digest: &str| {
        format!(
            "image:\n  repository: {repository}\n  tag: {tag}\n  digest: \"sha256:{digest}\"\nx: 1\n"
        )
    };
    let (good, bad) = (at("r/a", "v1", "aa"), at("r/a", "v2", "bb"));
    let tag_moved = at("r/a", "v3", "bb");
    let digest_moved = at("r/a", "v2", "cc");
    let repository_moved = at("r/b", "v2", "bb");
    let (done, moved) = (at("r/a", "v1", "bb"), at("r/a", "v3", "cc"));
    let both: [&str; 2] = ["image.tag: good v1, bad v2, tip v3", "image.digest: good"];
    let rows: [(&str, i32, &str, &[&str]); 6] = [
        (&bad, BACK, &good, &[]),
        (&done, BACK, &good, &[]),
        (&tag_moved, REFUSED, "", &["image.tag was changed since"]),
        (
            &digest_moved,
            REFUSED,
            "",
            &["image.digest was changed since"],
        ),
        (
            &repository_moved,
            REFUSED,
            "",
            &["image.repository was changed since"],
        ),
        (&moved, NOTHING, "", &both),
    ];
    for (tip, code, out, says) in rows {
        check(&row([&good, &bad, tip], code, out, says));
    }
}

#[test]
fn what_cannot_be_read_or_done_exactly_is_refused() {
    let large = "#".repeat(BYTES_MAX + 1);
    let larger = "#".repeat(3 * BYTES_MAX);
    let rows: [(&[u8], &str); 7] = [
        (b"a: 1\na: 2\n", "the key \"a\" stands twice"),
        (b"a:\n\tb: c\n", "line 2"),
        (b"image: {{ .Values.image }}\n", "a template with"),
        (b"{{- if .x }}\na: b\n{{ end }}\n", "line"),
        (b"a: \xff\n", "not UTF-8"),
        (large.as_bytes(), "1048577 bytes"),
        (larger.as_bytes(), "3145728 bytes"),
    ];
    for (broken, why) in rows {
        let (good, bad): (&[u8], &[u8]) = (b"a: 1\n", b"a: 2\n");
        for (versions, name) in [
            ([broken, bad, bad], "--good good.yaml: "),
            ([good, broken, bad], "--bad bad.yaml: "),
            ([good, bad, broken], "--tip tip.yaml: "),
            // Although nothing would have to go back.
            ([good, good, broken], "--tip tip.yaml: "),
            ([broken, broken, broken], "--good good.yaml: "),
        ] {
            let output = revert_file(versions, None);
            let err = stderr(&output);
            assert_eq!(output.status.code(), Some(REFUSED), "{name}{why}: {err}");
            assert!(output.stdout.is_empty(), "{name}{why}");
            assert!(
                err.contains(name) && err.contains(why),
                "{name}{why}: {err}"
            );
        }
    }
    let rows = [
        row(
            [
                "t: &a v1\nu: *a\n",
                "t: &a v2\nu: *a\n",
                "t: &a v2\nu: *a\n",
            ],
            REFUSED,
            "",
            &["t: ", "alias"],
        ),
        row(
            ["a: {b: 1}\n", "a: {b: 1, c: 2}\n", "a: {b: 1, c: 2}\n"],
            REFUSED,
            "",
            &["a.c: it stands in braces"],
        ),
        row(
            ["a: 1\n", "a: {b: 2}\n", "a: {b: 2}\n"],
            REFUSED,
            "",
            &["a value became a mapping"],
        ),
    ];
    rows.iter().for_each(check);
}

#[test]
fn wrong_usage_says_what_is_allowed() {
    let folder = files([b"a: 1\n", b"a: 2\n", b"a: 2\n"]);
    fs::create_dir(folder.path().join("folder")).unwrap();
    let all = "--good good.yaml --bad bad.yaml";
    for (words, says) in [
        (
            format!("{all} --tip gone.yaml"),
            "--tip gone.yaml: cannot be read: No such file",
        ),
        (
            format!("{all} --tip folder"),
            "--tip folder: cannot be read: ",
        ),
        (
            "--good none.yaml --bad bad.yaml --tip gone.yaml".to_owned(),
            "--good none.yaml: cannot be read: ",
        ),
        (all.to_owned(), "--tip <FILE>"),
        (format!("{all} --tip tip.yaml --force"), "--force"),
        (
            format!("{all} --tip tip.yaml --select Deployment/web"),
            "APIVERSION/KIND/NAMESPACE/NAME",
        ),
        (
            format!("{all} --tip tip.yaml --select apps/v1/Deployment/web"),
            "apps/v1/Deployment//web",
        ),
    ] {
        let output = program(folder.path())
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let err = stderr(&output);
        assert_eq!(output.status.code(), Some(USAGE), "{words}: {err}");
        assert!(err.contains(says), "{words}: {err}");
        assert!(output.stdout.is_empty(), "{words}");
    }
}

#[test]
fn names_and_values_do_not_command_a_terminal() {
    let output = revert_file(
        [
            b"\"\\e[2Jx\": v1\n",
            b"\"\\e[2Jx\": v2\n",
            b"\"\\e[2Jx\": \"\\e[31m\"\n",
        ],
        None,
    );
    assert_eq!(output.status.code(), Some(NOTHING));
    let err = stderr(&output);
    assert!(err.contains("[2Jx") && !err.contains('\u{1b}'), "{err:?}");
    let kind: &[u8] = b"kind: \"\\e[2J\"\nmetadata: {name: \"b\\n\"}\n";
    let output = revert_file([kind, kind, kind], Some("v1/Service//web"));
    assert_eq!(output.status.code(), Some(REFUSED));
    let err = stderr(&output);
    assert!(
        !err.contains('\u{1b}') && err.lines().count() == 1,
        "{err:?}"
    );
}

#[test]
fn whoever_reads_no_further_hears_no_complaint() {
    // More than a pipe holds.
    let rest = "# filled up\n".repeat(40_000);
    let version = |tag: &str| format!("tag: {tag}\n{rest}");
    let (good, bad) = (version("v1"), version("v2"));
    let folder = files([good.as_bytes(), bad.as_bytes(), bad.as_bytes()]);
    let mut child = program(folder.path())
        .args(FLAGS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(BACK), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}
