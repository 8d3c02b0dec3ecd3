//! What a scrape of the application sees: a counter by status code and a classic histogram, under
//! the names that most libraries give them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The format of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the histogram's buckets, in seconds: those that most libraries have.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// The application's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Code, Counter<u64, AtomicU64>>,
    seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let seconds = Histogram::new(BUCKETS);
        // Both series are there from the start: what appears with its first error is not missed.
        for code in [200, 500] {
            let _: &Counter<u64, AtomicU64> = &requests.get_or_create(&Code { code });
        }
        let mut registry = Registry::default();
        registry.register(
            "http_requests",
            "Requests answered, by status",
            requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time until the answer",
            seconds.clone(),
        );
        Self {
            registry,
            requests,
            seconds,
        }
    }
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, code: u16, took: Duration) {
        self.requests.get_or_create(&Code { code }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// All of it, in the text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
