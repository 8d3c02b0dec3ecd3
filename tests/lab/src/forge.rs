//! A forge for the tests: pull or merge requests on a bare repository, in the words of GitHub, GitLab
//! or Gitea as their documentation has them. A merge is a real one. Faults are switched on while it
//! runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::{Value, json};

use crate::git_http::git;

/// Whose words it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea.
    Gitea,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::GitHub, Kind::GitLab, Kind::Gitea];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::GitHub => "GitHub",
            Kind::GitLab => "GitLab",
            Kind::Gitea => "Gitea",
        }
    }

    fn base(self) -> &'static str {
        match self {
            Kind::GitHub => "/api/v3",
            Kind::GitLab => "/api/v4",
            Kind::Gitea => "/api/v1",
        }
    }
}

/// What it does with the next calls.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Answers every call with this status.
    pub status: Option<u16>,
    /// And with this header.
    pub header: Option<(&'static str, String)>,
    /// Opens this many requests and then answers 502.
    pub lose_answers_to_opening: usize,
    /// Does not show requests to who looks for one before he opens it, this often.
    pub hide: usize,
}

/// A request as the forge keeps it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The branch with the commits.
    pub head: String,
    /// The branch that they are for.
    pub base: String,
    /// Its heading.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// What was said below it.
    pub comments: Vec<String>,
    /// Whether it is closed, merged or not.
    pub closed: bool,
    /// As which commit it was merged.
    pub merged: Option<String>,
    /// Whether it is to be merged by itself.
    pub auto_merge: bool,
}

/// A running forge. Clones are the same one.
#[derive(Clone)]
pub struct Forge {
    kind: Kind,
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    kind: Kind,
    bare: PathBuf,
    token: String,
    faults: Faults,
    requests: Vec<Request>,
    statuses: Vec<(String, Value)>,
    calls: Vec<String>,
}

impl Forge {
    /// Starts one for `shop/config` on the repository at `bare`.
    pub async fn start(kind: Kind, bare: PathBuf, token: &str) -> Forge {
        let shared = Arc::new(Mutex::new(Shared {
            kind,
            bare,
            token: token.to_owned(),
            faults: Faults::default(),
            requests: Vec::new(),
            statuses: Vec::new(),
            calls: Vec::new(),
        }));
        let app = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Forge {
            kind,
            address,
            shared,
        }
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.kind.base())
    }

    /// Changes what it does from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().unwrap().faults = faults;
    }

    /// All requests, the first with number 1.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// The marks of commits so far.
    pub fn statuses(&self) -> Vec<(String, Value)> {
        self.shared.lock().unwrap().statuses.clone()
    }

    /// Method and path of each call so far.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().unwrap().calls.clone()
    }

    /// Somebody has opened and merged a request before all this.
    pub fn merged_before(&self, commit: &str) {
        self.shared.lock().unwrap().requests.push(Request {
            head: "bump".to_owned(),
            base: "main".to_owned(),
            title: "Bump".to_owned(),
            closed: true,
            merged: Some(commit.to_owned()),
            ..Request::default()
        });
    }

    /// Somebody closes a request.
    pub fn close(&self, number: usize) {
        self.shared.lock().unwrap().requests[number - 1].closed = true;
    }

    /// Somebody merges a request; with `squash` as one commit that does not say where it is from.
    pub fn merge(&self, number: usize, squash: bool) {
        let mut shared = self.shared.lock().unwrap();
        let bare = shared.bare.clone();
        let request = &mut shared.requests[number - 1];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        git(
            path,
            &[
                "clone",
                "-q",
                "-b",
                &request.base,
                &bare.display().to_string(),
                "work",
            ],
        );
        let work = path.join("work");
        let head = format!("origin/{}", request.head);
        if squash {
            git(&work, &["merge", "-q", "--squash", &head]);
            git(&work, &["commit", "-q", "-m", "Squashed"]);
        } else {
            git(&work, &["merge", "-q", "--no-ff", "-m", "Merged", &head]);
        }
        // What the forge itself does is held up by no hook.
        let spec = format!("HEAD:refs/heads/{}", request.base);
        git(&bare, &["fetch", "-q", &work.display().to_string(), &spec]);
        request.merged = Some(git(&work, &["rev-parse", "HEAD"]));
        request.closed = true;
    }
}

type Answer = (u16, Value);

async fn handle(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut shared = shared.lock().unwrap();
    shared.calls.push(format!("{method} {uri}"));
    let faults = shared.faults.clone();
    let (status, answer) = match faults.status {
        Some(status) => (status, json!({"message": "a fault of the test"})),
        None if !shared.knows(&headers) => (401, json!({"message": "Bad credentials"})),
        None => {
            let sent = serde_json::from_slice(&body).unwrap_or_default();
            shared.answer(&method, &uri, &sent)
        }
    };
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = faults.header {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.to_string())).unwrap()
}

impl Shared {
    fn knows(&self, headers: &HeaderMap) -> bool {
        let (name, value) = match self.kind {
            Kind::GitHub => ("authorization", format!("Bearer {}", self.token)),
            Kind::GitLab => ("private-token", self.token.clone()),
            Kind::Gitea => ("authorization", format!("token {}", self.token)),
        };
        headers
            .get(name)
            .is_some_and(|h| h.as_bytes() == value.as_bytes())
    }

    fn answer(&mut self, method: &Method, uri: &Uri, sent: &Value) -> Answer {
        let nothing = (404, json!({"message": "Not Found"}));
        if self.kind == Kind::GitHub && uri.path() == "/api/graphql" {
            return self.graphql(sent);
        }
        let prefix = match self.kind {
            Kind::GitLab => "/projects/shop%2Fconfig/",
            Kind::GitHub | Kind::Gitea => "/repos/shop/config/",
        };
        let rest = uri.path().strip_prefix(self.kind.base());
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(prefix)) else {
            return nothing;
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let is_lab = self.kind == Kind::GitLab;
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["pulls"]) if self.kind == Kind::GitHub => self.list(uri, "head", "base"),
            ("GET", ["merge_requests"]) if is_lab => {
                self.list(uri, "source_branch", "target_branch")
            }
            ("POST", ["pulls"]) if !is_lab => self.create(sent, ["head", "base", "body"]),
            ("POST", ["merge_requests"]) if is_lab => {
                self.create(sent, ["source_branch", "target_branch", "description"])
            }
            ("GET", ["pulls" | "merge_requests", n]) if n.parse::<usize>().is_ok() => {
                match self.at(n) {
                    Some(at) => (200, self.shown(at)),
                    None => nothing,
                }
            }
            ("GET", ["pulls", base, head @ ..]) if self.kind == Kind::Gitea => {
                let (found, hides) = (self.found(&head.join("/"), base), self.hides());
                match found.filter(|_| !hides) {
                    Some(at) => (200, self.shown(at)),
                    None => nothing,
                }
            }
            ("PATCH", ["pulls", n]) if !is_lab && sent["state"] == "closed" => self.close(n),
            ("PUT", ["merge_requests", n]) if is_lab && sent["state_event"] == "close" => {
                self.close(n)
            }
            ("PUT", ["merge_requests", n, "merge"]) if is_lab && sent["auto_merge"] == true => {
                self.change(n, |request| request.auto_merge = true)
            }
            ("POST", ["pulls", n, "merge"])
                if self.kind == Kind::Gitea && sent["merge_when_checks_succeed"] == true =>
            {
                self.change(n, |request| request.auto_merge = true)
            }
            ("POST", ["issues", n, "labels"]) if !is_lab => self.change(n, |request| {
                let labels = sent["labels"].as_array().unwrap();
                request.labels = labels
                    .iter()
                    .map(|l| l.as_str().unwrap().to_owned())
                    .collect();
            }),
            ("POST", ["issues", n, "comments"] | ["merge_requests", n, "notes"]) => {
                self.change(n, |request| {
                    request
                        .comments
                        .push(sent["body"].as_str().unwrap().to_owned());
                })
            }
            ("POST", ["statuses", sha]) => {
                self.statuses.push(((*sha).to_owned(), sent.clone()));
                (201, json!({"id": 1}))
            }
            ("GET", ["commits", sha, "pulls"]) if self.kind == Kind::GitHub => {
                (200, Value::Array(self.brought(sha)))
            }
            ("GET", ["commits", sha, "pull"]) if self.kind == Kind::Gitea => {
                match self.brought(sha).pop() {
                    Some(request) => (200, request),
                    None => nothing,
                }
            }
            ("GET", ["repository", "commits", sha, "merge_requests"]) if is_lab => {
                (200, Value::Array(self.brought(sha)))
            }
            _ => nothing,
        }
    }

    fn graphql(&mut self, sent: &Value) -> Answer {
        let id = sent["variables"]["id"].as_str().unwrap_or_default();
        let is_known = sent["query"]
            .as_str()
            .unwrap()
            .contains("enablePullRequestAutoMerge");
        match id.strip_prefix("PR_").filter(|_| is_known) {
            Some(n) => {
                self.change(n, |request| request.auto_merge = true);
                (
                    200,
                    json!({"data": {"enablePullRequestAutoMerge": {"clientMutationId": null}}}),
                )
            }
            None => (
                200,
                json!({"errors": [{"message": "Could not resolve to a node"}]}),
            ),
        }
    }

    fn list(&mut self, uri: &Uri, head: &str, base: &str) -> Answer {
        let query = uri
            .query()
            .unwrap_or_default()
            .replace("%2F", "/")
            .replace("%3A", ":");
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        assert_eq!(value("state").as_deref(), Some("all"));
        let (head, base) = (value(head).unwrap(), value(base).unwrap());
        // GitHub wants the owner's name before the branch.
        let head = match self.kind {
            Kind::GitHub => head.strip_prefix("shop:").unwrap().to_owned(),
            Kind::GitLab | Kind::Gitea => head,
        };
        if self.hides() {
            return (200, json!([]));
        }
        let is_meant = |request: &Request| request.head == head && request.base == base;
        let all = (0..self.requests.len()).filter(|at| is_meant(&self.requests[*at]));
        // The newest first.
        (200, all.rev().map(|at| self.shown(at)).collect())
    }

    fn create(&mut self, sent: &Value, [head, base, body]: [&str; 3]) -> Answer {
        let text = |field: &str| sent[field].as_str().unwrap_or_default().to_owned();
        let request = Request {
            head: text(head),
            base: text(base),
            title: text("title"),
            body: text(body),
            labels: match self.kind {
                Kind::GitLab => text("labels").split(',').map(str::to_owned).collect(),
                Kind::GitHub | Kind::Gitea => Vec::new(),
            },
            ..Request::default()
        };
        assert!(!request.title.is_empty());
        let branches = git(
            &self.bare,
            &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
        );
        if !branches.lines().any(|branch| branch == request.head) {
            let message = "Validation Failed: head does not exist";
            return (422, json!({"message": message}));
        }
        let is_same = |r: &Request| !r.closed && r.head == request.head && r.base == request.base;
        if self.requests.iter().any(is_same) {
            return match self.kind {
                Kind::GitHub => (
                    422,
                    json!({"message": "Validation Failed", "errors": [{"resource": "PullRequest",
                        "code": "custom", "message": format!("A pull request already exists for shop:{}.", request.head)}]}),
                ),
                Kind::GitLab => (
                    409,
                    json!({"message": ["Another open merge request already exists for this source branch: !1"]}),
                ),
                Kind::Gitea => (
                    409,
                    json!({"message": "pull request already exists for these targets"}),
                ),
            };
        }
        self.requests.push(request);
        if self.faults.lose_answers_to_opening > 0 {
            self.faults.lose_answers_to_opening -= 1;
            return (502, Value::Null);
        }
        (201, self.shown(self.requests.len() - 1))
    }

    /// Whether it keeps requests to itself this time.
    fn hides(&mut self) -> bool {
        let hides = self.faults.hide > 0;
        self.faults.hide = self.faults.hide.saturating_sub(1);
        hides
    }

    fn at(&self, number: &str) -> Option<usize> {
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        (at < self.requests.len()).then_some(at)
    }

    fn found(&self, head: &str, base: &str) -> Option<usize> {
        let is_meant = |request: &Request| request.head == head && request.base == base;
        self.requests.iter().rposition(is_meant)
    }

    fn change(&mut self, number: &str, change: impl FnOnce(&mut Request)) -> Answer {
        let Some(at) = self.at(number) else {
            return (404, json!({"message": "Not Found"}));
        };
        change(&mut self.requests[at]);
        (201, json!({}))
    }

    fn close(&mut self, number: &str) -> Answer {
        self.change(number, |request| request.closed = true)
    }

    fn brought(&self, commit: &str) -> Vec<Value> {
        let is_meant = |at: &usize| self.requests[*at].merged.as_deref() == Some(commit);
        let all = (0..self.requests.len()).filter(is_meant);
        all.map(|at| self.shown(at)).collect()
    }

    fn shown(&self, at: usize) -> Value {
        let (request, number) = (&self.requests[at], at + 1);
        let merged_at = request.merged.as_ref().map(|_| "2026-01-01T00:00:00Z");
        let closed = if request.closed { "closed" } else { "open" };
        match self.kind {
            Kind::GitHub => json!({
                "id": 1000 + number, "node_id": format!("PR_{number}"), "number": number,
                "state": closed, "merged_at": merged_at, "title": request.title,
                "merge_commit_sha": request.merged,
                "html_url": format!("https://github.test/shop/config/pull/{number}"),
                "head": {"ref": request.head}, "base": {"ref": request.base},
            }),
            Kind::GitLab => {
                let state = match (&request.merged, request.closed) {
                    (Some(_), _) => "merged",
                    (None, true) => "closed",
                    (None, false) => "opened",
                };
                json!({
                    "id": 1000 + number, "iid": number, "state": state, "title": request.title,
                    "merged_at": merged_at, "merge_commit_sha": request.merged,
                    "squash_commit_sha": null,
                    "web_url": format!("https://gitlab.test/shop/config/-/merge_requests/{number}"),
                    "source_branch": request.head, "target_branch": request.base,
                })
            }
            Kind::Gitea => json!({
                "id": 1000 + number, "number": number, "state": closed,
                "merged": request.merged.is_some(), "merged_at": merged_at,
                "merge_commit_sha": request.merged, "title": request.title,
                "html_url": format!("https://gitea.test/shop/config/pulls/{number}"),
                "head": {"ref": request.head}, "base": {"ref": request.base},
            }),
        }
    }
}
