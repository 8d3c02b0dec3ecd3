//! Git repositories on the tests' HTTP server, each with a developer who pushes to it.

use crate::git_http::{GitServer, create_bare};
use jiff::Timestamp;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Who may fetch and push, with which password.
pub const USER: &str = "tidegate";
/// The password of [`USER`].
pub const PASSWORD: &str = "lab-password";

/// What a protected branch says.
pub const NO_PUSHES: &str = "only the release team pushes here";

/// One repository, and a developer's clone of it.
#[derive(Clone)]
pub struct Repository {
    url: String,
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Makes a repository whose branch `main` holds the given files.
    pub async fn create(server: &GitServer, name: &str, files: &[(&str, &str)]) -> Self {
        Self::create_below(&server.path(""), &server.url(""), name, files).await
    }

    /// The same in the folder of a server of another process, which serves it below a URL that ends
    /// in a slash.
    pub async fn create_below(root: &Path, url: &str, name: &str, files: &[(&str, &str)]) -> Self {
        let bare = root.join(format!("{name}.git"));
        create_bare(&bare);
        let work = root.join(format!("{name}.work"));
        git(
            root,
            &[
                "clone",
                "--quiet",
                &bare.display().to_string(),
                &work.display().to_string(),
            ],
        )
        .await;
        let repository = Self {
            url: format!("{url}{name}.git"),
            bare,
            work,
        };
        repository.commit("First version", files).await;
        repository
    }

    /// Where it is fetched from and pushed to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL with the password in it, as a developer's clone may have it.
    fn push_url(&self) -> String {
        self.url
            .replacen("http://", &format!("http://{USER}:{PASSWORD}@"), 1)
    }

    /// A developer changes files and pushes to `main` over HTTP. Returns the commit.
    pub async fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        let work = &self.work;
        if self.tip().await.is_some() {
            git(work, &["pull", "--quiet", "--ff-only", "origin", "main"]).await;
        }
        for (path, content) in files {
            let file = work.join(path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).unwrap();
            }
            std::fs::write(file, content).unwrap();
        }
        git(work, &["add", "--all"]).await;
        git(work, &["commit", "--quiet", "--message", message]).await;
        git(work, &["push", "--quiet", &self.push_url(), "HEAD:main"]).await;
        self.tip().await.unwrap()
    }

    /// The commit at `main`.
    pub async fn tip(&self) -> Option<String> {
        let tip = try_git(&self.bare, &["rev-parse", "--verify", "--quiet", "main"])
            .await
            .ok()?;
        Some(tip.trim().to_owned())
    }

    /// From now on the server refuses every push, or no longer does.
    pub fn protect(&self, protected: bool) {
        let hook = self.bare.join("hooks/pre-receive");
        if !protected {
            return std::fs::remove_file(hook).unwrap();
        }
        std::fs::create_dir_all(self.bare.join("hooks")).unwrap();
        let script = format!("#!/bin/sh\necho '{NO_PUSHES}' >&2\nexit 1\n");
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
    }

    /// When `main` was last pushed to.
    pub fn pushed_at(&self) -> Timestamp {
        let branch = std::fs::metadata(self.bare.join("refs/heads/main")).unwrap();
        Timestamp::try_from(branch.modified().unwrap()).unwrap()
    }

    /// A file at a commit.
    pub async fn file(&self, commit: &str, path: &str) -> String {
        git(&self.bare, &["show", &format!("{commit}:{path}")]).await
    }

    /// The files below a folder at a commit.
    pub async fn files(&self, commit: &str, folder: &str) -> Vec<String> {
        let names = git(
            &self.bare,
            &["ls-tree", "-r", "--name-only", commit, "--", folder],
        )
        .await;
        names.lines().map(str::to_owned).collect()
    }

    /// The message of a commit.
    pub async fn message(&self, commit: &str) -> String {
        git(&self.bare, &["log", "-1", "--format=%B", commit]).await
    }

    /// Whether somebody with this URL may push; nothing is changed.
    pub async fn may_push(&self, with_password: bool) -> bool {
        let url = if with_password {
            self.push_url()
        } else {
            self.url.clone()
        };
        try_git(
            &self.work,
            &["push", "--quiet", "--dry-run", &url, "HEAD:main"],
        )
        .await
        .is_ok()
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> String {
    match try_git(folder, arguments).await {
        Ok(output) => output,
        Err(error) => panic!("git {}: {error}", arguments.join(" ")),
    }
}

/// Runs git without the configuration of whoever runs the tests.
async fn try_git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs([
            ("GIT_AUTHOR_NAME", "Dana"),
            ("GIT_AUTHOR_EMAIL", "dana@example.com"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Dana"),
            ("GIT_COMMITTER_EMAIL", "dana@example.com"),
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
