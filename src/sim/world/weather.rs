//! What is wrong in the simulated cluster at a moment.

use jiff::SignedDuration;

use super::Fault;
use super::calls::{Ending, Verb};
use super::git::PushEnding;
use super::objects::Kind;

/// What is wrong now.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    faults: Vec<Fault>,
}

impl Weather {
    /// Begins a fault.
    pub fn begin(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Ends it.
    pub fn end(&mut self, fault: &Fault) {
        if let Some(at) = self.faults.iter().position(|f| f == fault) {
            self.faults.remove(at);
        }
    }

    /// Whether it is there.
    pub fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }

    /// What the API server says against every new ReplicaSet, if it will have none.
    pub(super) fn refuses(&self) -> Option<&str> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Refuses(words) => Some(words.as_str()),
            _ => None,
        })
    }

    /// So many of a thousand calls fail.
    pub(super) fn failing_calls(&self) -> u64 {
        let of = |fault: &Fault| match fault {
            Fault::Calls(share) => *share,
            _ => 0,
        };
        self.faults.iter().map(of).max().unwrap_or(0)
    }

    /// How much of the calls of this verb and kind goes wrong, of a thousand, and how.
    pub(super) fn certain_calls(&self, verb: Verb, kind: Option<Kind>) -> Vec<(u64, Ending)> {
        let of = |fault: &Fault| match fault {
            Fault::CertainCalls(calls)
                if calls.verb.is_none_or(|of| of == verb)
                    && calls.kind.is_none_or(|of| Some(of) == kind) =>
            {
                Some((calls.share, calls.ending))
            }
            _ => None,
        };
        self.faults.iter().filter_map(of).collect()
    }

    /// How pushes end that go wrong; `None`: they go well.
    pub(super) fn pushes(&self) -> Option<PushEnding> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Pushes(ending) => Some(*ending),
            _ => None,
        })
    }

    /// How much longer the metrics source takes to answer.
    pub(super) fn slow_metrics(&self) -> SignedDuration {
        let of = |fault: &Fault| match fault {
            Fault::SlowMetrics(by) => *by,
            _ => SignedDuration::ZERO,
        };
        self.faults.iter().map(of).max().unwrap_or_default()
    }

    /// How much longer calls take.
    pub(super) fn slowness(&self) -> SignedDuration {
        let of = |fault: &Fault| match fault {
            Fault::SlowCalls(by) => *by,
            _ => SignedDuration::ZERO,
        };
        self.faults.iter().map(of).max().unwrap_or_default()
    }
}
