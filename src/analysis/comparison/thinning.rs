//! How many buckets of a histogram are compared, where a run has many histograms: what is known of all of
//! them has to fit into its status.

use crate::analysis::plan::{ComparisonPlan, Kind, Measure, Plan};

/// Buckets of all histograms of a run together.
const BUCKETS_OF_RUN: usize = 192;

/// The finite ones of ascending `bounds`, of which the last is infinite: every second one goes until they
/// are few enough, but not the one that the objective is read at.
pub(super) fn of_run(plan: &Plan, compared: &ComparisonPlan, mut bounds: Vec<f64>) -> Vec<f64> {
    let is_histogram = |measure: &Measure| matches!(measure, Measure::Histogram { .. });
    let kinds = plan.metrics.iter().map(|metric| &metric.kind);
    let histograms = kinds.filter(|kind| match kind {
        Kind::Comparison(compared) => is_histogram(&compared.measure),
        Kind::Threshold(_) => false,
    });
    let most = BUCKETS_OF_RUN / histograms.count().max(1);
    let objective = match &compared.measure {
        Measure::Histogram { objective, .. } => *objective,
        _ => None,
    };
    let mut least = bounds
        .iter()
        .filter(|b| objective.is_some_and(|o| **b >= o.bound));
    let read_at = least.next().map(|bound| bound.to_bits());
    while bounds.len() > most {
        let last = bounds.len();
        let mut place = 0;
        bounds.retain(|bound| {
            place += 1;
            place % 2 == 0 || place == last || Some(bound.to_bits()) == read_at
        });
    }
    bounds.pop();
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::comparison::tests::{plan, ratio_of};

    #[test]
    fn many_histograms_share_the_buckets_and_the_objective_keeps_its_own() {
        let bounds: Vec<f64> = (1..48).map(f64::from).chain([f64::INFINITY]).collect();
        let of = |histograms: usize| {
            let one = |i: usize| {
                format!(
                    "{{name: h{i}, histogram: {{buckets: 'b{{$(arm)}}'}}, objective: {{quantile: 99%, below: 7s}}}}"
                )
            };
            let all: Vec<String> = (0..histograms).map(one).collect();
            let plan = plan(&format!("metrics: [{}]", all.join(", ")));
            of_run(&plan, ratio_of(&plan), bounds.clone())
        };
        assert_eq!(of(1), bounds[..47]);
        assert_eq!(of(4), bounds[..47]);
        for histograms in [5, 8] {
            let few = of(histograms);
            assert!(
                few.len() * histograms <= BUCKETS_OF_RUN && few.len() > 10,
                "{few:?}"
            );
            assert!(
                few.contains(&7.0) && few.iter().all(|bound| bound.is_finite()),
                "{few:?}"
            );
            assert!(few.is_sorted(), "{few:?}");
        }
    }
}
