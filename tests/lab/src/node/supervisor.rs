//! Inside a cluster's namespaces: the first process, and the supervisor that it starts. The
//! supervisor starts everything else, says when all of it answers, and stops and starts programs
//! when a test asks.

use super::components;
use super::state::{Options, Ready, State};
use super::{ADDRESS, NODE, PROMETHEUS_PORT, TRAEFIK_PORT, control, network, tidegate, traefik};
use crate::control_plane::{ControlPlane, Purpose};
use crate::objects::{install_crds, objects};
use crate::process::Program;
use crate::{MANAGER, prometheus, wait};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Pid, WaitOptions, wait as wait_for_child};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

/// Folders of the machine that the cluster has its own of, and the name in its folder.
const OWN_FOLDERS: &[(&str, &str)] = &[("/run", "run"), ("/var/lib", "lib"), ("/var/log", "log")];

/// What is said to a supervisor whose cluster is to stay when its owner goes.
pub(super) const STAY: &[u8] = b"stay";

/// Seconds between two scrapes, as on a usual cluster that is watched closely.
const SCRAPE_INTERVAL: &str = "5s";

/// Is the first process: starts the supervisor, and buries whoever ends in this namespace. When
/// the supervisor ends, so does this, and the kernel ends all others.
pub fn init(state: &State) -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("this is for the first process of a cluster's namespace");
        return ExitCode::FAILURE;
    }
    let supervisor = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .arg("supervise")
            .arg(state.name())
            .spawn()
    });
    let supervisor = match supervisor {
        Ok(child) => Pid::from_child(&child),
        Err(error) => {
            eprintln!("the supervisor does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        match wait_for_child(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == supervisor => {
                let status = ExitStatus::from_raw(status.as_raw());
                if !status.success() {
                    eprintln!("the supervisor ended: {status}");
                }
                return ExitCode::from(u8::from(!status.success()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                eprintln!("waiting for the supervisor: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Starts everything, and goes on until it is told to end.
pub fn supervise(state: &State) {
    let begun = Instant::now();
    // At its end it kills whoever it sees: that must not be a machine's processes.
    let first = state.first().map(|first| first.as_raw_nonzero().get());
    assert_eq!(
        first,
        Some(1),
        "this is for a process inside a cluster's namespaces"
    );
    let options = state
        .options()
        .expect("the options stand in the cluster's folder");
    kubectl(state, &options);
    own_folders(state);
    network::make();
    for cgroup in state.cgroups() {
        fs::create_dir_all(&cgroup).unwrap_or_else(|error| panic!("{}: {error}", cgroup.display()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let mut owner = tokio::task::spawn_blocking(owner_left);
        let everything = async {
            let cluster = Cluster::start(state, &options, begun).await;
            tokio::spawn(control::serve(cluster.programs));
            state
                .set_ready(&cluster.ready)
                .expect("the cluster's folder can be written to");
            std::future::pending::<()>().await;
        };
        tokio::pin!(everything);
        let left = tokio::select! {
            () = &mut everything => Left::Orphaned,
            left = &mut owner => left.unwrap_or(Left::Orphaned),
        };
        if left == Left::OnItsOwn {
            everything.await;
        }
        // What is half done needs not be finished: all of it ends now.
        end(state);
        std::process::exit(0);
    });
}

/// How the process that had the cluster started went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It said that the cluster is to stay.
    OnItsOwn,
    /// It ended, or has no more use for it.
    Orphaned,
}

/// Waits until the other end of standard input is closed: with a word, or without one as when its
/// owner was killed.
fn owner_left() -> Left {
    let mut said = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut said);
    match said.as_slice() {
        STAY => Left::OnItsOwn,
        _ => Left::Orphaned,
    }
}

/// Puts `kubectl` and its plugin beside the cluster, for whoever enters it.
fn kubectl(state: &State, options: &Options) {
    let folder = state.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("kubectl");
    let binary = options.tools.join("kubernetes");
    let script = format!("#!/bin/sh\nexec '{}' kubectl \"$@\"\n", binary.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let plugin = "kubectl-tidegate";
    symlink(options.binaries.join(plugin), folder.join(plugin)).unwrap();
}

/// Ends everything from inside: nobody outside may be there any more to do it.
fn end(state: &State) {
    kill_all_others();
    leave_own_folders();
    if let Err(error) = state.remove() {
        eprintln!("{error}");
    }
}

/// Ends everybody in this namespace but its first process and this one.
fn kill_all_others() {
    let own = std::process::id().to_string();
    loop {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let others: Vec<Pid> = entries
            .filter_map(|entry| entry.file_name().to_str().map(str::to_owned))
            .filter(|name| *name != "1" && *name != own)
            .filter(|name| {
                // One that has ended and is not yet buried needs no more.
                fs::read_to_string(format!("/proc/{name}/stat"))
                    .is_ok_and(|stat| !stat.contains(") Z "))
            })
            .filter_map(|name| Pid::from_raw(name.parse().ok()?))
            .collect();
        if others.is_empty() {
            return;
        }
        for pid in others {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Puts the cluster's own folders in the place of the machine's, in this mount namespace alone.
fn own_folders(state: &State) {
    for (machine, own) in OWN_FOLDERS {
        let own = state.path(own);
        fs::create_dir_all(&own).unwrap();
        mount_bind(&own, *machine)
            .unwrap_or_else(|error| panic!("{machine} cannot be the cluster's own: {error}"));
    }
}

fn leave_own_folders() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = |mount: &str| {
        OWN_FOLDERS
            .iter()
            .any(|(machine, _)| Path::new(mount).starts_with(machine))
    };
    let ours: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|mount| below(mount))
        .collect();
    for mount in ours.into_iter().rev() {
        let _ = unmount(mount, UnmountFlags::DETACH);
    }
}

/// What runs in a cluster.
struct Cluster {
    programs: Vec<Program>,
    ready: Ready,
}

/// When which part was there.
struct Times {
    begun: Instant,
    parts: Vec<(String, f64)>,
}

impl Times {
    fn reached(&mut self, part: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        println!("{seconds:6.1} s  {part}");
        self.parts.push((part.to_owned(), seconds));
    }
}

impl Cluster {
    async fn start(state: &State, options: &Options, begun: Instant) -> Self {
        let tools = &options.tools;
        let mut times = Times {
            begun,
            parts: Vec::new(),
        };
        let containerd = components::containerd(state);
        let loading = load_images(state, options);
        let mut plane = ControlPlane::start(tools, state.folder(), Purpose::Node(ADDRESS)).await;
        times.reached("control plane");
        let client = plane.admin().await;
        install_crds(&client, gateway_crds(tools), MANAGER).await;
        plane.start_controllers(tools, "*");
        times.reached("definitions of the Gateway API");

        let kubeconfig = |user: &str| plane.kubeconfig(user, user);
        let (scheduler, kubelet, proxy) = (
            kubeconfig("kube-scheduler"),
            kubeconfig("kubelet"),
            kubeconfig("kube-proxy"),
        );
        let mut programs = vec![components::scheduler(state, tools, &scheduler)];
        let mut gateway = traefik::start(state, tools, &plane);
        loading
            .pause
            .await
            .expect("no panic")
            .unwrap_or_else(|error| panic!("{error}"));
        times.reached("the pause image");
        programs.push(containerd);
        programs.push(components::kubelet(state, tools, &kubelet));
        programs.push(components::proxy(state, tools, &proxy));
        node_is_ready(&client, &mut programs).await;
        times.reached("node");
        traefik::serves(&client, &mut gateway).await;
        times.reached("gateway");
        programs.push(gateway);

        programs.push(start_prometheus(state, options, &plane).await);
        programs.push(git(state, options));
        times.reached("Prometheus and the Git server");
        loading
            .others
            .await
            .expect("no panic")
            .unwrap_or_else(|error| panic!("{error}"));
        times.reached("images");
        if options.tidegate {
            tidegate::install(state, options, &client).await;
            times.reached("Tidegate");
        }
        programs.append(plane.programs());
        Self {
            programs,
            ready: Ready {
                seconds: begun.elapsed().as_secs_f64(),
                parts: times.parts,
            },
        }
    }
}

type Done = tokio::task::JoinHandle<Result<(), String>>;

/// Images on their way into containerd.
struct Loading {
    pause: Done,
    others: Done,
}

/// Begins to load the images while the control plane comes up.
fn load_images(state: &State, options: &Options) -> Loading {
    let socket = state.path("run/containerd/containerd.sock");
    let (state, options) = (state.clone(), options.clone());
    let (pause_loaded, pause_is_there) = tokio::sync::oneshot::channel::<()>();
    let (own, to_load) = (state.clone(), options.clone());
    let pause = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + wait::DEADLINE;
        // The socket is there a moment before anybody answers at it.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if Instant::now() > deadline {
                return Err(format!(
                    "containerd does not listen at {}",
                    socket.display()
                ));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        tidegate::load_pause(&own, &to_load)?;
        let _ = pause_loaded.send(());
        Ok(())
    });
    let others = tokio::task::spawn_blocking(move || {
        if pause_is_there.blocking_recv().is_err() {
            return Err("containerd took no image".to_owned());
        }
        tidegate::load_images(&state, &options)
    });
    Loading { pause, others }
}

fn gateway_crds(tools: &Path) -> Vec<kube::api::DynamicObject> {
    let folder = tools.join("gateway-api-crds");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("gateway.networking") && name.ends_with(".yaml")
        })
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| objects(&fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// Waits until the node is ready and pods may have ServiceAccounts.
async fn node_is_ready(client: &Client, programs: &mut [Program]) {
    let nodes: Api<Node> = Api::all(client.clone());
    wait::until_ok("the node is ready", async || {
        programs.iter_mut().for_each(Program::assert_running);
        let node = nodes.get(NODE).await.map_err(|error| error.to_string())?;
        let conditions = node
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let tainted = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if ready && tainted.is_empty() {
            Ok(())
        } else {
            Err(format!("{conditions:?} {tainted:?}"))
        }
    })
    .await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    wait::until_ok("the default namespace has a ServiceAccount", async || {
        accounts.get("default").await
    })
    .await;
}

/// Starts Prometheus. It finds the pods by itself and scrapes each port called `http` or `metrics`.
async fn start_prometheus(state: &State, options: &Options, plane: &ControlPlane) -> Program {
    let kubeconfig = plane.admin_kubeconfig();
    let config = json!({
        "global": {"scrape_interval": SCRAPE_INTERVAL},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": kubeconfig}],
                "relabel_configs": [
                    {"action": "keep", "regex": "Running",
                     "source_labels": ["__meta_kubernetes_pod_phase"]},
                    {"action": "keep", "regex": "http|metrics",
                     "source_labels": ["__meta_kubernetes_pod_container_port_name"]},
                    {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
                    {"source_labels": ["__meta_kubernetes_pod_label_app"], "target_label": "service"},
                    // As operators of Prometheus name it.
                    {"source_labels": ["__meta_kubernetes_namespace", "__meta_kubernetes_pod_label_app"],
                     "separator": "/", "target_label": "job"},
                    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                ],
            },
            {
                "job_name": "traefik",
                "static_configs": [{"targets": [format!("{ADDRESS}:{TRAEFIK_PORT}")]}],
            },
        ],
    });
    let name = "prometheus";
    prometheus::configure(state.folder(), name, &config);
    let address = (ADDRESS, PROMETHEUS_PORT).into();
    let command = prometheus::command(&options.tools, state.folder(), name, address);
    let mut program = Program::start(name, state.folder(), command);
    prometheus::until_ready(&format!("http://{address}"), &mut program).await;
    program
}

/// Starts the Git server: this program, as a process of its own, so that it can be stopped too.
fn git(state: &State, options: &Options) -> Program {
    let repositories = state.path("git");
    fs::create_dir_all(&repositories).unwrap();
    let mut command = Command::new(&options.program);
    command.arg("git-server").arg(repositories);
    Program::start("git", state.folder(), command)
}
