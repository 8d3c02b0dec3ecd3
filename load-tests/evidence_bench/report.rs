//! What a setting found: a table, and the goals that it is held against. As text for people, or as
//! JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What one setting found.
#[derive(Debug, Default)]
pub struct Report {
    pub setting: &'static str,
    pub title: String,
    pub runs: u64,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    pub goals: Vec<Goal>,
    /// What must be known to read the table.
    pub notes: Vec<String>,
    pub seconds: f64,
}

/// One field of a table.
#[derive(Debug, Clone)]
pub enum Cell {
    Text(String),
    /// A number with so many decimals.
    Number(f64, usize),
    /// There is no such number.
    Nothing,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A share in percent.
    pub fn percent(share: f64) -> Self {
        Self::Number(share * 100.0, 2)
    }

    /// Whole seconds; nothing where they were not reached.
    pub fn seconds(seconds: Option<f64>) -> Self {
        seconds.map_or(Self::Nothing, |s| Self::Number(s, 0))
    }

    pub fn ratio(ratio: Option<f64>) -> Self {
        ratio.map_or(Self::Nothing, |r| Self::Number(r, 2))
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(n, decimals) => format!("{n:.decimals$}"),
            Self::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(n, _) => json!(n),
            Self::Nothing => Value::Null,
        }
    }
}

/// A number that is asked for.
#[derive(Debug)]
pub struct Goal {
    pub what: String,
    pub measured: f64,
    pub goal: f64,
    pub unit: &'static str,
    /// Met where the number is not larger; else where it is not smaller.
    pub at_most: bool,
}

impl Goal {
    pub fn at_most(what: impl Into<String>, measured: f64, goal: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            measured,
            goal,
            unit,
            at_most: true,
        }
    }

    pub fn at_least(what: impl Into<String>, measured: f64, goal: f64, unit: &'static str) -> Self {
        Self {
            at_most: false,
            ..Self::at_most(what, measured, goal, unit)
        }
    }

    pub fn met(&self) -> bool {
        if self.at_most {
            self.measured <= self.goal
        } else {
            self.measured >= self.goal
        }
    }
}

/// `percent` and two standard errors of `runs`: what chance alone may bring a share to.
pub fn with_errors(percent: f64, runs: usize) -> f64 {
    let p = percent / 100.0;
    percent + 200.0 * (p * (1.0 - p) / runs.max(1) as f64).sqrt()
}

/// The share of runs that are `true`.
pub fn share<'a>(runs: impl IntoIterator<Item = &'a bool>) -> f64 {
    let (yes, all) = runs
        .into_iter()
        .fold((0.0, 0.0), |(yes, all), b| (yes + f64::from(*b), all + 1.0));
    yes / f64::max(all, 1.0)
}

/// The share of runs in which something was found.
pub fn found(runs: &[Option<f64>]) -> f64 {
    share(&runs.iter().map(Option::is_some).collect::<Vec<_>>())
}

/// The median where more than half have one; those that have none are the largest.
pub fn median(runs: &[Option<f64>]) -> Option<f64> {
    let mut all: Vec<f64> = runs.iter().map(|r| r.unwrap_or(f64::INFINITY)).collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().filter(|m| m.is_finite())
}

impl Report {
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let cells = self.columns.iter().zip(row);
                let cells = cells.map(|(column, cell)| ((*column).to_owned(), cell.json()));
                Value::Object(cells.collect::<Map<_, _>>())
            })
            .collect();
        let goals: Vec<Value> = self
            .goals
            .iter()
            .map(|g| {
                json!({
                    "what": g.what, "measured": g.measured, "goal": g.goal, "unit": g.unit,
                    "kind": if g.at_most { "at most" } else { "at least" }, "met": g.met(),
                })
            })
            .collect();
        json!({
            "setting": self.setting, "title": self.title, "runs": self.runs, "columns": self.columns,
            "rows": rows, "goals": goals, "notes": self.notes, "seconds": self.seconds,
        })
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "## {}: {}\n{} runs for each row unless it says so, {:.0} s\n\n",
            self.setting, self.title, self.runs, self.seconds
        );
        let shown: Vec<Vec<String>> =
            std::iter::once(Vec::from_iter(self.columns.iter().map(|c| (*c).to_owned())))
                .chain(
                    self.rows
                        .iter()
                        .map(|row| row.iter().map(Cell::shown).collect()),
                )
                .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = shown.iter().filter_map(|row| row.get(column));
                cells.map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for (number, row) in shown.iter().enumerate() {
            text.push('|');
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, " {cell:<width$} |");
            }
            text.push('\n');
            if number == 0 {
                let line: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
                let _ = writeln!(text, "|{}|", line.join("|"));
            }
        }
        text.push('\n');
        for goal in &self.goals {
            let _ = writeln!(
                text,
                "{}: {}: {:.2} {}, goal {} {:.2}",
                if goal.met() { "met" } else { "MISSED" },
                goal.what,
                goal.measured,
                goal.unit,
                if goal.at_most { "at most" } else { "at least" },
                goal.goal
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_counts_those_that_never_came() {
        let runs = [Some(30.0), None, Some(15.0)];
        assert_eq!(median(&runs), Some(30.0));
        assert_eq!(median(&[Some(15.0), None, None]), None);
        assert!((found(&runs) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_chance_may_bring_is_allowed() {
        assert!((with_errors(1.0, 20_000) - 1.1407).abs() < 1e-3);
        let goal = Goal::at_most("false aborts", 1.1, with_errors(1.0, 20_000), "%");
        assert!(goal.met());
        assert!(!Goal::at_least("found", 64.0, 65.0, "%").met());
    }
}
