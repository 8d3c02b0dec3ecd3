//! The load against servers that stand still or never answer, and what its report counts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Connection, Exchange, Load, Outcome, Report, Rhythm};

fn answered(status: u16, version: &str) -> Outcome {
    Outcome::Answered {
        status,
        version: Some(version.to_owned()),
    }
}

#[test]
fn requests_are_evenly_spread_over_time_and_connections() {
    let rhythm = Rhythm {
        rate: 250.0,
        fresh: 0.1,
    };
    assert_eq!(rhythm.due(0), Duration::ZERO);
    assert_eq!(rhythm.due(1), Duration::from_millis(4));
    assert_eq!(rhythm.due(250_000), Duration::from_secs(1000));
    for (fresh, expected) in [(0.0, 0), (0.1, 100), (0.25, 250), (1.0, 1000)] {
        let rhythm = Rhythm { rate: 1.0, fresh };
        let fresh = (0..1000).filter(|n| rhythm.connection(*n) == Connection::Fresh);
        assert_eq!(fresh.count(), expected);
    }
    let fresh = (0..40).filter(|n| rhythm.connection(*n) == Connection::Fresh);
    assert_eq!(fresh.collect::<Vec<_>>(), [9, 19, 29, 39]);
}

/// Answers at once, but for one second in which it answers nobody.
struct StandsStill {
    began: Instant,
}

impl Exchange for StandsStill {
    async fn send(&self, _: Connection) -> Outcome {
        let second = Duration::from_secs(1);
        if (second * 10..second * 11).contains(&self.began.elapsed()) {
            tokio::time::sleep_until(self.began + second * 11).await;
        }
        answered(200, "v1")
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stands_still_is_charged_for_all_who_would_have_come() {
    let began = Instant::now();
    let rhythm = Rhythm {
        rate: 100.0,
        fresh: 0.0,
    };
    let load = Load::start(rhythm, StandsStill { began });
    tokio::time::sleep(Duration::from_millis(19_995)).await;
    let report = load.end().await;
    assert_eq!(
        (report.requests, report.lost, report.not_sent),
        (2000, 0, 0)
    );
    // 100 of 2000 were due while it stood still, and waited for 0 to 1 s.
    let at = |share: f64| report.latency.quantile_ms(share);
    assert!(at(0.94) < 20.0, "{}", at(0.94));
    assert!((450.0..=550.0).contains(&at(0.975)), "{}", at(0.975));
    assert!((950.0..=1010.0).contains(&at(1.0)), "{}", at(1.0));
}

/// Never answers.
struct Silent;

impl Exchange for Silent {
    async fn send(&self, _: Connection) -> Outcome {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Outcome::Failed {
            cause: "no answer".to_owned(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_stops_nothing_and_is_waited_for() {
    let rhythm = Rhythm {
        rate: 500.0,
        fresh: 0.0,
    };
    let load = Load::start(rhythm, Silent);
    tokio::time::sleep(Duration::from_millis(49_999)).await;
    let report = load.end().await;
    // 20,000 may be under way; what was beyond is the load's own want, not a loss.
    assert_eq!((report.requests, report.lost), (20_000, 20_000));
    assert_eq!((report.not_sent, report.failures.len()), (5_000, 10_000));
}

#[test]
fn every_request_is_answered_bad_or_lost() {
    let began: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut report = Report::begin(began, 1.0);
    let rows = [
        (0, answered(200, "v1")),
        (1, answered(404, "v1")),
        (2, answered(200, "v2")),
        (12, answered(503, "v2")),
        (11, answered(500, "v2")),
        (
            13,
            Outcome::Answered {
                status: 502,
                version: None,
            },
        ),
        (
            13,
            Outcome::Failed {
                cause: "connection refused".to_owned(),
            },
        ),
    ];
    let at = |seconds| began + jiff::SignedDuration::from_secs(seconds);
    for (seconds, outcome) in rows {
        report.add(
            at(seconds),
            Connection::Kept,
            Duration::from_millis(7),
            outcome,
        );
    }
    assert_eq!((report.requests, report.lost, report.bad), (7, 2, 2));
    assert_eq!(
        (report.first_bad, report.last_bad),
        (Some(at(11)), Some(at(12)))
    );
    let [of_v1, of_v2] = ["v1", "v2"].map(|version| report.versions[version].counts);
    assert_eq!((of_v1.answers, of_v1.bad), (2, 0));
    assert_eq!((of_v2.answers, of_v2.bad), (3, 2));
    let causes: Vec<_> = report
        .failures
        .iter()
        .map(|f| (f.status, f.cause.as_str()))
        .collect();
    assert_eq!(
        causes,
        [
            (Some(502), "an answer that no version gave"),
            (None, "connection refused")
        ]
    );
    let seconds: Vec<i64> = report
        .seconds
        .iter()
        .map(|s| s.at - began.as_second())
        .collect();
    assert_eq!(seconds, [0, 1, 2, 11, 12, 13]);

    let share = |from: i64, before: i64| {
        let base = began.as_second();
        report.share("v2", base + from, base + before)
    };
    assert_eq!(share(0, 2), Some(0.0));
    assert_eq!(share(1, 12), Some(200.0 / 3.0));
    assert_eq!(share(13, 14), None);

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["versions"]["v2"]["bad"], 2);
    assert_eq!(json["latency"]["p99"], 7.003);
}
