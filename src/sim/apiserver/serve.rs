//! From an HTTP request to an HTTP response: faults, dispatch, representation.
//!
//! The same function serves the in-process client and the listener.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task, time::Duration};

use axum::body::Body as ResponseBody;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{
    ApiServer, Shared, discovery, openapi,
    represent::Representation,
    routes::RequestInfo,
    status_errors::ApiError,
    verbs::{self, Call},
    watch::Watch,
};

/// Kubernetes' limit on a request body.
const BODY_MAX_BYTES: usize = 3 * 1024 * 1024;

/// What a fault hook does to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Refuses it with this code and reason; nothing is changed.
    Fail(u16, &'static str),
    /// Carries it out and then answers this code: the answer was lost, the effect was not.
    ApplyThenFail(u16),
    /// Carries it out after this long.
    Delay(Duration),
    /// Never answers; nothing is changed.
    Hang,
}

/// Decides about each request.
pub type FaultHook = Arc<dyn Fn(&RequestInfo) -> Fault + Send + Sync>;

/// The server as a tower service, for `kube::Client::new`.
#[derive(Clone)]
pub struct InProcess {
    server: ApiServer,
    user_agent: Option<HeaderValue>,
}

impl InProcess {
    pub(super) fn new(server: ApiServer, user_agent: &str) -> Self {
        InProcess {
            server,
            user_agent: HeaderValue::from_str(user_agent).ok(),
        }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(agent) = self.user_agent.clone() {
            request
                .headers_mut()
                .entry(http::header::USER_AGENT)
                .or_insert(agent);
        }
        let server = self.server.clone();
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}

impl ApiServer {
    /// Serves HTTP until the future is dropped or the listener fails.
    ///
    /// Meant for loopback: there is no authentication and no TLS.
    pub async fn serve(&self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        let service = InProcess::new(self.clone(), "unknown");
        axum::serve(listener, axum::Router::new().fallback_service(service)).await
    }

    /// Answers one request.
    pub(super) async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: axum::body::HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let info = RequestInfo::parse(&parts.method, &parts.uri, &parts.headers);
        let body = match Limited::new(body, BODY_MAX_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return failure(&ApiError::too_large(BODY_MAX_BYTES)),
        };
        self.shared.audit().record(&info);
        let hook = self.shared.fault_hook();
        match hook.map_or(Fault::Pass, |hook| hook(&info)) {
            Fault::Pass => self.answer(&parts, &info, &body),
            Fault::Fail(code, reason) => failure(&ApiError::injected(code, reason)),
            Fault::ApplyThenFail(code) => {
                self.answer(&parts, &info, &body);
                failure(&ApiError::injected(code, reason_of(code)))
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.answer(&parts, &info, &body)
            }
            Fault::Hang => std::future::pending().await,
        }
    }

    fn answer(&self, parts: &Parts, info: &RequestInfo, body: &[u8]) -> Response<ResponseBody> {
        if info.resource.is_empty() {
            return self.about_the_server(parts, info);
        }
        match self.resource(info, body) {
            Ok(response) => response,
            Err(error) => failure(&error),
        }
    }

    fn about_the_server(&self, parts: &Parts, info: &RequestInfo) -> Response<ResponseBody> {
        if parts.method != http::Method::GET {
            return failure(&ApiError::method_not_allowed());
        }
        let path = info.path.as_str();
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return text(200, "ok");
        }
        let state = self.shared.lock();
        if discovery::wants_aggregated(&info.accept)
            && let Some(value) = discovery::aggregated(&state.registry, path)
        {
            return respond(
                200,
                discovery::AGGREGATED,
                ResponseBody::from(value.to_string()),
            );
        }
        let found = discovery::answer(&state.registry, path)
            .or_else(|| openapi::answer(&state.registry, path));
        match found {
            Some(value) => json(200, &value),
            None => text(404, "404 page not found\n"),
        }
    }

    fn resource(
        &self,
        info: &RequestInfo,
        body: &[u8],
    ) -> Result<Response<ResponseBody>, ApiError> {
        let mut state = self.shared.lock();
        let found = state
            .registry
            .find(&info.group, &info.version, &info.resource)
            .cloned();
        let Some(resource) = found else {
            return Ok(text(404, "404 page not found\n"));
        };
        let representation = Representation::choose(&info.accept, info.param("includeObject"))
            .ok_or_else(ApiError::not_acceptable)?;
        let now = (self.shared.clock)();
        let call = Call {
            info,
            resource,
            body,
            now,
        };
        if info.verb == "watch" {
            let watch = Watch::open(&self.shared, &state, &call, representation)?;
            return Ok(stream(watch));
        }
        let reply = verbs::dispatch(&mut state, &call);
        let version = state.store.version();
        drop(state);
        self.shared.announce(version);
        let reply = reply?;
        let value = representation.body(&call.resource, &info.version, reply.body, now);
        let mut response = json(reply.code, &value);
        for warning in &reply.warnings {
            let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        Ok(response)
    }
}

impl Shared {
    /// Wakes the watchers.
    pub(super) fn announce(&self, version: u64) {
        self.version.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = (*seen).max(version);
            newer
        });
    }
}

fn reason_of(code: u16) -> &'static str {
    match code {
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

fn failure(error: &ApiError) -> Response<ResponseBody> {
    json(error.code, &error.body())
}

fn json(code: u16, value: &Value) -> Response<ResponseBody> {
    respond(
        code,
        "application/json",
        ResponseBody::from(value.to_string()),
    )
}

fn text(code: u16, text: &'static str) -> Response<ResponseBody> {
    respond(code, "text/plain; charset=utf-8", ResponseBody::from(text))
}

fn stream(watch: Watch) -> Response<ResponseBody> {
    respond(
        200,
        "application/json",
        ResponseBody::from_stream(watch.into_stream()),
    )
}

fn respond(code: u16, media: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}
