//! Where samples come from: the Prometheus HTTP API, asked for what an analysis run needs.
//!
//! A comparison is asked as raw samples: instant queries of range selectors, so nothing is extrapolated
//! (statistics, section 1). A threshold is asked as an instant query of one number. The time is
//! always that of the question, so that a question that is asked again is the same question.
//!
//! The module judges nothing: an empty answer and a NaN are answers. What cannot be used is a
//! [`Fault`], in words of this module's own. What the source sends never gets into a message: an
//! endpoint must not be a way to read what only the controller can reach.
//!
//! `prometheus-http-query` makes the requests and knows the API's kinds of errors. Its own reading
//! of answers is not used: it has no limit on their size, drops `warnings` (a partial answer would
//! look whole) and takes a native histogram for a broken answer. Answers are read by [`answer`], native
//! histograms in them by [`histogram`].

pub(crate) mod address;
mod answer;
mod ca;
mod endpoint;
mod fault;
mod histogram;
mod hosts;
mod relay;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryFutureExt};
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::analysis::plan::{Arms, Kind, Measure, Version};
use crate::analysis::run::{Answer, Fault, Question};
use crate::analysis::series::{Answers, Series};
use crate::analysis::threshold::Point;

pub use ca::{CaBundle, CaError};
pub use endpoint::{Endpoint, EndpointError, Login};
pub use fault::REASONS;
pub use hosts::Hosts;
pub use relay::{Relay, RelayError, Relayed};

use address::Lookup;
use answer::{Found, Wanted};
use endpoint::Way;
use fault::AskError;
use hosts::AT_ONE_HOST;
use shared::{Answered, Asked, SharedAnswers};

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

/// How requests get to the endpoint.
enum Road {
    /// By connections of this process.
    Own(Way),
    /// Somebody hands them on.
    Relayed(Box<dyn Relay>),
}

struct Inner {
    road: Road,
    timeout: Duration,
    concurrency: usize,
    places: Semaphore,
    hosts: Hosts,
    places_at_host: Arc<Semaphore>,
    answers: Arc<SharedAnswers>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match &self.inner.road {
            Road::Own(way) => way.client.base_url().to_string(),
            Road::Relayed(relay) => relay.place(),
        };
        f.debug_struct("Source")
            .field("url", &place)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A source at `endpoint`. Nothing is asked yet. The process must have installed a TLS provider.
    ///
    /// # Errors
    /// [`EndpointError`] where the endpoint cannot be one.
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        Self::among(endpoint, &Hosts::default())
    }

    /// The same, where others ask these `hosts` too: together no more than a host can take.
    ///
    /// # Errors
    /// [`EndpointError`] where the endpoint cannot be one.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it has credentials in it, which the caller has no more use for"
    )]
    pub fn among(endpoint: Endpoint, hosts: &Hosts) -> Result<Self, EndpointError> {
        Self::with_lookup(&endpoint, hosts, address::of_the_system())
    }

    /// The hosts among which it asks.
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        self.inner.hosts.clone()
    }

    /// Whether it is the same source, and not another one at the same place.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether it asks the host of another one, and counts with it.
    #[cfg(test)]
    pub(crate) fn counts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner.places_at_host, &other.inner.places_at_host)
    }

    fn with_lookup(
        endpoint: &Endpoint,
        hosts: &Hosts,
        lookup: Lookup,
    ) -> Result<Self, EndpointError> {
        let way = endpoint::way(endpoint, lookup)?;
        let host = way.host.clone();
        let (timeout, concurrency) = (endpoint.timeout, endpoint.concurrency);
        Ok(Self::on(Road::Own(way), &host, hosts, timeout, concurrency))
    }

    /// A source to which `relay` hands requests on, each question within `timeout` in all, at most
    /// `concurrency` queries at once. Nothing is asked yet.
    #[must_use]
    pub fn relayed(relay: Box<dyn Relay>, timeout: Duration, concurrency: usize) -> Self {
        let place = relay.place();
        let road = Road::Relayed(relay);
        Self::on(road, &place, &Hosts::default(), timeout, concurrency.max(1))
    }

    fn on(road: Road, host: &str, hosts: &Hosts, timeout: Duration, concurrency: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                timeout,
                concurrency,
                places: Semaphore::new(concurrency),
                places_at_host: hosts.places(host),
                hosts: hosts.clone(),
                answers: Arc::default(),
                road,
            }),
        }
    }

    /// Asks what the metric of this `kind` needs, within the endpoint's timeout in all.
    ///
    /// # Errors
    /// A [`Fault`] with one of [`REASONS`], if there is no answer that can be used.
    pub async fn ask(&self, kind: &Kind, question: &Question) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.inner.timeout;
        match kind {
            Kind::Comparison(plan) if let Some(past) = &question.past => {
                let mut selected = Vec::new();
                for (name, selectors) in plan.measure.selectors() {
                    let by = match plan.measure {
                        Measure::Histogram { .. } => "job,instance,namespace,pod,le",
                        _ => "job,instance,namespace,pod",
                    };
                    // Each target's series together, at moments that tile time.
                    let query = format!(
                        "sum by ({by}) ({})[{}s:{}s]",
                        selectors.stable.trim(),
                        past.reach,
                        past.step
                    );
                    let wanted = wanted(&plan.measure, question);
                    let series = self.matrix(deadline, query, question, wanted, None).await;
                    let series = series.map_err(|e| e.of_selector(name, Version::Stable))?;
                    selected.push(series.0);
                }
                Ok(Answer::Past(selected))
            }
            Kind::Comparison(plan) => {
                let both = async |name, selectors: &Arms<String>, since| {
                    let one = |version| {
                        let selector = selectors.of(version).trim();
                        let query = format!("{selector}[{}s]", question.reach.max(1));
                        let wanted = wanted(&plan.measure, question);
                        self.matrix(deadline, query, question, wanted, since)
                            .map_err(move |error| error.of_selector(name, version))
                    };
                    let ((canary, canary_at), (stable, stable_at)) =
                        futures::try_join!(one(Version::Canary), one(Version::Stable))?;
                    Ok::<_, Fault>((Arms { canary, stable }, canary_at.max(stable_at)))
                };
                // In this order: a scrape that comes in between is then in `bad` alone, where it is
                // noticed, and not in `total` alone, where it would look like a good one. So an
                // answer that somebody else got for `bad` must be newer than that for `total`.
                let (mut selected, mut answered) = (Vec::new(), None);
                for (name, selectors) in plan.measure.selectors() {
                    let (arms, at) = both(name, selectors, answered).await?;
                    answered = Some(at);
                    selected.push(arms);
                }
                Ok(Answer::Samples(Answers {
                    at: question.at,
                    reach: question.reach,
                    selected,
                }))
            }
            Kind::Threshold(plan) => {
                let asked = Asked {
                    query: plan.query.clone(),
                    at: question.at,
                    wanted: Wanted::Points,
                };
                let answered = self.shared(deadline, asked, None).await?;
                Ok(Answer::Points(points(&answered.found)?.to_vec()))
            }
        }
    }

    /// Whether the endpoint answers: a query that needs no data.
    ///
    /// # Errors
    /// A [`Fault`] with one of [`REASONS`], if it does not.
    pub async fn check(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.inner.timeout;
        let found = self.query(deadline, "vector(1)", None, Wanted::Points);
        match points(&found.await?)? {
            [point] if point.value == 1.0 => Ok(()),
            _ => Err(AskError::NotPrometheus("vector(1) is not 1 there", None).into()),
        }
    }

    async fn matrix(
        &self,
        deadline: Instant,
        query: String,
        question: &Question,
        wanted: Wanted,
        since: Option<Instant>,
    ) -> Result<(Vec<Series>, Instant), AskError> {
        let asked = Asked {
            query,
            at: question.at,
            wanted,
        };
        let Answered { found, at } = self.shared(deadline, asked, since).await?;
        match Arc::unwrap_or_clone(found) {
            Found::Samples(series) => Ok((series, at)),
            Found::Points(_) => Err(AskError::WrongResultType("vector", "matrix")),
        }
    }

    /// What others ask too is asked once.
    async fn shared(
        &self,
        deadline: Instant,
        asked: Asked,
        since: Option<Instant>,
    ) -> Result<Answered, AskError> {
        let begin = || {
            let (source, asked) = (self.clone(), asked.clone());
            async move {
                let Asked { query, at, wanted } = asked;
                source.query(deadline, &query, Some(at), wanted).await
            }
            .boxed()
        };
        let late = AskError::Timeout(self.inner.timeout);
        let answers = &self.inner.answers;
        answers.answer(&asked, since, deadline, late, begin).await
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
        // In the order of asking, so that who may ask much keeps nobody from it.
        let at_host = timeout_at(deadline, inner.places_at_host.acquire()).await;
        let at_host = at_host.ok().filter(|_| Instant::now() < deadline);
        let Some(Ok(_at_host)) = at_host else {
            return Err(AskError::HostIsBusy(AT_ONE_HOST, inner.timeout));
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
        // The source need not go on when nobody waits any more.
        let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1);
        let way = match &self.inner.road {
            Road::Own(way) => way,
            Road::Relayed(relay) => {
                let mut parameters = vec![
                    ("query", query.to_owned()),
                    ("timeout", format!("{left}ms")),
                ];
                parameters.extend(at.map(|at| ("time", at.to_string())));
                let answer = relay.query(parameters, BODY_MAX).await;
                let Relayed {
                    status,
                    headers,
                    body,
                } = answer.map_err(|error| error.of(BODY_MAX))?;
                if !status.is_success() {
                    return Err(answer::refusal(status, &headers, &body, Timestamp::now()));
                }
                return understand(body, headers, wanted).await;
            }
        };
        let mut request = way.client.query(query).timeout(left);
        if let Some(at) = at {
            request = request.at(at);
        }
        if let Some(authorization) = &way.authorization {
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

/// Raw samples up to the time of the question; native histograms where buckets are compared.
fn wanted(measure: &Measure, question: &Question) -> Wanted {
    Wanted::Samples {
        until: question.at,
        histograms: matches!(measure, Measure::Histogram { .. }),
    }
}

fn points(found: &Found) -> Result<&[Point], AskError> {
    match found {
        Found::Points(points) => Ok(points),
        Found::Samples(_) => Err(AskError::WrongResultType("matrix", "vector")),
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
