//! What has changed, as server-sent events: the parts of a page that are not what the browser has. Changes that
//! come together are sent together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::Page;
use super::parts::View;

/// Changes within this time are one: at most four times a second something is sent.
const QUIET: Duration = Duration::from_millis(250);
/// Ages and countdowns move on at this pace.
const TICK: Duration = Duration::from_secs(5);
/// Something is sent so often at least, so that a connection that is gone is seen to be.
const ALIVE: Duration = Duration::from_secs(10);

struct Watching<F> {
    page: Arc<Page>,
    show: F,
    changes: watch::Receiver<u64>,
    sent: BTreeMap<String, String>,
    order: Vec<String>,
    is_first: bool,
    _place: OwnedSemaphorePermit,
}

/// Sends what `show` shows, now and whenever it is something else.
pub fn answer<F>(page: &Arc<Page>, show: F) -> Response
where
    F: Fn(&Page) -> View + Send + 'static,
{
    let Ok(place) = Arc::clone(&page.live).try_acquire_owned() else {
        let why = "too many windows are kept up to date already: close some\n";
        return (axum::http::StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let watching = Watching {
        page: Arc::clone(page),
        show,
        changes: page.known.changes(),
        sent: BTreeMap::new(),
        order: Vec::new(),
        is_first: true,
        _place: place,
    };
    Sse::new(events(watching))
        .keep_alive(KeepAlive::new().interval(ALIVE).text("alive"))
        .into_response()
}

fn events<F>(watching: Watching<F>) -> impl Stream<Item = Result<Event, Infallible>> + Send
where
    F: Fn(&Page) -> View + Send + 'static,
{
    unfold(watching, |mut watching| async move {
        loop {
            if !watching.is_first {
                let tick = Instant::now() + TICK;
                tokio::select! {
                    changed = watching.changes.changed() => {
                        // Nobody will change anything any more: the page is at its end.
                        changed.ok()?;
                        tokio::time::sleep(QUIET).await;
                    }
                    () = tokio::time::sleep_until(tick) => {}
                }
            }
            watching.is_first = false;
            watching.changes.mark_unchanged();
            if let Some(event) = watching.news() {
                return Some((Ok(event), watching));
            }
        }
    })
}

impl<F: Fn(&Page) -> View> Watching<F> {
    /// The parts that are not what was sent before.
    fn news(&mut self) -> Option<Event> {
        let view = (self.show)(&self.page);
        let mut changed = BTreeMap::new();
        let order: Vec<String> = view.rows.iter().map(|part| part.id.clone()).collect();
        let mut now = BTreeMap::new();
        for part in view.parts.into_iter().chain(view.rows) {
            if self.sent.get(&part.id) != Some(&part.html) {
                changed.insert(part.id.clone(), part.html.clone());
            }
            now.insert(part.id, part.html);
        }
        let moved = order != self.order;
        self.sent = now;
        self.order.clone_from(&order);
        if changed.is_empty() && !moved {
            return None;
        }
        let rows = moved.then_some(order);
        let news = json!({"parts": changed, "rows": rows});
        Some(Event::default().event("parts").data(news.to_string()))
    }
}
