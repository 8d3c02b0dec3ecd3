//! Files that cannot be edited value by value, what is no file at all, and files of which nothing but the
//! value may change.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;
use tidegate_lab::git_http::git;

use super::{
    bytes_at, carried_out, committed, differing, head, make_due, message, push, reason, spec, tip,
    until, write,
};
use crate::git_writer::lab::World;

/// The text with the version in place of each `@`.
fn with(text: &[u8], version: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'@' => out.extend_from_slice(version.as_bytes()),
            other => out.push(*other),
        }
    }
    out
}

/// Links and submodules of a version, and a file whose name is no text.
fn write_what_is_no_file(world: &World, version: &str) {
    let link = |at: &str, to: &str| {
        let at = world.developer.join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&at);
        symlink(to, at).unwrap();
    };
    link("link/versions.yaml", &format!("../../../../etc/{version}"));
    link("behind", "../../../../etc");
    let odd = world.developer.join("odd");
    std::fs::create_dir_all(&odd).unwrap();
    let odd = odd.join(OsStr::from_bytes(b"checkout-\xff.yaml"));
    std::fs::write(odd, format!("checkout: {version}\n")).unwrap();
    git(&world.developer, &["add", "-A"]);
    let digit = if version == "v1" { "a" } else { "b" };
    for path in ["submodule/versions.yaml", "modules/shop"] {
        // The commit is another repository's; this one need not have it.
        let entry = format!("160000,{},{path}", digit.repeat(40));
        git(
            &world.developer,
            &["update-index", "--add", "--cacheinfo", &entry],
        );
    }
}

/// Each by its name, with what a person should do, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_edited_is_told_by_name_and_nothing_is_written() {
    let world = World::new().await;
    // Twice the limit, and the change is where nobody reads.
    let large = [
        b"#\n".repeat(1 << 20).as_slice(),
        b"checkout: @\n".as_slice(),
    ]
    .concat();
    let files: [(&str, &[u8], &str, &str); 9] = [
        (
            "lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:@\nsize 12\n",
            "LargeFileStorage",
            "a pointer to large file storage",
        ),
        (
            "sops",
            b"checkout: @\npassword: ENC[AES256_GCM,data:p673w==,iv:YY=,tag:UQ=,type:str]\nsops:\n  \
              lastmodified: '2026-01-01T00:00:00Z'\n  mac: ENC[AES256_GCM,data:@,iv:a=,tag:b=,type:str]\n",
            "Encrypted",
            "encrypted by SOPS",
        ),
        ("large", &large, "FileTooLarge", "more than the 1048576"),
        ("latin-1", b"# gepr\xfcft\ncheckout: @\n", "NotText", "not UTF-8"),
        ("twice", b"checkout: v0\ncheckout: @\n", "DuplicateKeys", "line 2: the key \"checkout\""),
        ("tabs", b"versions:\n\tcheckout: @\n", "NotYaml", "line 2, column 2: tabs"),
        ("template", b"{{- if .Values.on }}\ncheckout: @\n{{- end }}\n", "NotYaml", "line 1"),
        ("alias", b"checkout: &tag @\ncatalog: *tag\n", "SharedValue", "by an alias"),
        (
            "documents",
            b"kind: A\nmetadata: {name: checkout}\ntag: @\n---\nkind: A\nmetadata: {name: checkout}\n",
            "DuplicateDocuments",
            "A/checkout stands twice",
        ),
    ];
    let others = [
        (
            "link",
            "link/versions.yaml",
            "NeedsHuman",
            "NotAFile",
            "versions.yaml: a symbolic link",
        ),
        (
            "behind-link",
            "behind/versions.yaml",
            "NeedsHuman",
            "NotAFile",
            "behind: a symbolic link",
        ),
        (
            "submodule",
            "submodule/versions.yaml",
            "NeedsHuman",
            "NotAFile",
            "versions.yaml: a submodule",
        ),
        (
            "in-submodule",
            "modules/shop/v.yaml",
            "NeedsHuman",
            "NotAFile",
            "modules/shop: a submodule",
        ),
        (
            "submodules",
            "modules",
            "Unresolvable",
            "NothingToRevert",
            "name the file",
        ),
        (
            "odd-name",
            "odd",
            "Unresolvable",
            "NothingToRevert",
            "name the file",
        ),
    ];
    let own = |name: &str| format!("{name}/versions.yaml");
    let mut commits = Vec::new();
    for version in ["v1", "v2"] {
        for (name, text, ..) in &files {
            write(&world, &own(name), with(text, version));
        }
        write_what_is_no_file(&world, version);
        git(&world.developer, &["commit", "-q", "-m", version]);
        commits.push(head(&world));
    }
    let (good, bad) = (commits[0].as_str(), commits[1].as_str());

    let mut rows: Vec<(&str, String, &str, &str, &str)> = Vec::new();
    rows.extend(
        files
            .iter()
            .map(|(name, _, why, says)| (*name, own(name), "NeedsHuman", *why, *says)),
    );
    rows.extend(
        others.map(|(name, path, phase, why, says)| (name, path.to_owned(), phase, why, says)),
    );
    let branches: Vec<String> = rows.iter().map(|row| format!("trap/{}", row.0)).collect();
    push(
        &world,
        &branches.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let specs = rows
        .iter()
        .zip(&branches)
        .map(|((name, path, ..), branch)| {
            (*name, spec(&world, branch, path, [Some(good), Some(bad)]))
        })
        .collect();
    let statuses = carried_out(&world, specs).await;
    for (name, _, phase, why, says) in &rows {
        let status = &statuses[*name];
        assert_eq!(status["phase"], *phase, "{name}: {status:#}");
        assert_eq!(reason(status, "Resolved"), *why, "{name}: {status:#}");
        let message = message(status);
        assert!(message.contains(says), "{name}: no {says:?} in {message}");
        let is_told_what_to_do = *phase != "NeedsHuman" || message.contains("by hand");
        assert!(is_told_what_to_do, "{name}: {message}");
        assert_eq!(
            (&status["plan"], &status["commit"]),
            (&Value::Null, &Value::Null),
            "{name}"
        );
    }
    let tips = git(
        &world.bare(),
        &["for-each-ref", "--format=%(objectname)", "refs/heads/trap"],
    );
    assert_eq!(
        tips.lines().filter(|tip| *tip == bad).count(),
        rows.len(),
        "{tips}"
    );
    assert_eq!(tips.lines().count(), rows.len(), "{tips}");

    // Who puts it back by hand is followed, although nobody can read what he put back.
    git(&world.developer, &["checkout", "-q", good, "--", "sops"]);
    git(&world.developer, &["commit", "-q", "-m", "by hand"]);
    push(&world, &["trap/sops"]);
    make_due(&world, "sops").await;
    let writer = world.start(&[]);
    let statuses = until(&world.reverts(), |all| all["sops"]["phase"] == "Landed").await;
    writer.stop().await;
    assert_eq!(reason(&statuses["sops"], "Landed"), "AlreadyReverted");
    assert_eq!(tip(&world, "trap/sops"), head(&world));
}

/// Line ends, a byte order mark, anchors, other documents, what was changed on top, the file's mode.
#[tokio::test(flavor = "multi_thread")]
async fn all_but_the_value_stays_as_it_is_at_the_tip() {
    let world = World::new().await;
    // As it was when the version came, and as it is at the tip; `@` is the version.
    let rows = [
        (
            "crlf",
            "\u{feff}# geprüft\r\ncatalog: v1\r\ncheckout: @ # größer\r\npayment: v1",
            "\u{feff}# geprüft\r\ncatalog: v9\r\ncheckout: @ # größer\r\npayment: v9",
        ),
        (
            "no-final-newline",
            "catalog: v1\ncheckout: @",
            "catalog: v1\ncheckout: @",
        ),
        (
            "anchors",
            "base: &base {cpu: 1}\ncatalog: {<<: *base, tag: v1}\ncheckout: {<<: *base, tag: @}\n",
            "base: &base {cpu: 2}\ncatalog: {<<: *base, tag: v2}\ncheckout: {<<: *base, tag: @}\n",
        ),
        (
            "documents",
            "kind: A\nmetadata: {name: catalog}\ntag: v1\n---\nkind: A\nmetadata: {name: checkout}\ntag: @\n",
            "---\nkind: A\nmetadata: {name: checkout}\ntag: @\n---\nkind: B\nmetadata: {name: checkout}\n\
             tag: v2\n---\nkind: A\nmetadata: {name: catalog}\ntag: v2\n",
        ),
        (
            "later-change",
            "image: r/checkout:@\nenv: {MODE: slow}\n",
            "image: r/checkout:@\nenv: {MODE: fast} # on top of the bad image\n",
        ),
        (
            "json",
            "{\n\t\"catalog\": \"v1\",\n\t\"checkout\": \"@\"\n}",
            "{\n\t\"catalog\": \"v1\",\n\t\"checkout\": \"@\"\n}",
        ),
    ];
    let file = |name: &str| format!("{name}/versions.yaml");
    let mut commits = Vec::new();
    for stage in ["good", "bad", "tip"] {
        let version = if stage == "good" { "v1" } else { "v2" };
        for (name, before, at_tip) in rows {
            let text = if stage == "tip" { at_tip } else { before };
            write(&world, &file(name), text.replace('@', version));
        }
        write(&world, "stage", stage);
        let path = world.developer.join(file("crlf"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        commits.push(committed(&world));
    }
    push(&world, &rows.map(|(name, ..)| name));
    let claims = [Some(commits[0].as_str()), Some(commits[1].as_str())];
    let specs = rows
        .iter()
        .map(|(name, ..)| (*name, spec(&world, name, &file(name), claims)))
        .collect();
    let statuses = carried_out(&world, specs).await;
    for (name, _, at_tip) in rows {
        let status = &statuses[name];
        assert_eq!(reason(status, "Landed"), "Reverted", "{name}: {status:#}");
        let expected = at_tip.replace('@', "v1");
        assert_eq!(
            String::from_utf8(bytes_at(&world, name, &file(name))).unwrap(),
            expected,
            "{name}"
        );
        assert_eq!(tip(&world, &format!("{name}^")), commits[2], "{name}");
        assert_eq!(differing(&world, &commits[2], name), [file(name)]);
    }
    let change = git(&world.bare(), &["diff", "--raw", &commits[2], "crlf"]);
    assert!(change.starts_with(":100755 100755 "), "{change}");
}
