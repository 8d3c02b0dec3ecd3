//! The supervisor's interface: a test in the cluster's network stops a program of it and starts it
//! again. The programs' names are those of their logs.

use super::SUPERVISOR_PORT;
use crate::process::Program;
use crate::wait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How often is looked whether a program has ended.
const PERIOD: Duration = Duration::from_millis(10);

/// What can be done with a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and the program has ended.
    Stop,
    /// Started as before, unless it runs.
    Start,
}

/// A program of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it has not ended.
    pub running: bool,
}

/// Does something with a program of the cluster in whose network the calling thread is.
pub async fn act(name: &str, action: Action) -> Result<(), String> {
    let action = serde_json::to_value(action).map_err(|error| error.to_string())?;
    let url = format!("{}/{name}/{}", base(), action.as_str().unwrap_or_default());
    let sent = reqwest::Client::new().post(url).send().await;
    let answer = sent.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(answer.text().await.unwrap_or_default())
    }
}

/// The programs of the cluster in whose network the calling thread is.
pub async fn programs() -> Result<Vec<Listed>, String> {
    let answer = reqwest::get(base()).await;
    let answer = answer.map_err(|error| error.to_string())?.json().await;
    answer.map_err(|error| error.to_string())
}

fn base() -> String {
    format!("http://127.0.0.1:{SUPERVISOR_PORT}/programs")
}

type Programs = Arc<Mutex<Vec<Program>>>;

/// Serves it.
pub(super) async fn serve(programs: Vec<Program>) {
    let routes = axum::Router::new()
        .route("/programs", get(list))
        .route("/programs/{name}/{action}", post(carry_out))
        .with_state(Arc::new(Mutex::new(programs)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, SUPERVISOR_PORT)).await;
    let listener = listener.expect("the port is free in a network of one's own");
    if let Err(error) = axum::serve(listener, routes).await {
        eprintln!("the supervisor's interface: {error}");
    }
}

async fn list(State(programs): State<Programs>) -> Json<Vec<Listed>> {
    let mut programs = programs.lock().unwrap_or_else(PoisonError::into_inner);
    let listed = programs.iter_mut().map(|program| Listed {
        name: program.name().to_owned(),
        running: program.is_running(),
    });
    Json(listed.collect())
}

async fn carry_out(
    State(programs): State<Programs>,
    Path((name, action)): Path<(String, Action)>,
) -> (StatusCode, String) {
    let deadline = Instant::now() + wait::DEADLINE;
    let mut asked = false;
    loop {
        {
            let mut programs = programs.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(program) = programs.iter_mut().find(|program| program.name() == name) else {
                let words = format!("there is no program {name:?}");
                return (StatusCode::NOT_FOUND, words);
            };
            match action {
                Action::Kill => program.kill(),
                Action::Start => program.start_again(),
                Action::Stop if !asked => program.terminate(),
                Action::Stop => {}
            }
            asked = true;
            if action != Action::Stop || !program.is_running() {
                return (StatusCode::OK, String::new());
            }
        }
        if Instant::now() > deadline {
            let words = format!("{name} does not stop");
            return (StatusCode::INTERNAL_SERVER_ERROR, words);
        }
        tokio::time::sleep(PERIOD).await;
    }
}
