use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::git::credentials::{self, CredentialSource};
use crate::git::source::Remote;

#[test]
fn no_secret_is_in_the_environment_and_the_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("password", "s3cr3t"),
        ("identity", "k3y"),
        ("known_hosts", "h"),
        ("ca.crt", "c"),
    ] {
        std::fs::write(secrets.path().join(name), text).unwrap();
    }
    let remote = Remote::parse("https://git.example/a").unwrap();
    let source = CredentialSource {
        folder: secrets.path().to_owned(),
        url_needed: false,
    };
    let credential = credentials::find(&source, &remote).unwrap().unwrap();
    let environment = environment(dir.path(), Scheme::Https, Some(&credential)).unwrap();
    let text = format!("{environment:?}");
    assert!(!text.contains("s3cr3t") && !text.contains("k3y"), "{text}");
    for expected in [
        "GIT_ASKPASS",
        "StrictHostKeyChecking=yes",
        "GIT_SSL_CAINFO",
        "GIT_CONFIG_NOSYSTEM",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    for (file, mode) in [
        ("askpass", 0o700),
        ("identity", 0o600),
        (".gitconfig", 0o600),
    ] {
        let permissions = std::fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{file}");
    }
    assert!(
        !std::fs::read_to_string(dir.path().join("askpass"))
            .unwrap()
            .contains("s3cr3t")
    );
}
