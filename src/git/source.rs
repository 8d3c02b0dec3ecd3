//! Where a revert may go: repository, branch and path, taken apart and checked before `git` sees
//! them, and the list of what the administrator allows.
//!
//! They come from annotations that tenants may write. The Git writer holds credentials that they
//! do not, so what is not plainly harmless is refused here. Pure.

use std::fmt;
use std::str::FromStr;

use crate::core::source::without_secrets;

/// Longest URL, as in the schema.
const URL_LENGTH_MAX: usize = 2048;

/// Why a source cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The repository is not one that is spoken to.
    #[error(
        "repository {0:?}: {1}; allowed are https://host/path, http://host/path, \
         ssh://user@host/path and user@host:path, without password, query or '..'"
    )]
    Repository(String, &'static str),
    /// Not a branch that could be pushed to.
    #[error("branch {0:?}: {1}; give the branch's name alone, as in main")]
    Branch(String, &'static str),
    /// Not a path inside a repository.
    #[error("path {0:?}: {1}; give a file or folder relative to the repository's root")]
    Path(String, &'static str),
}

/// How a repository is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `ssh://` and `user@host:path`
    Ssh,
    /// A bare repository on disk.
    File,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    url: String,
    scheme: Scheme,
    /// The same for all spellings of one repository.
    key: String,
}

impl Remote {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`SourceError::Repository`] when it has another form or carries anything but an address.
    pub fn parse(text: &str) -> Result<Remote, SourceError> {
        let refuse = |why| SourceError::Repository(without_secrets(text), why);
        if text.is_empty() || text.len() > URL_LENGTH_MAX {
            return Err(refuse("empty or too long"));
        }
        if text.contains(['?', '#']) {
            return Err(refuse("a query or fragment in it"));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "\\\"'".contains(c))
        {
            return Err(refuse("a character that no address has"));
        }
        let (scheme, authority, path) = match text.split_once("://") {
            Some(("file", path)) => (Scheme::File, "", path),
            Some((scheme, rest)) => {
                let scheme = match scheme {
                    "https" => Scheme::Https,
                    "http" => Scheme::Http,
                    "ssh" => Scheme::Ssh,
                    _ => return Err(refuse("another protocol")),
                };
                let slash = rest.find('/').ok_or_else(|| refuse("no path"))?;
                let (authority, path) = rest.split_at(slash);
                (scheme, authority, path)
            }
            None if text.starts_with('/') => (Scheme::File, "", text),
            None => {
                let (authority, path) = text.split_once(':').ok_or_else(|| refuse("no host"))?;
                if authority.contains('/') || path.starts_with(':') || !authority.contains('@') {
                    return Err(refuse("neither a URL nor user@host:path"));
                }
                (Scheme::Ssh, authority, path)
            }
        };
        let host = if scheme == Scheme::File {
            String::new()
        } else {
            let is_url = text.contains("://");
            host(authority, scheme, is_url).map_err(refuse)?
        };
        let steps = path.trim_matches('/');
        if steps.is_empty() || steps.starts_with('-') {
            return Err(refuse("no path, or one that begins with a dash"));
        }
        if steps.split('/').any(|step| step == ".." || step == ".") || path.contains('%') {
            return Err(refuse("'.', '..' or an escape in the path"));
        }
        let name = match scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::Ssh => "ssh",
            Scheme::File => "file",
        };
        let bare = steps.strip_suffix(".git").unwrap_or(steps);
        Ok(Remote {
            url: text.to_owned(),
            scheme,
            key: format!("{name}://{host}/{bare}"),
        })
    }

    /// The URL as `git` gets it. It holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The same text for all spellings of one repository.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The beginning of the keys of all repositories at or below a URL, which may be a whole host's.
    ///
    /// # Errors
    /// [`SourceError::Repository`] when it has another form or carries anything but an address.
    pub fn prefix(text: &str) -> Result<String, SourceError> {
        let bare = text.trim_end_matches('/');
        let rest = bare.split_once("://").map(|(_, rest)| rest);
        if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
            let below = Remote::parse(&format!("{bare}/x"))?.key;
            return Ok(below.strip_suffix("/x").unwrap_or(&below).to_owned());
        }
        Ok(Remote::parse(text)?.key)
    }

    /// Whether the repository is `prefix` or lies below it: `https://git.example/shop` holds
    /// `https://git.example/shop/config`, not `https://git.example/shopping`.
    pub fn is_below(&self, prefix: &str) -> bool {
        let prefix = prefix.trim_end_matches('/');
        self.key
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Host and port in lower case, without the user.
fn host(authority: &str, scheme: Scheme, is_url: bool) -> Result<String, &'static str> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    match (scheme, user) {
        (Scheme::Ssh, Some(user)) => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if user.is_empty() || user.starts_with('-') || !user.chars().all(allowed) {
                return Err("a password or a strange user name in it");
            }
        }
        (_, Some(_)) => return Err("a user name or password in it"),
        (_, None) => {}
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if is_url && !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|p| !p.parse::<u16>().is_ok_and(|p| p > 0)) {
        return Err("a port that is not between 1 and 65535");
    }
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-'),
    };
    if name.is_empty() || name.starts_with(['-', '.']) || !valid {
        return Err("no valid host");
    }
    Ok(host.to_ascii_lowercase())
}

/// A branch's name, without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch(String);

impl Branch {
    /// Reads a branch's name by the rules of `git check-ref-format`.
    ///
    /// # Errors
    /// [`SourceError::Branch`] when it is not one.
    pub fn parse(text: &str) -> Result<Branch, SourceError> {
        let refuse = |why| Err(SourceError::Branch(text.to_owned(), why));
        if text.is_empty() || text.len() > 255 {
            return refuse("empty or longer than 255 bytes");
        }
        if text == "HEAD" || text.starts_with("refs/") {
            return refuse("a reference, not a branch's name");
        }
        if (text.len() == 40 || text.len() == 64) && text.chars().all(|c| c.is_ascii_hexdigit()) {
            return refuse("a commit, which nothing can be pushed to");
        }
        let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        if text.contains(forbidden) || text.contains("..") || text.contains("@{") || text == "@" {
            return refuse("a character that no branch may have");
        }
        let step = |s: &str| s.is_empty() || s.starts_with(['.', '-']) || s.ends_with(".lock");
        if text.ends_with('.') || text.split('/').any(step) {
            return refuse("an empty or forbidden part");
        }
        Ok(Branch(text.to_owned()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// `refs/heads/…`
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file or folder of a repository; the empty path is its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoPath(String);

impl RepoPath {
    /// Reads a path relative to the root. `.` is the root.
    ///
    /// # Errors
    /// [`SourceError::Path`] when it leads out of the repository or into `.git`.
    pub fn parse(text: &str) -> Result<RepoPath, SourceError> {
        let refuse = |why| Err(SourceError::Path(text.to_owned(), why));
        if text.is_empty() || text.len() > 1024 {
            return refuse("empty or longer than 1024 bytes");
        }
        if text.starts_with('/') || text.contains('\\') || text.chars().any(char::is_control) {
            return refuse("not relative, or with a character that no path should have");
        }
        let steps: Vec<&str> = text
            .split('/')
            .filter(|s| !s.is_empty() && *s != ".")
            .collect();
        if steps
            .iter()
            .any(|s| *s == ".." || s.eq_ignore_ascii_case(".git"))
        {
            return refuse("leads out of the files");
        }
        Ok(RepoPath(steps.join("/")))
    }

    /// The path; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One entry of the allow-list: `[NAMESPACE=]REPOSITORY[/*][#BRANCH]`.
///
/// Without a namespace every namespace may use the repository, without a branch every branch.
/// `*` stands for anything in NAMESPACE and BRANCH; after the repository, `/*` stands for all
/// repositories below. A repository on disk has to be named as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    namespace: String,
    repository: String,
    below: bool,
    branch: String,
}

impl FromStr for Allowed {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Allowed, SourceError> {
        let (namespace, rest) = match text.split_once('=') {
            Some((namespace, rest)) if !namespace.contains(['/', ':']) => (namespace, rest),
            _ => ("*", text),
        };
        let (repository, branch) = rest.split_once('#').unwrap_or((rest, "*"));
        let (repository, below) = match repository.strip_suffix("/*") {
            Some(repository) => (repository, true),
            None => (repository, false),
        };
        // `https://host/*`: everything on one host.
        let key = if below {
            Remote::prefix(repository)?
        } else {
            Remote::parse(repository)?.key
        };
        if below && key.starts_with("file:") {
            return Err(SourceError::Repository(
                repository.to_owned(),
                "a repository on disk has to be named as a whole",
            ));
        }
        Ok(Allowed {
            namespace: namespace.to_owned(),
            repository: key,
            below,
            branch: branch.to_owned(),
        })
    }
}

impl Allowed {
    /// Protocol and host of the repositories; nothing for one on disk, to which nobody logs in.
    pub fn origin(&self) -> Option<&str> {
        let (scheme, rest) = self.repository.split_once("://")?;
        let host = rest.split('/').next().filter(|host| !host.is_empty())?;
        self.repository
            .get(..scheme.len() + "://".len() + host.len())
    }

    /// Whether objects in `namespace` may have `branch` of `remote` changed.
    pub fn permits(&self, namespace: &str, remote: &Remote, branch: &Branch) -> bool {
        let repository = if self.below {
            remote.is_below(&self.repository) && remote.key != self.repository
        } else {
            remote.key == self.repository
        };
        repository && glob(&self.namespace, namespace) && glob(&self.branch, branch.name())
    }
}

/// Whether `text` is `pattern`, where `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))
        }),
    }
}

#[cfg(test)]
mod tests;
