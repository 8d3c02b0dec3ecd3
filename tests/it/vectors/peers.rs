//! The kinds of vectors that methods of others answer.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate::analysis::peers::argo::{Limits, Measurement, Verdict, ends};
use tidegate::analysis::peers::confseq::{self, Sides, Tuned};
use tidegate::analysis::peers::kayenta::{
    Classification, Direction, Effect, Judge, Judged, Missing, Thresholds,
};
use tidegate::analysis::peers::turner::{self, Block};
use tidegate::analysis::peers::{
    Alternative, Method, classical, flagger, kayenta, mann_whitney, multinomial, pipecd, prometheus,
};

use super::Answer;
use super::compare::Found;
use super::input::Input;

fn one(name: &'static str, found: impl Into<Found>) -> Answer {
    Ok(BTreeMap::from([(name, found.into())]))
}

fn alternative(i: &Input) -> Result<Alternative, String> {
    match i.text_or("alternative", "two-sided") {
        "less" => Ok(Alternative::Less),
        "greater" => Ok(Alternative::Greater),
        "two-sided" | "two_sided" => Ok(Alternative::TwoSided),
        other => Err(format!("input alternative: {other:?}")),
    }
}

pub fn mann_whitney_u(i: &Input) -> Answer {
    let method = match i.text_or("method", "auto") {
        "exact" => Method::Exact,
        "asymptotic" => Method::Asymptotic,
        "auto" => Method::Auto,
        other => return Err(format!("input method: {other:?}")),
    };
    let (x, y) = (i.numbers("x")?, i.numbers("y")?);
    let continuity = i.flag_or("continuity", true);
    let found = mann_whitney::mann_whitney_u(&x, &y, alternative(i)?, method, continuity);
    Ok(BTreeMap::from([
        ("u1", found.map(|(u1, _)| u1).into()),
        ("p", found.map(|(_, p)| p).into()),
    ]))
}

pub fn pipecd_mann_whitney(i: &Input) -> Answer {
    let found = pipecd::test(&i.numbers("x1")?, &i.numbers("x2")?);
    Ok(BTreeMap::from([
        ("u1", found.map(|f| f.u1).into()),
        ("p_less", found.map(|f| f.less).into()),
        ("p_two", found.map(|f| f.two_sided).into()),
        ("p_greater", found.map(|f| f.greater).into()),
    ]))
}

fn thresholds(i: &Input, name: &str) -> Result<Thresholds, String> {
    if i.get(name).is_none() {
        return Ok(Thresholds {
            decrease: 1.0,
            increase: 1.0,
        });
    }
    let part = i.part(name)?;
    Ok(Thresholds {
        decrease: part.number_or("decrease", 1.0)?,
        increase: part.number_or("increase", 1.0)?,
    })
}

pub fn kayenta_classify(i: &Input) -> Answer {
    let judge = Judge {
        tolerance: i.number_or("tolerance", 0.25)?,
        confidence: i.number_or("conf_level", 0.98)?,
        direction: match i.text_or("direction", "either") {
            "increase" => Direction::Increase,
            "decrease" => Direction::Decrease,
            "either" => Direction::Either,
            other => return Err(format!("input direction: {other:?}")),
        },
        missing: match i.text_or("nan_strategy", "remove") {
            "replace" => Missing::Replace,
            "remove" => Missing::Remove,
            other => return Err(format!("input nan_strategy: {other:?}")),
        },
        effect: match i.text_or("effect_measure", "meanRatio") {
            "cles" => Effect::CommonLanguage,
            "meanRatio" => Effect::MeanRatio,
            other => return Err(format!("input effect_measure: {other:?}")),
        },
        fails: thresholds(i, "effect_thresholds")?,
        fails_all: thresholds(i, "critical_thresholds")?,
        critical: i.flag_or("critical", false),
        must_have_data: i.flag_or("must_have_data", i.flag_or("data_required", false)),
    };
    let verdict = judge.classify(&i.numbers("experiment")?, &i.numbers("control")?);
    let label = format!("{:?}", verdict.classification);
    Ok(BTreeMap::from([
        ("classification", Found::Label(label)),
        ("critical", Found::Flag(verdict.critical)),
    ]))
}

pub fn kayenta_mw_ci(i: &Input) -> Answer {
    let (experiment, control) = (i.numbers("experiment")?, i.numbers("control")?);
    let found = kayenta::shift(&experiment, &control, i.number("conf_level")?);
    Ok(BTreeMap::from([
        ("lower", found.map(|f| f.lower).into()),
        ("upper", found.map(|f| f.upper).into()),
        ("estimate", found.map(|f| f.estimate).into()),
    ]))
}

pub fn kayenta_score(i: &Input) -> Answer {
    let mut metrics = Vec::new();
    for metric in i.list("metrics")?.iter().map(Input::new) {
        let classification = match metric.text_or("classification", "") {
            "Pass" => Classification::Pass,
            "High" => Classification::High,
            "Low" => Classification::Low,
            "Nodata" => Classification::Nodata,
            "NodataFailMetric" => Classification::NodataFailMetric,
            other => return Err(format!("input classification: {other:?}")),
        };
        let groups = metric.texts("groups")?.into_iter().map(str::to_owned);
        metrics.push(Judged {
            classification,
            groups: groups.collect(),
            critical: metric.flag_or("critical", false),
        });
    }
    let weights: BTreeMap<String, f64> = i
        .get("group_weights")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(group, weight)| Some((group.clone(), weight.as_f64()?)))
        .collect();
    one("summary", kayenta::summary(&metrics, &weights))
}

pub fn percentile_r7(i: &Input) -> Answer {
    one(
        "value",
        kayenta::percentile(&i.numbers("data")?, i.number("p")?),
    )
}

fn tuned(i: &Input) -> Result<Tuned, String> {
    Ok(Tuned {
        v_opt: i.number("v_opt")?,
        alpha_opt: i.number_or("alpha_opt", 0.05)?,
        sides: if i.flag_or("one_sided", true) {
            Sides::One
        } else {
            Sides::Two
        },
    })
}

pub fn normal_log_mixture(i: &Input) -> Answer {
    one(
        "log_e",
        tuned(i)?.normal_log_mixture(i.number("s")?, i.number("v")?),
    )
}

pub fn normal_mixture_bound(i: &Input) -> Answer {
    one(
        "bound",
        tuned(i)?.normal_mixture_bound(i.number("v")?, i.number("alpha")?),
    )
}

pub fn beta_binomial_log_mixture(i: &Input) -> Answer {
    let (s, v, g, h) = (
        i.number("s")?,
        i.number("v")?,
        i.number("g")?,
        i.number("h")?,
    );
    one("log_e", tuned(i)?.beta_binomial_log_mixture(s, v, g, h))
}

pub fn bernoulli_cs(i: &Input) -> Answer {
    let (lower, upper) = confseq::bernoulli_interval(
        i.number("successes")?,
        i.number("trials")?,
        i.number("alpha")?,
        i.number("t_opt")?,
        i.number_or("alpha_opt", 0.05)?,
    );
    Ok(BTreeMap::from([
        ("lower", lower.into()),
        ("upper", upper.into()),
    ]))
}

pub fn poly_stitching_bound(i: &Input) -> Answer {
    let bound = confseq::poly_stitching_bound(
        i.number("v")?,
        i.number("alpha")?,
        i.number("v_min")?,
        i.number_or("c", 0.0)?,
        i.number_or("s", 1.4)?,
        i.number_or("eta", 2.0)?,
    );
    one("bound", bound)
}

pub fn dirichlet_multinomial_log_bf(i: &Input) -> Answer {
    let (theta0, batches) = (i.numbers("theta0")?, i.rows("batches")?);
    one(
        "log_bf",
        multinomial::log_bayes_factors(&theta0, i.number("k")?, &batches),
    )
}

pub fn noncentral_hypergeom_pmf(i: &Input) -> Answer {
    let (na, nb, total) = (i.number("na")?, i.number("nb")?, i.number("total")?);
    let (_, pmf) = classical::noncentral_hypergeometric(na, nb, total, i.number("odds")?);
    one("pmf", pmf)
}

fn blocks(i: &Input) -> Result<Vec<Block>, String> {
    let (ya, yb) = (i.numbers("ya")?, i.numbers("yb")?);
    let (na, nb) = (i.numbers("na")?, i.numbers("nb")?);
    let each = ya.iter().zip(&yb).zip(na.iter().zip(&nb));
    let block = |((ya, yb), (na, nb)): ((&f64, &f64), (&f64, &f64))| Block {
        ya: *ya,
        yb: *yb,
        na: *na,
        nb: *nb,
    };
    Ok(each.map(block).collect())
}

pub fn turner_beta_evalue(i: &Input) -> Answer {
    let prior = <[f64; 4]>::try_from(i.numbers("prior")?);
    let prior = prior.map_err(|p| format!("input prior: {p:?} for 4 numbers"))?;
    one("e", turner::beta_e_values(&blocks(i)?, prior))
}

pub fn logodds_gauss_mixture_evalue(i: &Input) -> Answer {
    let grid = match i.get("grid") {
        Some(Value::Array(_)) => i.numbers("grid")?,
        // As in safestats.
        _ => (0..161).map(|k| f64::from(k) * 0.1 - 8.0).collect(),
    };
    let (mean, sd) = (i.number_or("mean", 0.0)?, i.number_or("sd", 1.0)?);
    one("e", turner::log_odds_e_values(&blocks(i)?, mean, sd, &grid))
}

pub fn prom_increase(i: &Input) -> Answer {
    let samples = i.tuples("samples")?.into_iter();
    let samples: Vec<(f64, f64)> = samples.map(|[at, value]| (at, value)).collect();
    let found = prometheus::increase(&samples, i.number("t")?, i.number("range")?);
    one("increase", found)
}

pub fn binom_test(i: &Input) -> Answer {
    let (x, n, p) = (i.number("x")?, i.number("n")?, i.number_or("p", 0.5)?);
    one("p", classical::binomial_test(x, n, p, alternative(i)?))
}

pub fn fisher_exact(i: &Input) -> Answer {
    let rows: Vec<[f64; 2]> = i.tuples("table")?;
    let table = <[[f64; 2]; 2]>::try_from(rows).map_err(|t| format!("input table: {t:?}"))?;
    one("p", classical::fisher_exact(table, alternative(i)?))
}

pub fn poisson_conditional_p(i: &Input) -> Answer {
    let (xc, nc) = (i.number("xc")?, i.number("nc")?);
    let (xs, ns) = (i.number("xs")?, i.number("ns")?);
    let p = |alternative| classical::poisson_conditional(xc, nc, xs, ns, alternative);
    Ok(BTreeMap::from([
        ("p_greater", p(Alternative::Greater).into()),
        ("p_less", p(Alternative::Less).into()),
        ("p_two", p(Alternative::TwoSided).into()),
    ]))
}

pub fn argo_failure_limit(i: &Input) -> Answer {
    let measurements: Vec<Measurement> = i
        .texts("results")?
        .into_iter()
        .map(|result| match result.to_lowercase().as_str() {
            "fail" | "failed" => Measurement::Failed,
            "inconclusive" => Measurement::Inconclusive,
            "error" => Measurement::Error,
            _ => Measurement::Successful,
        })
        .collect();
    let default = Limits::default();
    let limit =
        |name: &str, default: i64| Ok::<_, String>(i.number_or(name, default as f64)? as i64);
    let limits = Limits {
        failure: limit("failure_limit", default.failure)?,
        inconclusive: limit("inconclusive_limit", default.inconclusive)?,
        consecutive_error: limit("consecutive_error_limit", default.consecutive_error)?,
    };
    let aborts = ends(&measurements, limits).filter(|(_, v)| *v != Verdict::Inconclusive);
    one("failed_at_index", aborts.map(|(k, _)| k as f64))
}

pub fn flagger_threshold(i: &Input) -> Answer {
    let failed = |result: &&str| matches!(*result, "fail" | "failed");
    let failed: Vec<bool> = i.texts("results")?.iter().map(failed).collect();
    let threshold = i.number_or("threshold", 1.0)? as usize;
    let index = flagger::rolls_back(&failed, threshold);
    let checks = index.map(|k| failed.iter().take(k + 1).filter(|f| **f).count() as f64);
    Ok(BTreeMap::from([
        ("index", index.map(|k| k as f64).into()),
        ("rolled_back_after_failed_checks", checks.into()),
    ]))
}
