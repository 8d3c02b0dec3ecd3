//! Requests over HTTP/1.1. Nothing is sent twice: a request that fails is a request that failed, as a
//! user's would have.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Connection, Exchange, Outcome};
use crate::app::VERSION_HEADER;

/// Connections that are kept at most, and how long one is kept without a request.
const KEPT_MAX: usize = 200;
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address, for instance `http://192.0.2.1:8000/`.
    pub uri: Uri,
    /// The host that is asked for, if it is not the address's.
    pub host: Option<String>,
    /// A request without an answer has failed after this time.
    pub timeout: Duration,
}

/// Sends GET requests to a target.
#[derive(Debug)]
pub struct Http {
    target: Target,
    kept: Client<HttpConnector, Empty<Bytes>>,
    fresh: Client<HttpConnector, Empty<Bytes>>,
}

impl Http {
    /// To this target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        let client = |kept: usize| {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(target.timeout));
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_max_idle_per_host(kept)
                .pool_idle_timeout(KEPT_FOR)
                .retry_canceled_requests(false)
                .build(connector)
        };
        Self {
            kept: client(KEPT_MAX),
            fresh: client(0),
            target,
        }
    }

    fn request(&self, connection: Connection) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut request = Request::get(self.target.uri.clone());
        if let Some(host) = &self.target.host {
            request = request.header(header::HOST, host);
        }
        if connection == Connection::Fresh {
            request = request.header(header::CONNECTION, "close");
        }
        request.body(Empty::new())
    }

    async fn exchange(&self, connection: Connection) -> Result<(u16, HeaderMap), String> {
        let request = self.request(connection).map_err(|e| e.to_string())?;
        let client = match connection {
            Connection::Kept => &self.kept,
            Connection::Fresh => &self.fresh,
        };
        let response = client.request(request).await.map_err(|e| chain(&e))?;
        let (head, body) = response.into_parts();
        // Half an answer is none.
        body.collect()
            .await
            .map_err(|e| format!("in the middle of the answer: {}", chain(&e)))?;
        Ok((head.status.as_u16(), head.headers))
    }
}

impl Exchange for Http {
    async fn send(&self, connection: Connection) -> Outcome {
        let exchange = tokio::time::timeout(self.target.timeout, self.exchange(connection));
        match exchange.await {
            Ok(Ok((status, headers))) => {
                let version = headers.get(VERSION_HEADER);
                let version = version.and_then(|v| v.to_str().ok()).map(str::to_owned);
                Outcome::Answered { status, version }
            }
            Ok(Err(cause)) => Outcome::Failed { cause },
            Err(_) => Outcome::Failed {
                cause: format!("no answer within {:?}", self.target.timeout),
            },
        }
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
