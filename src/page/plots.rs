//! Curves as data for the script that draws them, and as a table for who does not see them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::parts::Part;
use super::past::{Curve, Past, Shares};
use crate::cli::words;

/// Rows of the table beside a plot: the last ones.
const TABLE_ROWS: usize = 12;

/// Plots as they stand in a part.
#[derive(Template)]
#[template(path = "plots.html")]
struct Drawn<'a> {
    plots: &'a [Plot],
}

/// Plots as a piece of HTML, each with its table.
#[must_use]
pub fn html(plots: &[Plot]) -> String {
    Part::of("plots", &Drawn { plots }).html
}

/// One plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Its id in the page; the script finds the drawing again by it.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What the script draws, as JSON.
    pub data: String,
    /// Names of the table's columns behind the time.
    pub columns: Vec<String>,
    /// The table.
    pub rows: Vec<Row>,
}

/// A moment in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `2m ago`
    pub ago: String,
    /// A value for each column.
    pub cells: Vec<String>,
}

/// A line in a plot: its name, whether it goes in steps, and its points.
struct Line {
    name: &'static str,
    steps: bool,
    points: Vec<(i64, Option<f64>)>,
}

impl Line {
    fn of<V: Clone + PartialEq>(
        name: &'static str,
        steps: bool,
        curve: &Curve<V>,
        value: impl Fn(&V) -> f64,
        now: i64,
    ) -> Self {
        let points = curve.points().iter();
        let number = |v: &V| Some(value(v)).filter(|v| v.is_finite());
        let mut points: Vec<(i64, Option<f64>)> = points.map(|(at, v)| (*at, number(v))).collect();
        // What is held until it is something else still holds.
        if let Some((at, last)) = points.last().copied()
            && steps
            && at < now
        {
            points.push((now, last));
        }
        Self {
            name,
            steps,
            points,
        }
    }
}

/// Traffic of the new version: authorised, accepted, observed.
#[must_use]
pub fn traffic(past: &Past, now: Timestamp) -> Plot {
    let second = now.as_second();
    let lines = [
        Line::of(
            "authorised",
            true,
            past.weight(),
            |w| f64::from(w.0),
            second,
        ),
        Line::of("accepted", true, past.weight(), |w| f64::from(w.1), second),
        Line::of("observed", false, past.observed(), |share| *share, second),
    ];
    plot(
        "traffic",
        "Share of the new version in percent",
        &lines,
        None,
        second,
    )
}

/// Evidence for harm and for safety of a metric, in percent of the limits; none before there is a
/// second moment: one makes no curve.
#[must_use]
pub fn evidence(id: &str, metric: &str, curve: &Curve<Shares>, now: Timestamp) -> Option<Plot> {
    let second = now.as_second();
    let lines = [
        Line::of("harm", true, curve, |shares| shares.0, second),
        Line::of("safety", true, curve, |shares| shares.1, second),
    ];
    let points = lines.iter().flat_map(|line| &line.points);
    let known = points.filter(|(_, value)| value.is_some());
    let moments: BTreeSet<i64> = known.map(|(at, _)| *at).collect();
    (moments.len() > 1).then(|| {
        let title = format!("Evidence about {metric} in percent of the limits");
        plot(id, &title, &lines, Some(100.0), second)
    })
}

fn plot(id: &str, title: &str, lines: &[Line], limit: Option<f64>, now: i64) -> Plot {
    let mut moments: BTreeMap<i64, Vec<Option<f64>>> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        for (at, value) in &line.points {
            let all = moments
                .entry(*at)
                .or_insert_with(|| vec![None; lines.len()]);
            if let Some(cell) = all.get_mut(place) {
                *cell = *value;
            }
        }
    }
    // A step holds until the next one, also where only another line has a point.
    let mut held: Vec<Option<f64>> = vec![None; lines.len()];
    for all in moments.values_mut() {
        for ((cell, held), line) in all.iter_mut().zip(&mut held).zip(lines) {
            if cell.is_some() {
                *held = *cell;
            } else if line.steps {
                *cell = *held;
            }
        }
    }
    let column = |place: usize| -> Vec<Value> {
        let all = moments.values();
        all.map(|all| json!(all.get(place).copied().flatten()))
            .collect()
    };
    let lines_of: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| json!({"name": line.name, "steps": line.steps, "y": column(place)}))
        .collect();
    let times: Vec<i64> = moments.keys().copied().collect();
    let data = json!({"x": times, "lines": lines_of, "limit": limit});
    let rows = moments.iter().rev().take(TABLE_ROWS).map(|(at, all)| Row {
        ago: format!("{} ago", words::length((now - at).max(0))),
        cells: all
            .iter()
            .map(|cell| cell.map_or_else(|| "–".to_owned(), |v| format!("{} %", words::digits(v))))
            .collect(),
    });
    Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        data: data.to_string(),
        columns: lines.iter().map(|line| line.name.to_owned()).collect(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn lines_share_their_moments_and_steps_hold() {
        let mut curve = Curve::default();
        curve.push(10, (0.0, 5.0));
        curve.push(20, (50.0, 5.0));
        let plot = evidence("e", "errors", &curve, at(30)).unwrap();
        let data: Value = serde_json::from_str(&plot.data).unwrap();
        assert_eq!(data["x"], json!([10, 20, 30]));
        assert_eq!(data["lines"][0]["y"], json!([0.0, 50.0, 50.0]));
        assert_eq!(data["limit"], json!(100.0));
        assert_eq!(plot.rows[0].cells, ["50 %", "5 %"]);
        assert_eq!(plot.rows[2].ago, "20s ago");
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_no_number() {
        let mut curve = Curve::default();
        curve.push(10, (1.0, f64::NAN));
        assert_eq!(evidence("e", "errors", &curve, at(10)), None);
        curve.push(20, (1.0, f64::NAN));
        let plot = evidence("e", "errors", &curve, at(20)).unwrap();
        let data: Value = serde_json::from_str(&plot.data).unwrap();
        assert_eq!(data["lines"][1]["y"], json!([null, null]));
        assert_eq!(plot.rows[0].cells, ["1 %", "–"]);
        let mut nothing = Curve::default();
        nothing.push(10, (f64::NAN, f64::NAN));
        nothing.push(20, (f64::NAN, f64::NAN));
        assert_eq!(evidence("e", "errors", &nothing, at(20)), None);
    }
}
