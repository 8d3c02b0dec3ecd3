//! A report as one HTML file: plots as inline SVG, no script, nothing that is fetched from anywhere.
//!
//! Whatever came from a cluster, a file or a metrics source is text, and becomes text: it is escaped in
//! one place, [`text`], and a policy in the page forbids what escaping might have missed.

mod plot;

use std::fmt::Write as _;
use std::path::Path;

use k8s_openapi::ByteString;
use sha2::{Digest, Sha256};

use super::analyze::{self, time};
use super::backtest;
use super::error::CliError;
use super::forecast;
use super::style::clean;
use super::words;
use crate::analysis::replay::Moment;
use crate::api::analysis_status::Verdict;
use plot::{Band, Curve, Plot};

/// All of the page's style, for light and dark.
const STYLE: &str = include_str!("page/style.css");

/// Writes a page.
///
/// # Errors
/// When the file cannot be written.
pub fn write(file: &Path, page: &str) -> Result<(), CliError> {
    std::fs::write(file, page)
        .map_err(|e| CliError::Refused(format!("--html {} cannot be written: {e}", file.display())))
}

/// Text from outside as text of a page, in an element or a quoted attribute.
#[must_use]
pub fn text(outside: &str) -> String {
    let mut safe = String::with_capacity(outside.len());
    for c in clean(outside).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The policy of the page: its own style, known by its hash, and nothing else.
fn policy() -> String {
    let digest = ByteString(Sha256::digest(STYLE).to_vec());
    let hash = serde_json::to_value(digest).unwrap_or_default();
    let hash = hash.as_str().unwrap_or_default().to_owned();
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// Elements one after the other.
#[derive(Default)]
struct Body(String);

impl Body {
    fn tag(&mut self, tag: &str, outside: &str) {
        self.classed(tag, "", outside);
    }

    fn classed(&mut self, tag: &str, class: &str, outside: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        // A String takes everything.
        let _ = writeln!(self.0, "<{tag}{class}>{}</{tag}>", text(outside));
    }

    fn facts<'t>(&mut self, facts: impl IntoIterator<Item = (&'t str, String)>) {
        self.0.push_str("<dl>\n");
        for (name, value) in facts {
            let (name, value) = (text(name), text(&value));
            let _ = writeln!(self.0, "<dt>{name}</dt><dd>{value}</dd>");
        }
        self.0.push_str("</dl>\n");
    }

    fn table(&mut self, rows: impl IntoIterator<Item = Vec<String>>) {
        self.0.push_str("<table>\n");
        for (i, row) in rows.into_iter().enumerate() {
            let tag = if i == 0 { "th" } else { "td" };
            let cells: String = row
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", text(cell)))
                .collect();
            let _ = writeln!(self.0, "<tr>{cells}</tr>");
        }
        self.0.push_str("</table>\n");
    }

    fn page(self, title: &str) -> String {
        let (title, policy, body) = (text(title), policy(), self.0);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::Inconclusive | Verdict::NoData | Verdict::SourceError => "open",
    }
}

/// The page of `analyze`, and of a past rollout that `backtest` plays again.
#[must_use]
pub fn of_analysis(report: &analyze::Report) -> String {
    let mut body = Body::default();
    body.tag("h1", &report.template);
    body.facts([
        ("Versions", report.versions.clone()),
        ("Metrics", report.source.clone()),
        ("From", time(report.from)),
        ("To", time(report.to)),
        ("A pass would allow", format!("{} %", report.weight)),
    ]);
    for note in &report.notes {
        body.classed("p", "note", note);
    }
    let verdict = report.status.verdict.unwrap_or(Verdict::Inconclusive);
    body.classed("p", class_of(verdict), &format!("{verdict:?}"));
    body.tag("p", &report.status.message);
    body.tag("p", &analyze::ended(report));
    for (metric, beside) in report.status.metrics.iter().zip(&report.metrics) {
        body.tag("h2", &metric.name);
        body.classed(
            "p",
            class_of(metric.verdict),
            &format!("{:?}", metric.verdict),
        );
        body.tag("p", &metric.message);
        if let Some(trouble) = &metric.trouble {
            let said = format!("{}: {}", trouble.reason, trouble.message);
            body.classed("p", "note", &said);
        }
        if let Some(compared) = &metric.comparison {
            for sentence in analyze::of_comparison(compared, beside) {
                body.tag("p", &sentence);
            }
        }
        if !beside.moments.is_empty() {
            let moments: Vec<&Moment> = analyze::thinned(&beside.moments).collect();
            for plot in plots(&moments, report.from) {
                body.0.push_str(&plot.svg());
            }
        }
        for (name, query) in &beside.queries {
            body.classed("p", "query", &format!("{name}: {query}"));
        }
    }
    body.page(&format!("{} on past metrics", report.template))
}

/// Evidence against its limits, the effect with its interval, the counts.
fn plots(moments: &[&Moment], from: i64) -> Vec<Plot> {
    let minutes = |m: &&Moment| (m.at - from) as f64 / 60.0;
    let of =
        |name: &'static str, class: &'static str, value: &dyn Fn(&Moment) -> Option<f64>| Curve {
            name,
            class,
            points: moments
                .iter()
                .filter_map(|m| value(m).map(|y| (minutes(m), y)))
                .collect(),
        };
    let part = |e: crate::api::analysis_status::Evidence| {
        (e.limit > 0.0 && e.log.is_finite()).then(|| (e.log / e.limit).clamp(-0.5, 1.1))
    };
    let expected = |m: &Moment| {
        (m.stable.requests > 0.0).then(|| m.canary.requests * m.stable.bad / m.stable.requests)
    };
    let effect = |pick: fn(&crate::api::analysis_status::Effect) -> f64| {
        move |m: &Moment| {
            let times = m.effect.as_ref().map(pick)?;
            (times > 0.0).then(|| times.clamp(0.1, 10.0).log10())
        }
    };
    vec![
        Plot {
            title: "Evidence on its way to the limit at which it decides",
            low: -0.5,
            high: 1.1,
            marks: vec![(0.0, "nothing".into()), (1.0, "decides".into())],
            curves: vec![
                of("harm", "harm", &|m| part(m.harm)),
                of("gross harm", "gross", &|m| part(m.gross)),
                of("safe", "safe", &|m| part(m.safe)),
            ],
            band: None,
        },
        Plot {
            title: "How many times stable's, with its interval",
            low: -1.0,
            high: 1.0,
            marks: [0.1, 0.5, 1.0, 2.0, 10.0]
                .map(|n: f64| (n.log10(), words::digits(n)))
                .to_vec(),
            curves: vec![of("most likely", "effect", &effect(|e| e.times))],
            band: Some(Band {
                lower: of("", "", &effect(|e| e.lower)).points,
                upper: of("", "", &effect(|e| e.upper)).points,
            }),
        },
        Plot::from_zero(
            "Bad ones, and those to be expected if it behaved like stable",
            vec![
                of("new version", "canary", &|m| Some(m.canary.bad)),
                of("expected", "expected", &expected),
            ],
        ),
    ]
}

/// The page of `backtest` on rollouts that never were.
#[must_use]
pub fn of_placebos(report: &backtest::Report) -> String {
    let mut body = Body::default();
    body.tag("h1", &format!("Backtest of {}", report.template));
    body.facts([
        ("Versions", report.versions.clone()),
        ("Metrics", report.source.clone()),
        ("From", time(report.stretch.from)),
        ("To", time(report.stretch.to)),
        ("Pods for a new version", report.pods.to_string()),
        ("Seed", report.seed.to_string()),
    ]);
    for note in &report.notes {
        body.classed("p", "note", note);
    }
    body.tag("h2", "Without a regression");
    body.facts(backtest::conclusions(report));
    body.tag("h2", "With a regression");
    let head = backtest::HEAD.map(str::to_owned).to_vec();
    body.table(std::iter::once(head).chain(report.regressions.iter().map(backtest::row)));
    body.page(&format!("Backtest of {}", report.template))
}

/// The page of `forecast`.
#[must_use]
pub fn of_forecast(report: &forecast::Report) -> String {
    let mut body = Body::default();
    body.tag("h1", &format!("Forecast for {}", report.template));
    body.facts([
        ("Plan", report.plan.clone()),
        ("Numbers", report.source.clone()),
    ]);
    for note in &report.notes {
        body.classed("p", "note", note);
    }
    for metric in &report.metrics {
        body.tag("h2", &metric.name);
        body.tag("p", &forecast::numbers(metric));
        let head = forecast::HEAD.map(str::to_owned).to_vec();
        let steps = report.stretches.iter().zip(&metric.outlooks);
        let rows = steps.clone().map(|(planned, o)| forecast::row(planned, o));
        body.table(std::iter::once(head).chain(rows));
        for (planned, o) in steps {
            for (_, remark) in forecast::remarks(metric, planned, o) {
                body.classed("p", "note", &format!("{}: {remark}", planned.step));
            }
        }
    }
    body.page(&format!("Forecast for {}", report.template))
}

#[cfg(test)]
mod tests;
