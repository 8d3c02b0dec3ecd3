//! Raw samples become windows (statistics, section 1).
//!
//! Counters are differenced once, per series, between neighbouring scrapes. A scrape of a target
//! counts only where it is in `total`, and its bad ones only where they come from the same scrape.
//! Windows tile time once, on the epoch grid; an increase belongs to the window in which the later
//! of its two scrapes lies, so nothing is counted twice and nothing is interpolated.

use std::collections::BTreeMap;

use super::plan::{Arms, Version};
use super::rho::Window;

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

/// A sample of a counter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was scraped, in Unix milliseconds.
    pub at_ms: i64,
    /// What the counter said. NaN ends a series (Prometheus' stale marker).
    pub value: f64,
}

/// A series with its samples, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its labels, the name included or not.
    pub labels: BTreeMap<String, String>,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// The four answers for a ratio, all asked for the same time and reach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// The time that was asked for, in Unix seconds: no sample is newer.
    pub at: i64,
    /// How far back it was asked, in seconds.
    pub reach: i64,
    /// All requests. Must be asked before `bad`, so that every scrape in here is in there too.
    pub total: Arms<Vec<Series>>,
    /// The bad ones.
    pub bad: Arms<Vec<Series>>,
}

/// Why answers cannot be used. None of these says anything about the version.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// Not a counter.
    #[error("a series of {0} has the value {1}, which no counter has; select counters")]
    NotACounter(&'static str, f64),
    /// `bad` has scrapes that `total` does not have.
    #[error(
        "bad and total of target {0:?} were not scraped together: either two replicas of the metrics store answer in turn, or the selectors name metrics of different targets"
    )]
    ScrapesDiffer(String),
    /// More bad ones than there are.
    #[error(
        "the {arm} version has {bad} bad ones out of {total}: the selector of bad must be a part of the selector of total"
    )]
    BadExceedsTotal {
        /// Which version.
        arm: &'static str,
        /// Bad ones.
        bad: f64,
        /// All.
        total: f64,
    },
}

impl DataError {
    /// The reason in one word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotACounter(..) => "NotACounter",
            Self::ScrapesDiffer(_) => "ScrapesDiffer",
            Self::BadExceedsTotal { .. } => "BadExceedsTotal",
        }
    }
}

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

const BOTH: [Version; 2] = [Version::Canary, Version::Stable];

/// What two neighbouring scrapes of a target differ by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Increase {
    total: f64,
    bad: f64,
}

/// One scraped endpoint.
#[derive(Debug, Default)]
struct Target {
    /// When it was first seen, if that was not before the answers' reach; in milliseconds.
    born: Option<i64>,
    /// When its counters began anew.
    restarts: Vec<i64>,
    /// What each scrape added, for each version. A router's target has both.
    scrapes: Arms<BTreeMap<i64, Increase>>,
}

/// The scrapes of a set of answers, by target.
#[derive(Debug, Default)]
pub struct Scrapes {
    at: i64,
    targets: BTreeMap<String, Target>,
}

/// Differences one counter: what each sample adds to the one before, and whether the counter began
/// anew there. The first sample adds its whole value where the target `existed_before` (a series of
/// errors is born with its first error), and nothing where its history is unknown.
pub fn increases(
    samples: &[Sample],
    existed_before: bool,
) -> impl Iterator<Item = (i64, f64, bool)> + '_ {
    let mut last: Option<f64> = None;
    samples.iter().filter(|s| !s.value.is_nan()).map(move |s| {
        let before = last.replace(s.value);
        match before {
            None if existed_before => (s.at_ms, s.value, false),
            None => (s.at_ms, 0.0, false),
            Some(before) if s.value < before => (s.at_ms, s.value, true),
            Some(before) => (s.at_ms, s.value - before, false),
        }
    })
}

/// The endpoint that a series was scraped from.
fn target_of(series: &Series) -> String {
    let part = |name: &str| series.labels.get(name).map_or("", String::as_str);
    let parts = ["job", "instance", "namespace", "pod"].map(part);
    if parts.iter().all(|p| p.is_empty()) {
        String::new()
    } else {
        parts.join("/")
    }
}

impl Scrapes {
    /// Sorts the answers by target and scrape. `scrape_seconds` is the time between scrapes, or
    /// what is taken for it before it is known.
    ///
    /// # Errors
    /// [`DataError`] where the samples cannot be what a ratio is made of.
    pub fn new(answers: &Answers, scrape_seconds: i64) -> Result<Self, DataError> {
        let first = first_samples(answers);
        let begin = (answers.at - answers.reach) * 1000;
        let mut scrapes = Self {
            at: answers.at,
            ..Self::default()
        };
        for (target, at) in &first {
            let born = *at > begin + millis(scrape_seconds, BORN_AFTER);
            let target = scrapes.targets.entry(target.clone()).or_default();
            target.born = born.then_some(*at);
        }
        let existed = |series: &Series, target: &str| {
            let own = series
                .samples
                .iter()
                .find(|s| !s.value.is_nan())
                .map(|s| s.at_ms);
            own.zip(first.get(target))
                .is_some_and(|(own, first)| *first < own)
        };
        for version in BOTH {
            for series in answers.total.of(version) {
                check(series, "total")?;
                let key = target_of(series);
                let existed_before = existed(series, &key);
                let target = scrapes.targets.entry(key).or_default();
                for (at, increase, restarted) in increases(&series.samples, existed_before) {
                    if restarted && target.restarts.last() != Some(&at) {
                        target.restarts.push(at);
                    }
                    target.scrapes.of_mut(version).entry(at).or_default().total += increase;
                }
            }
            for series in answers.bad.of(version) {
                check(series, "bad")?;
                let key = target_of(series);
                let existed_before = existed(series, &key);
                let target = scrapes.targets.entry(key.clone()).or_default();
                let scraped = target.scrapes.of_mut(version);
                let newest = scraped.last_key_value().map_or(i64::MIN, |(at, _)| *at);
                for (at, increase, _) in increases(&series.samples, existed_before) {
                    match scraped.get_mut(&at) {
                        Some(scrape) => scrape.bad += increase,
                        // A scrape that came in between the two questions: next time.
                        None if at > newest => {}
                        None => return Err(DataError::ScrapesDiffer(key)),
                    }
                }
            }
        }
        scrapes
            .targets
            .values_mut()
            .for_each(|t| t.restarts.sort_unstable());
        scrapes.check_parts()?;
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
            let (total, bad) = all.fold((0.0, 0.0), |(t, b), i| (t + i.total, b + i.bad));
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
    pub fn window(&self, from: i64, to: i64, age: Age) -> Window {
        let mut window = Window::default();
        if to <= from {
            return window;
        }
        for target in self.targets.values() {
            for version in BOTH {
                let scrapes = target
                    .scrapes
                    .of(version)
                    .range(from * 1000 + 1..=to * 1000);
                let (requests, bad) = match version {
                    Version::Canary => (&mut window.nc, &mut window.xc),
                    Version::Stable => (&mut window.ns, &mut window.xs),
                };
                for (_, increase) in scrapes.filter(|(at, _)| target.counts(**at, age)) {
                    *requests += increase.total;
                    *bad += increase.bad;
                }
            }
        }
        Window {
            xc: window.xc.min(window.nc),
            xs: window.xs.min(window.ns),
            ..window
        }
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

impl Target {
    fn counts(&self, at: i64, age: Age) -> bool {
        let Age::Grown(seconds) = age else {
            return true;
        };
        let restarted = self.restarts.iter().rev().find(|r| **r <= at).copied();
        let young_since = self.born.into_iter().chain(restarted).max();
        young_since.is_none_or(|since| at > since + seconds * 1000)
    }
}

/// When each target was first seen, in milliseconds.
fn first_samples(answers: &Answers) -> BTreeMap<String, i64> {
    let mut first = BTreeMap::new();
    for all in [&answers.total, &answers.bad] {
        for series in all.canary.iter().chain(&all.stable) {
            let Some(sample) = series.samples.iter().find(|s| !s.value.is_nan()) else {
                continue;
            };
            let at = first.entry(target_of(series)).or_insert(sample.at_ms);
            *at = sample.at_ms.min(*at);
        }
    }
    first
}

fn check(series: &Series, name: &'static str) -> Result<(), DataError> {
    let wrong = |s: &&Sample| s.value.is_infinite() || s.value < 0.0;
    match series.samples.iter().find(wrong) {
        Some(sample) => Err(DataError::NotACounter(name, sample.value)),
        None => Ok(()),
    }
}

fn millis(seconds: i64, times: f64) -> i64 {
    (seconds as f64 * times * 1000.0) as i64
}

#[cfg(test)]
mod tests;
