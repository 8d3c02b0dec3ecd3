//! Ratios against services whose truth is known, and what all kinds have in common: grids, replay,
//! missing data. The other kinds are in `kinds`.

mod kinds;
mod native;
mod one_look;

use super::stable::remember;
use super::*;
use crate::analysis::effects;
use crate::analysis::plan::{Arms, Kind};
use crate::analysis::series::{Sample, Series};
use crate::api::analysis::{AnalysisRunSpec, PlanStep};
use crate::api::analysis_status::{Calibration, Stretch, Verdict};
use jiff::Timestamp;

/// A random source with a seed; its constants are Knuth's.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.next().max(1e-300), self.next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Poisson; by its normal limit where the mean is large.
    pub fn events(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut n) = ((-mean).exp(), self.next(), 0.0);
        while product > limit {
            product *= self.next();
            n += 1.0;
        }
        n
    }
}

/// A plan of one ratio, with 1 % false aborts, from Unix second 1,000,000 on.
pub(super) fn plan(more: &str) -> Plan {
    let ratio = "metrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]";
    let metrics = if more.contains("metrics:") { "" } else { ratio };
    let yaml =
        format!("canaryHash: c\nstableHash: s\nstartAt: 1970-01-12T13:46:40Z\n{metrics}\n{more}");
    let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).unwrap();
    crate::analysis::plan::parse(&spec, Timestamp::UNIX_EPOCH).unwrap()
}

pub(super) const START: i64 = 1_000_000;

pub(super) fn ratio_of(plan: &Plan) -> &ComparisonPlan {
    match &plan.metrics[0].kind {
        Kind::Comparison(ratio) => ratio,
        Kind::Threshold(_) => unreachable!("a ratio"),
    }
}

/// A service: requests per second of each version, share of bad ones by time.
struct Service {
    rates: [f64; 2],
    bad: fn(i64) -> [f64; 2],
    random: Random,
}

/// Counters of both versions as they are scraped.
#[derive(Default)]
pub(super) struct Counters {
    pub samples: [Vec<(i64, f64, f64)>; 2],
}

impl Counters {
    /// Scrapes every `every` seconds from before the start to `until`.
    fn scraped(service: &mut Service, every: i64, until: i64) -> Self {
        let mut counters = Self::default();
        let (mut at, mut totals) = (START - 120, [[0.0; 2]; 2]);
        while at <= until {
            let bad = (service.bad)(at - START);
            for version in 0..2 {
                let n = service.random.events(service.rates[version] * every as f64);
                let x = service.random.events(n * bad[version]).min(n);
                totals[version][0] += n;
                totals[version][1] += x;
                counters.samples[version].push((
                    at + version as i64,
                    totals[version][0],
                    totals[version][1],
                ));
            }
            at += every;
        }
        counters
    }

    pub fn answers(&self, at: i64, reach: i64) -> Answers {
        let series = |version: usize, bad: bool| {
            let within = |s: &&(i64, f64, f64)| s.0 > at - reach && s.0 <= at;
            let samples = self.samples[version].iter().filter(within);
            vec![Series {
                labels: [("instance".to_owned(), version.to_string())].into(),
                samples: samples
                    .map(|(t, n, x)| Sample {
                        at_ms: t * 1000,
                        value: if bad { *x } else { *n },
                    })
                    .collect(),
                ..Series::default()
            }]
        };
        let both = |bad| Arms {
            canary: series(0, bad),
            stable: series(1, bad),
        };
        Answers {
            at,
            reach,
            selected: vec![both(false), both(true)],
        }
    }
}

/// Asks until `until` as the loop does, at least `pause` seconds apart; stops at a verdict that
/// `stops` names. Returns the time after the start, or nothing.
pub(super) fn follow(
    plan: &Plan,
    status: &mut Comparison,
    counters: &Counters,
    until: i64,
    pause: i64,
    stops: &[Verdict],
) -> Option<(i64, Verdict)> {
    let (mut now, mut polled) = (START, None);
    while now <= until {
        if next_question(plan, status, polled) <= now {
            let (at, reach) = question(plan, status, now);
            take(plan, ratio_of(plan), status, &counters.answers(at, reach)).unwrap();
            polled = Some(now);
            let verdict = find(plan, ratio_of(plan), status, now).0.verdict;
            if stops.contains(&verdict) {
                return Some((now - START, verdict));
            }
        }
        now += pause;
    }
    None
}

fn same_everywhere(bad: f64, times: f64) -> fn(i64) -> [f64; 2] {
    // Function pointers cannot capture; these are the cases that are used.
    match ((bad * 1e4) as i64, (times * 10.0) as i64) {
        (100, 10) => |_| [0.01, 0.01],
        (10, 10) => |_| [0.001, 0.001],
        (50, 10) => |_| [0.005, 0.005],
        (100, 20) => |_| [0.02, 0.01],
        (100, 15) => |_| [0.015, 0.01],
        (50, 30) => |_| [0.015, 0.005],
        (100, 11) => |_| [0.011, 0.01],
        (50, 11) => |_| [0.0055, 0.005],
        (10, 15) => |_| [0.0015, 0.001],
        (0, _) => |_| [0.0, 0.0],
        other => unreachable!("{other:?}"),
    }
}

fn service(seed: u64, rates: [f64; 2], bad: fn(i64) -> [f64; 2]) -> Service {
    Service {
        rates,
        bad,
        random: Random(seed.wrapping_mul(7919) + 1),
    }
}

/// Windows straight into the tests: what `look` does, without the samples.
fn simulate(plan: &Plan, service: &mut Service, windows: i64) -> (Comparison, Option<i64>) {
    let mut status = Comparison::default();
    let mut s = Sampler::default();
    grid(plan, &mut s, 15);
    let mut judge = Concurrent::new(plan, ratio_of(plan), &s);
    judge.begin(&mut status, &mut s);
    for k in 0..windows {
        let bad = (service.bad)(k * 15);
        let n = service.rates.map(|rate| service.random.events(rate * 15.0));
        let x = [0, 1].map(|v| service.random.events(n[v] * bad[v]).min(n[v]));
        let w = Window {
            nc: n[0],
            xc: x[0],
            ns: n[1],
            xs: x[1],
        };
        let (to, grown) = (START + 15 * (k + 1), k >= plan.warmup / 15);
        note_short(&mut status, &mut s, &w, to);
        judge.short(&mut status, &mut s, &w.into(), to);
        if grown && status.harm_shown_at.is_none() {
            judge.window(&mut status, &mut s, &w.into(), to);
        } else {
            s.lead_canary += w.nc;
            s.lead_stable += w.ns;
            remember(&mut s.history, to, w.ns, w.xs);
        }
        s.cursor = to;
        if status.harm_shown_at.is_some() {
            return (status, Some(15 * (k + 1)));
        }
    }
    status.sampler = Some(s);
    (status, None)
}

/// A version that behaves like stable is aborted in at most 1 % of the rollouts (and two standard
/// errors), also with no tolerance at all.
#[test]
fn good_versions_are_not_aborted() {
    let strict = "promote: {maxDuration: 30m}\nmetrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, tolerate: {relative: 0%, absolute: 0%}}]";
    let strict = {
        let yaml = format!("canaryHash: c\nstableHash: s\nstartAt: 1970-01-12T13:46:40Z\n{strict}");
        let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).unwrap();
        crate::analysis::plan::parse(&spec, Timestamp::UNIX_EPOCH).unwrap()
    };
    let settings = [([5.0, 95.0], 0.01), ([50.0, 50.0], 0.001)];
    let runs = 150;
    for (rates, bad) in settings {
        let aborted = (0..runs)
            .filter(|seed| {
                let mut service = service(*seed, rates, same_everywhere(bad, 1.0));
                simulate(&strict, &mut service, 120).1.is_some()
            })
            .count();
        let limit = 0.01 * runs as f64 + 2.0 * (0.01 * 0.99 * runs as f64).sqrt();
        assert!(
            (aborted as f64) <= limit,
            "{rates:?} at {bad}: {aborted} of {runs}"
        );
    }
}

/// A version at the very edge of what is tolerated, whichever tolerance is the wider one and also
/// where they are the same, is aborted in at most 1 % of the rollouts (and two standard errors).
#[test]
fn what_is_just_tolerated_is_not_aborted() {
    let plan = plan("promote: {maxDuration: 30m}");
    for (bad, times) in [(0.01, 1.1), (0.005, 1.1), (0.001, 1.5)] {
        let runs = 150;
        let aborted = (0..runs)
            .filter(|seed| {
                let mut service = service(*seed, [50.0, 50.0], same_everywhere(bad, times));
                simulate(&plan, &mut service, 120).1.is_some()
            })
            .count();
        let limit = 0.01 * runs as f64 + 2.0 * (0.01 * 0.99 * runs as f64).sqrt();
        assert!(aborted as f64 <= limit, "{times} times {bad}: {aborted}");
    }
}

/// The state after one window in which the new version is much worse than stable, but no worse than
/// stable was before: `past` are requests and bad ones.
fn after_a_good_window(
    plan: &Plan,
    past: Option<(f64, f64)>,
    level: Masses,
) -> (Comparison, Sampler) {
    let mut s = Sampler {
        window_seconds: 15,
        first: START + 60,
        lead_canary: 600.0,
        lead_stable: 2400.0,
        calibration: past.map(|(requests, bad)| Calibration {
            requests,
            bad,
            ..Calibration::default()
        }),
        harm_level: level,
        ..Sampler::default()
    };
    let mut judge = Concurrent::new(plan, ratio_of(plan), &s);
    let mut status = Comparison::default();
    judge.begin(&mut status, &mut s);
    let w = Window {
        nc: 3000.0,
        xc: 17.0,
        ns: 12_000.0,
        xs: 12.0,
    };
    judge.window(&mut status, &mut s, &w.into(), START + 75);
    (status, s)
}

#[test]
fn the_level_is_asked_for_where_it_asks_for_more() {
    let tolerate = |tolerate: &str| {
        plan(&format!(
            "metrics: [{{name: errors, tolerate: {tolerate}, ratio: {{bad: 'b{{$(arm)}}', total: 't{{$(arm)}}'}}}}]"
        ))
    };
    // 10 % of stable's ratio are more than 0.05 points from 0.5 % on.
    let default = "{relative: 10%, absolute: 0.05%}";
    for (given, past, shown) in [
        ("{relative: 10%, absolute: 0%}", None, true),
        (default, Some((1e6, 1e4)), true),
        (default, Some((1e6, 4.5e3)), false),
        (default, Some((600.0, 6.0)), false),
        (default, None, false),
        ("{relative: 0%, absolute: 0.05%}", Some((1e6, 1e4)), false),
    ] {
        let plan = tolerate(given);
        let (status, s) = after_a_good_window(&plan, past, Masses::default());
        assert_eq!(decides(&status.harm), shown, "{given} {past:?} {status:?}");
        assert_eq!(s.harm_level.windows, i64::from(given.contains("0.05")));
    }
}

/// A run that began with other bets against the level goes on with those.
#[test]
fn bets_against_the_level_stay_what_they_were() {
    let before = Masses {
        windows: 7,
        cash: 0.4,
        bets: vec![0.5; effects::LEVEL.len()],
    };
    let plan = plan("");
    let (_, s) = after_a_good_window(&plan, Some((1e6, 1e3)), before);
    assert_eq!((s.harm_level.windows, s.harm_level.bets.len()), (8, 5));
    assert!(s.harm_level_from.abs() < f64::MIN_POSITIVE);
    let (_, new) = after_a_good_window(&plan, Some((1e6, 1e3)), Masses::default());
    let grid = effects::from_smallest(new.harm_level_from);
    assert!(new.harm_level_from > 0.0 && new.harm_level.bets.len() == grid.deltas.len());
}

/// Bad versions are aborted, soon, with the tolerances that are the default.
#[test]
fn bad_versions_are_aborted() {
    let plan = plan("promote: {maxDuration: 60m}");
    // Ratio, times; share that must be aborted within an hour; the median's bound in seconds.
    let settings = [
        ([20.0, 80.0], 0.01, 2.0, 0.95, 420),
        ([50.0, 50.0], 0.01, 1.5, 0.9, 1500),
        ([20.0, 80.0], 0.005, 3.0, 0.95, 420),
    ];
    for (rates, bad, times, share, bound) in settings {
        let mut delays: Vec<i64> = (0..40)
            .map(|seed| {
                let mut service = service(seed, rates, same_everywhere(bad, times));
                simulate(&plan, &mut service, 240).1.unwrap_or(i64::MAX)
            })
            .collect();
        delays.sort_unstable();
        let found = delays.iter().filter(|d| **d < i64::MAX).count();
        assert!(
            found as f64 >= 40.0 * share,
            "{rates:?} {bad} x{times}: {found} of 40"
        );
        assert!(
            delays[20] <= bound,
            "{rates:?} {bad} x{times}: median {} s",
            delays[20]
        );
    }
}

/// A regression that starts after a quarter of an hour of good behaviour is found nevertheless.
#[test]
fn late_regressions_are_found() {
    let plan = plan("promote: {maxDuration: 60m}");
    let late = |t: i64| if t < 900 { [0.01, 0.01] } else { [0.02, 0.01] };
    let mut delays: Vec<i64> = (0..40)
        .map(|seed| simulate(&plan, &mut service(seed, [50.0, 50.0], late), 240).1)
        .map(|at| at.map_or(i64::MAX, |at| at - 900))
        .collect();
    delays.sort_unstable();
    assert!(
        delays[38] < i64::MAX && delays[20] < 300 && delays[0] > 0,
        "{delays:?}"
    );
}

/// Versions that are too bad for the next weight are promoted in at most 5 % of the rollouts.
#[test]
fn unsafe_versions_are_not_promoted() {
    let lenient = {
        let yaml = "canaryHash: c\nstableHash: s\nstartAt: 1970-01-12T13:46:40Z\nnextWeight: 100\nmetrics: [{name: errors, neverAbortBelow: 0.2%, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]";
        let spec: AnalysisRunSpec = serde_saphyr::from_str(yaml).unwrap();
        crate::analysis::plan::parse(&spec, Timestamp::UNIX_EPOCH).unwrap()
    };
    let required = ratio_of(&lenient).required(100);
    assert_eq!(
        required,
        Required {
            times: 1.5,
            points: 0.001,
            level: 0.002
        }
    );
    let runs = 200;
    let promoted = (0..runs)
        .filter(|seed| {
            // 1.5 times stable's, the very edge of what is not good enough, and above the level.
            let mut service = service(*seed, [50.0, 50.0], same_everywhere(0.01, 1.5));
            let mut safe = false;
            for windows in [10, 20, 40, 60] {
                service.random = Random(seed.wrapping_mul(7919) + 1);
                safe |= decides(&simulate(&lenient, &mut service, windows).0.safe);
            }
            safe
        })
        .count();
    let limit = 0.05 * f64::from(runs as u32) + 2.0 * (0.05 * 0.95 * runs as f64).sqrt();
    assert!((promoted as f64) <= limit, "{promoted} of {runs}");
}

#[test]
fn gross_harm_is_shown_by_the_first_scrapes() {
    let plan = plan("");
    for every in [1, 5, 15] {
        let half = |_| [0.5, 0.001];
        let mut service = service(3, [40.0, 160.0], half);
        let counters = Counters::scraped(&mut service, every, START + 120);
        let mut status = Comparison::default();
        let found = follow(
            &plan,
            &mut status,
            &counters,
            START + 120,
            1,
            &[Verdict::Fail],
        );
        let (seconds, _) = found.expect("it is aborted");
        assert!(
            seconds <= 3 * every.max(2),
            "every {every} s: after {seconds} s"
        );
        let finding = find(&plan, ratio_of(&plan), &status, START + seconds).0;
        assert_eq!(finding.reason, "GrossHarm");
        assert!(
            finding
                .message
                .contains("requests to the new version were bad ("),
            "{}",
            finding.message
        );
    }
}

#[test]
fn a_version_without_any_bad_one_passes_as_soon_as_there_were_enough() {
    let plan = plan("nextWeight: 25");
    let mut service = service(1, [20.0, 80.0], same_everywhere(0.0, 1.0));
    let counters = Counters::scraped(&mut service, 5, START + 900);
    let mut status = Comparison::default();
    let stops = [Verdict::Pass, Verdict::Fail, Verdict::NoData];
    let found = follow(&plan, &mut status, &counters, START + 900, 1, &stops);
    let (seconds, verdict) = found.expect("a verdict");
    assert_eq!(verdict, Verdict::Pass);
    // About ln(100) + ln(5) requests in units of 1 / 0.4 %, at 20 a second, after the warm-up.
    assert!((100..200).contains(&seconds), "after {seconds} s");
    let message = find(&plan, ratio_of(&plan), &status, START + seconds)
        .0
        .message;
    assert!(message.contains("good enough for 25 %"), "{message}");
}

#[test]
fn a_good_version_passes_and_a_forecast_says_when() {
    let plan = plan("nextWeight: 50");
    let mut service = service(5, [100.0, 400.0], same_everywhere(0.01, 1.0));
    let counters = Counters::scraped(&mut service, 15, START + 3600);
    let mut status = Comparison::default();
    assert_eq!(
        follow(
            &plan,
            &mut status,
            &counters,
            START + 80,
            1,
            &[Verdict::Pass]
        ),
        None
    );
    let (finding, forecast) = find(&plan, ratio_of(&plan), &status, START + 80);
    let forecast = forecast.unwrap_or_else(|| panic!("{}", finding.message));
    assert!(
        finding.message.contains("more requests to it"),
        "{}",
        finding.message
    );
    let found = follow(
        &plan,
        &mut status,
        &counters,
        START + 3600,
        1,
        &[Verdict::Pass, Verdict::Fail],
    );
    let (seconds, verdict) = found.expect("a verdict");
    assert_eq!(verdict, Verdict::Pass);
    assert!(
        seconds < 80 + 4 * forecast.seconds + 60,
        "{seconds} s, forecast {forecast:?}"
    );
}

/// The state after `until` does not depend on when and how often was asked, nor on restarts that
/// read it back from the API server.
#[test]
fn the_same_samples_lead_to_the_same_state() {
    let plan = plan("promote: {maxDuration: 60m}");
    let until = START + 900;
    for (every, bad) in [
        (5, same_everywhere(0.01, 1.0)),
        (15, same_everywhere(0.01, 1.5)),
        (10, same_everywhere(0.005, 3.0)),
    ] {
        let counters = Counters::scraped(&mut service(9, [30.0, 70.0], bad), every, until + 300);
        let state = |pauses: &[i64]| {
            let mut status = Comparison::default();
            let mut now = START;
            for pause in pauses.iter().cycle() {
                let (at, reach) = question(&plan, &status, now.min(until));
                let answers = counters.answers(at, reach);
                let looked = take(&plan, ratio_of(&plan), &mut status, &answers).unwrap();
                let text = serde_json::to_string(&status).unwrap();
                status = serde_json::from_str(&text).unwrap();
                assert_eq!(
                    serde_json::to_string(&status).unwrap(),
                    text,
                    "read back to the bit"
                );
                if now >= until && looked == Looked::Nothing {
                    break;
                }
                now += pause;
            }
            status
        };
        let steady = state(&[5]);
        assert_eq!(steady, state(&[1, 17, 3, 44]), "every {every} s");
        assert_eq!(steady, state(&[451]), "every {every} s");
        assert_eq!(steady, state(&[100_000]), "every {every} s");
        assert!(steady.canary.requests > 0.0);
    }
}

#[test]
fn missing_data_are_no_verdict() {
    let plan = plan("");
    let compared = ratio_of(&plan);
    let verdict = |status: &Comparison, now: i64| {
        let finding = find(&plan, compared, status, now).0;
        (finding.verdict, finding.reason)
    };
    let mut status = Comparison::default();
    assert_eq!(
        verdict(&status, START + 5),
        (Verdict::Inconclusive, "Collecting")
    );
    assert_eq!(verdict(&status, START + 61), (Verdict::NoData, "NoSeries"));

    // Only stable is scraped.
    let mut service = service(2, [10.0, 100.0], same_everywhere(0.01, 1.0));
    let counters = Counters::scraped(&mut service, 15, START + 300);
    let mut lonely = counters.answers(START + 100, 200);
    lonely
        .selected
        .iter_mut()
        .for_each(|arms| arms.canary.clear());
    take(&plan, compared, &mut status, &lonely).unwrap();
    let finding = find(&plan, compared, &status, START + 100).0;
    assert!(
        finding.message.contains("no series of the new version"),
        "{}",
        finding.message
    );

    // Good data, then none: it passes nothing and fails nothing.
    let mut status = Comparison::default();
    follow(&plan, &mut status, &counters, START + 300, 1, &[]);
    assert_eq!(verdict(&status, START + 300).0, Verdict::Inconclusive);
    assert_eq!(
        verdict(&status, START + 600),
        (Verdict::NoData, "StaleData")
    );

    // The counters stand still: traffic has gone elsewhere.
    let mut still = Counters::scraped(&mut service, 15, START + 300);
    let last = still.samples[0]
        .iter()
        .rfind(|s| s.0 < START + 150)
        .copied()
        .unwrap();
    for sample in still.samples[0].iter_mut().filter(|s| s.0 >= START + 150) {
        (sample.1, sample.2) = (last.1, last.2);
    }
    let mut status = Comparison::default();
    let stops = [Verdict::Pass, Verdict::Fail, Verdict::NoData];
    let found = follow(&plan, &mut status, &still, START + 300, 1, &stops);
    let (seconds, _) = found.expect("it is noticed");
    assert!((165..260).contains(&seconds), "after {seconds} s");
    assert_eq!(verdict(&status, START + seconds).1, "NoCanaryTraffic");
}

/// Harm must be shown absolutely too: below the floor nothing is aborted.
#[test]
fn below_the_floor_nothing_is_aborted() {
    let with = |floor: &str| {
        let yaml = format!(
            "canaryHash: c\nstableHash: s\nstartAt: 1970-01-12T13:46:40Z\nmetrics: [{{name: errors, neverAbortBelow: {floor}, ratio: {{bad: 'b{{$(arm)}}', total: 't{{$(arm)}}'}}}}]"
        );
        let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).unwrap();
        crate::analysis::plan::parse(&spec, Timestamp::UNIX_EPOCH).unwrap()
    };
    let worse = |_| [0.003, 0.0001];
    let aborted = |plan: &Plan| simulate(plan, &mut service(4, [100.0, 100.0], worse), 120).1;
    assert!(aborted(&with("0%")).is_some_and(|at| at < 300));
    assert_eq!(aborted(&with("0.5%")), None);
}

#[test]
fn more_traffic_needs_more_evidence() {
    let plan = plan("");
    let compared = ratio_of(&plan);
    let times: Vec<f64> = [1, 5, 6, 25, 50, 51, 100]
        .map(|w| compared.required(w).times)
        .into();
    assert_eq!(times, [10.0, 10.0, 3.0, 3.0, 2.0, 1.5, 1.5]);
    let tolerant = ComparisonPlan {
        relative: 1.0,
        absolute: 0.02,
        floor: 0.05,
        ..compared.clone()
    };
    assert_eq!(
        tolerant.required(100),
        Required {
            times: 2.0,
            points: 0.02,
            level: 0.05
        }
    );
}

#[test]
fn the_stable_ratio_errs_on_the_careful_side() {
    let of = |requests, bad| {
        StableRatio::of(
            &[Stretch {
                number: 10,
                requests,
                bad,
            }],
            None,
            3100,
        )
    };
    let none = of(10_000.0, 0.0);
    assert!(
        (none.upper - (1.0 - 0.1_f64.powf(1e-4))).abs() < 1e-9,
        "{none:?}"
    );
    assert!(none.estimate < none.upper);
    let many = of(10_000.0, 100.0);
    assert!((many.upper - many.estimate).abs() < 1e-12);
    assert_eq!(
        StableRatio::of(&[], None, 3100).upper.to_bits(),
        1.0_f64.to_bits()
    );
    assert_eq!(of(5.0, 5.0).upper.to_bits(), 1.0_f64.to_bits());
    // What is older than half an hour does not count.
    let old = StableRatio::of(
        &[Stretch {
            number: 3,
            requests: 1e6,
            bad: 1e6,
        }],
        None,
        3100,
    );
    assert_eq!(old.estimate.to_bits(), 0.5_f64.to_bits());
}

#[test]
fn a_background_run_uses_the_plan() {
    let plan =
        plan("mode: Background\nplan: [{weight: 5, seconds: 600}, {weight: 50, seconds: 600}]");
    assert_eq!(
        plan.steps[1],
        PlanStep {
            weight: 50,
            seconds: 600
        }
    );
    let (status, aborted) = simulate(
        &plan,
        &mut service(1, [5.0, 95.0], same_everywhere(0.01, 1.0)),
        40,
    );
    assert_eq!(aborted, None);
    let smallest = status.sampler.unwrap().harm_from;
    let deltas = effects::from_smallest(smallest).deltas;
    assert!(
        deltas.len() >= 6 && smallest > 0.1 && smallest < 1.0,
        "{deltas:?}"
    );
}
