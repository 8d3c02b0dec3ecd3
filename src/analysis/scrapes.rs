//! Scrapes become windows (statistics, section 1).
//!
//! Counters are differenced once, per series, between neighbouring scrapes. What is held against one
//! another comes from the same scrape of the same target. Windows tile time once, on the epoch grid;
//! an increase belongs to the window in which the later of its two scrapes lies, so nothing is
//! counted twice and nothing is interpolated.

mod anew;
mod bounds;
mod scraped;

pub use bounds::common_bounds;

use anew::Anew;
use scraped::{One, Scraped};

use std::collections::BTreeMap;

use super::plan::{Arms, Version};
use super::rho::Window;
use super::series::{Answers, DataError, Reading, first_of};
use super::target::Target;

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

/// The scrapes of a set of answers, by target.
#[derive(Debug)]
pub struct Scrapes {
    at: i64,
    /// How many numbers a scrape is.
    numbers: usize,
    /// The second number is a part of the first.
    part: bool,
    /// In the order of what tells them apart, so that sums do not depend on that of the answers.
    targets: Vec<Scraped>,
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
        let targets: Vec<Target<'_>> = answers.series().map(|s| Target::of(&s.labels)).collect();
        let begin = (answers.at - answers.reach) * 1000;
        let born_after = begin + millis(scrape_seconds, BORN_AFTER);
        let mut known = begun(answers, &targets, born_after);
        let anew = match reading {
            // A gauge may fall.
            Reading::Values => Anew::default(),
            _ => Anew::of(answers),
        };
        let mut targets = targets.into_iter();
        for (selected, arms) in answers.selected.iter().enumerate() {
            let name = names.get(selected).copied().unwrap_or("the query");
            // In the order of `Answers::series`, as the targets are.
            for version in BOTH {
                for (series, of) in arms.of(version).iter().zip(targets.by_ref()) {
                    let target = known.entry(of).or_default();
                    let one = One {
                        series,
                        name,
                        of,
                        existed_before: target.existed_before(first_of(series)),
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
                            target.read_beside(version, &one, anchor)?;
                        }
                    }
                }
            }
        }
        for target in known.values_mut() {
            target.complete(reading == Reading::PerSecond);
        }
        if let Reading::Buckets(bounds) = reading {
            check_buckets(&known, bounds)?;
        }
        let scrapes = Self {
            at: answers.at,
            numbers: reading.numbers(),
            part: reading == Reading::Part,
            targets: known.into_values().collect(),
        };
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
                .iter()
                .flat_map(|t| t.scrapes.of(version).values());
            let (total, bad) = all.fold((0.0, 0.0), |(total, bad), numbers| match &**numbers {
                [n, x] => (total + n, bad + x),
                _ => (total, bad),
            });
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
                .iter()
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
                .iter()
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
        for target in self.targets.iter() {
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
        let counted = self.targets.iter().filter(|target| {
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
        for target in self.targets.iter() {
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

/// The targets of the series, which are given in the order of the answers; none of them is read yet.
fn begun<'a>(
    answers: &Answers,
    of: &[Target<'a>],
    born_after: i64,
) -> BTreeMap<Target<'a>, Scraped> {
    let mut begun: BTreeMap<Target<'a>, Scraped> = BTreeMap::new();
    for (series, target) in answers.series().zip(of) {
        begun.entry(*target).or_default().seen(first_of(series));
    }
    for target in begun.values_mut() {
        target.born_after(born_after);
    }
    begun
}

/// Every target must still have the buckets that are compared.
fn check_buckets(known: &BTreeMap<Target<'_>, Scraped>, bounds: &[f64]) -> Result<(), DataError> {
    for version in BOTH {
        for (target, scraped) in known {
            if let Some(missing) = scraped.lacks(version, bounds) {
                return Err(DataError::BucketsChanged(target.to_string(), missing));
            }
        }
    }
    Ok(())
}

fn millis(seconds: i64, times: f64) -> i64 {
    (seconds as f64 * times * 1000.0) as i64
}

#[cfg(test)]
mod tests;
