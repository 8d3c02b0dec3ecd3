//! The bare Git repository of the demo, and a developer's clone of it.
//!
//! Drives the `git` of the machine, without the user's and the machine's configuration, so that no
//! hook, signing key or default of theirs changes what is shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// The branch that the cluster follows.
pub const BRANCH: &str = "main";
/// The folder whose YAML files are applied.
pub const FOLDER: &str = "deploy";
/// The Rollout's file.
pub const ROLLOUT_FILE: &str = "deploy/rollout.yaml";
/// Longest time for one command: everything is on this machine's disk.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the first commit holds.
const FILES: [(&str, &str); 4] = [
    (ROLLOUT_FILE, include_str!("shop/rollout.yaml")),
    ("deploy/network.yaml", include_str!("shop/network.yaml")),
    ("deploy/analysis.yaml", include_str!("shop/analysis.yaml")),
    ("README.md", include_str!("shop/README.md")),
];

/// The repository and the clone.
#[derive(Debug, Clone)]
pub struct Repository {
    bare: PathBuf,
    clone: PathBuf,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The whole id.
    pub id: String,
    /// Who.
    pub author: String,
    /// The first line of the message.
    pub subject: String,
}

impl Repository {
    /// Makes the repository in `folder`, with everything for the first version on its branch.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn create(folder: &Path) -> Result<Self> {
        let repository = Self {
            bare: folder.join("shop.git"),
            clone: folder.join("clone"),
        };
        let bare = repository.bare.display().to_string();
        let clone = repository.clone.display().to_string();
        git(folder, &["init", "-q", "--bare", "-b", BRANCH, &bare]).await?;
        // The Git writer fetches what it needs and no more.
        git(
            &repository.bare,
            &["config", "uploadpack.allowFilter", "true"],
        )
        .await?;
        git(folder, &["clone", "-q", &bare, &clone]).await?;
        git(&repository.clone, &["checkout", "-q", "-B", BRANCH]).await?;
        for (path, text) in FILES {
            repository.write(path, text).await?;
        }
        repository.push("checkout v1").await?;
        Ok(repository)
    }

    /// Where it is on disk; also its URL.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.bare
    }

    /// Commits an edit of one file onto the branch's tip and pushes it; returns the commit.
    ///
    /// # Errors
    /// What `git` says, or that nothing was changed.
    pub async fn change(
        &self,
        path: &str,
        message: &str,
        edit: impl FnOnce(&str) -> String,
    ) -> Result<String> {
        let upstream = format!("origin/{BRANCH}");
        git(&self.clone, &["fetch", "-q", "origin"]).await?;
        git(&self.clone, &["reset", "-q", "--hard", &upstream]).await?;
        let before = tokio::fs::read_to_string(self.clone.join(path))
            .await
            .with_context(|| format!("cannot read {path}"))?;
        let after = edit(&before);
        if after == before {
            bail!("{path}: nothing to change for {message:?}");
        }
        self.write(path, &after).await?;
        self.push(message).await
    }

    async fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.clone.join(path);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::write(&path, text)
            .await
            .with_context(|| format!("cannot write {}", path.display()))
    }

    async fn push(&self, message: &str) -> Result<String> {
        git(&self.clone, &["add", "-A"]).await?;
        git(&self.clone, &["commit", "-q", "-m", message]).await?;
        git(&self.clone, &["push", "-q", "origin", BRANCH]).await?;
        git(&self.clone, &["rev-parse", "HEAD"]).await
    }

    /// The commit at the branch's tip.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn tip(&self) -> Result<String> {
        git(&self.bare, &["rev-parse", &format!("refs/heads/{BRANCH}")]).await
    }

    /// The commit that a commit stands on.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn parent(&self, commit: &str) -> Result<String> {
        git(&self.bare, &["rev-parse", &format!("{commit}^")]).await
    }

    /// The YAML files of the folder at a commit, in the order of their names.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn manifests(&self, commit: &str) -> Result<Vec<(String, String)>> {
        let arguments = ["ls-tree", "-r", "--name-only", commit, "--", FOLDER];
        let listed = git(&self.bare, &arguments).await?;
        let mut found = Vec::new();
        for path in listed.lines() {
            if path.ends_with(".yaml") || path.ends_with(".yml") {
                found.push((path.to_owned(), self.show(commit, path).await?));
            }
        }
        Ok(found)
    }

    /// A file at a commit.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn show(&self, commit: &str, path: &str) -> Result<String> {
        git(&self.bare, &["show", &format!("{commit}:{path}")]).await
    }

    /// What changed between two commits: the lines taken away and added, by file.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn changed_lines(&self, from: &str, to: &str) -> Result<Vec<String>> {
        let diff = git(&self.bare, &["diff", "--no-color", "-U0", from, to]).await?;
        let line = |l: &&str| {
            (l.starts_with('+') || l.starts_with('-'))
                && !l.starts_with("+++ /dev/null")
                && !l.starts_with("--- /dev/null")
        };
        Ok(diff.lines().filter(line).map(str::to_owned).collect())
    }

    /// The last commits of the branch, newest first.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn log(&self, count: usize) -> Result<Vec<Commit>> {
        let count = format!("-{count}");
        let format = "--format=%H%x09%an%x09%s";
        let log = git(&self.bare, &["log", &count, format, BRANCH, "--"]).await?;
        let commit = |line: &str| {
            let mut fields = line.splitn(3, '\t').map(str::to_owned);
            Some(Commit {
                id: fields.next()?,
                author: fields.next()?,
                subject: fields.next()?,
            })
        };
        Ok(log.lines().filter_map(commit).collect())
    }
}

/// Runs `git` and returns what it printed, without the last line's end.
async fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Dana Developer")
        .env("GIT_AUTHOR_EMAIL", "dana@example.com")
        .env("GIT_COMMITTER_NAME", "Dana Developer")
        .env("GIT_COMMITTER_EMAIL", "dana@example.com")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let what = || format!("git {}", arguments.join(" "));
    let output = tokio::time::timeout(TIMEOUT, command.output())
        .await
        .with_context(|| format!("{} took longer than {} s", what(), TIMEOUT.as_secs()))?
        .with_context(|| format!("cannot run {}: is git installed?", what()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", what(), words.trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_reach_the_bare_repository_and_show_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::create(folder.path()).await.unwrap();
        let first = repository.tip().await.unwrap();
        let files = repository.manifests(&first).await.unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "deploy/analysis.yaml",
                "deploy/network.yaml",
                "deploy/rollout.yaml"
            ]
        );
        let second = repository
            .change(ROLLOUT_FILE, "checkout v2", |text| {
                text.replace("checkout:v1", "checkout:v2")
            })
            .await
            .unwrap();
        assert_eq!(repository.tip().await.unwrap(), second);
        assert_eq!(
            repository.changed_lines(&first, &second).await.unwrap(),
            [
                "--- a/deploy/rollout.yaml",
                "+++ b/deploy/rollout.yaml",
                "-          image: registry.example.com/shop/checkout:v1",
                "+          image: registry.example.com/shop/checkout:v2",
            ]
        );
        let log = repository.log(5).await.unwrap();
        assert_eq!(log.len(), 2);
        assert_eq!(log.first().unwrap().subject, "checkout v2");
        let nothing = repository
            .change(ROLLOUT_FILE, "nothing", str::to_owned)
            .await;
        assert!(
            nothing
                .unwrap_err()
                .to_string()
                .contains("nothing to change")
        );
    }
}
