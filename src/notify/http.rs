//! The way to a receiver: its URL, checked, and an HTTP client that goes nowhere else. The URL, the
//! headers and what the receiver answers are in no error and no log line.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use super::formats::Request;
use crate::metrics_source::CaBundle;
use crate::metrics_source::address::{self, Guarded};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest URL.
const URL_MAX: usize = 2_048;
/// The longest wait that a receiver may ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Headers that are not the user's to set.
const RESERVED: [&str; 5] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
];

/// Where a receiver is told.
#[derive(Clone)]
pub(super) struct Target {
    client: Client,
    url: Url,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(not shown)")
    }
}

/// Why a receiver did not take a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotTaken {
    /// In words, without anything of the request or of the answer but its status.
    pub why: String,
    /// Whether another try may help.
    pub again: bool,
    /// How long the receiver wants to be left alone.
    pub after: Option<Duration>,
}

/// A URL that may be told.
pub(super) fn url(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    if text.len() > URL_MAX {
        return Err("is longer than 2048 bytes");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("has white space or a backslash in it");
    }
    let url = Url::parse(text).map_err(|_| "is no URL; allowed is https://HOST/PATH")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name in it; use a header, or the receiver's own secret URL");
    }
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        // An address is not resolved, so the resolver does not see it.
        Ok(ip) if address::is_refused(ip) => {
            Err("is a link-local address, that of a cloud's metadata, or nobody's")
        }
        _ if host.is_empty() => Err("has no host"),
        _ => Ok(url),
    }
}

impl Target {
    /// The way to `url`; what is wrong with it comes with the field's name.
    pub(super) fn new(
        url: Url,
        headers: Vec<(String, String)>,
        ca: Option<&CaBundle>,
    ) -> Result<Self, (&'static str, String)> {
        let mut builder = Client::builder();
        if let Some(ca) = ca {
            let certificates = ca
                .certificates()
                .map_err(|_| ("ca", "cannot be used".to_owned()))?;
            builder = builder.tls_certs_only(certificates);
        } else if url.scheme() == "http" {
            // No certificate is looked at, and an image may have no authorities.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .default_headers(checked(headers)?)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect could lead to where the administrator did not point to, and so could a proxy
            // from the environment.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Guarded::new(address::of_the_system()))
            .build()
            .map_err(|_| {
                let what = "this process can make no HTTP client; if its system has no CA certificates, name the receiver's authority in ca";
                ("url", what.to_owned())
            })?;
        Ok(Self { client, url })
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: &Request) -> Result<(), NotTaken> {
        let mut post = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, &request.content_type)
            .body(request.body.clone());
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        let answer = post.send().await.map_err(|error| NotTaken {
            // The error's own text has the URL in it.
            why: if error.is_timeout() {
                format!("no answer within {} s", TIMEOUT.as_secs())
            } else if error.is_connect() {
                "no connection".to_owned()
            } else {
                "the request failed".to_owned()
            },
            again: true,
            after: None,
        })?;
        taken(answer.status(), answer.headers())
    }
}

/// What an answer means.
fn taken(status: StatusCode, headers: &HeaderMap) -> Result<(), NotTaken> {
    if status.is_success() {
        return Ok(());
    }
    let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let after = headers.get(RETRY_AFTER).filter(|_| again);
    let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(NotTaken {
        why: format!("answered with status {}", status.as_u16()),
        again,
        after: after.map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX)),
    })
}

fn checked(all: Vec<(String, String)>) -> Result<HeaderMap, (&'static str, String)> {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        let refuse = |why: &str| {
            let name: String = name.chars().take(80).collect();
            ("headers", format!("{name:?}: {why}"))
        };
        let key = HeaderName::try_from(name.as_str())
            .map_err(|_| refuse("is no header's name; letters, digits and - are allowed"))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(refuse(
                "is not allowed: it is the connection's, or contentType says it",
            ));
        }
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| refuse("has a value that is not allowed; printable ASCII is"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_may_be_told_are_taken() {
        for good in [
            "https://hooks.slack.com/services/T/B/x",
            "http://broker.events.svc:8080/default?key=1",
            "http://10.0.0.7/x",
            " https://h/x\n",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("hooks.slack.com/x", "no URL"),
            ("ftp://h/x", "neither http"),
            ("https://me:secret@h/x", "user name"),
            ("http://169.254.169.254/latest", "link-local"),
            ("http://[fe80::1]/x", "link-local"),
            ("https://h/a b", "white space"),
        ] {
            let error = url(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(url(&format!("https://h/{}", "x".repeat(URL_MAX))).is_err());
    }

    #[test]
    fn an_answer_says_whether_another_try_may_help() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        for (status, again, after) in [
            (500, true, Some(7)),
            (503, true, Some(7)),
            (429, true, Some(7)),
            (400, false, None),
            (302, false, None),
            (404, false, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let not_taken = taken(status, &headers).unwrap_err();
            assert_eq!(not_taken.again, again, "{status}");
            assert_eq!(not_taken.after, after.map(Duration::from_secs), "{status}");
        }
        headers.insert(RETRY_AFTER, HeaderValue::from_static("999999"));
        let long = taken(StatusCode::TOO_MANY_REQUESTS, &headers).unwrap_err();
        assert_eq!(long.after, Some(WAIT_MAX));
        assert_eq!(taken(StatusCode::ACCEPTED, &headers), Ok(()));
    }
}
