//! Samples of a stretch of time from a metrics source, in pieces that it can answer, each asked once;
//! and a past run played on them.

use crate::analysis::backtest::recording::Recording;
use crate::analysis::plan::{Kind, Plan};
use crate::analysis::replay::Player;
use crate::analysis::run::{Answer, Fault, Question};
use crate::analysis::series::DataError;
use crate::metrics_source::Source;

/// The longest piece that is asked for, in seconds: a day with a scrape every 15 s is 5,760 samples of
/// each series.
const PIECE_MAX_S: i64 = 24 * 3600;
/// The shortest one; a source that cannot answer that answers nothing.
const PIECE_MIN_S: i64 = 120;
/// Most samples that are kept: 16 bytes each, so less than a gigabyte.
const SAMPLES_MAX: usize = 50_000_000;
/// Failures that a shorter piece may mend.
const TOO_MUCH: [&str; 4] = ["TooLarge", "TooManySeries", "Timeout", "QueryRefused"];
/// Failures that pass by themselves, and how often it is tried then.
const PASSING: [&str; 3] = ["Unreachable", "TooManyQueries", "Throttled"];
const TRIES: u32 = 3;

/// A stretch of time, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// After this.
    pub from: i64,
    /// Up to this.
    pub to: i64,
}

/// What was read, with what could not be, by metric.
#[derive(Debug)]
pub struct Read {
    /// The samples.
    pub recording: Recording,
    /// Why a metric has none.
    pub faults: Vec<Option<Fault>>,
}

/// Reads what the comparisons of a plan need. With `alike` both versions' selectors are one, and are
/// asked once.
pub async fn read(source: &Source, plan: &Plan, stretch: Stretch, alike: bool) -> Read {
    let mut recording = Recording::of(plan);
    let mut faults = Vec::with_capacity(plan.metrics.len());
    // What was right for one metric is a good guess for the next.
    let mut piece = PIECE_MAX_S;
    for (i, metric) in plan.metrics.iter().enumerate() {
        let fault = match &metric.kind {
            Kind::Threshold(_) => None,
            kind @ Kind::Comparison(_) => {
                let mut reader = Reader {
                    source,
                    recording: &mut recording,
                    alike,
                    piece: &mut piece,
                };
                reader.metric(kind, i, stretch).await.err()
            }
        };
        faults.push(fault);
    }
    Read { recording, faults }
}

struct Reader<'r> {
    source: &'r Source,
    recording: &'r mut Recording,
    alike: bool,
    piece: &'r mut i64,
}

impl Reader<'_> {
    async fn metric(&mut self, kind: &Kind, metric: usize, stretch: Stretch) -> Result<(), Fault> {
        let mut at = stretch.from;
        while at < stretch.to {
            let to = stretch.to.min(at + *self.piece);
            let question = Question {
                metric,
                at: to,
                reach: to - at,
                past: None,
            };
            match self.ask(kind, &question).await {
                Ok(Answer::Samples(answers)) if self.alike => {
                    let added = self.recording.add_stable(metric, answers);
                    added.map_err(|error| unusable(&error))?;
                }
                Ok(Answer::Samples(answers)) => {
                    let added = self.recording.add(metric, &answers);
                    added.map_err(|error| unusable(&error))?;
                }
                Ok(_) => {}
                Err(fault) => {
                    let shorter = (to - at) / 2;
                    if TOO_MUCH.contains(&fault.reason.as_str()) && shorter >= PIECE_MIN_S {
                        *self.piece = shorter;
                        continue;
                    }
                    return Err(fault);
                }
            }
            if self.recording.samples() > SAMPLES_MAX {
                return Err(Fault {
                    reason: "TooManySamples".to_owned(),
                    message: format!(
                        "more than {} million samples; look at a shorter time, or narrow the selectors",
                        SAMPLES_MAX / 1_000_000
                    ),
                    retry_after: None,
                });
            }
            at = to;
        }
        Ok(())
    }

    async fn ask(&self, kind: &Kind, question: &Question) -> Result<Answer, Fault> {
        ask(self.source, kind, question).await
    }
}

/// Samples that cannot be what the metric is made of.
fn unusable(error: &DataError) -> Fault {
    Fault {
        reason: error.reason().to_owned(),
        message: error.to_string(),
        retry_after: None,
    }
}

/// Asks, and again if the failure is one that passes.
async fn ask(source: &Source, kind: &Kind, question: &Question) -> Result<Answer, Fault> {
    let mut tries = 1;
    loop {
        let answer = source.ask(kind, question).await;
        match &answer {
            Err(fault) if PASSING.contains(&fault.reason.as_str()) && tries < TRIES => {
                let pause = fault.retry_after.unwrap_or(1).clamp(1, 10).unsigned_abs();
                tokio::time::sleep(std::time::Duration::from_secs(pause)).await;
                tries += 1;
            }
            _ => return answer,
        }
    }
}

/// Plays the run to its end or until `until`: comparisons from what was read, their past and thresholds
/// from the source, for the moment that is played.
pub async fn play(source: &Source, plan: &Plan, read: &Read, player: &mut Player<'_>, until: i64) {
    loop {
        let mut answers = Vec::new();
        for question in player.questions() {
            let Some(metric) = plan.metrics.get(question.metric) else {
                continue;
            };
            let fault = read.faults.get(question.metric).cloned().flatten();
            let held = if question.past.is_some() {
                None
            } else {
                read.recording.answer(plan, &question)
            };
            let answer = match (fault, held) {
                (Some(fault), _) => Err(fault),
                (None, Some(answer)) => Ok(answer),
                (None, None) => source.ask(&metric.kind, &question).await,
            };
            answers.push((question, answer));
        }
        if !player.take(answers, until) {
            return;
        }
    }
}
