//! One scenario while it runs: its load, its timeline, and what it came to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_lab::node::control::Action;
use tidegate_lab::wait;
use tidegate_load_tests::load::{Load, Report};

use crate::fresh;
use crate::judge;
use crate::shop::{Front, Shop};
use crate::stage::Stage;
use crate::timeline::{Seen, Watch};
use crate::usage::{self, Usage};

/// What a scenario came to, as far as it got.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Seconds from the release to its end.
    pub seconds: Option<f64>,
    /// Writes from the release to its end.
    pub writes: Option<u64>,
    /// What the load saw.
    pub report: Option<Report>,
    /// Requests that were lost because a scenario took the gateway away.
    pub apart: u64,
    /// What the controller used from the release to its end, if its processes were the same all the time.
    pub used: Option<Usage>,
    /// Seconds from the first bad answer until stable had everything.
    pub first_bad_to_stable: Option<f64>,
}

/// When a version was released, and what had been used by then.
struct Began {
    at: Instant,
    writes: u64,
    usage: BTreeMap<String, Usage>,
}

/// A scenario's own place.
pub struct Bench {
    pub stage: Stage,
    pub name: &'static str,
    record: Arc<Mutex<Record>>,
    load: Option<(Load, Watch)>,
    began: Option<Began>,
    fresh: Option<Value>,
    gateway_away: Vec<[Timestamp; 2]>,
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
            fresh: None,
            gateway_away: Vec::new(),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to send requests and to write down what happens.
    pub async fn load(&mut self, shop: &Shop, front: Front) {
        let fresh = fresh::picture(&self.stage.client, &shop.namespace).await;
        self.fresh = Some(fresh.unwrap());
        let watch = Watch::start(&self.stage.client, &shop.namespace);
        self.load = Some((shop.load(front).await, watch));
    }

    /// A version is about to be released.
    pub async fn begins(&mut self) {
        let usage = self.stage.usage().await;
        self.began = Some(Began {
            at: Instant::now(),
            writes: self.stage.writes(self.name),
            usage,
        });
    }

    /// It has come to its end.
    pub async fn over(&mut self) {
        let began = self.began.take().expect("it has begun");
        let seconds = began.at.elapsed().as_secs_f64();
        let usage = self.stage.usage().await;
        let mut record = self.record();
        record.seconds = Some(seconds);
        record.writes = Some(self.stage.writes(self.name) - began.writes);
        record.used = usage::between(&began.usage, &usage);
    }

    /// Ends the gateway's process and starts it again. What is lost meanwhile is its own loss.
    pub async fn restart_gateway(&mut self, shop: &Shop) {
        let from = Timestamp::now();
        self.stage.program("traefik", Action::Stop).await;
        self.stage.program("traefik", Action::Start).await;
        shop.answers_again().await;
        self.gateway_away.push([from, Timestamp::now()]);
    }

    /// Waits until nothing of the way is left: the namespace holds what it held when its first version
    /// had just come up, as it would in a fresh cluster.
    pub async fn is_as_fresh(&self) {
        let fresh = self.fresh.as_ref().expect("the load has begun");
        wait::until_ok("the end is that of a fresh cluster", async || {
            let now = fresh::picture(&self.stage.client, self.name).await?;
            fresh::difference(fresh, &now)
        })
        .await;
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
            record.apart = judge::lost_in(&report, &self.gateway_away);
            record.report = Some(report.clone());
        }
        assert_eq!(report.not_sent, 0, "the machine was too slow for the load");
        let apart = self.record().apart;
        assert_eq!(report.lost, apart, "lost: {:#?}", first(&report.failures));
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
