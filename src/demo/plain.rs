//! The demo as plain lines: one for everything that happens, with the seconds since its beginning.

use super::snapshot::Snapshot;

/// Tells what is new from snapshot to snapshot.
#[derive(Debug, Default)]
pub struct Teller {
    title: String,
    rollout: String,
    analysis: String,
    revert: String,
    trouble: String,
    events: usize,
    tip: String,
}

impl Teller {
    /// The lines for what is new since the last snapshot.
    pub fn news(&mut self, seen: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |who: &str, what: &str| {
            lines.push(format!("{:6.1}s  {who:<9} {what}", seen.seconds));
        };
        if renew(&mut self.title, seen.title.clone()) && !seen.title.is_empty() {
            tell("demo", &seen.title);
        }
        let tip = seen.branch.log.first();
        if let Some(tip) = tip.filter(|tip| renew(&mut self.tip, tip.id.clone())) {
            let id: String = tip.id.chars().take(8).collect();
            tell("git", &format!("{id} {} ({})", tip.subject, tip.author));
        }
        let trouble = seen.branch.trouble.clone().unwrap_or_default();
        if renew(&mut self.trouble, trouble) && !self.trouble.is_empty() {
            tell("gitops", &self.trouble);
        }
        if let Some(status) = &seen.rollout {
            let rollout = format!("{}: {}", seen.phase(), status.message);
            if renew(&mut self.rollout, rollout) {
                tell("rollout", &self.rollout);
            }
        }
        if let Some(run) = &seen.analysis {
            let verdict = run.verdict.map_or_else(String::new, |v| format!("{v:?}"));
            if !verdict.is_empty() && renew(&mut self.analysis, format!("{} {verdict}", run.name)) {
                tell("analysis", &format!("{verdict}: {}", run.message));
            }
        }
        if let Some(revert) = &seen.revert {
            let phase = revert.phase.as_str();
            if renew(&mut self.revert, format!("{} {phase}", revert.name)) {
                tell("revert", &format!("{phase}: {}", revert.message));
            }
        }
        for (reason, message) in seen.events.iter().skip(self.events) {
            tell("event", &format!("{reason}: {message}"));
        }
        self.events = self.events.max(seen.events.len());
        lines
    }
}

/// Keeps the new text; says whether it is another one.
fn renew(kept: &mut String, new: String) -> bool {
    let other = *kept != new;
    if other {
        *kept = new;
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rollout_status::{Phase, RolloutStatus};

    #[test]
    fn each_thing_is_told_once() {
        let mut teller = Teller::default();
        let mut seen = Snapshot {
            title: "a version goes out".into(),
            rollout: Some(RolloutStatus {
                phase: Some(Phase::Progressing),
                message: "pods come up".into(),
                ..RolloutStatus::default()
            }),
            events: vec![("RolloutStarted".into(), "revision 2".into())],
            ..Snapshot::default()
        };
        let lines = teller.news(&seen);
        assert_eq!(
            lines,
            [
                "   0.0s  demo      a version goes out",
                "   0.0s  rollout   Progressing: pods come up",
                "   0.0s  event     RolloutStarted: revision 2",
            ]
        );
        assert_eq!(teller.news(&seen), [""; 0]);
        seen.events
            .push(("RolloutPromoted".into(), "revision 2".into()));
        assert_eq!(teller.news(&seen).len(), 1);
    }
}
