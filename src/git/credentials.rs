//! The credentials that are mounted into the Git writer's pod.
//!
//! One folder holds them: either the files of one credential, or a folder for each. The files are
//! named as in the Secrets that GitOps tools use: `url` (which repositories it is for, a prefix),
//! `username`, `password` or `token`, `identity` or `ssh-privatekey`, `known_hosts`, `ca.crt`, and, for
//! pull requests, `forge` (which kind of forge it is) and `apiURL` (where its API is). They are read anew for every run, so that a rotated Secret takes effect. A credential is never used
//! for a repository outside its `url`, and one without is used only where all allowed repositories are
//! on one host and spoken to in one way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::redact::Redactor;
use super::source::{Remote, Scheme};

/// A secret larger than this is none.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The user name where none is given: forges look at the token alone.
const USERNAME: &str = "git";

/// Why the credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file or folder cannot be read.
    #[error("credentials: {path}: {error}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file has contents that cannot be meant.
    #[error("credentials: {path}: {problem}")]
    Content {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// One credential would go to whichever host a tenant names.
    #[error(
        "credentials: {0} has no file url, and repositories on several hosts or by several \
         protocols are allowed; say in url for which of them it is, as in https://git.example.com/shop"
    )]
    WithoutUrl(PathBuf),
}

/// Where the credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSource {
    /// The folder.
    pub folder: PathBuf,
    /// Whether each has to say for which repositories it is: there is more than one host, or way of
    /// speaking to it.
    pub url_needed: bool,
}

/// What is used to speak to one repository. Holds paths; the secrets stay in their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Credential {
    pub username: String,
    pub password: Option<PathBuf>,
    pub identity: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// What kind of forge it is.
    pub forge: Option<PathBuf>,
    /// Where the forge's API is.
    pub api_url: Option<PathBuf>,
}

impl Credential {
    /// Whether it is of use for this way of speaking.
    pub fn serves(&self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Http | Scheme::Https => self.password.is_some(),
            Scheme::Ssh => self.identity.is_some() && self.known_hosts.is_some(),
            Scheme::File => true,
        }
    }

    /// Tells the redactor what must never be said.
    pub fn teach(&self, redactor: &mut Redactor) -> Result<(), CredentialError> {
        if let Some(path) = &self.password {
            redactor.add(&self.username, &line(path)?);
        }
        if let Some(path) = &self.identity {
            redactor.add(&self.username, &read(path)?);
        }
        Ok(())
    }
}

/// The credential for `remote`: the one with the longest matching `url`, else the one without, where
/// there is only one host that it could be for.
pub(super) fn find(
    source: &CredentialSource,
    remote: &Remote,
) -> Result<Option<Credential>, CredentialError> {
    let mut best: Option<(usize, PathBuf)> = None;
    for folder in folders(&source.folder)? {
        let length = match existing(&folder, &["url"]) {
            None => 0,
            Some(path) => {
                let url = line(&path)?;
                let prefix = Remote::prefix(&url).map_err(|error| CredentialError::Content {
                    path,
                    problem: error.to_string(),
                })?;
                if !remote.is_below(&prefix) {
                    continue;
                }
                prefix.len()
            }
        };
        if best.as_ref().is_none_or(|(longest, _)| length > *longest) {
            best = Some((length, folder));
        }
    }
    match best {
        // A repository on disk is not logged in to.
        Some((0, folder)) if source.url_needed && remote.scheme() != Scheme::File => {
            Err(CredentialError::WithoutUrl(folder))
        }
        Some((_, folder)) => credential(&folder).map(Some),
        None => Ok(None),
    }
}

fn credential(folder: &Path) -> Result<Credential, CredentialError> {
    let username = match existing(folder, &["username"]) {
        Some(path) => line(&path)?,
        None => USERNAME.to_owned(),
    };
    Ok(Credential {
        username,
        password: existing(folder, &["password", "token"]),
        identity: existing(folder, &["identity", "ssh-privatekey"]),
        known_hosts: existing(folder, &["known_hosts"]),
        ca: existing(folder, &["ca.crt"]),
        forge: existing(folder, &["forge"]),
        api_url: existing(folder, &["apiURL"]),
    })
}

/// The folder itself and those in it, in the order of their names. A mounted Secret has files and
/// folders beginning with two dots, which are not ours.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, CredentialError> {
    let failed = |error| CredentialError::Read {
        path: dir.to_owned(),
        error,
    };
    let mut folders = vec![];
    let known = [
        "url",
        "username",
        "password",
        "token",
        "identity",
        "ssh-privatekey",
        "known_hosts",
        "ca.crt",
    ];
    if existing(dir, &known).is_some() {
        folders.push(dir.to_owned());
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().to_string_lossy().starts_with("..");
        if !hidden && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn existing(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

/// A file, as text.
pub(super) fn read(path: &Path) -> Result<String, CredentialError> {
    let failed = |error| CredentialError::Read {
        path: path.to_owned(),
        error,
    };
    let refuse = |problem: &str| CredentialError::Content {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(refuse("larger than 64 KiB"));
    }
    String::from_utf8(fs::read(path).map_err(failed)?).map_err(|_| refuse("not text"))
}

/// A file with one line.
pub(super) fn line(path: &Path) -> Result<String, CredentialError> {
    let text = read(path)?;
    let line = text.trim_end_matches(['\n', '\r']);
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(CredentialError::Content {
            path: path.to_owned(),
            problem: "empty, or more than one line".to_owned(),
        });
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn found(
        dir: &Path,
        url_needed: bool,
        url: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let source = CredentialSource {
            folder: dir.to_owned(),
            url_needed,
        };
        find(&source, &Remote::parse(url).unwrap())
    }

    fn password(dir: &Path, url: &str) -> Option<String> {
        let found = found(dir, true, url).unwrap()?;
        Some(fs::read_to_string(found.password?).unwrap())
    }

    #[test]
    fn the_longest_url_wins_and_no_credential_leaves_its_url() {
        let dir = folder(&[
            ("a/url", "https://git.example/shop\n"),
            ("a/password", "a"),
            ("b/url", "https://git.example/shop/config"),
            ("b/token", "b"),
            ("c/url", "https://forge.example/"),
            ("c/token", "c"),
            ("..data/password", "never"),
        ]);
        let at = |url| password(dir.path(), url);
        assert_eq!(at("https://git.example/shop/other").as_deref(), Some("a"));
        assert_eq!(
            at("https://git.example/shop/config.git").as_deref(),
            Some("b")
        );
        assert_eq!(at("https://forge.example/a").as_deref(), Some("c"));
        assert_eq!(at("https://forge.example.evil/a"), None);
        assert_eq!(at("https://git.example/shopping"), None);
        assert_eq!(at("http://git.example/shop/config"), None);
        assert_eq!(at("https://git.example.evil/shop/config"), None);
    }

    #[test]
    fn one_credential_may_lie_in_the_folder_itself() {
        let dir = folder(&[("username", "bot"), ("password", "p\n")]);
        let found = found(dir.path(), false, "https://h/a").unwrap().unwrap();
        assert_eq!(found.username, "bot");
        assert!(found.serves(Scheme::Https) && !found.serves(Scheme::Ssh));
        let mut redactor = Redactor::default();
        found.teach(&mut redactor).unwrap();
    }

    #[test]
    fn one_without_a_url_is_for_one_host_alone() {
        let dir = folder(&[
            ("password", "p"),
            ("a/url", "https://h/a"),
            ("a/token", "a"),
        ]);
        let error = found(dir.path(), true, "https://other/b").unwrap_err();
        let named = matches!(&error, CredentialError::WithoutUrl(at) if at == dir.path());
        assert!(named, "{error}");
        // Where another one fits, or nobody logs in, it does not matter.
        assert_eq!(password(dir.path(), "https://h/a").as_deref(), Some("a"));
        assert!(found(dir.path(), true, "file:///srv/a").is_ok());
        assert!(found(dir.path(), false, "https://h/b").is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_path() {
        let dir = folder(&[("password", "two\nlines")]);
        let credential = found(dir.path(), false, "https://h/a").unwrap().unwrap();
        let error = credential
            .teach(&mut Redactor::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("password: empty, or more than one line"),
            "{error}"
        );
        assert!(
            !error.contains("lines\n") && !error.contains("two"),
            "{error}"
        );
        let missing = found(Path::new("/nowhere"), false, "https://h/a");
        assert!(missing.unwrap_err().to_string().contains("/nowhere"));
    }
}
