//! From a request line to what is asked: verb, resource, subresource, object, options.
//!
//! Parses only; whether the resource exists is the registry's answer.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, Uri};

use super::registry::Resource;

/// What a request asks for, in the words of the API's own audit log. Fault hooks and the audit
/// see exactly this.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestInfo {
    /// `get list watch create update patch delete deletecollection`; for paths that name no
    /// resource the lower-case HTTP method.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// API version, empty when the path names no resource.
    pub version: String,
    /// Plural, empty when the path names no resource.
    pub resource: String,
    /// `status`, `scale`, `eviction`, …, or empty.
    pub subresource: String,
    /// Namespace, empty when cluster-scoped or all namespaces.
    pub namespace: String,
    /// Object name, empty for collections.
    pub name: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Path without the query.
    pub path: String,
    /// Decoded query parameters; of a repeated one the last counts.
    pub query: BTreeMap<String, String>,
    /// `Content-Type` without parameters.
    pub content_type: String,
    /// The `Accept` header.
    pub accept: String,
}

impl RequestInfo {
    /// Reads method, URI and headers.
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let content_type = header("content-type");
        let mut info = RequestInfo {
            verb: method.as_str().to_lowercase(),
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            user_agent: header("user-agent"),
            path: uri.path().to_owned(),
            query: parse_query(uri.query().unwrap_or_default()),
            content_type: content_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            accept: header("accept"),
        };
        info.read_path();
        if !info.resource.is_empty() {
            info.verb = info.resource_verb(method).to_owned();
        }
        info
    }

    /// The creation of an object by a part of the server itself.
    pub(super) fn creating(resource: &Resource, namespace: &str, user_agent: &str) -> Self {
        RequestInfo {
            verb: "create".to_owned(),
            group: resource.group.clone(),
            version: resource.version().to_owned(),
            resource: resource.plural.clone(),
            subresource: String::new(),
            namespace: namespace.to_owned(),
            name: String::new(),
            user_agent: user_agent.to_owned(),
            path: String::new(),
            query: BTreeMap::new(),
            content_type: "application/json".to_owned(),
            accept: String::new(),
        }
    }

    /// A query parameter, empty when absent.
    pub fn param(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether a boolean parameter is set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.param(name), "true" | "1" | "True" | "TRUE")
    }

    /// Whether the request may change something.
    pub fn is_write(&self) -> bool {
        !matches!(
            self.verb.as_str(),
            "get" | "list" | "watch" | "head" | "options"
        )
    }

    /// `replicasets.apps/scale`, as the audit counts it.
    pub fn resource_id(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!(
            "{}{dot}{}{slash}{}",
            self.resource, self.group, self.subresource
        )
    }

    /// Who writes, as `managedFields` names it: the parameter, else the first word of the agent.
    pub fn field_manager(&self) -> &str {
        match self.param("fieldManager") {
            "" => match self.user_agent.split('/').next() {
                None | Some("") => "unknown",
                Some(agent) => agent,
            },
            named => named,
        }
    }

    fn read_path(&mut self) {
        let decoded: Vec<String> = self
            .path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(percent_decode)
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                self.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                self.group = (*group).to_owned();
                self.version = (*version).to_owned();
                rest
            }
            _ => return,
        };
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize", ..] => ("", rest),
            ["namespaces", namespace, resource, tail @ ..] if !resource.is_empty() => {
                let from = rest.len() - tail.len() - 1;
                (*namespace, rest.get(from..).unwrap_or_default())
            }
            _ => ("", rest),
        };
        self.namespace = namespace.to_owned();
        let mut parts = rest.iter();
        let mut next = || parts.next().map(|s| (*s).to_owned()).unwrap_or_default();
        self.resource = next();
        self.name = next();
        self.subresource = parts.map(|s| (*s).to_owned()).collect::<Vec<_>>().join("/");
    }

    fn resource_verb(&self, method: &Method) -> &'static str {
        let collection = self.name.is_empty();
        match *method {
            // An object's own path cannot be watched: the parameter is ignored there.
            Method::GET | Method::HEAD if collection && self.flag("watch") => "watch",
            Method::GET | Method::HEAD if collection => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            _ => "unknown",
        }
    }
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |s: &str| percent_decode(&s.replace('+', " "));
            (plain(name), plain(value))
        })
        .collect()
}

/// Undoes percent encoding; a broken escape stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_what_they_want() {
        for (method, uri, wanted) in [
            ("GET", "/api/v1/pods", "list pods  "),
            (
                "GET",
                "/api/v1/namespaces/ns/pods?watch=1",
                "watch pods ns ",
            ),
            (
                "GET",
                "/api/v1/namespaces/ns/pods/p?watch=1",
                "get pods ns p",
            ),
            ("GET", "/api/v1/namespaces", "list namespaces  "),
            ("GET", "/api/v1/namespaces/ns", "get namespaces  ns"),
            (
                "PUT",
                "/api/v1/namespaces/ns/status",
                "update namespaces/status  ns",
            ),
            (
                "POST",
                "/apis/apps/v1/namespaces/ns/replicasets",
                "create replicasets.apps ns ",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/ns/replicasets/r/scale",
                "patch replicasets.apps/scale ns r",
            ),
            (
                "DELETE",
                "/apis/tidegate.io/v1alpha1/metricsproviders/m",
                "delete metricsproviders.tidegate.io  m",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/ns/pods?labelSelector=a%3Db",
                "deletecollection pods ns ",
            ),
            ("GET", "/apis/apps/v1", "get   "),
            ("GET", "/healthz", "get   "),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let info = RequestInfo::parse(&method, &uri, &HeaderMap::new());
            let said = format!(
                "{} {} {} {}",
                info.verb,
                info.resource_id(),
                info.namespace,
                info.name
            );
            assert_eq!(said, wanted, "{uri}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let uri: Uri = "/api/v1/pods?labelSelector=a+in+(b%2Cc)&x=%zz&force=true"
            .parse()
            .unwrap();
        let info = RequestInfo::parse(&Method::GET, &uri, &HeaderMap::new());
        assert_eq!(
            (info.param("labelSelector"), info.param("x")),
            ("a in (b,c)", "%zz")
        );
        assert!(info.flag("force") && !info.flag("x"));
    }
}
