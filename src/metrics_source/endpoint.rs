//! An endpoint: what must be known to ask it, checked, and the HTTP client for it.
//!
//! Credentials are in here and in the request's header, and nowhere else: no `Debug`, no error.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use prometheus_http_query::Client;
use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::address::{self, Guarded, Lookup};
use super::ca::CaBundle;

/// How long an answer may take in all, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many queries may be under way at once, where nothing is said.
const CONCURRENCY: usize = 10;
/// A connection that is not there by then does not come: three lost packets.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than what load balancers wait before they drop an idle connection without a word.
const IDLE: Duration = Duration::from_secs(30);
/// Longest URL, as in the schema.
const URL_MAX: usize = 1024;
/// How much of a wrong value is shown.
const SHOWN_MAX: usize = 200;
/// Headers that are not the user's to set, as in the schema.
const RESERVED: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
];

/// What must be known to ask a metrics endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base URL, `http` or `https`, to which `/api/v1/query` is added.
    pub url: String,
    /// More request headers.
    pub headers: Vec<(String, String)>,
    /// How to log in. None: without.
    pub login: Option<Login>,
    /// Who must have signed the certificate of an `https` endpoint. None: whom the system trusts.
    pub ca: Option<CaBundle>,
    /// How long a question may take in all.
    pub timeout: Duration,
    /// How many queries may be under way at once.
    pub concurrency: usize,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            url: String::new(),
            headers: Vec::new(),
            login: None,
            ca: None,
            timeout: TIMEOUT,
            concurrency: CONCURRENCY,
        }
    }
}

/// How to log in. White space around a token and a line break after a password are no part of it:
/// files and Secrets tend to end with one.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// `Authorization: Bearer`.
    Bearer(String),
    /// `Authorization: Basic`.
    Basic {
        /// Who.
        username: String,
        /// The secret.
        password: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(not shown)",
            Self::Basic { .. } => "Basic(not shown)",
        })
    }
}

/// Why an endpoint cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The URL.
    #[error(
        "prometheus.url {0:?}: {1}; allowed is http:// or https:// with a host, perhaps a port and a path, such as http://prometheus.monitoring:9090"
    )]
    Url(String, &'static str),
    /// A header.
    #[error("prometheus.headers {0:?}: {1}")]
    Header(String, &'static str),
    /// The credentials. They are not shown.
    #[error("prometheus.auth.{0}: {1}; correct the Secret that it refers to")]
    Login(&'static str, &'static str),
    /// A limit.
    #[error("{0}: must be more than 0")]
    Limit(&'static str),
    /// The system has no authorities.
    #[error(
        "prometheus.url {0:?}: nobody's certificate can be believed, because the controller's system has no CA certificates; name the endpoint's authority in prometheus.ca, or the system's with SSL_CERT_FILE or SSL_CERT_DIR"
    )]
    NoAuthorities(String),
    /// The process itself.
    #[error("prometheus.url {0:?}: this process can make no HTTP client")]
    Client(String),
}

/// What it takes to ask an endpoint.
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) authorization: Option<HeaderValue>,
    /// The host's name, as the URL has it.
    pub(super) host: String,
}

/// The way to an endpoint.
pub(super) fn way(endpoint: &Endpoint, lookup: Lookup) -> Result<Way, EndpointError> {
    let url = base_url(&endpoint.url)?;
    if endpoint.timeout.is_zero() {
        return Err(EndpointError::Limit("timeoutSeconds"));
    }
    if endpoint.concurrency == 0 {
        return Err(EndpointError::Limit("maxConcurrentQueries"));
    }
    let no_client = || match url.scheme() {
        "https" if endpoint.ca.is_none() => EndpointError::NoAuthorities(shown(&endpoint.url)),
        _ => EndpointError::Client(shown(&endpoint.url)),
    };
    let mut builder = reqwest::Client::builder();
    if let Some(ca) = &endpoint.ca {
        let certificates = ca.certificates().map_err(|_| no_client())?;
        // These and no others: whoever names an authority does not want hundreds of others beside it.
        builder = builder.tls_certs_only(certificates);
    } else if url.scheme() == "http" {
        // No certificate is looked at, and an image may have no authorities.
        builder = builder.tls_certs_only([]);
    }
    let http = builder
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers(&endpoint.headers)?)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        // A redirect could lead to where the administrator did not point to ...
        .redirect(reqwest::redirect::Policy::none())
        // ... and so could a proxy from the environment, which would also see the credentials.
        .no_proxy()
        .dns_resolver(Guarded::new(lookup))
        .build()
        .map_err(|_| no_client())?;
    let authorization = match &endpoint.login {
        None => None,
        Some(login) => Some(authorization(&http, &url, login)?),
    };
    let text = url.as_str().trim_end_matches('/');
    let client = Client::from(http, text)
        .map_err(|_| EndpointError::Url(shown(&endpoint.url), "is not a URL"))?;
    Ok(Way {
        client,
        authorization,
        host: url.host_str().unwrap_or_default().to_owned(),
    })
}

fn base_url(text: &str) -> Result<Url, EndpointError> {
    let refuse = |why| EndpointError::Url(shown(text), why);
    if text.len() > URL_MAX {
        return Err(refuse("is longer than 1024 bytes"));
    }
    // Parsers of URLs differ in what they make of these.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(refuse("has white space or a backslash in it"));
    }
    let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https"));
    }
    if text.contains('@') {
        return Err(refuse("has a user name; log in with prometheus.auth"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has a query or a fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse("has no host"));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // An address is not resolved, so the resolver does not see it.
    match bare.parse::<IpAddr>() {
        Ok(ip) if address::is_refused(ip) => Err(refuse(
            "is a link-local address, that of a cloud's metadata, or nobody's",
        )),
        _ => Ok(url),
    }
}

/// A URL as far as it may be shown: without what could be a password.
fn shown(text: &str) -> String {
    let rest = text.rsplit_once('@').map(|(_, rest)| rest);
    let shown = rest.map_or_else(|| text.to_owned(), |rest| format!("...@{rest}"));
    let shown = shown.split(['?', '#']).next().unwrap_or_default();
    shown.chars().take(SHOWN_MAX).collect()
}

fn headers(all: &[(String, String)]) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        let refuse = |why| EndpointError::Header(name.chars().take(SHOWN_MAX).collect(), why);
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| refuse("is no header's name; letters, digits and - are allowed"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(refuse(
                "is not allowed: authorization comes from prometheus.auth, and the connection's headers from the connection",
            ));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| refuse("has a value that is not allowed; printable ASCII is"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn authorization(
    http: &reqwest::Client,
    url: &Url,
    login: &Login,
) -> Result<HeaderValue, EndpointError> {
    let request = http.get(url.clone());
    let (what, request) = match login {
        Login::Bearer(token) => {
            let token = token.trim();
            if token.is_empty() {
                return Err(EndpointError::Login("bearer", "the token is empty"));
            }
            ("bearer", request.bearer_auth(token))
        }
        Login::Basic { username, password } => {
            let username = username.trim_end_matches(['\r', '\n']);
            if username.is_empty() || username.contains(':') {
                let why = "the user name is empty or has a colon in it";
                return Err(EndpointError::Login("basic", why));
            }
            let password = password.trim_end_matches(['\r', '\n']);
            ("basic", request.basic_auth(username, Some(password)))
        }
    };
    let refused = EndpointError::Login(what, "has characters that no header may have");
    let request = request.build().map_err(|_| refused.clone())?;
    let value = request.headers().get(header::AUTHORIZATION).cloned();
    let mut value = value.ok_or(refused)?;
    value.set_sensitive(true);
    Ok(value)
}
