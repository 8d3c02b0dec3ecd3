//! Scrapes become windows (statistics, section 1).
//!
//! Counters are differenced once, per series, between neighbouring scrapes. What is held against one
//! another comes from the same scrape of the same target. Windows tile time once, on the epoch grid;
//! an increase belongs to the window in which the later of its two scrapes lies, so nothing is
//! counted twice and nothing is interpolated.

mod anew;
mod bounds;

pub use bounds::common_bounds;

use anew::Anew;

use std::collections::BTreeMap;

use super::plan::{Arms, Version};
use super::rho::Window;
use super::series::{Answers, DataError, Reading, Series, first_of, increases_with, target_of};

/// A window is looked at this long after its end (plus one scrape) even if a target's last scrape in
/// it is missing: no scrape takes longer than the interval between scrapes.
const LAG_S: i64 = 5;
/// It is looked at after this long in any case, as empty as it may be: remote storage may be a
/// minute behind, but a version without samples must be noticed.
pub const PATIENCE_S: i64 = 90;
/// A target that was not scraped for so many intervals is not waited for.
const GONE_AFTER: f64 = 3.1;
/// A target whose first sample lies this many intervals after the first moment that was asked for
/// was not there before.
const BORN_AFTER: f64 = 1.5;

/// Which targets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// All of them.
    Any,
    /// Those that have been there, without a restart, for so many seconds.
    Grown(i64),
}

/// Whose scrapes are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Both versions'.
    Both,
    /// The new version's. Those of the stable one count where there are any.
    Canary,
}

/// What both versions did in a window, in the numbers of the [`Reading`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed(pub Arms<Vec<f64>>);

impl Observed {
    /// The `i`th number of a version.
    #[must_use]
    pub fn number(&self, version: Version, i: usize) -> f64 {
        self.0.of(version).get(i).copied().unwrap_or(0.0)
    }

    /// The first two numbers of both versions.
    #[must_use]
    pub fn counts(&self) -> Window {
        let of = |version, i| self.number(version, i);
        Window {
            nc: of(Version::Canary, 0),
            xc: of(Version::Canary, 1),
            ns: of(Version::Stable, 0),
            xs: of(Version::Stable, 1),
        }
    }
}

impl From<Window> for Observed {
    fn from(w: Window) -> Self {
        Self(Arms {
            canary: vec![w.nc, w.xc],
            stable: vec![w.ns, w.xs],
        })
    }
}

const BOTH: [Version; 2] = [Version::Canary, Version::Stable];

/// One scraped endpoint.
#[derive(Debug, Default)]
struct Target {
    /// When it was first seen, if that was not before the answers' reach; in milliseconds.
    born: Option<i64>,
    /// When its counters began anew.
    restarts: Vec<i64>,
    /// What each scrape added, for each version. A router's target has both.
    scrapes: Arms<BTreeMap<i64, Vec<f64>>>,
}

/// The scrapes of a set of answers, by target.
#[derive(Debug)]
pub struct Scrapes {
    at: i64,
    /// How many numbers a scrape is.
    numbers: usize,
    /// The second number is a part of the first.
    part: bool,
    targets: BTreeMap<String, Target>,
}

impl Scrapes {
    /// Sorts the answers by target and scrape. `names` are the selectors', for messages.
    /// `scrape_seconds` is the time between scrapes, or what is taken for it before it is known.
    ///
    /// # Errors
    /// [`DataError`] where the samples cannot be what they are read as.
    pub fn new(
        answers: &Answers,
        reading: Reading<'_>,
        names: &[&'static str],
        scrape_seconds: i64,
    ) -> Result<Self, DataError> {
        let mut scrapes = Self {
            at: answers.at,
            numbers: reading.numbers(),
            part: reading == Reading::Part,
            targets: targets(answers, scrape_seconds),
        };
        let first = first_samples(answers);
        let anew = Anew::of(answers);
        for (selected, arms) in answers.selected.iter().enumerate() {
            let name = names.get(selected).copied().unwrap_or("the query");
            for version in BOTH {
                for series in arms.of(version) {
                    let key = target_of(series);
                    let existed_before = first_of(series)
                        .zip(first.get(&key))
                        .is_some_and(|(own, first)| *first < own);
                    let target = scrapes.targets.entry(key.clone()).or_default();
                    let one = One {
                        series,
                        name,
                        existed_before,
                        anew: &anew,
                    };
                    match (reading, selected) {
                        (Reading::Values, _) => target.read_values(version, &one)?,
                        (Reading::Buckets(bounds), _) => {
                            target.read_bucket(version, &one, bounds)?;
                        }
                        (Reading::PerSecond, _) => target.read_counter(version, &one, 1)?,
                        (Reading::Part | Reading::PerRequest, 0) => {
                            target.read_counter(version, &one, 0)?;
                        }
                        (Reading::Part | Reading::PerRequest, _) => {
                            let anchor = names.first().copied().unwrap_or_default();
                            target.read_beside(version, &one, anchor, key)?;
                        }
                    }
                }
            }
        }
        for target in scrapes.targets.values_mut() {
            target.restarts.sort_unstable();
            if reading == Reading::PerSecond {
                target.scrapes.canary = with_seconds(&target.scrapes.canary);
                target.scrapes.stable = with_seconds(&target.scrapes.stable);
            }
        }
        if let Reading::Buckets(bounds) = reading {
            bounds::check(answers, bounds)?;
        }
        if scrapes.part {
            scrapes.check_parts()?;
        }
        Ok(scrapes)
    }

    /// `bad` must be a part of `total`. A request may be counted as bad a moment before it is
    /// counted at all, hence the slack.
    fn check_parts(&self) -> Result<(), DataError> {
        for (arm, version) in [("new", Version::Canary), ("stable", Version::Stable)] {
            let all = self
                .targets
                .values()
                .flat_map(|t| t.scrapes.of(version).values());
            let (total, bad) = all.fold((0.0, 0.0), |(t, b), i| (t + first(i), b + second(i)));
            if bad > 1.05 * total + 10.0 {
                return Err(DataError::BadExceedsTotal { arm, bad, total });
            }
        }
        Ok(())
    }

    /// Whether a version has any series.
    #[must_use]
    pub fn present(&self) -> Arms<bool> {
        let any = |version| {
            self.targets
                .values()
                .any(|t| !t.scrapes.of(version).is_empty())
        };
        Arms {
            canary: any(Version::Canary),
            stable: any(Version::Stable),
        }
    }

    /// Seconds between scrapes, as measured: the slower of the needed versions' medians. None until
    /// they have been scraped twice.
    #[must_use]
    pub fn interval(&self, needs: Needs) -> Option<i64> {
        let median = |version| {
            let mut gaps: Vec<i64> = self
                .targets
                .values()
                .flat_map(|t| {
                    let ats: Vec<i64> = t.scrapes.of(version).keys().copied().collect();
                    ats.iter()
                        .zip(ats.iter().skip(1))
                        .map(|(a, b)| b - a)
                        .collect::<Vec<_>>()
                })
                .collect();
            gaps.sort_unstable();
            gaps.get(gaps.len() / 2).copied()
        };
        let canary = median(Version::Canary)?;
        let slower = match needs {
            Needs::Both => canary.max(median(Version::Stable)?),
            Needs::Canary => canary,
        };
        Some(((slower + 500) / 1000).max(1))
    }

    /// What both versions did in the window `(from, to]`, in Unix seconds.
    #[must_use]
    pub fn window(&self, from: i64, to: i64, age: Age) -> Observed {
        let mut observed = Observed(Arms {
            canary: vec![0.0; self.numbers],
            stable: vec![0.0; self.numbers],
        });
        if to <= from {
            return observed;
        }
        for target in self.targets.values() {
            for version in BOTH {
                let scrapes = target
                    .scrapes
                    .of(version)
                    .range(from * 1000 + 1..=to * 1000);
                let sums = observed.0.of_mut(version);
                for (_, numbers) in scrapes.filter(|(at, _)| target.counts(**at, age)) {
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum += number;
                    }
                }
            }
        }
        if self.part {
            for sums in [&mut observed.0.canary, &mut observed.0.stable] {
                if let [all, bad] = sums.as_mut_slice() {
                    *bad = bad.min(*all);
                }
            }
        }
        observed
    }

    /// How many targets of a version count in the window `(from, to]`.
    #[must_use]
    pub fn targets(&self, version: Version, from: i64, to: i64, age: Age) -> usize {
        let within = from * 1000 + 1..=to.max(from + 1) * 1000;
        let counted = self.targets.values().filter(|target| {
            let mut scrapes = target.scrapes.of(version).range(within.clone());
            scrapes.any(|(at, _)| target.counts(*at, age))
        });
        counted.count()
    }

    /// Whether the window that ends at `end` can be judged now: every target that is still there
    /// has been scraped in its last interval; or the stragglers' time is over and newer scrapes of
    /// the needed versions are known; or the patience is at its end.
    #[must_use]
    pub fn ready(&self, end: i64, scrape_seconds: i64, needs: Needs) -> bool {
        if self.at < end {
            return false;
        }
        if self.at >= end + PATIENCE_S.max(2 * scrape_seconds) {
            return true;
        }
        let end_ms = end * 1000;
        let gone = end_ms - millis(scrape_seconds, GONE_AFTER);
        let late = end_ms - scrape_seconds * 1000;
        let mut newest: Arms<Option<i64>> = Arms::default();
        let mut complete = true;
        for target in self.targets.values() {
            for version in BOTH {
                let last = target
                    .scrapes
                    .of(version)
                    .last_key_value()
                    .map(|(at, _)| *at);
                if let Some(at) = last.filter(|at| *at > gone) {
                    complete &= at > late;
                    let newest = newest.of_mut(version);
                    *newest = (*newest).max(Some(at));
                }
            }
        }
        let slowest = match needs {
            Needs::Both => newest.canary.min(newest.stable),
            Needs::Canary => newest.canary,
        };
        let overtaken = slowest >= Some(end_ms);
        slowest.is_some() && (complete || overtaken && self.at >= end + scrape_seconds + LAG_S)
    }
}

/// One series on its way into its target.
struct One<'a> {
    series: &'a Series,
    /// The selector's name, for messages.
    name: &'static str,
    /// Its target was scraped before its first sample.
    existed_before: bool,
    /// When others beside it began anew.
    anew: &'a Anew<'a>,
}

impl One<'_> {
    /// What each sample of a counter adds.
    fn increases(&self) -> Result<impl Iterator<Item = (i64, f64, bool)> + '_, DataError> {
        let wrong = |value: f64| value.is_infinite() || value < 0.0;
        if let Some(sample) = self.series.samples.iter().find(|s| wrong(s.value)) {
            return Err(DataError::NotACounter(self.name, sample.value));
        }
        let (samples, anew) = (&self.series.samples, self.anew.for_series(self.series));
        Ok(increases_with(samples, self.existed_before, anew))
    }
}

impl Target {
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
    fn read_counter(
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
    fn read_beside(
        &mut self,
        version: Version,
        one: &One<'_>,
        anchor: &'static str,
        key: String,
    ) -> Result<(), DataError> {
        let scraped = self.scrapes.of_mut(version);
        let newest = scraped.last_key_value().map_or(i64::MIN, |(at, _)| *at);
        for (at, increase, _) in one.increases()? {
            match scraped.get_mut(&at) {
                Some(numbers) => add(numbers, 1, increase),
                // A scrape that came in between the two questions: next time.
                None if at > newest => {}
                None => return Err(DataError::ScrapesDiffer(one.name, anchor, key)),
            }
        }
        Ok(())
    }

    /// One bucket of a cumulative histogram; of buckets that are not compared, nothing.
    fn read_bucket(
        &mut self,
        version: Version,
        one: &One<'_>,
        bounds: &[f64],
    ) -> Result<(), DataError> {
        let bound = bounds::of(one.series)?;
        let index = bounds.iter().position(|b| *b == bound);
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

    fn read_values(&mut self, version: Version, one: &One<'_>) -> Result<(), DataError> {
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

    fn counts(&self, at: i64, age: Age) -> bool {
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

fn first(numbers: &[f64]) -> f64 {
    numbers.first().copied().unwrap_or(0.0)
}

fn second(numbers: &[f64]) -> f64 {
    numbers.get(1).copied().unwrap_or(0.0)
}

/// Each scrape with the seconds since the one before it.
fn with_seconds(scrapes: &BTreeMap<i64, Vec<f64>>) -> BTreeMap<i64, Vec<f64>> {
    let mut before = None;
    let mut timed = BTreeMap::new();
    for (at, numbers) in scrapes {
        let gap = before.map_or(0, |before| at - before);
        before = Some(*at);
        timed.insert(*at, vec![gap as f64 / 1000.0, second(numbers)]);
    }
    timed
}

/// When each target was first seen, in milliseconds.
fn first_samples(answers: &Answers) -> BTreeMap<String, i64> {
    let mut first = BTreeMap::new();
    for series in answers.series() {
        if let Some(seen) = first_of(series) {
            let at = first.entry(target_of(series)).or_insert(seen);
            *at = seen.min(*at);
        }
    }
    first
}

/// The targets with what is known of their birth.
fn targets(answers: &Answers, scrape_seconds: i64) -> BTreeMap<String, Target> {
    let begin = (answers.at - answers.reach) * 1000;
    let known = first_samples(answers).into_iter();
    known
        .map(|(key, at)| {
            let born = at > begin + millis(scrape_seconds, BORN_AFTER);
            let target = Target {
                born: born.then_some(at),
                ..Target::default()
            };
            (key, target)
        })
        .collect()
}

fn millis(seconds: i64, times: f64) -> i64 {
    (seconds as f64 * times * 1000.0) as i64
}

#[cfg(test)]
mod tests;
