//! A GitOps tool on paper: what a folder of a repository's `main` says is applied to the cluster,
//! again and again, with server-side apply.

use crate::objects::{apply, objects};
use crate::repository::Repository;
use crate::wait;
use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the branch is looked at. Real tools take a minute or are told by a webhook.
const PERIOD: Duration = Duration::from_millis(200);

/// Under which name it owns fields.
const MANAGER: &str = "lab-gitops";

/// Changes each object before it is applied: where it came from and at which commit, as Argo CD
/// and Flux leave their marks.
pub type Mark = fn(&mut DynamicObject, &Source<'_>);

/// Leaves on a Rollout the annotations by which Tidegate is told where it came from.
pub const SOURCE: Mark = |object, source| {
    let kind = object.types.as_ref().map(|types| types.kind.as_str());
    if kind != Some("Rollout") {
        return;
    }
    for (key, value) in [
        ("repo", source.repository),
        ("branch", source.branch),
        ("path", source.path),
        ("revision", source.commit),
    ] {
        let key = format!("tidegate.io/source-{key}");
        object.annotations_mut().insert(key, value.to_owned());
    }
};

/// Where an object came from.
pub struct Source<'a> {
    /// The repository's URL.
    pub repository: &'a str,
    /// The branch that is followed.
    pub branch: &'a str,
    /// The file, from the repository's root.
    pub path: &'a str,
    /// The commit that is applied.
    pub commit: &'a str,
}

/// A running loop for one folder; it ends when this is dropped.
pub struct GitOps {
    applied: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl GitOps {
    /// Applies a folder's manifests into a namespace, now and after every push.
    pub fn start(
        client: &Client,
        repository: Repository,
        folder: &'static str,
        namespace: &str,
        mark: Mark,
    ) -> Self {
        let applied = Arc::<Mutex<Option<String>>>::default();
        let sync = Sync {
            client: client.clone(),
            repository,
            folder,
            namespace: namespace.to_owned(),
            mark,
        };
        let report = Arc::clone(&applied);
        let task = tokio::spawn(async move {
            loop {
                match sync.once().await {
                    Ok(commit) => *report.lock().unwrap_or_else(PoisonError::into_inner) = commit,
                    Err(error) => eprintln!("gitops {}: {error}", sync.namespace),
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { applied, task }
    }

    /// Waits until a commit was applied as a whole.
    pub async fn has_applied(&self, commit: &str) {
        wait::until_ok(&format!("commit {commit} is applied"), async || {
            let applied = self
                .applied
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if applied.as_deref() == Some(commit) {
                Ok(())
            } else {
                Err(applied)
            }
        })
        .await;
    }
}

impl Drop for GitOps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sync {
    client: Client,
    repository: Repository,
    folder: &'static str,
    namespace: String,
    mark: Mark,
}

impl Sync {
    /// Applies the branch's tip; returns it.
    async fn once(&self) -> Result<Option<String>, String> {
        let Some(commit) = self.repository.tip().await else {
            return Ok(None);
        };
        for path in self.repository.files(&commit, self.folder).await {
            let source = Source {
                repository: self.repository.url(),
                branch: "main",
                path: &path,
                commit: &commit,
            };
            let text = self.repository.file(&commit, &path).await;
            for mut object in objects(&text).map_err(|error| format!("{path}: {error}"))? {
                (self.mark)(&mut object, &source);
                apply(&self.client, &self.namespace, &object, MANAGER)
                    .await
                    .map_err(|error| format!("{path}: {}: {error}", object.name_any()))?;
            }
        }
        Ok(Some(commit))
    }
}
