//! What tests against services whose truth is known have in common. Ratios are in `aborts` and `passes`,
//! the other kinds in `kinds`.

mod aborts;
mod kinds;
mod native;
mod one_look;
mod passes;

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
