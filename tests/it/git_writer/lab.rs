//! What the tests of the Git writer share: a cluster in memory, a Git server with a repository, somebody
//! who works on it, and the writer itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tidegate::api::crds;
use tidegate::api::revert::Revert;
use tidegate::api::rollout::Rollout;
use tidegate::git::{GitWriterArgs, run_with};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};
use tokio::sync::oneshot;

use tidegate_lab::git_http::{GitServer, git};

pub const TOKEN: &str = "planted-t0ken/42";
pub const FILE: &str = "apps/versions.yaml";
pub const GOOD: &str = "# who runs what\ncatalog: v1\ncheckout: v1   # ours\npayment: v1\n";
pub const BAD: &str = "# who runs what\ncatalog: v1\ncheckout: v2   # ours\npayment: v1\n";
/// Longer than any test takes on a machine that does many things at once.
pub const LIMIT: Duration = Duration::from_secs(60);

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    writer: GitWriterArgs,
}

/// The API server of a cluster.
pub fn cluster() -> ApiServer {
    ApiServer::new(ApiServerConfig::default().with_crds(&crds())).unwrap()
}

/// A cluster, a Git server with a repository in it, and somebody who works on it.
pub struct World {
    pub api: ApiServer,
    pub server: GitServer,
    pub developer: PathBuf,
    pub secrets: PathBuf,
    pub commits: BTreeMap<&'static str, String>,
    pub dir: tempfile::TempDir,
}

impl World {
    /// The repository has the good version and, one commit later, the bad one; the cluster runs
    /// the good one and has aborted the bad one.
    pub async fn new() -> World {
        World::on(cluster()).await
    }

    /// The same, on a cluster that has more.
    pub async fn on(api: ApiServer) -> World {
        let server = GitServer::start(Some(("bot", TOKEN))).await;
        server.create("shop/config.git");
        let dir = tempfile::tempdir().unwrap();
        let secrets = dir.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        std::fs::write(secrets.join("username"), "bot\n").unwrap();
        std::fs::write(secrets.join("password"), TOKEN).unwrap();
        let developer = dir.path().join("developer");
        let bare = server.path("shop/config.git").display().to_string();
        git(dir.path(), &["clone", "-q", &bare, "developer"]);
        git(&developer, &["checkout", "-q", "-b", "main"]);
        let mut world = World {
            api,
            server,
            developer,
            secrets,
            commits: BTreeMap::new(),
            dir,
        };
        for (name, text) in [("good", GOOD), ("bad", BAD)] {
            let commit = world.commit(FILE, text);
            world.commits.insert(name, commit);
        }
        world.rollout("Aborted", "good").await;
        world
    }

    /// The developer changes a file and pushes.
    pub fn commit(&self, file: &str, text: &str) -> String {
        commit_and_push(&self.developer, file, text)
    }

    pub fn bare(&self) -> PathBuf {
        self.server.path("shop/config.git")
    }

    pub fn on_branch(&self, file: &str) -> String {
        git(&self.bare(), &["show", &format!("main:{file}")]) + "\n"
    }

    pub fn count(&self) -> usize {
        git(&self.bare(), &["rev-list", "--count", "main"])
            .parse()
            .unwrap()
    }

    /// The Rollout stands in `phase` and its stable version has `hash`.
    pub async fn rollout(&self, phase: &str, hash: &str) {
        let rollouts: Api<Rollout> = Api::namespaced(self.api.client("shop"), "shop");
        if rollouts.get_opt("checkout").await.unwrap().is_none() {
            self.api
                .add(json!({
                    "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
                    "metadata": {"name": "checkout", "namespace": "shop"},
                    "spec": {
                        "selector": {"matchLabels": {"app": "checkout"}},
                        "template": {
                            "metadata": {"labels": {"app": "checkout"}},
                            "spec": {"containers": [{"name": "app", "image": "r/checkout:v1"}]},
                        },
                        "strategy": {"canary": {}},
                    },
                }))
                .unwrap();
        }
        let generation = rollouts.get("checkout").await.unwrap().metadata.generation;
        let status = json!({"status": {
            "observedGeneration": generation, "phase": phase,
            "stable": {"revision": 1, "hash": hash, "images": [format!("r/checkout:{hash}")]},
        }});
        let params = PatchParams::default();
        rollouts
            .patch_status("checkout", &params, &Patch::Merge(status))
            .await
            .unwrap();
    }

    pub fn spec(&self) -> Value {
        json!({
            "mode": "Push", "attempt": 1, "reason": "AnalysisFailed", "cluster": "test",
            "message": "error-ratio 8.8 % against 1.2 %", "abortedAt": jiff::Timestamp::now(),
            "rollout": {"name": "checkout", "uid": "u"},
            "source": {"repo": self.server.url("shop/config.git"), "branch": "main", "path": FILE},
            "stable": {"revision": 1, "hash": "good", "images": ["r/checkout:v1"],
                       "sourceRevision": self.commits["good"]},
            "bad": {"revision": 2, "hash": "bad", "images": ["r/checkout:v2"],
                    "sourceRevision": self.commits["bad"]},
            "changes": [{"path": "spec.containers[app].image",
                         "old": "r/checkout:v1", "new": "r/checkout:v2"}],
        })
    }

    pub fn reverts(&self) -> Api<Revert> {
        Api::namespaced(self.api.client("shop"), "shop")
    }

    pub async fn create(&self, spec: Value) {
        create(&self.reverts(), "checkout-bad-1", spec).await;
    }

    /// Starts the writer; it may use the repository, and whatever `more` says.
    pub fn start(&self, more: &[&str]) -> Running {
        self.start_for(&self.api, &self.work_dir(), more)
    }

    /// Starts the writer of a cluster, which works in a folder that no other one has.
    pub fn start_for(&self, api: &ApiServer, work: &Path, more: &[&str]) -> Running {
        let allowed = self.server.url("shop/*");
        let secrets = self.secrets.display().to_string();
        let work = work.display().to_string();
        let args = [
            "writer",
            "--allow-repository",
            &allowed,
            "--credentials-dir",
            &secrets,
            "--work-dir",
            &work,
            "--git-timeout",
            "30s",
        ];
        let cli = Cli::parse_from(args.into_iter().chain(more.iter().copied()));
        let (stop, stopped) = oneshot::channel::<()>();
        let client = api.client_as("shop", "git-writer");
        let task = tokio::spawn(run_with(cli.writer, client, async {
            let _ = stopped.await;
        }));
        Running { stop, task }
    }

    pub fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Waits until the Revert's status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let revert = self.reverts().get("checkout-bad-1").await.unwrap();
            let status = serde_json::to_value(revert.status).unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "waited for {what}, have {status:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_phase(&self, phase: &str) -> Value {
        self.until(phase, |status| status["phase"] == phase).await
    }

    /// Creates the Revert, runs the writer until `phase`, and says the reason of `condition`.
    pub async fn ends(&self, spec: Value, phase: &str, condition: &str, reason: &str) -> Value {
        self.create(spec).await;
        let writer = self.start(&[]);
        let status = self.until_phase(phase).await;
        writer.stop().await;
        assert_eq!(
            condition_of(&status, condition)["reason"],
            reason,
            "{status:#}"
        );
        status
    }
}

pub struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), tidegate::git::RunError>>,
}

impl Running {
    /// Stops it as Kubernetes does.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Stops it as a crash does.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub async fn create(reverts: &Api<Revert>, name: &str, spec: Value) {
    let revert = Revert::new(name, serde_json::from_value(spec).unwrap());
    let created = reverts.create(&PostParams::default(), &revert).await;
    created.unwrap_or_else(|error| panic!("{name}: {error}"));
}

pub fn condition_of(status: &Value, type_: &str) -> Value {
    let found = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == type_);
    found.cloned().unwrap_or_default()
}

pub fn commit_and_push(developer: &Path, file: &str, text: &str) -> String {
    let path = developer.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    git(developer, &["add", "-A"]);
    git(developer, &["commit", "-q", "-m", "change"]);
    git(developer, &["push", "-q", "origin", "HEAD:main"]);
    git(developer, &["rev-parse", "HEAD"])
}

/// As after a restore of the cluster from a backup.
pub async fn forget_status(world: &World) {
    let nothing = json!({"status": null});
    let params = PatchParams::default();
    world
        .reverts()
        .patch_status("checkout-bad-1", &params, &Patch::Merge(nothing))
        .await
        .unwrap();
}

/// A hook that refuses every push with these words.
pub fn refuse_pushes(world: &World, words: &str) -> PathBuf {
    let hook = world.bare().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    hook
}
