//! A server with a Rollout, and the plugin run on it as a function.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tidegate::api::rollout::Rollout;
use tidegate::cli::args::Cli;
use tidegate::cli::client::Session;
use tidegate::cli::error::Exit;
use tidegate::cli::terminal::{Screen, Terminal};
use tidegate::cli::{self};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Whose writes the audit counts.
pub const PLUGIN: &str = "kubectl-tidegate";

pub struct Lab {
    pub server: ApiServer,
}

/// What a person would have seen.
#[derive(Debug)]
pub struct Seen {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// A writer that can be read while it is written.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Puts `from` into `into`, key by key.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The status of a Rollout that is settled at revision 12.
pub fn healthy() -> Value {
    json!({
        "observedGeneration": 1, "phase": "Healthy", "message": "revision 12 is stable",
        "stable": {"revision": 12, "hash": "6b5f9c7d00", "images": ["r.example/checkout:1.4"]},
        "traffic": {"desired": 0, "accepted": 0},
        "replicas": 10, "readyReplicas": 10, "updatedReplicas": 10, "availableReplicas": 10,
        "selector": "app=checkout",
    })
}

/// The status in the middle of a rollout of revision 13, with `with` merged in.
pub fn in_progress(with: Value) -> Value {
    let mut status = healthy();
    merge(
        &mut status,
        json!({"phase": "Progressing", "message": "step 1/3, 5 % canary",
            "canary": {"revision": 13, "hash": "77cd81f200", "images": ["r.example/checkout:1.5"],
                "attempt": 1, "step": 1, "steps": 3, "stepText": "1/3"},
            "traffic": {"desired": 5, "accepted": 5}}),
    );
    merge(&mut status, with);
    status
}

/// The status after an abort of revision 13.
pub fn aborted(phase: &str) -> Value {
    in_progress(json!({"phase": phase, "message": "stable has all traffic",
        "traffic": {"desired": 0, "accepted": 0},
        "abort": {"at": "2026-11-21T11:58:00Z", "reason": "AnalysisFailed",
            "message": "error-ratio is 3.1 times stable's", "hash": "77cd81f200", "step": 1,
            "weight": 5}}))
}

impl Lab {
    pub fn new() -> Self {
        // Schemas are made once: in an unoptimised build that takes a while.
        static CRDS: OnceLock<Vec<Value>> = OnceLock::new();
        let of_all = || {
            ApiServerConfig::default()
                .with_crds(&tidegate::api::crds())
                .crds
        };
        let crds = CRDS.get_or_init(of_all).clone();
        let config = ApiServerConfig {
            crds,
            ..ApiServerConfig::default()
        };
        Self {
            server: ApiServer::new(config).unwrap(),
        }
    }

    /// With the Rollout `checkout` in namespace `shop`, which has this status.
    pub async fn with(status: Value) -> Self {
        let lab = Self::new();
        lab.add_rollout("shop", "checkout");
        lab.set_status(status).await;
        lab
    }

    pub fn add_rollout(&self, namespace: &str, name: &str) {
        self.server
            .add(json!({
                "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "replicas": 10,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}},
                        "spec": {"containers": [{"name": "app", "image": "r.example/checkout:1.5"}]}},
                    "strategy": {"canary": {
                        "stableService": "stable", "canaryService": "canary",
                        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                        "steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}],
                    }},
                },
            }))
            .unwrap();
    }

    pub fn rollouts(&self) -> Api<Rollout> {
        Api::namespaced(self.server.client_as("shop", "test"), "shop")
    }

    pub async fn rollout(&self) -> Rollout {
        self.rollouts().get("checkout").await.unwrap()
    }

    /// Merges into the status, as the controller would write it.
    pub async fn set_status(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let params = PatchParams::default();
        self.rollouts()
            .patch_status("checkout", &params, &patch)
            .await
            .unwrap();
    }

    /// Puts this status in place of what was there.
    pub async fn replace_status(&self, status: Value) {
        let mut rollout = serde_json::to_value(self.rollout().await).unwrap();
        rollout["status"] = status;
        let rollout: Rollout = serde_json::from_value(rollout).unwrap();
        let params = kube::api::PostParams::default();
        self.rollouts()
            .replace_status("checkout", &params, &rollout)
            .await
            .unwrap();
    }

    /// Merges into the spec.
    pub async fn set_spec(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.rollouts()
            .patch("checkout", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub fn session(&self) -> Session {
        Session::new(
            self.server.client_as("shop", PLUGIN),
            "shop",
            "alice@example.com",
        )
    }

    /// How many writes the plugin has made.
    pub fn writes(&self) -> u64 {
        self.server.audit().writes(PLUGIN)
    }

    /// Runs the plugin to its end, not on a terminal.
    pub async fn run(&self, words: &str) -> Seen {
        let (out, err) = (Paper::default(), Paper::default());
        let run = self.run_on(words, Screen::default(), &out, &err);
        let exit = tokio::time::timeout(DEADLINE, run).await.expect(words);
        Seen {
            exit,
            out: out.text(),
            err: err.text(),
        }
    }

    /// Runs the plugin on a screen.
    pub async fn run_on(&self, words: &str, screen: Screen, out: &Paper, err: &Paper) -> Exit {
        let words = std::iter::once(PLUGIN).chain(words.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap();
        let (mut out, mut err) = (out.clone(), err.clone());
        let mut terminal = Terminal::new(&mut out, &mut err, screen);
        Box::pin(cli::run(&cli, Ok(self.session()), &mut terminal)).await
    }

    /// Answers the next command of this verb, as the controller would; gives its value.
    pub async fn acknowledge(&self, verb: &str, result: &str) -> String {
        let watch = watcher::watch_object(self.rollouts(), "checkout");
        let mut watch = watch.default_backoff().boxed();
        let key = format!("tidegate.io/{verb}");
        while let Some(event) = watch.next().await {
            let Ok(Some(rollout)) = event else { continue };
            let annotations = rollout.metadata.annotations.unwrap_or_default();
            if let Some(value) = annotations.get(&key) {
                self.set_status(json!({
                    "handledCommands": {verb: value},
                    "lastHandledCommand": {"command": verb, "value": value,
                        "at": "2026-11-21T12:00:00Z", "result": result},
                }))
                .await;
                return value.clone();
            }
        }
        panic!("the watch ended before the command came");
    }

    /// Runs the plugin while its command is answered.
    pub async fn run_answered(&self, words: &str, verb: &str, result: &str) -> (Seen, String) {
        let answer = async {
            tokio::time::timeout(DEADLINE, self.acknowledge(verb, result))
                .await
                .expect(verb)
        };
        tokio::join!(self.run(words), answer)
    }
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
