//! One remote repository, spoken to through the `git` program.
//!
//! Everything happens in a bare repository in a private folder that lives as long as the [`Repo`].
//! There is no work tree: nothing of the repository's content is written out or executed, and
//! submodules, links, filters and hooks stay what they are, bytes. Only what is needed is fetched:
//! the tip without file contents, then history without trees as far back as the commits that are
//! asked for, then the files. A push names the tip that it was made on, so it is a compare-and-swap on
//! the branch.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::answers::{
    FILES_MAX, GitError, Oid, RawDifference, failure, parse_raw_diff, parse_tree, special,
};
use super::command::{Git, Limits, Output};
use super::credentials::{self, CredentialSource};
use super::environment::environment;
use super::leaf::FILE_BYTES_MAX;
use super::redact::Redactor;
use super::source::{Branch, Remote, RepoPath, Scheme};

/// How deep history is fetched, step by step, until a commit is found. The first step is right for
/// nearly all; the last is more than a year of the busiest repositories.
const DEPTHS: [u32; 3] = [64, 1024, 16_384];

/// Output of commands that list commits or files.
const LISTING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How the private folders' names begin.
pub(super) const WORK_DIR_PREFIX: &str = "tidegate-git-";

/// The reference under which the branch's tip is kept.
const TIP: &str = "refs/tidegate/tip";

/// How `git` is run.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// The program.
    pub program: PathBuf,
    /// Where the private folders are made; the system's folder for temporary files if absent.
    pub work_dir: Option<PathBuf>,
    /// Where the credentials are, see [`credentials`].
    pub credentials: Option<CredentialSource>,
    /// How long one command may take.
    pub timeout: Duration,
    /// How much one repository may take on disk, in bytes.
    pub disk_bytes_max: u64,
    /// Author and committer of the reverts.
    pub identity: Identity,
    /// How pull requests are opened.
    pub requests: RequestConfig,
}

/// How pull or merge requests are opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestConfig {
    /// Labels that each gets.
    pub labels: Vec<String>,
    /// Whether the forge is asked to merge it once its own rules allow that.
    pub auto_merge: bool,
}

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

/// A file that differs between two commits, and what it is at the tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path.
    pub path: String,
    /// Its content in the first commit.
    pub good: Option<Oid>,
    /// Its content in the second commit.
    pub bad: Option<Oid>,
    /// Its content at the tip.
    pub tip: Option<Oid>,
    /// Its mode at the tip, e.g. `100644`.
    pub mode: String,
}

/// A repository in its private folder.
#[derive(Debug)]
pub struct Repo {
    // Dropped last: the folder goes when nothing uses it any more.
    pub(super) git: Git,
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    has_credential: bool,
    remote: Remote,
    _dir: tempfile::TempDir,
}

impl Repo {
    /// Makes the private folder. Speaks to nobody yet.
    ///
    /// # Errors
    /// [`GitError`] when the credentials cannot be read or `git` cannot be run.
    pub async fn open(remote: &Remote, config: &GitConfig) -> Result<Repo, GitError> {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("tidegate-git-")
            .permissions(std::fs::Permissions::from_mode(0o700));
        let dir = match &config.work_dir {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        }
        .map_err(GitError::WorkDir)?;
        let credential = match &config.credentials {
            Some(source) => credentials::find(source, remote)?,
            None => None,
        };
        let credential = credential.filter(|c| c.serves(remote.scheme()));
        if remote.scheme() == Scheme::Ssh && credential.is_none() {
            return Err(GitError::NoCredentials(remote.url().to_owned()));
        }
        let mut redactor = Redactor::default();
        if let Some(credential) = &credential {
            credential.teach(&mut redactor)?;
        }
        let environment = environment(dir.path(), remote.scheme(), credential.as_ref())?;
        let repo = Repo {
            git: Git {
                program: config.program.clone(),
                dir: dir.path().join("repo"),
                environment,
                redactor,
            },
            limits: Limits {
                time: config.timeout,
                stdout_bytes: LISTING_BYTES_MAX,
                disk_bytes: config.disk_bytes_max,
            },
            identity: config.identity.clone(),
            has_credential: credential.is_some(),
            remote: remote.clone(),
            _dir: dir,
        };
        std::fs::create_dir(&repo.git.dir).map_err(GitError::WorkDir)?;
        repo.good(&["init", "--quiet", "--bare", "--template="])
            .await?;
        repo.good(&["config", "remote.origin.url", remote.url()])
            .await?;
        Ok(repo)
    }

    /// Fetches the branch's tip, without file contents where the server can leave them out.
    ///
    /// # Errors
    /// [`GitError::NoSuchBranch`], [`GitError::IsATag`], or why the server was of no use.
    pub async fn fetch_tip(&self, branch: &Branch) -> Result<Oid, GitError> {
        let spec = format!("+{}:{TIP}", branch.reference());
        let fetched = self
            .fetch(&["--depth=1", "--filter=blob:none", "origin", &spec], b"")
            .await;
        match fetched {
            Ok(()) => self.commit_at(TIP).await,
            Err(GitError::Other { message, .. }) if message.contains("find remote ref") => {
                let tag = format!("refs/tags/{branch}");
                let listed = self.good(&["ls-remote", "origin", &tag]).await?;
                Err(if listed.stdout.is_empty() {
                    GitError::NoSuchBranch(branch.name().to_owned())
                } else {
                    GitError::IsATag(branch.name().to_owned())
                })
            }
            Err(other) => Err(other),
        }
    }

    /// Fetches history, commits alone, until all of `commits` are found behind `tip`.
    ///
    /// # Errors
    /// [`GitError::NotInHistory`] names the first that is not in the branch's history, so that
    /// nothing is taken from a commit that the branch never had.
    pub async fn find_in_history(
        &self,
        branch: &Branch,
        tip: &Oid,
        commits: &[&Oid],
    ) -> Result<(), GitError> {
        let mut depths = DEPTHS.iter();
        loop {
            let listed = self.good(&["rev-list", tip.as_str()]).await?.text();
            let known: BTreeSet<&str> = listed.lines().collect();
            let missing = commits.iter().find(|c| !known.contains(c.as_str()));
            let Some(missing) = missing else {
                return Ok(());
            };
            let shallow = self.git.dir.join("shallow").exists();
            let Some(depth) = depths.next().filter(|_| shallow) else {
                return Err(GitError::NotInHistory(missing.to_string()));
            };
            self.deepen(branch, *depth, "tree:0").await?;
        }
    }

    /// Fetches `depth` commits of history.
    async fn deepen(&self, branch: &Branch, depth: u32, filter: &str) -> Result<(), GitError> {
        // Into a reference of its own: the tip that was decided on stays what it is.
        let spec = format!("+{}:refs/tidegate/history", branch.reference());
        let (depth, filter) = (format!("--depth={depth}"), format!("--filter={filter}"));
        self.fetch(&[&depth, &filter, "origin", &spec], b"").await
    }

    /// The last commits up to `from`, and not behind `since`, that changed something at `path`, the
    /// newest first, at most `count`. Looks back no further than the first step of history.
    ///
    /// # Errors
    /// [`GitError`] when the server was of no use.
    pub async fn touching(
        &self,
        branch: &Branch,
        from: &Oid,
        since: Option<&Oid>,
        path: &RepoPath,
        count: usize,
    ) -> Result<Vec<Oid>, GitError> {
        let [depth, ..] = DEPTHS;
        self.deepen(branch, depth, "blob:none").await?;
        let count = format!("--max-count={count}");
        let since = since.map(|oid| format!("^{oid}"));
        let mut args = vec!["log", "--format=%H", &count, from.as_str()];
        args.extend(since.as_deref());
        args.push("--");
        if !path.as_str().is_empty() {
            args.push(path.as_str());
        }
        let output = self.good(&args).await?;
        Ok(output.text().lines().filter_map(Oid::parse).collect())
    }

    /// The files at or below `path` that differ between two commits, with what they are at the tip.
    ///
    /// # Errors
    /// [`GitError::NoSuchPath`], [`GitError::NotAFile`], [`GitError::TooManyFiles`].
    pub async fn changed_files(
        &self,
        good: &Oid,
        bad: &Oid,
        tip: &Oid,
        path: &RepoPath,
    ) -> Result<Vec<ChangedFile>, GitError> {
        let shown = || {
            if path.as_str().is_empty() {
                "."
            } else {
                path.as_str()
            }
            .to_owned()
        };
        let mut args = vec![
            "diff-tree",
            "-r",
            "-z",
            "--no-renames",
            good.as_str(),
            bad.as_str(),
            "--",
        ];
        if !path.as_str().is_empty() {
            args.push(path.as_str());
        }
        let output = self.good(&args).await?;
        let differences = parse_raw_diff(&output.stdout);
        if output.cut || differences.len() > FILES_MAX {
            return Err(GitError::TooManyFiles(shown()));
        }
        if differences.is_empty() {
            self.must_exist(bad, path).await?;
        }
        let mut at_tip = self.tree_entries(tip, &differences).await?;
        let mut files = Vec::new();
        for difference in differences {
            let entry = at_tip.remove(&difference.path);
            let modes = difference.modes.iter().map(String::as_str);
            let special = modes
                .chain(entry.as_ref().map(|(mode, _)| mode.as_str()))
                .find_map(special);
            if let Some(kind) = special {
                if difference.path == path.as_str() {
                    return Err(GitError::NotAFile(difference.path, kind));
                }
                continue;
            }
            let mode = entry.as_ref().map_or("100644", |(mode, _)| mode).to_owned();
            files.push(ChangedFile {
                path: difference.path,
                good: difference.good,
                bad: difference.bad,
                tip: entry.map(|(_, oid)| oid),
                mode,
            });
        }
        Ok(files)
    }

    async fn must_exist(&self, commit: &Oid, path: &RepoPath) -> Result<(), GitError> {
        if path.as_str().is_empty() {
            return Ok(());
        }
        let output = self
            .good(&["ls-tree", "-z", commit.as_str(), "--", path.as_str()])
            .await?;
        let entries = parse_tree(&output.stdout);
        match entries.get(path.as_str()) {
            None => Err(match self.hidden_by(commit, path).await? {
                Some((what, kind)) => GitError::NotAFile(what, kind),
                None => GitError::NoSuchPath(path.as_str().to_owned()),
            }),
            Some((mode, _)) => match special(mode) {
                Some(kind) => Err(GitError::NotAFile(path.as_str().to_owned(), kind)),
                None => Ok(()),
            },
        }
    }

    /// The link or the submodule on the way to a path, and what it is: behind it nothing is found.
    async fn hidden_by(
        &self,
        commit: &Oid,
        path: &RepoPath,
    ) -> Result<Option<(String, &'static str)>, GitError> {
        let path = path.as_str();
        let folders: Vec<&str> = path
            .match_indices('/')
            .filter_map(|(at, _)| path.get(..at))
            .collect();
        if folders.is_empty() {
            return Ok(None);
        }
        let mut args = vec!["ls-tree", "-z", commit.as_str(), "--"];
        args.extend(&folders);
        // What stands beside the way is listed, too.
        let entries = parse_tree(&self.good(&args).await?.stdout);
        Ok(folders.into_iter().find_map(|folder| {
            let (mode, _) = entries.get(folder)?;
            Some((folder.to_owned(), special(mode)?))
        }))
    }

    async fn tree_entries(
        &self,
        tip: &Oid,
        differences: &[RawDifference],
    ) -> Result<BTreeMap<String, (String, Oid)>, GitError> {
        if differences.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut args = vec!["ls-tree", "-r", "-z", tip.as_str(), "--"];
        args.extend(differences.iter().map(|d| d.path.as_str()));
        Ok(parse_tree(&self.good(&args).await?.stdout))
    }

    /// Fetches the contents of files, all in one go. What the server does not give now is asked for
    /// again when it is read.
    ///
    /// # Errors
    /// [`GitError`] only when a limit was hit.
    pub async fn prefetch(&self, contents: &[&Oid]) -> Result<(), GitError> {
        let mut wanted: Vec<&str> = contents.iter().map(|oid| oid.as_str()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let input: String = wanted.iter().map(|oid| format!("{oid}\n")).collect();
        let fetched = self.fetch(
            &["--filter=blob:none", "--stdin", "origin"],
            input.as_bytes(),
        );
        match fetched.await {
            Err(error @ GitError::Command(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// A file's content; of one that is too large, a little more than is accepted.
    ///
    /// # Errors
    /// [`GitError`] when it cannot be had.
    pub async fn read(&self, content: &Oid) -> Result<Vec<u8>, GitError> {
        let limits = Limits {
            stdout_bytes: FILE_BYTES_MAX + 1,
            ..self.limits
        };
        let args = ["cat-file", "blob", content.as_str()];
        let output = self.git.run(&args, &[], b"", limits).await?;
        if output.cut {
            Ok(output.stdout)
        } else {
            Ok(self.check(&args, output)?.stdout)
        }
    }

    pub(super) async fn commit_at(&self, reference: &str) -> Result<Oid, GitError> {
        let wanted = format!("{reference}^{{commit}}");
        self.oid(&["rev-parse", "--verify", "--quiet", &wanted], &[], b"")
            .await
    }

    pub(super) async fn fetch(&self, args: &[&str], input: &[u8]) -> Result<(), GitError> {
        let mut all = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--recurse-submodules=no",
        ];
        all.extend(args);
        self.good_with(&all, &[], input).await.map(|_| ())
    }

    pub(super) async fn oid(
        &self,
        args: &[&str],
        environment: &[(&str, &OsStr)],
        input: &[u8],
    ) -> Result<Oid, GitError> {
        let text = self.good_with(args, environment, input).await?.text();
        Oid::parse(&text).ok_or_else(|| GitError::Other {
            command: args.first().copied().unwrap_or_default().to_owned(),
            message: "no object name in its answer".to_owned(),
        })
    }

    pub(super) async fn good(&self, args: &[&str]) -> Result<Output, GitError> {
        self.good_with(args, &[], b"").await
    }

    pub(super) async fn good_with(
        &self,
        args: &[&str],
        environment: &[(&str, &OsStr)],
        input: &[u8],
    ) -> Result<Output, GitError> {
        let output = self.git.run(args, environment, input, self.limits).await?;
        self.check(args, output)
    }

    fn check(&self, args: &[&str], output: Output) -> Result<Output, GitError> {
        if output.status.success() || output.cut {
            Ok(output)
        } else {
            Err(self.failure(args.first().copied().unwrap_or_default(), &output))
        }
    }

    pub(super) fn failure(&self, command: &str, output: &Output) -> GitError {
        failure(
            command,
            output,
            (!self.has_credential).then(|| self.remote.url()),
        )
    }
}
