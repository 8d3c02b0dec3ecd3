//! Takes secrets out of what `git` says before anybody else sees it.

use std::fmt::Write as _;

/// Longest text that goes into an error or a status, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A secret shorter than this is not searched for: it would blacken half of every message.
const SECRET_LENGTH_MIN: usize = 4;

/// Knows the secrets of one run.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

impl Redactor {
    /// Learns a user name's password in every form in which it may turn up.
    pub fn add(&mut self, username: &str, secret: &str) {
        let mut forms = vec![secret.to_owned(), percent_encoded(secret)];
        let pair = format!("{username}:{secret}");
        forms.push(base64(pair.as_bytes()));
        forms.push(base64(secret.as_bytes()));
        forms.extend(secret.lines().map(str::to_owned));
        self.secrets
            .extend(forms.into_iter().filter(|f| f.len() >= SECRET_LENGTH_MIN));
        // The longest first: one may be part of another.
        self.secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        self.secrets.dedup();
    }

    /// The text without secrets, user names in URLs and control characters, on one line, cut.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "[redacted]");
        }
        let words: Vec<String> = text.split_whitespace().map(without_userinfo).collect();
        let mut text: String = words
            .join(" ")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        cut(&mut text, MESSAGE_BYTES_MAX);
        text
    }
}

/// Cuts a text at a character's border and marks the cut.
pub(super) fn cut(text: &mut String, bytes_max: usize) {
    const MARK: &str = " …";
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
}

/// `https://user:password@host` becomes `https://…@host`.
fn without_userinfo(word: &str) -> String {
    let Some(at) = word.find("://") else {
        return word.to_owned();
    };
    let (head, rest) = word.split_at(at + 3);
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((user, host)) if user != "git" => format!("{head}…@{host}{path}"),
        _ => word.to_owned(),
    }
}

/// Everything but letters, digits and `-._~` as `%XX`: for a part of a URL.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Base 64 without line breaks (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |n, b| (n << 8) | u32::from(*b));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..=3usize {
            let digit = usize::try_from((group >> (18 - 6 * place)) & 63).unwrap_or_default();
            let digit = DIGITS.get(digit).copied().map_or('=', char::from);
            out.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let mut redactor = Redactor::default();
        redactor.add("bot", "s3cr/t+ken");
        for text in [
            "https://bot:s3cr/t+ken@git.example/a",
            "https://bot:s3cr%2Ft%2Bken@git.example/a",
            &format!("Authorization: Basic {}", base64(b"bot:s3cr/t+ken")),
            "token=s3cr/t+ken;",
        ] {
            let scrubbed = redactor.scrub(text);
            assert!(
                !scrubbed.contains("s3cr") && !scrubbed.contains("Ym90"),
                "{scrubbed}"
            );
        }
        assert_eq!(base64(b"bot:s3cret"), "Ym90OnMzY3JldA==");
        assert!(!format!("{redactor:?}").contains("s3cr"));
    }

    #[test]
    fn messages_are_one_line_without_users_and_not_too_long() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor.scrub("fatal: no\n  https://me:x@h/a\x1b[31m git@h:a ssh://git@h/a"),
            "fatal: no https://…@h/a[31m git@h:a ssh://git@h/a"
        );
        assert!(redactor.scrub(&"é".repeat(5000)).len() <= MESSAGE_BYTES_MAX);
    }
}
