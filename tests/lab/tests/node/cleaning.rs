//! However a cluster ends, nothing of it is left, and its neighbour goes on.

use crate::options;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_lab::node::cluster::{self, Attached, client, enter};
use tidegate_lab::node::state::{Options, State};
use tidegate_lab::objects::{apply, objects};
use tidegate_lab::wait;

/// A pod on each cluster: containers are what outlives a runtime.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: left, namespace: default}
spec:
  containers:
  - {name: app, image: 'app:lab', imagePullPolicy: Never}
";

/// What the kernel knows a cluster's processes by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Namespaces {
    pid: String,
    net: String,
}

#[test]
fn nothing_is_left_of_a_cluster_that_was_killed_and_its_neighbour_goes_on() {
    let Some(options) = options("what_is_killed") else {
        return;
    };
    let options = Options {
        tidegate: false,
        ..options
    };
    let neighbour = Attached::up("self-test-neighbour", &options).unwrap();
    run_a_pod(neighbour.state());

    // The supervisor, the first process of its namespace, and the one that holds the namespaces.
    for victim in ["supervise", "init", "unshare"] {
        let (state, _) = cluster::up("self-test-victim", &options).unwrap();
        run_a_pod(&state);
        let namespaces = namespaces(&state);
        assert!(
            processes(&namespaces).len() > 10,
            "{:?}",
            processes(&namespaces)
        );
        kill(&state, victim);
        until(
            &format!("{victim} was killed, and every process has ended"),
            || processes(&namespaces).is_empty() && state.holders().is_empty(),
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("self-test-victim"), "{mounts}");
        assert!(state.exists(), "the next start has nothing to sweep");
        assert!(alive(neighbour.state()), "the neighbour died with it");
    }
    // The last one is swept by a start of another name, the others were by their successors.
    let other = Attached::up("self-test-other", &options).unwrap();
    nothing_is_left(&State::of("self-test-victim").unwrap());
    let (state, namespaces_of_other) = (other.state().clone(), namespaces(other.state()));
    drop(other);
    nothing_is_left(&state);
    until("the other's processes have ended", || {
        processes(&namespaces_of_other).is_empty()
    });
    assert!(alive(neighbour.state()));
}

#[test]
fn a_cluster_ends_with_the_process_that_it_belongs_to() {
    let Some(options) = options("an_attached_cluster") else {
        return;
    };
    let (state, mut owner) = owned(&options, "self-test-attached", &["--attached"]);
    let mut said = [0; 64];
    let read = owner.stdout.as_mut().unwrap().read(&mut said).unwrap();
    assert!(read > 0, "it ended before it was ready");
    run_a_pod(&state);
    ends_with(&state, &mut owner);
}

#[test]
fn a_start_that_is_killed_halfway_leaves_nothing() {
    let Some(options) = options("a_start_halfway") else {
        return;
    };
    let (state, mut owner) = owned(&options, "self-test-halfway", &[]);
    until("containerd runs", || {
        state.path("run/containerd/containerd.sock").exists()
    });
    ends_with(&state, &mut owner);
}

/// Starts a cluster by the program, which can be killed.
fn owned(options: &Options, name: &str, flags: &[&str]) -> (State, Child) {
    let owner = Command::new(&options.program)
        .args(["up", name, "--without-tidegate", "--tools"])
        .arg(&options.tools)
        .arg("--repository")
        .arg(&options.repository)
        .arg("--binaries")
        .arg(&options.binaries)
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    (State::of(name).unwrap(), owner)
}

/// Kills the owner and waits until nothing is left of the cluster, without anybody's help.
fn ends_with(state: &State, owner: &mut Child) {
    let namespaces = namespaces(state);
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("its cluster has ended", || {
        processes(&namespaces).is_empty() && state.holders().is_empty()
    });
    nothing_is_left(state);
}

/// Starts a pod and waits until its container runs.
fn run_a_pod(state: &State) {
    in_its_network(state, async |client| {
        for object in objects(POD).unwrap() {
            apply(&client, "default", &object, "self-test")
                .await
                .unwrap();
        }
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
            kube::Api::namespaced(client, "default");
        wait::until_ok("the pod runs", async || {
            let pod = pods.get("left").await.map_err(|error| error.to_string())?;
            let status = pod.status.unwrap_or_default();
            if status.phase.as_deref() == Some("Running") {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
    });
}

fn alive(state: &State) -> bool {
    cluster::described(state).contains("1 of 1 nodes ready, 1 of 1 pods ready")
}

/// Runs something in a thread of its own, which stays in the cluster's network.
fn in_its_network(state: &State, work: impl AsyncFnOnce(kube::Client) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(state).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { work(client(state).await.unwrap()).await });
        });
        thread.join().unwrap();
    });
}

/// The namespaces of the first process; the pods' own are below them.
fn namespaces(state: &State) -> Namespaces {
    let first = state.first().unwrap();
    let link = |kind: &str| {
        let link = format!("/proc/{}/ns/{kind}", first.as_raw_nonzero());
        fs::read_link(link).unwrap().display().to_string()
    };
    Namespaces {
        pid: link("pid"),
        net: link("net"),
    }
}

/// Who is in one of them, by command line.
fn processes(namespaces: &Namespaces) -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let is = |kind: &str, namespace: &str| {
                fs::read_link(entry.path().join("ns").join(kind))
                    .is_ok_and(|link| link == Path::new(namespace))
            };
            is("pid", &namespaces.pid) || is("net", &namespaces.net)
        })
        .map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("{} {line}", entry.file_name().display())
        })
        .collect()
}

fn kill(state: &State, victim: &str) {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let folder = state.folder().display().to_string();
    let pid = entries
        .filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let words: Vec<&str> = line.split('\0').collect();
            let found = match victim {
                "supervise" => words.contains(&"supervise") && words.contains(&state.name()),
                "unshare" => words[0] == "unshare" && words.contains(&folder.as_str()),
                _ => {
                    words.contains(&"init")
                        && words.contains(&folder.as_str())
                        && words[0] != "unshare"
                }
            };
            found.then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .next()
        .unwrap_or_else(|| panic!("no process {victim}"));
    assert!(
        Command::new("kill")
            .args(["-KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
}

fn nothing_is_left(state: &State) {
    assert!(!state.exists(), "{} is there", state.folder().display());
    for cgroup in state.cgroups() {
        assert!(!cgroup.exists(), "{} is there", cgroup.display());
    }
    assert_eq!(state.holders(), []);
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + wait::DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
