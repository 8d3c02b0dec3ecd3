//! Pull and merge requests: the real Git writer against a real Git server and a forge that speaks the
//! words of each kind, from the Revert to the cluster that runs the stable version.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tidegate_lab::forge::{Faults, Forge, Kind};
use tidegate_lab::git_http::git;

use crate::git_writer::lab::{
    BAD, FILE, GOOD, Running, TOKEN, World, condition_of, forget_status, refuse_pushes,
};

/// A time at which everything is due.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// A world with a forge beside its Git server, named in the writer's credential.
async fn forged(kind: Kind) -> (World, Forge) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new().await;
    let forge = Forge::start(kind, world.bare(), TOKEN).await;
    name(&world, &forge, kind);
    (world, forge)
}

fn name(world: &World, forge: &Forge, kind: Kind) {
    std::fs::write(world.secrets.join("forge"), kind.name()).unwrap();
    std::fs::write(world.secrets.join("apiURL"), forge.url()).unwrap();
}

fn spec(world: &World, mode: &str) -> Value {
    let mut spec = world.spec();
    spec["mode"] = json!(mode);
    spec
}

/// A world whose request is open, and its writer.
async fn opened(kind: Kind) -> (World, Forge, Running) {
    let (world, forge) = forged(kind).await;
    world.create(spec(&world, "PullRequest")).await;
    let writer = world.start(&[]);
    world.until_phase("PullRequestOpen").await;
    (world, forge, writer)
}

async fn patch(world: &World, patch: Value) {
    let (reverts, params) = (world.reverts(), PatchParams::default());
    let patch = Patch::Merge(patch);
    let name = "checkout-bad-1";
    if matches!(&patch, Patch::Merge(p) if p.get("status").is_some()) {
        reverts.patch_status(name, &params, &patch).await.unwrap();
    } else {
        reverts.patch(name, &params, &patch).await.unwrap();
    }
}

/// The next look at the request is due now instead of in half a minute.
async fn due(world: &World) {
    patch(world, json!({"status": {"nextRetryAt": LONG_AGO}})).await;
}

/// A look at the request, to its end.
async fn look(world: &World) -> Value {
    due(world).await;
    let is_over = |s: &Value| s["nextRetryAt"] != LONG_AGO;
    world.until("a look at the request", is_over).await
}

fn reason(status: &Value) -> Value {
    condition_of(status, "Landed")["reason"].clone()
}

fn tip(world: &World, branch: &str) -> String {
    git(
        &world.bare(),
        &["rev-parse", &format!("refs/heads/{branch}")],
    )
}

fn file_on(world: &World, branch: &str) -> String {
    git(&world.bare(), &["show", &format!("{branch}:{FILE}")]) + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_opened_and_its_merge_is_followed() {
    for kind in Kind::ALL {
        for squash in [false, true] {
            let (world, forge) = forged(kind).await;
            forge.merged_before(&world.commits["bad"]);
            world.create(spec(&world, "PullRequest")).await;
            let writer = world.start(&["--request-label", "tidegate", "--auto-merge"]);
            let status = world.until_phase("PullRequestOpen").await;
            assert_eq!((world.on_branch(FILE).as_str(), world.count()), (BAD, 2));
            assert_eq!(status["pullRequest"]["number"], 2, "{kind:?}: {status:#}");
            let url = status["pullRequest"]["url"].as_str().unwrap();
            assert!(url.starts_with("https://") && url.ends_with("/2"), "{url}");
            let branch = status["pullRequest"]["branch"].as_str().unwrap();
            assert!(
                branch.starts_with("rollout-revert/shop-checkout-"),
                "{branch}"
            );
            assert_eq!(file_on(&world, branch), GOOD);
            assert_eq!(status["commit"], Value::Null);

            let requests = forge.requests();
            let ours = &requests[1];
            let title = "revert(test): checkout v2 -> v1 (rollout aborted: ";
            assert!(ours.title.starts_with(title), "{kind:?}: {}", ours.title);
            let id = format!(
                "Rollout-Revert-Id: {}",
                status["revertId"].as_str().unwrap()
            );
            assert!(ours.body.contains(&id), "{kind:?}: {}", ours.body);
            assert_eq!(
                (ours.labels.as_slice(), ours.auto_merge),
                (["tidegate".to_owned()].as_slice(), true)
            );
            let statuses = forge.statuses();
            let [(marked, mark)] = &statuses[..] else {
                panic!("{kind:?}: {statuses:?}");
            };
            let failed = if kind == Kind::GitLab {
                "failed"
            } else {
                "failure"
            };
            assert_eq!(
                (marked, &mark["state"]),
                (&world.commits["bad"], &json!(failed))
            );
            assert_eq!(mark["target_url"], url);
            let [comment] = &requests[0].comments[..] else {
                panic!("{kind:?}: {:?}", requests[0].comments);
            };
            assert!(
                comment.contains("shop/checkout") && comment.contains(url),
                "{comment}"
            );

            let commit = tip(&world, branch);
            forge.merge(2, squash);
            due(&world).await;
            let status = world.until_phase("Landed").await;
            let expected = if squash { tip(&world, "main") } else { commit };
            assert_eq!(status["commit"], expected, "{kind:?} {squash}: {status:#}");
            assert_eq!(reason(&status), "Reverted");
            world.rollout("Healthy", "good").await;
            let status = world.until_phase("Verified").await;
            writer.stop().await;
            assert_eq!(world.on_branch(FILE), GOOD);
            let events = world.api.store().list("events", "shop");
            let said = format!(
                "{events:?}{status}{:?}{:?}",
                forge.requests(),
                forge.calls()
            );
            assert!(
                said.contains("RevertProposed") && !said.contains("planted"),
                "{said}"
            );
        }
    }
}

/// A crash after the branch, after the request, and a forge that does not show what it has.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_found_and_not_opened_twice() {
    for kind in Kind::ALL {
        let (world, forge) = forged(kind).await;
        forge.set_faults(Faults {
            lose_answers_to_opening: 1,
            ..Faults::default()
        });
        world.create(spec(&world, "PullRequest")).await;
        let writer = world.start(&[]);
        let status = world.until_phase("PullRequestOpen").await;
        writer.stop().await;
        assert_eq!(status["pullRequest"]["number"], 1, "{kind:?}: {status:#}");
        let branch = status["pullRequest"]["branch"].as_str().unwrap();
        let commit = tip(&world, branch);

        forget_status(&world).await;
        forge.set_faults(Faults {
            hide: 1,
            ..Faults::default()
        });
        let writer = world.start(&[]);
        let again = world.until_phase("PullRequestOpen").await;
        writer.stop().await;
        assert_eq!(again["pullRequest"], status["pullRequest"], "{kind:?}");
        assert_eq!(forge.requests().len(), 1, "{kind:?}");

        // Only the branch was there.
        forget_status(&world).await;
        let other = Forge::start(kind, world.bare(), TOKEN).await;
        name(&world, &other, kind);
        let writer = world.start(&[]);
        world.until_phase("PullRequestOpen").await;
        writer.stop().await;
        assert_eq!(
            (other.requests().len(), tip(&world, branch)),
            (1, commit),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_closed_is_never_opened_again() {
    for kind in Kind::ALL {
        let (world, forge, writer) = opened(kind).await;
        forge.close(1);
        due(&world).await;
        let status = world.until_phase("Declined").await;
        writer.stop().await;
        assert_eq!(reason(&status), "Declined", "{kind:?}");
        // Nor by one who has forgotten it.
        forget_status(&world).await;
        let writer = world.start(&[]);
        world.until_phase("Declined").await;
        writer.stop().await;
        assert_eq!((forge.requests().len(), world.count()), (1, 2), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_nothing_left_to_do_is_closed_with_a_word() {
    let fixed = BAD.replace("checkout: v2", "checkout: v3");
    for kind in Kind::ALL {
        for (text, phase, expected) in [
            (Some(fixed.as_str()), "Superseded", "ChangedSince"),
            (Some(GOOD), "Landed", "AlreadyReverted"),
            (None, "Superseded", "Released"),
            (None, "Declined", "Declined"),
        ] {
            let (world, forge, writer) = opened(kind).await;
            match text {
                Some(text) => {
                    world.commit(FILE, text);
                    due(&world).await;
                }
                None => {
                    let name = format!("tidegate.io/{}", expected.to_lowercase());
                    let called_off = json!({name: "2026-01-01T00:00:00Z me"});
                    patch(&world, json!({"metadata": {"annotations": called_off}})).await;
                }
            }
            let status = world.until_phase(phase).await;
            writer.stop().await;
            assert_eq!(reason(&status), expected, "{kind:?}: {status:#}");
            let request = &forge.requests()[0];
            assert!(
                request.closed && request.merged.is_none(),
                "{kind:?} {expected}"
            );
            assert_eq!(request.comments.len(), 1, "{kind:?} {expected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branch_follows_the_base_unless_somebody_has_gone_on_with_it() {
    let (world, forge, writer) = opened(Kind::GitHub).await;
    let status = look(&world).await;
    let branch = status["pullRequest"]["branch"].as_str().unwrap().to_owned();
    let first = tip(&world, &branch);
    // Another file leaves it alone, so that nobody's approval is lost for nothing.
    world.commit("other.yaml", "a: b\n");
    look(&world).await;
    assert_eq!(tip(&world, &branch), first);
    // The line below would be a conflict.
    world.commit(FILE, &BAD.replace("payment: v1", "payment: v9"));
    look(&world).await;
    let expected = GOOD.replace("payment: v1", "payment: v9");
    assert_eq!(file_on(&world, &branch), expected);
    let parent = git(&world.bare(), &["rev-parse", &format!("{branch}^")]);
    assert_eq!(parent, tip(&world, "main"));

    let theirs = format!("HEAD:refs/heads/{branch}");
    git(&world.developer, &["fetch", "-q", "origin", &branch]);
    git(
        &world.developer,
        &["checkout", "-q", "-B", "review", "FETCH_HEAD"],
    );
    git(
        &world.developer,
        &["commit", "-q", "--allow-empty", "-m", "review"],
    );
    git(&world.developer, &["push", "-q", "origin", &theirs]);
    let gone_on = tip(&world, &branch);
    git(&world.developer, &["checkout", "-q", "main"]);
    world.commit(FILE, &BAD.replace("payment: v1", "payment: v10"));
    let status = look(&world).await;
    writer.stop().await;
    assert_eq!(tip(&world, &branch), gone_on);
    assert_eq!(status["phase"], "PullRequestOpen");
    assert_eq!(forge.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_branch_gets_a_request_instead_of_a_push() {
    for kind in Kind::ALL {
        let (world, forge) = forged(kind).await;
        let hook = refuse_pushes(&world, "");
        let script = "#!/bin/sh\nwhile read -r _ _ ref; do\n\
                      [ \"$ref\" != refs/heads/main ] || { echo 'GH006: protected' >&2; exit 1; }\n\
                      done\n";
        std::fs::write(&hook, script).unwrap();
        world.create(spec(&world, "Push")).await;
        let writer = world.start(&[]);
        world.until_phase("PullRequestOpen").await;
        forge.merge(1, false);
        due(&world).await;
        world.until_phase("Landed").await;
        writer.stop().await;
        assert_eq!(world.on_branch(FILE), GOOD, "{kind:?}");
    }
}

/// Also of a push those are told who brought the change, and a forge that will not hear it holds nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_told_at_the_bad_commit_and_does_not_depend_on_that() {
    for (fault, told) in [(None, 1), (Some(503), 0)] {
        let (world, forge) = forged(Kind::GitHub).await;
        forge.merged_before(&world.commits["bad"]);
        forge.set_faults(Faults {
            status: fault,
            ..Faults::default()
        });
        world.create(spec(&world, "Push")).await;
        let writer = world.start(&[]);
        let status = world.until_phase("Landed").await;
        writer.stop().await;
        let commit = status["commit"].as_str().unwrap();
        let requests = forge.requests();
        assert_eq!(forge.statuses().len(), told);
        assert_eq!(requests[0].comments.len(), told);
        assert!(requests[0].comments.iter().all(|c| c.contains(commit)));
        assert_eq!(requests.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_branch_can_be_pushed_a_person_gets_the_diff() {
    let (world, forge) = forged(Kind::GitHub).await;
    refuse_pushes(&world, "GH013: only by the release team");
    let status = world
        .ends(
            spec(&world, "PullRequest"),
            "NeedsHuman",
            "Landed",
            "ProtectedBranch",
        )
        .await;
    assert!(
        status["plan"].as_str().unwrap().contains("+checkout: v1"),
        "{status:#}"
    );
    assert_eq!(forge.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_refuses_or_fails_is_tried_again() {
    let limited = || Some(("retry-after", "1200".to_owned()));
    for kind in Kind::ALL {
        let (world, forge) = forged(kind).await;
        world.create(spec(&world, "PullRequest")).await;
        for (status, header, expected) in [
            (401, None, "ForgeRefuses"),
            (403, None, "ForgeRefuses"),
            (404, None, "ForgeNotFound"),
            (301, None, "ForgeFailed"),
            (503, None, "ForgeUnreachable"),
            (429, limited(), "RateLimited"),
            (403, limited(), "RateLimited"),
        ] {
            // What most of them mean is the same everywhere; 404 and limits are said in several ways.
            if kind != Kind::GitHub && ![404, 429].contains(&status) {
                continue;
            }
            forget_status(&world).await;
            forge.set_faults(Faults {
                status: Some(status),
                header,
                ..Faults::default()
            });
            let writer = world.start(&[]);
            let refused = world.until(expected, |s| reason(s) == expected).await;
            writer.stop().await;
            assert_eq!(
                refused["phase"], "Planned",
                "{kind:?} {status}: {refused:#}"
            );
            let next: jiff::Timestamp = refused["nextRetryAt"].as_str().unwrap().parse().unwrap();
            let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(11);
            assert_eq!(next > soon, expected == "RateLimited", "{kind:?} {status}");
        }
        assert_eq!(forge.requests().len(), 0);
        forge.set_faults(Faults::default());
        forget_status(&world).await;
        let writer = world.start(&[]);
        world.until_phase("PullRequestOpen").await;
        writer.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_named_and_never_shown() {
    let (world, forge) = forged(Kind::GitLab).await;
    world.server.set_password("bot", "an0ther-planted-one");
    std::fs::write(world.secrets.join("password"), "an0ther-planted-one").unwrap();
    world.create(spec(&world, "PullRequest")).await;
    let writer = world.start(&[]);
    let status = world
        .until("a refusal", |s| reason(s) == "ForgeRefuses")
        .await;
    writer.stop().await;
    let events = world.api.store().list("events", "shop");
    let said = format!("{status}{events:?}{:?}", forge.calls());
    assert!(!said.contains("planted"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_forge_that_can_be_meant_the_reason_is_named() {
    for (forge, api, expected) in [
        ("", "", "NoForge"),
        ("Bitbucket", "", "InvalidForge"),
        ("GitLab", "ftp://git.example/api/v4", "InvalidForge"),
    ] {
        let world = World::new().await;
        for (file, text) in [("forge", forge), ("apiURL", api)] {
            if !text.is_empty() {
                std::fs::write(world.secrets.join(file), text).unwrap();
            }
        }
        let mode = spec(&world, "PullRequest");
        let status = world.ends(mode, "NeedsHuman", "Landed", expected).await;
        assert!(status["nextRetryAt"].is_string(), "{status:#}");
        assert!(status["plan"].as_str().unwrap().contains("+checkout: v1"));
        assert_eq!(world.count(), 2);
    }
}
