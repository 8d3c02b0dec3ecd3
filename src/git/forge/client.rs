//! The one way in which forges are asked: with limits on time and size, without redirects, and with the
//! token in a header alone.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::ask::{Ask, ForgeError, Limit, Method, refusal, words};
use crate::git::redact::Redactor;

/// How long an answer may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is not there by then does not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer. A list of twenty requests has a few hundred KiB.
const BYTES_MAX: usize = 1024 * 1024;

/// A connection to one forge, logged in.
pub struct Client {
    http: reqwest::Client,
    login: (HeaderName, HeaderValue),
    headers: &'static [(&'static str, &'static str)],
    redactor: Redactor,
}

impl Client {
    /// A client that logs in with this header. With a bundle of authorities, in PEM, nobody else's
    /// certificate is believed.
    ///
    /// # Errors
    /// [`ForgeError::Config`] when the token or the bundle cannot be meant.
    pub fn new(
        api: &str,
        authorities: Option<&[u8]>,
        headers: &'static [(&'static str, &'static str)],
        login: (&'static str, String),
        redactor: Redactor,
    ) -> Result<Client, ForgeError> {
        let refuse = |file, problem: &str| ForgeError::Config {
            file,
            problem: problem.to_owned(),
        };
        let mut builder = reqwest::Client::builder();
        if let Some(pem) = authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| refuse("ca.crt", "cannot be read; allowed is a PEM bundle"))?;
            builder = builder.tls_certs_only(certificates);
        } else if api.starts_with("http://") {
            // No certificate is looked at, and an image may have no authorities.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // The token goes where the administrator said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| {
                let problem = "nobody's certificate can be believed, because the system has no CA \
                               certificates; name the forge's authority in ca.crt";
                refuse("apiURL", problem)
            })?;
        let (name, value) = login;
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| refuse("token", "has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(Client {
            http,
            login: (HeaderName::from_static(name), value),
            headers,
            redactor,
        })
    }

    /// Asks, and reads the answer; an empty one is null.
    ///
    /// # Errors
    /// [`ForgeError`]: why there is no answer, or what it means that it is another one.
    pub async fn ask(&self, ask: &Ask) -> Result<Value, ForgeError> {
        let url = Url::parse(&ask.url).map_err(|_| ForgeError::Config {
            file: "apiURL",
            problem: "makes no address".to_owned(),
        })?;
        let mut request = match ask.method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
            Method::Put => self.http.put(url),
            Method::Patch => self.http.patch(url),
        };
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        request = request.header(self.login.0.clone(), self.login.1.clone());
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.lost(error))?;
        let status = response.status().as_u16();
        let limit = limit(response.headers());
        let bytes = self.read(response).await?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let message = self.redactor.scrub(&words(&body));
        Err(refusal(status, &message, &limit, Timestamp::now()))
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ForgeError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(ForgeError::Other("an answer of more than 1 MiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn lost(&self, error: reqwest::Error) -> ForgeError {
        let what = if error.is_timeout() {
            "no answer within 10 s".to_owned()
        } else if error.is_connect() {
            "no connection".to_owned()
        } else {
            self.redactor.scrub(&error.without_url().to_string())
        };
        ForgeError::Unreachable(what)
    }
}

fn limit(headers: &HeaderMap) -> Limit {
    let number = |names: &[&str]| {
        names.iter().find_map(|name| {
            let text = headers.get(*name)?.to_str().ok()?;
            text.trim().parse::<i64>().ok()
        })
    };
    Limit {
        retry_after: number(&["retry-after"]),
        // GitHub's names, and GitLab's.
        remaining: number(&["x-ratelimit-remaining", "ratelimit-remaining"]),
        reset: number(&["x-ratelimit-reset", "ratelimit-reset"]),
    }
}
