//! A metrics store that answers a run's questions from an exposition.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::Regex;
use tidegate::analysis::comparison::Past;
use tidegate::analysis::plan::{Arms, Kind, Plan};
use tidegate::analysis::promql::{self, Selector};
use tidegate::analysis::run::{Answer, Question};
use tidegate::analysis::series::{Answers, Sample, Series};
use tidegate::analysis::threshold::Point;

use super::START;
use super::promql_subset::Expression;
use super::recorded::{Labels, Level, Recorded};

/// Seconds between scrapes.
const SCRAPE_S: i64 = 15;
/// The stable version has been there for so long ...
const PAST_S: i64 = 2 * 3600;
/// ... and the new one for so long.
const YOUNG_S: i64 = 45;

/// A series with what it says at each scrape.
struct Stored {
    labels: Labels,
    /// The first scrape, in seconds.
    from: i64,
    counter: bool,
    level: Level,
    /// Makes what goes up and down by itself different from the others.
    seed: u64,
}

impl Stored {
    fn at(&self, at: i64) -> f64 {
        let scrape = (at - self.from) / SCRAPE_S;
        let Level { value, alive } = self.level;
        if self.counter {
            (value * scrape as f64 + 1e-9).floor()
        } else if alive {
            // A few percent from scrape to scrape, and a few from pod to pod.
            let noise = 0.03 * noise(self.seed, scrape) + 0.01 * noise(self.seed, -1);
            value * (1.0 + noise)
        } else {
            value
        }
    }

    fn within(&self, at: i64, reach: i64) -> Vec<(i64, f64)> {
        let first = (at - reach - self.from).div_euclid(SCRAPE_S) + 1;
        let last = (at - self.from).div_euclid(SCRAPE_S);
        let times = (first.max(0)..=last).map(|k| self.from + k * SCRAPE_S);
        times.map(|t| (t, self.at(t))).collect()
    }
}

/// Between -1 and 1.
fn noise(seed: u64, scrape: i64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ scrape.cast_unsigned();
    for _ in 0..3 {
        x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// All series of an exposition.
#[derive(Default)]
pub struct Store {
    series: Vec<Stored>,
    found: RefCell<BTreeMap<String, Vec<usize>>>,
}

impl Store {
    /// What is scraped of these lines, while a metric is broken.
    pub fn new(lines: &[Recorded], broken: Option<&str>) -> Self {
        let mut series = Vec::new();
        for line in lines {
            let Some(level) = line.level(broken) else {
                continue;
            };
            for pod in 0..line.target.pods {
                let labels = line.scraped(pod, line.target.honor_labels);
                let young = line.found_by.contains(".canary") || line.target.name == "canary";
                let since = START - if young { YOUNG_S } else { PAST_S };
                let seed = series.len() as u64 + 1;
                series.push(Stored {
                    labels,
                    // Targets are not scraped at the same second.
                    from: since + pod as i64 * 3,
                    counter: line.counter,
                    level,
                    seed,
                });
            }
        }
        Self {
            series,
            found: RefCell::default(),
        }
    }

    /// The series that a selector finds, by its text.
    fn find(&self, text: &str, selector: impl Fn() -> Selector) -> Vec<usize> {
        let mut known = self.found.borrow_mut();
        if let Some(found) = known.get(text) {
            return found.clone();
        }
        let selector = selector();
        let all = self.series.iter().enumerate();
        let found = all.filter(|(_, series)| finds(&selector, &series.labels));
        let found: Vec<usize> = found.map(|(i, _)| i).collect();
        known.insert(text.to_owned(), found.clone());
        found
    }

    fn selected(&self, query: &str, samples: impl Fn(&Stored) -> Vec<(i64, f64)>) -> Vec<Series> {
        let read = || promql::selector(query).unwrap();
        let found = self.find(query, read).into_iter();
        let series = found.map(|i| {
            let stored = &self.series[i];
            let sample = |(at, value)| Sample {
                at_ms: at * 1000,
                value,
            };
            Series {
                labels: stored.labels.clone().into(),
                samples: samples(stored).into_iter().map(sample).collect(),
                histograms: Vec::new(),
            }
        });
        series.filter(|s| !s.samples.is_empty()).collect()
    }

    /// As the metrics source answers: raw samples, what each series was at moments, or one number.
    pub fn answer(&self, plan: &Plan, question: &Question) -> Answer {
        let Question { at, reach, .. } = *question;
        let compared = match &plan.metrics[question.metric].kind {
            Kind::Threshold(threshold) => {
                let samples = |selector: &Selector, at, reach| {
                    let text = format!("{selector:?}");
                    let found = self.find(&text, || selector.clone()).into_iter();
                    found
                        .map(|i| self.series[i].within(at, reach))
                        .filter(|s: &Vec<_>| !s.is_empty())
                        .collect()
                };
                let values = Expression::read(&threshold.query).at(at, &samples);
                let point = |value| Point {
                    at_ms: at * 1000,
                    value,
                };
                return Answer::Points(values.into_iter().map(point).collect());
            }
            Kind::Comparison(compared) => compared,
        };
        let selectors = compared.measure.selectors().into_iter();
        if let Some(past) = question.past {
            return Answer::Past(
                selectors
                    .map(|(_, arms)| self.selected(&arms.stable, |s| moments(s, &past)))
                    .collect(),
            );
        }
        Answer::Samples(Answers {
            at,
            reach,
            selected: selectors
                .map(|(_, arms)| Arms {
                    canary: self.selected(&arms.canary, |s| s.within(at, reach)),
                    stable: self.selected(&arms.stable, |s| s.within(at, reach)),
                })
                .collect(),
        })
    }
}

/// The last value at or before each moment.
fn moments(series: &Stored, past: &Past) -> Vec<(i64, f64)> {
    let all = (1..=past.reach / past.step).map(|k| past.until - past.reach + k * past.step);
    let known = all.filter(|at| *at >= series.from);
    known.map(|at| (at, series.at(at))).collect()
}

/// Whether a selector selects a series.
pub fn finds(selector: &Selector, labels: &Labels) -> bool {
    let value = |label: &str| labels.get(label).map_or("", String::as_str);
    let named = selector.name.as_deref();
    named.is_none_or(|name| name == value("__name__"))
        && selector.matchers.iter().all(|m| {
            let found = value(&m.label);
            match m.operator.as_str() {
                "=" => found == m.value,
                "!=" => found != m.value,
                "=~" => matches(&m.value, found),
                _ => !matches(&m.value, found),
            }
        })
}

/// Whether a pattern matches the whole of a value. Patterns are few, and slow to compile.
fn matches(pattern: &str, value: &str) -> bool {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        let whole = || Regex::new(&format!("^(?:{pattern})$")).unwrap();
        known
            .entry(pattern.to_owned())
            .or_insert_with(whole)
            .is_match(value)
    })
}
