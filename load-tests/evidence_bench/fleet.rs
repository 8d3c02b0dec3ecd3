//! What many rollouts at once cost: their metrics asked for, read and judged as the controller does it,
//! with everything but the network and the API server.
//!
//! The answers are made beforehand, once for all rollouts; what it takes to make them is not counted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tidegate::analysis::plan::{self, Plan};
use tidegate::analysis::run::{self, Pace};
use tidegate::api::analysis::AnalysisRunSpec;
use tidegate::api::analysis_status::AnalysisRunStatus;
use tidegate::metrics_source::{Relay, RelayError, Relayed, Source};

use crate::parallel::Runs;
use crate::report::{Cell, Goal, Report};

/// Rollouts that are judged at the same time, each with the metrics of [`METRICS`].
const ROLLOUTS: usize = 500;
/// One of each kind of comparison, and the ratio that most have twice.
const METRICS: [&str; 5] = [
    "ratio: {bad: 'bad{ROLLOUT,$(arm)}', total: 'all{ROLLOUT,$(arm)}'}",
    "ratio: {bad: 'timeouts{ROLLOUT,$(arm)}', total: 'calls{ROLLOUT,$(arm)}'}",
    "events: {count: 'restarts{ROLLOUT,$(arm)}'}",
    "histogram: {buckets: 'seconds{ROLLOUT,$(arm)}'}",
    "gauge: {query: 'memory{ROLLOUT,$(arm)}'}",
];
/// Pods of the new version and of the stable one.
const PODS: [i64; 2] = [2, 8];
/// Requests per second of one pod.
const RATE: f64 = 10.0;
/// Upper bounds of the histogram, in seconds, and the share of the requests below each.
const BUCKETS: [(&str, f64); 12] = [
    ("0.005", 0.05),
    ("0.01", 0.15),
    ("0.025", 0.35),
    ("0.05", 0.6),
    ("0.1", 0.8),
    ("0.25", 0.93),
    ("0.5", 0.97),
    ("1", 0.99),
    ("2.5", 0.997),
    ("5", 0.999),
    ("10", 0.9999),
    ("+Inf", 1.0),
];
/// Between two scrapes, in seconds.
const SCRAPE_S: i64 = 15;
/// When the rollouts begin, in Unix seconds, and when the counters did.
const START: i64 = 1_800_000_000;
const COUNTED_FROM: i64 = START - 12 * 3600;
/// How long they are judged: a step of half an hour.
const LENGTH_S: i64 = 1800;
/// What the beginning is: warm-up, and the stable version's past.
const BEGINNING_S: i64 = 300;
/// Evidence that changes no verdict is written as seldom.
const WRITE_S: i64 = 60;

/// Copies of all of them whose memory is measured: one alone would fit into what is free already.
const COPIES: usize = 10;

/// A Prometheus that has every answer ready but the first time.
#[derive(Default)]
struct Ready(Mutex<Made>);

#[derive(Default)]
struct Made {
    answers: HashMap<String, Vec<u8>>,
    /// How long it took to make them.
    took: Duration,
}

impl Ready {
    fn answer(&self, query: &str, at: &str) -> Vec<u8> {
        // Which rollout asks makes no difference to what comes back.
        let (before, rest) = query.split_once("rollout=\"").unwrap_or((query, ""));
        let (_, after) = rest.split_once('"').unwrap_or(("", rest));
        let key = format!("{before}{after}@{at}");
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = made.answers.get(&key) {
            return ready.clone();
        }
        let begun = Instant::now();
        let answer = matrix(query, at.parse().unwrap_or_default()).into_bytes();
        made.answers.insert(key, answer.clone());
        made.took += begun.elapsed();
        answer
    }

    fn made(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).took
    }

    fn forget(&self) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.answers.clear();
    }
}

/// A relay needs to be owned by its source, which is used while the answers are made ready.
struct Through(Arc<Ready>);

impl Relay for Through {
    fn query(
        &self,
        parameters: Vec<(&'static str, String)>,
        _: usize,
    ) -> BoxFuture<'_, Result<Relayed, RelayError>> {
        let of = |name: &str| parameters.iter().find(|(is, _)| *is == name);
        let text = |name| of(name).map_or("", |(_, value)| value.as_str());
        let body = self.0.answer(text("query"), text("time"));
        let headers = HeaderMap::new();
        async move {
            Ok(Relayed {
                status: StatusCode::OK,
                headers,
                body,
            })
        }
        .boxed()
    }

    fn place(&self) -> String {
        "a Prometheus with every answer ready".to_owned()
    }
}

/// The answer to a range selector, or to the subquery by which the past is asked for.
fn matrix(query: &str, at: i64) -> String {
    let version = usize::from(query.contains("stable0000"));
    let range = query.rsplit_once('[').map_or("", |(_, range)| range);
    let mut range = range.trim_end_matches(']').split(':');
    let mut seconds = || {
        let part = range.next()?;
        part.trim_end_matches('s').parse::<i64>().ok()
    };
    let reach = seconds().unwrap_or_default();
    let step = seconds();
    let pods = 0..PODS.get(version).copied().unwrap_or_default();
    let mut series = Vec::new();
    for pod in pods {
        let moments = moments(at, reach, step, pod);
        let labels = format!(
            r#""job":"app","instance":"10.0.{version}.{pod}:80","namespace":"shop","pod":"app-{version}-{pod}""#
        );
        if query.contains("seconds{") {
            for (bound, share) in BUCKETS {
                let labels = format!(r#"{labels},"le":"{bound}""#);
                series.push(one(&labels, &moments, |t| (requests(t) * share).floor()));
            }
        } else {
            let value = |t: i64| match query {
                _ if query.contains("bad{") => (requests(t) * 0.001).floor(),
                _ if query.contains("timeouts{") => (requests(t) * 0.0003).floor(),
                _ if query.contains("restarts{") => 0.0,
                _ if query.contains("memory{") => {
                    500e6 + ((t * 7919 + pod * 104_729) % 1000) as f64 * 1e4
                }
                _ => requests(t),
            };
            series.push(one(&labels, &moments, value));
        }
    }
    let series = series.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#)
}

/// When there are samples: a pod is scraped at a moment of its own, a subquery tiles time.
fn moments(at: i64, reach: i64, step: Option<i64>, pod: i64) -> Vec<i64> {
    let (every, offset) = match step {
        Some(step) => (step.max(1), 0),
        None => (SCRAPE_S, pod * 4 % SCRAPE_S),
    };
    let first = (at - reach).div_euclid(every) * every + offset;
    let all = (0..).map(|k| first + k * every);
    let within = all.skip_while(|t| *t <= at - reach);
    within.take_while(|t| *t <= at).collect()
}

fn requests(at: i64) -> f64 {
    ((at - COUNTED_FROM) as f64 * RATE).floor()
}

fn one(labels: &str, moments: &[i64], value: impl Fn(i64) -> f64) -> String {
    let mut text = format!(r#"{{"metric":{{{labels}}},"values":["#);
    for (k, t) in moments.iter().enumerate() {
        let comma = if k == 0 { "" } else { "," };
        let _written = write!(text, r#"{comma}[{t},"{}"]"#, value(*t));
    }
    text.push_str("]}");
    text
}

/// One rollout's analysis, with what its task keeps.
struct Analysis {
    plan: Plan,
    status: AnalysisRunStatus,
    pace: Pace,
    next: i64,
    /// The object as it was last written, as its task and the cache hold it.
    written: [Vec<u8>; 2],
    written_at: i64,
}

impl Analysis {
    fn new(number: usize) -> Self {
        let metrics = METRICS.iter().enumerate().map(|(k, metric)| {
            let metric = metric.replace("ROLLOUT", &format!("rollout=\"r{number}\""));
            format!("{{name: m{k}, {metric}}}")
        });
        let yaml = format!(
            "canaryHash: canary0000\nstableHash: stable0000\nstartAt: {}\nmode: Background\n\
             nextWeight: 50\nplan: [{{weight: 20, seconds: {LENGTH_S}}}]\nmetrics: [{}]",
            Timestamp::from_second(START).unwrap_or_default(),
            metrics.collect::<Vec<_>>().join(", ")
        );
        let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).expect("the YAML is a spec");
        let plan = plan::parse(&spec, Timestamp::UNIX_EPOCH).expect("the spec is a plan");
        Self {
            status: run::begin(&plan),
            plan,
            pace: Pace::default(),
            // They do not begin at the same second, as they would not.
            next: START + number as i64 % SCRAPE_S,
            written: [Vec::new(), Vec::new()],
            written_at: 0,
        }
    }

    fn copy(&self, number: usize) -> Self {
        Self {
            status: self.status.clone(),
            pace: self.pace.clone(),
            written: self.written.clone(),
            ..Self::new(number)
        }
    }

    /// What the task of a run does when it looks.
    async fn look(&mut self, source: &Source, at: i64, counted: &mut Counted) {
        let now = Timestamp::from_second(at).unwrap_or_default();
        let questions = run::questions(&self.plan, &self.status, &self.pace, at);
        let asked = questions.iter().filter_map(|question| {
            let metric = self.plan.metrics.get(question.metric)?;
            Some(source.ask(&metric.kind, question))
        });
        let answers = futures::future::join_all(asked).await;
        let mut behind = false;
        for (question, answer) in questions.iter().zip(answers) {
            counted.questions += 1;
            counted.faults += usize::from(answer.is_err());
            let (status, pace) = (&mut self.status, &mut self.pace);
            behind |= run::take(&self.plan, status, pace, question, answer, now);
        }
        run::conclude(&self.plan, &mut self.status, false, now);
        if at - self.written_at >= WRITE_S {
            run::fit(&mut self.status);
            let body = serde_json::to_value(&self.status).unwrap_or_default();
            let text = serde_json::to_vec(&body).unwrap_or_default();
            counted.status = counted.status.max(text.len());
            counted.writes += 1;
            self.written = [text.clone(), text];
            self.written_at = at;
        }
        self.next = if behind {
            self.pace = Pace::default();
            at
        } else {
            run::next_look(&self.plan, &self.status, &self.pace, at)
        };
    }
}

/// What came up.
#[derive(Default)]
struct Counted {
    questions: usize,
    faults: usize,
    writes: usize,
    /// The largest status, in bytes.
    status: usize,
}

/// Resident memory of this process in bytes, where the system tells.
fn resident() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096.0)
}

/// Judges all of them for the whole time; seconds of one core until the beginning is over, and after.
async fn judge(
    all: &mut [Analysis],
    source: &Source,
    ready: &Ready,
    counted: &mut Counted,
) -> [f64; 2] {
    let mut spent = [0.0; 2];
    for at in START..START + LENGTH_S {
        let (begun, made) = (Instant::now(), ready.made());
        for analysis in all.iter_mut() {
            while analysis.next <= at && !run::is_over(&analysis.status) {
                analysis.look(source, at, counted).await;
            }
        }
        let took = begun.elapsed().saturating_sub(ready.made() - made);
        let [beginning, after] = &mut spent;
        *(if at < START + BEGINNING_S {
            beginning
        } else {
            after
        }) += took.as_secs_f64();
        ready.forget();
    }
    spent
}

pub fn measure(_: Runs) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread needs nothing");
    let ready = Arc::new(Ready::default());
    let relay = Box::new(Through(Arc::clone(&ready)));
    let source = Source::relayed(relay, Duration::from_secs(10), 16);
    let mut all: Vec<Analysis> = (0..ROLLOUTS).map(Analysis::new).collect();
    let mut counted = Counted::default();
    let [beginning, after] = runtime.block_on(judge(&mut all, &source, &ready, &mut counted));
    let judged = all.iter().filter(|a| !run::is_over(&a.status)).count();
    let inconclusive = all.iter().flat_map(|a| &a.status.metrics);
    let troubled = inconclusive.filter(|m| m.trouble.is_some()).count();

    let before = resident();
    let copies: Vec<Analysis> = (0..COPIES)
        .flat_map(|_| all.iter().enumerate().map(|(k, a)| a.copy(k)))
        .collect();
    let memory = before.zip(resident());
    let each = memory.map(|(before, now)| (now - before) / copies.len() as f64 / 1024.0);

    let percent = |seconds: f64, of: i64| 100.0 * seconds / of as f64;
    let row =
        |what: &str, value: f64, decimals| vec![Cell::text(what), Cell::Number(value, decimals)];
    let mut rows = vec![
        row("rollouts still judged at the end", judged as f64, 0),
        row("questions", counted.questions as f64, 0),
        row("of them without an answer", counted.faults as f64, 0),
        row("metrics in trouble at the end", troubled as f64, 0),
        row("statuses written", counted.writes as f64, 0),
        row("largest status, KiB", counted.status as f64 / 1024.0, 1),
        row(
            "percent of a core in the first five minutes",
            percent(beginning, BEGINNING_S),
            2,
        ),
        row(
            "percent of a core after",
            percent(after, LENGTH_S - BEGINNING_S),
            2,
        ),
    ];
    let mut goals = vec![Goal::at_most(
        "500 rollouts with 5 metrics each, of one core",
        percent(beginning + after, LENGTH_S),
        5.0,
        "%",
    )];
    if let Some(each) = each {
        rows.push(row("KiB of memory for each running analysis", each, 1));
        let what = "memory for each running analysis";
        goals.push(Goal::at_most(what, each, 64.0, "KiB"));
    }
    Report {
        setting: "fleet",
        title: format!(
            "{ROLLOUTS} rollouts at the same time, {} metrics each",
            METRICS.len()
        ),
        runs: 1,
        columns: vec!["what", "measured"],
        rows,
        goals,
        notes: vec![
            format!(
                "two ratios, events, a histogram of {} buckets, a gauge; {} and {} pods, a scrape each {SCRAPE_S} s, {} minutes; \
                 answers are read, judged and written as in the controller, without network and API server",
                BUCKETS.len(),
                PODS[0],
                PODS[1],
                LENGTH_S / 60
            ),
            "memory: plan, status, and twice the text of what was last written, for the task and for the cache".to_owned(),
        ],
        ..Report::default()
    }
}
