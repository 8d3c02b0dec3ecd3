//! What is tried, one after the other.

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
    /// What is done.
    pub run: for<'a> fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>,
}

macro_rules! scenarios {
    ($($name:literal, $quick:literal, $run:path;)*) => {
        &[$(Scenario { name: $name, quick: $quick, run: |bench| Box::pin($run(bench)) }),*]
    };
}

/// All of them, in the order of the table.
pub const ALL: &[Scenario] = scenarios! {
    "control", true, canary::control;
    "canary-route", false, canary::by_route;
    "canary-pods", false, canary::by_pods;
    "canary-owned-route", false, canary::by_owned_route;
    "blue-green", false, canary::blue_green;
    "errors-50", true, faults::errors_50;
    "errors-6", false, faults::errors_6;
    "errors-5", false, faults::errors_5;
    "slower-30", false, faults::slower;
    "never-ready", false, faults::never_ready;
    "crash", false, faults::crash;
    "blue-green-abort", false, faults::blue_green;
    "abort-by-hand", true, faults::abort_by_hand;
    "superseded", true, canary::superseded;
    "deleted", false, canary::deleted;
    "prometheus-away", false, faults::prometheus_away;
    "git-away", false, faults::git_away;
    "api-server", false, faults::api_server_restarted;
    "scaled", false, canary::scaled;
    "weights-reset", false, faults::weights_reset;
    "controller-killed", false, faults::controller_killed;
    "controller-replaced", false, faults::controller_replaced;
    "gateway-control", false, canary::gateway_control;
    "gateway-restarted", false, faults::gateway_restarted;
};
