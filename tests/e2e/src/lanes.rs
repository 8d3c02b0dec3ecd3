//! In which order the scenarios run: several beside each other, each lane taking the next one that
//! is left, and the pods of the one before ending while the next one's begin.

use std::cell::RefCell;
use std::path::Path;

use futures::future::join_all;

use crate::stage::Stage;
use crate::table::{self, Outcome, Run};

/// What has run so far.
pub struct Lanes<'a> {
    stage: &'a Stage,
    saved: &'a Path,
    outcomes: Vec<Outcome>,
    /// Whose pods are still there.
    over: Vec<&'static str>,
}

impl<'a> Lanes<'a> {
    /// Nothing yet. What failed scenarios leave to look at goes below `saved`.
    pub fn new(stage: &'a Stage, saved: &'a Path) -> Self {
        Self {
            stage,
            saved,
            outcomes: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Runs these, at most so many at a time, and prints a line as each ends.
    pub async fn run(&mut self, runs: &[Run], lanes: usize) {
        let queue = RefCell::new(runs.iter().enumerate());
        let lanes = lanes.min(runs.len());
        let outcomes = RefCell::new(Vec::new());
        let lane = async |mut before: Vec<&'static str>| {
            loop {
                let Some((place, run)) = queue.borrow_mut().next() else {
                    return before;
                };
                let ends = join_all(before.drain(..).map(|name| self.stage.forget(name)));
                let run = table::run(self.stage, run, lanes == 1, self.saved);
                let (outcome, _) = tokio::join!(run, ends);
                eprintln!("{}", table::line(&outcome));
                before.push(outcome.name());
                outcomes.borrow_mut().push((place, outcome));
            }
        };
        // What is left of the runs before goes with the first lane's first.
        let mut left = vec![Vec::new(); lanes];
        if let Some(first) = left.first_mut() {
            first.append(&mut self.over);
        }
        let left = join_all(left.into_iter().map(lane)).await;
        self.over.extend(left.into_iter().flatten());
        let mut outcomes = outcomes.into_inner();
        outcomes.sort_by_key(|(place, _)| *place);
        self.outcomes
            .extend(outcomes.into_iter().map(|(_, outcome)| outcome));
    }

    /// All that has run, in the order given.
    pub fn end(self) -> Vec<Outcome> {
        self.outcomes
    }
}
