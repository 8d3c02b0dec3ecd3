//! A real Git server over HTTP for the tests: `git http-backend` as a CGI program behind axum, with
//! basic auth, on bare repositories in a folder of its own. Faults are switched on while it runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::io::AsyncWriteExt;

/// What the server does with the next requests.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Answers every request with this status.
    pub status: Option<u16>,
    /// Answers every request of a push with this status: who asks may read and not write.
    pub status_of_pushes: Option<u16>,
    /// Carries out this many further pushes and then answers 502, as a proxy does that loses the
    /// connection after the push.
    pub lose_answers_to_pushes: usize,
}

/// When something happens in the course of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the server says where its branches are.
    Advertise,
    /// After that, before it takes the commits.
    Receive,
}

type Interruption = (Moment, Box<dyn FnOnce() + Send>);

/// A running server. Stops with the runtime that it was started in. Clones are the same server.
#[derive(Clone)]
pub struct GitServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    /// Goes with the server where it has made its folder itself.
    _own: Option<tempfile::TempDir>,
    password: Mutex<Option<(String, String)>>,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<String>>,
    interruption: Mutex<Option<Interruption>>,
}

impl GitServer {
    /// Starts a server on loopback whose repositories go with it. With `password` every request
    /// has to bring it.
    pub async fn start(password: Option<(&str, &str)>) -> GitServer {
        let own = tempfile::tempdir().unwrap();
        let root = own.path().to_path_buf();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Self::serve(address, root, Some(own), password).await
    }

    /// Starts a server for the repositories below a folder that stays.
    pub async fn serving(
        address: SocketAddr,
        root: PathBuf,
        password: Option<(&str, &str)>,
    ) -> GitServer {
        Self::serve(address, root, None, password).await
    }

    async fn serve(
        address: SocketAddr,
        root: PathBuf,
        own: Option<tempfile::TempDir>,
        password: Option<(&str, &str)>,
    ) -> GitServer {
        let shared = Arc::new(Shared {
            root,
            _own: own,
            password: Mutex::new(password.map(|(user, pass)| (user.to_owned(), pass.to_owned()))),
            faults: Mutex::default(),
            requests: Mutex::default(),
            interruption: Mutex::default(),
        });
        let app = Router::new()
            .fallback(handle)
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        GitServer { address, shared }
    }

    /// Makes an empty bare repository with the branch `main` and returns its path on disk.
    pub fn create(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        create_bare(&path);
        path
    }

    /// The repository's path on disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.shared.root.join(name)
    }

    /// The repository's URL, without credentials.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Changes what the server does from now on.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    /// From now on every request has to bring this password, and no other one will do.
    pub fn set_password(&self, user: &str, password: &str) {
        *self.shared.password.lock().unwrap() = Some((user.to_owned(), password.to_owned()));
    }

    /// Does something in the middle of the next push, as another user would.
    pub fn interrupt_push(&self, moment: Moment, what: impl FnOnce() + Send + 'static) {
        *self.shared.interruption.lock().unwrap() = Some((moment, Box::new(what)));
    }

    /// Method and path of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

/// Makes an empty bare repository with the branch `main`, open for partial clones and pushes.
pub fn create_bare(path: &Path) {
    git(
        Path::new("/"),
        &[
            "init",
            "-q",
            "--bare",
            "-b",
            "main",
            &path.display().to_string(),
        ],
    );
    for (key, value) in [
        ("http.receivepack", "true"),
        ("uploadpack.allowFilter", "true"),
    ] {
        git(path, &["config", key, value]);
    }
}

/// Runs `git` and returns what it printed; panics with its words when it fails.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Dev")
        .env("GIT_AUTHOR_EMAIL", "dev@example.com")
        .env("GIT_COMMITTER_NAME", "Dev")
        .env("GIT_COMMITTER_EMAIL", "dev@example.com")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "git {args:?} in {}: {words}",
        dir.display()
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or("").to_owned());
    shared
        .requests
        .lock()
        .unwrap()
        .push(format!("{method} {uri}"));
    if let Some(status) = shared.faults.lock().unwrap().status {
        return answer(status, "a fault of the test");
    }
    let user = {
        let password = shared.password.lock().unwrap();
        match &*password {
            None => String::new(),
            Some((user, pass))
                if headers.get("authorization").is_some_and(|h| {
                    h.to_str()
                        .is_ok_and(|h| h == format!("Basic {}", base64(&format!("{user}:{pass}"))))
                }) =>
            {
                user.clone()
            }
            Some(_) => {
                let mut refused = answer(401, "authentication required");
                refused
                    .headers_mut()
                    .insert("www-authenticate", "Basic realm=\"git\"".parse().unwrap());
                return refused;
            }
        }
    };
    let moment = match method {
        Method::GET if query == "service=git-receive-pack" => Some(Moment::Advertise),
        Method::POST if path.ends_with("/git-receive-pack") => Some(Moment::Receive),
        _ => None,
    };
    let status_of_pushes = shared.faults.lock().unwrap().status_of_pushes;
    if let Some(status) = status_of_pushes.filter(|_| moment.is_some()) {
        return answer(status, "a fault of the test");
    }
    let due = shared
        .interruption
        .lock()
        .unwrap()
        .take_if(|(at, _)| Some(*at) == moment);
    if let Some((_, interruption)) = due {
        interruption();
    }
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", &path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", user)
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Beside the reading: a pack larger than the pipe would block both sides.
    tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap();
    if method == Method::POST && path.ends_with("/git-receive-pack") {
        let mut faults = shared.faults.lock().unwrap();
        if faults.lose_answers_to_pushes > 0 {
            faults.lose_answers_to_pushes -= 1;
            return answer(502, "the connection was lost");
        }
    }
    from_cgi(&output.stdout)
}

/// Headers, an empty line, the body.
fn from_cgi(output: &[u8]) -> Response<Body> {
    let Some(end) = output.windows(4).position(|w| w == b"\r\n\r\n") else {
        return answer(500, "git http-backend gave no answer");
    };
    let (head, body) = (
        String::from_utf8_lossy(&output[..end]),
        output[end + 4..].to_vec(),
    );
    let mut response = Response::builder();
    for line in head.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(body)).unwrap()
}

fn answer(status: u16, text: &str) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .body(Body::from(text.to_owned()))
        .unwrap()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let group =
            chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_and_a_push_need_the_password() {
    let server = GitServer::start(Some(("dev", "s3cret"))).await;
    server.create("shop/config.git");
    let work = tempfile::tempdir().unwrap();
    let open = format!("http://dev:s3cret@{}/shop/config.git", server.address);
    let clone = work.path().join("clone");
    let run = |args: Vec<String>| {
        let work = work.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            git(&work, &args)
        })
    };
    run(vec!["clone".into(), "-q".into(), open, "clone".into()])
        .await
        .unwrap();
    std::fs::write(clone.join("a.yaml"), "a: 1\n").unwrap();
    for args in [
        "-C clone add -A",
        "-C clone commit -qm one",
        "-C clone push -q origin HEAD:main",
    ] {
        run(args.split(' ').map(str::to_owned).collect())
            .await
            .unwrap();
    }
    assert_eq!(
        git(&server.path("shop/config.git"), &["show", "main:a.yaml"]),
        "a: 1"
    );
    assert!(
        server
            .requests()
            .iter()
            .any(|r| r.contains("git-receive-pack"))
    );

    let mut refused = tokio::process::Command::new("git");
    refused
        .args(["ls-remote", &server.url("shop/config.git")])
        .env("GIT_TERMINAL_PROMPT", "0");
    assert!(!refused.output().await.unwrap().status.success());
}
