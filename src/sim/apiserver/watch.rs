//! WATCH: the history as a stream of JSON lines.
//!
//! A watcher holds nothing but the version it has read up to and asks the history for more, so a
//! slow one costs no memory; when it falls behind the history it gets the 410 that tells it to
//! list again.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Shared, object,
    registry::Resource,
    represent::Representation,
    routes::RequestInfo,
    status_errors::{ApiError, FieldError},
    store::{Change, Event},
    verbs::{self, Call, State, read::Filter, storage_id},
};

/// A watch without `timeoutSeconds` ends after this long, as on a real server (30 to 60 min).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1800);
/// Bookmarks come this often to those who allow them; a real server sends one a minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Events read under the lock at once.
const BATCH_MAX: usize = 256;
/// Marks the bookmark that ends the initial list of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One running watch.
pub(super) struct Watch {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    version: String,
    namespace: String,
    filter: Filter,
    representation: Representation,
    bookmarks: bool,
    position: u64,
    lines: VecDeque<Bytes>,
    ends: Instant,
    next_bookmark: Instant,
    changed: tokio::sync::watch::Receiver<u64>,
    epoch: u64,
    over: bool,
    columns_sent: bool,
}

impl Watch {
    /// Opens a watch; the state is locked by the caller.
    pub(super) fn open(
        shared: &Arc<Shared>,
        state: &State,
        call: &Call<'_>,
        representation: Representation,
    ) -> Result<Self, ApiError> {
        let info = call.info;
        let now = Instant::now();
        let timeout = match info.param("timeoutSeconds").parse::<u64>() {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => TIMEOUT_DEFAULT,
        };
        let mut watch = Watch {
            shared: Arc::clone(shared),
            resource: Arc::clone(&call.resource),
            version: info.version.clone(),
            namespace: info.namespace.clone(),
            filter: Filter::of(call)?,
            representation,
            bookmarks: info.flag("allowWatchBookmarks"),
            position: state.store.version(),
            lines: VecDeque::new(),
            ends: now + timeout,
            next_bookmark: now + BOOKMARK_EVERY,
            changed: shared.version.subscribe(),
            epoch: *shared.epoch.borrow(),
            over: false,
            columns_sent: false,
        };
        watch.start(state, info)?;
        Ok(watch)
    }

    /// Decides what comes first: the present state as ADDED events, or the history.
    fn start(&mut self, state: &State, info: &RequestInfo) -> Result<(), ApiError> {
        let text = info.param("resourceVersion");
        let initial = info.param("sendInitialEvents");
        if !initial.is_empty() {
            if info.param("resourceVersionMatch") != "NotOlderThan" {
                return Err(invalid_list_options(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            if initial == "true" && !self.bookmarks {
                return Err(invalid_list_options(
                    "allowWatchBookmarks",
                    "sendInitialEvents requires setting allowWatchBookmarks to true",
                ));
            }
        }
        let wanted: u64 = match text {
            "" => 0,
            text => text.parse().map_err(|_| {
                ApiError::internal(format!(
                    "strconv.ParseUint: parsing \"{text}\": invalid syntax"
                ))
            })?,
        };
        if initial == "true" || (initial.is_empty() && wanted == 0) {
            self.send_present(state);
            if initial == "true" {
                self.bookmark(true);
            }
        } else if wanted > 0 {
            self.position = wanted;
        }
        Ok(())
    }

    fn send_present(&mut self, state: &State) {
        let id = storage_id(&self.resource);
        let present: Vec<Arc<Value>> = state
            .store
            .list(&id, &self.namespace)
            .filter(|(_, object)| self.filter.matches(object))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        for object in present {
            self.line("ADDED", &object);
        }
    }

    /// The stream of lines; it ends at the timeout, at a disconnection, or after an error event.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut watch| async move {
            let line = watch.next().await?;
            Some((Ok(line), watch))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut epoch = self.shared.epoch.subscribe();
        loop {
            if *epoch.borrow_and_update() != self.epoch {
                return None;
            }
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changed.borrow_and_update();
            self.read();
            if !self.lines.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return None },
                _ = epoch.changed() => return None,
                () = tokio::time::sleep_until(self.ends) => {
                    self.over = true;
                    if self.bookmarks {
                        self.bookmark(false);
                    }
                }
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    self.bookmark(false);
                }
            }
        }
    }

    fn read(&mut self) {
        let id = storage_id(&self.resource);
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        match state.store.events_after(&id, self.position, BATCH_MAX) {
            Some((events, reached)) => {
                drop(state);
                self.position = reached;
                for event in &events {
                    self.translate(event);
                }
            }
            None => {
                let oldest = state.store.compacted();
                drop(state);
                let message = format!("too old resource version: {} ({oldest})", self.position);
                self.raw("ERROR", &ApiError::expired(message).body());
                self.over = true;
            }
        }
    }

    /// An event as this watcher's selectors see it: an object that begins to match is ADDED, one
    /// that ceases to is DELETED.
    fn translate(&mut self, event: &Event) {
        if !self.namespace.is_empty() && event.key.namespace != self.namespace {
            return;
        }
        let passes = |object: Option<&Arc<Value>>| object.is_some_and(|o| self.filter.matches(o));
        let before = passes(event.previous.as_ref());
        let after = event.change != Change::Deleted && passes(Some(&event.object));
        match (before, after) {
            (false, false) => {}
            (false, true) => self.line("ADDED", &event.object),
            (true, true) => self.line("MODIFIED", &event.object),
            (true, false) => {
                let last = event.previous.as_ref().unwrap_or(&event.object);
                let mut last = (**last).clone();
                object::set_meta(&mut last, "resourceVersion", event.version.to_string());
                self.line("DELETED", &last);
            }
        }
    }

    fn line(&mut self, kind: &str, object: &Value) {
        let shown = verbs::present(&self.resource, &self.version, object);
        let now = (self.shared.clock)();
        let first = !self.columns_sent;
        self.columns_sent = true;
        let body =
            self.representation
                .event_object(&self.resource, &self.version, shown, first, now);
        self.raw(kind, &body);
    }

    fn bookmark(&mut self, initial_end: bool) {
        let mut object = json!({
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(&self.version),
            "metadata": {"resourceVersion": self.position.to_string(), "creationTimestamp": null},
        });
        if initial_end {
            object::set_meta(
                &mut object,
                "annotations",
                json!({INITIAL_EVENTS_END: "true"}),
            );
        }
        let body = self.representation.bookmark(object);
        self.raw("BOOKMARK", &body);
    }

    fn raw(&mut self, kind: &str, object: &Value) {
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        self.lines.push_back(Bytes::from(line));
    }
}

fn invalid_list_options(field: &str, detail: &str) -> ApiError {
    ApiError::invalid_options("ListOptions", &[FieldError::forbidden(field, detail)])
}
