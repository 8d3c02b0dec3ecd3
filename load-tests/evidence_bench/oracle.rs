//! What cannot be beaten by much: the sequential test that knows the effect, and Wald's bound.

use tidegate::analysis::effects;
use tidegate::analysis::rho::{Window, log_increment};

use crate::shipped::WINDOW_S;

/// False alarms of the oracle.
pub const ALPHA: f64 = 0.01;

/// Wald's test of one ratio against 1, which knows the ratio.
#[derive(Debug, Clone, Copy)]
pub struct Oracle {
    delta: f64,
    log: f64,
}

impl Oracle {
    pub fn new(times: f64) -> Self {
        Self {
            delta: times.ln(),
            log: 0.0,
        }
    }

    /// Takes a window; says whether it is sure.
    pub fn judge(&mut self, w: &Window) -> bool {
        self.log += log_increment(w, 1.0, self.delta);
        self.log >= -ALPHA.ln()
    }
}

/// Seconds until a test of level `alpha` that knows the ratio `r` has shown it against `r0`, by
/// equation 5, for `rate` requests per second to the new version and `kappa` to stable for each.
pub fn wald_seconds(alpha: f64, p: f64, rate: f64, kappa: f64, r: f64, r0: f64) -> f64 {
    (1.0 / alpha).ln() / (effects::growth(p, kappa, r, r, r0) * rate)
}

/// A delay in seconds for `windows` of them.
pub fn seconds(windows: usize) -> f64 {
    windows as f64 * WINDOW_S as f64
}
