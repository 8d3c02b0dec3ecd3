//! Targets that serve requests as a scenario says, count them, and know the truth: what they have
//! served in all, and what no scrape can have seen of it.
//!
//! What a target served after the last scrape before its restart is in no answer any more. Everything
//! else is, however many scrapes are missed or come late: the next one has it.

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Upper bounds of the latency's buckets, in seconds.
pub const BOUNDS: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.5];
/// Seconds between two scrapes.
pub const SCRAPE_S: u64 = 2;
/// What a late scrape waits for its answer: less than its timeout, which is the interval.
const LATE: Duration = Duration::from_millis(900);

/// What was served: by code, and by latency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub good: u64,
    pub bad: u64,
    /// The last bucket has no upper bound.
    pub buckets: [u64; BOUNDS.len() + 1],
}

impl Counts {
    pub fn requests(&self) -> u64 {
        self.good + self.bad
    }

    fn each(&mut self, other: &Self, of: impl Fn(u64, u64) -> u64) {
        self.good = of(self.good, other.good);
        self.bad = of(self.bad, other.bad);
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own = of(*own, other);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.each(other, |own, other| own + other);
    }

    pub fn take_away(&mut self, other: &Self) {
        self.each(other, |own, other| own - other);
    }
}

/// What happens to a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It gets an error.
    Missed,
    /// It gets its answer late, with what was counted by then.
    Late,
}

/// One target.
#[derive(Debug, Default)]
struct Target {
    /// Since it began, or began anew.
    counts: Counts,
    /// What each job's last scrape saw of them.
    seen: BTreeMap<String, Counts>,
    /// What each job can never see.
    lost: BTreeMap<String, Counts>,
    /// What happens to each job's next scrapes.
    faults: BTreeMap<String, Vec<Fault>>,
}

type Targets = BTreeMap<String, Target>;

/// The targets, and where they are scraped.
pub struct Served {
    address: SocketAddr,
    targets: Arc<Mutex<Targets>>,
    jobs: Vec<String>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    /// Starts targets that have served for long: each of their buckets has something in it.
    pub async fn start(names: &[&str], jobs: &[&str]) -> Self {
        let before = Counts {
            good: 6000,
            bad: 0,
            buckets: [1000; BOUNDS.len() + 1],
        };
        let target = || Target {
            counts: before,
            ..Target::default()
        };
        let targets: Targets = names.iter().map(|n| ((*n).to_owned(), target())).collect();
        let targets = Arc::new(Mutex::new(targets));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/{job}/{target}", get(scrape))
            .with_state(Arc::clone(&targets));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("served: {error}");
            }
        });
        Self {
            address,
            targets,
            jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
            task,
        }
    }

    /// What a Prometheus scrapes of a job; `more` is what its configuration has besides.
    pub fn scrape_config(&self, job: &str, more: &Value) -> Value {
        let target = |name: &String| {
            let version = name.split('-').next().unwrap_or_default();
            json!({
                "targets": [self.address.to_string()],
                "labels": {
                    "__metrics_path__": format!("/{job}/{name}"),
                    "instance": name,
                    "pod": name,
                    "rollouts_pod_template_hash": version,
                },
            })
        };
        let targets: Vec<Value> = self.targets().keys().map(target).collect();
        let mut config = json!({"job_name": job, "static_configs": targets});
        let config_of = config.as_object_mut().unwrap();
        config_of.extend(more.as_object().unwrap().clone());
        config
    }

    /// A target serves requests, `bad` of them badly, of all latencies in turn; returns them.
    pub fn serve(&self, target: &str, requests: u64, bad: u64) -> Counts {
        let mut targets = self.targets();
        let counts = &mut targets.get_mut(target).unwrap().counts;
        let mut served = Counts {
            good: requests - bad,
            bad,
            ..Counts::default()
        };
        for k in 0..requests {
            let bucket = (counts.requests() + k) as usize % served.buckets.len();
            served.buckets[bucket] += 1;
        }
        counts.add(&served);
        served
    }

    /// A target begins anew: its counters are at 0, and it has no errors yet.
    pub fn restart(&self, target: &str) {
        let mut targets = self.targets();
        let target = targets.get_mut(target).unwrap();
        for job in &self.jobs {
            let mut lost = target.counts;
            lost.take_away(&target.seen.remove(job).expect("scraped before it restarts"));
            target.lost.entry(job.clone()).or_default().add(&lost);
        }
        target.counts = Counts::default();
    }

    /// What happens to the next scrapes of a target by every job, one after the other.
    pub fn fault(&self, target: &str, faults: &[Fault]) {
        let mut targets = self.targets();
        let target = targets.get_mut(target).unwrap();
        for job in &self.jobs {
            target.faults.entry(job.clone()).or_default().extend(faults);
        }
    }

    /// What a job can never see of what a target served.
    pub fn lost(&self, target: &str, job: &str) -> Counts {
        let targets = self.targets();
        targets[target].lost.get(job).copied().unwrap_or_default()
    }

    /// Whether each job has seen all that each target has, and every fault is over.
    pub fn all_is_seen(&self) -> bool {
        let targets = self.targets();
        let seen = |target: &Target, job: &String| {
            target.seen.get(job) == Some(&target.counts)
                && target.faults.get(job).is_none_or(Vec::is_empty)
        };
        let mut all = targets.values();
        all.all(|target| self.jobs.iter().all(|job| seen(target, job)))
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        lock(&self.targets)
    }
}

fn lock(targets: &Mutex<Targets>) -> MutexGuard<'_, Targets> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A scrape. The series of errors is born with the first error, as in most applications.
async fn scrape(
    State(targets): State<Arc<Mutex<Targets>>>,
    UrlPath((job, name)): UrlPath<(String, String)>,
) -> Result<String, StatusCode> {
    let fault = {
        let mut targets = lock(&targets);
        let target = targets.get_mut(&name).ok_or(StatusCode::NOT_FOUND)?;
        let faults = target.faults.entry(job.clone()).or_default();
        (!faults.is_empty()).then(|| faults.remove(0))
    };
    match fault {
        Some(Fault::Missed) => return Err(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::Late) => tokio::time::sleep(LATE).await,
        None => {}
    }
    let mut targets = lock(&targets);
    let target = targets.get_mut(&name).ok_or(StatusCode::NOT_FOUND)?;
    let counts = target.counts;
    target.seen.insert(job, counts);
    let mut page = String::from("# TYPE http_requests_total counter\n");
    for (code, count) in [("200", counts.good), ("500", counts.bad)] {
        if code == "200" || count > 0 {
            let _ = writeln!(page, "http_requests_total{{code=\"{code}\"}} {count}");
        }
    }
    page.push_str("# TYPE latency_seconds histogram\n");
    let mut below = 0;
    for (k, count) in counts.buckets.iter().enumerate() {
        below += count;
        let le = BOUNDS.get(k).map_or("+Inf".to_owned(), f64::to_string);
        let _ = writeln!(page, "latency_seconds_bucket{{le=\"{le}\"}} {below}");
    }
    let _ = writeln!(
        page,
        "latency_seconds_sum {below}\nlatency_seconds_count {below}"
    );
    Ok(page)
}
