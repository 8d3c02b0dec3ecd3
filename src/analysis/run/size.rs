//! A status has a largest size: objects live in the API server's store and in everybody's caches.

use crate::analysis::words;
use crate::api::analysis_status::AnalysisRunStatus;

/// Longest query that is shown in a status that would be too large.
const QUERY_SHORT: usize = 200;
/// Largest status.
pub(super) const STATUS_MAX: usize = 64 * 1024;

/// Longest sentence that is shown in it.
const WORDS_SHORT: usize = 100;

/// Makes a status small enough to be written: first the windows go, then the ends of the queries, then the
/// queries, which the spec has too, then the ends of the sentences. What the run goes on from stays.
pub fn fit(status: &mut AnalysisRunStatus) {
    let large = |status: &AnalysisRunStatus| {
        serde_json::to_vec(status).map_or(usize::MAX, |bytes| bytes.len()) > STATUS_MAX
    };
    if large(status) {
        status
            .metrics
            .iter_mut()
            .filter_map(|m| m.comparison.as_mut())
            .for_each(|r| r.windows.clear());
    }
    if large(status) {
        for query in status.metrics.iter_mut().flat_map(|m| &mut m.queries) {
            *query = words::cut(query, QUERY_SHORT);
        }
    }
    if large(status) {
        status.metrics.iter_mut().for_each(|m| m.queries.clear());
    }
    if large(status) {
        for metric in &mut status.metrics {
            metric.message = words::cut(&metric.message, WORDS_SHORT);
            if let Some(trouble) = &mut metric.trouble {
                trouble.message = words::cut(&trouble.message, WORDS_SHORT);
            }
        }
    }
}
