//! The statistics against reference values (tests/data/statistics-vectors.json): every kind that is
//! built is checked, and the kinds that are not are listed, so that the list must shrink.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidegate::analysis::interval;
use tidegate::analysis::rho::{Bets, Boost, Window, log_increment};
use tidegate::analysis::series::{Sample, increases};
use tidegate::analysis::{effects, level};

/// Kinds without code yet. Whoever writes the code takes its kind out.
const NOT_BUILT: [&str; 29] = [
    "bernoulli_cs",
    "beta_binomial_log_mixture",
    "binom_test",
    "bucket_log_increment",
    "dirichlet_multinomial_log_bf",
    "dispersion",
    "e_holm",
    "exact_conditional_bounds",
    "fisher_exact",
    "flagger_threshold",
    "gauss_process",
    "histogram_quantile",
    "kayenta_classify",
    "kayenta_mw_ci",
    "kayenta_score",
    "mann_whitney_u",
    "noncentral_hypergeom_pmf",
    "normal_log_mixture",
    "normal_mixture_bound",
    "percentile_r7",
    "pipecd_mann_whitney",
    "poisson_conditional_p",
    "poly_stitching_bound",
    "posterior_bad",
    "prom_increase",
    "scale_rho",
    "t_log_bf",
    "turner_beta_evalue",
    "argo_failure_limit",
];

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number: {value}"))
}

/// Compares what was computed with what is expected, by the vector's own tolerances.
fn compare(vector: &Value, ours: &BTreeMap<&str, Vec<f64>>) {
    let id = &vector["id"];
    let expect = vector["expect"].as_object().unwrap();
    let names: BTreeSet<&str> = expect.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ours.keys().copied().collect(),
        "{id}: what is compared"
    );
    for (name, expected) in expect {
        let expected = match expected {
            Value::Array(_) => numbers(expected),
            Value::Null => vec![],
            other => vec![number(other)],
        };
        let found = &ours[name.as_str()];
        assert_eq!(
            found.len(),
            expected.len(),
            "{id} {name}: {found:?} {expected:?}"
        );
        for (found, expected) in found.iter().zip(&expected) {
            let tolerance = match &vector["tol"] {
                Value::Null => 0.0,
                tol if tol.get(name).is_some() => number(&tol[name]),
                tol => number(&tol["rel"]) * expected.abs(),
            };
            let off = (found - expected).abs();
            assert!(
                off <= tolerance,
                "{id} {name}: {found} for {expected}, off by {off:e}"
            );
        }
    }
}

fn windows(input: &Value) -> Vec<Window> {
    input["windows_nc_xc_ns_xs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| {
            let n = numbers(w);
            Window {
                nc: n[0],
                xc: n[1],
                ns: n[2],
                xs: n[3],
            }
        })
        .collect()
}

fn rho_log_increment(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let n = |name: &str| number(&i[name]);
    let window = Window {
        nc: n("nc"),
        xc: n("xc"),
        ns: n("ns"),
        xs: n("xs"),
    };
    BTreeMap::from([(
        "log_e",
        vec![log_increment(&window, n("r0"), (n("r") / n("r0")).ln())],
    )])
}

fn rho_process(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let (deltas, weights) = (numbers(&i["deltas"]), numbers(&i["weights"]));
    let alpha = number(&i["alpha"]);
    let bets = Bets {
        deltas: &deltas,
        weights: &weights,
        alpha,
    };
    let boost = if i["boost"].as_bool().unwrap() {
        Boost::On
    } else {
        Boost::Off
    };
    let mut state = bets.begin();
    let mut found = Vec::new();
    for (window, gamma) in windows(i).iter().zip(numbers(&i["gammas"])) {
        let (r0, phi) = (number(&i["r0"]), number(&i["phi"]));
        found.push(bets.step(&mut state, gamma, window, r0, phi, boost));
        if found.last().unwrap() >= &(1.0 / alpha * (1.0 - 1e-12)) {
            break;
        }
    }
    let stopped = found.last().unwrap() >= &(1.0 / alpha * (1.0 - 1e-12));
    let count = |n: usize| f64::from(u32::try_from(n).unwrap());
    BTreeMap::from([
        ("e_last", vec![*found.last().unwrap()]),
        ("n_evaluated", vec![count(found.len())]),
        ("e_first5", found[..found.len().min(5)].to_vec()),
        (
            "stop_index",
            if stopped {
                vec![count(found.len() - 1)]
            } else {
                vec![]
            },
        ),
    ])
}

fn grid_for(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let plan: Vec<(f64, f64)> = i["plan_requests_kappa"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (number(&step[0]), number(&step[1])))
        .collect();
    let grid = effects::grid_for(&plan, number(&i["p"]), number(&i["alpha"]));
    BTreeMap::from([("deltas", grid.deltas), ("weights", grid.weights)])
}

fn wald_seconds(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let n = |name: &str| number(&i[name]);
    let kappa = (1.0 - n("weight")) / n("weight");
    let requests = effects::wald_requests(n("alpha"), n("p"), kappa, n("r"), n("r0"));
    let seconds = n("phi") * requests / (n("rps") * n("weight"));
    BTreeMap::from([("seconds", vec![seconds]), ("requests", vec![requests])])
}

fn mde_ratio(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let n = |name: &str| number(&i[name]);
    let kappa = (1.0 - n("weight")) / n("weight");
    let requests = n("rps") * n("weight") * n("seconds");
    let r = effects::smallest_shown(n("alpha"), n("p"), kappa, requests, n("mult"));
    BTreeMap::from([("r", vec![r])])
}

fn ratio_cs(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let mut likelihood = Vec::new();
    for window in windows(i) {
        interval::add(&mut likelihood, &window, number(&i["phi"]));
    }
    let found = interval::interval(&likelihood, number(&i["alpha"])).unwrap();
    BTreeMap::from([
        ("lower", vec![found.lower]),
        ("mle", vec![found.most_likely]),
        ("upper", vec![found.upper]),
    ])
}

fn slo_process(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let (deltas, weights) = (numbers(&i["deltas"]), numbers(&i["weights"]));
    let bets = Bets {
        deltas: &deltas,
        weights: &weights,
        alpha: 1e-9,
    };
    let mut state = bets.begin();
    let p0 = number(&i["p0"]);
    let against = level::Against {
        level: p0,
        law: level::Law::Bernoulli,
        phi: 1.0,
    };
    let windows = i["windows_n_x"].as_array().unwrap();
    let e = windows.iter().enumerate().map(|(k, w)| {
        let gamma = if k == 0 { 1.0 } else { 0.0 };
        bets.step_level(&mut state, gamma, number(&w[0]), number(&w[1]), against)
    });
    assert!(level::log_increment(10.0, 1.0, p0, 0.5).is_finite());
    BTreeMap::from([("e", e.collect())])
}

fn raw_delta(i: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let millis = |v: &Value| v.as_i64().unwrap() * 1000;
    let samples: Vec<Sample> = i["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| Sample {
            at_ms: millis(&s[0]),
            value: number(&s[1]),
        })
        .collect();
    let within = millis(&i["t0"]) + 1..=millis(&i["t1"]);
    let existed = i["target_existed_before"].as_bool().unwrap();
    let all = increases(&samples, existed).filter(|(at, ..)| within.contains(at));
    BTreeMap::from([("delta", vec![all.map(|(_, increase, _)| increase).sum()])])
}

#[test]
fn every_kind_that_is_built_agrees_with_its_vectors() {
    let text = include_str!("../data/statistics-vectors.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let mut not_built = BTreeSet::new();
    let mut checked = BTreeMap::new();
    for vector in file["vectors"].as_array().unwrap() {
        let input = &vector["input"];
        let kind = vector["kind"].as_str().unwrap();
        let ours = match kind {
            "rho_log_increment" => rho_log_increment(input),
            "rho_process" => rho_process(input),
            "grid_for" => grid_for(input),
            "wald_seconds" => wald_seconds(input),
            "mde_ratio" => mde_ratio(input),
            "ratio_cs" => ratio_cs(input),
            "slo_process" => slo_process(input),
            "raw_delta" => raw_delta(input),
            other => {
                not_built.insert(other);
                continue;
            }
        };
        compare(vector, &ours);
        *checked.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(
        not_built,
        BTreeSet::from(NOT_BUILT),
        "the kinds that are not built"
    );
    assert_eq!(checked.values().sum::<i32>(), 27, "{checked:?}");
}
