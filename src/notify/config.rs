//! The file that `--notifications-config` names: who is told what, and how. It is read once, at the start,
//! and refused as a whole if anything in it cannot be meant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::formats::template::Template;
use super::formats::{Format, webhook};
use super::http::{self, Target};
use super::notice::{Kind, Notice};
use super::reading::{Fields, Problem, form, problem};
use crate::metrics_source::CaBundle;

/// Largest file: as much as a Secret holds.
const BYTES_MAX: u64 = 1024 * 1024;
/// Most receivers. Each has a queue and a series for each of its outcomes.
const RECEIVERS_MAX: usize = 20;
/// Most patterns of namespaces.
const PATTERNS_MAX: usize = 100;
/// Longest name of a receiver.
const NAME_MAX: usize = 63;

/// Why notifications cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("--notifications-config {path}: cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too long.
    #[error("--notifications-config {0}: is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// It is no YAML. The text stays unsaid: there are secrets in it.
    #[error("--notifications-config {path}: is no YAML at line {line}")]
    NoYaml {
        /// Which.
        path: PathBuf,
        /// Where.
        line: u64,
    },
    /// What is in it.
    #[error("--notifications-config {path}: {problem}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        problem: Problem,
    },
}

/// Who is told what.
#[derive(Debug, Default)]
pub struct Config {
    pub(super) receivers: Vec<Receiver>,
}

/// One who is told.
#[derive(Debug)]
pub struct Receiver {
    /// Its name in logs and metrics.
    pub name: String,
    /// How it wants it.
    pub(super) format: Format,
    /// Where it is told.
    pub(super) target: Target,
    filter: Filter,
}

/// What a receiver wants to hear.
#[derive(Debug, Default)]
struct Filter {
    /// Names of namespaces, or their beginnings with `*` after them; empty: all.
    namespaces: Vec<String>,
    /// Empty: all.
    kinds: BTreeSet<Kind>,
}

impl Receiver {
    /// Whether it wants to hear of this.
    #[must_use]
    pub fn wants(&self, notice: &Notice) -> bool {
        let meant = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => notice.namespace.starts_with(beginning),
            None => notice.namespace == *pattern,
        };
        let Filter { namespaces, kinds } = &self.filter;
        (namespaces.is_empty() || namespaces.iter().any(meant))
            && (kinds.is_empty() || kinds.contains(&notice.kind))
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`]: field, what is wrong with it and what is allowed. No value that may be a secret.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let value: Value = serde_saphyr::from_str(&text).map_err(|error| ConfigError::NoYaml {
            path: path.to_owned(),
            line: error.location().map_or(1, |at| at.line()),
        })?;
        Self::parse(&value).map_err(|problem| ConfigError::Content {
            path: path.to_owned(),
            problem,
        })
    }

    /// Reads what a file has in it.
    ///
    /// # Errors
    /// [`Problem`]: the first thing that cannot be meant.
    pub fn parse(value: &Value) -> Result<Self, Problem> {
        let file = Fields::of(value, "", &["receivers"])?;
        let list = file
            .get("receivers")
            .ok_or_else(|| problem("receivers", "is missing; it is needed"))?;
        let list = list
            .as_array()
            .ok_or_else(|| problem("receivers", format!("is {}; allowed is a list", form(list))))?;
        if list.is_empty() || list.len() > RECEIVERS_MAX {
            let what = format!(
                "has {} entries; allowed are 1 to {RECEIVERS_MAX}",
                list.len()
            );
            return Err(problem("receivers", what));
        }
        let mut receivers: Vec<Receiver> = Vec::new();
        for (i, value) in list.iter().enumerate() {
            let path = format!("receivers[{i}]");
            let receiver = receiver(value, &path)?;
            if receivers.iter().any(|r| r.name == receiver.name) {
                let what = format!("{:?} is the name of another receiver, too", receiver.name);
                return Err(problem(format!("{path}.name"), what));
            }
            receivers.push(receiver);
        }
        Ok(Self { receivers })
    }

    /// The receivers, in the file's order.
    #[must_use]
    pub fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }
}

/// What stands where nothing does.
static NOTHING: Value = Value::Null;
/// How a receiver may want it.
const FORMATS: [&str; 3] = ["slack", "webhook", "cloudEvents"];

fn receiver(value: &Value, path: &str) -> Result<Receiver, Problem> {
    let allowed = [
        "name",
        "namespaces",
        "kinds",
        "slack",
        "webhook",
        "cloudEvents",
    ];
    let fields = Fields::of(value, path, &allowed)?;
    let name = fields.needed("name")?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > NAME_MAX || !name.chars().all(good) {
        let what = "allowed are 1 to 63 lower-case letters, digits and dashes";
        return Err(problem(fields.at("name"), what));
    }
    let given: Vec<&str> = FORMATS
        .into_iter()
        .filter(|format| fields.get(format).is_some())
        .collect();
    let [chosen] = given.as_slice() else {
        let what = format!(
            "has {} of {}; exactly one is needed",
            given.len(),
            FORMATS.join(", ")
        );
        return Err(problem(path, what));
    };
    let at = fields.at(chosen);
    let value = fields.get(chosen).unwrap_or(&NOTHING);
    let (format, target) = match *chosen {
        "slack" => {
            let fields = Fields::of(value, &at, &["url", "ca"])?;
            (Format::Slack, target(&fields, Vec::new())?)
        }
        "webhook" => webhook_of(value, &at)?,
        _ => {
            let fields = Fields::of(value, &at, &["url", "ca", "headers"])?;
            (Format::CloudEvents, target(&fields, headers(&fields)?)?)
        }
    };
    Ok(Receiver {
        name: name.to_owned(),
        format,
        target,
        filter: filter(&fields)?,
    })
}

fn webhook_of(value: &Value, path: &str) -> Result<(Format, Target), Problem> {
    let allowed = ["url", "ca", "headers", "signingKey", "contentType", "body"];
    let fields = Fields::of(value, path, &allowed)?;
    let key = fields.text("signingKey")?.map(str::trim);
    if key.is_some_and(|key| key.len() < webhook::KEY_MIN) {
        let what = format!(
            "is shorter than the {} bytes that are needed",
            webhook::KEY_MIN
        );
        return Err(problem(fields.at("signingKey"), what));
    }
    let content_type = fields.text("contentType")?.unwrap_or(webhook::JSON);
    if reqwest::header::HeaderValue::from_str(content_type).is_err() {
        let what = "has characters that no header may have; allowed is a media type, such as application/json";
        return Err(problem(fields.at("contentType"), what));
    }
    let json = webhook::is_json(content_type);
    let body = match fields.text("body")? {
        None if !json => {
            let what = "is missing; without contentType application/json it is needed";
            return Err(problem(fields.at("body"), what));
        }
        None => None,
        Some(text) => {
            Some(Template::parse(text, json).map_err(|what| problem(fields.at("body"), what))?)
        }
    };
    let format = Format::Webhook(Box::new(webhook::Webhook::new(content_type, body, key)));
    let target = target(&fields, headers(&fields)?)?;
    Ok((format, target))
}

fn target(fields: &Fields<'_>, headers: Vec<(String, String)>) -> Result<Target, Problem> {
    let url = fields.needed("url")?;
    let url = http::url(url).map_err(|what| problem(fields.at("url"), what))?;
    let ca = match fields.text("ca")? {
        None => None,
        Some(pem) => Some(
            CaBundle::read(pem.as_bytes())
                .map_err(|error| problem(fields.at("ca"), error.to_string()))?,
        ),
    };
    Target::new(url, headers, ca.as_ref()).map_err(|(field, what)| problem(fields.at(field), what))
}

fn headers(fields: &Fields<'_>) -> Result<Vec<(String, String)>, Problem> {
    let Some(value) = fields.get("headers") else {
        return Ok(Vec::new());
    };
    let at = fields.at("headers");
    let map = value
        .as_object()
        .ok_or_else(|| problem(&at, format!("is {}; allowed are fields", form(value))))?;
    let mut headers = Vec::new();
    for (name, value) in map {
        let value = value.as_str().ok_or_else(|| {
            problem(
                format!("{at}.{name}"),
                format!("is {}; allowed is a text", form(value)),
            )
        })?;
        headers.push((name.clone(), value.to_owned()));
    }
    Ok(headers)
}

fn filter(fields: &Fields<'_>) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for (i, pattern) in fields
        .texts("namespaces", PATTERNS_MAX)?
        .into_iter()
        .enumerate()
    {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if pattern.is_empty() || !name.chars().all(good) {
            let at = format!("{}[{i}]", fields.at("namespaces"));
            let what =
                format!("{pattern:?}; allowed is a namespace, or its beginning and * after it");
            return Err(problem(at, what));
        }
        filter.namespaces.push(pattern.to_owned());
    }
    for (i, word) in fields
        .texts("kinds", Kind::ALL.len())?
        .into_iter()
        .enumerate()
    {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        let kind = kind.ok_or_else(|| {
            let allowed = Kind::ALL.map(Kind::as_str).join(", ");
            let at = format!("{}[{i}]", fields.at("kinds"));
            problem(at, format!("{word:?} is no kind; allowed are {allowed}"))
        })?;
        filter.kinds.insert(kind);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
