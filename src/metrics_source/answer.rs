//! Reads what a Prometheus answers: numbers out of bytes, within limits.
//!
//! An answer is taken for what is wanted, and read once; only one that is not that is read again, for
//! what it says about itself. Nothing is kept that is not wanted, however large it is.

mod result;

pub(super) use result::Number;

use jiff::Timestamp;
use prometheus_http_query::error::PrometheusErrorType;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};
use serde::Deserialize;
use serde::de::{self, IgnoredAny};

use super::fault::AskError;
use super::histogram::{Histograms, Native};
use crate::analysis::series::Series;
use crate::analysis::threshold::Point;
use result::{Limited, Matrix, Pair, RawPoint};

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

/// The status of a good answer.
const SUCCESS: &str = "success";
/// Types of results.
const MATRIX: &str = "matrix";
const VECTOR: &str = "vector";
const SCALAR: &str = "scalar";

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

/// Reads an answer with a good status: at once as what is wanted, and if it is not that, once more for
/// what it says about itself.
pub(super) fn understand(
    body: &[u8],
    headers: &HeaderMap,
    wanted: Wanted,
) -> Result<Found, AskError> {
    let odd = |what| AskError::NotPrometheus(what, content_type(headers));
    let found = match wanted {
        Wanted::Samples { until, histograms } => {
            let read = if histograms {
                matrix::<Histograms>(body, until, true)
            } else {
                matrix::<IgnoredAny>(body, until, false)
            };
            let shuffled = "the answer has samples out of order or after the time asked for";
            match read {
                Some(read) => Some(Found::Samples(read?.ok_or_else(|| odd(shuffled))?)),
                None => None,
            }
        }
        Wanted::Points => points(body)?.map(Found::Points),
    };
    match found {
        Some(found) => Ok(found),
        None => Err(amiss(body, wanted, odd)),
    }
}

/// Why an answer with a good status is not what is wanted.
fn amiss(body: &[u8], wanted: Wanted, odd: impl Fn(&'static str) -> AskError) -> AskError {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else {
        return odd("the answer is not that of a Prometheus");
    };
    if envelope.status != SUCCESS {
        return refused(StatusCode::OK, kind(&envelope));
    }
    let warnings = envelope.warnings.as_deref().unwrap_or_default();
    if !complete(envelope.is_partial, warnings) {
        return AskError::PartialAnswer;
    }
    let has = envelope.data.and_then(|d| d.result_type);
    let known = [MATRIX, VECTOR, SCALAR, "string"];
    let has = known
        .into_iter()
        .find(|known| has.as_deref() == Some(known));
    match (has, wanted) {
        (Some(has), Wanted::Samples { .. }) if has != MATRIX => {
            AskError::WrongResultType(has, MATRIX)
        }
        (Some(has @ (MATRIX | "string")), Wanted::Points) => {
            AskError::WrongResultType(has, "vector or scalar")
        }
        _ => odd("the answer has no result of a known shape"),
    }
}

/// Whether nothing of what was asked for is missing.
fn complete(is_partial: bool, warnings: &[String]) -> bool {
    let foreign = |w: &String| !ANNOTATIONS.iter().any(|a| w.starts_with(a));
    !is_partial && !warnings.iter().any(foreign)
}

/// Reads a vector or a scalar, as [`matrix`] does a matrix.
fn points(body: &[u8]) -> Result<Option<Vec<Point>>, AskError> {
    if let Some(all) = result::result::<Limited<RawPoint>>(body, VECTOR) {
        all.check(false)?;
        let points = all.items.iter().filter_map(|raw| raw.value.as_ref());
        return Ok(Some(points.map(Pair::point).collect()));
    }
    let scalar: Option<Pair> = result::result(body, SCALAR);
    Ok(scalar.map(|point| vec![point.point()]))
}

/// Reads a matrix. None: the answer is none, or there is something to say of it.
fn matrix<H: Native>(
    body: &[u8],
    until: i64,
    histograms: bool,
) -> Option<Result<Option<Vec<Series>>, AskError>> {
    let all: Matrix<H> = result::result(body, MATRIX)?;
    Some(all.check(histograms).map(|()| all.series(until)))
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
