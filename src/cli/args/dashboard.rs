//! Arguments of `dashboard`.

use std::net::IpAddr;

use clap::Args;

/// `dashboard`
#[derive(Args, Debug, Clone)]
pub struct Dashboard {
    /// Where it listens: loopback, unless something in front of it asks who comes
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub address: IpAddr,
    /// On which port; 0: a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// Another name under which it is reached, as behind an ingress; may be repeated
    #[arg(long, value_name = "NAME")]
    pub allowed_host: Vec<String>,
    /// Nothing can be asked for
    #[arg(long)]
    pub read_only: bool,
    /// Whoever reaches it may look, without a key: only with --read-only
    #[arg(long, requires = "read_only")]
    pub open: bool,
}
