//! The network of a node, inside its namespace: one interface with the node's address, and a way
//! out that leads nowhere.

use super::ADDRESS;
use std::process::Command;

/// Makes it. The far end of the pair belongs to nobody: what is sent there is lost. A default
/// route must be there all the same, kubelet and kube-proxy look for the interface that it names.
pub fn make() {
    for command in [
        "link set lo up".to_owned(),
        "link add node0 type veth peer name nowhere0".to_owned(),
        format!("address add {ADDRESS}/24 dev node0"),
        "link set nowhere0 up".to_owned(),
        "link set node0 up".to_owned(),
        "route add default via 192.0.2.254 dev node0".to_owned(),
    ] {
        let output = Command::new("ip")
            .args(command.split(' '))
            .output()
            .unwrap_or_else(|error| panic!("ip does not start: {error}"));
        assert!(
            output.status.success(),
            "ip {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwarding can be switched on");
}
