//! What is tried.

mod canary;
mod faults;

use futures::future::LocalBoxFuture;

use crate::bench::Bench;

/// A line of the table.
pub struct Scenario {
    /// Its name, which is its namespace as well.
    pub name: &'static str,
    /// Whether the short set has it.
    pub quick: bool,
    /// Whether it takes away what all share, so that no other one may run beside it.
    pub alone: bool,
    /// What is done.
    pub run: for<'a> fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>,
}

macro_rules! scenarios {
    ($($name:literal, $quick:literal, $alone:literal, $run:path;)*) => {
        &[$(Scenario {
            name: $name,
            quick: $quick,
            alone: $alone,
            run: |bench| Box::pin($run(bench)),
        }),*]
    };
}

/// All of them, in the order of the table: name, whether the short set has it, whether it runs alone.
pub const ALL: &[Scenario] = scenarios! {
    "control", true, false, canary::control;
    "canary-route", false, false, canary::by_route;
    "canary-pods", false, false, canary::by_pods;
    "canary-owned-route", false, false, canary::by_owned_route;
    "blue-green", false, false, canary::blue_green;
    "errors-50", true, false, faults::errors_50;
    "errors-6", false, false, faults::errors_6;
    "errors-5", false, false, faults::errors_5;
    "slower-30", false, false, faults::slower;
    "never-ready", false, false, faults::never_ready;
    "crash", false, false, faults::crash;
    "blue-green-abort", false, false, faults::blue_green;
    "abort-by-hand", true, false, faults::abort_by_hand;
    "superseded", true, false, canary::superseded;
    "deleted", false, false, canary::deleted;
    "deployment", false, false, canary::in_a_deployments_place;
    "scaled", false, false, canary::scaled;
    "weights-reset", false, false, faults::weights_reset;
    "prometheus-away", false, true, faults::prometheus_away;
    "git-away", false, true, faults::git_away;
    "api-server", false, true, faults::api_server_restarted;
    "controller-killed", false, true, faults::controller_killed;
    "controller-replaced", false, true, faults::controller_replaced;
    "gateway-control", false, true, canary::gateway_control;
    "gateway-restarted", false, true, faults::gateway_restarted;
};
