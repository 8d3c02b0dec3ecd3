//! The programs of a node: containerd, kubelet, kube-scheduler and kube-proxy, with their
//! configuration. They run in the cluster's namespaces, where `/run`, `/var/lib` and `/var/log`
//! are the cluster's own, so their usual places are right.

use super::state::State;
use super::{ADDRESS, NODE, PODS};
use crate::control_plane::flags;
use crate::process::Program;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "docker.io/library/pause:lab";

/// Where containerd listens, in the cluster's own `/run`.
const SOCKET: &str = "run/containerd/containerd.sock";

/// What the snapshotter below is called in every command.
pub fn snapshotter() -> &'static str {
    // Without overlay every container is a whole copy of its image: slower, and it works.
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if filesystems.contains("\toverlay\n") {
        "overlayfs"
    } else {
        "native"
    }
}

/// Where containerd of a cluster listens, as seen from outside its namespaces too.
pub fn socket(state: &State) -> std::path::PathBuf {
    state.path(SOCKET)
}

/// Starts containerd.
pub fn containerd(state: &State) -> Program {
    let cni = state.path("cni");
    fs::create_dir_all(&cni).unwrap();
    // Not a bridge: what goes from pod to pod by way of a Service must pass the node's connection
    // tracking both ways, and a bridge takes the short way back.
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    write_json(&cni.join("lab.conflist"), &network);
    let config = format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # The pause container would lower its score, which not every root may.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"#,
        snapshotter = snapshotter(),
        cni = cni.display()
    );
    let file = state.path("containerd.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("containerd");
    command.arg("--config").arg(file);
    Program::start("containerd", state.folder(), command)
}

/// Starts the kubelet.
pub fn kubelet(state: &State, tools: &Path, kubeconfig: &Path) -> Program {
    let resolv = state.path("resolv.conf");
    fs::write(&resolv, "# Nobody resolves names here.\n").unwrap();
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", state.cgroup()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        // Nothing is evicted, and no image is thrown away, because the disk of the machine is full.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "oomScoreAdj": 0,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "resolvConf": resolv,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "maxPods": 200,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
    });
    let file = state.path("kubelet.json");
    write_json(&file, &config);
    Program::component(
        tools,
        state.folder(),
        "kubelet",
        &flags(&[
            ("config", &file.display().to_string()),
            ("kubeconfig", &kubeconfig.display().to_string()),
            ("hostname-override", NODE),
            ("node-ip", &ADDRESS.to_string()),
        ]),
    )
}

/// Starts the scheduler.
pub fn scheduler(state: &State, tools: &Path, kubeconfig: &Path) -> Program {
    let config = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": false},
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 200, "burst": 400},
    });
    let file = state.path("kube-scheduler.json");
    write_json(&file, &config);
    let certificates = state.path("certificates-scheduler");
    Program::component(
        tools,
        state.folder(),
        "kube-scheduler",
        &flags(&[
            ("config", &file.display().to_string()),
            ("bind-address", "127.0.0.1"),
            ("cert-dir", &certificates.display().to_string()),
        ]),
    )
}

/// Starts kube-proxy.
pub fn proxy(state: &State, tools: &Path, kubeconfig: &Path) -> Program {
    Program::component(
        tools,
        state.folder(),
        "kube-proxy",
        &flags(&[
            ("kubeconfig", &kubeconfig.display().to_string()),
            ("hostname-override", NODE),
            ("proxy-mode", "iptables"),
            ("cluster-cidr", PODS),
            // The sizes of connection tracking belong to the machine, not to this network.
            ("conntrack-max-per-core", "0"),
            ("conntrack-min", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ]),
    )
}

pub(super) fn write_json(file: &Path, value: &serde_json::Value) {
    fs::write(file, serde_json::to_vec_pretty(value).unwrap()).unwrap();
}
