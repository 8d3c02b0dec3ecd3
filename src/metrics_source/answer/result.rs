//! The shapes of results, read within the limits: of what is more than they allow, nothing is kept.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::fault::AskError;
use super::super::histogram::{self, Native};
use super::{SAMPLES_MAX, SERIES_MAX, SUCCESS, complete};
use crate::analysis::series::{Labels, Sample, Series};
use crate::analysis::threshold::Point;

/// An answer with its result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<T> {
    status: String,
    data: Data<T>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<T> {
    result_type: String,
    result: T,
}

/// The result of an answer that is good, complete, and of the type that is wanted.
pub(super) fn result<T: DeserializeOwned>(body: &[u8], wanted: &str) -> Option<T> {
    let whole: Whole<T> = serde_json::from_slice(body).ok()?;
    let warnings = whole.warnings.as_deref().unwrap_or_default();
    let good = whole.status == SUCCESS && complete(whole.is_partial, warnings);
    (good && whole.data.result_type == wanted).then_some(whole.data.result)
}

/// A time in seconds and a number in quotes.
#[derive(Deserialize)]
pub(super) struct Pair(f64, Number);

impl Pair {
    fn at_ms(&self) -> i64 {
        // Whatever is out of range ends at its edge, and there it is no time that was asked for.
        (self.0 * 1000.0).round() as i64
    }

    pub fn point(&self) -> Point {
        Point {
            at_ms: self.at_ms(),
            value: self.1.0,
        }
    }
}

/// A number in quotes.
pub(in super::super) struct Number(pub f64);

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
pub(super) struct RawSeries<H> {
    metric: Labels,
    #[serde(default, deserialize_with = "samples")]
    values: Vec<Sample>,
    #[serde(default)]
    histograms: Option<H>,
}

/// Samples, which is most of what there is to read: they are not read as something else first.
fn samples<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Sample>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<Sample>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list of times and numbers")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Sample>, A::Error> {
            let mut samples = Vec::new();
            while let Some(pair) = list.next_element::<Pair>()? {
                samples.push(Sample {
                    at_ms: pair.at_ms(),
                    value: pair.1.0,
                });
            }
            Ok(samples)
        }
    }
    deserializer.deserialize_seq(List)
}

#[derive(Deserialize)]
pub(super) struct RawPoint {
    #[serde(default)]
    pub value: Option<Pair>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
}

/// None: the samples cannot be an answer to the question.
fn series<H: Native>(raw: RawSeries<H>, until: i64) -> Option<Series> {
    let samples = raw.values;
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

/// The series of a matrix with native histograms in it or not.
pub(super) type Matrix<H> = Limited<RawSeries<H>>;

impl<H: Native> Matrix<H> {
    /// None: they are no answer to the question.
    pub fn series(self, until: i64) -> Option<Vec<Series>> {
        let read = self.items.into_iter().map(|raw| series(raw, until));
        read.collect()
    }
}

/// What counts against the limits.
pub(super) trait Counted {
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
pub(super) struct Limited<T> {
    pub items: Vec<T>,
    samples: usize,
    series: usize,
    histograms: bool,
    buckets: usize,
}

impl<T> Limited<T> {
    /// The limits that it does not keep, and histograms where none may be.
    pub fn check(&self, histograms: bool) -> Result<(), AskError> {
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
