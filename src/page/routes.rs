//! What can be asked for by HTTP: the list, one Rollout, what is live of both, the files that they load, and a
//! command. Each handler looks at what is known and hands on; the guard stands around all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Json, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::json;

use super::act::{self, Wish};
use super::list::{self, Wanted};
use super::one::{self, Body};
use super::parts::{Frame, Part, Trouble, View};
use super::seen::Key;
use super::text::shown;
use super::{Page, assets, guard, live};
use crate::cli::args::check_name;
use crate::cli::error::CliError;

/// A command is four short words.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Everything that is served.
pub fn app(page: Arc<Page>) -> Router {
    let guard = Arc::clone(&page.guard);
    Router::new()
        .route("/", get(all))
        .route("/events", get(all_live))
        .route("/rollout/{namespace}/{name}", get(rollout))
        .route("/rollout/{namespace}/{name}/events", get(rollout_live))
        .route("/command", post(command))
        .route("/assets/{name}", get(asset))
        .route("/licences", get(|| async { assets::PLOT_LICENCE }))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(guard, guard::around))
        .with_state(page)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::file(&name, &headers)
}

fn rights(page: &Page) -> String {
    let session = &page.session;
    match page.read_only {
        true => format!("read only ({})", session.context),
        false => format!("with the rights of {} ({})", session.who, session.context),
    }
}

fn html(frame: &Frame<'_>) -> Response {
    let part = Part::of("frame", frame);
    Html(part.html).into_response()
}

fn trouble(page: &Page, code: StatusCode, heading: &str, text: &str) -> Response {
    let body = Part::of("trouble", &Trouble { heading, text }).html;
    let rights = rights(page);
    let frame = Frame::new(heading, "", &body).with_rights("", &rights);
    (code, html(&frame)).into_response()
}

async fn nothing(State(page): State<Arc<Page>>) -> Response {
    let text = "There is nothing at this address. The list of all Rollouts leads on.";
    trouble(&page, StatusCode::NOT_FOUND, "Not found", text)
}

async fn all(
    State(page): State<Arc<Page>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(e) => {
            let text = format!("The address cannot be read: {e}. Begin at the list.");
            return trouble(&page, StatusCode::BAD_REQUEST, "Bad request", &shown(&text));
        }
    };
    let view = list::view(&page, &wanted, Timestamp::now());
    let body = list::body(&page, &wanted, &view);
    let events = format!("/events?{}", wanted.query(wanted.page.max(1)));
    let rights = rights(&page);
    html(&Frame::new("Rollouts", &events, &body).with_rights(page.guard.mark(), &rights))
}

async fn all_live(
    State(page): State<Arc<Page>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Ok(Query(wanted)) = wanted else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    live::answer(&page, move |page| {
        list::view(page, &wanted, Timestamp::now())
    })
}

async fn rollout(State(page): State<Arc<Page>>, Path(key): Path<Key>) -> Response {
    let Some(view) = one::view(&page, &key, Timestamp::now()) else {
        let text = format!(
            "There is no Rollout {} in namespace {}, or it was deleted.",
            shown(&key.1),
            shown(&key.0)
        );
        return trouble(&page, StatusCode::NOT_FOUND, "No such Rollout", &text);
    };
    let body = Part::of("body", &Body { parts: &view.parts }).html;
    let title = format!("{} in {}", shown(&key.1), shown(&key.0));
    let events = format!("{}/events", one::address(&key));
    let rights = rights(&page);
    let frame = Frame::new(&title, &events, &body);
    html(&frame.with_plots().with_rights(page.guard.mark(), &rights))
}

async fn rollout_live(State(page): State<Arc<Page>>, Path(key): Path<Key>) -> Response {
    live::answer(&page, move |page| {
        one::view(page, &key, Timestamp::now()).unwrap_or_else(|| {
            let gone = Trouble {
                heading: "It was deleted",
                text: "This Rollout is not there any more. The list leads to the others.",
            };
            View {
                parts: vec![Part::of("head", &gone)],
                rows: Vec::new(),
            }
        })
    })
}

fn answer(code: StatusCode, done: bool, text: &str) -> Response {
    (code, Json(json!({"done": done, "text": text}))).into_response()
}

async fn command(
    State(page): State<Arc<Page>>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Response {
    let wish = match wish {
        Ok(Json(wish)) => wish,
        Err(e) => return answer(e.status(), false, &shown(&e.body_text())),
    };
    if page.read_only {
        let text = "this page is read only: use kubectl tidegate, with your own rights";
        return answer(StatusCode::FORBIDDEN, false, text);
    }
    let names = check_name("the namespace", &wish.namespace)
        .and_then(|()| check_name("the Rollout's name", &wish.name));
    if let Err(why) = names {
        return answer(StatusCode::BAD_REQUEST, false, &shown(&why));
    }
    let Some(verb) = act::verb(&wish.verb) else {
        let text = format!(
            "{} is not known; there are promote, promote-full, abort, retry, pause and resume",
            shown(&wish.verb)
        );
        return answer(StatusCode::BAD_REQUEST, false, &text);
    };
    let Ok(_turn) = page.commands.try_acquire() else {
        let text = "too many commands are waited for: try again in a moment";
        return answer(StatusCode::SERVICE_UNAVAILABLE, false, text);
    };
    let mut session = page.session.clone();
    session.namespace.clone_from(&wish.namespace);
    match act::give(session, wish, verb).await {
        Ok(given) if given.done => answer(StatusCode::OK, true, &given.text),
        Ok(given) => answer(StatusCode::CONFLICT, false, &given.text),
        Err(e) => answer(code(&e), false, &shown(&e.to_string())),
    }
}

/// What an error means in HTTP. The sentence is the plugin's.
fn code(error: &CliError) -> StatusCode {
    match error {
        CliError::Refused(_) => StatusCode::CONFLICT,
        CliError::Usage(_) => StatusCode::BAD_REQUEST,
        CliError::Forbidden { .. } | CliError::Unauthorized { .. } => StatusCode::FORBIDDEN,
        CliError::NotFound { .. } => StatusCode::NOT_FOUND,
        CliError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}
