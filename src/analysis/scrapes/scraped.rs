//! One target's scrapes, put together from its series.

use std::collections::BTreeMap;

use super::anew::Anew;
use super::{Age, BOTH, bounds};
use crate::analysis::plan::{Arms, Version};
use crate::analysis::series::{DataError, Series, increases_with};
use crate::analysis::target::Target;

/// One series on its way into its target.
pub(super) struct One<'a> {
    pub series: &'a Series,
    /// The selector's name, for messages.
    pub name: &'static str,
    /// Its target.
    pub of: Target<'a>,
    /// Its target was scraped before its first sample.
    pub existed_before: bool,
    /// When others beside it began anew.
    pub anew: &'a Anew<'a>,
}

impl One<'_> {
    /// What each sample of a counter adds.
    fn increases(&self) -> Result<impl Iterator<Item = (i64, f64, bool)> + '_, DataError> {
        let wrong = |value: f64| value.is_infinite() || value < 0.0;
        if let Some(sample) = self.series.samples.iter().find(|s| wrong(s.value)) {
            return Err(DataError::NotACounter(self.name, sample.value));
        }
        let anew = self.anew.for_series(self.series, self.of);
        Ok(increases_with(
            &self.series.samples,
            self.existed_before,
            anew,
        ))
    }
}

/// A target with what each of its scrapes added.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    /// Its first sample, in milliseconds.
    first: Option<i64>,
    /// The same, if that was not before the answers' reach.
    born: Option<i64>,
    /// When its counters began anew.
    restarts: Vec<i64>,
    /// Which of the compared buckets each version has.
    buckets: Arms<Vec<bool>>,
    /// What each scrape added, for each version. A router's target has both.
    pub scrapes: Arms<BTreeMap<i64, Vec<f64>>>,
}

impl Scraped {
    /// Takes the first sample of one of its series in, which is told of all of them before any is read.
    pub fn seen(&mut self, first: Option<i64>) {
        self.first = self.first.into_iter().chain(first).min();
    }

    /// It was not there before its first sample, if that is later than this.
    pub fn born_after(&mut self, at: i64) {
        self.born = self.first.filter(|first| *first > at);
    }

    /// Whether it was scraped before the first sample of one of its series.
    pub fn existed_before(&self, first: Option<i64>) -> bool {
        self.first < first
    }

    fn scrape(&mut self, version: Version, at: i64, numbers: usize) -> &mut Vec<f64> {
        let scrapes = self.scrapes.of_mut(version);
        scrapes.entry(at).or_insert_with(|| vec![0.0; numbers])
    }

    fn restarted(&mut self, at: i64) {
        if self.restarts.last() != Some(&at) {
            self.restarts.push(at);
        }
    }

    /// A counter whose increases are the number `of` a scrape.
    pub fn read_counter(
        &mut self,
        version: Version,
        one: &One<'_>,
        of: usize,
    ) -> Result<(), DataError> {
        for (at, increase, restarted) in one.increases()? {
            if restarted {
                self.restarted(at);
            }
            add(self.scrape(version, at, 2), of, increase);
        }
        Ok(())
    }

    /// A counter that counts beside the first one: scrapes that this does not have are none.
    pub fn read_beside(
        &mut self,
        version: Version,
        one: &One<'_>,
        anchor: &'static str,
    ) -> Result<(), DataError> {
        let scraped = self.scrapes.of_mut(version);
        let newest = scraped.last_key_value().map_or(i64::MIN, |(at, _)| *at);
        for (at, increase, _) in one.increases()? {
            match scraped.get_mut(&at) {
                Some(numbers) => add(numbers, 1, increase),
                // A scrape that came in between the two questions: next time.
                None if at > newest => {}
                None => {
                    let target = one.of.to_string();
                    return Err(DataError::ScrapesDiffer(one.name, anchor, target));
                }
            }
        }
        Ok(())
    }

    /// One bucket of a cumulative histogram; of buckets that are not compared, nothing.
    pub fn read_bucket(
        &mut self,
        version: Version,
        one: &One<'_>,
        bounds: &[f64],
    ) -> Result<(), DataError> {
        let bound = bounds::of(one.series)?;
        let index = bounds.iter().position(|b| *b == bound);
        let has = self.buckets.of_mut(version);
        has.resize(bounds.len(), false);
        if let Some(has) = index.and_then(|i| has.get_mut(i)) {
            *has = true;
        }
        for (at, increase, restarted) in one.increases()? {
            if restarted {
                self.restarted(at);
            }
            let numbers = self.scrape(version, at, bounds.len() + 1);
            let Some(index) = index else { continue };
            // Cumulative: what is below this bound is not in the next bucket.
            add(numbers, index + 1, increase);
            if index + 1 < bounds.len() {
                add(numbers, index + 2, -increase);
            } else {
                add(numbers, 0, increase);
            }
        }
        Ok(())
    }

    /// The first of the bounds of which a version has no bucket, where it has any.
    pub fn lacks(&self, version: Version, bounds: &[f64]) -> Option<f64> {
        let has = self.buckets.of(version).iter();
        let lacking = has.zip(bounds).find(|(has, _)| !**has);
        lacking.map(|(_, bound)| *bound)
    }

    pub fn read_values(&mut self, version: Version, one: &One<'_>) -> Result<(), DataError> {
        for sample in one.series.samples.iter().filter(|s| !s.value.is_nan()) {
            if sample.value.is_infinite() {
                return Err(DataError::NotFinite(sample.value));
            }
            let numbers = self.scrape(version, sample.at_ms, 2);
            if let [scrapes, sum] = numbers.as_mut_slice() {
                *scrapes = 1.0;
                *sum += sample.value;
            }
        }
        Ok(())
    }

    /// After the last of its series: `timed` holds its events against seconds.
    pub fn complete(&mut self, timed: bool) {
        self.restarts.sort_unstable();
        if timed {
            for version in BOTH {
                with_seconds(self.scrapes.of_mut(version));
            }
        }
    }

    /// Whether a scrape counts.
    pub fn counts(&self, at: i64, age: Age) -> bool {
        let Age::Grown(seconds) = age else {
            return true;
        };
        let restarted = self.restarts.iter().rev().find(|r| **r <= at).copied();
        let young_since = self.born.into_iter().chain(restarted).max();
        young_since.is_none_or(|since| at > since + seconds * 1000)
    }
}

fn add(numbers: &mut [f64], index: usize, increase: f64) {
    if let Some(number) = numbers.get_mut(index) {
        *number += increase;
    }
}

/// The first number of each scrape becomes the seconds since the one before it.
fn with_seconds(scrapes: &mut BTreeMap<i64, Vec<f64>>) {
    let mut before = None;
    for (at, numbers) in scrapes {
        let gap = before.map_or(0, |before| at - before);
        before = Some(*at);
        if let Some(seconds) = numbers.first_mut() {
            *seconds = gap as f64 / 1000.0;
        }
    }
}
