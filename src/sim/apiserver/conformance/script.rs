//! The words the script is written in.

use std::collections::BTreeMap;

use serde_json::Value;

/// One request, what it is called, and how its answer is judged.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name, unique in the script; later steps refer to it.
    pub name: String,
    pub(super) action: Action,
    pub(super) compared: Compared,
    pub(super) until: Option<Until>,
    pub(super) recorded: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Request {
        method: &'static str,
        path: String,
        media: &'static str,
        accept: &'static str,
        body: String,
    },
    Watch {
        path: String,
    },
}

/// Which part of the answer two servers must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// Status code and body.
    Body,
    /// Also who owns which field.
    Owners,
    /// The status code alone: the text is the implementation's (parse errors).
    Code,
}

/// When a repeated step has settled.
#[derive(Debug, Clone)]
pub(super) enum Until {
    /// The status code.
    Code(u16),
    /// A value in the body, by JSON pointer; null means absent.
    Body(&'static str, Value),
}

impl Until {
    pub(super) fn holds(&self, code: u16, body: &Value) -> bool {
        match self {
            Until::Code(wanted) => code == *wanted,
            Until::Body(pointer, wanted) => body.pointer(pointer).unwrap_or(&Value::Null) == wanted,
        }
    }
}

impl Step {
    fn new(name: &str, action: Action) -> Self {
        Step {
            name: name.to_owned(),
            action,
            compared: Compared::Body,
            until: None,
            recorded: true,
        }
    }

    /// Only the status code counts.
    pub(super) fn code_only(mut self) -> Self {
        self.compared = Compared::Code;
        self
    }

    /// `managedFields` count too.
    pub(super) fn with_owners(mut self) -> Self {
        self.compared = Compared::Owners;
        self
    }

    /// Repeated until this status code comes.
    pub(super) fn until_code(mut self, code: u16) -> Self {
        self.until = Some(Until::Code(code));
        self
    }

    /// Repeated until the body has this value.
    pub(super) fn until_body(mut self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.until = Some(Until::Body(pointer, value.into()));
        self
    }

    /// Prepares the ground; its answer is not compared.
    pub(super) fn unrecorded(mut self) -> Self {
        self.recorded = false;
        self
    }

    /// Asks for another form of the answer.
    pub(super) fn accept(mut self, wanted: &'static str) -> Self {
        if let Action::Request { accept, .. } = &mut self.action {
            *accept = wanted;
        }
        self
    }

    /// The request, with `{ns}` and references to earlier answers filled in:
    /// `$[rv:step]`, `$[uid:step]`, `$[continue:step]`.
    pub(super) fn request(
        &self,
        namespace: &str,
        answers: &BTreeMap<String, Value>,
    ) -> Result<http::Request<kube::client::Body>, String> {
        let fill = |text: &str| fill(&text.replace("{ns}", namespace), answers);
        let (method, path, media, accept, body) = match &self.action {
            Action::Request {
                method,
                path,
                media,
                accept,
                body,
            } => (*method, fill(path)?, *media, *accept, fill(body)?),
            Action::Watch { path } => ("GET", fill(path)?, "", "application/json", String::new()),
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept);
        request = request.header("user-agent", "conformance/1");
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        request
            .body(body.into_bytes().into())
            .map_err(|e| e.to_string())
    }
}

fn fill(text: &str, answers: &BTreeMap<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$[") {
        let (reference, tail) = after.split_once(']').ok_or("a reference without an end")?;
        let (what, step) = reference
            .split_once(':')
            .ok_or("a reference without a step")?;
        let field = match what {
            "rv" => "resourceVersion",
            other => other,
        };
        let value = answers
            .get(step)
            .and_then(|a| a.get("metadata")?.get(field)?.as_str());
        filled.push_str(before);
        // An earlier step that failed shows as a difference; the script goes on.
        filled.push_str(value.unwrap_or("unanswered"));
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn request(
    name: &str,
    method: &'static str,
    path: &str,
    media: &'static str,
    body: String,
) -> Step {
    let accept = "application/json";
    Step::new(
        name,
        Action::Request {
            method,
            path: path.to_owned(),
            media,
            accept,
            body,
        },
    )
}

/// GET.
pub(super) fn get(name: &str, path: &str) -> Step {
    request(name, "GET", path, "", String::new())
}

/// POST of JSON.
pub(super) fn post(name: &str, path: &str, body: &Value) -> Step {
    request(name, "POST", path, "application/json", body.to_string())
}

/// PUT of JSON.
pub(super) fn put(name: &str, path: &str, body: &Value) -> Step {
    request(name, "PUT", path, "application/json", body.to_string())
}

/// JSON merge patch.
pub(super) fn merge(name: &str, path: &str, body: &Value) -> Step {
    request(
        name,
        "PATCH",
        path,
        "application/merge-patch+json",
        body.to_string(),
    )
}

/// JSON patch.
pub(super) fn json_patch(name: &str, path: &str, body: &Value) -> Step {
    request(
        name,
        "PATCH",
        path,
        "application/json-patch+json",
        body.to_string(),
    )
}

/// Strategic merge patch.
pub(super) fn strategic(name: &str, path: &str, body: &Value) -> Step {
    request(
        name,
        "PATCH",
        path,
        "application/strategic-merge-patch+json",
        body.to_string(),
    )
}

/// Server-side apply; `query` is `fieldManager=…`.
pub(super) fn apply(name: &str, path: &str, query: &str, body: &Value) -> Step {
    let path = format!("{path}?{query}");
    request(
        name,
        "PATCH",
        &path,
        "application/apply-patch+yaml",
        body.to_string(),
    )
}

/// DELETE, with options when they are not null.
pub(super) fn delete(name: &str, path: &str, options: &Value) -> Step {
    let body = if options.is_null() {
        String::new()
    } else {
        options.to_string()
    };
    request(name, "DELETE", path, "application/json", body)
}

/// A request with any method and body.
pub(super) fn raw(
    name: &str,
    method: &'static str,
    path: &str,
    media: &'static str,
    body: &str,
) -> Step {
    request(name, method, path, media, body.to_owned())
}

/// A watch that is read for two seconds; the path has its query.
pub(super) fn watch(name: &str, path: &str) -> Step {
    let joint = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{joint}watch=true&timeoutSeconds=2");
    Step::new(name, Action::Watch { path })
}
