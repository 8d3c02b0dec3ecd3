//! The Git writer as a whole: the real process's loop against the API server in memory and a real
//! Git server over HTTP, from the Revert to the cluster that runs the stable version.

pub mod lab;

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tidegate::api::revert::Revert;
use tidegate_lab::git_http::{Faults, Moment, create_bare, git};

use lab::{
    BAD, FILE, GOOD, LIMIT, TOKEN, World, commit_and_push, condition_of, forget_status,
    refuse_pushes,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_taken_out_of_git_and_the_cluster_follows() {
    let world = World::new().await;
    // Others go on: the lines above and below, and another file.
    world.commit(
        FILE,
        &BAD.replace("catalog: v1", "catalog: v7")
            .replace("payment: v1", "payment: v9"),
    );
    world.commit("other.yaml", "a: b\n");
    world.create(world.spec()).await;
    let writer = world.start(&[]);
    let status = world.until_phase("Landed").await;
    let expected = "# who runs what\ncatalog: v7\ncheckout: v1   # ours\npayment: v9\n";
    assert_eq!(world.on_branch(FILE), expected);
    assert_eq!(world.count(), 5);
    let commit = status["commit"].as_str().unwrap();
    assert_eq!(git(&world.bare(), &["rev-parse", "main"]), commit);
    let message = git(&world.bare(), &["log", "-1", "--format=%an|%B", "main"]);
    assert!(
        message.starts_with(
            "Tidegate|revert(test): checkout v2 -> v1 (rollout aborted: error-ratio 8.8 % against 1.2 %)\n"
        ),
        "{message}"
    );
    let trailers = git(
        &world.bare(),
        &["log", "-1", "--format=%(trailers)", "main"],
    );
    for line in [
        format!(
            "Rollout-Revert-Id: {}",
            status["revertId"].as_str().unwrap()
        ),
        format!("Reverts-Commit: {}", world.commits["bad"]),
        "Rollout: test/shop/checkout".to_owned(),
        "Rejected-Image: r/checkout:v2".to_owned(),
    ] {
        assert!(
            trailers.lines().any(|l| l == line),
            "{line} is not in {trailers}"
        );
    }
    let plan = status["plan"].as_str().unwrap();
    let changed =
        "+++ b/apps/versions.yaml\n@@ -3 +3 @@\n-checkout: v2   # ours\n+checkout: v1   # ours\n";
    assert!(plan.ends_with(changed), "{plan}");
    assert!(
        !plan.contains("catalog") && !plan.contains("payment"),
        "what stands around it is nobody's business: {plan}"
    );

    world.rollout("Healthy", "good").await;
    let status = world.until_phase("Verified").await;
    for condition in ["Resolved", "Landed", "Verified"] {
        assert_eq!(
            condition_of(&status, condition)["status"],
            "True",
            "{status:#}"
        );
    }
    writer.stop().await;
    assert_eq!(
        std::fs::read_dir(world.work_dir()).unwrap().count(),
        0,
        "nothing is left on disk"
    );
    let events = world.api.store().list("events", "shop");
    let reasons: Vec<&str> = events.iter().filter_map(|e| e["reason"].as_str()).collect();
    for reason in ["RevertPlanned", "RevertPushed", "RevertVerified"] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
    // Of everything that was written in the cluster, nothing holds the token.
    let all = format!("{events:?}{status}");
    assert!(!all.contains(TOKEN) && !all.contains("planted"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_is_planned_anew_on_what_the_other_pushed() {
    for moment in [Moment::Advertise, Moment::Receive] {
        let world = World::new().await;
        world.create(world.spec()).await;
        let developer = world.developer.clone();
        world.server.interrupt_push(moment, move || {
            commit_and_push(&developer, FILE, &BAD.replace("payment: v1", "payment: v2"));
        });
        let writer = world.start(&[]);
        world.until_phase("Landed").await;
        writer.stop().await;
        assert_eq!(
            world.on_branch(FILE),
            GOOD.replace("payment: v1", "payment: v2"),
            "{moment:?}"
        );
        assert_eq!(world.count(), 4);
    }
}

/// A maintainer has taken the bad commit away; to push onto what he left would bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_set_back_in_the_middle_of_the_push_stays_so() {
    for moment in [Moment::Advertise, Moment::Receive] {
        let world = World::new().await;
        world.create(world.spec()).await;
        let (developer, good) = (world.developer.clone(), world.commits["good"].clone());
        world.server.interrupt_push(moment, move || {
            let back = format!("{good}:refs/heads/main");
            git(&developer, &["push", "-q", "--force", "origin", &back]);
        });
        let writer = world.start(&[]);
        let status = world.until_phase("Landed").await;
        writer.stop().await;
        let reason = condition_of(&status, "Landed")["reason"].clone();
        assert_eq!(reason, "AlreadyReverted", "{moment:?}: {status:#}");
        let tip = git(&world.bare(), &["rev-parse", "main"]);
        assert_eq!(tip, world.commits["good"], "{moment:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_deleted_in_the_middle_of_the_push_stays_so() {
    let world = World::new().await;
    world.create(world.spec()).await;
    let bare = world.bare();
    world.server.interrupt_push(Moment::Advertise, move || {
        git(&bare, &["update-ref", "-d", "refs/heads/main"]);
    });
    let writer = world.start(&[]);
    let status = world.until_phase("Unresolvable").await;
    writer.stop().await;
    assert_eq!(
        condition_of(&status, "Resolved")["reason"],
        "BranchNotFound"
    );
    assert_eq!(git(&world.bare(), &["for-each-ref", "refs/heads"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_in_the_middle_of_the_push_wins() {
    let world = World::new().await;
    world.create(world.spec()).await;
    let developer = world.developer.clone();
    world.server.interrupt_push(Moment::Receive, move || {
        commit_and_push(
            &developer,
            FILE,
            &BAD.replace("checkout: v2", "checkout: v3"),
        );
    });
    let writer = world.start(&[]);
    let status = world.until_phase("Superseded").await;
    writer.stop().await;
    assert_eq!(condition_of(&status, "Landed")["reason"], "ChangedSince");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("checkout is \"v3\""),
        "{status}"
    );
    assert_eq!(
        world.on_branch(FILE),
        BAD.replace("checkout: v2", "checkout: v3")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_reverted_by_hand_is_followed_and_not_done_again() {
    let world = World::new().await;
    world.commit(FILE, GOOD);
    world.rollout("Healthy", "good").await;
    let status = world
        .ends(world.spec(), "Verified", "Landed", "AlreadyReverted")
        .await;
    assert_eq!(status["commit"], Value::Null);
    assert_eq!(world.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_that_was_taken_back_is_not_repeated() {
    let world = World::new().await;
    world.create(world.spec()).await;
    let writer = world.start(&[]);
    world.until_phase("Landed").await;
    writer.stop().await;
    git(&world.developer, &["pull", "-q", "origin", "main"]);
    world.commit(FILE, BAD);
    forget_status(&world).await;
    let writer = world.start(&[]);
    let status = world.until_phase("Superseded").await;
    writer.stop().await;
    assert_eq!(condition_of(&status, "Landed")["reason"], "TakenBack");
    assert_eq!(world.on_branch(FILE), BAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_push_makes_no_second_commit() {
    let world = World::new().await;
    world.create(world.spec()).await;
    world.server.set_faults(Faults {
        lose_answers_to_pushes: 1,
        ..Faults::default()
    });
    let writer = world.start(&[]);
    let status = world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(world.count(), 3);
    assert_eq!(status["commit"], git(&world.bare(), &["rev-parse", "main"]));
    assert_eq!(condition_of(&status, "Landed")["reason"], "Reverted");

    // A status that is lost is found again from the repository alone.
    let before = (status["commit"].clone(), status["revertId"].clone());
    forget_status(&world).await;
    let writer = world.start(&[]);
    let status = world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(
        (status["commit"].clone(), status["revertId"].clone()),
        before
    );
    assert_eq!(world.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_in_the_push_leaves_nothing_half_done() {
    for moment in [Moment::Advertise, Moment::Receive] {
        let world = World::new().await;
        world.create(world.spec()).await;
        let (reached, was_reached) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        world.server.interrupt_push(moment, move || {
            reached.send(()).unwrap();
            let _ = may_go_on.recv_timeout(LIMIT);
        });
        let writer = world.start(&[]);
        tokio::task::block_in_place(|| was_reached.recv_timeout(LIMIT)).unwrap();
        writer.kill().await;
        drop(go_on);
        let writer = world.start(&[]);
        world.until_phase("Landed").await;
        writer.stop().await;
        assert_eq!(world.on_branch(FILE), GOOD);
        assert_eq!(world.count(), 3, "{moment:?}");
        assert_eq!(std::fs::read_dir(world.work_dir()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_branch_is_left_to_a_person_with_the_diff() {
    let world = World::new().await;
    let hook = world.bare().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(
        &hook,
        "#!/bin/sh\necho 'error: GH006: Protected branch update failed' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let status = world
        .ends(world.spec(), "NeedsHuman", "Landed", "ProtectedBranch")
        .await;
    assert!(
        status["message"].as_str().unwrap().contains("GH006"),
        "{status}"
    );
    assert!(
        status["plan"].as_str().unwrap().contains("+checkout: v1"),
        "{status}"
    );
    assert_eq!(world.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_could_not_ask_is_tried_again() {
    let world = World::new().await;
    let hook = refuse_pushes(&world, "GitLab: Internal API unreachable");
    world.create(world.spec()).await;
    let writer = world.start(&[]);
    let status = world
        .until("a refusal", |s| {
            condition_of(s, "Landed")["reason"] == "Unreachable"
        })
        .await;
    assert_eq!(status["phase"], "Planned", "{status:#}");
    std::fs::remove_file(hook).unwrap();
    world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(world.on_branch(FILE), GOOD);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_did_about_a_protected_branch_is_followed() {
    for by_hand in [true, false] {
        let world = World::new().await;
        let hook = refuse_pushes(&world, "error: GH006: Protected branch update failed");
        let status = world
            .ends(world.spec(), "NeedsHuman", "Landed", "ProtectedBranch")
            .await;
        assert!(status["nextRetryAt"].is_string(), "{status:#}");
        std::fs::remove_file(hook).unwrap();
        let reason = if by_hand {
            world.commit(FILE, GOOD);
            "AlreadyReverted"
        } else {
            "Reverted"
        };
        // The next look is due in an hour.
        let due = json!({"status": {"nextRetryAt": "2026-01-01T00:00:00Z"}});
        let params = PatchParams::default();
        world
            .reverts()
            .patch_status("checkout-bad-1", &params, &Patch::Merge(due))
            .await
            .unwrap();
        let writer = world.start(&[]);
        let status = world.until_phase("Landed").await;
        writer.stop().await;
        assert_eq!(
            condition_of(&status, "Landed")["reason"],
            reason,
            "{status:#}"
        );
        assert_eq!((world.on_branch(FILE).as_str(), world.count()), (GOOD, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_ask_for_the_next_try_now_or_say_no() {
    for (annotation, phase, reason, commits) in [
        ("tidegate.io/retry", "Landed", "Reverted", 3),
        ("tidegate.io/declined", "Declined", "Declined", 2),
    ] {
        let world = World::new().await;
        let hook = refuse_pushes(&world, "error: GH006: Protected branch update failed");
        world.create(world.spec()).await;
        let writer = world.start(&[]);
        let status = world.until_phase("NeedsHuman").await;
        assert!(status["nextRetryAt"].is_string(), "an hour: {status:#}");
        std::fs::remove_file(hook).unwrap();
        let said = "2026-01-01T00:00:00Z me";
        let annotations = json!({"metadata": {"annotations": {annotation: said}}});
        let params = PatchParams::default();
        world
            .reverts()
            .patch("checkout-bad-1", &params, &Patch::Merge(annotations))
            .await
            .unwrap();
        let status = world.until_phase(phase).await;
        writer.stop().await;
        assert_eq!(
            condition_of(&status, "Landed")["reason"],
            reason,
            "{status:#}"
        );
        let handled = (annotation == "tidegate.io/retry").then_some(said);
        assert_eq!(status["handledRetry"].as_str(), handled, "{status:#}");
        assert_eq!(world.count(), commits, "{annotation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_url_goes_to_neither_of_two_hosts() {
    let world = World::new().await;
    let more = ["--allow-repository", "https://git.invalid/*"];
    world.create(world.spec()).await;
    let writer = world.start(&more);
    let status = world.until_phase("Unresolvable").await;
    writer.stop().await;
    assert_eq!(
        condition_of(&status, "Resolved")["reason"],
        "CredentialWithoutUrl",
        "{status:#}"
    );
    assert_eq!(world.server.requests(), Vec::<String>::new());
    std::fs::write(world.secrets.join("url"), world.server.url("shop")).unwrap();
    forget_status(&world).await;
    let writer = world.start(&more);
    world.until_phase("Landed").await;
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_redirects_is_told_from_one_that_fails() {
    let world = World::new().await;
    world.server.set_faults(Faults {
        status: Some(301),
        ..Faults::default()
    });
    let status = world
        .ends(world.spec(), "Unresolvable", "Resolved", "Redirected")
        .await;
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("tidegate.io/source-repo"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_tried_again_and_never_shown() {
    let world = World::new().await;
    std::fs::write(world.secrets.join("password"), "wr0ng-planted-token").unwrap();
    world.create(world.spec()).await;
    let writer = world.start(&[]);
    let refused = world
        .until("a refusal", |s| {
            condition_of(s, "Resolved")["reason"] == "AuthenticationFailed"
        })
        .await;
    assert_eq!(refused["phase"], "Pending");
    assert!(refused["nextRetryAt"].is_string(), "{refused}");
    assert!(!refused.to_string().contains("planted"), "{refused}");
    std::fs::write(world.secrets.join("password"), TOKEN).unwrap();
    let status = world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(status["attempts"], Value::Null);
    assert_eq!(world.on_branch(FILE), GOOD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_tried_again() {
    let world = World::new().await;
    for (fault, reason) in [
        (503, "Unreachable"),
        (404, "RepositoryNotFound"),
        (429, "RateLimited"),
    ] {
        world.server.set_faults(Faults {
            status: Some(fault),
            ..Faults::default()
        });
        if fault == 503 {
            world.create(world.spec()).await;
        } else {
            forget_status(&world).await;
        }
        let writer = world.start(&[]);
        let status = world
            .until(reason, |s| condition_of(s, "Resolved")["reason"] == reason)
            .await;
        assert_eq!(status["phase"], "Pending", "{status:#}");
        writer.stop().await;
    }
    world.server.set_faults(Faults::default());
    let writer = world.start(&[]);
    world.until_phase("Landed").await;
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_the_reason_is_named() {
    let world = World::new().await;
    std::fs::remove_file(world.secrets.join("password")).unwrap();
    world
        .ends(world.spec(), "Unresolvable", "Resolved", "NoCredentials")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_by_name() {
    let world = World::new().await;
    git(
        &world.developer,
        &["push", "-q", "origin", "HEAD:refs/tags/v9"],
    );
    world.commit("broken.yaml", "a: {{ .x }}\n");
    let with = |field: &str, value: Value| {
        let mut spec = world.spec();
        spec["source"][field] = value;
        spec
    };
    let without_source = {
        let mut spec = world.spec();
        spec.as_object_mut().unwrap().remove("source");
        spec
    };
    let lost = {
        let mut spec = with("path", json!("other"));
        spec["stable"]["sourceRevision"] = json!("a".repeat(40));
        spec["source"]["path"] = json!("broken.yaml");
        spec
    };
    for (spec, phase, reason) in [
        (without_source, "Unresolvable", "SourceUnknown"),
        (
            with("repo", json!("https://git.invalid/shop/config")),
            "Unresolvable",
            "RepositoryNotAllowed",
        ),
        (
            with("repo", json!("ext::sh -c true")),
            "Unresolvable",
            "InvalidRepository",
        ),
        (with("branch", json!("v9")), "Unresolvable", "NotABranch"),
        (
            with("branch", json!("gone")),
            "Unresolvable",
            "BranchNotFound",
        ),
        (
            with("path", json!("nowhere.yaml")),
            "Unresolvable",
            "FileNotFound",
        ),
        (with("path", json!("../x")), "Unresolvable", "InvalidPath"),
        (
            with("path", json!("broken.yaml")),
            "Unresolvable",
            "FileNotFound",
        ),
        (lost, "Unresolvable", "RevisionNotFound"),
    ] {
        world.ends(spec, phase, "Resolved", reason).await;
        world
            .reverts()
            .delete("checkout-bad-1", &Default::default())
            .await
            .unwrap();
    }
    assert_eq!(world.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn off_is_a_record_dry_run_a_plan_and_a_released_version_is_left_alone() {
    let world = World::new().await;
    let mode = |mode: &str| {
        let mut spec = world.spec();
        spec["mode"] = json!(mode);
        spec
    };
    world.create(mode("Off")).await;
    let writer = world.start(&[]);
    world.until_phase("Recorded").await;
    world
        .reverts()
        .delete("checkout-bad-1", &Default::default())
        .await
        .unwrap();

    world.create(mode("DryRun")).await;
    let status = world.until_phase("Planned").await;
    assert!(
        status["plan"].as_str().unwrap().contains("-checkout: v2"),
        "{status}"
    );
    writer.stop().await;
    world
        .reverts()
        .delete("checkout-bad-1", &Default::default())
        .await
        .unwrap();

    let mut released = Revert::new(
        "checkout-bad-1",
        serde_json::from_value(mode("Push")).unwrap(),
    );
    released.metadata.annotations = Some(
        [(
            "tidegate.io/released".to_owned(),
            "2026-01-01T00:00:00Z me".to_owned(),
        )]
        .into(),
    );
    world
        .reverts()
        .create(&PostParams::default(), &released)
        .await
        .unwrap();
    let writer = world.start(&[]);
    let status = world.until_phase("Superseded").await;
    writer.stop().await;
    assert_eq!(condition_of(&status, "Landed")["reason"], "Released");
    assert_eq!(world.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_commits_in_the_annotations_the_values_are_looked_for() {
    let world = World::new().await;
    for i in 0..3 {
        world.commit(
            FILE,
            &BAD.replace("payment: v1", &format!("payment: v{i}9")),
        );
    }
    let mut spec = without_commits(&world);
    spec["source"]["path"] = json!("apps");
    let status = world.ends(spec, "Landed", "Landed", "Reverted").await;
    assert!(status["commit"].is_string());
    assert_eq!(
        world.on_branch(FILE),
        GOOD.replace("payment: v1", "payment: v29")
    );
}

/// As where no annotation says from which commit a version is.
fn without_commits(world: &World) -> Value {
    let mut spec = world.spec();
    for version in ["stable", "bad"] {
        let version = spec[version].as_object_mut().unwrap();
        version.remove("sourceRevision");
    }
    spec
}

/// What is no more at the tip is told by the values, too.
#[tokio::test(flavor = "multi_thread")]
async fn without_commits_in_the_annotations_the_past_is_looked_through() {
    let world = World::new().await;
    world.create(without_commits(&world)).await;
    world.server.set_faults(Faults {
        lose_answers_to_pushes: 1,
        ..Faults::default()
    });
    let writer = world.start(&[]);
    let status = world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(condition_of(&status, "Landed")["reason"], "Reverted");
    assert_eq!(status["commit"], git(&world.bare(), &["rev-parse", "main"]));
    assert_eq!(world.count(), 3);

    let fixed = BAD.replace("checkout: v2", "checkout: v3");
    for (text, phase, reason) in [
        (GOOD, "Landed", "AlreadyReverted"),
        (fixed.as_str(), "Superseded", "ChangedSince"),
    ] {
        for path in [FILE, "apps"] {
            let world = World::new().await;
            world.commit(FILE, text);
            world.commit(FILE, &text.replace("payment: v1", "payment: v9"));
            let mut spec = without_commits(&world);
            spec["source"]["path"] = json!(path);
            world.ends(spec, phase, "Landed", reason).await;
            assert_eq!(world.count(), 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_follow_is_a_mismatch_and_may_still_follow() {
    let world = World::new().await;
    world.create(world.spec()).await;
    let writer = world.start(&["--verify-timeout", "1s"]);
    let status = world.until_phase("Mismatch").await;
    assert_eq!(condition_of(&status, "Verified")["reason"], "NotHealthy");
    world.rollout("Healthy", "good").await;
    world.until_phase("Verified").await;
    writer.stop().await;
    assert_eq!(world.count(), 3, "and nothing was pushed a second time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_disk_is_used_only_if_it_is_named() {
    let world = World::new().await;
    let bare = world.dir.path().join("local.git");
    create_bare(&bare);
    git(
        &world.developer,
        &["push", "-q", &bare.display().to_string(), "HEAD:main"],
    );
    let mut spec = world.spec();
    spec["source"]["repo"] = json!(format!("file://{}", bare.display()));
    world
        .ends(
            spec.clone(),
            "Unresolvable",
            "Resolved",
            "RepositoryNotAllowed",
        )
        .await;
    world
        .reverts()
        .delete("checkout-bad-1", &Default::default())
        .await
        .unwrap();
    world.create(spec).await;
    let writer = world.start(&["--allow-repository", &bare.display().to_string()]);
    world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(git(&bare, &["show", &format!("main:{FILE}")]) + "\n", GOOD);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reverts_in_one_file_all_land() {
    let world = World::new().await;
    let names: Vec<String> = (0..6).map(|i| format!("svc-{i}")).collect();
    let text = |tag: &str| {
        names
            .iter()
            .map(|n| format!("{n}: {tag}\n"))
            .collect::<String>()
    };
    let good = world.commit("all.yaml", &text("v1"));
    let bad = world.commit("all.yaml", &text("v2"));
    for name in &names {
        let mut spec = world.spec();
        spec["rollout"]["name"] = json!(name);
        spec["source"]["path"] = json!("all.yaml");
        spec["stable"]["sourceRevision"] = json!(good);
        spec["bad"]["sourceRevision"] = json!(bad);
        spec["changes"][0] = json!({"path": "spec.containers[app].image",
            "old": format!("r/{name}:v1"), "new": format!("r/{name}:v2")});
        let revert = Revert::new(name, serde_json::from_value(spec).unwrap());
        world
            .reverts()
            .create(&PostParams::default(), &revert)
            .await
            .unwrap();
    }
    let writer = world.start(&[]);
    let deadline = Instant::now() + LIMIT;
    while world.on_branch("all.yaml") != text("v1") {
        assert!(
            Instant::now() < deadline,
            "have {}",
            world.on_branch("all.yaml")
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    writer.stop().await;
    assert_eq!(world.count(), 4 + names.len());
}
