//! Which forge a repository is on and where its API is: as the administrator says in the credential,
//! else by the repository's own host. Nothing that a tenant writes decides where the token goes beyond
//! the choice of a repository that the allow-list and the credential's `url` permit. Pure.

use reqwest::Url;

use super::ask::{ForgeError, Place};
use super::dialect::Dialect;
use super::gitea::Gitea;
use super::github::GitHub;
use super::gitlab::GitLab;
use crate::git::source::{Remote, Scheme};

/// A kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GitHub, also GitHub Enterprise Server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

impl Kind {
    /// As the credential's file `forge` names it.
    ///
    /// # Errors
    /// [`ForgeError::Config`] names what is allowed.
    pub fn parse(text: &str) -> Result<Kind, ForgeError> {
        match text.to_ascii_lowercase().as_str() {
            "github" => Ok(Kind::GitHub),
            "gitlab" => Ok(Kind::GitLab),
            "gitea" | "forgejo" => Ok(Kind::Gitea),
            _ => Err(ForgeError::Config {
                file: "forge",
                problem: format!("{text:?} is none; allowed are GitHub, GitLab, Gitea and Forgejo"),
            }),
        }
    }

    /// Of a host that everybody knows.
    fn of_host(host: &str) -> Option<Kind> {
        match host {
            "github.com" => Some(Kind::GitHub),
            "gitlab.com" => Some(Kind::GitLab),
            "codeberg.org" => Some(Kind::Gitea),
            _ => None,
        }
    }

    /// How it is spoken to.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Kind::GitHub => &GitHub,
            Kind::GitLab => &GitLab,
            Kind::Gitea => &Gitea,
        }
    }

    /// Where the API of a host is.
    fn api(self, scheme: &str, host: &str) -> String {
        match self {
            Kind::GitHub if host == "github.com" => "https://api.github.com".to_owned(),
            Kind::GitHub => format!("{scheme}://{host}/api/v3"),
            Kind::GitLab => format!("{scheme}://{host}/api/v4"),
            Kind::Gitea => format!("{scheme}://{host}/api/v1"),
        }
    }
}

/// The forge of a repository, by what the credential says, and the repository's place there. `None`
/// where nothing says what kind of forge it is.
///
/// # Errors
/// [`ForgeError::Config`] when what the credential says cannot be meant.
pub fn place(
    remote: &Remote,
    kind: Option<&str>,
    api: Option<&str>,
) -> Result<Option<(Kind, Place)>, ForgeError> {
    let Some((host, path)) = parts(remote) else {
        return Ok(None);
    };
    let is_ssh = remote.scheme() == Scheme::Ssh;
    // The port is that of ssh.
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let host = if is_ssh { name } else { host };
    let kind = match kind {
        Some(kind) => Some(Kind::parse(kind)?),
        None => Kind::of_host(host),
    };
    let Some(kind) = kind else {
        return Ok(None);
    };
    let plain = remote.scheme() == Scheme::Http;
    let api = match api {
        Some(api) => base(api, plain)?,
        None => kind.api(if plain { "http" } else { "https" }, host),
    };
    let Some((above, name)) = path.rsplit_once('/') else {
        return Ok(None);
    };
    let owner = above.rsplit('/').next().unwrap_or(above);
    let place = Place {
        api,
        owner: owner.to_owned(),
        name: name.to_owned(),
        path: path.to_owned(),
    };
    Ok(Some((kind, place)))
}

/// Host and path of a repository that has a host.
fn parts(remote: &Remote) -> Option<(&str, &str)> {
    if remote.scheme() == Scheme::File {
        return None;
    }
    remote.key().split_once("://")?.1.split_once('/')
}

/// The base address of the API, without a slash at its end.
fn base(text: &str, plain: bool) -> Result<String, ForgeError> {
    let refuse = |problem: &str| ForgeError::Config {
        file: "apiURL",
        problem: format!(
            "{problem}; allowed is https://HOST/PATH, as in https://git.example.com/api/v4"
        ),
    };
    let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
    match url.scheme() {
        "https" => {}
        // The token goes over the same wire with every push.
        "http" if plain => {}
        "http" => return Err(refuse("would send the token unencrypted")),
        _ => return Err(refuse("is not https")),
    }
    if url.host_str().unwrap_or_default().is_empty() {
        return Err(refuse("has no host"));
    }
    if text.contains('@') || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has a user, a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(repo: &str, kind: Option<&str>, api: Option<&str>) -> Result<String, String> {
        let remote = Remote::parse(repo).unwrap();
        match place(&remote, kind, api) {
            Ok(Some((kind, place))) => Ok(format!(
                "{kind:?} {} {} {} {}",
                place.api, place.owner, place.name, place.path
            )),
            Ok(None) => Ok("none".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_forge_is_told_by_the_credential_or_by_a_known_host() {
        for (repo, kind, api, expected) in [
            (
                "https://github.com/o/r.git",
                None,
                None,
                "GitHub https://api.github.com o r o/r",
            ),
            (
                "git@github.com:o/r.git",
                None,
                None,
                "GitHub https://api.github.com o r o/r",
            ),
            (
                "https://gitlab.com/g/sub/r",
                None,
                None,
                "GitLab https://gitlab.com/api/v4 sub r g/sub/r",
            ),
            (
                "https://codeberg.org/o/r",
                None,
                None,
                "Gitea https://codeberg.org/api/v1 o r o/r",
            ),
            ("https://git.example/o/r", None, None, "none"),
            ("https://github.com.evil.example/o/r", None, None, "none"),
            (
                "https://git.example/o/r",
                Some("GitHub"),
                None,
                "GitHub https://git.example/api/v3 o r o/r",
            ),
            (
                "ssh://git@git.example:2222/o/r",
                Some("forgejo"),
                None,
                "Gitea https://git.example/api/v1 o r o/r",
            ),
            (
                "http://git.example:3000/o/r",
                Some("Gitea"),
                None,
                "Gitea http://git.example:3000/api/v1 o r o/r",
            ),
            (
                "https://git.example/o/r",
                Some("GitLab"),
                Some("https://api.example/v4/"),
                "GitLab https://api.example/v4 o r o/r",
            ),
            (
                "http://git.example/o/r",
                Some("GitLab"),
                Some("http://api.example"),
                "GitLab http://api.example o r o/r",
            ),
            ("/srv/o/r.git", Some("GitLab"), None, "none"),
            ("https://git.example/r", Some("GitHub"), None, "none"),
        ] {
            assert_eq!(found(repo, kind, api).as_deref(), Ok(expected), "{repo}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_file() {
        let repo = "https://git.example/o/r";
        for (kind, api, expected) in [
            ("Bitbucket", None, "forge: \"Bitbucket\" is none"),
            (
                "GitLab",
                Some("http://git.example/api/v4"),
                "apiURL: would send the token unencrypted",
            ),
            ("GitLab", Some("git.example"), "apiURL: is not a URL"),
            ("GitLab", Some("file:///etc"), "apiURL: is not https"),
            (
                "GitLab",
                Some("https://me:x@git.example"),
                "apiURL: has a user",
            ),
        ] {
            let error = found(repo, Some(kind), api).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("me:x"), "{error}");
        }
    }
}
