//! Where a version came from, as the Rollout's annotations say. A pipeline may write down what it
//! cloned from with its credentials in it; many read the objects that this is copied into, so nothing
//! but the bare address may get any further.

use super::draft::{Draft, cut};
use crate::api::rollout_status::SourceStatus;

/// What stands for an address of which nobody can tell where a secret in it would end.
const HIDDEN: &str = "…";

/// Where the version that the spec asks for came from.
pub(super) fn of(draft: &Draft<'_>) -> Option<SourceStatus> {
    let annotations = &draft.o.rollout.annotations;
    let get = |key: &str| {
        let value = annotations.get(&format!("tidegate.io/source-{key}"));
        value.cloned().unwrap_or_default()
    };
    let source = SourceStatus {
        repo: cut(without_secrets(&get("repo")), 2048),
        branch: cut(get("branch"), 255),
        path: cut(get("path"), 1024),
        revision: cut(get("revision"), 64),
    };
    (source != SourceStatus::default()).then_some(source)
}

/// A repository's address without what may be a secret: users and passwords, queries and fragments.
/// The name of a user stays where ssh needs it.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) if is_name(scheme) => {
            let bare = of_url(scheme, rest);
            format!("{scheme}://{}", bare.as_deref().unwrap_or(HIDDEN))
        }
        Some(_) => HIDDEN.to_owned(),
        None => of_no_url(address).unwrap_or_else(|| HIDDEN.to_owned()),
    }
}

fn of_url(scheme: &str, rest: &str) -> Option<String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    // An '@' further behind may be the end of a password that has a '/' in it.
    if !is_host(host) || has_at(path) {
        return None;
    }
    let user = name_of(user).filter(|_| scheme == "ssh");
    let user = user.map(|name| format!("{name}@")).unwrap_or_default();
    Some(format!("{user}{host}{}", without_query(path)))
}

/// `user@host:path`, or a path on disk.
fn of_no_url(text: &str) -> Option<String> {
    let Some((user, rest)) = text.split_once('@') else {
        return (!has_at(text)).then(|| without_query(text).to_owned());
    };
    let (host, path) = rest.split_once(':')?;
    if host.contains(['/', '?', '#']) || has_at(rest) {
        return None;
    }
    let name = name_of(user)?;
    Some(format!("{name}@{host}:{}", without_query(path)))
}

/// A user's name, without the password behind it.
fn name_of(user: &str) -> Option<&str> {
    let name = user.split(':').next()?;
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// Whether it is a host with or without a port, and not a user and a password of which the '@' is
/// missing or escaped.
fn is_host(text: &str) -> bool {
    let behind = text.rsplit_once(']').map_or(text, |(_, behind)| behind);
    let port = behind.split_once(':').map_or("", |(_, port)| port);
    !text.contains('%') && port.chars().all(|c| c.is_ascii_digit())
}

fn has_at(text: &str) -> bool {
    text.contains('@') || text.contains("%40")
}

fn without_query(path: &str) -> &str {
    path.find(['?', '#'])
        .and_then(|end| path.get(..end))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The token that is planted.
    const TOKEN: &str = "s3cret";

    #[test]
    fn an_address_loses_its_secrets_and_nothing_else() {
        for (address, bare) in [
            // As it should be.
            ("", ""),
            (
                "https://git.example/shop/a.git",
                "https://git.example/shop/a.git",
            ),
            ("https://git.example:8443/a", "https://git.example:8443/a"),
            ("http://[::1]:3000/a", "http://[::1]:3000/a"),
            ("ssh://git@git.example/a", "ssh://git@git.example/a"),
            ("ssh://git@[::1]:22/a", "ssh://git@[::1]:22/a"),
            ("git@git.example:shop/a.git", "git@git.example:shop/a.git"),
            ("file:///srv/a.git", "file:///srv/a.git"),
            ("/srv/a.git", "/srv/a.git"),
            // With a secret.
            ("https://ci:s3cret@git.example/a", "https://git.example/a"),
            ("https://s3cret@git.example/a", "https://git.example/a"),
            ("https://ci:x@s3cret@git.example/a", "https://git.example/a"),
            ("https://ci%3As3cret@git.example/a", "https://git.example/a"),
            ("https://ci:s3cret@git.example", "https://git.example"),
            ("https://ci:s3cret@[::1]:3000/a", "https://[::1]:3000/a"),
            (
                "https://git.example/a?token=s3cret",
                "https://git.example/a",
            ),
            ("https://git.example/a#s3cret", "https://git.example/a"),
            ("https://git.example?token=s3cret", "https://git.example"),
            ("ssh://git:s3cret@git.example/a", "ssh://git@git.example/a"),
            ("ssh://git%3As3cret@git.example/a", "ssh://git.example/a"),
            ("git:s3cret@git.example:a", "git@git.example:a"),
            ("git@git.example:a?token=s3cret", "git@git.example:a"),
            ("/srv/a.git?token=s3cret", "/srv/a.git"),
            // Nobody can tell where the secret ends.
            ("https://ci:x/s3cret@git.example/a", "https://…"),
            ("https://x/s3cret@git.example/a", "https://…"),
            ("https://ci:x?s3cret@git.example/a", "https://…"),
            ("https://ci:s3cret%40git.example/a", "https://…"),
            ("https://x/s3cret%40git.example/a", "https://…"),
            ("https:///ci:s3cret@git.example/a", "https://…"),
            (
                "https://a.example/https://ci:s3cret@git.example/a",
                "https://…",
            ),
            ("ci:s3cret://git.example/a", "…"),
            ("s3cret@git.example/a", "…"),
            ("ci:s3cret@git.example/a", "…"),
            ("git@git.example:s3cret@b", "…"),
            ("//ci:s3cret@git.example/a", "…"),
        ] {
            let found = without_secrets(address);
            assert_eq!(found, bare, "{address}");
            assert!(!found.contains(TOKEN), "{found}");
            assert_eq!(without_secrets(&found), found, "once is enough");
        }
    }
}
