//! Where a cluster keeps what it has, and how it is found again: everything of a cluster that is
//! not in a namespace has its name in it.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The folders of all clusters. On disk, because images are unpacked there; at one place, so that
/// they are found whoever asks.
const BASE: &str = "/var/tmp/tidegate";

/// Where the kernel's cgroups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The longest name: `BASE/NAME/run/containerd/...sock` must fit into a socket's address.
const NAME_MAX: usize = 30;

/// The first argument of the process that is number 1 in a cluster's process namespace.
pub const INIT: &str = "init";

/// How long the kernel may take to end a cluster's processes, and a cgroup to be empty after that.
const END: Duration = Duration::from_secs(30);

/// How often is looked whether something has ended.
const PERIOD: Duration = Duration::from_millis(20);

/// A cluster's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    name: String,
    folder: PathBuf,
}

/// What the supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The program `tidegate-lab`, which has the supervisor in it.
    pub program: PathBuf,
    /// The folder with the built programs.
    pub tools: PathBuf,
    /// The repository, for the chart.
    pub repository: PathBuf,
    /// The folder with `tidegate` and `app`.
    pub binaries: PathBuf,
    /// Whether Tidegate is installed.
    pub tidegate: bool,
}

/// What the supervisor says once everything answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Seconds from its start.
    pub seconds: f64,
    /// What took how long, in order.
    pub parts: Vec<(String, f64)>,
}

impl State {
    /// The state of a cluster of this name, whether there is one or not.
    pub fn of(name: &str) -> Result<Self, String> {
        let fits = !name.is_empty()
            && name.len() <= NAME_MAX
            && !name.starts_with('-')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            return Err(format!(
                "{name:?} is no name of a cluster: up to {NAME_MAX} lower-case letters, digits \
                 and '-', a letter or a digit first"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            folder: Path::new(BASE).join(name),
        })
    }

    /// The folder of all folders.
    pub fn base() -> &'static Path {
        Path::new(BASE)
    }

    /// All that have a folder.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir(BASE).into_iter().flatten().flatten();
        let mut all: Vec<Self> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| Self::of(&entry.file_name().to_string_lossy()).ok())
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder: logs, kubeconfigs, and what its programs store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or a folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether it has a folder.
    pub fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("administrator.kubeconfig")
    }

    /// The name of its cgroup in every hierarchy.
    pub fn cgroup(&self) -> String {
        format!("tidegate-{}", self.name)
    }

    /// Its cgroup in every hierarchy (version 1), or its one cgroup (version 2).
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let base = Path::new(CGROUPS);
        if base.join("cgroup.controllers").exists() {
            return vec![base.join(self.cgroup())];
        }
        let hierarchies = fs::read_dir(base).into_iter().flatten().flatten();
        hierarchies
            .map(|entry| entry.path())
            .filter(|path| path.join("cgroup.procs").exists())
            .map(|path| path.join(self.cgroup()))
            .collect()
    }

    /// What the supervisor was told.
    pub fn options(&self) -> io::Result<Options> {
        read(&self.path("options.json"))
    }

    /// Tells the supervisor.
    pub fn set_options(&self, options: &Options) -> io::Result<()> {
        write(&self.path("options.json"), options)
    }

    /// What the supervisor said when it was ready; nothing before.
    pub fn ready(&self) -> Option<Ready> {
        read(&self.path("ready.json")).ok()
    }

    /// Says that everything answers.
    pub fn set_ready(&self, ready: &Ready) -> io::Result<()> {
        write(&self.path("ready.json"), ready)
    }

    /// The processes that hold the cluster: `unshare`, and the first one in its namespace. Found by
    /// their command lines, so that it does not matter who died before writing something down.
    pub fn holders(&self) -> Vec<Holder> {
        let folder = self.folder.to_string_lossy();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| {
                let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                let words: Vec<_> = line
                    .split(|byte| *byte == 0)
                    .map(String::from_utf8_lossy)
                    .collect();
                // The command line ends with a zero byte, so the last word is empty.
                let [program, .., command, state, _] = words.as_slice() else {
                    return None;
                };
                (command == INIT && *state == folder).then(|| Holder {
                    pid,
                    is_first: !program.ends_with("unshare"),
                })
            })
            .collect()
    }

    /// The first process in the cluster's namespaces, by which they can be entered.
    pub fn first(&self) -> Option<Pid> {
        let holders = self.holders();
        let first = holders.iter().find(|holder| holder.is_first)?;
        Some(first.pid)
    }

    /// Ends every process of the cluster: the kernel takes with the first one all the others, the
    /// mounts and the network.
    pub fn kill(&self) -> Result<(), String> {
        let deadline = Instant::now() + END;
        let mut killed = Vec::new();
        loop {
            let holders = self.holders();
            let first_is_there = holders.iter().any(|holder| holder.is_first);
            for holder in holders {
                // The other one buries the first, and ends with it.
                if first_is_there && !holder.is_first {
                    continue;
                }
                let _ = kill_process(holder.pid, Signal::KILL);
                if !killed.contains(&holder.pid) {
                    killed.push(holder.pid);
                }
            }
            // One that is ending has no command line any more; it is over when it is gone.
            killed.retain(|pid| is_alive(*pid));
            if killed.is_empty() && self.holders().is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{}: {killed:?} do not end", self.name));
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// Removes what no namespace has taken with it: the cgroups and the folder. Whoever is about
    /// to end may still hold one or write into the other.
    pub fn remove(&self) -> Result<(), String> {
        let deadline = Instant::now() + END;
        for cgroup in self.cgroups() {
            remove_cgroup(&cgroup, deadline)
                .map_err(|error| format!("{} stays: {error}", cgroup.display()))?;
        }
        persistently(deadline, || fs::remove_dir_all(&self.folder))
            .map_err(|error| format!("{} stays: {error}", self.folder.display()))
    }
}

/// A process that holds a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number, as whoever asks sees it.
    pub pid: Pid,
    /// Whether it is number 1 in the cluster's process namespace.
    pub is_first: bool,
}

/// Removes a cgroup and those below. One whose last process has just ended is busy for a moment.
fn remove_cgroup(cgroup: &Path, deadline: Instant) -> io::Result<()> {
    let entries = match fs::read_dir(cgroup) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path(), deadline)?;
        }
    }
    persistently(deadline, || fs::remove_dir(cgroup))
}

/// Tries to remove something until it is gone.
fn persistently(deadline: Instant, remove: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(PERIOD),
            Ok(()) => return Ok(()),
        }
    }
}

/// Whether a process is there and has not ended.
fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// In one step: whoever reads sees all of it or nothing.
fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, serde_json::to_vec_pretty(value)?)?;
    fs::rename(unfinished, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_a_path_and_a_cgroup() {
        for good in ["lab", "0", "e2e-1", &"a".repeat(NAME_MAX)] {
            assert_eq!(State::of(good).unwrap().name(), good);
        }
        for bad in ["", "..", "a/b", "-a", "A", "a b", &"a".repeat(NAME_MAX + 1)] {
            assert!(
                State::of(bad).unwrap_err().contains("lower-case"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn what_does_not_run_is_held_by_nobody() {
        assert_eq!(State::of("nobody-has-this").unwrap().holders(), []);
    }
}
