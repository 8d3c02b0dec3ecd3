//! How many queries are under way at one host, whoever asks there: several MetricsProviders may name
//! the same host, and each has a limit of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Queries at one host. Prometheus itself runs 20 at once (`--query.max-concurrency`), and people and
/// rules have to get some of them.
pub(super) const AT_ONE_HOST: usize = 16;

/// The hosts that sources ask. A clone is the same hosts.
#[derive(Clone, Default)]
pub struct Hosts {
    places: Arc<Mutex<BTreeMap<String, Weak<Semaphore>>>>,
}

impl Hosts {
    /// The places at a host, by its name as the URL has it. Ports are left aside: it is one machine, or
    /// one Service.
    pub(super) fn places(&self, host: &str) -> Arc<Semaphore> {
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Whom no source asks any more is forgotten, so there are never more than sources.
        all.retain(|_, places| places.strong_count() > 0);
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(places) = all.get(&name).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(AT_ONE_HOST));
        all.insert(name, Arc::downgrade(&places));
        places
    }
}
