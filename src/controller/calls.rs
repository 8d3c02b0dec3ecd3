//! One call to the API server: within the budget, with a deadline, counted, and its failure sorted
//! into what is answered differently.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use super::budget::Bucket;
use super::error::Error;
use super::object::Kind;
use super::telemetry::Metrics;

/// How long one call may take: several times what a busy API server needs, and short enough that a
/// lost connection does not hold an abort for long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// What a busy API server gets when it does not say for how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The verb whose 429 means that a disruption budget forbids it.
pub const EVICT: &str = "evict";

/// A way to the API server with its own budget.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    bucket: Arc<Bucket>,
    metrics: Arc<Metrics>,
}

impl Calls {
    /// Calls through `client` within `bucket`.
    #[must_use]
    pub fn new(client: Client, bucket: Arc<Bucket>, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            bucket,
            metrics,
        }
    }

    /// The client behind it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for its turn, then for the answer of `call`.
    ///
    /// # Errors
    /// [`Error`], named after `verb`, `kind` and `name`.
    pub async fn call<T>(
        &self,
        verb: &'static str,
        kind: Kind,
        name: &str,
        call: impl Future<Output = Result<T, kube::Error>> + Send,
    ) -> Result<T, Error> {
        self.bucket.acquire().await;
        let what = || {
            if name.is_empty() {
                format!("{verb} {kind}s")
            } else {
                format!("{verb} {kind} {name}")
            }
        };
        let answer = match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(self.sort(verb, what(), source)),
            Err(_) => Err(Error::Timeout {
                what: what(),
                limit: CALL_TIMEOUT,
            }),
        };
        self.metrics.api_call(verb, kind, answer.as_ref().err());
        answer
    }

    fn sort(&self, verb: &str, what: String, source: kube::Error) -> Error {
        let kube::Error::Api(status) = &source else {
            return Error::Api {
                what,
                source: Box::new(source),
            };
        };
        let asked = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
        match status.code {
            409 => Error::Conflict { what },
            // Not a busy server, but a disruption budget.
            429 if verb == EVICT => Error::Held {
                what,
                reason: status.message.clone(),
            },
            429 | 503 if status.code == 429 || asked > 0 => {
                let wait = if asked > 0 {
                    Duration::from_secs(asked.into())
                } else {
                    RETRY_AFTER
                };
                self.bucket.pause(wait);
                Error::Busy {
                    what,
                    retry_after: wait,
                }
            }
            _ => Error::Api {
                what,
                source: Box::new(source),
            },
        }
    }
}
