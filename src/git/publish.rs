//! The half of a repository that makes commits, finds them again, and pushes.

use std::ffi::{OsStr, OsString};

use jiff::Timestamp;

use super::answers::{GitError, Oid, Push, refused};
use super::command::Limits;
use super::repo::{ChangedFile, Repo};
use super::source::Branch;

/// The reference under which the tip of a request's branch is kept.
const HEAD: &str = "refs/tidegate/head";

/// The longest diff that is read; what goes into a status is shorter still.
const DIFF_BYTES_MAX: usize = 64 * 1024;

impl Repo {
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

    /// The change from one commit to another as a unified diff, of the changed lines alone: what
    /// stands around them may be nobody's business who reads a status.
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
            "--unified=0",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            from.as_str(),
            to.as_str(),
        ];
        let output = self.git.run(&args, &[], b"", limits).await?;
        Ok(without_headings(&String::from_utf8_lossy(&output.stdout)))
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

    /// The commit at the tip of a branch, and whether its message has `line` as a line; nothing where
    /// there is no such branch.
    ///
    /// # Errors
    /// [`GitError`] when the server was of no use.
    pub async fn head(&self, branch: &Branch, line: &str) -> Result<Option<(Oid, bool)>, GitError> {
        let spec = format!("+{}:{HEAD}", branch.reference());
        let args = ["--depth=1", "--filter=tree:0", "origin", spec.as_str()];
        match self.fetch(&args, b"").await {
            Ok(()) => {}
            Err(GitError::Other { message, .. }) if message.contains("find remote ref") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let oid = self.commit_at(HEAD).await?;
        let message = self.message(&oid).await?;
        let has_line = message.lines().any(|l| l.trim_end() == line);
        Ok(Some((oid, has_line)))
    }

    /// The message of a commit.
    ///
    /// # Errors
    /// [`GitError`] when `git` fails.
    pub async fn message(&self, commit: &Oid) -> Result<String, GitError> {
        let args = ["log", "-1", "--format=%B", commit.as_str()];
        Ok(self.good(&args).await?.text())
    }

    /// Pushes `commit`, whose parent is `tip`, to the branch: it succeeds only if the branch still
    /// is at `tip`, so nothing is ever taken away by it. A push without that condition also goes
    /// through where somebody has set the branch back meanwhile, and brings back what he took away.
    ///
    /// # Errors
    /// [`GitError`] when the server could not be asked, or its answer is lost: the commit may then
    /// be on the branch or not, and the branch has to be read again.
    pub async fn push(&self, commit: &Oid, tip: &Oid, branch: &Branch) -> Result<Push, GitError> {
        self.push_over(commit, Some(tip), branch).await
    }

    /// Pushes `commit` to a branch that is at `before`, or that is not there: whatever else somebody
    /// has put there meanwhile stays.
    ///
    /// # Errors
    /// As [`Repo::push`].
    pub async fn push_over(
        &self,
        commit: &Oid,
        before: Option<&Oid>,
        branch: &Branch,
    ) -> Result<Push, GitError> {
        let spec = format!("{commit}:{}", branch.reference());
        let before = before.map(Oid::as_str).unwrap_or_default();
        let lease = format!("--force-with-lease={}:{before}", branch.reference());
        let args = [
            "push",
            "--porcelain",
            "--no-verify",
            &lease,
            "origin",
            &spec,
        ];
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
            Some(' ' | '*' | '+') if output.status.success() => Ok(Push::Pushed),
            Some('!') => refused(&summary, &output.stderr),
            _ => Err(self.failure("push", &output)),
        }
    }
}

/// The diff without the line that `git` repeats behind the place of a change, as a heading: it is one
/// of the lines around.
fn without_headings(diff: &str) -> String {
    let place = |line: &str| -> Option<usize> {
        let rest = line.strip_prefix("@@ ")?;
        Some("@@ ".len() + rest.find(" @@")? + " @@".len())
    };
    let mut out = String::with_capacity(diff.len());
    for line in diff.split_inclusive('\n') {
        match place(line).and_then(|end| line.get(..end)) {
            Some(bare) => {
                out.push_str(bare);
                out.push('\n');
            }
            None => out.push_str(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_says_nothing_of_the_lines_around() {
        let diff = "--- a/v.yaml\n+++ b/v.yaml\n@@ -4 +4,2 @@ password: hunter2\n-tag: @@ v2 @@\n\
                    +@@ tag\n@@ -9 +10 @@\n-b: 2\n+b: 1\n";
        assert_eq!(
            without_headings(diff),
            "--- a/v.yaml\n+++ b/v.yaml\n@@ -4 +4,2 @@\n-tag: @@ v2 @@\n+@@ tag\n@@ -9 +10 @@\n\
             -b: 2\n+b: 1\n"
        );
        // Cut in the middle.
        assert_eq!(without_headings("@@ -4 +4"), "@@ -4 +4");
        assert_eq!(without_headings("@@ -4 +4 @@ pass"), "@@ -4 +4 @@\n");
    }
}
