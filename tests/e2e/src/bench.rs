//! One scenario while it runs: its load, its timeline, and what it came to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidegate_load_tests::load::{Load, Report};

use crate::judge;
use crate::shop::{Front, Shop};
use crate::stage::Stage;
use crate::timeline::{Seen, Watch};

/// What a scenario came to, as far as it got.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Seconds from the release to its end.
    pub seconds: Option<f64>,
    /// Writes from the release to its end.
    pub writes: Option<u64>,
    /// What the load saw.
    pub report: Option<Report>,
    /// Seconds from the first bad answer until stable had everything.
    pub first_bad_to_stable: Option<f64>,
}

/// A scenario's own place.
pub struct Bench {
    pub stage: Stage,
    pub name: &'static str,
    record: Arc<Mutex<Record>>,
    load: Option<(Load, Watch)>,
    began: Option<(Instant, u64)>,
}

impl Bench {
    /// For the scenario of this name; `record` is filled as it goes.
    pub fn new(stage: Stage, name: &'static str, record: Arc<Mutex<Record>>) -> Self {
        Self {
            stage,
            name,
            record,
            load: None,
            began: None,
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to send requests and to write down what happens.
    pub async fn load(&mut self, shop: &Shop, front: Front) {
        let watch = Watch::start(&self.stage.client, &shop.namespace);
        self.load = Some((shop.load(front).await, watch));
    }

    /// A version is about to be released.
    pub fn begins(&mut self) {
        self.began = Some((Instant::now(), self.stage.writes(self.name)));
    }

    /// It has come to its end.
    pub fn over(&mut self) {
        let (began, before) = self.began.expect("it has begun");
        let mut record = self.record();
        record.seconds = Some(began.elapsed().as_secs_f64());
        record.writes = Some(self.stage.writes(self.name) - before);
    }

    /// Ends the load and says what became of it: nothing may be lost, and no Service that has traffic
    /// may have been short of endpoints.
    pub async fn end(&mut self) -> Ended {
        let (load, watch) = self.load.take().expect("there is a load");
        let report = load.end().await;
        let seen = watch.so_far();
        {
            let mut record = self.record();
            record.first_bad_to_stable = judge::first_bad_to_stable(&report, &seen);
            record.report = Some(report.clone());
        }
        assert_eq!(report.not_sent, 0, "the machine was too slow for the load");
        assert_eq!(report.lost, 0, "lost: {:#?}", first(&report.failures));
        let short = judge::floor(&seen);
        assert!(short.is_empty(), "short of endpoints: {:?}", first(&short));
        Ended { report, seen }
    }
}

/// The first of many.
fn first<T>(all: &[T]) -> &[T] {
    all.get(..5).unwrap_or(all)
}

/// A load that has ended.
pub struct Ended {
    report: Report,
    seen: Vec<Seen>,
}

impl Ended {
    /// The version never had more than it was authorised to, and nothing after an abort.
    pub fn judged(&self, version: &str) {
        let over = judge::exposure(&self.report, &self.seen, version);
        assert!(over.is_empty(), "more than authorised: {:?}", first(&over));
        let late = judge::after_abort(&self.report, &self.seen, version);
        assert_eq!(
            late, 0,
            "answers of {version} after the abort was confirmed"
        );
    }

    /// In the last whole second only this version answered.
    pub fn served_last(&self, version: &str) {
        let seconds = &self.report.seconds;
        let last = seconds.iter().rev().nth(1).expect("more than a second");
        let others: Vec<&String> = last.versions.keys().filter(|v| *v != version).collect();
        assert!(others.is_empty(), "{others:?} still answer at the end");
    }
}
