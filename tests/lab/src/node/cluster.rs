//! A cluster as it is seen from outside its namespaces: started, entered, listed, removed.

use super::preflight;
use super::state::{Options, Ready, State};
use super::supervisor::STAY;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a cluster may take to be ready. A measure of nothing: it ends a start that hangs.
const DEADLINE: Duration = Duration::from_secs(300);

/// How often is looked whether it is.
const PERIOD: Duration = Duration::from_millis(50);

/// The lines of the supervisor's log that an error shows.
const SHOWN_LINES: usize = 40;

/// A cluster that ends with this value, or with this process, however that ends.
pub struct Attached {
    state: State,
    ready: Ready,
    unshare: Child,
    stays: bool,
}

/// Starts a cluster that stays until it is removed, and waits until it is ready. Until then it ends
/// with this process.
pub fn up(name: &str, options: &Options) -> Result<(State, Ready), String> {
    let mut cluster = Attached::up(name, options)?;
    let mut supervisor = cluster.unshare.stdin.take().ok_or("nobody listens")?;
    supervisor
        .write_all(STAY)
        .map_err(|error| format!("the supervisor does not listen: {error}"))?;
    cluster.stays = true;
    Ok((cluster.state.clone(), cluster.ready.clone()))
}

impl Attached {
    /// Starts one, and waits until it is ready.
    pub fn up(name: &str, options: &Options) -> Result<Self, String> {
        let (state, unshare) = start(name, options)?;
        let mut cluster = Self {
            state,
            ready: Ready {
                seconds: 0.0,
                parts: Vec::new(),
            },
            unshare,
            stays: false,
        };
        cluster.ready = until_ready(&cluster.state, &mut cluster.unshare)?;
        Ok(cluster)
    }

    /// Its folder and processes.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How long it took.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(error) = down(self.state.name()) {
            eprintln!("{error}");
        }
        let _ = self.unshare.wait();
    }
}

/// Ends a cluster and removes what is left of it; also of one that was killed halfway. Says whether
/// there was anything.
pub fn down(name: &str) -> Result<bool, String> {
    let state = State::of(name)?;
    let found = state.exists()
        || !state.holders().is_empty()
        || state.cgroups().iter().any(|cgroup| cgroup.exists());
    state.kill()?;
    state.remove()?;
    Ok(found)
}

/// Removes what is left of clusters that nobody holds any more. Returns their names.
pub fn sweep() -> Result<Vec<String>, String> {
    let _lock = lock()?;
    sweep_locked()
}

fn sweep_locked() -> Result<Vec<String>, String> {
    let mut swept = Vec::new();
    for state in State::all() {
        if state.holders().is_empty() {
            state.remove()?;
            swept.push(state.name().to_owned());
        }
    }
    Ok(swept)
}

/// Moves the calling thread, and those that it starts from now on, into the cluster's network.
pub fn enter(state: &State) -> Result<(), String> {
    let first = state
        .first()
        .ok_or_else(|| format!("no cluster {:?} is running", state.name()))?;
    let file = format!("/proc/{}/ns/net", first.as_raw_nonzero());
    let network = File::open(&file).map_err(|error| format!("{file}: {error}"))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| format!("the network of {:?}: {error}", state.name()))
}

/// A line for a list of clusters: since when it is there, its node, its pods.
pub fn described(state: &State) -> String {
    let name = state.name();
    let Some(first) = state.first() else {
        return format!(
            "{name}: not running; `cargo xtask cluster down {name}` removes what is left of it"
        );
    };
    let since = fs::metadata(format!("/proc/{}", first.as_raw_nonzero()))
        .and_then(|process| process.modified())
        .ok()
        .and_then(|begun| begun.elapsed().ok());
    let age = since.map_or(0, |since| since.as_secs());
    let age = format!("for {} min {} s", age / 60, age % 60);
    if state.ready().is_none() {
        return format!("{name}: starting {age}");
    }
    // A thread of its own: it stays in the cluster's network.
    let counted = std::thread::scope(|scope| scope.spawn(|| count(state)).join());
    match counted {
        Ok(Ok(counted)) => format!("{name}: running {age}, {counted}"),
        Ok(Err(error)) => format!("{name}: running {age}, and does not answer: {error}"),
        Err(_) => format!("{name}: running {age}, and does not answer"),
    }
}

/// The node's and the pods' state in a few words.
fn count(state: &State) -> Result<String, String> {
    enter(state)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = client(state).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default()).await;
        let nodes = nodes.map_err(|error| error.to_string())?.items;
        let ready_nodes = nodes.iter().filter(|node| {
            let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one.type_ == "Ready" && one.status == "True")
        });
        let pods: Api<Pod> = Api::all(client);
        let pods = pods.list(&ListParams::default()).await;
        let pods = pods.map_err(|error| error.to_string())?.items;
        let ready_pods = pods.iter().filter(|pod| is_ready(pod));
        Ok(format!(
            "{} of {} nodes ready, {} of {} pods ready",
            ready_nodes.count(),
            nodes.len(),
            ready_pods.count(),
            pods.len()
        ))
    })
}

/// Whether a pod says that it is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

/// A client of the cluster that may do everything, for a thread in its network ([`enter`]).
pub async fn client(state: &State) -> Result<Client, String> {
    let kubeconfig =
        Kubeconfig::read_from(state.kubeconfig()).map_err(|error| error.to_string())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    config.connect_timeout = Some(Duration::from_secs(2));
    Client::try_from(config).map_err(|error| error.to_string())
}

/// The file in which the supervisor says what it does.
pub fn log(state: &State) -> PathBuf {
    state.path("supervisor.log")
}

/// Held from a cluster's folder being made until its first process is there: without it somebody
/// else's sweep could take the folder away in between.
fn lock() -> Result<File, String> {
    let file = State::base().join("lock");
    let locked = fs::create_dir_all(State::base())
        .and_then(|()| File::create(&file))
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| format!("{}: {error}", file.display()))
}

fn start(name: &str, options: &Options) -> Result<(State, Child), String> {
    let missing = preflight::missing();
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    let state = State::of(name)?;
    if let Some(taken) = preflight::taken(&state) {
        return Err(taken);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", state.folder().display());
    let _lock = lock()?;
    for left in sweep_locked()? {
        eprintln!("removed what was left of cluster {left:?}");
    }
    fs::create_dir(state.folder()).map_err(failed)?;
    fs::create_dir(state.path("tmp")).map_err(failed)?;
    state.set_options(options).map_err(failed)?;
    let output = File::create(log(&state)).map_err(failed)?;
    let mut command = Command::new("unshare");
    command
        .args([
            "--net",
            "--pid",
            "--mount",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(&options.program)
        .arg(super::state::INIT)
        .arg(state.folder())
        .env("TMPDIR", state.path("tmp"))
        .stdin(Stdio::piped())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        // Ctrl-C is for whoever waits, not for the cluster.
        .process_group(0);
    let mut unshare = command
        .spawn()
        .map_err(|error| format!("unshare does not start: {error}"))?;
    while state.holders().is_empty() && matches!(unshare.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((state, unshare))
}

fn until_ready(state: &State, unshare: &mut Child) -> Result<Ready, String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(ready) = state.ready() {
            return Ok(ready);
        }
        let ended = unshare.try_wait().map_err(|error| error.to_string())?;
        let why = match ended {
            Some(status) => format!("the cluster ended ({status})"),
            None if Instant::now() > deadline => format!("not ready after {DEADLINE:?}"),
            None => {
                std::thread::sleep(PERIOD);
                continue;
            }
        };
        let text = fs::read_to_string(log(state)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        return Err(format!("{why}:\n{}", lines[from..].join("\n")));
    }
}
