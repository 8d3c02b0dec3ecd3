//! What became of notifications, for the metrics of the process that tells them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// A receiver's name is the administrator's, and there are few.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    receiver: String,
    result: &'static str,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The receiver took it.
    Sent,
    /// It did not, however often it was tried.
    Failed,
    /// It was never tried, because too many waited.
    Dropped,
}

/// The counters. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Counts(Family<Labels, Counter>);

impl Counts {
    /// Puts them among a process' metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "notifications",
            "Notifications by what became of them",
            self.0.clone(),
        );
    }

    /// Begins at 0: the first that fails is an increase then.
    pub fn begin(&self, receiver: &str) {
        for became in [Became::Sent, Became::Failed, Became::Dropped] {
            self.of(receiver, became).inc_by(0);
        }
    }

    /// Counts one.
    pub fn count(&self, receiver: &str, became: Became) {
        self.of(receiver, became).inc();
    }

    /// A clone counts into the same.
    fn of(&self, receiver: &str, became: Became) -> Counter {
        let result = match became {
            Became::Sent => "Sent",
            Became::Failed => "Failed",
            Became::Dropped => "Dropped",
        };
        let labels = Labels {
            receiver: receiver.to_owned(),
            result,
        };
        self.0.get_or_create(&labels).clone()
    }
}
