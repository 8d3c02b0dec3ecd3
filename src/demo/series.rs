//! What was scraped: series of samples, as a Prometheus keeps them.
//!
//! Times are Unix milliseconds. Every target is scraped at the same instant.

use std::collections::BTreeMap;

/// How long samples are kept: longer than any analysis of the demo looks back.
const RETENTION_MS: i64 = 15 * 60 * 1000;
/// How far an instant query looks back for the last sample (Prometheus: query.lookback-delta).
const LOOKBACK_MS: i64 = 5 * 60 * 1000;

/// A series' labels, `__name__` among them.
pub type Labels = BTreeMap<String, String>;

/// All series.
#[derive(Debug, Default)]
pub struct Samples {
    series: BTreeMap<Labels, Vec<(i64, f64)>>,
    scrapes: Vec<i64>,
}

impl Samples {
    /// One scrape of everything at `now`. Scrapes come in the order of time.
    pub fn scrape(&mut self, now: i64, found: impl IntoIterator<Item = (Labels, f64)>) {
        self.scrapes.push(now);
        for (labels, value) in found {
            self.series.entry(labels).or_default().push((now, value));
        }
        let oldest = now - RETENTION_MS;
        self.scrapes.retain(|at| *at >= oldest);
        for samples in self.series.values_mut() {
            let old = samples.partition_point(|(at, _)| *at < oldest);
            samples.drain(..old);
        }
        self.series.retain(|_, samples| !samples.is_empty());
    }

    /// The samples after `from` up to and including `to`, of every series that `select` takes.
    pub fn range(
        &self,
        from: i64,
        to: i64,
        select: impl Fn(&Labels) -> bool,
    ) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let taken = self.series.iter().filter(|(labels, _)| select(labels));
        taken
            .filter_map(|(labels, samples)| {
                let within = samples.iter().filter(|(at, _)| *at > from && *at <= to);
                let samples: Vec<(i64, f64)> = within.copied().collect();
                (!samples.is_empty()).then(|| (labels.clone(), samples))
            })
            .collect()
    }

    /// The last sample at `at` of every series that `select` takes. A series that the last scrape
    /// did not find any more is stale and not shown.
    pub fn instant(&self, at: i64, select: impl Fn(&Labels) -> bool) -> Vec<(Labels, f64)> {
        let scrape = self.scrapes.iter().rev().find(|t| **t <= at);
        let Some(scrape) = scrape.filter(|t| **t > at - LOOKBACK_MS) else {
            return Vec::new();
        };
        let found = self.range(scrape - 1, *scrape, select);
        found
            .into_iter()
            .filter_map(|(labels, samples)| samples.last().map(|(_, value)| (labels, *value)))
            .collect()
    }
}
