//! A repository whose owner would like to run something where the writer is.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tidegate_lab::git_http::{Moment, git};

use super::{
    bytes_at, differing, files_below, head, is_over, push, reason, script, spec, until, write,
};
use crate::git_writer::lab::{BAD, FILE, GOOD, World, create};

/// Hooks of clients, and of servers for who takes the repository for one.
const HOOKS: [&str; 7] = [
    "pre-push",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "reference-transaction",
    "pre-receive",
    "update",
];

/// Whatever `git` might take for a setting or a program, if it looked into the repository.
fn write_traps(world: &World, run: &str) {
    let settings = format!(
        "[core]\n\thooksPath = hooks\n\tfsmonitor = {run}\n\tsshCommand = {run}\n\
         [filter \"evil\"]\n\tclean = {run}\n\tsmudge = {run}\n\trequired = true\n\
         [diff \"evil\"]\n\ttextconv = {run}\n\tcommand = {run}\n\
         [credential]\n\thelper = !{run}\n"
    );
    for name in ["config", ".gitconfig", "apps/.gitconfig", "apps/config"] {
        write(world, name, &settings);
    }
    let attributes = "* filter=evil diff=evil merge=evil text=auto\n";
    for name in [".gitattributes", "info/attributes", "apps/.gitattributes"] {
        write(world, name, attributes);
    }
    let modules = format!(
        "[submodule \"x\"]\n\tpath = apps/x\n\turl = ext::{run}\n\tupdate = !{run}\n\
         [submodule \"-x\"]\n\tpath = -x\n\turl = --upload-pack={run}\n"
    );
    write(world, ".gitmodules", modules);
    for hook in HOOKS {
        for folder in ["hooks", ".githooks"] {
            write(
                world,
                &format!("{folder}/{hook}"),
                format!("#!/bin/sh\n{run}\n"),
            );
        }
    }
    // As a bare repository has them.
    write(world, "HEAD", "ref: refs/heads/main\n");
    write(world, "refs/heads/main", "");
}

/// Files whose names are more than names, and are the workload's own.
fn write_names(world: &World, version: &str) {
    for name in [
        "--upload-pack=touch ran",
        "$(touch ran)",
        "`touch ran`;a,b\tc\"d\ne",
        "*",
    ] {
        write(
            world,
            &format!("apps/{name}.yaml"),
            format!("catalog: {version}\n"),
        );
    }
    git(&world.developer, &["add", "-A"]);
    let digit = if version == "v1" { "a" } else { "b" };
    let entry = format!("160000,{},apps/x", digit.repeat(40));
    git(
        &world.developer,
        &["update-index", "--add", "--cacheinfo", &entry],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_repository_is_run_or_unpacked() {
    let world = World::new().await;
    let ran = world.dir.path().join("ran");
    let run = format!("touch {}", ran.display());
    write_traps(&world, &run);
    let mut commits = Vec::new();
    for (version, text) in [("v1", GOOD), ("v2", BAD)] {
        write(&world, FILE, text);
        write_names(&world, version);
        git(&world.developer, &["commit", "-q", "-m", version]);
        commits.push(head(&world));
    }
    push(&world, &["main"]);
    // A `git` that is set up for programs of these names, and is told that every file is for them.
    let attributes = world.dir.path().join("attributes");
    std::fs::write(&attributes, "* filter=evil diff=evil merge=evil\n").unwrap();
    let mut settings = format!("-c core.attributesFile={}", attributes.display());
    for name in [
        "filter.evil.clean",
        "filter.evil.smudge",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
    ] {
        settings += &format!(" -c {name}='{run}'");
    }
    let program = script(
        &world,
        "git-with-drivers",
        &format!("exec git {settings} \"$@\"\n"),
    );

    let seen = Arc::new(Mutex::new(Vec::new()));
    let (work, names) = (world.work_dir(), Arc::clone(&seen));
    world.server.interrupt_push(Moment::Advertise, move || {
        *names.lock().unwrap() = files_below(&work);
    });
    let claims = [Some(commits[0].as_str()), Some(commits[1].as_str())];
    // The whole folder: what it holds beside the versions is looked through, too.
    create(
        &world.reverts(),
        "checkout-bad-1",
        spec(&world, "main", "apps", claims),
    )
    .await;
    let writer = world.start(&["--git", &program.display().to_string()]);
    let statuses = until(&world.reverts(), |all| all.values().all(is_over)).await;
    writer.stop().await;
    let status = &statuses["checkout-bad-1"];
    assert_eq!(reason(status, "Landed"), "Reverted", "{status:#}");
    assert_eq!(bytes_at(&world, "main", FILE), GOOD.as_bytes());
    assert_eq!(differing(&world, &commits[1], "main"), [FILE]);
    assert!(!ran.exists(), "something was run");

    let seen = seen.lock().unwrap().clone();
    assert!(
        seen.iter().any(|path| path.ends_with("repo/config")),
        "{seen:?}"
    );
    let is_theirs = |path: &Path| {
        let hook = path
            .file_name()
            .is_some_and(|name| HOOKS.iter().any(|hook| name == *hook));
        hook || path.ends_with(".gitattributes")
            || path.ends_with("info/attributes")
            || path.extension().is_some_and(|end| end == "yaml")
    };
    let theirs: Vec<_> = seen.iter().filter(|path| is_theirs(path)).collect();
    assert!(theirs.is_empty(), "{theirs:?}");
    // What is configured does run where git is asked to convert a file.
    let mut converted = std::process::Command::new(&program);
    converted
        .args(["hash-object", FILE])
        .current_dir(&world.developer);
    let _ = converted.output().unwrap();
    assert!(ran.exists(), "the trap would not have been noticed");
}
