//! What the state of a comparison means for what comes next: how many bad ones abort it, and by how
//! much its tests are tempered. For people; nothing decides by it.

use super::comparison::{StableRatio, decides, judge_window};
use super::plan::{Arms, ComparisonPlan, Measure, Plan};
use super::rho::Window;
use super::scrapes::Observed;
use crate::api::analysis_status::{Comparison, Origin};

/// More bad ones than this are not counted one by one by anybody.
const BAD_MAX: f64 = 1e9;

/// How many bad ones, or events, would abort at the end of the next window if it went on as before: the
/// smallest count that shows harm. None: no count does, or none is counted.
#[must_use]
pub fn aborts_at(plan: &Plan, compared: &ComparisonPlan, status: &Comparison) -> Option<f64> {
    let counted = matches!(
        compared.measure,
        Measure::Ratio { .. } | Measure::Events { .. }
    );
    let sampler = status.sampler.as_ref()?;
    let judged =
        status.canary.requests > 0.0 && sampler.harm.windows + sampler.harm_level.windows > 0;
    if !counted || !judged || compared.measure.fewer_is_harm() || status.harm_shown_at.is_some() {
        return None;
    }
    let windows = sampler.harm.windows.max(sampler.harm_level.windows) as f64;
    let (nc, ns) = (
        status.canary.requests / windows,
        status.stable.requests / windows,
    );
    let targets = Arms {
        canary: sampler.canary_targets,
        stable: sampler.stable_targets,
    };
    let aborts = |bad: f64| {
        let mut next = status.clone();
        let window = Window {
            nc,
            xc: bad,
            ns,
            xs: status.stable.bad / windows,
        };
        let to = sampler.cursor + sampler.window_seconds;
        judge_window(
            plan,
            compared,
            &mut next,
            &Observed::from(window),
            targets,
            to,
        );
        decides(&next.harm)
    };
    let most = match compared.measure {
        Measure::Ratio { .. } => nc.floor(),
        _ => BAD_MAX,
    };
    let mut high = 1.0_f64;
    while high < most && !aborts(high) {
        high = (high * 2.0).min(most);
    }
    if !aborts(high.min(most)) {
        return None;
    }
    let (mut low, mut high) = (-1.0, high.min(most));
    while high - low > 1.0 {
        let middle = ((low + high) / 2.0).floor();
        if aborts(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some((status.canary.bad + high).ceil())
}

/// By how much the tests are tempered: bursts (phi), and the factor that pods may differ by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tempered {
    /// So many times the variance of independent events is reckoned with.
    pub phi: f64,
    /// Stable pods persistently differ by this, as a standard deviation relative to their rate.
    pub tau: f64,
    /// So many times as bad is within that.
    pub margin: f64,
    /// What both were made of.
    pub origin: Origin,
}

/// What is known of the pods, for the present number of them.
#[must_use]
pub fn tempered(compared: &ComparisonPlan, status: &Comparison) -> Option<Tempered> {
    let sampler = status.sampler.as_ref()?;
    let calibration = sampler.calibration.as_ref()?;
    let count = |n: i64| usize::try_from(n.max(1)).unwrap_or(1);
    let each = sampler.last_requests / sampler.canary_targets.max(1) as f64;
    let phi = match compared.measure {
        Measure::Histogram { .. } => {
            let worst = calibration.dispersion.iter().copied().fold(0.0, f64::max);
            1.0 + worst * each
        }
        Measure::Gauge { .. } => 1.0,
        _ => {
            let stable = StableRatio::of(&sampler.history, Some(calibration), sampler.cursor);
            calibration.phi(stable.estimate * each)
        }
    };
    Some(Tempered {
        phi,
        tau: calibration.tau,
        margin: calibration.margin(count(sampler.canary_targets), count(sampler.stable_targets)),
        origin: calibration.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::plan::{self, Kind};
    use crate::api::analysis::AnalysisRunSpec;
    use crate::api::analysis_status::{Calibration, Sampler};
    use jiff::Timestamp;

    const START: i64 = 1_800_000_000;

    fn plan() -> Plan {
        let yaml = "{canaryHash: c, stableHash: s, metrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]}";
        let spec: AnalysisRunSpec = serde_saphyr::from_str(yaml).unwrap();
        plan::parse(&spec, Timestamp::from_second(START).unwrap()).unwrap()
    }

    fn compared(plan: &Plan) -> &ComparisonPlan {
        match &plan.metrics[0].kind {
            Kind::Comparison(compared) => compared,
            Kind::Threshold(_) => panic!("a ratio"),
        }
    }

    fn judge(plan: &Plan, status: &mut Comparison, bad: f64, to: i64) {
        let window = Window {
            nc: 300.0,
            xc: bad,
            ns: 3_000.0,
            xs: 15.0,
        };
        let targets = Arms {
            canary: 1,
            stable: 10,
        };
        judge_window(
            plan,
            compared(plan),
            status,
            &Observed::from(window),
            targets,
            to,
        );
    }

    /// So many windows with one or two bad ones in 300, where stable has fifteen in 3,000.
    fn status(plan: &Plan, windows: i64) -> Comparison {
        let mut status = Comparison {
            sampler: Some(Sampler {
                scrape_seconds: 15,
                window_seconds: 15,
                cursor: START,
                calibration: Some(Calibration::default()),
                ..Sampler::default()
            }),
            ..Comparison::default()
        };
        for k in 0..windows {
            judge(plan, &mut status, (1 + k % 2) as f64, START + 15 * (k + 1));
        }
        status
    }

    #[test]
    fn the_count_that_aborts_is_the_smallest_one() {
        let plan = plan();
        for windows in [1, 20, 80] {
            let status = status(&plan, windows);
            let count = aborts_at(&plan, compared(&plan), &status).unwrap();
            let more = count - status.canary.bad;
            let aborts = |bad: f64| {
                let mut next = status.clone();
                judge(&plan, &mut next, bad, START + 15 * (windows + 1));
                decides(&next.harm)
            };
            assert!(
                more >= 1.0 && aborts(more) && !aborts(more - 1.0),
                "{windows}: {count}"
            );
        }
    }

    #[test]
    fn where_nothing_was_judged_no_count_is_said() {
        let plan = plan();
        assert_eq!(
            aborts_at(&plan, compared(&plan), &Comparison::default()),
            None
        );
        assert_eq!(aborts_at(&plan, compared(&plan), &status(&plan, 0)), None);
        let known = tempered(compared(&plan), &status(&plan, 3)).unwrap();
        assert!((known.phi - 1.0).abs() < 1e-12 && (known.margin - 1.0).abs() < 1e-12);
    }
}
