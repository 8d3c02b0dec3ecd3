//! What is counted, held against what was truly served.
//!
//! A real Prometheus scrapes targets that know the truth, through a restart, a missed scrape, a late
//! one, and series of errors that are born in mid-run. The rule that an AnalysisRun's counts are held
//! to is exact: everything that was served since its start is counted once, but for what a target
//! served after the last scrape before its restart, which nobody can know. What is judged is the same
//! without the time before the first window of the grid after the warm-up, and without what a target
//! served while it was young.

use super::super::served::{BOUNDS, Counts, Fault, SCRAPE_S, Served};
use super::super::table::Bench;
use jiff::Timestamp;
use kube::Api;
use serde_json::json;
use std::time::Duration;
use tidegate::api::analysis::AnalysisRun;
use tidegate::api::analysis_status::{Comparison, Counts as Counted, Verdict};
use tidegate_lab::wait;

/// A target's name begins with the hash of its version.
const CANARY: &str = "c-0";
const STABLE: [&str; 2] = ["s-0", "s-1"];
/// The job whose histograms are classic, and the one whose are native.
const JOBS: [&str; 2] = ["classic", "native"];
/// Windows that are judged, in seconds: 15 in whole scrapes.
const WINDOW_S: i64 = 16;
/// Seconds for which a target is young.
const WARMUP_S: i64 = 10;

/// What a target's requests count as.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    /// Since the start of the run.
    all: Counts,
    /// Since the first window, and while it was not young.
    judged: Counts,
}

/// What has happened, by the clock.
struct Story<'a> {
    served: &'a Served,
    start: i64,
    canary: Truth,
    stable: Truth,
}

impl Story<'_> {
    /// Every target serves from now until so many seconds after the start; of a hundred requests
    /// `bad` are bad. Whether the canary's and stable's are judged.
    async fn serves(&mut self, until: i64, bad: u64, judged: [bool; 2]) {
        while self.now_ms() < until * 1000 {
            self.serve(bad, judged);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Every target serves a few requests at once.
    fn serve(&mut self, bad: u64, judged: [bool; 2]) {
        for name in [CANARY].iter().chain(&STABLE) {
            let served = self.served.serve(name, 20, bad * 20 / 100);
            let (truth, judged) = if *name == CANARY {
                (&mut self.canary, judged[0])
            } else {
                (&mut self.stable, judged[1])
            };
            truth.all.add(&served);
            if judged {
                truth.judged.add(&served);
            }
        }
    }

    /// Nobody serves anything until so many seconds after the start: whatever is scraped in this
    /// time says the same, so that it does not matter at which moment a window ends.
    async fn rests(&self, until: i64) {
        let left = u64::try_from(until * 1000 - self.now_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left)).await;
    }

    fn now_ms(&self) -> i64 {
        Timestamp::now().as_millisecond() - self.start * 1000
    }
}

/// Counts of a real Prometheus' samples are those of what was served.
pub async fn served_and_counted(bench: Bench) {
    let served = Served::start(&[CANARY, STABLE[0], STABLE[1]], &JOBS).await;
    let to_native = json!({"convert_classic_histograms_to_nhcb": true});
    let config = json!({
        "global": {"scrape_interval": format!("{SCRAPE_S}s")},
        "scrape_configs": [
            served.scrape_config(JOBS[0], &json!({})),
            served.scrape_config(JOBS[1], &to_native),
        ],
    });
    let prometheus = bench.lab.prometheus_of(&bench.namespace, &config).await;
    wait::until("every target has been scraped", async || {
        served.all_is_seen().then_some(())
    })
    .await;
    // A start on the grid of windows, so that it is known where they lie.
    let start = Timestamp::now().as_second();
    let start = (start / WINDOW_S + 1) * WINDOW_S;
    bench.lab.apply(&bench.namespace, &run(&bench, start)).await;

    let mut story = Story {
        served: &served,
        start,
        canary: Truth::default(),
        stable: Truth::default(),
    };
    story.rests(2).await;
    // Before the first window: counted, and not judged.
    story.serves(9, 0, [false; 2]).await;
    story.rests(WINDOW_S + 2).await;
    story.serves(WINDOW_S + 10, 5, [true; 2]).await;
    // The last requests before it are lost, those after it are of a young target. Its series of errors
    // is born again when the counter of the others has long been there.
    story.serve(5, [true; 2]);
    served.restart(CANARY);
    served.fault(CANARY, &[Fault::Missed]);
    story.serves(WINDOW_S + 13, 0, [false, true]).await;
    story.rests(WINDOW_S + 10 + WARMUP_S + 8).await;
    served.fault(STABLE[0], &[Fault::Late, Fault::Missed, Fault::Late]);
    served.fault(CANARY, &[Fault::Late, Fault::Missed, Fault::Missed]);
    story.serves(3 * WINDOW_S + 2, 20, [true; 2]).await;
    story.serves(4 * WINDOW_S - 6, 5, [true; 2]).await;
    wait::until("everything has been scraped", async || {
        served.all_is_seen().then_some(())
    })
    .await;

    let done = (Timestamp::now().as_second() / WINDOW_S + 1) * WINDOW_S;
    let metrics = wait::until_ok("the windows have been judged", async || {
        let run = Api::<AnalysisRun>::namespaced(bench.lab.client.clone(), &bench.namespace);
        let status = run.get("counted").await.unwrap().status.unwrap_or_default();
        let judged = |c: &Comparison| {
            let s = c.sampler.as_ref();
            s.is_some_and(|s| s.cursor >= done && s.gross_cursor >= done)
        };
        let mut comparisons = status.metrics.iter().filter_map(|m| m.comparison.as_ref());
        if status.metrics.len() == 3 && comparisons.all(judged) {
            Ok(status.metrics)
        } else {
            let said = |m: &tidegate::api::analysis_status::MetricStatus| {
                (m.name.clone(), m.verdict, m.message.clone())
            };
            Err(status.metrics.iter().map(said).collect::<Vec<_>>())
        }
    })
    .await;
    drop(prometheus);

    for metric in &metrics {
        assert!(
            !matches!(metric.verdict, Verdict::SourceError | Verdict::Fail),
            "{}: {}",
            metric.name,
            metric.message
        );
        let job = if metric.name == "native" {
            JOBS[1]
        } else {
            JOBS[0]
        };
        let lost = served.lost(CANARY, job);
        assert!(
            lost.requests() > 0,
            "nothing was lost: the rule was not tried"
        );
        let known = |truth: &Counts, lost: &Counts| {
            let mut known = *truth;
            known.take_away(lost);
            known
        };
        let none = Counts::default();
        let found = metric.comparison.as_ref().unwrap();
        let sampler = found.sampler.as_ref().unwrap();
        assert_eq!(
            [
                sampler.scrape_seconds,
                sampler.window_seconds,
                sampler.first - start
            ],
            [SCRAPE_S as i64, WINDOW_S, WINDOW_S],
        );
        let rows = [
            (
                "new, all",
                &found.canary_all,
                known(&story.canary.all, &lost),
            ),
            (
                "new, judged",
                &found.canary,
                known(&story.canary.judged, &lost),
            ),
            (
                "stable, all",
                &found.stable_all,
                known(&story.stable.all, &none),
            ),
            (
                "stable, judged",
                &found.stable,
                known(&story.stable.judged, &none),
            ),
        ];
        for (what, counted, truth) in &rows {
            is_counted(&metric.name, what, counted, truth);
        }
        if metric.kind == "histogram" {
            assert_eq!(sampler.bounds, BOUNDS, "{}", metric.name);
            assert_eq!(sampler.histogram_buckets > 0, metric.name == "native");
            for (counted, (what, _, truth)) in [
                (&sampler.canary_buckets, &rows[1]),
                (&sampler.stable_buckets, &rows[3]),
            ] {
                let counted: Vec<u64> = counted.iter().map(|n| *n as u64).collect();
                assert_eq!(counted, truth.buckets, "{}: buckets, {what}", metric.name);
            }
        }
    }
    bench.note(format!(
        "{} requests counted, {} unknowable",
        story.canary.all.requests() + story.stable.all.requests(),
        served.lost(CANARY, JOBS[0]).requests(),
    ));
}

fn is_counted(metric: &str, what: &str, counted: &Counted, truth: &Counts) {
    let whole = |n: f64| n.round() as u64;
    assert_eq!(
        whole(counted.requests),
        truth.requests(),
        "{metric}: requests, {what}"
    );
    if metric == "errors" {
        assert_eq!(whole(counted.bad), truth.bad, "{metric}: bad ones, {what}");
    }
}

/// A run of its own, which only watches.
fn run(bench: &Bench, start: i64) -> String {
    let start = Timestamp::from_second(start).unwrap();
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: AnalysisRun
metadata: {{name: counted}}
spec:
  provider: {}
  canaryHash: c
  stableHash: s
  startAt: {start}
  warmup: {{duration: {WARMUP_S}s}}
  metrics:
  - name: errors
    ratio:
      bad: http_requests_total{{job=\"classic\",code=~\"5..\",$(arm)}}
      total: http_requests_total{{job=\"classic\",$(arm)}}
  - name: classic
    histogram: {{buckets: 'latency_seconds_bucket{{job=\"classic\",$(arm)}}'}}
  - name: native
    histogram: {{buckets: 'latency_seconds{{job=\"native\",$(arm)}}'}}
  promote: {{minBake: 10m, maxDuration: 20m}}
",
        bench.namespace
    )
}
