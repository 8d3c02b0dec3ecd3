//! How a version behaves: what it answers, how long it takes, when it is ready, how it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// No wait of the application is longer.
const SECONDS_MAX: f64 = 3600.0;

/// How a version behaves. Seconds unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// What it calls itself, in the header `x-app-version` and in the body.
    #[arg(long, env = "APP_VERSION", default_value = "unknown")]
    pub version: String,
    /// Share of the requests that are answered with 500, from 0 to 1.
    #[arg(long, env = "APP_ERROR_RATIO", default_value_t = 0.0)]
    #[serde(default)]
    pub error_ratio: f64,
    /// Mean time that an answer takes, in milliseconds: three fifths of it are fixed, the rest is
    /// exponential.
    #[arg(long, env = "APP_LATENCY_MS", default_value_t = 0.0)]
    #[serde(default)]
    pub latency_ms: f64,
    /// Every answer takes so many times as long: 1.3 is 30 % slower.
    #[arg(long, env = "APP_SLOWER", default_value_t = 1.0)]
    #[serde(default = "one")]
    pub slower: f64,
    /// It gets ready after so long.
    #[arg(long, env = "APP_STARTUP_SECONDS", default_value_t = 0.0)]
    #[serde(default)]
    pub startup_seconds: f64,
    /// It runs and never gets ready.
    #[arg(long, env = "APP_NEVER_READY")]
    #[serde(default)]
    pub never_ready: bool,
    /// It ends with an error after so long.
    #[arg(long, env = "APP_CRASH_SECONDS")]
    #[serde(default)]
    pub crash_seconds: Option<f64>,
    /// It goes on answering for so long after SIGTERM.
    #[arg(long, env = "APP_DRAIN_SECONDS", default_value_t = 5.0)]
    #[serde(default = "five")]
    pub drain_seconds: f64,
}

fn one() -> f64 {
    1.0
}

fn five() -> f64 {
    5.0
}

/// A behaviour that cannot be.
#[derive(Debug, Clone, PartialEq)]
pub struct Unusable {
    field: &'static str,
    value: f64,
    max: f64,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { field, value, max } = self;
        write!(f, "{field}: {value} is given, 0 to {max} is allowed")
    }
}

impl std::error::Error for Unusable {}

impl Behaviour {
    /// Whether it can be.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), Unusable> {
        let fields = [
            ("errorRatio", self.error_ratio, 1.0),
            ("latencyMs", self.latency_ms, SECONDS_MAX * 1000.0),
            ("slower", self.slower, 1000.0),
            ("startupSeconds", self.startup_seconds, SECONDS_MAX),
            (
                "crashSeconds",
                self.crash_seconds.unwrap_or(0.0),
                SECONDS_MAX,
            ),
            ("drainSeconds", self.drain_seconds, SECONDS_MAX),
        ];
        let bad = |(_, value, max): &(&str, f64, f64)| !(0.0..=*max).contains(value);
        match fields.into_iter().find(bad) {
            Some((field, value, max)) => Err(Unusable { field, value, max }),
            None => Ok(()),
        }
    }

    /// The time of an answer, by a number from 0 to under 1 that is drawn for it.
    #[must_use]
    pub fn latency(&self, drawn: f64) -> Duration {
        let exponential = -(-drawn).ln_1p();
        let ms = self.latency_ms * self.slower * (0.6 + 0.4 * exponential);
        seconds(ms / 1000.0)
    }

    /// How long it takes to get ready.
    #[must_use]
    pub fn startup(&self) -> Duration {
        seconds(self.startup_seconds)
    }

    /// How long it goes on after SIGTERM.
    #[must_use]
    pub fn drain(&self) -> Duration {
        seconds(self.drain_seconds)
    }

    /// When it crashes.
    #[must_use]
    pub fn crash(&self) -> Option<Duration> {
        self.crash_seconds.map(seconds)
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)).unwrap_or_default()
}
