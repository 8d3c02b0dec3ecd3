//! The steps of a rollout with their times: which are done, which one it is at, which are to come. A time that
//! nobody saw is left out. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::past::Past;
use super::text::{When, shown};
use crate::api::rollout_status::RolloutStatus;
use crate::cli::header;
use crate::cli::objects::Objects;
use crate::cli::words;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 0 as in `kubectl tidegate get`.
    pub number: i32,
    /// In the words of the spec.
    pub text: String,
    /// `done`, `now`, `given up` or `to come`.
    pub state: &'static str,
    /// For the style.
    pub class: &'static str,
    /// When it began.
    pub began: When,
    /// How long it took, or has taken.
    pub took: String,
}

/// The steps of the version that goes out, or of the spec where none does.
#[must_use]
pub fn of(all: &Objects, past: Option<&Past>, now: Timestamp) -> Vec<Step> {
    let rollout = &all.rollout;
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let canary = rollout.spec.strategy.canary.as_ref();
    let steps = canary.map_or(&[][..], |c| c.steps.as_slice());
    let began = begins(all, past);
    let at = status.canary.as_ref().map(|c| c.step);
    let steps = steps.iter().zip(0_i32..);
    steps
        .map(|(step, place)| {
            let (state, class) = match at {
                Some(at) if place < at => ("done", "good"),
                Some(at) if place == at && status.abort.is_some() => ("given up", "bad"),
                Some(at) if place == at => ("now", "busy"),
                _ => ("to come", "plain"),
            };
            let then = began
                .get(&place)
                .copied()
                .filter(|_| at.is_some_and(|at| place <= at));
            let next = match &status.abort {
                Some(abort) if at == Some(place) => Some(abort.at),
                _ => began.get(&(place + 1)).copied(),
            };
            let end = if at == Some(place) {
                next.or(Some(now))
            } else {
                next
            };
            let took = then.zip(end).filter(|(then, end)| then <= end);
            Step {
                number: place,
                text: shown(&header::describe(step)),
                state,
                class,
                began: When::of(then, now),
                took: took
                    .map(|(then, end)| words::since(then, end))
                    .unwrap_or_default(),
            }
        })
        .collect()
}

/// When each step began: as seen, as the status says, and as the analyses tell.
fn begins(all: &Objects, past: Option<&Past>) -> BTreeMap<i32, Timestamp> {
    let mut began = BTreeMap::new();
    let canary = all.rollout.status.as_ref().and_then(|s| s.canary.as_ref());
    let Some(canary) = canary else { return began };
    for run in &all.runs {
        let own = run.spec.revision == canary.revision && run.spec.attempt == canary.attempt;
        let began_at = run.status.as_ref().and_then(|s| s.started_at);
        if let (Some(step), Some(at), true) = (run.spec.step, began_at, own) {
            began.insert(step, at);
        }
    }
    for step in 0..canary.steps {
        if let Some(at) = past.and_then(|past| past.step(canary.revision, step)) {
            began.insert(step, at);
        }
    }
    if let Some(at) = canary.step_started_at {
        began.insert(canary.step, at);
    }
    if let Some(at) = canary.started_at {
        began.entry(0).or_insert(at);
    }
    began
}
