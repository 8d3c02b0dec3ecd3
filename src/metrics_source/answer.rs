//! Reads what a Prometheus answers: numbers out of bytes, within limits.
//!
//! An answer is read twice: first for what it says about itself, then for its result, whose shape is
//! known by then. So nothing is kept that is not wanted, however large it is.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use prometheus_http_query::error::PrometheusErrorType;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};
use serde::de::{self, DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fault::AskError;
use super::histogram::{self, Histograms, Native};
use crate::analysis::series::{Labels, Sample, Series};
use crate::analysis::threshold::Point;

/// Most series of an answer: a hundred pods with a hundred series each (status, method, route).
pub(super) const SERIES_MAX: usize = 10_000;
/// Most samples of an answer: a thousand series, scraped every 15 s, for an hour and a half.
pub(super) const SAMPLES_MAX: usize = 400_000;
/// The longest pause that a source can ask for, in seconds: no dates in the next century.
const RETRY_AFTER_MAX_S: i64 = 24 * 3600;
/// Longest content type that is shown.
const CONTENT_TYPE_MAX: usize = 64;
/// How Prometheus begins annotations of a query. They say something about the query and nothing
/// about missing data; every other warning comes from what lies behind (remote storage, Thanos).
const ANNOTATIONS: [&str; 2] = ["PromQL warning", "PromQL info"];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// Raw samples, none of them newer than this (Unix seconds).
    Samples {
        /// The time that was asked for.
        until: i64,
        /// Whether samples may be native histograms.
        histograms: bool,
    },
    /// Numbers.
    Points,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// Raw samples.
    Samples(Vec<Series>),
    /// Numbers.
    Points(Vec<Point>),
}

impl Found {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Points(points) => size_of_val(points.as_slice()),
            Self::Samples(all) => all.iter().map(bytes_of).sum(),
        }
    }
}

fn bytes_of(series: &Series) -> usize {
    let histograms = series.histograms.iter();
    let histograms: usize = histograms
        .map(|h| size_of_val(h) + size_of_val(h.buckets.as_slice()))
        .sum();
    size_of::<Series>()
        + series.labels.bytes()
        + size_of_val(series.samples.as_slice())
        + histograms
}

/// What an answer says about itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    data: Option<Head>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    /// VictoriaMetrics: one of its storage nodes did not answer.
    #[serde(default)]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    result_type: Option<String>,
}

/// Reads an answer with a good status.
pub(super) fn understand(
    body: &[u8],
    headers: &HeaderMap,
    wanted: Wanted,
) -> Result<Found, AskError> {
    let odd = |what| AskError::NotPrometheus(what, content_type(headers));
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|_| odd("the answer is not that of a Prometheus"))?;
    if envelope.status != "success" {
        return Err(refused(StatusCode::OK, kind(&envelope)));
    }
    let foreign = |w: &String| !ANNOTATIONS.iter().any(|a| w.starts_with(a));
    if envelope.is_partial || envelope.warnings.iter().flatten().any(foreign) {
        return Err(AskError::PartialAnswer);
    }
    let broken = || odd("the answer has no result of a known shape");
    match envelope.data.and_then(|d| d.result_type).as_deref() {
        Some("matrix") => {
            let Wanted::Samples { until, histograms } = wanted else {
                return Err(AskError::WrongResultType("matrix", "vector or scalar"));
            };
            let read = if histograms {
                matrix::<Histograms>(body, until, true)
            } else {
                matrix::<IgnoredAny>(body, until, false)
            };
            let shuffled = "the answer has samples out of order or after the time asked for";
            let read = read.ok_or_else(broken)??.ok_or_else(|| odd(shuffled))?;
            Ok(Found::Samples(read))
        }
        Some(found @ ("vector" | "scalar")) => {
            if let Wanted::Samples { .. } = wanted {
                let found = if found == "vector" {
                    "vector"
                } else {
                    "scalar"
                };
                return Err(AskError::WrongResultType(found, "matrix"));
            }
            if found == "scalar" {
                let point: Pair = result(body).ok_or_else(broken)?;
                return Ok(Found::Points(vec![point.point()]));
            }
            let all: Limited<RawPoint> = result(body).ok_or_else(broken)?;
            all.check(false)?;
            let points = all.items.iter().filter_map(|raw| raw.value.as_ref());
            Ok(Found::Points(points.map(Pair::point).collect()))
        }
        Some("string") => Err(AskError::WrongResultType(
            "string",
            match wanted {
                Wanted::Samples { .. } => "matrix",
                Wanted::Points => "vector or scalar",
            },
        )),
        _ => Err(broken()),
    }
}

/// The series of a matrix, if they are an answer to the question.
type Matrix = Option<Vec<Series>>;

/// Reads a matrix, with native histograms in it or not; nothing: it is none.
fn matrix<H: Native>(
    body: &[u8],
    until: i64,
    histograms: bool,
) -> Option<Result<Matrix, AskError>> {
    let all: Limited<RawSeries<H>> = result(body)?;
    let read = all.check(histograms).map(|()| {
        let read = all.items.into_iter().map(|raw| series(raw, until));
        read.collect()
    });
    Some(read)
}

/// Reads an answer with a bad status, at `now`.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> AskError {
    let after = retry_after(headers, now);
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            return AskError::Throttled {
                status: status.as_u16(),
                after,
            };
        }
        StatusCode::SERVICE_UNAVAILABLE if after.is_some() => {
            return AskError::Throttled {
                status: status.as_u16(),
                after,
            };
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return AskError::Unauthorized(status.as_u16());
        }
        _ if status.is_redirection() => return AskError::Redirected(status.as_u16()),
        _ => {}
    }
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    refused(status, envelope.as_ref().and_then(kind))
}

fn refused(status: StatusCode, kind: Option<PrometheusErrorType>) -> AskError {
    use PrometheusErrorType::{BadData, Execution, Timeout};
    let status = status.as_u16();
    match kind {
        Some(BadData | Execution) => AskError::QueryRefused { status, kind },
        Some(Timeout) => AskError::GivenUp,
        _ => AskError::HttpStatus { status, kind },
    }
}

/// Prometheus' word for an error, if it is one of its own.
fn kind(envelope: &Envelope) -> Option<PrometheusErrorType> {
    let word = envelope.error_type.as_deref()?;
    PrometheusErrorType::deserialize(de::value::StrDeserializer::<de::value::Error>::new(word)).ok()
}

/// `Retry-After` in seconds: it is a number or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            at.as_second() - now.as_second()
        }
    };
    Some(seconds.clamp(0, RETRY_AFTER_MAX_S))
}

/// A content type that is fit to be shown.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let name = text.split(';').next().unwrap_or_default().trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/+.-".contains(c);
    let fit = !name.is_empty() && name.len() <= CONTENT_TYPE_MAX && name.chars().all(plain);
    fit.then(|| name.to_owned())
}

#[derive(Deserialize)]
struct Body<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

fn result<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let body: Body<T> = serde_json::from_slice(body).ok()?;
    Some(body.data.result)
}

/// A time in seconds and a number in quotes.
#[derive(Deserialize)]
struct Pair(f64, Number);

impl Pair {
    fn at_ms(&self) -> i64 {
        // Whatever is out of range ends at its edge, and there it is no time that was asked for.
        (self.0 * 1000.0).round() as i64
    }

    fn point(&self) -> Point {
        Point {
            at_ms: self.at_ms(),
            value: self.1.0,
        }
    }
}

/// A number in quotes.
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                // Takes NaN, +Inf and -Inf as well.
                text.parse().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Quoted)
    }
}

#[derive(Deserialize)]
#[serde(bound = "H: Native")]
struct RawSeries<H> {
    metric: Labels,
    #[serde(default)]
    values: Vec<Pair>,
    #[serde(default)]
    histograms: Option<H>,
}

#[derive(Deserialize)]
struct RawPoint {
    #[serde(default)]
    value: Option<Pair>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
}

/// None: the samples cannot be an answer to the question.
fn series<H: Native>(raw: RawSeries<H>, until: i64) -> Option<Series> {
    let samples: Vec<Sample> = raw
        .values
        .iter()
        .map(|pair| Sample {
            at_ms: pair.at_ms(),
            value: pair.1.0,
        })
        .collect();
    let histograms = raw.histograms.map_or(Some(Vec::new()), Native::read)?;
    let until = until.saturating_mul(1000);
    let fits = samples.is_sorted_by_key(|s| s.at_ms)
        && histograms.is_sorted_by_key(|h| h.at_ms)
        && samples.last().is_none_or(|s| s.at_ms <= until)
        && histograms.last().is_none_or(|h| h.at_ms <= until);
    fits.then_some(Series {
        labels: raw.metric,
        samples,
        histograms,
    })
}

/// What counts against the limits.
trait Counted {
    fn samples(&self) -> usize;
    fn is_histogram(&self) -> bool;
    /// The buckets of its largest histogram.
    fn buckets(&self) -> usize {
        0
    }
}

impl<H: Native> Counted for RawSeries<H> {
    fn samples(&self) -> usize {
        let of_histograms = self.histograms.as_ref().map_or(0, |h| h.size().0);
        self.values.len() + of_histograms
    }
    fn is_histogram(&self) -> bool {
        self.histograms.is_some()
    }
    fn buckets(&self) -> usize {
        self.histograms.as_ref().map_or(0, |h| h.size().1)
    }
}

impl Counted for RawPoint {
    fn samples(&self) -> usize {
        1
    }
    fn is_histogram(&self) -> bool {
        self.histogram.is_some()
    }
}

/// A list of which no more is kept than the limits allow.
struct Limited<T> {
    items: Vec<T>,
    samples: usize,
    series: usize,
    histograms: bool,
    buckets: usize,
}

impl<T> Limited<T> {
    fn check(&self, histograms: bool) -> Result<(), AskError> {
        if self.histograms && !histograms {
            Err(AskError::NativeHistogram)
        } else if self.buckets > histogram::BUCKETS_MAX {
            Err(AskError::TooFine(histogram::BUCKETS_MAX))
        } else if self.series > SERIES_MAX {
            Err(AskError::TooMany(SERIES_MAX, "series"))
        } else if self.samples > SAMPLES_MAX {
            Err(AskError::TooMany(SAMPLES_MAX, "samples"))
        } else {
            Ok(())
        }
    }
}

impl<'de, T: Deserialize<'de> + Counted> Deserialize<'de> for Limited<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Counted> Visitor<'de> for List<T> {
            type Value = Limited<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Limited<T>, A::Error> {
                let mut all = Limited {
                    items: Vec::new(),
                    samples: 0,
                    series: 0,
                    histograms: false,
                    buckets: 0,
                };
                while all.samples <= SAMPLES_MAX && all.series <= SERIES_MAX {
                    let Some(item) = list.next_element::<T>()? else {
                        return Ok(all);
                    };
                    all.series += 1;
                    all.samples += item.samples();
                    all.histograms |= item.is_histogram();
                    all.buckets = all.buckets.max(item.buckets());
                    if item.samples() > 0 {
                        all.items.push(item);
                    }
                }
                // More than is taken: the rest is passed over.
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(all)
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}
