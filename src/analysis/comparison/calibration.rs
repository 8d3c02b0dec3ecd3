//! How much the stable version's pods differ among themselves, from their last hours (statistics,
//! section 2f): asked for once, before the first window, and kept in the status. Tests are tempered
//! by what is found; where nothing can be found that is said, and nothing is made up.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::dispersion::{self, History};
use crate::analysis::gauss;
use crate::analysis::native;
use crate::analysis::plan::{ComparisonPlan, Measure, Plan};
use crate::analysis::series::{Series, increases};
use crate::analysis::target::Target;
use crate::api::analysis::Reference;
use crate::api::analysis_status::{Calibration, Origin, Sampler};

use super::latency;

/// So far back it is looked; the time of day and the day of the week are then about the same.
const REACH_S: i64 = 6 * 3600;
/// With less than this nothing is said about pods.
const REACH_MIN_S: i64 = 3600;
/// With less than this nothing is said at all.
const STABLE_MIN_S: i64 = 600;
/// Most numbers that are asked for.
const POINTS_MAX: i64 = 200_000;
/// So many windows may be taken together for that.
const COARSER: [i64; 4] = [1, 2, 4, 8];
/// And at most so many.
const COARSEST: i64 = 16;
/// Errors with fewer events than this in all of the history say nothing about pods.
const EVENTS_MIN: f64 = 20.0;

/// A question about the stable version's past: every selector at the same moments, each target's
/// series together (and each bucket's apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The last moment, in Unix seconds.
    pub until: i64,
    /// How far back, in seconds: a multiple of the step.
    pub reach: i64,
    /// Seconds between moments.
    pub step: i64,
}

/// What is to be asked before the first window can be judged; nothing: it is known, or of no use.
#[must_use]
pub fn wanted(plan: &Plan, compared: &ComparisonPlan, s: &Sampler) -> Option<Past> {
    let compares = compared.level.is_none()
        && !compared.measure.is_looked_at_once()
        && plan.reference == Reference::Stable;
    if !compares || s.scrape_seconds == 0 || s.calibration.is_some() {
        return None;
    }
    let each = match compared.measure {
        // Of native ones every bucket comes, and takes more than a number.
        Measure::Histogram { .. } => (s.bounds.len() as i64 + 1).max(3 * s.histogram_buckets),
        _ => 1,
    };
    let series = s.stable_targets.max(1) * each;
    let points = |times: i64| REACH_S / (s.window_seconds * times) * series;
    let times = COARSER
        .into_iter()
        .find(|times| points(*times) <= POINTS_MAX);
    let step = s.window_seconds * times.unwrap_or(COARSEST);
    let moments = (REACH_S / step).min(POINTS_MAX / series).max(1);
    Some(Past {
        until: plan.start.div_euclid(step) * step,
        reach: moments * step,
        step,
    })
}

/// Takes the answer: for each selector, in the order of the measure, the stable version's series.
pub fn calibrate(
    compared: &ComparisonPlan,
    s: &mut Sampler,
    past: &Past,
    selected: &[Vec<Series>],
) {
    let blocks = past.step / s.window_seconds.max(1);
    let found = match &compared.measure {
        Measure::Gauge { .. } => of_gauge(selected, past, blocks),
        Measure::Histogram { .. } => {
            let selected = native::past(selected, &s.bounds);
            latency::calibrate(&selected, past, blocks, 1.0 + compared.relative, s)
        }
        Measure::Events { requests: None, .. } => of_events(selected, past, blocks),
        Measure::Ratio { .. } | Measure::Events { .. } => of_counts(selected, past, blocks),
    };
    s.calibration = Some(found);
}

/// Goes on without: `why` is what people read.
pub fn without(s: &mut Sampler, why: &str) {
    s.calibration = Some(Calibration {
        why: why.to_owned(),
        ..Calibration::default()
    });
}

/// Each target's increases, or values, moment by moment; NaN where there are none.
pub(super) struct Pods {
    pub of: BTreeMap<String, Vec<f64>>,
}

impl Pods {
    /// Of counters: what each moment adds to the one before.
    pub fn increases(series: &[Series], past: &Past) -> Self {
        Self::read(series, past, |s| {
            let steps = increases(&s.samples, false);
            // The first one has nothing before it.
            steps.skip(1).map(|(at, more, _)| (at, more)).collect()
        })
    }

    /// Of gauges: what they said.
    fn values(series: &[Series], past: &Past) -> Self {
        Self::read(series, past, |s| {
            s.samples.iter().map(|s| (s.at_ms, s.value)).collect()
        })
    }

    fn read(series: &[Series], past: &Past, of: impl Fn(&Series) -> Vec<(i64, f64)>) -> Self {
        let moments = usize::try_from(past.reach / past.step.max(1)).unwrap_or(0);
        let mut pods = BTreeMap::new();
        for one in series {
            let pod = pods
                .entry(Target::of(&one.labels).to_string())
                .or_insert_with(|| vec![f64::NAN; moments]);
            for (at_ms, number) in of(one) {
                let from_end = (past.until * 1000 - at_ms).div_euclid(past.step * 1000);
                let index = usize::try_from(from_end).ok();
                let index = index.and_then(|back| moments.checked_sub(back + 1));
                if let Some(place) = index.and_then(|i| pod.get_mut(i)) {
                    *place = if place.is_nan() {
                        number
                    } else {
                        *place + number
                    };
                }
            }
        }
        Self { of: pods }
    }

    /// The first moment that has something from at least one pod.
    pub fn known_from(&self) -> usize {
        let first = |pod: &Vec<f64>| pod.iter().position(|n| !n.is_nan());
        self.of.values().filter_map(first).min().unwrap_or(0)
    }

    /// Leaves the moments before `from` out.
    pub fn leave_out(&mut self, from: usize) {
        for pod in self.of.values_mut() {
            pod.drain(..from.min(pod.len()));
        }
    }

    /// How many moments have something from at least one pod.
    pub fn moments(&self) -> i64 {
        let mut known = BTreeSet::new();
        for pod in self.of.values() {
            let there = pod.iter().enumerate().filter(|(_, n)| !n.is_nan());
            known.extend(there.map(|(i, _)| i));
        }
        known.len() as i64
    }

    pub fn numbers(&self) -> Vec<Vec<f64>> {
        self.of.values().cloned().collect()
    }
}

/// What there is in the past, before anything is made of it.
pub(super) fn begun(pods: &Pods, past: &Past) -> Calibration {
    let seconds = pods.moments() * past.step;
    let count = pods.of.len();
    let (origin, why) = if seconds < STABLE_MIN_S {
        (
            Origin::None,
            "less than ten minutes of the stable version's past are known",
        )
    } else if count < 2 {
        (
            Origin::Stable,
            "fewer than two stable targets are told apart",
        )
    } else if seconds < REACH_MIN_S {
        (
            Origin::Stable,
            "less than an hour of the stable pods' past is known",
        )
    } else {
        (Origin::Pods, "")
    };
    Calibration {
        origin,
        targets: i32::try_from(count).unwrap_or(i32::MAX),
        seconds,
        why: why.to_owned(),
        ..Calibration::default()
    }
}

fn of_counts(selected: &[Vec<Series>], past: &Past, blocks: i64) -> Calibration {
    let [all, events] = selected else {
        return Calibration::default();
    };
    let mut requests = Pods::increases(all, past);
    let mut events = Pods::increases(events, past);
    let from = requests.known_from();
    requests.leave_out(from);
    events.leave_out(from);
    // A pod without a single event has no series of them.
    for (pod, n) in &requests.of {
        let x = events
            .of
            .entry(pod.clone())
            .or_insert_with(|| vec![0.0; n.len()]);
        for (x, n) in x.iter_mut().zip(n) {
            *x = if n.is_nan() {
                f64::NAN
            } else {
                f64::max(*x, 0.0)
            };
        }
    }
    events.of.retain(|pod, _| requests.of.contains_key(pod));
    dispersed(&requests, &events, past, blocks)
}

fn of_events(selected: &[Vec<Series>], past: &Past, blocks: i64) -> Calibration {
    let [count] = selected else {
        return Calibration::default();
    };
    let mut events = Pods::increases(count, past);
    events.leave_out(events.known_from());
    let seconds = past.step as f64;
    let mut exposure = Pods {
        of: events.of.clone(),
    };
    for pod in exposure.of.values_mut() {
        for n in pod.iter_mut().filter(|n| !n.is_nan()) {
            *n = seconds;
        }
    }
    dispersed(&exposure, &events, past, blocks)
}

/// Equations 7 and 8 of pods' counts.
pub(super) fn dispersed(requests: &Pods, events: &Pods, past: &Past, blocks: i64) -> Calibration {
    let mut found = begun(requests, past);
    let (n, x) = (requests.numbers(), events.numbers());
    let history = History {
        events: &x,
        requests: &n,
    };
    let known =
        |numbers: &[Vec<f64>]| -> f64 { numbers.iter().flatten().filter(|n| !n.is_nan()).sum() };
    let sum = known(&x);
    (found.requests, found.bad) = (known(&n), sum);
    if sum < EVENTS_MIN && found.origin != Origin::None {
        // Rare events cannot be told from chance, and chance is what the tests reckon with.
        found.origin = Origin::None;
        found.why = format!("only {sum:.0} events in the stable version's past");
    }
    match found.origin {
        Origin::None => {}
        Origin::Stable => {
            found.blocks = vec![1];
            found.phi = history.successive();
        }
        Origin::Pods => {
            let scales = scales(blocks);
            found.blocks = scales.iter().map(|b| *b as i64 * blocks).collect();
            found.cv2 = scales.iter().map(|b| history.cv2(*b)).collect();
            found.tau = history.tau();
        }
    }
    found
}

/// Block lengths in moments of `blocks` windows each.
fn scales(blocks: i64) -> Vec<usize> {
    let blocks = usize::try_from(blocks).unwrap_or(1).max(1);
    let each = dispersion::SCALES.iter().map(|b| b.div_ceil(blocks));
    each.collect::<BTreeSet<usize>>().into_iter().collect()
}

fn of_gauge(selected: &[Vec<Series>], past: &Past, blocks: i64) -> Calibration {
    let [values] = selected else {
        return Calibration::default();
    };
    let mut pods = Pods::values(values, past);
    pods.leave_out(pods.known_from());
    let mut found = begun(&pods, past);
    let logs: Vec<Vec<f64>> = pods
        .of
        .values()
        .map(|pod| pod.iter().map(|v| v.ln()).collect())
        .collect();
    if found.origin != Origin::Pods {
        found.origin = Origin::None;
        return found;
    }
    let Some(variance) = gauss::long_run_variance(&logs, &scales(blocks)) else {
        found.origin = Origin::None;
        "the stable pods' values are not above 0".clone_into(&mut found.why);
        return found;
    };
    found.variance = variance * blocks as f64;
    let ones: Vec<Vec<f64>> = logs.iter().map(|pod| vec![1.0; pod.len()]).collect();
    let numbers = pods.numbers();
    found.tau = History {
        events: &numbers,
        requests: &ones,
    }
    .tau();
    found
}

impl Calibration {
    /// By how much the new version's counts vary more than by chance, where `expected` events are
    /// expected for each of its targets in a window (equation 7).
    #[must_use]
    pub fn phi(&self, expected: f64) -> f64 {
        match self.origin {
            Origin::None => 1.0,
            Origin::Stable => self.phi.max(1.0),
            Origin::Pods => {
                let blocks = self.blocks.iter().map(|b| usize::try_from(*b).unwrap_or(1));
                dispersion::phi(blocks.zip(self.cv2.iter().copied()), expected)
            }
        }
    }

    /// By which factor pods may differ though nothing changed (equation 8).
    #[must_use]
    pub fn margin(&self, canary: usize, stable: usize) -> f64 {
        dispersion::pod_margin(self.tau, canary, stable)
    }
}
