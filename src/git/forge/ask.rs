//! What is asked of a forge, what is made of its answers, and what its refusals mean. Pure: who sends
//! it is in `client`.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::git::credentials::CredentialError;

/// Without a word from the forge, how long to stay away.
const WAIT: SignedDuration = SignedDuration::from_mins(1);

/// Longest time that a forge may send us away for.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(1);

/// How a forge is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Changes, as GitLab has it.
    Put,
    /// Changes, as the others have it.
    Patch,
}

/// One request to a forge, without the credential.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// How.
    pub method: Method,
    /// The whole address.
    pub url: String,
    /// What is sent, as JSON.
    pub body: Option<Value>,
}

impl Ask {
    /// Reads an address.
    pub fn get(url: String) -> Ask {
        Ask {
            method: Method::Get,
            url,
            body: None,
        }
    }

    /// Sends something to an address.
    pub fn send(method: Method, url: String, body: Value) -> Ask {
        Ask {
            method,
            url,
            body: Some(body),
        }
    }
}

/// A repository, as its forge's API names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Base address of the API, without a slash at the end.
    pub api: String,
    /// The last part of the path but one.
    pub owner: String,
    /// The last part of the path.
    pub name: String,
    /// The whole path, groups and all.
    pub path: String,
}

/// What a request is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The branch with the commit.
    pub head: &'a str,
    /// The branch that it is to be merged into.
    pub base: &'a str,
    /// Its heading.
    pub title: &'a str,
    /// Its text.
    pub body: &'a str,
    /// What it is found by.
    pub labels: &'a [String],
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Somebody has yet to decide.
    Open,
    /// It was merged, as this commit where the forge says so.
    Merged(Option<String>),
    /// It was closed and not merged.
    Closed,
}

/// A pull or merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number in the repository.
    pub number: i64,
    /// Its page.
    pub url: String,
    /// Where it stands.
    pub state: State,
    /// GitHub's other name for it.
    pub node: Option<String>,
    /// The commit that it asks to merge.
    pub commit: Option<String>,
}

impl Request {
    /// The part that all forges have; `url` is the field with the page.
    pub fn read(value: &Value, number: &str, url: &str, state: State) -> Option<Request> {
        Some(Request {
            number: value.get(number)?.as_i64().filter(|n| *n > 0)?,
            url: text(value, &[url])?,
            state,
            node: None,
            commit: None,
        })
    }
}

/// A text somewhere inside an answer; nothing for an empty one.
pub fn text(value: &Value, path: &[&str]) -> Option<String> {
    let found = path.iter().try_fold(value, |at, key| at.get(*key))?;
    let found = found.as_str().filter(|text| !text.is_empty())?;
    Some(found.to_owned())
}

/// Why a forge was of no use. Texts hold no secrets.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// What the administrator says about the forge cannot be meant.
    #[error("credentials: {file}: {problem}")]
    Config {
        /// The file of the credential.
        file: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// It does not know the token, or the token may not do this.
    #[error(
        "the forge refuses the token, which may have expired or may push and not open pull \
         requests; the administrator gives it the right to pull or merge requests: {0}"
    )]
    Refused(String),
    /// There is nothing of that name, or it is hidden from the token.
    #[error(
        "the forge does not know this repository, or hides it from the token; the administrator \
         looks at apiURL and at what the token may read: {0}"
    )]
    NotFound(String),
    /// It has had enough of us for a while.
    #[error("the forge limits how often it is asked: {message}")]
    RateLimited {
        /// Its words.
        message: String,
        /// How long to stay away.
        wait: SignedDuration,
    },
    /// There is such a request already.
    #[error("the forge says that there is such a request, and does not show it: {0}")]
    Exists(String),
    /// It cannot be reached or fails.
    #[error("the forge cannot be reached or fails: {0}")]
    Unreachable(String),
    /// Anything else.
    #[error("the forge: {0}")]
    Other(String),
}

/// The headers of an answer that say when to come back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limit {
    /// `retry-after`, in seconds.
    pub retry_after: Option<i64>,
    /// How many more requests are allowed.
    pub remaining: Option<i64>,
    /// When there will be more, in seconds since 1970.
    pub reset: Option<i64>,
}

impl Limit {
    /// How long to stay away.
    fn wait(&self, now: Timestamp) -> SignedDuration {
        let until = |second: i64| SignedDuration::from_secs(second.saturating_sub(now.as_second()));
        let told = self.retry_after.map(SignedDuration::from_secs);
        let told = told.or_else(|| self.reset.map(until));
        told.unwrap_or(WAIT)
            .clamp(SignedDuration::from_secs(1), WAIT_MAX)
    }
}

/// What an answer other than the wanted one means. `message` has no secrets in it any more.
pub fn refusal(status: u16, message: &str, limit: &Limit, now: Timestamp) -> ForgeError {
    let lower = message.to_lowercase();
    let limited =
        limit.retry_after.is_some() || limit.remaining == Some(0) || lower.contains("rate limit");
    let message = format!("{status}: {message}");
    match status {
        429 => ForgeError::RateLimited {
            message,
            wait: limit.wait(now),
        },
        // GitHub says so with 403 as well, which otherwise is about the token.
        403 if limited => ForgeError::RateLimited {
            message,
            wait: limit.wait(now),
        },
        401 | 403 => ForgeError::Refused(message),
        404 => ForgeError::NotFound(message),
        409 => ForgeError::Exists(message),
        422 if lower.contains("already exist") => ForgeError::Exists(message),
        300..=399 => ForgeError::Other(format!(
            "{message}; it redirects, which is not followed: let the administrator's apiURL, or \
             tidegate.io/source-repo, name where the repository is now"
        )),
        408 | 500.. => ForgeError::Unreachable(message),
        _ => ForgeError::Other(message),
    }
}

/// What a forge says in its answer, as one text: each of them has `message`, as a text or a list, and
/// GitHub has `errors` besides.
pub fn words(body: &Value) -> String {
    let mut said = Vec::new();
    for field in ["message", "error", "errors"] {
        collect(body.get(field).unwrap_or(&Value::Null), &mut said);
    }
    said.join("; ")
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(map) => {
            if let Some(message) = map.get("message") {
                collect(message, into);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_refusal_means() {
        let now = Timestamp::from_second(1_000).unwrap();
        let name = |status, message: &str, limit: &Limit| match refusal(status, message, limit, now)
        {
            ForgeError::Refused(_) => ("refused", 0),
            ForgeError::NotFound(_) => ("not found", 0),
            ForgeError::RateLimited { wait, .. } => ("limited", wait.as_secs()),
            ForgeError::Exists(_) => ("exists", 0),
            ForgeError::Unreachable(_) => ("unreachable", 0),
            ForgeError::Other(_) => ("other", 0),
            ForgeError::Config { .. } | ForgeError::Credentials(_) => ("config", 0),
        };
        let none = Limit::default();
        let after = |seconds| Limit {
            retry_after: Some(seconds),
            ..Limit::default()
        };
        let reset = |at| Limit {
            remaining: Some(0),
            reset: Some(at),
            ..Limit::default()
        };
        for (status, message, limit, expected) in [
            (401, "Bad credentials", &none, ("refused", 0)),
            (403, "Resource not accessible", &none, ("refused", 0)),
            (403, "slow down", &after(7), ("limited", 7)),
            (
                403,
                "API rate limit exceeded",
                &reset(1_090),
                ("limited", 90),
            ),
            (
                403,
                "You have exceeded a secondary rate limit",
                &none,
                ("limited", 60),
            ),
            (429, "", &none, ("limited", 60)),
            // A clock that goes wrong, and a forge that sends us away for days.
            (429, "", &reset(1), ("limited", 1)),
            (429, "", &after(999_999), ("limited", 3600)),
            (404, "Not Found", &none, ("not found", 0)),
            (409, "", &none, ("exists", 0)),
            (
                422,
                "A pull request already exists for o:b.",
                &none,
                ("exists", 0),
            ),
            (422, "No commits between main and b", &none, ("other", 0)),
            (301, "Moved", &none, ("other", 0)),
            (500, "", &none, ("unreachable", 0)),
            (503, "", &none, ("unreachable", 0)),
        ] {
            assert_eq!(name(status, message, limit), expected, "{status} {message}");
        }
    }

    #[test]
    fn the_words_of_an_answer_are_found_in_every_form() {
        for (body, expected) in [
            (json!({"message": "Not Found"}), "Not Found"),
            (json!({"message": ["a", "b"]}), "a; b"),
            (json!({"error": "insufficient_scope"}), "insufficient_scope"),
            (
                json!({"message": "Validation Failed", "errors": [{"code": "custom",
                    "message": "A pull request already exists for o:b."}]}),
                "Validation Failed; A pull request already exists for o:b.",
            ),
            (json!("<html>"), ""),
            (Value::Null, ""),
        ] {
            assert_eq!(words(&body), expected);
        }
    }
}
