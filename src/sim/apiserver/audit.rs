//! Counts of requests by who sent them and what they asked, as a real server's audit log would
//! give them.

use std::collections::BTreeMap;

use super::routes::RequestInfo;

/// What one line of the audit counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Verb, as in [`RequestInfo::verb`].
    pub verb: String,
    /// `replicasets.apps`, `rollouts.tidegate.io/status`; the path for what is no resource.
    pub resource: String,
}

/// Requests since the start or the last [`ApiServer::reset_audit`](super::ApiServer::reset_audit).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    counts: BTreeMap<AuditKey, u64>,
}

impl Audit {
    pub(super) fn record(&mut self, info: &RequestInfo) {
        let resource = match info.resource.is_empty() {
            true => info.path.clone(),
            false => info.resource_id(),
        };
        let key = AuditKey {
            user_agent: info.user_agent.clone(),
            verb: info.verb.clone(),
            resource,
        };
        *self.counts.entry(key).or_default() += 1;
    }

    /// All counts, ordered.
    pub fn counts(&self) -> impl Iterator<Item = (&AuditKey, u64)> {
        self.counts.iter().map(|(key, n)| (key, *n))
    }

    /// Writes by clients whose user agent starts with `user_agent`, leader election left out:
    /// leases are renewed by the clock, not by the work.
    pub fn writes(&self, user_agent: &str) -> u64 {
        self.counts
            .iter()
            .filter(|(key, _)| key.user_agent.starts_with(user_agent))
            .filter(|(key, _)| !matches!(key.verb.as_str(), "get" | "list" | "watch" | "head"))
            .filter(|(key, _)| !key.resource.starts_with("leases."))
            .map(|(_, n)| n)
            .sum()
    }
}
