//! How much the stable pods' latencies differ: each pod in turn is held against the others, bet by
//! bet, as if it were a new version (statistics, section 2f).

use std::collections::BTreeMap;

use super::super::calibration::{Past, Pods, begun};
use crate::analysis::dictionary::{Dictionary, dictionary};
use crate::analysis::dispersion::{History, SCALES};
use crate::analysis::series::Series;
use crate::api::analysis_status::{Calibration, Origin, Sampler};

/// Each pod's requests in each bucket, moment by moment.
type Buckets = BTreeMap<String, Vec<Vec<f64>>>;

/// Takes the stable version's past: what its latencies were is the reference that bets are made of,
/// how its pods differ is by what they are tempered.
pub(in super::super) fn calibrate(
    selected: &[Vec<Series>],
    past: &Past,
    blocks: i64,
    tolerated: f64,
    s: &mut Sampler,
) -> Calibration {
    let [all] = selected else {
        return Calibration::default();
    };
    let mut pods = by_bucket(all, past, &s.bounds);
    let first = |pod: &Vec<Vec<f64>>| pod.iter().position(|buckets| !buckets.is_empty());
    let from = pods.values().filter_map(first).min().unwrap_or(0);
    for pod in pods.values_mut() {
        pod.drain(..from.min(pod.len()));
    }
    let mut totals = vec![0.0; s.bounds.len() + 1];
    for pod in pods.values().flatten() {
        for (total, n) in totals.iter_mut().zip(pod) {
            *total += n;
        }
    }
    let requests = Pods {
        of: pods
            .iter()
            .map(|(pod, moments)| {
                let sum = |m: &Vec<f64>| {
                    if m.is_empty() {
                        f64::NAN
                    } else {
                        m.iter().sum()
                    }
                };
                (pod.clone(), moments.iter().map(sum).collect())
            })
            .collect(),
    };
    let mut found = begun(&requests, past);
    if found.origin == Origin::None {
        return found;
    }
    s.reference.clone_from(&totals);
    let Some(dictionary) = dictionary(&totals, &s.bounds, tolerated) else {
        found.origin = Origin::None;
        "the stable version had no requests".clone_into(&mut found.why);
        return found;
    };
    if found.origin == Origin::Stable {
        // One target alone: nothing can be told of pods, and of the whole the buckets' own noise
        // cannot be told from drift.
        found.origin = Origin::None;
        return found;
    }
    found.dispersion = dispersions(&pods, &dictionary, blocks);
    found.tau = of_means(&pods, &s.bounds, &requests);
    found
}

fn by_bucket(series: &[Series], past: &Past, bounds: &[f64]) -> Buckets {
    let mut pods: Buckets = BTreeMap::new();
    for (bucket, bound) in bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
        let of_bound = |s: &&Series| {
            let le = s.labels.get("le").unwrap_or_default();
            let le = if le == "+Inf" {
                Some(f64::INFINITY)
            } else {
                le.parse().ok()
            };
            le == Some(bound)
        };
        let of_bound: Vec<Series> = series.iter().filter(of_bound).cloned().collect();
        for (pod, moments) in Pods::increases(&of_bound, past).of {
            let pod = pods
                .entry(pod)
                .or_insert_with(|| vec![Vec::new(); moments.len()]);
            for (buckets, n) in pod.iter_mut().zip(moments) {
                // Cumulative: what was below the bound before is in an earlier bucket.
                if !n.is_nan() && buckets.len() == bucket {
                    let below: f64 = buckets.iter().sum();
                    buckets.push((n - below).max(0.0));
                }
            }
        }
    }
    let whole = bounds.len() + 1;
    for buckets in pods.values_mut().flatten() {
        if buckets.len() < whole {
            buckets.clear();
        }
    }
    pods
}

/// For each bet: by how much its score varies between pods beyond chance, for each request of a pod
/// in a window; of the block length that has most of it.
fn dispersions(pods: &Buckets, dictionary: &Dictionary, blocks: i64) -> Vec<f64> {
    let logs: Vec<Vec<f64>> = dictionary
        .elements
        .iter()
        .map(|e| {
            let both = e.rho.iter().zip(&e.rho0);
            both.map(|(rho, rho0)| (rho / rho0).ln()).collect()
        })
        .collect();
    let moments = pods.values().map(Vec::len).max().unwrap_or(0);
    let mut largest = vec![0.0_f64; logs.len()];
    let mut scales: Vec<usize> = SCALES
        .iter()
        .map(|b| b.div_ceil(usize::try_from(blocks).unwrap_or(1).max(1)))
        .collect();
    scales.dedup();
    for scale in scales {
        let mut seen = vec![0.0; logs.len()];
        let mut by_chance = vec![0.0; logs.len()];
        let (mut requests, mut counted) = (0.0, 0.0);
        for block in 0..moments / scale {
            let sums: Vec<Vec<f64>> = pods
                .values()
                .map(|pod| total(pod.iter().skip(block * scale).take(scale)))
                .collect();
            let all = total(sums.iter());
            let whole: f64 = all.iter().sum();
            // Of all pods together: the sums of each bet's scores, and of what chance makes of them.
            let together: Vec<(f64, f64)> = logs
                .iter()
                .map(|log| {
                    let scores = all.iter().zip(log);
                    let (sum, squares) = scores.fold((0.0, 0.0), |(sum, squares), (m, log)| {
                        (sum + m * log, squares + m * log * log)
                    });
                    (sum, (squares - sum * sum / whole).max(0.0))
                })
                .collect();
            for pod in &sums {
                let own: f64 = pod.iter().sum();
                let pi = own / whole;
                if !(own > 0.0 && pi < 1.0) {
                    continue;
                }
                requests += own;
                counted += 1.0;
                let of_bets = logs.iter().zip(&together);
                for ((log, (all, varies)), (seen, by_chance)) in
                    of_bets.zip(seen.iter_mut().zip(&mut by_chance))
                {
                    let own: f64 = pod.iter().zip(log).map(|(x, log)| x * log).sum();
                    *seen += (own - pi * all).powi(2);
                    // The pod's number of requests is given: only what differs from the mean varies.
                    *by_chance += pi * (1.0 - pi) * varies;
                }
            }
        }
        if counted < 4.0 {
            continue;
        }
        let each = requests / counted;
        // `each` requests of a pod in a block make for this much beyond chance; what is kept is for
        // one request of a pod in a window, and grows with the block as equation 7 has it.
        for (largest, (seen, by_chance)) in largest.iter_mut().zip(seen.iter().zip(&by_chance)) {
            if *by_chance > 0.0 {
                let beyond = (seen / by_chance - 1.0).max(0.0) / each;
                let windows = (scale as i64 * blocks) as f64;
                *largest = largest.max(beyond * windows);
            }
        }
    }
    largest
}

fn total<'a>(parts: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut total: Vec<f64> = Vec::new();
    for part in parts {
        super::sum(&mut total, part);
    }
    total
}

/// By how much pods' mean latencies persistently differ; a bucket's requests are taken for as slow as
/// its upper bound.
fn of_means(pods: &Buckets, bounds: &[f64], requests: &Pods) -> f64 {
    let last = bounds.last().copied().unwrap_or(1.0);
    let weigh = |buckets: &Vec<f64>| -> f64 {
        let seconds = bounds.iter().copied().chain([2.0 * last]);
        buckets.iter().zip(seconds).map(|(n, s)| n * s).sum()
    };
    let slow: Vec<Vec<f64>> = pods
        .values()
        .map(|pod| pod.iter().map(weigh).collect())
        .collect();
    History {
        events: &slow,
        requests: &requests.numbers(),
    }
    .tau()
}
