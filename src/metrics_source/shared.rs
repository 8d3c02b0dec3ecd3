//! One query, asked once: who asks the same for the same time, while it is under way or soon after,
//! gets the same answer.
//!
//! The time is part of what is the same, so nobody gets an answer of another time. A failure is for
//! those alone who wait for it; the next who asks, asks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::{Instant, timeout_at};

use super::answer::{Found, Wanted};
use super::fault::AskError;

/// For so long an answer is given again: the usual time between two scrapes. What comes in late, by
/// remote write, is then in the next answer.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(15);
/// Questions that are remembered: five hundred runs that all ask something else, twice.
pub(super) const ENTRIES_MAX: usize = 1000;
/// Answers that are remembered, in bytes, of all questions ...
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// ... and of one. A larger one is shared by those who wait for it and then dropped.
pub(super) const ENTRY_BYTES_MAX: usize = 1024 * 1024;

/// What makes two questions to one source the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) query: String,
    pub(super) at: i64,
    pub(super) wanted: Wanted,
}

/// A question under way.
pub(super) type Asking = BoxFuture<'static, Result<Found, AskError>>;

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) found: Arc<Found>,
    /// When all of it was there.
    pub(super) at: Instant,
}

type Outcome = Result<Answered, AskError>;
type Waiting = BoxFuture<'static, Outcome>;

struct Entry {
    begun: Instant,
    state: State,
}

enum State {
    /// It ends when nobody waits for it any more.
    UnderWay(WeakShared<Waiting>),
    Answered(Answered, usize),
}

#[derive(Default)]
struct Table {
    entries: HashMap<Arc<Asked>, Entry>,
    /// The answers in the order in which they came, so that the oldest is found at once. One that is
    /// not remembered any more, or was asked for again, is passed over when its turn comes.
    answered: VecDeque<(Instant, Arc<Asked>)>,
    bytes: usize,
}

/// The answers of one source.
#[derive(Default)]
pub(super) struct SharedAnswers {
    table: Mutex<Table>,
}

impl SharedAnswers {
    /// The answer to `asked`, if need be by `begin`; none that was begun before `since`. Who has waited
    /// until `deadline` gets `late`.
    pub(super) async fn answer(
        self: &Arc<Self>,
        asked: &Asked,
        since: Option<Instant>,
        deadline: Instant,
        late: AskError,
        begin: impl Fn() -> Asking,
    ) -> Outcome {
        loop {
            let (waiting, joined) = match self.find(asked, since, Instant::now()) {
                Some(State::Answered(answered, _)) => return Ok(answered),
                Some(State::UnderWay(waiting)) => (waiting.upgrade(), true),
                None => (None, false),
            };
            let (waiting, joined) = match waiting {
                Some(waiting) => (waiting, joined),
                None => (self.begin(asked, begin(), Instant::now()), false),
            };
            match timeout_at(deadline, waiting).await {
                Err(_) => return Err(late),
                // The other one's time is over, and ours is not.
                Ok(Err(error)) if joined && error.is_of_time() && Instant::now() < deadline => {}
                Ok(outcome) => return outcome,
            }
        }
    }

    /// How many questions and bytes are remembered.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let table = self.table();
        (table.entries.len(), table.bytes)
    }

    /// Makes all answers older.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        let mut table = self.table();
        let older = |at: &mut Instant| *at = at.checked_sub(by).expect("a test's own time");
        table.answered.iter_mut().for_each(|(at, _)| older(at));
        for entry in table.entries.values_mut() {
            if let State::Answered(answered, _) = &mut entry.state {
                older(&mut answered.at);
            }
        }
    }

    fn find(&self, asked: &Asked, since: Option<Instant>, now: Instant) -> Option<State> {
        let mut table = self.table();
        table.forget_the_old(now);
        let entry = table.entries.get(asked)?;
        let fits = since.is_none_or(|since| entry.begun >= since);
        fits.then(|| match &entry.state {
            State::UnderWay(waiting) => State::UnderWay(waiting.clone()),
            State::Answered(answered, bytes) => State::Answered(answered.clone(), *bytes),
        })
    }

    fn begin(self: &Arc<Self>, asked: &Asked, asking: Asking, begun: Instant) -> Shared<Waiting> {
        let (answers, of) = (Arc::downgrade(self), asked.clone());
        let waiting = async move {
            let found = asking.await;
            let at = Instant::now();
            let outcome = found.map(|found| Answered {
                found: Arc::new(found),
                at,
            });
            if let Some(answers) = answers.upgrade() {
                answers.table().end(&of, begun, outcome.as_ref().ok());
            }
            outcome
        };
        let waiting = waiting.boxed().shared();
        let mut table = self.table();
        // Too many at once are asked, each for itself.
        if let (Some(weak), true) = (waiting.downgrade(), table.has_room()) {
            let state = State::UnderWay(weak);
            table.put(Arc::new(asked.clone()), Entry { begun, state });
        }
        waiting
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_the_old(&mut self, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) >= KEPT_FOR;
        while self.answered.front().is_some_and(|(at, _)| old(*at)) {
            self.drop_the_oldest();
        }
    }

    /// Makes room for one more, if there is something to drop.
    fn has_room(&mut self) -> bool {
        while self.entries.len() >= ENTRIES_MAX {
            if self.answered.is_empty() {
                self.forget_the_abandoned();
                return self.entries.len() < ENTRIES_MAX;
            }
            self.drop_the_oldest();
        }
        true
    }

    /// Nobody waits any more for what some questions were asked for.
    fn forget_the_abandoned(&mut self) {
        self.entries.retain(|_, entry| match &entry.state {
            State::UnderWay(waiting) => waiting.upgrade().is_some(),
            State::Answered(..) => true,
        });
    }

    fn drop_the_oldest(&mut self) {
        let Some((at, asked)) = self.answered.pop_front() else {
            return;
        };
        let same = |entry: &Entry| matches!(&entry.state, State::Answered(a, _) if a.at == at);
        if self.entries.get(&asked).is_some_and(same) {
            self.remove(&asked);
        }
    }

    fn put(&mut self, asked: Arc<Asked>, entry: Entry) {
        self.remove(&asked);
        if let State::Answered(answered, bytes) = &entry.state {
            self.bytes += bytes;
            self.answered.push_back((answered.at, Arc::clone(&asked)));
        }
        self.entries.insert(asked, entry);
    }

    fn remove(&mut self, asked: &Asked) {
        if let Some(entry) = self.entries.remove(asked)
            && let State::Answered(_, bytes) = entry.state
        {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// What was begun then has come to its end.
    fn end(&mut self, asked: &Asked, begun: Instant, answered: Option<&Answered>) {
        // Somebody who needed a newer answer may have asked again in between.
        let newer = self.entries.get(asked).filter(|entry| entry.begun > begun);
        if newer.is_some() {
            return;
        }
        self.remove(asked);
        let Some(answered) = answered else {
            return;
        };
        let bytes = answered.found.bytes() + asked.query.len();
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        while self.bytes + bytes > BYTES_MAX && !self.answered.is_empty() {
            self.drop_the_oldest();
        }
        if self.has_room() {
            let state = State::Answered(answered.clone(), bytes);
            self.put(Arc::new(asked.clone()), Entry { begun, state });
        }
    }
}
