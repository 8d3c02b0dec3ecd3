//! The shipped tests as the runs use them: a plan from YAML, windows through
//! [`comparison::judge_window`], evidence from the status.

use jiff::Timestamp;
use tidegate::analysis::comparison::{self, StableRatio};
use tidegate::analysis::plan::{Arms, ComparisonPlan, Kind, Plan, parse};
use tidegate::analysis::rho::Window;
use tidegate::analysis::scrapes::Observed;
use tidegate::api::analysis::AnalysisRunSpec;
use tidegate::api::analysis_status::{Calibration, Comparison, Origin, Sampler, Stretch};

use crate::random::Random;
use crate::traffic::Traffic;

/// Unix second of the start: a multiple of every window and of five minutes.
pub const START: i64 = 1_000_200;
/// Length of a window, and of the time between scrapes.
pub const WINDOW_S: i64 = 15;
/// The warm-up that is the default, in windows: not judged, but traffic is counted in it.
pub const LEAD: i64 = 4;
/// What is read of the stable version's past where there is that much, in seconds.
const PAST_S: f64 = 6.0 * 3600.0;

/// A ratio without any tolerance.
pub const RATIO: &str = "ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, \
                         tolerate: {relative: 0%, absolute: 0%}";

/// A plan with one metric, and 1 % false aborts.
pub struct Shipped {
    plan: Plan,
}

impl Shipped {
    /// `metric` is the metric's kind, `steps` pairs of weight and seconds; `next` is the weight that
    /// a promotion would authorise.
    pub fn new(metric: &str, steps: &[(i32, i64)], next: i32) -> Self {
        let steps: Vec<String> = steps
            .iter()
            .map(|(weight, seconds)| format!("{{weight: {weight}, seconds: {seconds}}}"))
            .collect();
        let yaml = format!(
            "canaryHash: c\nstableHash: s\nstartAt: 1970-01-12T13:50:00Z\nmode: Background\n\
             nextWeight: {next}\nplan: [{}]\nmetrics: [{{name: m, {metric}}}]",
            steps.join(", ")
        );
        let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).expect("the YAML is a spec");
        let plan = parse(&spec, Timestamp::UNIX_EPOCH).expect("the spec is a plan");
        assert_eq!(plan.start, START, "the plan starts where the windows do");
        Self { plan }
    }

    pub fn compared(&self) -> &ComparisonPlan {
        match self.plan.metrics.first().map(|m| &m.kind) {
            Some(Kind::Comparison(compared)) => compared,
            _ => unreachable!("the only metric is a comparison"),
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How often the main test of harm may be wrong, as the status has it once a window was judged.
    pub fn alpha_main(&self) -> f64 {
        let mut run = Run::new(self);
        run.judge(&Window::default(), Arms::default());
        (-run.status.harm.limit).exp()
    }
}

/// A rollout that is judged.
#[derive(Clone)]
pub struct Run<'a> {
    shipped: &'a Shipped,
    pub status: Comparison,
    /// End of the last window.
    at: i64,
}

impl<'a> Run<'a> {
    /// At the end of the warm-up, before anything is known.
    pub fn new(shipped: &'a Shipped) -> Self {
        let first = START + LEAD * WINDOW_S;
        let sampler = Sampler {
            canary_seen: true,
            stable_seen: true,
            scrape_seconds: WINDOW_S,
            window_seconds: WINDOW_S,
            first,
            cursor: first,
            gross_cursor: first,
            canary_targets: 1,
            stable_targets: 1,
            ..Sampler::default()
        };
        let status = Comparison {
            sampler: Some(sampler),
            ..Comparison::default()
        };
        Self {
            shipped,
            status,
            at: first,
        }
    }

    pub fn sampler(&mut self) -> &mut Sampler {
        self.status.sampler.get_or_insert_default()
    }

    /// What the warm-up tells: traffic, and the stable version's bad ones. `windows` are its own.
    pub fn lead(&mut self, windows: &[Window]) {
        let first = self.at - WINDOW_S * windows.len() as i64;
        let s = self.sampler();
        for (k, w) in windows.iter().enumerate() {
            s.lead_canary += w.nc;
            s.lead_stable += w.ns;
            s.last_requests = w.nc;
            remember(s, first + WINDOW_S * (k as i64 + 1), w.ns, w.xs);
        }
    }

    /// What six hours of the stable version alone tell, whose pods do not differ: how many requests
    /// there were, and bad ones.
    pub fn know(&mut self, traffic: &Traffic, random: &mut Random) {
        let requests = traffic.rate * PAST_S;
        self.sampler().calibration = Some(Calibration {
            origin: Origin::Pods,
            targets: 20,
            seconds: PAST_S as i64,
            requests,
            bad: random.poisson(requests * traffic.p),
            ..Calibration::default()
        });
    }

    /// The next window. Says whether harm is shown.
    pub fn judge(&mut self, w: &Window, targets: Arms<i64>) -> bool {
        self.observe(&Observed::from(*w), targets)
    }

    /// The same in the numbers of the metric.
    pub fn observe(&mut self, w: &Observed, targets: Arms<i64>) -> bool {
        self.at += WINDOW_S;
        comparison::judge_window(
            &self.shipped.plan,
            self.shipped.compared(),
            &mut self.status,
            w,
            targets,
            self.at,
        );
        comparison::decides(&self.status.harm)
    }

    /// What is known of the stable version's ratio before the next window.
    pub fn stable_ratio(&self) -> StableRatio {
        let s = self.status.sampler.as_ref();
        let history = s.map(|s| s.history.as_slice()).unwrap_or_default();
        StableRatio::of(history, s.and_then(|s| s.calibration.as_ref()), self.at)
    }

    /// Whether the new version was shown to be good enough.
    pub fn safe(&self) -> bool {
        comparison::decides(&self.status.safe)
    }
}

/// Adds a window of the stable version to its last half hour, in stretches of five minutes.
fn remember(s: &mut Sampler, end: i64, requests: f64, bad: f64) {
    let number = (end - 1).div_euclid(300);
    match s.history.last_mut() {
        Some(last) if last.number == number => {
            last.requests += requests;
            last.bad += bad;
        }
        _ => s.history.push(Stretch {
            number,
            requests,
            bad,
        }),
    }
    s.history.retain(|s| s.number > number - 7);
}
