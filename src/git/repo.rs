//! One remote repository, spoken to through the `git` program.
//!
//! Everything happens in a bare repository in a private folder that lives as long as the [`Repo`].
//! There is no work tree: nothing of the repository's content is written out or executed, and
//! submodules, links, filters and hooks stay what they are, bytes. Only what is needed is fetched:
//! the tip without file contents, then history without trees as far back as the commits that are
//! asked for, then the files. A push is never forced, so it is a compare-and-swap on the branch.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::command::{CommandError, Git, Limits, Output};
use super::credentials::{self, Credential, CredentialError};
use super::leaf::FILE_BYTES_MAX;
use super::redact::Redactor;
use super::source::{Branch, Remote, RepoPath, Scheme};

/// How deep history is fetched, step by step, until a commit is found. The first step is right for
/// nearly all; the last is more than a year of the busiest repositories.
const DEPTHS: [u32; 3] = [64, 1024, 16_384];

/// Most files that may differ between two versions below the source's path. More are not one
/// workload's change.
const FILES_MAX: usize = 200;

/// Output of commands that list commits or files.
const LISTING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest diff that is read; what goes into a status is shorter still.
const DIFF_BYTES_MAX: usize = 64 * 1024;

/// The reference under which the branch's tip is kept.
const TIP: &str = "refs/tidegate/tip";

/// Variables that are passed on from our own environment: where programs are, and the proxy.
const INHERITED: [&str; 8] = [
    "PATH",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
];

/// How `git` is run.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// The program.
    pub program: PathBuf,
    /// Where the private folders are made; the system's folder for temporary files if absent.
    pub work_dir: Option<PathBuf>,
    /// Where the credentials are, see [`credentials`].
    pub credentials: Option<PathBuf>,
    /// How long one command may take.
    pub timeout: Duration,
    /// How much one repository may take on disk, in bytes.
    pub disk_bytes_max: u64,
    /// Author and committer of the reverts.
    pub identity: Identity,
}

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

/// Why something could not be done with a repository. Texts hold no secrets.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The server wants a credential and there is none for this repository.
    #[error("no credential for {0}; mount one whose url covers it")]
    NoCredentials(String),
    /// The server refused the credential.
    #[error("the server refuses the credential: {0}")]
    Authentication(String),
    /// The server's host key is not the known one.
    #[error("the server's host key is not in known_hosts or has changed: {0}")]
    HostKey(String),
    /// There is no such repository, or it is hidden from this credential.
    #[error("repository not found: {0}")]
    NotFound(String),
    /// The server does not answer as it should.
    #[error("the server cannot be reached or fails: {0}")]
    Unreachable(String),
    /// The branch is not there.
    #[error("there is no branch {0:?}")]
    NoSuchBranch(String),
    /// The name is a tag's.
    #[error("{0:?} is a tag, not a branch")]
    IsATag(String),
    /// A commit is not in the branch's history.
    #[error("commit {0} is not in the branch's history as far as it was fetched")]
    NotInHistory(String),
    /// The path names nothing.
    #[error("there is no {0:?} in the repository")]
    NoSuchPath(String),
    /// Something at the path is not a file.
    #[error("{0}: a {1}, which is not followed")]
    NotAFile(String, &'static str),
    /// Too many files changed.
    #[error("more than {FILES_MAX} files changed below {0:?}; name the file in the source path")]
    TooManyFiles(String),
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A command had no result.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The private folder could not be made.
    #[error("work folder: {0}")]
    WorkDir(#[source] std::io::Error),
    /// Anything else that `git` says.
    #[error("git {command}: {message}")]
    Other {
        /// Which command.
        command: String,
        /// Its words.
        message: String,
    },
}

/// Name of a commit or file content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid(String);

impl Oid {
    /// Reads 40 or 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Oid> {
        let valid = (text.len() == 40 || text.len() == 64)
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        valid.then(|| Oid(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All zeros stand for "not there" in a diff.
    fn exists(self) -> Option<Oid> {
        self.0.contains(|c| c != '0').then_some(self)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// The branch is now at the commit.
    Pushed,
    /// It was there already.
    UpToDate,
    /// Somebody else pushed first.
    Race(String),
    /// The server does not let us change the branch.
    Protected(String),
}

/// A repository in its private folder.
#[derive(Debug)]
pub struct Repo {
    // Dropped last: the folder goes when nothing uses it any more.
    git: Git,
    limits: Limits,
    identity: Identity,
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
            Some(folder) => credentials::find(folder, remote)?,
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
            let known: std::collections::BTreeSet<&str> = listed.lines().collect();
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

    /// The last commits up to `from` that changed something at `path`, the newest first, at most
    /// `count`. Looks back no further than the first step of history.
    ///
    /// # Errors
    /// [`GitError`] when the server was of no use.
    pub async fn touching(
        &self,
        branch: &Branch,
        from: &Oid,
        path: &RepoPath,
        count: usize,
    ) -> Result<Vec<Oid>, GitError> {
        let [depth, ..] = DEPTHS;
        self.deepen(branch, depth, "blob:none").await?;
        let count = format!("--max-count={count}");
        let mut args = vec!["log", "--format=%H", &count, from.as_str(), "--"];
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
            None => Err(GitError::NoSuchPath(path.as_str().to_owned())),
            Some((mode, _)) => match special(mode) {
                Some(kind) => Err(GitError::NotAFile(path.as_str().to_owned(), kind)),
                None => Ok(()),
            },
        }
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

    /// Makes a commit on `tip` with new contents for some files. The same inputs make the same
    /// commit.
    ///
    /// # Errors
    /// [`GitError`] when `git` fails.
    pub async fn commit(
        &self,
        tip: &Oid,
        files: &[(&ChangedFile, &str)],
        message: &str,
        at: Timestamp,
    ) -> Result<Oid, GitError> {
        let index = self.git.dir.join("revert-index");
        let with_index = [("GIT_INDEX_FILE", index.as_os_str())];
        let _ = std::fs::remove_file(&index);
        self.good_with(&["read-tree", tip.as_str()], &with_index, b"")
            .await?;
        for (file, text) in files {
            let args = ["hash-object", "-w", "--stdin"];
            let content = self.oid(&args, &[], text.as_bytes()).await?;
            let entry = format!("{},{content},{}", file.mode, file.path);
            self.good_with(
                &["update-index", "--add", "--cacheinfo", &entry],
                &with_index,
                b"",
            )
            .await?;
        }
        let tree = self
            .oid(&["write-tree", "--missing-ok"], &with_index, b"")
            .await?;
        let date = OsString::from(format!("{} +0000", at.as_second()));
        let (name, email) = (
            OsStr::new(&self.identity.name),
            OsStr::new(&self.identity.email),
        );
        let who = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", email),
            ("GIT_AUTHOR_DATE", date.as_os_str()),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", email),
            ("GIT_COMMITTER_DATE", date.as_os_str()),
        ];
        let args = ["commit-tree", tree.as_str(), "-p", tip.as_str(), "-F", "-"];
        self.oid(&args, &who, message.as_bytes()).await
    }

    /// The change from one commit to another as a unified diff.
    ///
    /// # Errors
    /// [`GitError`] when `git` fails.
    pub async fn diff(&self, from: &Oid, to: &Oid) -> Result<String, GitError> {
        let limits = Limits {
            stdout_bytes: DIFF_BYTES_MAX,
            ..self.limits
        };
        let args = [
            "diff-tree",
            "-p",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            from.as_str(),
            to.as_str(),
        ];
        let output = self.git.run(&args, &[], b"", limits).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The newest commit behind `tip` (and not behind `since`) whose message has `line` as a line.
    ///
    /// # Errors
    /// [`GitError`] when `git` fails.
    pub async fn find_by_line(
        &self,
        tip: &Oid,
        since: Option<&Oid>,
        line: &str,
    ) -> Result<Option<Oid>, GitError> {
        let grep = format!("--grep={line}");
        let mut args = vec![
            "log",
            "--fixed-strings",
            &grep,
            "--max-count=20",
            "-z",
            "--format=%H%n%B",
            tip.as_str(),
        ];
        let not = since.map(|oid| format!("^{oid}"));
        args.extend(not.as_deref());
        args.push("--");
        let output = self.good(&args).await?;
        let text = output.text();
        Ok(text.split('\0').find_map(|commit| {
            let (oid, body) = commit.split_once('\n')?;
            body.lines()
                .any(|l| l.trim_end() == line)
                .then(|| Oid::parse(oid))
                .flatten()
        }))
    }

    /// Pushes `commit` to the branch, never by force: it succeeds only if the branch has not moved.
    ///
    /// # Errors
    /// [`GitError`] when the server could not be asked, or its answer is lost: the commit may then
    /// be on the branch or not, and the branch has to be read again.
    pub async fn push(&self, commit: &Oid, branch: &Branch) -> Result<Push, GitError> {
        let spec = format!("{commit}:{}", branch.reference());
        let args = ["push", "--porcelain", "--no-verify", "origin", &spec];
        let output = self.git.run(&args, &[], b"", self.limits).await?;
        let text = output.text();
        let line = text
            .lines()
            .find(|l| l.contains(&branch.reference()) && l.contains('\t'));
        let summary = line
            .unwrap_or_default()
            .splitn(3, '\t')
            .nth(2)
            .unwrap_or_default();
        let summary = self.git.redactor.scrub(summary);
        match line.and_then(|l| l.chars().next()) {
            Some('=') => Ok(Push::UpToDate),
            Some(' ' | '*') if output.status.success() => Ok(Push::Pushed),
            Some('!') => refused(&summary, &output.stderr),
            _ => Err(self.failure("push", &output)),
        }
    }

    async fn commit_at(&self, reference: &str) -> Result<Oid, GitError> {
        let wanted = format!("{reference}^{{commit}}");
        self.oid(&["rev-parse", "--verify", "--quiet", &wanted], &[], b"")
            .await
    }

    async fn fetch(&self, args: &[&str], input: &[u8]) -> Result<(), GitError> {
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

    async fn oid(
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

    async fn good(&self, args: &[&str]) -> Result<Output, GitError> {
        self.good_with(args, &[], b"").await
    }

    async fn good_with(
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

    /// What a failed command means, by its words; the environment fixes their language.
    fn failure(&self, command: &str, output: &Output) -> GitError {
        let message = match output.stderr.as_str() {
            "" => format!("ended with {}", output.status),
            words => words.to_owned(),
        };
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|w| lower.contains(w));
        if says(&[
            "host key verification failed",
            "host identification has changed",
        ]) {
            GitError::HostKey(message)
        } else if says(&[
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied",
            "error: 401",
            "error: 403",
            "access denied",
            "not granted",
            "read-only",
            "read only",
            "not allowed to upload",
        ]) {
            if self.has_credential {
                GitError::Authentication(message)
            } else {
                GitError::NoCredentials(self.remote.url().to_owned())
            }
        } else if says(&[
            "repository not found",
            "error: 404",
            "not found",
            "not appear to be a git repository",
            "does not exist",
        ]) {
            GitError::NotFound(message)
        } else if says(&[
            "could not resolve",
            "connection refused",
            "connection reset",
            "connection timed out",
            "failed to connect",
            "unable to access",
            "timed out",
            "unexpectedly",
            "early eof",
            "rpc failed",
            "the remote end hung up",
            "no route to host",
            "could not read from remote repository",
        ]) {
            GitError::Unreachable(message)
        } else {
            GitError::Other {
                command: command.to_owned(),
                message,
            }
        }
    }
}

/// What the server says about a reference that it did not update.
fn refused(summary: &str, stderr: &str) -> Result<Push, GitError> {
    let lower = format!("{summary} {stderr}").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if says(&[
        "fetch first",
        "non-fast-forward",
        "stale info",
        "cannot lock ref",
        "failed to lock",
        "incorrect old value",
        "reference already exists",
        "failed to update ref",
    ]) {
        return Ok(Push::Race(summary.to_owned()));
    }
    if says(&[
        "hook declined",
        "protected",
        "gh006",
        "gh013",
        "not allowed to push",
        "prohibited",
    ]) {
        return Ok(Push::Protected(
            format!("{summary} {stderr}").trim().to_owned(),
        ));
    }
    Err(GitError::Other {
        command: "push".to_owned(),
        message: format!("{summary} {stderr}"),
    })
}

struct RawDifference {
    path: String,
    modes: [String; 2],
    good: Option<Oid>,
    bad: Option<Oid>,
}

/// `:100644 100644 <old> <new> M\0path\0` …
fn parse_raw_diff(bytes: &[u8]) -> Vec<RawDifference> {
    let text = String::from_utf8_lossy(bytes);
    let mut fields = text.split('\0');
    let mut out = Vec::new();
    while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
        let mut parts = head.trim_start_matches(':').split(' ');
        let (Some(old_mode), Some(new_mode), Some(old), Some(new)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        out.push(RawDifference {
            path: path.to_owned(),
            modes: [old_mode.to_owned(), new_mode.to_owned()],
            good: Oid::parse(old).and_then(Oid::exists),
            bad: Oid::parse(new).and_then(Oid::exists),
        });
    }
    out
}

/// `100644 blob <oid>\tpath\0` …, as path to mode and name.
fn parse_tree(bytes: &[u8]) -> BTreeMap<String, (String, Oid)> {
    String::from_utf8_lossy(bytes)
        .split('\0')
        .filter_map(|line| {
            let (head, path) = line.split_once('\t')?;
            let mut parts = head.split(' ');
            let (mode, _, oid) = (parts.next()?, parts.next()?, parts.next()?);
            Some((path.to_owned(), (mode.to_owned(), Oid::parse(oid)?)))
        })
        .collect()
}

fn special(mode: &str) -> Option<&'static str> {
    match mode {
        "120000" => Some("symbolic link"),
        "160000" => Some("submodule"),
        _ => None,
    }
}

/// The whole environment of `git`, and the files in the private folder that it names.
fn environment(
    dir: &Path,
    scheme: Scheme,
    credential: Option<&Credential>,
) -> Result<Vec<(OsString, OsString)>, GitError> {
    let config = dir.join(".gitconfig");
    write_private(&config, settings(scheme).as_bytes(), 0o600).map_err(GitError::WorkDir)?;
    let mut out: Vec<(OsString, OsString)> = INHERITED
        .iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
        .collect();
    let mut set = |name: &str, value: &OsStr| out.push((name.into(), value.to_owned()));
    set("HOME", dir.as_os_str());
    set("GIT_CONFIG_GLOBAL", config.as_os_str());
    for (name, value) in [
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_HTTP_LOW_SPEED_LIMIT", "100"),
        ("GIT_HTTP_LOW_SPEED_TIME", "20"),
    ] {
        set(name, OsStr::new(value));
    }
    if let Some(credential) = credential {
        for (name, value) in credential_environment(dir, credential).map_err(GitError::WorkDir)? {
            set(name, &value);
        }
    }
    Ok(out)
}

/// The configuration of `git`: no hook, no helper, no submodule, one protocol. A file, because the
/// other end of a repository on disk reads it too.
fn settings(scheme: Scheme) -> String {
    let protocol = match scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
        Scheme::Ssh => "ssh",
        Scheme::File => "file",
    };
    // A bare repository on disk may belong to another user; the allow-list names it.
    let safe = if scheme == Scheme::File {
        "[safe]\n\tdirectory = *\n"
    } else {
        ""
    };
    format!(
        "[core]\n\thooksPath = /dev/null\n\tsymlinks = false\n\tfsmonitor = false\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[credential]\n\thelper =\n\
         [http]\n\tfollowRedirects = false\n[push]\n\trecurseSubmodules = no\n\
         [submodule]\n\trecurse = false\n[protocol]\n\tallow = never\n\
         [protocol \"{protocol}\"]\n\tallow = always\n{safe}"
    )
}

/// The password is handed over by a small script that reads it from its file: so it is in no
/// argument, no URL and no variable.
fn credential_environment(
    dir: &Path,
    credential: &Credential,
) -> Result<Vec<(&'static str, OsString)>, std::io::Error> {
    let mut out = Vec::new();
    if let Some(password) = &credential.password {
        let script = dir.join("askpass");
        let text = "#!/bin/sh\ncase \"$1\" in\nUsername*) printf '%s\\n' \"$TIDEGATE_GIT_USERNAME\" ;;\n\
                    *) cat \"$TIDEGATE_GIT_PASSWORD_FILE\" ;;\nesac\n";
        write_private(&script, text.as_bytes(), 0o700)?;
        out.push(("GIT_ASKPASS", script.into_os_string()));
        out.push((
            "TIDEGATE_GIT_USERNAME",
            OsString::from(&credential.username),
        ));
        out.push((
            "TIDEGATE_GIT_PASSWORD_FILE",
            password.clone().into_os_string(),
        ));
    }
    if let (Some(identity), Some(known_hosts)) = (&credential.identity, &credential.known_hosts) {
        // A copy: ssh refuses a key that others may read, as mounted Secrets often are.
        let key = dir.join("identity");
        write_private(&key, &std::fs::read(identity)?, 0o600)?;
        let mut command = OsString::from(
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o IdentityAgent=none \
             -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o ForwardAgent=no \
             -o ClearAllForwardings=yes -o ConnectTimeout=15 -o ServerAliveInterval=10 \
             -o ServerAliveCountMax=3",
        );
        command.push(" -i ");
        command.push(shell_quoted(&key));
        command.push(" -o UserKnownHostsFile=");
        command.push(shell_quoted(known_hosts));
        out.push(("GIT_SSH_COMMAND", command));
        out.push(("GIT_SSH_VARIANT", OsString::from("ssh")));
    }
    if let Some(ca) = &credential.ca {
        out.push(("GIT_SSL_CAINFO", ca.clone().into_os_string()));
    }
    Ok(out)
}

fn write_private(path: &Path, bytes: &[u8], mode: u32) -> Result<(), std::io::Error> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)
}

fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
