//! A body of the user's, or all fields as JSON, with a signature if there is a key: HMAC-SHA256 over the
//! time, a dot and the body. The time is signed too, so that a receiver can turn old ones away.

use std::fmt;
use std::fmt::Write as _;

use jiff::Timestamp;
use ring::hmac;

use super::Request;
use super::template::Template;
use crate::notify::notice::Notice;

/// What a body is where nothing is said.
pub const JSON: &str = "application/json";
/// Shortest key, in bytes: 128 bits.
pub const KEY_MIN: usize = 16;
/// The same for the same notification, so that a receiver can leave out one that it has.
pub const ID_HEADER: &str = "tidegate-id";
/// Seconds since 1970, as they are signed.
pub const TIME_HEADER: &str = "tidegate-timestamp";
/// `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "tidegate-signature";

/// How a webhook is told.
pub struct Webhook {
    content_type: String,
    body: Option<Template>,
    key: Option<hmac::Key>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(not shown)")
    }
}

/// Whether a media type is that of JSON.
pub(in crate::notify) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(JSON) || kind.to_ascii_lowercase().ends_with("+json")
}

impl Webhook {
    /// With this media type, this body (all fields as JSON without one) and this key.
    #[must_use]
    pub fn new(content_type: &str, body: Option<Template>, key: Option<&str>) -> Self {
        Self {
            content_type: content_type.to_owned(),
            body,
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())),
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self, notice: &Notice, now: Timestamp) -> Request {
        let body = match &self.body {
            Some(template) => template.render(notice),
            // Texts, numbers and lists: it cannot fail.
            None => serde_json::to_string(notice).unwrap_or_default(),
        };
        let mut headers = vec![(ID_HEADER, notice.id.clone())];
        if let Some(key) = &self.key {
            let time = now.as_second().to_string();
            let signature = signature(key, &time, &body);
            headers.push((TIME_HEADER, time));
            headers.push((SIGNATURE_HEADER, signature));
        }
        Request {
            content_type: self.content_type.clone(),
            headers,
            body,
        }
    }
}

fn signature(key: &hmac::Key, time: &str, body: &str) -> String {
    let tag = hmac::sign(key, format!("{time}.{body}").as_bytes());
    let mut text = String::from("sha256=");
    for byte in tag.as_ref() {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::notify::notice::sample;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?". The dot between time
        // and body is a part of the data here: there is none in the example, so it is cut differently.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let published = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex, published);
        let ours = signature(&key, "1", "x");
        let theirs = hmac::sign(&key, b"1.x");
        let theirs: String = theirs.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(ours, format!("sha256={theirs}"));
    }

    #[test]
    fn without_a_template_all_fields_are_told_and_without_a_key_nothing_is_signed() {
        let notice = sample(Timestamp::UNIX_EPOCH);
        let plain = Webhook::new(JSON, None, None).request(&notice, Timestamp::UNIX_EPOCH);
        let body: Value = serde_json::from_str(&plain.body).unwrap();
        for field in ["id", "kind", "title", "why", "commit", "diff", "namespace"] {
            assert!(body[field].is_string(), "{field}");
        }
        assert_eq!(plain.headers, [(ID_HEADER, notice.id.clone())]);
        let signed = Webhook::new(JSON, None, Some("sixteen bytes ok"))
            .request(&notice, Timestamp::UNIX_EPOCH);
        let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [ID_HEADER, TIME_HEADER, SIGNATURE_HEADER]);
    }

    #[test]
    fn kinds_of_json_are_known() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.pagerduty+json", true),
            ("text/plain", false),
            ("application/jsonlines", false),
        ] {
            assert_eq!(is_json(kind), expected, "{kind}");
        }
    }
}
