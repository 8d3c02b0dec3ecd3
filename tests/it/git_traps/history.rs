//! Histories that are not one commit after the other, are longer than is fetched at first, or are not what
//! they were; and a server that cannot leave out what nobody wants.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use tidegate_lab::git_http::git;

use super::{
    bytes_at, carried_out, committed, differing, head, message, push, reason, spec, tip, write,
};
use crate::git_writer::lab::{BAD, FILE, GOOD, World};

/// A branch, the commits that are said to hold the stable and the bad version, and what comes of it.
struct History {
    branch: &'static str,
    claims: [Option<String>; 2],
    phase: &'static str,
    reason: &'static str,
}

fn go_to(world: &World, commit: &str) {
    git(&world.developer, &["checkout", "-q", "--detach", commit]);
}

/// Another branch that begins with nothing; the files stay.
fn begin_anew(world: &World, branch: &str) {
    git(&world.developer, &["checkout", "-q", "--orphan", branch]);
}

/// A branch of so many commits on top of another; none of them touches the versions.
fn grow(world: &World, branch: &str, from: &str, commits: usize) {
    let mut stream = format!("reset refs/heads/{branch}\nfrom {from}\n\n");
    for n in 0..commits {
        let (text, second) = (format!("n: {n}\n"), 1_700_000_000 + n);
        write!(
            stream,
            "commit refs/heads/{branch}\ncommitter Dev <dev@example.com> {second} +0000\ndata 1\nx\n\
             M 100644 inline other.yaml\ndata {}\n{text}\n",
            text.len()
        )
        .unwrap();
    }
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(world.bare())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = import.stdin.take().unwrap();
    input.write_all(stream.as_bytes()).unwrap();
    drop(input);
    assert!(import.wait().unwrap().success(), "{branch}");
}

/// Two branches that were merged, or squashed into one commit.
fn lay_merges(world: &World, all: &mut Vec<History>) {
    let good = world.commits["good"].as_str();
    let mut add = |branch, claims: [Option<&str>; 2]| {
        all.push(History {
            branch,
            claims: claims.map(|claim| claim.map(str::to_owned)),
            phase: "Landed",
            reason: "Reverted",
        });
    };
    go_to(world, good);
    write(world, FILE, BAD);
    let feature = committed(world);
    go_to(world, good);
    write(world, "apps/other.yaml", "a: 1\n");
    let before = committed(world);
    git(
        &world.developer,
        &["merge", "-q", "--no-ff", "-m", "Merge", &feature],
    );
    push(world, &["merge", "merge-unclaimed", "merge-parent"]);
    add("merge", [Some(&before), Some(&head(world))]);
    add("merge-unclaimed", [None, None]);
    add("merge-parent", [Some(&before), Some(&feature)]);

    go_to(world, good);
    write(world, FILE, BAD.replace("catalog: v1", "catalog: v2"));
    committed(world);
    write(world, "apps/other.yaml", "a: 2\n");
    let feature = committed(world);
    go_to(world, good);
    git(&world.developer, &["merge", "-q", "--squash", &feature]);
    let squash = committed(world);
    push(world, &["squash", "squash-feature"]);
    add("squash", [Some(good), Some(&squash)]);
    // What the pipeline built was the feature's branch, of which the history knows nothing.
    add("squash-feature", [Some(good), Some(&feature)]);
}

/// Of the commits that are claimed some are far behind, and some are no more.
fn lay_long_and_new(world: &World, all: &mut Vec<History>) {
    let (good, bad) = (&world.commits["good"], &world.commits["bad"]);
    let mut add = |branch, phase, reason| {
        all.push(History {
            branch,
            claims: [Some(good.clone()), Some(bad.clone())],
            phase,
            reason,
        });
    };
    // Beyond the first step of history, and beyond the second.
    for (branch, commits) in [("deep", 100), ("deeper", 1100)] {
        grow(world, branch, bad, commits);
        add(branch, "Landed", "Reverted");
    }
    // All commits have other names, and the values are still there.
    begin_anew(world, "rewritten");
    write(world, FILE, GOOD);
    committed(world);
    write(world, FILE, BAD);
    committed(world);
    push(world, &["rewritten"]);
    add("rewritten", "Landed", "Reverted");
    // The good version is nowhere any more.
    begin_anew(world, "forgotten");
    committed(world);
    push(world, &["forgotten"]);
    add("forgotten", "Unresolvable", "RevisionNotFound");
}

async fn check(filter: &str, is_meant: impl Fn(&str) -> bool) {
    let world = World::new().await;
    git(&world.bare(), &["config", "uploadpack.allowFilter", filter]);
    let mut all = Vec::new();
    lay_merges(&world, &mut all);
    lay_long_and_new(&world, &mut all);
    all.retain(|history| is_meant(history.branch));
    let tips: Vec<String> = all
        .iter()
        .map(|history| tip(&world, history.branch))
        .collect();
    let specs = all
        .iter()
        .map(|history| {
            let claims = history.claims.each_ref().map(Option::as_deref);
            (history.branch, spec(&world, history.branch, FILE, claims))
        })
        .collect();
    let statuses = carried_out(&world, specs).await;
    for (history, before) in all.iter().zip(&tips) {
        let (branch, status) = (history.branch, &statuses[history.branch]);
        assert_eq!(status["phase"], history.phase, "{branch}: {status:#}");
        if history.phase != "Landed" {
            assert_eq!(reason(status, "Resolved"), history.reason, "{branch}");
            assert!(message(status).contains("by hand"), "{branch}: {status:#}");
            assert_eq!(tip(&world, branch), *before, "{branch}");
            continue;
        }
        assert_eq!(reason(status, "Landed"), history.reason, "{branch}");
        assert_eq!(tip(&world, &format!("{branch}^")), *before, "{branch}");
        assert_eq!(differing(&world, before, branch), [FILE], "{branch}");
        let text = |commit: &str| String::from_utf8(bytes_at(&world, commit, FILE)).unwrap();
        let expected = text(before).replace("checkout: v2", "checkout: v1");
        assert_eq!(text(branch), expected, "{branch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_go_back_whatever_the_history_is() {
    check("true", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_filter_gives_all_and_is_as_good() {
    check("false", |branch| {
        ["squash", "deep", "deeper", "forgotten"].contains(&branch)
    })
    .await;
}
