//! Arguments of the commands that look at a template: `analyze`, `backtest` and `forecast`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use jiff::Timestamp;

use crate::analysis::percent;
use crate::core::duration;

/// Longest stretch that is looked at: what a Prometheus keeps by default is 15 days.
const STRETCH_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// Which template, whose versions.
#[derive(Args, Debug, Clone, Default)]
pub struct Study {
    /// Name of the AnalysisTemplate in the namespace
    #[arg(value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// A file with the template, instead of the cluster's; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// TEMPLATE is a ClusterAnalysisTemplate
    #[arg(long)]
    pub cluster_scope: bool,
    /// The Rollout whose versions are meant; it gives the args and the built-in values, too
    #[arg(long, value_name = "NAME", conflicts_with_all = ["canary", "stable"])]
    pub rollout: Option<String>,
    /// Label matchers of the new version's series, as in 'version="2"'
    #[arg(long, requires = "stable", value_name = "SELECTOR")]
    pub canary: Option<String>,
    /// Label matchers of the stable version's series
    #[arg(long, value_name = "SELECTOR")]
    pub stable: Option<String>,
    /// A value for one of the template's args; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub args: Vec<(String, String)>,
    /// Where metrics come from.
    #[command(flatten)]
    pub metrics: Metrics,
}

/// Where metrics come from.
#[derive(Args, Debug, Clone, Default)]
pub struct Metrics {
    /// Prometheus itself [default: the template's MetricsProvider, through the API server]
    #[arg(long, value_name = "URL")]
    pub prometheus_url: Option<String>,
    /// A file with a bearer token for --prometheus-url [default: $TIDEGATE_PROMETHEUS_TOKEN, else none]
    #[arg(long, value_name = "FILE", requires = "prometheus_url")]
    pub token_file: Option<PathBuf>,
}

/// `analyze`
#[derive(Args, Debug)]
pub struct Analyze {
    /// What.
    #[command(flatten)]
    pub study: Study,
    /// As if the run had begun so long ago
    #[arg(long, default_value = "30m", value_parser = stretch, value_name = "TIME")]
    pub last: Duration,
    /// The weight in percent that a pass would allow: the more, the more must be shown
    #[arg(long, default_value_t = 100, value_parser = value_parser!(i32).range(1..=100), value_name = "PERCENT")]
    pub weight: i32,
    /// Write a page with plots, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `backtest`
#[derive(Args, Debug)]
pub struct Backtest {
    /// What.
    #[command(flatten)]
    pub study: Study,
    /// Play an AnalysisRun of the namespace again, from its start to its end
    #[arg(long, value_name = "NAME", conflicts_with_all = ["template", "file", "rollout", "canary", "stable", "args"])]
    pub run: Option<String>,
    /// The beginning, as 2026-11-29T08:00:00Z, or as a time before now, as 7d is
    #[arg(long, default_value = "7d", value_parser = moment, value_name = "TIME")]
    pub from: Moment,
    /// The end, likewise
    #[arg(long, default_value = "0s", value_parser = moment, value_name = "TIME")]
    pub to: Moment,
    /// How many rollouts that never were are played, without --canary
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u16).range(1..=2000), value_name = "NUMBER")]
    pub runs: u16,
    /// How many pods stand for the new version in each of them
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=100), value_name = "NUMBER")]
    pub pods: u16,
    /// The numbers by which moments and pods are chosen: one seed, one result
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// The weight in percent that a pass would allow
    #[arg(long, default_value_t = 100, value_parser = value_parser!(i32).range(1..=100), value_name = "PERCENT")]
    pub weight: i32,
    /// Write a page with plots, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `forecast`
#[derive(Args, Debug)]
pub struct Forecast {
    /// What.
    #[command(flatten)]
    pub study: Study,
    /// Plan by hand: the new version's share of the traffic in percent
    #[arg(long, value_parser = value_parser!(i32).range(1..=99), value_name = "PERCENT")]
    pub weight: Option<i32>,
    /// Plan by hand: how long the step lasts
    #[arg(long, value_parser = stretch, value_name = "TIME", requires = "weight")]
    pub duration: Option<Duration>,
    /// Requests a second of all versions together [default: as measured]
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    pub rate: Option<f64>,
    /// The stable version's share of bad requests, as in 0.1% [default: as measured]
    #[arg(long, value_parser = share, value_name = "PERCENT")]
    pub ratio: Option<f64>,
    /// How far back is measured
    #[arg(long, default_value = "30m", value_parser = stretch, value_name = "TIME")]
    pub last: Duration,
    /// Write a page with the plan, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// A moment as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A date with a time.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// The moment, in Unix seconds.
    #[must_use]
    pub fn second(&self, now: i64) -> i64 {
        match self {
            Self::At(at) => at.as_second(),
            Self::Ago(ago) => now.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)),
        }
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn time(text: &str) -> Result<Duration, String> {
    let time = days(text).map_or_else(
        || duration::parse(text).map_err(|e| e.to_string()),
        |days| Ok(jiff::SignedDuration::from_hours(24 * days)),
    )?;
    let time = Duration::try_from(time).map_err(|e| e.to_string())?;
    if time > STRETCH_MAX {
        return Err("at most 31d is allowed".to_owned());
    }
    Ok(time)
}

/// `7d`, which no field of a resource knows.
fn days(text: &str) -> Option<i64> {
    text.strip_suffix('d')?.parse::<u16>().ok().map(i64::from)
}

fn stretch(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < Duration::from_secs(60) {
        return Err("at least 1m is needed: less holds no two scrapes for certain".to_owned());
    }
    Ok(time)
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    time(text).map(Moment::Ago).map_err(|why| {
        format!("{text:?} is neither a moment such as 2026-11-29T08:00:00Z nor a time before now such as 7d or 12h ({why})")
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if number.is_finite() && number > 0.0 && number <= 1e9 {
        Ok(number)
    } else {
        Err("more than 0 and at most 1000000000 requests a second are allowed".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    match percent::parse(text) {
        Ok(share) if share < 1.0 => Ok(share),
        Ok(_) => Err("less than 100% is allowed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_times_before_now() {
        let at = |text: &str| moment(text).map(|m| m.second(1_000_000));
        assert_eq!(at("1970-01-02T00:00:00Z"), Ok(86_400));
        assert_eq!(at("7d"), Ok(1_000_000 - 604_800));
        assert_eq!(at("1h30m"), Ok(1_000_000 - 5_400));
        for wrong in ["yesterday", "40d", "-1h", "", "d"] {
            let error = at(wrong).unwrap_err();
            assert!(error.contains("neither a moment"), "{wrong}: {error}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused() {
        assert_eq!(pair("service=a=b"), Ok(("service".into(), "a=b".into())));
        assert!(pair("=x").is_err() && pair("x").is_err());
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("12.5").is_ok());
        assert!(share("100%").is_err() && share("0.5").is_err() && share("0.1%").is_ok());
        assert!(stretch("59s").is_err() && stretch("1m").is_ok());
    }
}
