//! A way to an endpoint that is no connection of this process' own: somebody hands requests on who
//! may go there, as an API server does for a Service. What comes back is read as any other answer.

use futures::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::fault::AskError;

/// Hands requests on to a metrics endpoint.
pub trait Relay: Send + Sync {
    /// Hands on a GET of `/api/v1/query` with these parameters. No body larger than `max` bytes is read.
    fn query(
        &self,
        parameters: Vec<(&'static str, String)>,
        max: usize,
    ) -> BoxFuture<'_, Result<Relayed, RelayError>>;

    /// Where it leads, for messages.
    fn place(&self) -> String;
}

/// What came back from the endpoint itself, whatever it said.
#[derive(Debug)]
pub struct Relayed {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why nothing came back from the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayError {
    /// Whoever hands on did not reach it, or is not there: one sentence with what to do.
    Unreachable(String),
    /// Whoever hands on does not do that for this user: one sentence with what to do.
    Forbidden(String),
    /// More bytes than are read.
    TooLarge,
}

impl RelayError {
    pub(super) fn of(self, max: usize) -> AskError {
        match self {
            Self::Unreachable(why) => AskError::NotHandedOn("Unreachable", why),
            Self::Forbidden(why) => AskError::NotHandedOn("Unauthorized", why),
            Self::TooLarge => AskError::TooLarge(max),
        }
    }
}
