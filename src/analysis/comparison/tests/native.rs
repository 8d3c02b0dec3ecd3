//! Native histograms say what classic ones with the same bounds say, to the bit.

use proptest::prelude::*;

use super::{START, plan, ratio_of};
use crate::analysis::comparison::{Past, calibrate, next_question, question, take, wanted};
use crate::analysis::plan::Arms;
use crate::analysis::series::{Answers, Bucket, Histogram, Sample, Series};
use crate::api::analysis_status::Comparison;

const SCRAPE_S: i64 = 15;
/// Of a default client; each is the end of a custom bucket too.
const BOUNDS: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.5];

/// What a target adds to each bucket for a scrape, the one above all bounds among them, and whether
/// it has begun anew.
type Added = ([u32; BOUNDS.len() + 1], bool);

/// A target's buckets at each scrape, none of them in another.
struct Target(Vec<(i64, [f64; BOUNDS.len() + 1])>);

impl Target {
    fn new(since: i64, added: &[Added]) -> Self {
        let mut sums = [5.0; BOUNDS.len() + 1];
        let scrape = |(k, (more, anew)): (usize, &Added)| {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = f64::from(*more) + if *anew { 0.0 } else { *sum };
            }
            (since + SCRAPE_S * k as i64, sums)
        };
        Self(added.iter().enumerate().map(scrape).collect())
    }

    fn series(&self, name: &str, native: bool, at: &[i64]) -> Vec<Series> {
        let found = at.iter().filter_map(|at| {
            let before = self.0.partition_point(|(own, _)| own <= at);
            Some((*at, self.0.get(before.checked_sub(1)?)?.1))
        });
        let found: Vec<(i64, [f64; BOUNDS.len() + 1])> = found.collect();
        let labels = || std::collections::BTreeMap::from([("pod".to_owned(), name.to_owned())]);
        if native {
            let ends = |k: usize| {
                let lower = k.checked_sub(1).map_or(f64::NEG_INFINITY, |k| BOUNDS[k]);
                (lower, *BOUNDS.get(k).unwrap_or(&f64::INFINITY))
            };
            let bucket = |(k, count): (usize, &f64)| Bucket {
                lower: ends(k).0,
                upper: ends(k).1,
                count: *count,
            };
            let histogram = |(at, sums): &(i64, [f64; BOUNDS.len() + 1])| Histogram {
                at_ms: at * 1000,
                count: sums.iter().sum(),
                // What is empty does not stand in an answer.
                buckets: sums
                    .iter()
                    .enumerate()
                    .filter(|(_, n)| **n > 0.0)
                    .map(bucket)
                    .collect(),
            };
            return vec![Series {
                labels: labels().into(),
                histograms: found.iter().map(histogram).collect(),
                ..Series::default()
            }];
        }
        let bucket = |k: usize| {
            let mut labels = labels();
            let le = BOUNDS.get(k).map_or("+Inf".to_owned(), f64::to_string);
            labels.insert("le".to_owned(), le);
            let sample = |(at, sums): &(i64, [f64; BOUNDS.len() + 1])| Sample {
                at_ms: at * 1000,
                value: sums[..=k].iter().sum(),
            };
            Series {
                labels: labels.into(),
                samples: found.iter().map(sample).collect(),
                ..Series::default()
            }
        };
        (0..=BOUNDS.len()).map(bucket).collect()
    }

    fn scrapes(&self, from: i64, to: i64) -> Vec<i64> {
        let within = self.0.iter().filter(|(at, _)| *at > from && *at <= to);
        within.map(|(at, _)| *at).collect()
    }
}

/// The status after every look of a run.
fn looks(targets: &[Target; 3], native: bool) -> Vec<Comparison> {
    let plan = plan(
        "promote: {maxDuration: 60m}\nmetrics: [{name: m, histogram: {buckets: 'b{$(arm)}'}, \
         objective: {quantile: 90%, below: 500ms}}]",
    );
    let compared = ratio_of(&plan);
    let [canary, stable @ ..] = targets;
    let (mut status, mut looks) = (Comparison::default(), Vec::new());
    let (mut now, mut polled) = (START, None);
    while now <= START + 600 {
        if next_question(&plan, &status, polled) <= now {
            let s = status.sampler.as_ref();
            if let Some(past) = s.and_then(|s| wanted(&plan, compared, s)) {
                let Past { until, reach, step } = past;
                let moments: Vec<i64> = (1..=reach / step)
                    .map(|k| until - reach + k * step)
                    .collect();
                let of = |(k, t): (usize, &Target)| t.series(&format!("s-{k}"), native, &moments);
                let past_of = stable.iter().enumerate().flat_map(of).collect();
                let s = status.sampler.as_mut().unwrap();
                calibrate(compared, s, &past, &[past_of]);
            }
            let (at, reach) = question(&plan, &status, now);
            let of = |name: &str, t: &Target| t.series(name, native, &t.scrapes(at - reach, at));
            let answers = Answers {
                at,
                reach,
                selected: vec![Arms {
                    canary: of("c", canary),
                    stable: [of("s-0", &stable[0]), of("s-1", &stable[1])].concat(),
                }],
            };
            take(&plan, compared, &mut status, &answers).unwrap();
            polled = Some(now);
            let mut seen = status.clone();
            // The one thing that tells them apart.
            seen.sampler.as_mut().unwrap().histogram_buckets = 0;
            looks.push(seen);
        }
        now += 15;
    }
    looks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn native_and_classic_histograms_give_the_same_evidence(
        canary in prop::collection::vec((prop::array::uniform6(0..40_u32), prop::bool::weighted(0.03)), 46),
        stable in prop::array::uniform2(
            prop::collection::vec((prop::array::uniform6(0..60_u32), prop::bool::weighted(0.01)), 700),
        ),
    ) {
        let targets = [
            Target::new(START - 75, &canary),
            Target::new(START - 9900, &stable[0]),
            Target::new(START - 9893, &stable[1]),
        ];
        let (classic, native) = (looks(&targets, false), looks(&targets, true));
        prop_assert_eq!(&classic, &native);
        // Something was compared: the check would pass on nothing as well.
        let last = classic.last().unwrap();
        prop_assert!(last.canary.requests > 0.0 && last.stable.requests > 0.0, "{:?}", last);
    }
}
