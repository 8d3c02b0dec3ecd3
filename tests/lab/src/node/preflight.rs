//! What a machine lacks for a node, said before anything is started, with what mends it.

use super::images::AUTHORITIES;
use super::state::State;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is needed, and the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/lib/cni/host-local", "containernetworking-plugins"),
    ("/usr/lib/cni/loopback", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("ldd", "libc-bin"),
    ("strip", "binutils"),
    ("git", "git"),
    (AUTHORITIES, "ca-certificates"),
];

/// What this machine lacks, a line each; empty where a node can be started.
pub fn missing() -> Vec<String> {
    if !cfg!(target_os = "linux") {
        return vec!["not Linux: a node needs its namespaces".to_owned()];
    }
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("not root: namespaces, cgroups and containers need it".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packages: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !is_there(program, &path))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if !packages.is_empty() {
        let packages = packages.join(" ");
        missing.push(format!(
            "packages missing: {packages} (apt-get install --no-install-recommends {packages})"
        ));
    }
    if missing.is_empty() && !namespaces_can_be_made() {
        missing.push(
            "no namespaces: `unshare --net --pid --mount --fork true` fails, as in a container \
             without CAP_SYS_ADMIN"
                .to_owned(),
        );
    }
    missing
}

/// Why a cluster of this name cannot be started now.
pub fn taken(state: &State) -> Option<String> {
    let name = state.name();
    let running = !state.holders().is_empty();
    running.then(|| {
        format!("a cluster {name:?} is running; `cargo xtask cluster down {name}` removes it")
    })
}

fn is_there(program: &str, path: &std::ffi::OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
        || Path::new(program).is_absolute() && Path::new(program).is_file()
}

fn namespaces_can_be_made() -> bool {
    let tried = Command::new("unshare")
        .args(["--net", "--pid", "--mount", "--fork", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}
