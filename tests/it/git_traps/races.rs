//! Several writers on one branch: two clusters that follow the same path, and many at once.

use std::sync::mpsc;

use kube::api::Api;
use serde_json::json;
use tidegate::api::revert::Revert;
use tidegate::sim::apiserver::ApiServer;
use tidegate_lab::git_http::{Moment, git};

use super::{LIMIT, bytes_at, committed, is_over, push, reason, spec, tip, until, write};
use crate::git_writer::lab::{FILE, GOOD, World, cluster, create};

fn reverts(api: &ApiServer, namespace: &str) -> Api<Revert> {
    Api::namespaced(api.client(namespace), namespace)
}

/// The second one pushes while the first one's push is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_clusters_that_follow_one_path_one_reverts_and_the_other_finds_it() {
    let world = World::new().await;
    let (here, there) = (world.reverts(), cluster());
    create(&here, "checkout-bad-1", world.spec()).await;
    let mut theirs = world.spec();
    theirs["cluster"] = json!("there");
    create(&reverts(&there, "elsewhere"), "checkout-bad-1", theirs).await;
    let there_reverts = reverts(&there, "elsewhere");

    let (reached, was_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    world.server.interrupt_push(Moment::Receive, move || {
        reached.send(()).unwrap();
        // The server has to serve the other one meanwhile.
        tokio::task::block_in_place(|| {
            let _ = may_go_on.recv_timeout(LIMIT);
        });
    });
    let first = world.start(&[]);
    tokio::task::block_in_place(|| was_reached.recv_timeout(LIMIT)).unwrap();
    let work = world.dir.path().join("work-there");
    std::fs::create_dir(&work).unwrap();
    let second = world.start_for(&there, &work, &[]);
    let second_status = until(&there_reverts, |all| all.values().all(is_over)).await;
    drop(go_on);
    let first_status = until(&here, |all| all.values().all(is_over)).await;
    first.stop().await;
    second.stop().await;

    let on_branch = tip(&world, "main");
    for status in [
        &first_status["checkout-bad-1"],
        &second_status["checkout-bad-1"],
    ] {
        assert_eq!(reason(status, "Landed"), "Reverted", "{status:#}");
        assert_eq!(status["commit"], on_branch, "{status:#}");
    }
    assert_eq!((world.on_branch(FILE).as_str(), world.count()), (GOOD, 3));
    let message = git(&world.bare(), &["log", "-1", "--format=%s", "main"]);
    assert!(message.starts_with("revert(there): "), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn six_writers_with_a_file_each_all_land_on_one_branch() {
    const WRITERS: usize = 6;
    let world = World::new().await;
    let file = |n: usize| format!("teams/{n}/versions.yaml");
    let mut commits = Vec::new();
    for version in ["v1", "v2"] {
        for n in 0..WRITERS {
            write(&world, &file(n), format!("checkout: {version}\n"));
        }
        commits.push(committed(&world));
    }
    push(&world, &["main"]);
    let claims = [Some(commits[0].as_str()), Some(commits[1].as_str())];
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let namespace = format!("team-{n}");
        let spec = spec(&world, "main", &file(n), claims);
        create(&reverts(&world.api, &namespace), "checkout-bad-1", spec).await;
        let work = world.dir.path().join(&namespace);
        std::fs::create_dir(&work).unwrap();
        writers.push(world.start_for(&world.api, &work, &["--namespace", &namespace]));
    }
    let mut landed = Vec::new();
    for n in 0..WRITERS {
        let reverts = reverts(&world.api, &format!("team-{n}"));
        let mut all = until(&reverts, |all| all.values().all(is_over)).await;
        landed.push(all.remove("checkout-bad-1").unwrap());
    }
    for writer in writers {
        writer.stop().await;
    }
    let since = format!("{}..main", commits[1]);
    let commits = git(&world.bare(), &["rev-list", "--no-merges", &since]);
    assert_eq!(commits.lines().count(), WRITERS, "{commits}");
    for (n, status) in landed.iter().enumerate() {
        assert_eq!(reason(status, "Landed"), "Reverted", "{status:#}");
        let own = status["commit"].as_str().unwrap();
        assert!(
            commits.lines().any(|commit| commit == own),
            "{own} is not in {commits}"
        );
        assert_eq!(bytes_at(&world, "main", &file(n)), b"checkout: v1\n");
    }
}
