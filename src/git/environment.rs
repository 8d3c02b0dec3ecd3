//! The environment in which `git` runs: nothing is inherited but what is named, nothing of a
//! repository is executed, and secrets stay in files.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::answers::GitError;
use super::credentials::Credential;
use super::source::Scheme;

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

/// The whole environment of `git`, and the files in the private folder that it names.
pub(super) fn environment(
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
