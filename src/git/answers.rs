//! What `git` says, read: object names, lists of files, and what its failures mean.

use std::collections::BTreeMap;
use std::fmt;

use super::command::{CommandError, Output};
use super::credentials::CredentialError;

/// Most files that may differ between two versions below the source's path. More are not one
/// workload's change.
pub(super) const FILES_MAX: usize = 200;

/// Why something could not be done with a repository. Texts hold no secrets.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The server wants a credential and there is none for this repository.
    #[error("no credential for {0}; mount one whose url covers it")]
    NoCredentials(String),
    /// The server refused the credential.
    #[error(
        "the server refuses the credential; it may have expired, or may read here and not push: {0}"
    )]
    Authentication(String),
    /// The server has had enough of us for a while.
    #[error("the server limits how often it is asked: {0}")]
    RateLimited(String),
    /// The repository is at another address. A credential is not carried there.
    #[error(
        "the repository has moved and the server redirects, which is not followed; let \
         tidegate.io/source-repo name the address that it redirects to, and --allow-repository \
         permit it: {0}"
    )]
    Redirected(String),
    /// The server's host key is not the known one.
    #[error(
        "the server's host key is not in known_hosts or has changed; whoever runs the server says \
         which key it has, and the administrator puts that one there: {0}"
    )]
    HostKey(String),
    /// There is no such repository, or it is hidden from this credential.
    #[error("repository not found: {0}")]
    NotFound(String),
    /// The server does not answer as it should.
    #[error("the server cannot be reached or fails: {0}")]
    Unreachable(String),
    /// The branch is not there.
    #[error(
        "there is no branch {0:?}; revert by hand, and let tidegate.io/source-branch name one that is \
         there"
    )]
    NoSuchBranch(String),
    /// The name is a tag's.
    #[error(
        "{0:?} is a tag, not a branch; revert by hand, and let tidegate.io/source-branch name a branch"
    )]
    IsATag(String),
    /// A commit is not in the branch's history.
    #[error(
        "commit {0} is not in the branch's history as far as it was fetched, and by the values alone \
         nothing certain was found; revert by hand"
    )]
    NotInHistory(String),
    /// The path names nothing.
    #[error(
        "there is no {0:?} in the repository; revert by hand, and let tidegate.io/source-path name \
         what is there"
    )]
    NoSuchPath(String),
    /// Something at the path is not a file.
    #[error(
        "{0}: a {1}, which is not followed; revert by hand, and let tidegate.io/source-repo and \
         tidegate.io/source-path name the file itself"
    )]
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

/// What a failed command means, by its words; the environment fixes their language. `no_credential`
/// is the repository's URL where none was given to it.
pub(super) fn failure(command: &str, output: &Output, no_credential: Option<&str>) -> GitError {
    let message = match output.stderr.as_str() {
        "" => format!("ended with {}", output.status),
        words => words.to_owned(),
    };
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if says(&[
        "error: 429",
        "rate limit",
        "too many requests",
        "retry later",
    ]) {
        // Said with 403 as well, which otherwise is about the credential.
        GitError::RateLimited(message)
    } else if says(&[
        "error: 301",
        "error: 302",
        "error: 303",
        "error: 307",
        "error: 308",
    ]) {
        GitError::Redirected(message)
    } else if says(&[
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
        "write access",
        "not authorized",
        "not allowed to upload",
        "not allowed to push",
    ]) {
        match no_credential {
            Some(url) => GitError::NoCredentials(url.to_owned()),
            None => GitError::Authentication(message),
        }
    } else if says(&[
        "repository not found",
        "error: 404",
        "not found",
        "could not be found",
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

/// What the server says about a reference that it did not update.
pub(super) fn refused(summary: &str, stderr: &str) -> Result<Push, GitError> {
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
    // A hook that could not ask whether the push is allowed declines it, too.
    if says(&[
        "api unreachable",
        "api error",
        "api is not accessible",
        "internal error",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway time",
        "timed out",
        "temporarily unavailable",
        "try again later",
    ]) {
        let message = format!("{summary} {stderr}");
        return Err(GitError::Unreachable(message.trim().to_owned()));
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

pub(super) struct RawDifference {
    pub path: String,
    pub modes: [String; 2],
    pub good: Option<Oid>,
    pub bad: Option<Oid>,
}

/// `:100644 100644 <old> <new> M\0path\0` …
pub(super) fn parse_raw_diff(bytes: &[u8]) -> Vec<RawDifference> {
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
        // A name that is no text could not be asked for again, and would seem to be gone at the tip.
        if path.contains(char::REPLACEMENT_CHARACTER) {
            continue;
        }
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
pub(super) fn parse_tree(bytes: &[u8]) -> BTreeMap<String, (String, Oid)> {
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

pub(super) fn special(mode: &str) -> Option<&'static str> {
    match mode {
        "120000" => Some("symbolic link"),
        "160000" => Some("submodule"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
