//! A real node: kubelet, containerd, kube-proxy, kube-scheduler and Traefik beside the control
//! plane, in namespaces of their own (`tests/cluster/README.md`).
//!
//! [`cluster`] is what is seen from outside: up, down, status, enter. [`supervisor`] runs inside.
//! All addresses are the documentation's and are the same in every cluster: each has a network of
//! its own, which leads nowhere.

pub mod cluster;
mod components;
pub mod control;
pub mod images;
mod network;
pub mod preflight;
pub mod state;
pub mod supervisor;
pub mod tidegate;
mod traefik;

use std::net::Ipv4Addr;

/// The node's address: the API server, Traefik, Prometheus and the Git server are there.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The node's name.
pub const NODE: &str = "node";

/// The pods' addresses. Those of Services are 203.0.113.0/24.
pub const PODS: &str = "198.51.100.0/24";

/// The gateway's listener, at the node's address.
pub const GATEWAY_PORT: u16 = 80;

/// Traefik's metrics and `/ping`, at the node's address.
pub const TRAEFIK_PORT: u16 = 8082;

/// Prometheus, at the node's address.
pub const PROMETHEUS_PORT: u16 = 9090;

/// Git over HTTP, at the node's address.
pub const GIT_PORT: u16 = 3000;

/// The supervisor's own interface ([`control`]), on loopback.
pub const SUPERVISOR_PORT: u16 = 7000;
