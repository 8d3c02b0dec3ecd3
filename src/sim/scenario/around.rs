//! Entries of a timeline that happen to no Rollout: to instances of the controller, and to all that is
//! around them.

use jiff::SignedDuration;

use super::act::Context;
use super::format::{Entry, RefusedKind, Unusable, Wrong};
use super::words::Span;
use crate::core::spec::Problem;
use crate::sim::history::Happening;
use crate::sim::world::{CallFault, Fault};

/// How long a controller that was killed is away where nothing is said.
const BACK_AFTER: SignedDuration = SignedDuration::from_secs(5);

impl Context<'_> {
    /// What happens to instances of the controller.
    pub(super) fn of_controllers(&self, entry: &Entry) -> Result<Option<Happening>, Problem> {
        let happening = if let Some(killed) = &entry.kill {
            let back = killed.back_after.map_or(BACK_AFTER, |span| span.0);
            Happening::Kill(
                self.controller(killed.controller)?,
                back,
                killed.writes_behind,
            )
        } else if let Some(words) = &entry.kill_before {
            Happening::DieAt(0, words.clone(), true)
        } else if let Some(words) = &entry.kill_after {
            Happening::DieAt(0, words.clone(), false)
        } else if let Some(calls) = entry.kill_at_call {
            Happening::DieAfter(calls)
        } else if let Some(Span(wait)) = entry.upgrade {
            Happening::Upgrade(wait)
        } else if let Some(clock) = &entry.clock {
            Happening::ClockOf(self.controller(clock.controller)?, clock.ahead.0)
        } else {
            return Ok(None);
        };
        Ok(Some(happening))
    }

    /// What is wrong for a while.
    pub(super) fn faults(&self, entry: &Entry) -> Result<Vec<Fault>, Problem> {
        if let Some(wrong) = entry.fault {
            return Ok(vec![match wrong {
                Wrong::GatewayAcceptsNothing => Fault::Gateway,
                Wrong::MetricsAway => Fault::Metrics,
                Wrong::GitAway => Fault::Git,
                Wrong::NoPodsCreated => Fault::Quota,
                Wrong::NoEvictions => Fault::Budget,
                Wrong::TwoLeaders if self.beginning.controllers < 2 => {
                    return Err(self.problem("twoLeaders", "given.controllers: 2 or more"));
                }
                Wrong::TwoLeaders => Fault::TwoLeaders,
            }]);
        }
        if let Some(errors) = &entry.api_errors {
            return Ok(vec![Fault::CertainCalls(CallFault {
                verb: errors.of,
                kind: errors.kind.map(Into::into),
                share: errors.share.0,
                ending: errors.ending,
            })]);
        }
        if let Some(refused) = &entry.refuse {
            return Ok(vec![match refused.kind {
                RefusedKind::ReplicaSet => Fault::Refuses(refused.words.clone()),
            }]);
        }
        if let Some(by) = entry.slow_calls {
            return Ok(vec![Fault::SlowCalls(by.0)]);
        }
        if let Some(by) = entry.slow_metrics {
            return Ok(vec![Fault::SlowMetrics(by.0)]);
        }
        if let Some(ending) = entry.pushes {
            return Ok(vec![Fault::Pushes(ending)]);
        }
        if let Some(kinds) = &entry.watches_silent {
            return Ok(kinds
                .iter()
                .map(|of| Fault::Watches((*of).into()))
                .collect());
        }
        match &entry.unusable {
            Some(Unusable::Service(name)) => Ok(vec![Fault::Service(self.service(name))]),
            Some(Unusable::Route(name)) => Ok(vec![Fault::Route(name.clone())]),
            None => Ok(Vec::new()),
        }
    }
}
