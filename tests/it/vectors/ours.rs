//! The kinds of vectors that Tidegate's own methods answer.

use std::collections::BTreeMap;

use tidegate::analysis::dispersion::{self, History};
use tidegate::analysis::exact::{Look, bounds};
use tidegate::analysis::level::{Against, Law};
use tidegate::analysis::rho::{Bets, Boost, Window, log_increment};
use tidegate::analysis::series::{Sample, increases};
use tidegate::analysis::{buckets, effects, gauss, holm, interval, posterior};

use super::Answer;
use super::compare::Found;
use super::input::Input;

/// A level that is never reached.
const NEVER: f64 = 1e-300;

/// One field.
fn one(name: &'static str, found: impl Into<Found>) -> Answer {
    Ok(BTreeMap::from([(name, found.into())]))
}

fn windows(i: &Input) -> Result<Vec<Window>, String> {
    let rows = i.tuples("windows_nc_xc_ns_xs")?.into_iter();
    Ok(rows
        .map(|[nc, xc, ns, xs]| Window { nc, xc, ns, xs })
        .collect())
}

pub fn rho_log_increment(i: &Input) -> Answer {
    let window = Window {
        nc: i.number("nc")?,
        xc: i.number("xc")?,
        ns: i.number("ns")?,
        xs: i.number("xs")?,
    };
    let r0 = i.number("r0")?;
    let delta = (i.number("r")? / r0).ln();
    one("log_e", log_increment(&window, r0, delta))
}

pub fn rho_process(i: &Input) -> Answer {
    let (deltas, weights) = (i.numbers("deltas")?, i.numbers("weights")?);
    let (alpha, r0, phi) = (
        i.number("alpha")?,
        i.number("r0")?,
        i.number_or("phi", 1.0)?,
    );
    let bets = Bets {
        deltas: &deltas,
        weights: &weights,
        alpha,
    };
    let boost = if i.flag_or("boost", false) {
        Boost::On
    } else {
        Boost::Off
    };
    let decides = |e: f64| e >= 1.0 / alpha * (1.0 - 1e-12);
    let mut state = bets.begin();
    let mut e = Vec::new();
    for (window, gamma) in windows(i)?.iter().zip(i.numbers("gammas")?) {
        e.push(bets.step(&mut state, gamma, window, r0, phi, boost));
        if e.last().is_some_and(|e| decides(*e)) {
            break;
        }
    }
    let stopped = e.iter().position(|e| decides(*e));
    Ok(BTreeMap::from([
        ("e_last", e.last().copied().into()),
        ("n_evaluated", (e.len() as f64).into()),
        (
            "e_first5",
            e.iter().take(5).copied().collect::<Vec<_>>().into(),
        ),
        ("stop_index", stopped.map(|k| k as f64).into()),
    ]))
}

pub fn grid_for(i: &Input) -> Answer {
    let plan: Vec<(f64, f64)> = i
        .tuples("plan_requests_kappa")?
        .into_iter()
        .map(|[requests, kappa]| (requests, kappa))
        .collect();
    let grid = effects::grid_for(&plan, i.number("p")?, i.number("alpha")?);
    Ok(BTreeMap::from([
        ("deltas", grid.deltas.into()),
        ("weights", grid.weights.into()),
    ]))
}

/// Requests to stable for each to the new version.
fn kappa(i: &Input) -> Result<f64, String> {
    let weight = i.number("weight")?;
    Ok((1.0 - weight) / weight)
}

pub fn wald_seconds(i: &Input) -> Answer {
    let (alpha, p, r) = (i.number("alpha")?, i.number("p")?, i.number("r")?);
    let requests = effects::wald_requests(alpha, p, kappa(i)?, r, i.number_or("r0", 1.0)?);
    let per_second = i.number("rps")? * i.number("weight")?;
    let seconds = i.number_or("phi", 1.0)? * requests / per_second;
    Ok(BTreeMap::from([
        ("seconds", seconds.into()),
        ("requests", requests.into()),
    ]))
}

pub fn mde_ratio(i: &Input) -> Answer {
    let requests = i.number("rps")? * i.number("weight")? * i.number("seconds")?;
    let (alpha, p, mult) = (i.number("alpha")?, i.number("p")?, i.number("mult")?);
    one(
        "r",
        effects::smallest_shown(alpha, p, kappa(i)?, requests, mult),
    )
}

pub fn ratio_cs(i: &Input) -> Answer {
    let mut likelihood = Vec::new();
    for window in windows(i)? {
        interval::add(&mut likelihood, &window, i.number_or("phi", 1.0)?);
    }
    let found = interval::interval(&likelihood, i.number("alpha")?);
    Ok(BTreeMap::from([
        ("lower", found.map(|f| f.lower).into()),
        ("mle", found.map(|f| f.most_likely).into()),
        ("upper", found.map(|f| f.upper).into()),
    ]))
}

pub fn slo_process(i: &Input) -> Answer {
    let (deltas, weights) = (i.numbers("deltas")?, i.numbers("weights")?);
    let bets = Bets {
        deltas: &deltas,
        weights: &weights,
        alpha: NEVER,
    };
    let mut state = bets.begin();
    let against = Against {
        level: i.number("p0")?,
        law: Law::Bernoulli,
        phi: 1.0,
    };
    let mut e = Vec::new();
    for (k, [n, x]) in i.tuples("windows_n_x")?.into_iter().enumerate() {
        let gamma = if k == 0 { 1.0 } else { 0.0 };
        e.push(bets.step_level(&mut state, gamma, n, x, against));
    }
    one("e", e)
}

pub fn raw_delta(i: &Input) -> Answer {
    let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
    let samples: Vec<Sample> = i
        .tuples("samples")?
        .into_iter()
        .map(|[at, value]| Sample {
            at_ms: millis(at),
            value,
        })
        .collect();
    let within = millis(i.number("t0")?) + 1..=millis(i.number("t1")?);
    let all = increases(&samples, i.flag_or("target_existed_before", false));
    let inside = all.filter(|(at, ..)| within.contains(at));
    one(
        "delta",
        inside.map(|(_, increase, _)| increase).sum::<f64>(),
    )
}

pub fn scale_rho(i: &Input) -> Answer {
    let (reference, les) = (i.numbers("ref_probs")?, i.numbers("les")?);
    one(
        "rho",
        buckets::scale_rho(&reference, &les, i.number("scale")?),
    )
}

pub fn bucket_log_increment(i: &Input) -> Answer {
    let (canary, stable) = (i.numbers("canary")?, i.numbers("stable")?);
    let rho = i.numbers("rho")?;
    let rho0 = match i.get("rho0") {
        Some(_) => i.numbers("rho0")?,
        None => vec![1.0; rho.len()],
    };
    one(
        "log_e",
        buckets::log_increment(&canary, &stable, &rho, &rho0),
    )
}

pub fn histogram_quantile(i: &Input) -> Answer {
    let (les, cumulative) = (i.numbers("les")?, i.numbers("cumulative")?);
    one(
        "value",
        buckets::histogram_quantile(i.number("q")?, &les, &cumulative),
    )
}

pub fn gauss_process(i: &Input) -> Answer {
    let (deltas, weights) = (i.numbers("deltas")?, i.numbers("weights")?);
    let bets = Bets {
        deltas: &deltas,
        weights: &weights,
        alpha: NEVER,
    };
    let mut state = bets.begin();
    let (variance, margin) = (i.number("long_run_var")?, i.number_or("margin", 0.0)?);
    let windows = i.numbers("d")?.into_iter().zip(i.numbers("gammas")?);
    let each = windows.map(|(d, gamma)| bets.step_gauge(&mut state, gamma, d, variance, margin));
    one("e", each.collect::<Vec<_>>())
}

pub fn t_log_bf(i: &Input) -> Answer {
    one(
        "log_e",
        gauss::t_log_bf(&i.numbers("z")?, i.number_or("g", 1.0)?),
    )
}

pub fn dispersion(i: &Input) -> Answer {
    let (events, requests) = (i.rows("x")?, i.rows("n")?);
    let history = History {
        events: &events,
        requests: &requests,
    };
    let scales: Vec<usize> = match i.get("scales") {
        Some(_) => i.numbers("scales")?.iter().map(|b| *b as usize).collect(),
        None => dispersion::SCALES.to_vec(),
    };
    let cv2: Vec<f64> = scales.iter().map(|b| history.cv2(*b)).collect();
    let expected = i.number("canary_errs_per_pod_window")?;
    Ok(BTreeMap::from([
        ("cv2", cv2.into()),
        ("phi", history.phi(&scales, expected).into()),
        ("tau", history.tau().into()),
    ]))
}

pub fn e_holm(i: &Input) -> Answer {
    let e = i.numbers("e")?;
    Ok(BTreeMap::from([
        ("adjusted", holm::e_holm(&e).into()),
        ("mean", holm::merged(&e).into()),
    ]))
}

pub fn posterior_bad(i: &Input) -> Answer {
    one("p", posterior::bad(i.number("e")?, i.number("prior_bad")?))
}

pub fn exact_conditional_bounds(i: &Input) -> Answer {
    let (events, chances) = (i.numbers("m")?, i.numbers("pi")?);
    let each = events
        .iter()
        .zip(&chances)
        .zip(i.numbers("cumulative_alpha")?);
    let looks: Vec<Look> = each
        .map(|((events, chance), spent)| Look {
            events: *events,
            chance: *chance,
            spent,
        })
        .collect();
    let found = bounds(&looks).into_iter().map(|c| c as f64);
    one("c", found.collect::<Vec<_>>())
}
