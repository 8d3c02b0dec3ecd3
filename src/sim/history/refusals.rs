//! Refusals in a history: for a while the API server will not have what is to be created.

use jiff::SignedDuration;

use super::{Happening, History, at};
use crate::sim::random::Random;
use crate::sim::world::Fault;

/// Now and then there is no new ReplicaSet to be had for a while.
pub(super) fn add(random: &mut Random, history: &mut History) {
    if random.below(6) > 0 {
        return;
    }
    let lasts = SignedDuration::from_secs(random.between(5, 120));
    let refuses = Fault::Refuses("denied by a webhook".to_owned());
    let refuses = Happening::Fault(refuses, lasts);
    history.happenings.push((at(random, 300), refuses));
    history.happenings.sort_by_key(|(at, _)| *at);
}
