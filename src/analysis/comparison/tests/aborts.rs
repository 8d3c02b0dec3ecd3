//! Versions that are harmful, and those that are not: who is aborted, how soon, and how often wrongly.

use super::*;

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
