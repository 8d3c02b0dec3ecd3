//! A body with places for a notice's fields: `{{title}}`. A place in a body that is JSON stands within a
//! text, and what is put there is escaped, so that no message from the cluster can end that text.

use jiff::Timestamp;
use serde_json::Value;

use crate::notify::notice::{Notice, sample};

/// Largest body as it is written.
const BODY_MAX: usize = 16 * 1024;

/// The fields that may be named.
const FIELDS: [&str; 14] = [
    "id",
    "kind",
    "at",
    "cluster",
    "namespace",
    "rollout",
    "revision",
    "reason",
    "title",
    "why",
    "images",
    "revert",
    "commit",
    "diff",
];

/// A body, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

impl Template {
    /// Reads a body; `json`: what comes of it has to be JSON.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn parse(text: &str, json: bool) -> Result<Self, String> {
        if text.len() > BODY_MAX {
            return Err(format!("has {} bytes; allowed are {BODY_MAX}", text.len()));
        }
        let allowed = FIELDS.map(|field| format!("{{{{{field}}}}}")).join(", ");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after
                .split_once("}}")
                .ok_or_else(|| format!("has {{{{ without }}}} after it; allowed are {allowed}"))?;
            let field = FIELDS.into_iter().find(|field| *field == name.trim());
            let field = field.ok_or_else(|| {
                let name: String = name.chars().take(40).collect();
                format!("{{{{{name}}}}} is no field; allowed are {allowed}")
            })?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Field(field));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self { parts, json };
        if json {
            let body = template.render(&sample(Timestamp::UNIX_EPOCH));
            serde_json::from_str::<Value>(&body).map_err(|error| {
                format!(
                    "is not JSON when its fields are filled in (line {}); write each field within a text, as in \"{{{{title}}}}\"",
                    error.line()
                )
            })?;
        }
        Ok(template)
    }

    /// The body for a notice.
    #[must_use]
    pub fn render(&self, notice: &Notice) -> String {
        let mut body = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => body.push_str(text),
                Part::Field(field) if self.json => {
                    let quoted = Value::from(value(notice, field)).to_string();
                    // Without its quotation marks: they stand in the template.
                    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
                    body.push_str(inner.unwrap_or_default());
                }
                Part::Field(field) => body.push_str(&value(notice, field)),
            }
        }
        body
    }
}

fn value(notice: &Notice, field: &str) -> String {
    match field {
        "id" => notice.id.clone(),
        "kind" => notice.kind.as_str().to_owned(),
        "at" => notice.at.to_string(),
        "cluster" => notice.cluster.clone(),
        "namespace" => notice.namespace.clone(),
        "rollout" => notice.rollout.clone(),
        "revision" => notice.revision.to_string(),
        "reason" => notice.reason.clone(),
        "title" => notice.title.clone(),
        "why" => notice.why.clone(),
        "images" => notice.images.join(", "),
        "revert" => notice.revert.clone(),
        "commit" => notice.commit.clone(),
        "diff" => notice.diff.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_cannot_break_out_of_its_text() {
        let template = Template::parse(r#"{"text": "{{ title }}: {{why}}"}"#, true).unwrap();
        let mut notice = sample(Timestamp::UNIX_EPOCH);
        notice.why = "\", \"admin\": \"yes\n{{title}}".to_owned();
        let body: Value = serde_json::from_str(&template.render(&notice)).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        assert!(body["text"].as_str().unwrap().ends_with(&notice.why));
    }

    #[test]
    fn each_field_that_may_be_named_is_filled_in() {
        let mut notice = sample(Timestamp::UNIX_EPOCH);
        notice.cluster = "east".to_owned();
        for field in FIELDS {
            let template = Template::parse(&format!("[{{{{{field}}}}}]"), false).unwrap();
            let text = template.render(&notice);
            assert!(text.len() > 2, "{field}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (body, json, why) in [
            (
                "{{titel}}",
                false,
                "{{titel}} is no field; allowed are {{id}}",
            ),
            ("a {{title", false, "has {{ without }}"),
            (r#"{"a": {{title}}}"#, true, "is not JSON"),
            ("hello", true, "is not JSON"),
            (r#"{"n": {{revision}}}"#, false, ""),
        ] {
            match Template::parse(body, json) {
                Ok(_) => assert!(why.is_empty(), "{body}"),
                Err(error) => assert!(error.contains(why) && !why.is_empty(), "{error}"),
            }
        }
        // A number that stands outside of a text is one.
        assert!(Template::parse(r#"{"n": {{revision}}}"#, true).is_ok());
        assert!(Template::parse(&"x".repeat(BODY_MAX + 1), false).is_err());
    }
}
