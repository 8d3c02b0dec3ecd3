//! Who may ask, and with what. A page on loopback can be asked by every program of the machine and by every
//! web page that the browser has open: so the host is checked (a name that leads here is not enough), the
//! browser shows a key that only the command's user was told, and what changes something comes from this
//! page alone. Knows nothing of Rollouts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// What a page may do in a browser: show itself, and talk with where it came from.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
/// The header by which a page shows that it is ours.
pub const MARK: &str = "x-tidegate-page";
/// Bytes of a random word: nobody guesses 32 hexadecimal digits.
const RANDOM_BYTES: usize = 16;

/// What is asked of a request.
#[derive(Clone, Debug)]
pub struct Guard {
    address: SocketAddr,
    hosts: Vec<String>,
    key: Option<String>,
    mark: String,
}

/// A word that nobody guesses.
///
/// # Errors
/// When the system has no randomness.
pub fn random_word() -> std::io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

impl Guard {
    /// For a page at this address that other hosts' names lead to as well. With a key only who knows it is
    /// let in.
    #[must_use]
    pub fn new(address: SocketAddr, hosts: &[String], key: Option<String>, mark: String) -> Self {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self {
            address,
            hosts,
            key,
            mark,
        }
    }

    /// What a page sends back to show that it is ours.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Where the page is opened; with the key, if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        let address = match self.address.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(loopback(ip), self.address.port()),
            _ => self.address,
        };
        match &self.key {
            Some(key) => format!("http://{address}/?key={key}"),
            None => format!("http://{address}/"),
        }
    }

    /// Each page has a cookie of its own: cookies know no ports.
    fn cookie(&self) -> String {
        format!("tidegate-{}", self.address.port())
    }

    /// Whether this is a name of ours. Another name that leads here belongs to somebody's web page.
    fn is_our_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let by_address = bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || (ip == self.address.ip() && !ip.is_unspecified()));
        by_address || name == "localhost" || self.hosts.iter().any(|known| known == name)
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        let name = self.cookie();
        let all = headers.get_all(header::COOKIE).iter();
        let all = all.filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(cookie, value)| cookie == name && same(value, key))
    }

    /// Why what changes something does not come from our page, if so.
    fn foreign(&self, headers: &HeaderMap, host: &str) -> Option<&'static str> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_ours = text("origin").is_some_and(|origin| {
            let rest = origin.split_once("://").map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        });
        if !is_ours {
            return Some("the request does not come from this page (Origin)");
        }
        if !text(MARK).is_some_and(|mark| same(mark, &self.mark)) {
            return Some("the page is of an earlier start of this program: load it again");
        }
        None
    }

    /// What is answered instead, if anything.
    fn refuse(&self, request: &Request) -> Option<Response> {
        // A kubelet asks by the pod's address, and is told nothing.
        if request.uri().path() == "/healthz" {
            return None;
        }
        let headers = request.headers();
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
        let Some(host) = host.filter(|host| self.is_our_host(host)) else {
            let why = "this page is not served under that name; --allowed-host NAME adds one\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, why).into_response());
        };
        if !self.has_key(headers) {
            return Some(self.let_in(request));
        }
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            let why = self.foreign(headers, host)?;
            return Some((StatusCode::FORBIDDEN, format!("{why}\n")).into_response());
        }
        None
    }

    /// Who comes with the key gets a cookie in its place, so that it stands in no address and no history.
    fn let_in(&self, request: &Request) -> Response {
        let query = request.uri().query().unwrap_or_default();
        let shown = query.split('&').find_map(|pair| pair.strip_prefix("key="));
        let key = self.key.as_deref().unwrap_or_default();
        if !shown.is_some_and(|shown| same(shown, key)) {
            let why = "open the whole address that `kubectl tidegate dashboard` has printed, with its \
                       key: others on this machine could act in your name here\n";
            return (StatusCode::FORBIDDEN, why).into_response();
        }
        let name = self.cookie();
        let cookie = format!("{name}={key}; Path=/; HttpOnly; SameSite=Strict");
        let to = [
            (header::SET_COOKIE, cookie),
            (header::LOCATION, "/".to_owned()),
        ];
        (StatusCode::SEE_OTHER, to).into_response()
    }
}

/// Compared by their digests, so that the time tells nothing of the text.
fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()) == Sha256::digest(b.as_bytes())
}

fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    }
}

/// Around every request: refuses it, or hands it on; and says with every answer what the browser may do.
pub async fn around(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut answer = match guard.refuse(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let caching = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(caching);
    answer
}

/// An answer that is kept until it changes: style, script, and nothing of a cluster.
#[must_use]
pub fn unchanging(kind: &'static str, etag: &str, body: &'static [u8]) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(header::ETAG, format!("\"{etag}\""))
        .body(Body::from(body))
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

#[cfg(test)]
mod tests;
