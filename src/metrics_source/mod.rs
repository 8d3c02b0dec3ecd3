//! Where samples come from: the Prometheus HTTP API, asked for what an analysis run needs.
//!
//! A ratio is asked as raw samples: instant queries of range selectors, so nothing is extrapolated
//! (statistics, section 1). A threshold is asked as an instant query of one number. The time is
//! always that of the question, so that a question that is asked again is the same question.
//!
//! The module judges nothing: an empty answer and a NaN are answers. What cannot be used is a
//! [`Fault`], in words of this module's own. What the source sends never gets into a message: an
//! endpoint must not be a way to read what only the controller can reach.
//!
//! `prometheus-http-query` makes the requests and knows the API's kinds of errors. Its own reading
//! of answers is not used: it has no limit on their size, drops `warnings` (a partial answer would
//! look whole) and takes a native histogram for a broken answer. Answers are read by [`answer`].

mod address;
mod answer;
mod ca;
mod endpoint;
mod fault;

use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt;
use jiff::Timestamp;
use prometheus_http_query::Client;
use reqwest::header::{self, HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::analysis::plan::{Arms, Kind, Version};
use crate::analysis::run::{Answer, Fault, Question};
use crate::analysis::series::{Answers, Series};
use crate::analysis::threshold::Point;

pub use ca::{CaBundle, CaError};
pub use endpoint::{Endpoint, EndpointError, Login};
pub use fault::REASONS;

use address::Lookup;
use answer::{Found, Wanted};
use fault::AskError;

/// Largest answer. A thousand series with a scrape every 15 s for the longest reach are a tenth.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// How much of an error is read to find Prometheus' word for it.
const ERROR_BODY_MAX: usize = 64 * 1024;
/// From this size on an answer is read on a thread that may take its time.
const READ_APART: usize = 256 * 1024;

/// A metrics source. A clone is the same source, with the same connections and the same limit.
#[derive(Clone)]
pub struct Source {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    concurrency: usize,
    places: Semaphore,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("url", &self.inner.client.base_url().as_str())
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A source at `endpoint`. Nothing is asked yet. The process must have installed a TLS provider.
    ///
    /// # Errors
    /// [`EndpointError`] where the endpoint cannot be one.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it has credentials in it, which the caller has no more use for"
    )]
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        Self::with_lookup(&endpoint, address::of_the_system())
    }

    /// Whether it is the same source, and not another one at the same place.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn with_lookup(endpoint: &Endpoint, lookup: Lookup) -> Result<Self, EndpointError> {
        let (client, authorization) = endpoint::client(endpoint, lookup)?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                authorization,
                timeout: endpoint.timeout,
                concurrency: endpoint.concurrency,
                places: Semaphore::new(endpoint.concurrency),
            }),
        })
    }

    /// Asks what the metric of this `kind` needs, within the endpoint's timeout in all.
    ///
    /// # Errors
    /// A [`Fault`] with one of [`REASONS`], if there is no answer that can be used.
    pub async fn ask(&self, kind: &Kind, question: &Question) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.inner.timeout;
        match kind {
            Kind::Ratio(plan) => {
                let both = async |name, selectors: &Arms<String>| {
                    let one = |version| {
                        let selector = selectors.of(version).trim();
                        self.samples(deadline, selector, question)
                            .map_err(move |error| error.of_selector(name, version))
                    };
                    let (canary, stable) =
                        futures::try_join!(one(Version::Canary), one(Version::Stable))?;
                    Ok::<_, Fault>(Arms { canary, stable })
                };
                // In this order: a scrape that comes in between is then in `bad` alone, where it is
                // noticed, and not in `total` alone, where it would look like a good one.
                let total = both("total", &plan.total).await?;
                let bad = both("bad", &plan.bad).await?;
                Ok(Answer::Samples(Answers {
                    at: question.at,
                    reach: question.reach,
                    total,
                    bad,
                }))
            }
            Kind::Threshold(plan) => {
                let points = self.points(deadline, &plan.query, Some(question.at));
                Ok(Answer::Points(points.await?))
            }
        }
    }

    /// Whether the endpoint answers: a query that needs no data.
    ///
    /// # Errors
    /// A [`Fault`] with one of [`REASONS`], if it does not.
    pub async fn check(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.inner.timeout;
        match self.points(deadline, "vector(1)", None).await?.as_slice() {
            [point] if point.value == 1.0 => Ok(()),
            _ => Err(AskError::NotPrometheus("vector(1) is not 1 there", None).into()),
        }
    }

    async fn samples(
        &self,
        deadline: Instant,
        selector: &str,
        question: &Question,
    ) -> Result<Vec<Series>, AskError> {
        let query = format!("{selector}[{}s]", question.reach.max(1));
        let wanted = Wanted::Samples { until: question.at };
        match self
            .query(deadline, &query, Some(question.at), wanted)
            .await?
        {
            Found::Samples(series) => Ok(series),
            Found::Points(_) => Err(AskError::WrongResultType("vector", "matrix")),
        }
    }

    async fn points(
        &self,
        deadline: Instant,
        query: &str,
        at: Option<i64>,
    ) -> Result<Vec<Point>, AskError> {
        match self.query(deadline, query, at, Wanted::Points).await? {
            Found::Points(points) => Ok(points),
            Found::Samples(_) => Err(AskError::WrongResultType("matrix", "vector")),
        }
    }

    async fn query(
        &self,
        deadline: Instant,
        query: &str,
        at: Option<i64>,
        wanted: Wanted,
    ) -> Result<Found, AskError> {
        let inner = &self.inner;
        let place = timeout_at(deadline, inner.places.acquire()).await;
        // Nobody closes the semaphore. A place that comes with the deadline comes too late.
        let place = place.ok().filter(|_| Instant::now() < deadline);
        let Some(Ok(_place)) = place else {
            return Err(AskError::TooManyQueries(inner.concurrency, inner.timeout));
        };
        let answered = timeout_at(deadline, self.request(deadline, query, at, wanted)).await;
        answered.unwrap_or(Err(AskError::Timeout(inner.timeout)))
    }

    async fn request(
        &self,
        deadline: Instant,
        query: &str,
        at: Option<i64>,
        wanted: Wanted,
    ) -> Result<Found, AskError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut request = self
            .inner
            .client
            .query(query)
            // The source need not go on when nobody waits any more.
            .timeout(i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1));
        if let Some(at) = at {
            request = request.at(at);
        }
        if let Some(authorization) = &self.inner.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let response = request.post_raw().await.map_err(|e| AskError::sent(&e))?;
        let status = response.status();
        let headers = response.headers().clone();
        if !status.is_success() {
            // The status says enough where the rest does not come.
            let body = read(response, ERROR_BODY_MAX).await.unwrap_or_default();
            return Err(answer::refusal(status, &headers, &body, Timestamp::now()));
        }
        let body = read(response, BODY_MAX).await?;
        understand(body, headers, wanted).await
    }
}

/// The whole body, if it is not larger than `max`.
async fn read(mut response: reqwest::Response, max: usize) -> Result<Vec<u8>, AskError> {
    let announced = response.content_length().unwrap_or_default();
    if announced > max as u64 {
        return Err(AskError::TooLarge(max));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| AskError::read(&e))? {
        if body.len() + chunk.len() > max {
            return Err(AskError::TooLarge(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn understand(body: Vec<u8>, headers: HeaderMap, wanted: Wanted) -> Result<Found, AskError> {
    if body.len() < READ_APART {
        return answer::understand(&body, &headers, wanted);
    }
    let read = tokio::task::spawn_blocking(move || answer::understand(&body, &headers, wanted));
    let lost = |_| AskError::NotPrometheus("reading the answer came to no end", None);
    read.await.unwrap_or_else(|e| Err(lost(e)))
}

#[cfg(test)]
mod tests;
