//! A source that does not answer: how often, since when, and when it is asked again. No verdict comes
//! of it.

use jiff::Timestamp;

use super::{Fault, whole};
use crate::analysis::words;
use crate::api::analysis_status::Trouble;

/// Longest wait after a failed question, unless the source asks for more ...
const RETRY_MAX_S: i64 = 30;
/// ... and the most that it may ask for.
const RETRY_AFTER_MAX_S: i64 = 300;

/// A fault of the run's own.
pub(super) fn fault(reason: &str, message: &str) -> Fault {
    Fault {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retry_after: None,
    }
}

/// What a failed question makes of the trouble `before`: when it is asked again.
pub(super) fn trouble(before: Option<Trouble>, fault: &Fault, now: Timestamp) -> Trouble {
    let count = before.as_ref().map_or(0, |t| t.count).saturating_add(1);
    let wait = (1_i64 << count.clamp(0, 6)).min(RETRY_MAX_S);
    let wait = wait.max(fault.retry_after.unwrap_or(0).min(RETRY_AFTER_MAX_S));
    Trouble {
        reason: words::cut(&fault.reason, 64),
        message: words::cut(&fault.message, 500),
        since: before.map_or(whole(now), |t| t.since),
        count,
        retry_at: whole(now + jiff::SignedDuration::from_secs(wait)),
    }
}
