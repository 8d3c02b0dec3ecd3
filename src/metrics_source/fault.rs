//! Why there is no answer that can be used: each cause with its one word, and what to do about it.
//!
//! Nothing that the source sent is in here but numbers, and words from fixed lists.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use prometheus_http_query::error::{Error as ClientError, PrometheusErrorType};
use reqwest::StatusCode;

use super::address::{Refused, Unknown};
use super::endpoint::CONNECT_TIMEOUT;
use crate::analysis::plan::Version;
use crate::analysis::run::Fault;

/// Every reason that a [`Fault`] of this module can have. `docs/analysis.md` has a line for each.
pub const REASONS: [&str; 16] = [
    "Unreachable",
    "AddressRefused",
    "Timeout",
    "TooManyQueries",
    "Unauthorized",
    "Throttled",
    "Redirected",
    "HttpStatus",
    "NotPrometheus",
    "QueryRefused",
    "PartialAnswer",
    "WrongResultType",
    "NativeHistogram",
    "TooManyBuckets",
    "TooLarge",
    "TooManySeries",
];

/// Why there is no answer that can be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum AskError {
    /// No connection, or one that broke.
    #[error("{0}; is prometheus.url right, does a NetworkPolicy let the controller there?")]
    Unreachable(&'static str),
    /// Whoever hands requests on did not: the reason in a word, and what it said.
    #[error("{1}")]
    NotHandedOn(&'static str, String),
    /// An address that is never asked.
    #[error(
        "the host is a link-local address, that of a cloud's metadata, or nobody's, and is not asked; name the Service or host of a Prometheus"
    )]
    AddressRefused,
    /// Nothing came in time.
    #[error(
        "no whole answer within {:.0} s; narrow the query, or raise timeoutSeconds",
        .0.as_secs_f64()
    )]
    Timeout(Duration),
    /// The source itself gave up.
    #[error("the source gave up on the query (errorType timeout); narrow it")]
    GivenUp,
    /// No place among those that may ask.
    #[error(
        "{0} queries were under way all the time for {secs:.0} s; raise maxConcurrentQueries or use fewer metrics",
        secs = .1.as_secs_f64()
    )]
    TooManyQueries(usize, Duration),
    /// No place at the host, among all that ask there.
    #[error(
        "{0} queries to this host, of all that ask there, were under way all the time for {secs:.0} s; use fewer metrics or longer intervals, or look why it is slow",
        secs = .1.as_secs_f64()
    )]
    HostIsBusy(usize, Duration),
    /// 401 or 403.
    #[error("HTTP {0}: the source does not accept the credentials of prometheus.auth")]
    Unauthorized(u16),
    /// 429, or 503 with Retry-After.
    #[error("HTTP {status}: the source asks to be left alone{}", seconds(.after))]
    Throttled {
        /// The status.
        status: u16,
        /// For how long, in seconds, if it says so.
        after: Option<i64>,
    },
    /// 3xx.
    #[error(
        "HTTP {0}: a redirect is not followed; set prometheus.url to where the API is (a login page redirects too)"
    )]
    Redirected(u16),
    /// Any other status that is no answer.
    #[error("HTTP {status}{}{}", word(.kind), hint(*.status))]
    HttpStatus {
        /// The status.
        status: u16,
        /// Prometheus' word for it.
        kind: Option<PrometheusErrorType>,
    },
    /// The query cannot be read or executed.
    #[error("HTTP {status}{}: the source refuses the query; {}", word(.kind), refused(.kind))]
    QueryRefused {
        /// The status.
        status: u16,
        /// Prometheus' word for it.
        kind: Option<PrometheusErrorType>,
    },
    /// Not what the API answers.
    #[error(
        "{0}{of}; is prometheus.url the base of a Prometheus HTTP API?",
        of = content_type(.1)
    )]
    NotPrometheus(&'static str, Option<String>),
    /// The answer is not all that there is.
    #[error(
        "the source says that its answer is not complete, and what is missing could be the bad part; look at the stores behind it"
    )]
    PartialAnswer,
    /// Another kind of result than is needed.
    #[error("the result is a {0}, needed is a {1}{hint}", hint = instead(.0))]
    WrongResultType(&'static str, &'static str),
    /// Samples that are no numbers.
    #[error(
        "the result has native histograms, which are no numbers; compare them in a metric of the kind histogram, use a counter, or in a threshold histogram_count() or histogram_quantile()"
    )]
    NativeHistogram,
    /// A native histogram with more buckets than are read.
    #[error(
        "a native histogram has more than {0} buckets; give it a coarser resolution, or set native_histogram_bucket_limit where it is scraped"
    )]
    TooFine(usize),
    /// More bytes than are read.
    #[error(
        "the answer is larger than {} KiB; narrow the selector, as by namespace or job",
        .0 / 1024
    )]
    TooLarge(usize),
    /// More than is taken in.
    #[error(
        "the answer has more than {0} {1}; narrow the selector, as by namespace or job, or let fewer labels tell series apart"
    )]
    TooMany(usize, &'static str),
}

impl AskError {
    /// What became of a request that was not answered.
    pub(super) fn sent(error: &ClientError) -> Self {
        match error {
            ClientError::Client(error) => error
                .inner()
                .map_or(Self::Unreachable("the request failed"), Self::read),
            _ => Self::Unreachable("the request failed"),
        }
    }

    /// What became of an answer that did not come to its end.
    pub(super) fn read(error: &reqwest::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut found = None;
        while let Some(error) = cause {
            found = known(error).or(found);
            cause = error.source();
        }
        if let Some(found) = found {
            return found;
        }
        Self::Unreachable(if error.is_timeout() {
            // The only timeout of the client itself.
            const { assert!(CONNECT_TIMEOUT.as_secs() == 5) };
            "no connection within 5 s"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection broke before the answer was whole"
        })
    }

    /// The fault of one of a ratio's selectors.
    pub(super) fn of_selector(self, name: &str, version: Version) -> Fault {
        let arm = match version {
            Version::Canary => "new",
            Version::Stable => "stable",
        };
        let about_selector = matches!(
            self,
            Self::QueryRefused { .. }
                | Self::WrongResultType(..)
                | Self::NativeHistogram
                | Self::TooFine(_)
                | Self::TooLarge(_)
                | Self::TooMany(..)
        );
        let mut fault = Fault::from(self);
        if about_selector {
            fault.message = format!("{name} of the {arm} version: {}", fault.message);
        }
        fault
    }

    /// Whether it might have gone well with more time.
    pub(super) fn is_of_time(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::TooManyQueries(..) | Self::HostIsBusy(..)
        )
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "Unreachable",
            Self::NotHandedOn(reason, _) => reason,
            Self::AddressRefused => "AddressRefused",
            Self::Timeout(_) | Self::GivenUp => "Timeout",
            Self::TooManyQueries(..) | Self::HostIsBusy(..) => "TooManyQueries",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Throttled { .. } => "Throttled",
            Self::Redirected(_) => "Redirected",
            Self::HttpStatus { .. } => "HttpStatus",
            Self::NotPrometheus(..) => "NotPrometheus",
            Self::QueryRefused { .. } => "QueryRefused",
            Self::PartialAnswer => "PartialAnswer",
            Self::WrongResultType(..) => "WrongResultType",
            Self::NativeHistogram => "NativeHistogram",
            Self::TooFine(_) => "TooManyBuckets",
            Self::TooLarge(_) => "TooLarge",
            Self::TooMany(..) => "TooManySeries",
        }
    }
}

impl From<AskError> for Fault {
    fn from(error: AskError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            retry_after: match error {
                AskError::Throttled { after, .. } => after,
                _ => None,
            },
        }
    }
}

/// What one link of a chain of errors says, if it is one that is known.
fn known(error: &(dyn StdError + 'static)) -> Option<AskError> {
    if error.is::<Refused>() {
        return Some(AskError::AddressRefused);
    }
    if error.is::<Unknown>() {
        return Some(AskError::Unreachable("the host's name cannot be resolved"));
    }
    let mut error: &io::Error = error.downcast_ref()?;
    // An error inside of an io::Error is no link of its own, and it may be another io::Error.
    while let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref()) {
        error = inner;
    }
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Some(AskError::Unreachable(match (tls, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => {
            "the certificate is not valid for this host, or not by an authority that is known here (prometheus.ca names others)"
        }
        (Some(_), _) => "TLS is not understood on the other side",
        (_, io::ErrorKind::ConnectionRefused) => "the connection is refused",
        (_, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            "there is no route to the host"
        }
        (_, io::ErrorKind::TimedOut) => "the connection timed out",
        _ => return None,
    }))
}

fn seconds(after: &Option<i64>) -> String {
    after.map_or_else(String::new, |after| format!(" for {after} s"))
}

fn word(kind: &Option<PrometheusErrorType>) -> String {
    kind.map_or_else(String::new, |kind| format!(" (errorType {kind})"))
}

fn content_type(of: &Option<String>) -> String {
    of.as_ref()
        .map_or_else(String::new, |of| format!(" (content type {of})"))
}

fn hint(status: u16) -> &'static str {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            ": is prometheus.url the base of a Prometheus HTTP API that takes POST?"
        }
        Ok(status) if status.is_server_error() => ": the source fails; look at its own log",
        _ => ": the source does not answer the query",
    }
}

fn refused(kind: &Option<PrometheusErrorType>) -> &'static str {
    match kind {
        Some(PrometheusErrorType::Execution) => {
            "it reads it but cannot execute it: too many samples, or series that do not match one to one"
        }
        _ => "try the run's query in the source's own user interface",
    }
}

fn instead(kind: &str) -> &'static str {
    match kind {
        "matrix" => "; leave the range away or aggregate it, as in sum(increase(...[5m]))",
        "string" => "; a string is no measurement",
        _ => "",
    }
}
