//! Reference values of the statistics, and what the library says to the same inputs. The test
//! `statistics_vectors` and the program `vectors` share it.
//!
//! It hands each vector to the function that is shipped, and computes nothing itself: what it knows
//! of a kind is the names of its fields.

mod compare;
mod input;
mod ours;
mod peers;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use compare::{Found, compare};
use input::Input;

/// What the library says to a vector's input, by the names of the fields that are expected.
type Answer = Result<BTreeMap<&'static str, Found>, String>;

/// One vector that does not agree.
#[derive(Debug)]
pub struct Failure {
    /// The vector's id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What does not agree.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.id, self.kind, self.reason)
    }
}

/// What came of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many vectors of each kind agree.
    pub passed: BTreeMap<String, usize>,
    /// Those that do not.
    pub failed: Vec<Failure>,
}

/// Evaluates all vectors of a file: a list, or an object with a list `vectors`.
pub fn evaluate(file: &Value) -> Result<Outcome, String> {
    let vectors = file.get("vectors").unwrap_or(file).as_array();
    let vectors = vectors.ok_or("neither a list of vectors nor an object with one")?;
    let mut outcome = Outcome::default();
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
        let (id, kind) = (text("id"), text("kind"));
        let agrees = answer(&kind, &Input::new(&vector["input"]))
            .and_then(|found| compare(&vector["expect"], &vector["tol"], &found));
        match agrees {
            Ok(()) => *outcome.passed.entry(kind).or_default() += 1,
            Err(reason) => outcome.failed.push(Failure { id, kind, reason }),
        }
    }
    Ok(outcome)
}

fn answer(kind: &str, i: &Input) -> Answer {
    match kind {
        "rho_log_increment" => ours::rho_log_increment(i),
        "rho_process" => ours::rho_process(i),
        "grid_for" => ours::grid_for(i),
        "wald_seconds" => ours::wald_seconds(i),
        "mde_ratio" => ours::mde_ratio(i),
        "ratio_cs" => ours::ratio_cs(i),
        "slo_process" => ours::slo_process(i),
        "raw_delta" => ours::raw_delta(i),
        "scale_rho" => ours::scale_rho(i),
        "bucket_log_increment" => ours::bucket_log_increment(i),
        "histogram_quantile" => ours::histogram_quantile(i),
        "gauss_process" => ours::gauss_process(i),
        "t_log_bf" => ours::t_log_bf(i),
        "dispersion" => ours::dispersion(i),
        "e_holm" => ours::e_holm(i),
        "posterior_bad" => ours::posterior_bad(i),
        "exact_conditional_bounds" => ours::exact_conditional_bounds(i),
        "mann_whitney_u" => peers::mann_whitney_u(i),
        "pipecd_mann_whitney" => peers::pipecd_mann_whitney(i),
        "kayenta_classify" => peers::kayenta_classify(i),
        "kayenta_mw_ci" => peers::kayenta_mw_ci(i),
        "kayenta_score" => peers::kayenta_score(i),
        "percentile_r7" => peers::percentile_r7(i),
        "normal_log_mixture" => peers::normal_log_mixture(i),
        "normal_mixture_bound" => peers::normal_mixture_bound(i),
        "beta_binomial_log_mixture" => peers::beta_binomial_log_mixture(i),
        "bernoulli_cs" => peers::bernoulli_cs(i),
        "poly_stitching_bound" => peers::poly_stitching_bound(i),
        "dirichlet_multinomial_log_bf" => peers::dirichlet_multinomial_log_bf(i),
        "noncentral_hypergeom_pmf" => peers::noncentral_hypergeom_pmf(i),
        "turner_beta_evalue" => peers::turner_beta_evalue(i),
        "logodds_gauss_mixture_evalue" => peers::logodds_gauss_mixture_evalue(i),
        "prom_increase" => peers::prom_increase(i),
        "binom_test" => peers::binom_test(i),
        "fisher_exact" => peers::fisher_exact(i),
        "poisson_conditional_p" => peers::poisson_conditional_p(i),
        "argo_failure_limit" => peers::argo_failure_limit(i),
        "flagger_threshold" => peers::flagger_threshold(i),
        _ => Err(format!("there is no kind {kind:?}")),
    }
}
