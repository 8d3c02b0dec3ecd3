//! When counters began anew though they show no loss by themselves: it is told by those beside them.
//!
//! A counter that is less than before began anew. One that is more may have, too: the buckets of a
//! histogram begin anew together, and a series that was not there after a restart of its target (one of
//! errors, before the first of them) has counted from 0 when it comes back, however much it says.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::series::{Answers, Series};
use crate::analysis::target::Target;

/// Times in milliseconds.
type Times = BTreeSet<i64>;

/// When something was lost, of each histogram and of each target.
#[derive(Debug, Default)]
pub(super) struct Anew<'a> {
    histograms: BTreeMap<Vec<(&'a str, &'a str)>, Times>,
    targets: BTreeMap<Target<'a>, Times>,
}

impl<'a> Anew<'a> {
    /// From all series of counters together.
    pub fn of(answers: &'a Answers) -> Self {
        let mut anew = Self::default();
        for series in answers.series() {
            let known = || series.samples.iter().filter(|s| !s.value.is_nan());
            let losses = known().zip(known().skip(1));
            let losses = losses.filter(|(before, now)| now.value < before.value);
            for (_, now) in losses {
                if let Some(histogram) = histogram_of(series) {
                    anew.histograms
                        .entry(histogram)
                        .or_default()
                        .insert(now.at_ms);
                }
                let target = anew.targets.entry(Target::of(&series.labels));
                target.or_default().insert(now.at_ms);
            }
        }
        anew
    }

    /// What is known of a series of this target: when it began anew between a sample and the next one.
    pub fn for_series<'s>(
        &'s self,
        series: &'s Series,
        target: Target<'s>,
    ) -> impl Fn(i64, i64) -> Option<i64> + 's {
        // Mostly nothing began anew at all, and then there is nothing to look for.
        let lost = !self.histograms.is_empty();
        let of_histogram = lost.then(|| histogram_of(series)).flatten();
        let of_histogram = of_histogram.and_then(|h| self.histograms.get(&h));
        let of_target = self.targets.get(&target);
        move |before, now| {
            // The scrape at that time has others of the target, and not this one.
            let absent = |times: &Times| times.range(before + 1..now).next().copied();
            let together = |times: &Times| times.get(&now).copied();
            of_target
                .and_then(absent)
                .or_else(|| of_histogram.and_then(together))
        }
    }
}

/// What tells a histogram from others: the labels of its buckets but the bound.
fn histogram_of(series: &Series) -> Option<Vec<(&str, &str)>> {
    series.labels.get("le")?;
    let labels = series.labels.iter().filter(|(name, _)| *name != "le");
    Some(labels.collect())
}
