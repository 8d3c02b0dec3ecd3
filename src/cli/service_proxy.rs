//! A Prometheus behind a Service, asked through the API server with the user's own rights: nobody needs
//! a port-forward, and nobody gets where they may not go.

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header;
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use reqwest::Url;
use serde::Deserialize;

use crate::metrics_source::{Relay, RelayError, Relayed};

/// Longest message of the API server that is shown.
const SAID_MAX: usize = 300;

/// A Service that a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// `http` or `https`.
    pub scheme: String,
    /// The Service's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The port.
    pub port: u16,
    /// What follows, without a slash at its end.
    pub path: String,
    /// The URL can name nothing but a Service. Else it might be a host outside, as `example.com` is.
    pub certain: bool,
}

impl Behind {
    /// The Service that a URL names by its name in the cluster, if it does.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?.trim_end_matches('.');
        let parts: Vec<&str> = host.split('.').collect();
        let (name, namespace, certain) = match parts.as_slice() {
            [name, namespace] => (name, namespace, false),
            [name, namespace, "svc", ..] => (name, namespace, true),
            _ => return None,
        };
        let is_label = |part: &str| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !part.is_empty()
                && part.len() <= 63
                && part.bytes().all(inner)
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        (is_label(name) && is_label(namespace)).then(|| Self {
            scheme: url.scheme().to_owned(),
            name: (*name).to_owned(),
            namespace: (*namespace).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            path: url.path().trim_end_matches('/').to_owned(),
            certain,
        })
    }

    /// The path at the API server.
    fn proxy_path(&self) -> String {
        let scheme = if self.scheme == "https" { "https:" } else { "" };
        let Self {
            name,
            namespace,
            port,
            path,
            ..
        } = self;
        format!(
            "/api/v1/namespaces/{namespace}/services/{scheme}{name}:{port}/proxy{path}/api/v1/query"
        )
    }
}

/// The way there.
pub struct ServiceProxy {
    client: Client,
    behind: Behind,
    headers: Vec<(String, String)>,
    who: String,
}

impl ServiceProxy {
    /// By this client, as `who`, with more request headers.
    #[must_use]
    pub fn new(client: Client, behind: Behind, headers: Vec<(String, String)>, who: &str) -> Self {
        Self {
            client,
            behind,
            headers,
            who: who.to_owned(),
        }
    }

    async fn hand_on(
        &self,
        parameters: Vec<(&'static str, String)>,
        max: usize,
    ) -> Result<Relayed, RelayError> {
        let unreachable = RelayError::Unreachable;
        // The host is the client's affair; it is needed to write the parameters down.
        let mut url = Url::parse("http://api-server").map_err(|e| unreachable(e.to_string()))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let uri = format!(
            "{}?{}",
            self.behind.proxy_path(),
            url.query().unwrap_or_default()
        );
        let mut request = http::Request::get(uri).header(header::ACCEPT, "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::empty())
            .map_err(|e| unreachable(format!("the provider's headers cannot be sent: {e}")))?;
        let answer = self.client.send(request).await;
        let answer =
            answer.map_err(|e| unreachable(format!("the API server was not reached: {e}")))?;
        let (parts, body) = answer.into_parts();
        let body = match Limited::new(body, max).collect().await {
            Ok(whole) => whole.to_bytes().to_vec(),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => {
                return Err(RelayError::TooLarge);
            }
            Err(_) => {
                let why = "the connection to the API server broke before the answer was whole";
                return Err(unreachable(why.to_owned()));
            }
        };
        if !parts.status.is_success()
            && let Some(said) = said(&body)
        {
            return Err(self.refused(parts.status.as_u16(), &said));
        }
        Ok(Relayed {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// What the API server itself said: Prometheus' own answers look another way.
    fn refused(&self, code: u16, said: &str) -> RelayError {
        let (place, who) = (self.place(), &self.who);
        let namespace = &self.behind.namespace;
        match code {
            401 | 403 => RelayError::Forbidden(format!(
                "{who} may not ask {place} through the API server: {said}. Needed is the verb \"get\" on services/proxy in namespace {namespace}; or give --prometheus-url"
            )),
            404 => RelayError::Unreachable(format!(
                "the API server knows no {place}: {said}. Is the provider's prometheus.url right? Or give --prometheus-url"
            )),
            _ => RelayError::Unreachable(format!(
                "the API server did not get through to {place} (HTTP {code}): {said}. Are its pods ready? (kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={})",
                self.behind.name
            )),
        }
    }
}

impl Relay for ServiceProxy {
    fn query(
        &self,
        parameters: Vec<(&'static str, String)>,
        max: usize,
    ) -> BoxFuture<'_, Result<Relayed, RelayError>> {
        self.hand_on(parameters, max).boxed()
    }

    fn place(&self) -> String {
        let Behind {
            name,
            namespace,
            port,
            ..
        } = &self.behind;
        format!("Service {namespace}/{name}:{port}")
    }
}

/// The message of a Status of the API server's, if the body is one.
fn said(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        message: String,
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    let message = status.message.chars().take(SAID_MAX).collect();
    (status.kind == "Status").then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_name_a_service() {
        let path = |url: &str| Behind::of(url).map(|b| (b.proxy_path(), b.certain));
        let way = |scheme_name_port: &str, rest: &str| {
            format!(
                "/api/v1/namespaces/monitoring/services/{scheme_name_port}/proxy{rest}/api/v1/query"
            )
        };
        for (url, expected) in [
            (
                "http://prometheus.monitoring:9090",
                Some((way("prometheus:9090", ""), false)),
            ),
            (
                "http://prometheus.monitoring.svc",
                Some((way("prometheus:80", ""), true)),
            ),
            (
                "https://prometheus.monitoring.svc.cluster.local.:9091/prom/",
                Some((way("https:prometheus:9091", "/prom"), true)),
            ),
            ("http://prometheus:9090", None),
            ("http://10.1.2.3:9090", None),
            ("http://[::1]:9090", None),
            ("https://prometheus.example.com", None),
            ("http://a_b.monitoring:9090", None),
            ("prometheus", None),
        ] {
            assert_eq!(path(url), expected, "{url}");
        }
    }
}
