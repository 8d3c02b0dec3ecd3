//! Bare Git repositories over HTTP: git's own `http-backend` behind a small CGI handler. Everybody
//! reads, and who pushes needs a password, as on a forge.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Who may push, with which password.
pub const USER: &str = "tidegate";
pub const PASSWORD: &str = "lab-password";

/// `tidegate:lab-password` as it stands in the header of basic authentication.
const CREDENTIALS: &str = "Basic dGlkZWdhdGU6bGFiLXBhc3N3b3Jk";

/// A push of these tests is a few kilobytes.
const LARGEST_BODY: usize = 16 << 20;

/// A running server; it ends when this is dropped.
pub struct GitServer {
    root: PathBuf,
    url: String,
    task: JoinHandle<()>,
}

impl GitServer {
    /// Serves the repositories below a folder of `home`.
    pub async fn start(home: &Path) -> Self {
        let root = home.join("git");
        std::fs::create_dir_all(&root).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(serve).with_state(root.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("git server: {error}");
            }
        });
        Self { root, url, task }
    }

    /// Makes a repository whose branch `main` holds the given files.
    pub async fn create(&self, name: &str, files: &[(&str, &str)]) -> Repository {
        let bare = self.root.join(format!("{name}.git"));
        let work = self.root.join(format!("{name}.work"));
        let repository = Repository {
            url: format!("{}/{name}.git", self.url),
            bare: bare.clone(),
            work: work.clone(),
        };
        let root = &self.root;
        let bare = bare.display().to_string();
        git(
            root,
            &["init", "--quiet", "--bare", "--initial-branch=main", &bare],
        )
        .await;
        for (key, value) in [
            ("http.receivepack", "true"),
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
        ] {
            git(root, &["-C", &bare, "config", key, value]).await;
        }
        git(
            root,
            &["clone", "--quiet", &bare, &work.display().to_string()],
        )
        .await;
        repository.commit("First version", files).await;
        repository
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One repository, and a developer's clone of it.
#[derive(Clone)]
pub struct Repository {
    url: String,
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Where it is fetched from and pushed to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL with the password in it, as a developer's clone may have it.
    fn push_url(&self) -> String {
        self.url
            .replacen("http://", &format!("http://{USER}:{PASSWORD}@"), 1)
    }

    /// A developer changes files and pushes to `main` over HTTP. Returns the commit.
    pub async fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        let work = &self.work;
        if self.tip().await.is_some() {
            git(work, &["pull", "--quiet", "--ff-only", "origin", "main"]).await;
        }
        for (path, content) in files {
            let file = work.join(path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).unwrap();
            }
            std::fs::write(file, content).unwrap();
        }
        git(work, &["add", "--all"]).await;
        git(work, &["commit", "--quiet", "--message", message]).await;
        git(work, &["push", "--quiet", &self.push_url(), "HEAD:main"]).await;
        self.tip().await.unwrap()
    }

    /// The commit at `main`.
    pub async fn tip(&self) -> Option<String> {
        let tip = try_git(&self.bare, &["rev-parse", "--verify", "--quiet", "main"])
            .await
            .ok()?;
        Some(tip.trim().to_owned())
    }

    /// A file at a commit.
    pub async fn file(&self, commit: &str, path: &str) -> String {
        git(&self.bare, &["show", &format!("{commit}:{path}")]).await
    }

    /// The files below a folder at a commit.
    pub async fn files(&self, commit: &str, folder: &str) -> Vec<String> {
        let names = git(
            &self.bare,
            &["ls-tree", "-r", "--name-only", commit, "--", folder],
        )
        .await;
        names.lines().map(str::to_owned).collect()
    }

    /// The message of a commit.
    pub async fn message(&self, commit: &str) -> String {
        git(&self.bare, &["log", "-1", "--format=%B", commit]).await
    }

    /// Whether somebody with this URL may push; nothing is changed.
    pub async fn may_push(&self, with_password: bool) -> bool {
        let url = if with_password {
            self.push_url()
        } else {
            self.url.clone()
        };
        try_git(
            &self.work,
            &["push", "--quiet", "--dry-run", &url, "HEAD:main"],
        )
        .await
        .is_ok()
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> String {
    match try_git(folder, arguments).await {
        Ok(output) => output,
        Err(error) => panic!("git {}: {error}", arguments.join(" ")),
    }
}

/// Runs git without the configuration of whoever runs the tests.
async fn try_git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs([
            ("GIT_AUTHOR_NAME", "Dana"),
            ("GIT_AUTHOR_EMAIL", "dana@example.com"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Dana"),
            ("GIT_COMMITTER_EMAIL", "dana@example.com"),
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

async fn serve(State(root): State<PathBuf>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let pushes =
        parts.uri.path().ends_with("/git-receive-pack") || query.contains("git-receive-pack");
    let known = parts
        .headers
        .get(header::AUTHORIZATION)
        .is_some_and(|given| given == CREDENTIALS);
    if pushes && !known {
        return answer(
            StatusCode::UNAUTHORIZED,
            &[("WWW-Authenticate", "Basic realm=\"git\"")],
        );
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, &[]);
    };
    let header = |name: &str| header_text(&parts.headers, name);
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"));
    if known {
        command.env("REMOTE_USER", USER);
    }
    match run(command, body).await.as_deref().map(parse) {
        Ok(Some(response)) => response,
        Ok(None) => answer(StatusCode::BAD_GATEWAY, &[]),
        Err(error) => {
            eprintln!("git server: {error}");
            answer(StatusCode::INTERNAL_SERVER_ERROR, &[])
        }
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn answer(status: StatusCode, headers: &[(&str, &str)]) -> Response<Body> {
    let builder = headers.iter().fold(
        Response::builder().status(status),
        |builder, (name, value)| builder.header(*name, *value),
    );
    builder.body(Body::empty()).unwrap_or_default()
}

/// Runs the CGI program with a body; writing and reading at once, since it does both.
async fn run(mut command: Command, body: Bytes) -> std::io::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move {
            let _ = stdin.write_all(&body).await;
        });
    }
    Ok(child.wait_with_output().await?.stdout)
}

/// Makes an HTTP response of what a CGI program printed.
fn parse(output: &[u8]) -> Option<Response<Body>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(output.get(..end)?).ok()?;
    let mut builder = Response::builder();
    for line in head.lines() {
        let (name, value) = line.split_once(": ")?;
        builder = match name {
            "Status" => builder.status(value.split(' ').next()?.parse::<u16>().ok()?),
            name => builder.header(name, value),
        };
    }
    builder
        .body(Body::from(output.get(end + 4..)?.to_vec()))
        .ok()
}
