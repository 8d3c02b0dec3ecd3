//! Which addresses are never asked, whatever name leads to them.
//!
//! A name is resolved here and the connection goes to the addresses that were looked at, so a name
//! that changes its meaning in between changes nothing. Loopback and private addresses are allowed:
//! the URL is an administrator's, and a proxy that signs requests runs beside the controller.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services of clouds outside the link-local range: Azure's WireServer, Alibaba's, Oracle's.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The first two groups of metadata services with unique local addresses: AWS (with the agent that
/// gives credentials to pods), Google, Scaleway, Oracle.
const METADATA_V6: [[u16; 2]; 4] = [
    [0xfd00, 0x0ec2],
    [0xfd20, 0x00ce],
    [0xfd00, 0x0042],
    [0xfd00, 0x00c1],
];

/// Turns a name into addresses.
pub(crate) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// As the system does it.
pub(crate) fn of_the_system() -> Lookup {
    Arc::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed())
}

/// A name that leads only to addresses that are never asked.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that is never asked")]
pub(super) struct Refused;

/// A name that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
pub(super) struct Unknown;

/// Resolves names, without the addresses that are never asked.
pub(crate) struct Guarded(Lookup);

impl Guarded {
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self(lookup)
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.0)(name.as_str().to_owned());
        async move {
            let all = found.await.map_err(|_| Unknown)?;
            if all.is_empty() {
                return Err(Unknown.into());
            }
            let allowed: Vec<SocketAddr> =
                all.into_iter().filter(|a| !is_refused(a.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        }
        .boxed()
    }
}

/// Whether an address is never asked: link-local, a cloud's metadata, nobody's or everybody's.
pub(crate) fn is_refused(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_refused_v4(v4),
        IpAddr::V6(v6) => is_refused_v6(v6) || inside(v6).is_some_and(is_refused_v4),
    }
}

fn is_refused_v4(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    // 0.0.0.0/8 is this host on some systems; from 224 on there are groups and the reserved ones.
    ip.is_link_local() || first == 0 || first >= 224 || METADATA_V4.contains(&ip)
}

fn is_refused_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unicast_link_local()
        || METADATA_V6.contains(&[first, second])
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052), 6to4.
fn inside(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        // ::1 is no IPv4 address but loopback.
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(v4(high, low))
        }
        [0x64, 0xff9b, _, _, _, _, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}
