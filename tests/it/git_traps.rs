//! What has gone wrong elsewhere where a program reverts: each trap is laid in a real repository behind a
//! real Git server, and the whole Git writer walks into it. `docs/git-traps.md` says what comes of each.

mod credentials;
mod files;
mod history;
mod hostile;
mod page;
mod races;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tidegate::api::revert::Revert;
use tidegate_lab::git_http::git;

use crate::git_writer::lab::{World, condition_of, create};

/// Ends a test that hangs: many times what a table of Reverts takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Phases in which a Revert stays while its Rollout does.
const ENDS: [&str; 4] = ["Landed", "NeedsHuman", "Superseded", "Unresolvable"];

fn is_over(status: &Value) -> bool {
    status["phase"]
        .as_str()
        .is_some_and(|phase| ENDS.contains(&phase))
}

/// Waits until the Reverts of a namespace are as wanted; their status by name.
async fn until(
    reverts: &Api<Revert>,
    wanted: impl Fn(&BTreeMap<String, Value>) -> bool,
) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let all = reverts.list(&ListParams::default()).await.unwrap().items;
        let statuses: BTreeMap<String, Value> = all
            .into_iter()
            .map(|revert| {
                let status = serde_json::to_value(revert.status).unwrap();
                (revert.metadata.name.unwrap(), status)
            })
            .collect();
        if wanted(&statuses) {
            return statuses;
        }
        assert!(Instant::now() < deadline, "have {statuses:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the writer makes of these Reverts.
async fn carried_out(world: &World, specs: Vec<(&str, Value)>) -> BTreeMap<String, Value> {
    for (name, spec) in specs {
        create(&world.reverts(), name, spec).await;
    }
    let writer = world.start(&[]);
    let statuses = until(&world.reverts(), |all| all.values().all(is_over)).await;
    writer.stop().await;
    statuses
}

/// The next look at a Revert that waits is due now.
async fn make_due(world: &World, name: &str) {
    let due = json!({"status": {"nextRetryAt": "2026-01-01T00:00:00Z"}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(due));
    let reverts = world.reverts();
    let patched = reverts.patch_status(name, &params, &patch).await;
    patched.unwrap();
}

/// A revert at `path` on `branch`, with the commits that are said to hold the stable and the bad version.
/// Each has a branch of its own: on one branch they would wait for each other.
fn spec(world: &World, branch: &str, path: &str, claims: [Option<&str>; 2]) -> Value {
    let mut spec = world.spec();
    spec["source"]["branch"] = json!(branch);
    spec["source"]["path"] = json!(path);
    for (version, claim) in ["stable", "bad"].into_iter().zip(claims) {
        let version = spec[version].as_object_mut().unwrap();
        match claim {
            Some(commit) => version.insert("sourceRevision".to_owned(), json!(commit)),
            None => version.remove("sourceRevision"),
        };
    }
    spec
}

fn reason(status: &Value, condition: &str) -> Value {
    condition_of(status, condition)["reason"].clone()
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap_or_default()
}

/// The developer writes a file.
fn write(world: &World, file: &str, bytes: impl AsRef<[u8]>) {
    let path = world.developer.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// What he has written becomes a commit.
fn committed(world: &World) -> String {
    git(&world.developer, &["add", "-A"]);
    git(&world.developer, &["commit", "-q", "-m", "change"]);
    head(world)
}

fn head(world: &World) -> String {
    git(&world.developer, &["rev-parse", "HEAD"])
}

/// These branches of the server stand where he stands.
fn push(world: &World, branches: &[&str]) {
    let specs: Vec<String> = branches
        .iter()
        .map(|branch| format!("HEAD:refs/heads/{branch}"))
        .collect();
    let mut args = vec!["push", "-q", "-f", "origin"];
    args.extend(specs.iter().map(String::as_str));
    git(&world.developer, &args);
}

/// Where a branch of the server stands.
fn tip(world: &World, branch: &str) -> String {
    git(&world.bare(), &["rev-parse", branch])
}

/// A file of the server, byte for byte.
fn bytes_at(world: &World, commit: &str, file: &str) -> Vec<u8> {
    let output = Command::new("git")
        .args(["cat-file", "blob", &format!("{commit}:{file}")])
        .current_dir(world.bare())
        .output()
        .unwrap();
    assert!(output.status.success(), "{commit}:{file}: {output:?}");
    output.stdout
}

/// The files in which two commits of the server differ.
fn differing(world: &World, one: &str, other: &str) -> Vec<String> {
    let names = git(&world.bare(), &["diff", "--name-only", one, other]);
    names.lines().map(str::to_owned).collect()
}

/// A program. It is put in its place by another process: this one forks all the time, and for a moment each
/// child would have the file open, which then cannot be run.
fn script(world: &World, name: &str, text: &str) -> PathBuf {
    let (draft, place) = (
        world.dir.path().join(format!("{name}.txt")),
        world.dir.path().join(name),
    );
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&draft, format!("#!/bin/sh\n{text}")).unwrap();
    let installed = Command::new("install")
        .args(["-m", "755"])
        .args([&draft, &place])
        .status();
    assert!(installed.unwrap().success(), "{}", place.display());
    place
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
