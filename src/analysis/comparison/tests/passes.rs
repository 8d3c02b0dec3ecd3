//! Who passes and when, what is forecast, and what is no verdict at all.

use super::*;

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
