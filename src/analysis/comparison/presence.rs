//! Whether the new version is still there to be judged: how old its newest samples are, and whether as
//! many of its targets are scraped as before. Pods that crash drop out of the metrics, and those that
//! are left look well; so nothing passes on what is left.

use super::finding::Finding;
use crate::analysis::plan::Version;
use crate::analysis::scrapes::{Age, Scrapes};
use crate::analysis::series::Answers;
use crate::analysis::words;
use crate::api::analysis_status::{Sampler, Verdict};

/// Samples may be so much older than the question, because remote storage is behind ...
const STORAGE_S: i64 = 60;
/// ... and otherwise so many windows.
const WINDOWS: i64 = 2;
/// After this long fewer targets are as many as there are: somebody scaled the version down.
const FORGOTTEN_S: i64 = 300;

/// The reason while fewer targets are scraped than before.
const FEWER_TARGETS: &str = "FewerTargets";
/// The reason while samples that could be there are not.
const OLD_SAMPLES: &str = "OldSamples";

/// Takes the ages of the samples of an answer in; once harm is shown nothing is waited for any more.
pub(super) fn note_ages(s: &mut Sampler, answers: &Answers, harm_is_shown: bool) {
    if harm_is_shown {
        (s.newest_canary, s.newest) = (0, 0);
        return;
    }
    let newest = |version: Version| {
        let all = answers.selected.iter().flat_map(|arms| arms.of(version));
        let samples =
            all.flat_map(|series| series.samples.iter().rev().find(|s| !s.value.is_nan()));
        samples.map(|s| s.at_ms.div_euclid(1000)).max()
    };
    s.newest_canary = s.newest_canary.max(newest(Version::Canary).unwrap_or(0));
    let either = newest(Version::Stable).unwrap_or(0).max(s.newest_canary);
    s.newest = s.newest.max(either);
}

/// Takes the targets of a short window in, that ends at `to`. A scrape may come a little late, so those
/// of the window before count as well.
pub(super) fn note_targets(s: &mut Sampler, scrapes: &Scrapes, to: i64) {
    let seen = scrapes.targets(Version::Canary, to - 2 * s.scrape_seconds, to, Age::Any);
    s.seen_targets = i64::try_from(seen).unwrap_or(i64::MAX);
    if s.seen_targets >= s.most_targets || to - s.most_at > FORGOTTEN_S {
        (s.most_targets, s.most_at) = (s.seen_targets, to);
    }
}

/// What there is to say when the new version's samples stay away while the other's come.
pub(super) fn gone(s: &Sampler) -> Option<String> {
    let older = s.newest - s.newest_canary;
    (s.newest_canary > 0 && older > WINDOWS * s.window_seconds).then(|| {
        format!(
            "the newest samples of the new version are {} older than the stable version's: do its pods \
             crash, are they ready, does a scrape of them succeed (up)?",
            words::seconds(older)
        )
    })
}

/// Why what is shown to be good enough does not pass yet.
pub(super) fn withheld(s: &Sampler, shown: &str, now: i64) -> Option<Finding> {
    let old = now - s.newest_canary;
    if s.newest_canary > 0 && old > WINDOWS * s.window_seconds + STORAGE_S {
        let message = format!(
            "{shown}; but its newest samples are {} old",
            words::seconds(old)
        );
        return Some(Finding::new(Verdict::Inconclusive, OLD_SAMPLES, message));
    }
    (s.seen_targets < s.most_targets).then(|| {
        let message = format!(
            "{shown}; but {} of {} targets of it are no longer scraped: does a pod crash? Waits until \
             they are back, or {} are over",
            s.most_targets - s.seen_targets,
            s.most_targets,
            words::seconds(FORGOTTEN_S),
        );
        Finding::new(Verdict::Inconclusive, FEWER_TARGETS, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::comparison::tests::{START, plan, ratio_of};
    use crate::analysis::comparison::{Comparison, find, question, take};
    use crate::analysis::plan::Arms;
    use crate::analysis::series::{Sample, Series};

    /// Until when, after the start, each of the targets is scraped: the new version's and stable's. Each
    /// serves 200 requests a second without a bad one.
    type Until<'a> = [&'a [i64]; 2];

    fn answers(at: i64, reach: i64, until: Until<'_>) -> Answers {
        let series = |name: String, end: i64| {
            let times = (at - reach + 1..=at).filter(|t| t % 15 == 0 && *t <= START + end);
            let samples = times.map(|t| Sample {
                at_ms: t * 1000,
                value: 200.0 * t as f64,
            });
            Series {
                labels: [("instance".to_owned(), name)].into(),
                samples: samples.collect(),
                histograms: Vec::new(),
            }
        };
        let of = |version: usize| {
            let ends = until[version].iter().enumerate();
            let all = ends.map(|(i, end)| series(format!("{version}-{i}"), *end));
            all.filter(|series| !series.samples.is_empty()).collect()
        };
        let total: Arms<Vec<Series>> = Arms {
            canary: of(0),
            stable: of(1),
        };
        Answers {
            at,
            reach,
            selected: vec![total, Arms::default()],
        }
    }

    /// The verdict at each moment, after looks at all of them.
    fn verdicts(until: Until<'_>, moments: &[i64]) -> Vec<(Verdict, &'static str)> {
        let plan = plan("nextWeight: 25");
        let mut status = Comparison::default();
        let mut found = Vec::new();
        for second in 0..=*moments.last().unwrap() {
            let now = START + second;
            if second % 5 == 0 {
                let (at, reach) = question(&plan, &status, now);
                let answers = answers(at, reach, until);
                take(&plan, ratio_of(&plan), &mut status, &answers).unwrap();
            }
            if moments.contains(&second) {
                let finding = find(&plan, ratio_of(&plan), &status, now).0;
                found.push((finding.verdict, finding.reason));
            }
        }
        found
    }

    const ON: i64 = 100_000;

    #[test]
    fn nothing_passes_on_samples_that_are_gone() {
        use Verdict::{NoData, Pass};
        let good = (Pass, "Safe");
        assert_eq!(verdicts([&[ON], &[ON]], &[300, 600]), [good, good]);
        // The new version's last scrape is at 290 s: two windows after it that is missed.
        let gone = verdicts([&[300], &[ON]], &[330, 345, 600]);
        let missed = (NoData, "NoCanarySamples");
        assert_eq!(gone, [good, missed, missed]);
        // Both stay away: that may be the store, and so is waited for a little longer.
        let both = verdicts([&[300], &[300]], &[375, 385, 600]);
        let old = (Verdict::Inconclusive, OLD_SAMPLES);
        assert_eq!(both, [good, old, (NoData, "NoCanaryTraffic")]);
    }

    #[test]
    fn nothing_passes_while_fewer_targets_are_seen_than_before() {
        let good = (Verdict::Pass, "Safe");
        let fewer = (Verdict::Inconclusive, FEWER_TARGETS);
        // One of three is gone for good: after five minutes the two are all that there are.
        let one = verdicts([&[ON, ON, 300], &[ON]], &[300, 400, 590, 700]);
        assert_eq!(one, [good, fewer, fewer, good]);
        // That stable has fewer is no concern of the new version's.
        let stable = verdicts([&[ON, ON], &[ON, 300]], &[300, 400, 590]);
        assert_eq!(stable, [good; 3]);
    }
}
